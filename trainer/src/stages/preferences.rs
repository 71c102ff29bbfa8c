//! Preferences: of two answers to a question, the better one should become more likely than it was, by more than the worse one.

use std::path::{Path, PathBuf};

use mempack_model::training::{Sequence, Tensor, Trainee, TrainingLoss, Written};
use mempack_model::{ComputeError, EmbedAs, Model, prompt_tokens};
use mempack_numeric::Rng;
use mempack_questions::{Preference, read_preferences};
use serde::{Deserialize, Serialize};

use super::{Objective, ObjectiveConfig, Part, StageContext, StageName, StageStart, TrainingBatch};
use crate::config::WriteConfig;
use crate::order::ShuffledOrder;
use crate::references::{Pool, References, embeddings};
use crate::turns::answer_tokens;
use crate::{ConfigError, TrainError};

/// `kind = "preferences"`: pairs of answers to questions about references. Both answers read the same memories. The loss of a pair is that of
/// Direct Preference Optimization (Rafailov et al., arXiv 2305.18290, equation 7). Its reference model is the model as it is when the stage
/// begins; its log-likelihoods are computed then and kept in the run's folder, so that there is no second copy of the weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreferencesConfig {
    /// Corpora of the references, in the formats that `mempack build` reads.
    pub corpora: Vec<PathBuf>,
    /// Files of preferences: `mempack make-questions preferences` makes them.
    pub preferences: Vec<PathBuf>,
    /// How many references a pair reads: one of these numbers, drawn uniformly once for each pair.
    #[serde(default = "default_reads")]
    pub reads: Vec<usize>,
    /// The factor of the difference of log-likelihoods: how far the model may move away from the reference model for a pair. Smaller values
    /// let it move further.
    #[serde(default = "default_beta")]
    pub beta: f64,
    /// What is compared.
    #[serde(default)]
    pub loss: PreferenceLoss,
    /// How references are written. The tokens kept must not change within the stage, as the reference model reads the same memories.
    pub write: WriteConfig,
}

/// What of the answers a [`PreferencesConfig`] compares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PreferenceLoss {
    /// Log-likelihoods of whole answers, which is DPO as published. A longer answer weighs more.
    #[default]
    Dpo,
    /// Log-likelihoods divided by the number of an answer's tokens: length-normalised DPO (Tulu 3, arXiv 2411.15124, section 5.1.2), which
    /// needs a larger `beta`; there it is 5.
    LengthNormalised,
}

fn default_reads() -> Vec<usize> {
    vec![5]
}

fn default_beta() -> f64 {
    0.01
}

impl ObjectiveConfig for PreferencesConfig {
    fn check(&self, stage: StageName) -> Result<(), ConfigError> {
        stage.require("corpora", !self.corpora.is_empty(), "at least one", "none")?;
        stage.require("preferences", !self.preferences.is_empty(), "at least one file", "none")?;
        let reads = !self.reads.is_empty() && self.reads.iter().all(|n| *n > 0);
        stage.require("reads", reads, "numbers of references from 1", format!("{:?}", self.reads))?;
        stage.require("beta", self.beta > 0.0 && self.beta.is_finite(), "a positive number", self.beta)?;
        let steps = self.write.keep.0.len();
        stage.require("write.keep", steps <= 1, "one number of tokens for the whole stage, such as [[0, 8]]", steps)?;
        self.write.check(stage)
    }

    fn paths_mut(&mut self) -> Vec<&mut PathBuf> {
        self.corpora.iter_mut().chain(&mut self.preferences).collect()
    }

    fn write(&self) -> Option<&WriteConfig> {
        Some(&self.write)
    }

    fn load(&self, context: &StageContext<'_>) -> Result<Box<dyn Objective>, TrainError> {
        Ok(Box::new(Preferences::read(context, self)?))
    }
}

