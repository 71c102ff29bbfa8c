//! Gradients of objectives against central finite differences, on the tiny model with an adapter.

use std::path::{Path, PathBuf};

use mempack_model::training::{AdamW, AdamWConfig, AdapterOptions, Learning, Tensor, Trainee, TrainingLoss, Written};
use mempack_model::{Embedder, LoadOptions};
use mempack_numeric::Rng;

use super::{LearnConfig, Objective, Part, StageContext, StageSize, TrainingBatch};
use crate::NoProgress;
use crate::config::WriteConfig;

/// How far a derivative may lie from the difference, as a share of the gradient's norm.
const TOLERANCE: f64 = 1e-2;

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// A model with an adapter, whose state is changed through its file.
struct Changing {
    trainee: Trainee,
    optimizer: AdamW,
    path: PathBuf,
}

impl Changing {
    fn new(folder: &Path) -> Self {
        let memory = folder.join("memory.json");
        let config: serde_json::Value = serde_json::from_slice(&std::fs::read(root("tests/fixtures/tiny/config.json")).unwrap()).unwrap();
        let mut block = config["memory"].clone();
        block["context_template"] = " Reference: {text} Question: {question} Answer:".into();
        std::fs::write(&memory, block.to_string()).unwrap();
        mempack_model::set_threads(1);
        let targets = ["q_proj", "v_proj", "down_proj"].map(str::to_owned).to_vec();
        let learning = Learning::Adapter(AdapterOptions { rank: 2, alpha: 4.0, targets, seed: 5 });
        let load = LoadOptions { memory: Some(memory), ..LoadOptions::default() };
        let trainee = Trainee::load(&root("tests/fixtures/tiny"), &load, &learning).unwrap();
        // The first moments are then the gradients of the last step.
        let config = AdamWConfig { beta1: 0.0, clip: 0.0, weight_decay: 0.0, ..AdamWConfig::default() };
        let optimizer = AdamW::new(config, &trainee).unwrap();
        let mut changing = Self { trainee, optimizer, path: folder.join("state.safetensors") };
        // B begins as zeros, which no gradient passes.
        let (masters, _) = changing.state();
        let mut rng = Rng::from_seed(3);
        let filled = masters
            .into_iter()
            .map(|(name, x)| if name.ends_with("lora_B.weight") { (name, random(&x, &mut rng) * 0.02) } else { (name, x) });
        changing.set(&filled.collect::<Vec<_>>());
        changing
    }

    /// The weights and their first moments, by name.
    fn state(&self) -> (Vec<(String, Tensor)>, Vec<(String, Tensor)>) {
        self.trainee.write_state(&self.optimizer, &self.path).unwrap();
        let mut all = Tensor::read_safetensors(&self.path).unwrap();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        let masters = all.iter().filter(|(name, _)| !name.contains('#')).map(|(name, x)| (name.clone(), x.shallow_clone()));
        let first = all.iter().filter(|(name, _)| name.ends_with("#first")).map(|(name, x)| (name.clone(), x.shallow_clone()));
        (masters.collect(), first.collect())
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

/// The loss on a batch, with all tokens of references kept: a selection would make the loss jump.
fn loss(objective: &dyn Objective, trainee: &Trainee, batch: &TrainingBatch, write: Option<&WriteConfig>) -> TrainingLoss {
    let references: Vec<&[u32]> = batch.references.iter().map(Vec::as_slice).collect();
    let written: Option<Written> =
        write.filter(|_| !references.is_empty()).map(|write| trainee.write(&references, &write.options(0)).unwrap());
    objective.loss(trainee, batch, written.as_ref()).unwrap()
}

/// Loads the objective of the table `learn`, whose files are in `folder`, and compares its gradient with differences along itself and
/// along a random direction.
fn check(name: &str, folder: &Path, learn: &str) {
    let mut learn: LearnConfig = toml::from_str(learn).unwrap();
    learn.objective_mut().paths_mut().into_iter().for_each(|path| *path = folder.join(&*path));
    let mut changing = Changing::new(folder);
    let embedder = std::env::var_os("MEMPACK_EMBEDDER").map_or_else(|| root("models/all-MiniLM-L6-v2"), PathBuf::from);
    let embedder = Embedder::load(&embedder, &LoadOptions::default()).unwrap();
    let (write, model) = (learn.objective().write(), changing.trainee.model());
    let size = StageSize { parts: 1, sequences: 3, threads: 1 };
    let context = StageContext { model, embedder: Some(&embedder), stage: 0, seed: 4, size, cache: folder, progress: &NoProgress };
    let mut objective = learn.objective().load(&context).unwrap();
    let batch = objective.batch(model, Part { number: 0, sequences: 3 }).unwrap();
    loss(objective.as_ref(), &changing.trainee, &batch, write).backward(1.0).unwrap();
    changing.optimizer.step(&mut changing.trainee, 0.0).unwrap();
    let (masters, gradients) = changing.state();
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
            changing.set(&moved);
            loss(objective.as_ref(), &changing.trainee, &batch, write).sum().unwrap()
        };
        let found = (at(step) - at(-step)) / (2.0 * step);
        println!("{name}: derivative {expected}, difference {found}, norm {norm}");
        assert!((found - expected).abs() < TOLERANCE * norm, "{name}: derivative {expected}, difference {found}, norm {norm}");
    }
}

/// The gradient through the selection is none of the loss, so there is no difference to compare it with.
const WRITE: &str = "keep = [[0, 128]]";

/// Documents and questions about them.
fn files() -> tempfile::TempDir {
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
