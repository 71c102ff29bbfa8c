//! Gradients of objectives against central finite differences, on the tiny model with an adapter.

use std::path::{Path, PathBuf};

use mempack_model::training::{AdamW, AdamWConfig, AdapterOptions, Learning, Tensor, Trainee, TrainingLoss};
use mempack_model::{Embedder, LoadOptions};
use mempack_numeric::Rng;

use super::{LearnConfig, Objective, Part, StageContext, StageName, StageSize, StageStart, TrainingBatch};
use crate::config::WriteConfig;
use crate::{NoProgress, TrainError};

/// How far a derivative may lie from the difference, as a share of the gradient's norm.
const TOLERANCE: f64 = 1e-2;

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Tensors with their names.
type Named = Vec<(String, Tensor)>;

/// A model with an adapter, and an objective that it learns.
pub(super) struct Bench {
    pub trainee: Trainee,
    pub objective: Box<dyn Objective>,
    pub write: WriteConfig,
    optimizer: AdamW,
    /// The file through which the weights are changed.
    path: PathBuf,
}

impl Bench {
    pub fn new(folder: &Path, learn: &str) -> Self {
        Self::load(folder, learn).unwrap()
    }

    /// Loads the objective of the table `learn`, whose files are in `folder`, and begins a stage with it.
    pub fn load(folder: &Path, learn: &str) -> Result<Self, TrainError> {
        let mut learn: LearnConfig = toml::from_str(learn).unwrap();
        learn.objective().check(StageName::new(0))?;
        learn.objective_mut().paths_mut().into_iter().for_each(|path| *path = folder.join(&*path));
        let memory = folder.join("memory.json");
        let config: serde_json::Value = serde_json::from_slice(&std::fs::read(root("tests/fixtures/tiny/config.json")).unwrap()).unwrap();
        let mut block = config["memory"].clone();
        block["context_template"] = " Reference: {text} Question: {question} Answer:".into();
        std::fs::write(&memory, block.to_string()).unwrap();
        mempack_model::set_threads(1);
        let targets = ["q_proj", "v_proj", "down_proj"].map(str::to_owned).to_vec();
        let learning = Learning::Adapter(AdapterOptions { rank: 2, alpha: 4.0, targets, seed: 5 });
        let load = LoadOptions { memory: Some(memory), ..LoadOptions::default() };
        let trainee = Trainee::load(&root("tests/fixtures/tiny"), &load, &learning)?;
        let embedder = std::env::var_os("MEMPACK_EMBEDDER").map_or_else(|| root("models/all-MiniLM-L6-v2"), PathBuf::from);
        let embedder = Embedder::load(&embedder, &LoadOptions::default())?;
        let size = StageSize { parts: 1, sequences: 3, threads: 1 };
        let context = StageContext {
            model: trainee.model(),
            embedder: Some(&embedder),
            stage: 0,
            seed: 4,
            size,
            cache: folder,
            progress: &NoProgress,
        };
        let objective = learn.objective().load(&context)?;
        let write = learn.objective().write().cloned().unwrap();
        // The first moments are then the gradients of the last step.
        let config = AdamWConfig { beta1: 0.0, clip: 0.0, weight_decay: 0.0, ..AdamWConfig::default() };
        let optimizer = AdamW::new(config, &trainee)?;
        let mut bench = Self { trainee, objective, write, optimizer, path: folder.join("state.safetensors") };
        // B begins as zeros, which no gradient passes.
        let (mut masters, _) = bench.state();
        let mut rng = Rng::from_seed(3);
        for (_, x) in masters.iter_mut().filter(|(name, _)| name.ends_with("lora_B.weight")) {
            *x = random(x, &mut rng) * 0.02;
        }
        bench.set(&masters);
        let start = StageStart { number: 0, steps: 0, run: "run", folder, progress: &NoProgress };
        bench.objective.begin(&bench.trainee, &start)?;
        Ok(bench)
    }

    /// The batch of the first part.
    pub fn batch(&mut self, sequences: usize) -> TrainingBatch {
        self.objective.batch(self.trainee.model(), Part { number: 0, sequences }).unwrap()
    }

    /// The loss on a batch.
    pub fn loss(&self, batch: &TrainingBatch) -> TrainingLoss {
        let references: Vec<&[u32]> = batch.references.iter().map(Vec::as_slice).collect();
        let written = (!references.is_empty()).then(|| self.trainee.write(&references, &self.write.options(0)).unwrap());
        self.objective.loss(&self.trainee, batch, written.as_ref()).unwrap()
    }

    /// The weights and their first moments, by name.
    fn state(&self) -> (Named, Named) {
        self.trainee.write_state(&self.optimizer, &self.path).unwrap();
        let mut all = Tensor::read_safetensors(&self.path).unwrap();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        let which = |wanted: &dyn Fn(&str) -> bool| {
            all.iter().filter(|(name, _)| wanted(name)).map(|(name, x)| (name.clone(), x.shallow_clone())).collect()
        };
        (which(&|name| !name.contains('#')), which(&|name| name.ends_with("#first")))
    }

    fn set(&mut self, masters: &[(String, Tensor)]) {
        let moments = masters.iter().flat_map(|(name, x)| ["first", "second"].map(|which| (format!("{name}#{which}"), x.zeros_like())));
        let all: Vec<(String, Tensor)> = masters.iter().map(|(name, x)| (name.clone(), x.shallow_clone())).chain(moments).collect();
        Tensor::write_safetensors(&all, &self.path).unwrap();
        self.trainee.read_state(&mut self.optimizer, 0, &self.path).unwrap();
    }
}

