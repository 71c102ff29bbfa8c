//! Questions about references: what a sequence asks, which references it reads, and what it answers.

use std::collections::BTreeSet;
use std::path::PathBuf;

use mempack_model::training::Sequence;
use mempack_model::{EmbedAs, Model, prompt_tokens};
use mempack_numeric::Rng;
use mempack_questions::{Question, read_questions};
use serde::{Deserialize, Serialize};

use super::{Objective, ObjectiveConfig, Part, StageContext, StageName, TrainingBatch};
use crate::config::WriteConfig;
use crate::order::ShuffledOrder;
use crate::references::{References, embeddings};
use crate::{ConfigError, TrainError};

/// `kind = "questions"`: questions about references. The loss is on the answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuestionsConfig {
    /// Where references and questions come from. Each part of a step draws one source.
    pub sources: Vec<QuestionSource>,
    /// References that the sequences of a part share.
    pub pool: usize,
    /// How many references a sequence reads: one of these numbers, drawn uniformly.
    pub reads: Vec<usize>,
    /// The maximum number of questions in a sequence.
    pub questions: usize,
    /// The maximum number of tokens in a sequence. A first question that is longer stays whole.
    pub length: usize,
    /// The answer where no reference contains one.
    #[serde(default = "default_no_answer")]
    pub no_answer: String,
    /// The share of sequences whose reference is withheld: they read references that retrieval confuses with it, and the answer is
    /// `no_answer`.
    #[serde(default)]
    pub withheld: f64,
    /// How references are written.
    pub write: WriteConfig,
}

/// References with questions about them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuestionSource {
    /// Corpora, in the formats that `mempack build` reads.
    pub corpora: Vec<PathBuf>,
    /// Files of questions.
    pub questions: Vec<PathBuf>,
    /// How often a part draws this source, relative to the others.
    #[serde(default = "default_weight")]
    pub weight: f64,
}

fn default_no_answer() -> String {
    "The references do not tell.".to_owned()
}

fn default_weight() -> f64 {
    1.0
}

impl ObjectiveConfig for QuestionsConfig {
    fn check(&self, stage: StageName) -> Result<(), ConfigError> {
        stage.require("sources", !self.sources.is_empty(), "at least one", "none")?;
        let weights = self.sources.iter().all(|s| s.weight > 0.0 && s.weight.is_finite());
        stage.require("sources.weight", weights, "positive numbers", "another")?;
        let reads = !self.reads.is_empty() && self.reads.iter().all(|n| *n > 0);
        stage.require("reads", reads, "numbers of references from 1", format!("{:?}", self.reads))?;
        let max = self.reads.iter().copied().max().unwrap_or_default();
        stage.require("pool", self.pool >= max, "as many references as a sequence reads", self.pool)?;
        stage.require("questions", self.questions > 0, "at least 1", self.questions)?;
        stage.require("withheld", (0.0..1.0).contains(&self.withheld), "a share from 0 to below 1", self.withheld)?;
        stage.require("length", self.length > 1, "at least 2 tokens", self.length)?;
        self.write.check(stage)
    }

    fn paths_mut(&mut self) -> Vec<&mut PathBuf> {
        self.sources.iter_mut().flat_map(|source| source.corpora.iter_mut().chain(&mut source.questions)).collect()
    }

    fn write(&self) -> Option<&WriteConfig> {
        Some(&self.write)
    }

    fn load(&self, context: &StageContext<'_>) -> Result<Box<dyn Objective>, TrainError> {
        let sources = self.sources.iter().enumerate().map(|(place, source)| {
            let seed = context.seed.rotate_left(place as u32 + 1);
            Ok((SourceData::read(context, self, source, seed)?, source.weight))
        });
        Ok(Box::new(Sources { sources: sources.collect::<Result<_, TrainError>>()?, seed: context.seed }))
    }
}

/// The sources of a stage with their weights.
struct Sources {
    sources: Vec<(SourceData, f64)>,
    seed: u64,
}

impl Objective for Sources {
    fn batch(&mut self, model: &Model, part: Part) -> Result<TrainingBatch, TrainError> {
        let chosen = draw_source(&self.sources, &mut Rng::for_stream(self.seed, part.number));
        match self.sources.get_mut(chosen) {
            Some((source, _)) => Ok(TrainingBatch { source: chosen, ..source.batch(model, part)? }),
            None => Ok(TrainingBatch::default()),
        }
    }
}

