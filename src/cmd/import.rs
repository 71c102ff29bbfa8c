//! `mempack import`: a GGUF file becomes a Hugging Face folder.

use std::path::PathBuf;

use crate::failure::{Failure, Kind};
use crate::hints;
use crate::output::{bytes, thousands};
use crate::progress::Progress;
use crate::terminal::outln;

#[derive(clap::Args)]
pub struct Args {
    /// The GGUF file: a model of the Llama, Mistral, Qwen2, Qwen3 or Gemma 3 family
    file: PathBuf,
    /// The folder to write; it must not exist yet
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// A tokenizer.json to use instead of the vocabulary of the file
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let progress = Progress::new();
    let mut begun = false;
    let summary = mempack_model::import_gguf(&args.file, &args.output, args.tokenizer.as_deref(), &mut |done, total| {
        if !std::mem::replace(&mut begun, true) {
            progress.begin("importing", "parameters", Some(total));
        }
        progress.set(done);
    })
    .map_err(|error| {
        let hint = hints::import(&error);
        Failure::new(Kind::Work, error).with_hint(hint)
    })?;
    progress.end();
    if let Some(tied) = &summary.tied {
        outln!("{tied}");
    }
    outln!(
        "{}: {}, {} parameters in {} tensors, {}",
        args.output.display(),
        summary.model_type,
        thousands(summary.parameters),
        summary.tensors,
        bytes(summary.bytes)
    );
    Ok(())
}