/// Pairs with what they read.
struct Preferences {
    config: PreferencesConfig,
    references: References,
    pairs: Vec<Pair>,
    order: ShuffledOrder,
    /// The pairs that the stage learns from.
    used: Vec<usize>,
    /// Log-likelihoods of the answers of each pair under the reference model; of pairs that are not used, 0.
    baseline: Vec<[f32; 2]>,
}

/// A question with two answers, the better first, as tokens, and the references that both read, most similar first.
struct Pair {
    prompt: Vec<u32>,
    answers: [Vec<u32>; 2],
    reads: Vec<(usize, f32)>,
}

/// Pairs whose baseline is computed in one pass.
const PASS: usize = 8;

impl Preferences {
    fn read(context: &StageContext<'_>, config: &PreferencesConfig) -> Result<Self, TrainError> {
        let StageContext { model, cache, progress, .. } = *context;
        let embedder = context.required_embedder()?;
        let references = References::read(model, embedder, &config.corpora, cache, progress)?;
        let mut preferences = Vec::new();
        for path in &config.preferences {
            preferences.extend(read_preferences(path)?.into_iter().map(|preference| (path.as_path(), preference)));
        }
        let texts: Vec<_> = preferences.iter().map(|(_, preference)| preference.question.as_str()).collect();
        let queries = embeddings("embedding questions", EmbedAs::Query, &texts, embedder, cache, progress)?;
        let mut pairs = Vec::with_capacity(preferences.len());
        {
            let by_document = references.by_document();
            for (number, ((path, preference), query)) in preferences.iter().zip(queries.chunks_exact(embedder.dim())).enumerate() {
                let golds = preference.gold_ids.iter().filter_map(|id| by_document.get(id.as_str())).flatten().copied();
                let gold = gold(&references, query, &preference.chosen, golds.collect());
                let count = Rng::for_stream(context.seed ^ 0x9A18, number as u64).pick(&config.reads).copied().unwrap_or(1);
                let near = references.nearest(query, count).into_iter().map(|hit| (hit.reference, hit.similarity));
                let reads = references.with_gold(model, query, near, gold, count);
                pairs.push(Pair { reads, ..pair(model, path, preference)? });
            }
        }
        let mut order = ShuffledOrder::new(context.seed, pairs.len());
        let wanted = context.size.parts.saturating_mul(context.size.sequences as u64).min(pairs.len() as u64);
        let mut used: Vec<usize> = (0..wanted).map(|place| order.at(place)).collect();
        used.sort_unstable();
        let baseline = vec![[0.0; 2]; pairs.len()];
        Ok(Self { config: config.clone(), references, pairs, order, used, baseline })
    }

    /// The batch of some pairs: two sequences each.
    fn of_pairs(&self, pairs: &[usize]) -> TrainingBatch {
        let mut batch = TrainingBatch::default();
        let mut pool = Pool::default();
        for pair in pairs.iter().filter_map(|pair| self.pairs.get(*pair)) {
            let chunk: Vec<_> = pair.reads.iter().map(|(reference, similarity)| (pool.place(*reference), *similarity)).collect();
            for answer in &pair.answers {
                let tokens = [pair.prompt.as_slice(), answer].concat();
                let learnt = (0..tokens.len()).map(|token| token >= pair.prompt.len()).collect();
                batch.sequences.push(Sequence { tokens, learnt, chunks: vec![chunk.clone()] });
            }
        }
        batch.references = pool.ids(&self.references.items);
        batch.baseline = pairs.iter().filter_map(|pair| self.baseline.get(*pair)).flatten().copied().collect();
        batch
    }