/// Draws a source by weight.
fn draw_source(sources: &[(SourceData, f64)], rng: &mut Rng) -> usize {
    let total: f64 = sources.iter().map(|(_, weight)| weight).sum();
    let mut left = rng.uniform() * total;
    for (place, (_, weight)) in sources.iter().enumerate() {
        left -= weight;
        if left < 0.0 {
            return place;
        }
    }
    sources.len().saturating_sub(1)
}

/// The references and questions of one source.
struct SourceData {
    config: QuestionsConfig,
    references: References,
    items: Vec<QuestionItem>,
    /// Unit vectors of the questions, one after the other.
    queries: Vec<f32>,
    /// Indices of the questions about each reference.
    about: Vec<Vec<usize>>,
    order: ShuffledOrder,
    /// The seed of what is drawn for sequences.
    seed: u64,
}

/// A question that can be learnt from.
struct QuestionItem {
    question: String,
    answer: String,
    /// The reference that answers it; `None` for a question without an answer.
    gold: Option<usize>,
}

impl SourceData {
    /// Reads the questions of a source that references of their documents answer.
    fn read(context: &StageContext<'_>, config: &QuestionsConfig, source: &QuestionSource, seed: u64) -> Result<Self, TrainError> {
        let StageContext { model, cache, progress, .. } = *context;
        let embedder = context.required_embedder()?;
        let references = References::read(model, embedder, &source.corpora, cache, progress)?;
        let (mut items, mut candidates, mut left_out) = (Vec::new(), Vec::new(), 0);
        {
            let by_document = references.by_document();
            for path in &source.questions {
                for question in read_questions(path)? {
                    let golds = question.gold_ids.iter().filter_map(|id| by_document.get(id.as_str())).flatten();
                    match question_item(&question, golds.copied(), &references, &config.no_answer) {
                        Some((item, golds)) => {
                            items.push(item);
                            candidates.push(golds);
                        }
                        None => left_out += 1,
                    }
                }
            }
        }
        if left_out > 0 {
            progress.note(&format!("{left_out} questions are left out: no reference of their documents contains the answer word for word"));
        }
        if items.is_empty() {
            let remedy = "check gold_ids and answers of the questions against the corpora's ids";
            return Err(context.no_data("no question with its answer in a reference", remedy));
        }
        let texts: Vec<_> = items.iter().map(|item| item.question.as_str()).collect();
        let queries = embeddings("embedding questions", EmbedAs::Query, &texts, embedder, cache, progress)?;
        let mut about = vec![Vec::new(); references.items.len()];
        let each = queries.chunks_exact(embedder.dim()).zip(&candidates);
        for (number, (item, (query, golds))) in items.iter_mut().zip(each).enumerate() {
            // Several references of a document may contain the words of the answer; the one most similar to the question counts.
            let similarity = |gold: &usize| references.similarity(query, *gold);
            item.gold = golds.iter().copied().max_by(|a, b| similarity(a).total_cmp(&similarity(b)).then(b.cmp(a)));
            if let Some(gold) = item.gold {
                about[gold].push(number);
            }
        }
        let order = ShuffledOrder::new(seed, items.len());
        Ok(Self { config: config.clone(), references, items, queries, about, order, seed })
    }

    /// The first questions add their references, and those that retrieval confuses with them, to the pool until it is full. The other
    /// questions ask about references of the pool.
    fn batch(&mut self, model: &Model, part: Part) -> Result<TrainingBatch, TrainError> {
        let numbers = part.sequence_numbers();
        let mut rng = Rng::for_stream(self.seed ^ 0x5EED, numbers.start);
        let max_reads = self.config.reads.iter().copied().max().unwrap_or(1);
        let mut pool: Vec<usize> = Vec::new();
        let mut asked = BTreeSet::new();
        let mut batch = TrainingBatch::default();
        for number in numbers {
            let next = self.order.at(number);
            let chosen = if pool.len() < self.config.pool { next } else { self.about_pool(&pool, &asked, &mut rng).unwrap_or(next) };
            asked.insert(chosen);
            let dim = self.queries.len() / self.items.len();
            let query = &self.queries[chosen * dim..(chosen + 1) * dim];
            let gold = self.items[chosen].gold;
            if gold.is_none_or(|gold| !pool.contains(&gold)) {
                let near = self.references.nearest(query, max_reads).into_iter().map(|hit| hit.reference);
                for reference in gold.into_iter().chain(near).take(max_reads) {
                    if !pool.contains(&reference) {
                        pool.push(reference);
                    }
                }
            }
            let reads = rng.pick(&self.config.reads).copied().unwrap_or(max_reads);
            let withheld = gold.filter(|_| self.config.withheld > 0.0 && rng.chance(self.config.withheld));
            let chunk = self.reads(model, query, gold, withheld, &pool, reads);
            let turns = if withheld.is_some() { vec![chosen] } else { self.turns(chosen, gold, &mut rng) };
            batch.sequences.push(self.sequence(model, &turns, withheld.is_some(), chunk)?);
        }
        batch.references = pool.iter().map(|r| self.references.items[*r].ids.clone()).collect();
        Ok(batch)
    }

