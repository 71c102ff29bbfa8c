//! From weights of chance to copying: a model of the shape of `tests/fixtures/tiny` sees text, then random tokens that come again.
//!
//! Minutes on one core:
//!
//!     cargo run --release -p mempack-trainer --example learn_to_copy [TEXT_STEPS COPY_STEPS]
//!
//! It prints what share of the repeats the model predicts: in fresh sequences before and after, and as training goes on.
//! Copying takes its time to form: 300 steps of text and 600 of copying brought the loss on the repeats from 7.33, what guessing costs,
//! to 7.16, and the share predicted from 0.000 to 0.005. Give more steps to see it whole.

use std::error::Error;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use mempack_model::training::{Learning, Sequence, Trainee};
use mempack_model::{DeviceChoice, LoadOptions};
use mempack_questions::Rng;
use mempack_trainer::{LogLine, Progress, TrainConfig, train};

/// Of the sequences that are copied: their tokens, and the shortest and the longest period.
const LENGTH: usize = 96;
const PERIOD: [usize; 2] = [5, 40];

fn main() -> Result<(), Box<dyn Error>> {
    let mut steps = std::env::args().skip(1).map(|n| n.parse::<u64>());
    let text = steps.next().transpose()?.unwrap_or(300);
    let copy = steps.next().transpose()?.unwrap_or(600);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    let root = root.display();
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("copy.toml");
    let [shortest, longest] = PERIOD;
    std::fs::write(
        &file,
        format!(
            r#"
output = "run"
seed = 1
threads = 1
checkpoints = {{ every = 1000000, keep = 1 }}
optimizer = {{ rate = 2e-3 }}
[scratch]
config = "{root}/tests/fixtures/tiny/config.json"
corpora = ["{root}/kb-samples/medical/corpus.jsonl", "{root}/kb-samples/legal/corpus.jsonl"]
[[stage]]
steps = {text}
batch = 16
schedule = {{ decay = 0.0 }}
learn = {{ kind = "text", length = {LENGTH}, corpora = ["{root}/kb-samples/medical/corpus.jsonl", "{root}/kb-samples/legal/corpus.jsonl"] }}
[[stage]]
steps = {copy}
batch = 16
schedule = {{ decay = 0.2 }}
learn = {{ kind = "copy", length = {LENGTH}, period = [{shortest}, {longest}] }}
"#
        ),
    )?;
    let config = TrainConfig::read(&file)?;
    let report = train(&config, DeviceChoice::Cpu, &Lines(Mutex::default()), &AtomicBool::new(false))?;
    println!("repeats predicted in fresh sequences, before: {:.4}", repeats(&config.output.join("start"))?);
    println!("repeats predicted in fresh sequences, after:  {:.4}", repeats(&report.folder)?);
    Ok(())
}

/// The share of the repeats that a model predicts, in sequences that it was not trained on.
fn repeats(folder: &Path) -> Result<f64, Box<dyn Error>> {
    let trainee = Trainee::load(folder, &LoadOptions::default(), &Learning::Everything)?;
    let ids = trainee.model().tokenizer().plain_ids();
    let (mut right, mut all) = (0, 0);
    for number in 0..16 {
        let mut rng = Rng::new(0xF2E5, number);
        let sequences = (0..16).map(|_| {
            let period = rng.between(PERIOD[0], PERIOD[1]);
            let once: Vec<u32> = (0..period).filter_map(|_| rng.pick(&ids).copied()).collect();
            let tokens = once.iter().copied().cycle().take(LENGTH).collect();
            Sequence { tokens, learnt: (0..LENGTH).map(|place| place >= period).collect(), chunks: Vec::new() }
        });
        let loss = trainee.loss(&sequences.collect::<Vec<_>>(), None)?;
        (right, all) = (right + loss.right, all + loss.tokens);
    }
    Ok(right as f64 / all as f64)
}

/// Prints the mean of every 50 steps.
struct Lines(Mutex<Vec<LogLine>>);

impl Progress for Lines {
    fn begin(&self, _: &str, _: Option<u64>) {}

    fn advance(&self, _: u64) {}

    fn note(&self, text: &str) {
        println!("{text}");
    }

    fn step(&self, line: &LogLine, steps: u64) {
        let mut lines = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        lines.push(line.clone());
        if line.step.is_multiple_of(50) || line.step == steps {
            let mean = |of: fn(&LogLine) -> f64| lines.iter().map(of).sum::<f64>() / lines.len() as f64;
            let (loss, right, seconds) = (mean(|l| l.loss), mean(|l| l.right), mean(|l| l.seconds));
            println!("stage {} step {}: loss {loss:.3}, right {right:.4}, {seconds:.3} s a step", line.stage, line.step);
            lines.clear();
        }
    }
}