    /// The log-likelihoods of the answers of all used pairs, under the model as it is.
    fn likelihoods(&self, trainee: &Trainee, start: &StageStart<'_>) -> Result<Vec<f32>, TrainError> {
        let options = WriteConfig { noise: [0.0; 2], ..self.config.write.clone() }.options(0);
        start.progress.begin("scoring pairs", Some(self.used.len() as u64));
        let mut all = Vec::with_capacity(2 * self.used.len());
        for pairs in self.used.chunks(PASS) {
            let batch = self.of_pairs(pairs);
            let references: Vec<&[u32]> = batch.references.iter().map(Vec::as_slice).collect();
            all.extend(trainee.log_likelihoods(&batch.sequences, &references, &options)?);
            start.progress.advance(pairs.len() as u64);
        }
        Ok(all)
    }

    /// What the kept log-likelihoods depend on beside the weights: the run, the stage and the pairs.
    fn digest(&self, start: &StageStart<'_>) -> blake3::Hash {
        let mut digest = blake3::Hasher::new();
        digest.update(start.run.as_bytes()).update(&start.number.to_le_bytes());
        for pair in self.used.iter().filter_map(|pair| self.pairs.get(*pair)) {
            for ids in [&pair.prompt, &pair.answers[0], &pair.answers[1]] {
                digest.update(&(ids.len() as u64).to_le_bytes());
                for id in ids {
                    digest.update(&id.to_le_bytes());
                }
            }
            for (reference, similarity) in &pair.reads {
                digest.update(&(*reference as u64).to_le_bytes()).update(&similarity.to_le_bytes());
            }
        }
        digest.finalize()
    }
}

impl Objective for Preferences {
    /// Computes the log-likelihoods under the reference model, or reads them if the stage has begun already.
    fn begin(&mut self, trainee: &Trainee, start: &StageStart<'_>) -> Result<(), TrainError> {
        let path = start.folder.join(format!("likelihoods-{}.f32", start.number));
        let digest = self.digest(start);
        let numbers = if start.steps == 0 {
            let numbers = self.likelihoods(trainee, start)?;
            write(&path, &digest, &numbers).map_err(TrainError::io(&path))?;
            numbers
        } else {
            read(&path, &digest, 2 * self.used.len())?
        };
        for (pair, answers) in self.used.iter().zip(numbers.chunks_exact(2)) {
            self.baseline[*pair] = [answers[0], answers[1]];
        }
        Ok(())
    }

    fn batch(&mut self, _: &Model, part: Part) -> Result<TrainingBatch, TrainError> {
        let pairs: Vec<usize> = part.sequence_numbers().map(|number| self.order.at(number)).collect();
        Ok(self.of_pairs(&pairs))
    }

    fn terms(&self, batch: &TrainingBatch) -> usize {
        batch.sequences.len() / 2
    }

    fn loss(&self, trainee: &Trainee, batch: &TrainingBatch, written: Option<&Written>) -> Result<TrainingLoss, ComputeError> {
        let predictions = trainee.model().predict(&batch.sequences, written)?;
        let found = predictions.sequence_log_likelihoods()?;
        let on_device =
            |numbers: &[f32]| -> Result<Tensor, ComputeError> { Ok(Tensor::f_from_slice(numbers)?.f_to_device(found.device())?) };
        let mut gain = found.f_sub(&on_device(&batch.baseline)?)?;
        if self.config.loss == PreferenceLoss::LengthNormalised {
            let tokens = batch.sequences.iter().map(|s| s.learnt.iter().filter(|learnt| **learnt).count() as f32);
            gain = gain.f_div(&on_device(&tokens.collect::<Vec<_>>())?)?;
        }
        let pairs = gain.f_view([-1, 2])?;
        let margins = pairs.f_select(1, 0)?.f_sub(&pairs.f_select(1, 1)?)?;
        let losses = margins.f_mul_scalar(self.config.beta)?.f_log_sigmoid()?.f_neg()?;
        predictions.loss(losses.f_sum(None)?)
    }
}