fn random(like: &Tensor, rng: &mut Rng) -> Tensor {
    let numbers: Vec<f32> = (0..like.numel()).map(|_| (rng.uniform() * 2.0 - 1.0) as f32).collect();
    Tensor::from_slice(&numbers).view_as(like)
}

fn number(x: &Tensor) -> f64 {
    x.double_value(&[])
}

/// Compares the gradient of the objective of the table `learn` with differences, along itself and along a random direction.
fn check(name: &str, folder: &Path, learn: &str) {
    let mut bench = Bench::new(folder, learn);
    let batch = bench.batch(3);
    bench.loss(&batch).backward(1.0).unwrap();
    bench.optimizer.step(&mut bench.trainee, 0.0).unwrap();
    let (masters, gradients) = bench.state();
    let norm = gradients.iter().map(|(_, g)| number(&g.square().sum(None))).sum::<f64>().sqrt();
    assert!(norm > 0.0, "{name}: no gradient");
    let mut rng = Rng::from_seed(9);
    let drawn: Vec<Tensor> = gradients.iter().map(|(_, g)| random(g, &mut rng)).collect();
    let size = drawn.iter().map(|d| number(&d.square().sum(None))).sum::<f64>().sqrt();
    let own = gradients.iter().map(|(_, g)| g / norm).collect();
    for direction in [own, drawn.iter().map(|d| d / size).collect::<Vec<Tensor>>()] {
        let expected: f64 = gradients.iter().zip(&direction).map(|((_, g), d)| number(&(g * d).sum(None))).sum();
        let step = 0.02 / norm;
        let mut at = |step: f64| {
            let moved: Vec<_> = masters.iter().zip(&direction).map(|((name, x), d)| (name.clone(), x + d * step)).collect();
            bench.set(&moved);
            bench.loss(&batch).sum().unwrap()
        };
        let found = (at(step) - at(-step)) / (2.0 * step);
        println!("{name}: derivative {expected}, difference {found}, norm {norm}");
        assert!((found - expected).abs() < TOLERANCE * norm, "{name}: derivative {expected}, difference {found}, norm {norm}");
    }
}

/// The gradient through the selection is none of the loss, so there is no difference to compare it with.
pub(super) const WRITE: &str = "keep = [[0, 128]]";

/// Documents and questions about them.
pub(super) fn files() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (mut corpus, mut questions) = (String::new(), String::new());
    for n in 0..5 {
        let dose = 10 * n + 15;
        corpus += &format!("{{\"id\": \"d{n}\", \"text\": \"Drug number {n} is given at {dose} mg, twice a day, with water.\"}}\n");
        questions += &format!(
            "{{\"id\": \"{n}\", \"question\": \"What is the dose of drug number {n}?\", \"answers\": [\"{dose} mg\"], \"gold_ids\": [\"d{n}\"]}}\n"
        );
    }
    std::fs::write(folder.path().join("corpus.jsonl"), corpus).unwrap();
    std::fs::write(folder.path().join("questions.jsonl"), questions).unwrap();
    folder
}

#[test]
fn repeat() {
    let learn = format!("kind = \"repeat\"\ncorpora = [\"corpus.jsonl\"]\npool = 4\nreads = [1, 3]\nshortest = 4\nwrite = {{ {WRITE} }}\n");
    check("repeat", files().path(), &learn);
}

/// Without the divergence, whose teacher would move with the student: the model's own tests have it.
#[test]
fn distil() {
    let learn = format!(
        "kind = \"distil\"\ndivergence = 0.0\n[ask]\npool = 4\nreads = [2]\nquestions = 1\nlength = 80\nclusters = 2\nwrite = {{ {WRITE} }}\n\
         [[ask.sources]]\ncorpora = [\"corpus.jsonl\"]\nquestions = [\"questions.jsonl\"]\n"
    );
    check("distil", files().path(), &learn);
}

#[test]
fn preferences() {
    let lines: String = (0..5)
        .map(|n| {
            let (chosen, rejected) = (format!("{} mg", 10 * n + 15), format!("{} mg a day", 10 * n + 25));
            let question = format!("What is the dose of drug number {n}?");
            serde_json::json!({"id": n, "question": question, "gold_ids": [format!("d{n}")], "chosen": chosen, "rejected": rejected})
                .to_string()
                + "\n"
        })
        .collect();
    for kind in ["dpo", "length-normalised"] {
        let folder = files();
        std::fs::write(folder.path().join("preferences.jsonl"), &lines).unwrap();
        let learn = format!(
            "kind = \"preferences\"\ncorpora = [\"corpus.jsonl\"]\npreferences = [\"preferences.jsonl\"]\nreads = [2]\nbeta = 0.5\n\
             loss = \"{kind}\"\nwrite = {{ {WRITE} }}\n"
        );
        check(kind, folder.path(), &learn);
    }
}

#[test]
fn chat() {
    let folder = files();
    let messages = |n: u32| {
        serde_json::json!({"messages": [
            {"role": "user", "content": format!("What is drug number {n} for?")}, {"role": "assistant", "content": "I do not know."},
            {"role": "user", "content": "And its dose?"}, {"role": "assistant", "content": format!("It is {} mg.", 10 * n + 15)},
        ]})
        .to_string()
            + "\n"
    };
    std::fs::write(folder.path().join("chat.jsonl"), (0..4).map(messages).collect::<String>()).unwrap();
    let learn = format!(
        "kind = \"chat\"\nconversations = [\"chat.jsonl\"]\nreferences = [\"corpus.jsonl\"]\nreads = 2\nlength = 128\nwrite = {{ {WRITE} }}\n"
    );
    check("chat", folder.path(), &learn);
}
