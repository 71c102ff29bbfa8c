//! Writes a reference to a memory, and answers a question from it.
//!
//! ```text
//! cargo run --release -p mempack-model --example answer -- tests/fixtures/tiny
//! ```

use std::error::Error;
use std::path::Path;

use mempack_model::{LoadOptions, Model, ReaderOptions, Slot, TextStream, prompt_tokens, reference_tokens};

/// Answers a question from a memory: the argument is the model's folder.
pub fn run(args: &[String]) -> Result<(), Box<dyn Error>> {
    let [folder] = args else { return Err("usage: answer MODEL".into()) };
    let model = Model::load(Path::new(folder), &LoadOptions::default())?;

    // Write: once for each reference of a corpus.
    let sheet = reference_tokens(&model, "Nutepril is used to treat gout. The usual dose of Nutepril is 40 mg twice daily.")?;
    let memories = model.write(&[&sheet])?;

    // Read: the prompt is one chunk here, and reads one memory.
    let prompt = prompt_tokens(&model, "What is the usual dose of Nutepril?")?;
    let max_tokens = 24;
    let mut reader = model.reader(&ReaderOptions { capacity: 1 + prompt.ids.len() + max_tokens, prefix: true })?;
    let chunk = vec![Slot { memory: &memories[0], similarity: 1.0 }];
    let mut logits = reader.prompt(&prompt.ids, &[chunk], false)?;
    let mut text = TextStream::new(model.tokenizer());
    let mut answer = String::new();
    for _ in 0..max_tokens {
        let best = (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap_or(0) as u32;
        if model.memory().stop_ids.contains(&best) || model.memory().stop.iter().any(|stop| answer.ends_with(stop)) {
            break;
        }
        answer += &text.push(best)?;
        logits = reader.step(best)?;
    }
    println!("{answer}");
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    run(&std::env::args().skip(1).collect::<Vec<_>>())
}