/// The tokens of a pair, without what it reads.
fn pair(model: &Model, path: &Path, preference: &Preference) -> Result<Pair, TrainError> {
    let line =
        |field, expected: String, found: String| TrainError::Line { path: path.to_owned(), line: preference.line, field, expected, found };
    let prompt = prompt_tokens(model, &preference.question)?.ids;
    let answers = [answer_tokens(model, &preference.chosen)?, answer_tokens(model, &preference.rejected)?];
    if answers[0] == answers[1] {
        let expected = "an answer that differs from `chosen` in more than its first letter and its full stop".to_owned();
        return Err(line("rejected", expected, format!("`{}`", preference.rejected)));
    }
    if let Some(max) = crate::turns::room(model) {
        let fields =
            [("question", prompt.len() + 1), ("chosen", prompt.len() + answers[0].len()), ("rejected", prompt.len() + answers[1].len())];
        for (field, tokens) in fields {
            if tokens > max {
                let expected = format!("a prompt with its answer of at most {max} tokens, which is the model's context");
                return Err(line(field, expected, format!("{tokens} tokens or more")));
            }
        }
    }
    Ok(Pair { prompt, answers, reads: Vec::new() })
}

/// The reference of the gold documents that a pair is about: of those that contain the better answer, or of all if none does, the one most
/// similar to the question.
fn gold(references: &References, query: &[f32], chosen: &str, golds: Vec<usize>) -> Option<usize> {
    let containing: Vec<usize> = golds.iter().copied().filter(|gold| references.items[*gold].text.contains(chosen.trim())).collect();
    let candidates = if containing.is_empty() { golds } else { containing };
    let similarity = |gold: &usize| references.similarity(query, *gold);
    candidates.into_iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b)).then(b.cmp(a)))
}

fn write(path: &Path, digest: &blake3::Hash, numbers: &[f32]) -> std::io::Result<()> {
    let mut bytes = digest.as_bytes().to_vec();
    bytes.extend(numbers.iter().flat_map(|x| x.to_le_bytes()));
    let part = path.with_extension("part");
    std::fs::write(&part, bytes)?;
    std::fs::File::open(&part)?.sync_all()?;
    std::fs::rename(&part, path)
}

