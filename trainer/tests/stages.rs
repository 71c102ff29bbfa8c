//! Whole runs that train a very small new model. They need the embedder that `make` downloads.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mempack_model::{DeviceChoice, LoadOptions, Model};
use mempack_trainer::{LOG, LogLine, NoProgress, TrainConfig, TrainError, TrainProgress, TrainReport, read_log, train};
use serde_json::json;

const CONTINUAL: &str = r#"
[[stage]]
steps = STEPS
batch = 4
accumulate = 2
schedule = { warmup = 3 }
[stage.learn]
kind = "continual"
corpora = ["corpus.jsonl"]
references = ["corpus.jsonl"]
length = 64
[stage.learn.write]
keep = [[0, 16], [4, 8]]
selection_gradient = true
noise = [0.02, 0.05]
"#;

const COPY: &str = r#"
[[stage]]
steps = STEPS
batch = 32
schedule = { warmup = 3 }
[stage.learn]
kind = "copy"
length = 16
period = [1, 1]
"#;

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// A folder with a model's configuration, a small corpus, and the training configuration `run.toml`.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        let config = json!({
            "model_type": "llama", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
            "intermediate_size": 64, "vocab_size": 400, "tie_word_embeddings": true, "rms_norm_eps": 1e-5, "bos_token_id": 1, "eos_token_id": 2,
            "memory": {"num_memory_layers": 1, "tokens_per_head": 8, "retrieval_interval": 16, "reference_prefix_ids": [1, 3]},
        });
        std::fs::write(place.path("config.json"), config.to_string()).unwrap();
        let corpus = std::fs::read_to_string(root("kb-samples/medical/corpus.jsonl")).unwrap();
        std::fs::write(place.path("corpus.jsonl"), corpus.lines().take(8).collect::<Vec<_>>().join("\n")).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn config(&self, output: &str, seed: u64, stages: &str) -> TrainConfig {
        let embedder = std::env::var_os("MEMPACK_EMBEDDER").map_or_else(|| root("models/all-MiniLM-L6-v2"), PathBuf::from);
        let text = format!(
            "output = \"{output}\"\nseed = {seed}\nthreads = 1\nembedder = {embedder:?}\n[scratch]\nconfig = \"config.json\"\n\
             corpora = [\"corpus.jsonl\"]\n[optimizer]\nrate = 1e-2\n{stages}"
        );
        std::fs::write(self.path("run.toml"), text).unwrap();
        TrainConfig::read(&self.path("run.toml")).unwrap()
    }

    fn log(&self, output: &str) -> Vec<LogLine> {
        read_log(&self.path(output).join(LOG)).unwrap()
    }
}

/// Runs share libtorch's generator, so they run one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run(config: &TrainConfig) -> Result<TrainReport, TrainError> {
    train(config, DeviceChoice::Cpu, &NoProgress, &AtomicBool::new(false))
}

/// Cancels the run after a step.
struct Stop<'a>(u64, &'a AtomicBool);

impl TrainProgress for Stop<'_> {
    fn begin(&self, _: &str, _: Option<u64>) {}
    fn advance(&self, _: u64) {}
    fn note(&self, _: &str) {}
    fn step(&self, line: &LogLine, _: u64) {
        self.1.fetch_or(line.step == self.0, Ordering::Relaxed);
    }
}

#[test]
fn a_new_model_learns_in_both_stages_and_loads() {
    let _alone = alone();
    let place = Place::new();
    let config = place.config("run", 1, &[COPY, CONTINUAL].concat().replace("STEPS", "30"));
    let report = run(&config).unwrap();
    let lines = place.log("run");
    assert_eq!((report.steps, lines.len()), (60, 60));
    for stage in 0..2 {
        let lines: Vec<_> = lines.iter().filter(|line| line.stage == stage).collect();
        let mean = |some: &[&LogLine]| some.iter().map(|line| line.loss).sum::<f64>() / some.len() as f64;
        let (before, after) = (mean(&lines[..5]), mean(&lines[25..]));
        assert!(after < before - 0.5, "stage {stage}: {before} {after}");
        // The copied tokens are drawn uniformly, so knowing their distribution would not lower the loss this far.
        assert!(stage == 1 || after < 400f64.ln() - 1.0, "{after}");
    }
    let kept: Vec<_> = [0, 30, 33, 34].iter().map(|step| lines[*step].kept).collect();
    assert_eq!(kept, [0, 16, 16, 8]);
    let model = Model::load(&report.folder, &LoadOptions::default()).unwrap();
    assert_eq!(model.write(&[&model.tokenizer().encode_plain("Take it with water.").unwrap()]).unwrap().len(), 1);
    // A finished run does nothing, and a run with another seed does not start from its model.
    assert_eq!(run(&config).unwrap().steps, 0);
    let other = TrainConfig { seed: 2, ..config };
    assert!(matches!(run(&other), Err(TrainError::Checkpoint { path, .. }) if path.ends_with("start")));
}

#[test]
fn a_stopped_run_resumes_to_the_same_losses() {
    let _alone = alone();
    let place = Place::new();
    let stages = CONTINUAL.replace("STEPS", "6");
    run(&place.config("whole", 3, &stages)).unwrap();
    let config = place.config("stopped", 3, &stages);
    let cancel = AtomicBool::new(false);
    let stopped = train(&config, DeviceChoice::Cpu, &Stop(3, &cancel), &cancel);
    assert!(matches!(stopped, Err(TrainError::Interrupted { step: 3 })), "{stopped:?}");
    assert_eq!(run(&config).unwrap().steps, 3);
    let losses = |output: &str| place.log(output).iter().map(|line| line.loss.to_bits()).collect::<Vec<_>>();
    assert_eq!(losses("stopped"), losses("whole"));
    assert_eq!(losses("whole").len(), 6);
}