    /// A question about a reference of the pool that has not been asked in this batch.
    fn about_pool(&self, pool: &[usize], asked: &BTreeSet<usize>, rng: &mut Rng) -> Option<usize> {
        let open: Vec<usize> = pool.iter().flat_map(|r| &self.about[*r]).filter(|q| !asked.contains(q)).copied().collect();
        rng.pick(&open).copied()
    }

    /// The references that a sequence reads, as places in the pool with similarities, most similar first: the nearest ones, as many as
    /// their similarities justify, including the gold one unless it is withheld.
    fn reads(
        &self,
        model: &Model,
        query: &[f32],
        gold: Option<usize>,
        withheld: Option<usize>,
        pool: &[usize],
        count: usize,
    ) -> Vec<(usize, f32)> {
        let open = pool.iter().enumerate().filter(|(_, reference)| Some(**reference) != withheld);
        let mut near: Vec<_> = open.map(|(place, r)| (place, self.references.similarity(query, *r))).collect();
        near.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let count = model.memory().justified(near.iter().take(count).map(|(_, similarity)| *similarity));
        if let Some(at) = gold.and_then(|gold| near.iter().position(|(place, _)| pool[*place] == gold)).filter(|at| *at >= count) {
            near.swap(at, count - 1);
        }
        near.truncate(count);
        near
    }

    /// The questions of a sequence: the chosen one, then others about the same reference.
    fn turns(&self, chosen: usize, gold: Option<usize>, rng: &mut Rng) -> Vec<usize> {
        let mut others: Vec<usize> = gold.map(|gold| self.about[gold].clone()).unwrap_or_default();
        others.retain(|other| *other != chosen);
        rng.shuffle(&mut others);
        others.truncate(self.config.questions - 1);
        others.insert(0, chosen);
        others
    }

    fn sequence(&self, model: &Model, turns: &[usize], withheld: bool, chunk: Vec<(usize, f32)>) -> Result<Sequence, TrainError> {
        let mut sequence = Sequence { chunks: vec![chunk], ..Sequence::default() };
        for turn in turns {
            let item = &self.items[*turn];
            let prompt = prompt_tokens(model, &item.question)?.ids;
            let answer = answer_tokens(model, if withheld { &self.config.no_answer } else { &item.answer })?;
            // Each further turn begins with the BOS, which the model puts before the first one.
            let begin = (!sequence.tokens.is_empty()).then_some(model.config().bos);
            if !sequence.tokens.is_empty() && sequence.tokens.len() + 1 + prompt.len() + answer.len() > self.config.length {
                break;
            }
            sequence.tokens.extend(begin.into_iter().chain(prompt));
            sequence.learnt.resize(sequence.tokens.len(), false);
            sequence.tokens.extend(answer);
            sequence.learnt.resize(sequence.tokens.len(), true);
        }
        Ok(sequence)
    }
}

/// What can be learnt from a question, and the references among `golds` that contain its answer; `None` if none does.
fn question_item(
    question: &Question,
    golds: impl Iterator<Item = usize>,
    references: &References,
    no_answer: &str,
) -> Option<(QuestionItem, Vec<usize>)> {
    let item = |answer: &str| QuestionItem { question: question.question.clone(), answer: answer.to_owned(), gold: None };
    if !question.answerable {
        return Some((item(no_answer), Vec::new()));
    }
    let golds: Vec<usize> = golds.collect();
    question.answers.iter().find_map(|answer| {
        let containing = golds.iter().copied().filter(|gold| references.items[*gold].text.contains(answer.as_str()));
        let containing: Vec<usize> = containing.collect();
        (!containing.is_empty()).then(|| (item(answer), containing))
    })
}