/// Reads the log-likelihoods that were written when the stage began.
fn read(path: &Path, digest: &blake3::Hash, count: usize) -> Result<Vec<f32>, TrainError> {
    let wrong = |found: &str| TrainError::Checkpoint {
        path: path.to_owned(),
        part: "log-likelihoods of the model before the stage".into(),
        expected: format!("{count} numbers for the pairs of this run"),
        found: found.into(),
    };
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(wrong("no file")),
        Err(error) => return Err(TrainError::io(path)(error)),
    };
    match bytes.split_at_checked(digest.as_bytes().len()) {
        Some((head, floats)) if head == digest.as_bytes() && floats.len() == 4 * count => {
            Ok(floats.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
        }
        Some((head, _)) if head != digest.as_bytes() => Err(wrong("those of other pairs or another run")),
        _ => Err(wrong("a file of another length")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::gradients::{Bench, WRITE, files};

    const PREFERENCES: &str = r#"{"id": "1", "question": "What is the dose of drug number 1?", "gold_ids": ["d1"], "chosen": "25 mg", "rejected": "35 mg of it"}
{"id": "2", "question": "What is the dose of drug number 2?", "gold_ids": [], "chosen": "35 mg", "rejected": "The references do not tell."}
"#;

    fn learn(folder: &Path, lines: &str, fields: &str) -> String {
        std::fs::write(folder.join("preferences.jsonl"), lines).unwrap();
        format!(
            "kind = \"preferences\"\ncorpora = [\"corpus.jsonl\"]\npreferences = [\"preferences.jsonl\"]\nreads = [2]\n{fields}\nwrite = {{ {WRITE} }}\n"
        )
    }

    #[test]
    fn losses_are_those_of_the_papers() {
        for (kind, beta) in [("dpo", 0.3f64), ("length-normalised", 2.0)] {
            let folder = files();
            let mut bench = Bench::new(folder.path(), &learn(folder.path(), PREFERENCES, &format!("loss = \"{kind}\"\nbeta = {beta}")));
            let mut batch = bench.batch(2);
            assert_eq!((batch.sequences.len(), bench.objective.terms(&batch)), (4, 2));
            // Each pair reads two references, both answers the same.
            assert!(batch.sequences.chunks(2).all(|pair| pair[0].chunks == pair[1].chunks && pair[0].chunks[0].len() == 2));
            let references: Vec<&[u32]> = batch.references.iter().map(Vec::as_slice).collect();
            let options = bench.write.options(0);
            let found = bench.trainee.log_likelihoods(&batch.sequences, &references, &options).unwrap();
            // Before the first step, the model is its own reference model.
            assert!(batch.baseline.iter().zip(&found).all(|(a, b)| (a - b).abs() < 1e-3), "{:?} {found:?}", batch.baseline);
            let tokens = |at: usize| batch.sequences[at].learnt.iter().filter(|learnt| **learnt).count() as f64;
            let baseline = [-9.0, -7.5, -3.0, -11.0];
            let gain = |at: usize| {
                let gain = f64::from(found[at]) - f64::from(baseline[at]);
                if kind == "dpo" { gain } else { gain / tokens(at) }
            };
            let expected: f64 = [0, 2].iter().map(|at| (1.0 + (-beta * (gain(*at) - gain(at + 1))).exp()).ln()).sum();
            batch.baseline = baseline.to_vec();
            let loss = bench.loss(&batch).sum().unwrap();
            assert!((loss - expected).abs() < 1e-4 * expected.max(1.0), "{kind}: {loss} {expected}");
        }
    }

    #[test]
    fn pairs_that_cannot_be_learnt_from_are_named() {
        let long = "word ".repeat(3000);
        let line = |question: &str, chosen: &str, rejected: &str| {
            serde_json::json!({"id": "3", "question": question, "chosen": chosen, "rejected": rejected}).to_string()
        };
        let cases = [
            (line("Which?", "20 mg", "20 mg."), "field `rejected`: expected an answer that differs from `chosen`"),
            (line("Which?", "water", "Water"), "field `rejected`: expected an answer that differs from `chosen`"),
            (line(&long, "a", "b"), "field `question`: expected a prompt with its answer of at most 1917 tokens"),
            (line("Which?", &long, "b"), "field `chosen`: expected a prompt"),
            (line("Which?", "a", &long), "field `rejected`: expected a prompt"),
            (line("Which?", "a", " a"), "the field `rejected` is the text of `chosen`"),
            (line("Which?", "", "a"), "the field `chosen` is an empty string"),
        ];
        for (line, expected) in cases {
            let folder = files();
            let learn = learn(folder.path(), &format!("{PREFERENCES}{line}\n"), "");
            let error = Bench::load(folder.path(), &learn).err().unwrap().to_string();
            assert!(error.contains("preferences.jsonl, line 3: ") && error.contains(expected), "{error} / {expected}");
        }
    }

    #[test]
    fn the_likelihoods_of_another_run_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("likelihoods-0.f32");
        let [own, other] = ["own", "other"].map(|text| blake3::hash(text.as_bytes()));
        let numbers = [-1.5, f32::NAN, -0.1];
        let refused = |digest, count| read(&path, digest, count).unwrap_err().to_string();
        assert!(refused(&own, 3).contains("likelihoods-0.f32: log-likelihoods of the model before the stage: expected 3 numbers"));
        write(&path, &own, &numbers).unwrap();
        let bits = |numbers: &[f32]| numbers.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&read(&path, &own, 3).unwrap()), bits(&numbers));
        assert!(refused(&own, 2).contains("a file of another length"));
        assert!(refused(&other, 3).contains("those of other pairs or another run"));
        std::fs::write(&path, b"short").unwrap();
        assert!(refused(&own, 3).contains("a file of another length"));
    }
}
