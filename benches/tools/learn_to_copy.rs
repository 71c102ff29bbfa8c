//! Trains a model from random weights until it copies: a model of the shape of `tests/fixtures/tiny` sees invented documents, then random
//! tokens that repeat, first after a few tokens and then after more.
//!
//!     cargo run --release -p mempack-benches --bin learn_to_copy -- [TEXT_STEPS NEAR_STEPS FAR_STEPS]
//!
//! Prints the share of the repeats that the model predicts: in fresh sequences before and after, and during training.
//!
//! Result, in 25 minutes on half a core: at periods of 2 to 12 tokens the share rose from 0.001 to 0.42 after 200 steps, 0.63 after 400
//! and 0.68 after 800. At periods of 5 to 40 it is then 0.16 (guessing: 0.0007), and 300 steps do not change that: the model has learned
//! to copy over a few tokens, and longer periods need more steps than these.

use std::error::Error;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use mempack_model::training::{Learning, Sequence, Trainee};
use mempack_model::{DeviceChoice, LoadOptions};
use mempack_numeric::Rng;
use mempack_questions::{Fiction, FictionOptions, Folder};
use mempack_trainer::{LogLine, TrainConfig, TrainProgress, train};

/// Tokens of a sequence of text, and of a copied sequence in the last stage and in the measurement; its shortest and longest period.
const LENGTH: usize = 96;
const PERIOD: [usize; 2] = [5, 40];
/// Copying is learned first on short sequences with short periods: a step then has three times as many repeats. Starting with `LENGTH`
/// and `PERIOD`, 600 steps learned nothing.
const NEAR_LENGTH: usize = 48;
const NEAR_PERIOD: [usize; 2] = [2, 12];

fn main() -> Result<(), Box<dyn Error>> {
    let steps: Vec<u64> = std::env::args().skip(1).map(|n| n.parse()).collect::<Result<_, _>>()?;
    let [text, near, far] = <[u64; 3]>::try_from(steps).unwrap_or([250, 800, 300]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    let root = root.display();
    let folder = tempfile::tempdir()?;
    let mut fiction = Folder::create(&folder.path().join("fiction"))?;
    for made in Fiction::new(&FictionOptions { documents: 3000, seed: 101, ..FictionOptions::default() })? {
        fiction.write(&made.document, &made.questions)?;
    }
    fiction.finish(serde_json::json!({}))?;
    let file = folder.path().join("copy.toml");
    std::fs::write(
        &file,
        format!(
            r#"
output = "run"
seed = 1
threads = 1
checkpoints = {{ every = 1000000, keep = 1 }}
optimizer = {{ rate = 3e-3 }}
[scratch]
config = "{root}/tests/fixtures/tiny/config.json"
corpora = ["{root}/kb-samples/medical/corpus.jsonl", "{root}/kb-samples/legal/corpus.jsonl"]
[[stage]]
steps = {text}
batch = 16
schedule = {{ warmup = 30, decay = 0.0 }}
learn = {{ kind = "text", length = {LENGTH}, corpora = ["fiction/corpus.jsonl"] }}
[[stage]]
steps = {near}
batch = 48
schedule = {{ warmup = 20, decay = 0.0 }}
learn = {{ kind = "copy", length = {NEAR_LENGTH}, period = {NEAR_PERIOD:?} }}
[[stage]]
steps = {far}
batch = 16
schedule = {{ decay = 0.3 }}
learn = {{ kind = "copy", length = {LENGTH}, period = {PERIOD:?} }}
"#
        ),
    )?;
    let config = TrainConfig::read(&file)?;
    let report = train(&config, DeviceChoice::Cpu, &Lines(Mutex::default()), &AtomicBool::new(false))?;
    for (period, length) in [(NEAR_PERIOD, NEAR_LENGTH), (PERIOD, LENGTH)] {
        let [before, after] = [&config.output.join("start"), &report.folder].map(|folder| repeats(folder, period, length));
        println!("repeats predicted in fresh sequences, periods {period:?}: before {:.4}, after {:.4}", before?, after?);
    }
    Ok(())
}

/// The share of the repeats that a model predicts in sequences it was not trained on.
fn repeats(folder: &Path, [shortest, longest]: [usize; 2], length: usize) -> Result<f64, Box<dyn Error>> {
    let trainee = Trainee::load(folder, &LoadOptions::default(), &Learning::Everything)?;
    let ids = trainee.model().tokenizer().plain_ids();
    let (mut right, mut all) = (0, 0);
    for number in 0..16 {
        let mut rng = Rng::for_stream(0xF2E5, number);
        let sequences = (0..16).map(|_| {
            let period = rng.between(shortest, longest);
            let once: Vec<u32> = (0..period).filter_map(|_| rng.pick(&ids).copied()).collect();
            let tokens = once.iter().copied().cycle().take(length).collect();
            Sequence { tokens, learnt: (0..length).map(|place| place >= period).collect(), chunks: Vec::new() }
        });
        let loss = trainee.loss(&sequences.collect::<Vec<_>>(), None)?;
        let hits = loss.hits()?;
        (right, all) = (right + hits.right, all + hits.tokens);
    }
    Ok(right as f64 / all as f64)
}

/// Prints the mean of every 50 steps.
struct Lines(Mutex<Vec<LogLine>>);

impl TrainProgress for Lines {
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