/// Token ids of an answer in the form that is learnt: with a capital, a full stop, and the model's end of an answer.
fn answer_tokens(model: &Model, answer: &str) -> Result<Vec<u32>, TrainError> {
    let memory = model.memory();
    let mut letters = answer.trim().chars();
    let mut text: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    if !text.ends_with(['.', '!', '?', '。', '！', '？']) {
        text.push('.');
    }
    if !memory.prompt_template.ends_with(char::is_whitespace) {
        text.insert(0, ' ');
    }
    let mut ids = model.tokenizer().encode_plain(&text)?;
    // A model that stops at a text learns that text, which is the full stop; others learn a stop token.
    if memory.stop.is_empty() {
        ids.extend(memory.stop_ids.first());
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use mempack_model::{Embedder, LoadOptions};

    use super::*;
    use crate::{Keep, KeepSchedule, NoProgress};

    const REFERENCES: u32 = 6;

    /// Questions about six drugs; every sequence reads two references.
    fn questions(model: &Model, embedder: &Embedder, withheld: f64) -> SourceData {
        let folder = tempfile::tempdir().unwrap();
        let (mut corpus, mut asked) = (String::new(), String::new());
        for n in 0..REFERENCES {
            let dose = 10 * n + 15;
            corpus += &format!("{{\"id\": \"d{n}\", \"text\": \"Drug number {n} is given at {dose} mg.\"}}\n");
            asked += &format!(
                "{{\"id\": \"q{n}\", \"question\": \"What is the dose of drug number {n}?\", \"answers\": [\"{dose} mg\"], \"gold_ids\": [\"d{n}\"]}}\n"
            );
        }
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("corpus.jsonl"), corpus).unwrap();
        std::fs::write(path("questions.jsonl"), asked).unwrap();
        let source = QuestionSource { corpora: vec![path("corpus.jsonl")], questions: vec![path("questions.jsonl")], weight: 1.0 };
        let config = QuestionsConfig {
            sources: Vec::new(),
            pool: 4,
            reads: vec![2],
            questions: 2,
            length: 80,
            no_answer: "Nothing tells.".into(),
            withheld,
            write: WriteConfig { keep: KeepSchedule(vec![(0, Keep::Tokens(8))]), selection_gradient: false, noise: [0.0; 2] },
        };
        let embedder = Some(embedder);
        let context = StageContext { model, embedder, stage: 0, seed: 7, cache: folder.path(), progress: &NoProgress };
        SourceData::read(&context, &config, &source, context.seed).unwrap()
    }

    /// For 40 sequences: whether each reads the reference that it asks about, and whether it gives the answer of withheld ones.
    fn read_and_unanswered(questions: &mut SourceData, model: &Model) -> Vec<(bool, bool)> {
        let batch = questions.batch(model, Part { number: 0, sequences: 40 }).unwrap();
        let text = |ids: &[u32]| model.tokenizer().decode(ids).unwrap();
        let of = |sequence: &Sequence| {
            let all = text(&sequence.tokens);
            let number = all.split("drug number ").nth(1).unwrap().chars().next().unwrap();
            let gold = format!("Drug number {number} ");
            let read = sequence.chunks[0].iter().any(|(place, _)| text(&batch.references[*place]).contains(&gold));
            (read, all.contains("Nothing tells."))
        };
        batch.sequences.iter().map(of).collect()
    }

    #[test]
    fn a_withheld_reference_is_not_read_and_the_answer_says_so() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let folder = std::env::var_os("MEMPACK_EMBEDDER").map_or_else(|| root.join("models/all-MiniLM-L6-v2"), PathBuf::from);
        let model = Model::load(&root.join("tests/fixtures/tiny"), &LoadOptions::default()).unwrap();
        let embedder = Embedder::load(&folder, &LoadOptions::default()).unwrap();
        for (share, min, max) in [(0.0, 0, 0), (0.3, 4, 22), (0.99, 37, 40)] {
            let seen = read_and_unanswered(&mut questions(&model, &embedder, share), &model);
            assert_eq!(seen.len(), 40);
            // The reference is read if and only if there is an answer.
            assert!(seen.iter().all(|(read, unanswered)| read != unanswered), "{share}: {seen:?}");
            let unanswered = seen.iter().filter(|(_, unanswered)| *unanswered).count();
            assert!((min..=max).contains(&unanswered), "{share}: {unanswered} of 40");
        }
    }
}
