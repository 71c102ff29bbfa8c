//! Small runs: the tiny model, generated documents, and a recorder of progress.
#![allow(dead_code)] // each test file uses a part of this

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use mempack_model::DeviceChoice;
use mempack_questions::{Fiction, FictionOptions, Folder, Question, make_preferences, read_questions};
use mempack_trainer::{LOG, LogLine, TrainConfig, TrainError, TrainProgress, TrainReport, read_log, train};
use tempfile::TempDir;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A folder for runs, with a corpus and questions about it.
pub struct Bench {
    pub dir: TempDir,
}

impl Bench {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = FictionOptions { documents: 8, seed: 4, unanswerable: 0.0, ..FictionOptions::default() };
        let mut folder = Folder::create(&dir.path().join("fiction")).unwrap();
        for made in Fiction::new(&options).unwrap() {
            folder.write(&made.document, &made.questions).unwrap();
        }
        folder.finish(serde_json::json!({})).unwrap();
        Self { dir }
    }

    pub fn output(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes `memory.json`, the model's `memory` block with a template for prompts that hold a text.
    pub fn memory_with_context_template(&self) {
        let config = std::fs::read(root().join("tests/fixtures/tiny/config.json")).unwrap();
        let mut block = serde_json::from_slice::<serde_json::Value>(&config).unwrap()["memory"].clone();
        block["context_template"] = " Reference: {text} Question: {question} Answer:".into();
        std::fs::write(self.dir.path().join("memory.json"), block.to_string()).unwrap();
    }

    /// Writes preferences and conversations about the corpus, `preferences.jsonl` and `chat.jsonl`.
    pub fn preferences_and_chat(&self) {
        let questions = read_questions(&self.dir.path().join("fiction/questions.jsonl")).unwrap();
        let corpus = std::fs::read_to_string(self.dir.path().join("fiction/corpus.jsonl")).unwrap();
        let text = |row: serde_json::Value| (row["id"].as_str().unwrap().to_owned(), row["text"].as_str().unwrap().to_owned());
        let documents = corpus.lines().map(|line| text(serde_json::from_str(line).unwrap())).collect();
        let pairs = make_preferences(&questions, &documents, 1).preferences;
        let lines: String = pairs.iter().map(|pair| serde_json::to_string(pair).unwrap() + "\n").collect();
        std::fs::write(self.dir.path().join("preferences.jsonl"), lines).unwrap();
        let turns = |pair: &[Question]| {
            let messages = pair.iter().flat_map(|question| {
                let of = |role: &str, content: &str| serde_json::json!({"role": role, "content": content});
                [of("user", &question.question), of("assistant", &question.answers[0])]
            });
            serde_json::json!({"messages": messages.collect::<Vec<_>>()}).to_string() + "\n"
        };
        std::fs::write(self.dir.path().join("chat.jsonl"), questions.chunks(2).map(turns).collect::<String>()).unwrap();
    }

    /// A configuration whose output is the folder `name`. In the TOML text `rest`, `MODEL`, `ADAPTER` and `QUESTIONS` are replaced by lines
    /// that most runs share.
    pub fn config(&self, name: &str, rest: &str) -> TrainConfig {
        let embedder = std::env::var_os("MEMPACK_EMBEDDER").map_or_else(|| root().join("models/all-MiniLM-L6-v2"), PathBuf::from);
        assert!(embedder.join("model.safetensors").is_file(), "{}: the embedder is not in place; `make` puts it there", embedder.display());
        let embedder = if embedder.is_absolute() { embedder } else { root().join(embedder) };
        let head = format!(
            "model = {:?}\nembedder = {:?}\noutput = {name:?}\nthreads = 1\nseed = 12\n",
            root().join("tests/fixtures/tiny"),
            embedder
        );
        let adapter = "[adapter]\nrank = 2\nalpha = 4.0\ntargets = [\"q_proj\", \"v_proj\", \"down_proj\"]";
        let questions = "[[stage.learn.sources]]\ncorpora = [\"fiction/corpus.jsonl\"]\nquestions = [\"fiction/questions.jsonl\"]";
        let path = self.dir.path().join(format!("{name}.toml"));
        std::fs::write(&path, rest.replace("MODEL", &head).replace("ADAPTER", adapter).replace("QUESTIONS", questions)).unwrap();
        TrainConfig::read(&path).unwrap()
    }
}

/// Records the progress of a run, and stops it after a step.
pub struct Recorder {
    pub stop: Option<u64>,
    pub cancel: AtomicBool,
    pub notes: Mutex<Vec<String>>,
    pub steps: Mutex<Vec<u64>>,
}

impl Recorder {
    pub fn until(stop: Option<u64>) -> Self {
        Self { stop, cancel: AtomicBool::new(false), notes: Mutex::default(), steps: Mutex::default() }
    }

    pub fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap().clone()
    }

    pub fn steps(&self) -> Vec<u64> {
        self.steps.lock().unwrap().clone()
    }
}

impl TrainProgress for Recorder {
    fn begin(&self, _: &str, _: Option<u64>) {}
    fn advance(&self, _: u64) {}
    fn note(&self, text: &str) {
        self.notes.lock().unwrap().push(text.to_owned());
    }
    fn step(&self, line: &LogLine, _: u64) {
        self.steps.lock().unwrap().push(line.step);
        if self.stop == Some(line.step) {
            self.cancel.store(true, Ordering::Relaxed);
        }
    }
}

/// Runs to the end, or to the end of step `stop`.
pub fn run(config: &TrainConfig, stop: Option<u64>) -> (Result<TrainReport, TrainError>, Recorder) {
    let recorder = Recorder::until(stop);
    (train(config, DeviceChoice::Cpu, &recorder, &recorder.cancel), recorder)
}

/// The log without durations.
pub fn log(output: &Path) -> Vec<LogLine> {
    let lines = read_log(&output.join(LOG)).unwrap();
    lines.into_iter().map(|line| LogLine { seconds: 0.0, ..line }).collect()
}

/// The files of a folder, by name.
pub fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<_> = entries.map(|e| (e.file_name().to_string_lossy().into_owned(), std::fs::read(e.path()).unwrap())).collect();
    files.sort();
    files
}

/// The names of a run's checkpoints.
pub fn checkpoints(output: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(output).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = entries.filter(|name| name.starts_with("step-")).collect();
    names.sort();
    names
}
