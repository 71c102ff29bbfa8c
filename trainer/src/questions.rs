//! Questions about references: what a sequence asks, which references it reads, and what is answered.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use mempack_model::training::Sequence;
use mempack_model::{Embedder, Model, prompt_tokens};
use mempack_numeric::Rng;
use mempack_questions::{Question, read_questions};

use crate::batch::{Batch, Order};
use crate::references::{References, embeddings};
use crate::{Progress, TrainError};

/// How sequences are made.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    /// References that a part's sequences share, about.
    pub pool: usize,
    pub reads: Vec<usize>,
    /// Questions of a sequence, at most.
    pub questions: usize,
    /// Tokens of a sequence, at most.
    pub length: usize,
    pub no_answer: String,
    /// Share of the sequences that do not read the reference that answers them.
    pub withheld: f64,
    /// Where the order of questions and what is drawn for sequences begin.
    pub seed: u64,
}

/// One source of a stage.
pub(crate) struct Questions {
    references: References,
    items: Vec<Item>,
    /// Unit vectors of the questions, one after the other.
    queries: Vec<f32>,
    /// Questions of each reference.
    about: Vec<Vec<usize>>,
    order: Order,
    form: Form,
}

/// A question that can be learnt from.
struct Item {
    question: String,
    answer: String,
    /// The reference that answers it; none does for a question without an answer.
    gold: Option<usize>,
}

impl Questions {
    /// The questions in files that the `references` of their documents answer. Their embeddings are kept in the folder `cache`.
    pub fn read(
        files: &[PathBuf],
        references: References,
        embedder: &Embedder,
        stage: usize,
        form: Form,
        cache: &Path,
        progress: &dyn Progress,
    ) -> Result<Self, TrainError> {
        let (mut items, mut holding, mut left_out) = (Vec::new(), Vec::new(), 0);
        {
            let by_document = references.by_document();
            for path in files {
                for question in read_questions(path)? {
                    let golds = question.gold_ids.iter().filter_map(|id| by_document.get(id.as_str())).flatten();
                    match item(&question, golds.copied(), &references, &form.no_answer) {
                        Some((item, golds)) => {
                            items.push(item);
                            holding.push(golds);
                        }
                        None => left_out += 1,
                    }
                }
            }
        }
        if left_out > 0 {
            progress.note(&format!("{left_out} questions are left out: no reference of their documents holds the answer as it is written"));
        }
        if items.is_empty() {
            let what = "no question with its answer in a reference".to_owned();
            return Err(TrainError::NoData {
                stage,
                what,
                remedy: "check gold_ids and answers of the questions against the corpora's ids",
            });
        }
        let texts: Vec<_> = items.iter().map(|item| item.question.as_str()).collect();
        let queries = embeddings("embedding questions", &texts, embedder, cache, progress)?;
        let mut about = vec![Vec::new(); references.items.len()];
        let each = queries.chunks_exact(embedder.dim()).zip(&holding);
        for (number, (item, (query, golds))) in items.iter_mut().zip(each).enumerate() {
            // The words of an answer stand in other parts of its document too: the one most like the question tells it.
            let similarity = |gold: &usize| references.similarity(query, *gold);
            item.gold = golds.iter().copied().max_by(|a, b| similarity(a).total_cmp(&similarity(b)).then(b.cmp(a)));
            if let Some(gold) = item.gold {
                about[gold].push(number);
            }
        }
        Ok(Self { order: Order::new(form.seed, items.len()), references, items, queries, about, form })
    }

    /// The part that begins with the sequence number `first`; it depends on that number alone.
    ///
    /// The first questions bring their references and those that retrieval confuses with them, until the pool is full; the
    /// others ask about what is there.
    pub fn batch(&mut self, model: &Model, first: u64, count: usize) -> Result<Batch, TrainError> {
        let mut rng = Rng::for_stream(self.form.seed ^ 0x5EED, first);
        let most = self.form.reads.iter().copied().max().unwrap_or(1);
        let mut pool: Vec<usize> = Vec::new();
        let mut asked = BTreeSet::new();
        let mut batch = Batch::default();
        for number in first..first + count as u64 {
            let fresh = self.order.at(number);
            let chosen = if pool.len() < self.form.pool { fresh } else { self.of_pool(&pool, &asked, &mut rng).unwrap_or(fresh) };
            asked.insert(chosen);
            let dim = self.queries.len() / self.items.len();
            let query = &self.queries[chosen * dim..(chosen + 1) * dim];
            let gold = self.items[chosen].gold;
            let new = gold.is_none_or(|gold| !pool.contains(&gold));
            if new {
                let near = self.references.nearest(query, most).into_iter().map(|(reference, _)| reference);
                for reference in gold.into_iter().chain(near).take(most) {
                    if !pool.contains(&reference) {
                        pool.push(reference);
                    }
                }
            }
            let reads = rng.pick(&self.form.reads).copied().unwrap_or(most);
            let withheld = gold.filter(|_| self.form.withheld > 0.0 && rng.chance(self.form.withheld));
            let chunk = self.reads(model, query, gold, withheld, &pool, reads);
            let turns = if withheld.is_some() { vec![chosen] } else { self.turns(chosen, gold, &mut rng) };
            batch.sequences.push(self.sequence(model, &turns, withheld.is_some(), chunk)?);
        }
        batch.references = pool.iter().map(|r| self.references.items[*r].ids.clone()).collect();
        Ok(batch)
    }

    /// A question about a reference of the pool that has not been asked yet.
    fn of_pool(&self, pool: &[usize], asked: &BTreeSet<usize>, rng: &mut Rng) -> Option<usize> {
        let open: Vec<usize> = pool.iter().flat_map(|r| &self.about[*r]).filter(|q| !asked.contains(q)).copied().collect();
        rng.pick(&open).copied()
    }

    /// Which references of the pool a sequence reads, by their places there, most similar first: the nearest, as many as their
    /// similarities justify, the gold one among them unless it is withheld.
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

    /// The questions of a sequence: the chosen one, and others about the same reference.
    fn turns(&self, chosen: usize, gold: Option<usize>, rng: &mut Rng) -> Vec<usize> {
        let mut others: Vec<usize> = gold.map(|gold| self.about[gold].clone()).unwrap_or_default();
        others.retain(|other| *other != chosen);
        rng.shuffle(&mut others);
        others.truncate(self.form.questions - 1);
        others.insert(0, chosen);
        others
    }

    fn sequence(&self, model: &Model, turns: &[usize], withheld: bool, chunk: Vec<(usize, f32)>) -> Result<Sequence, TrainError> {
        let mut sequence = Sequence { chunks: vec![chunk], ..Sequence::default() };
        for turn in turns {
            let item = &self.items[*turn];
            let prompt = prompt_tokens(model, &item.question)?.ids;
            let answer = answer_tokens(model, if withheld { &self.form.no_answer } else { &item.answer })?;
            // Another turn begins as the first one does.
            let begin = (!sequence.tokens.is_empty()).then_some(model.config().bos);
            if !sequence.tokens.is_empty() && sequence.tokens.len() + 1 + prompt.len() + answer.len() > self.form.length {
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

/// What can be learnt from a question, and which references of its documents hold the answer; nothing if none does.
fn item(question: &Question, golds: impl Iterator<Item = usize>, references: &References, no_answer: &str) -> Option<(Item, Vec<usize>)> {
    let item = |answer: &str| Item { question: question.question.clone(), answer: answer.to_owned(), gold: None };
    if !question.answerable {
        return Some((item(no_answer), Vec::new()));
    }
    let golds: Vec<usize> = golds.collect();
    question.answers.iter().find_map(|answer| {
        let holding = golds.iter().copied().filter(|gold| references.items[*gold].text.contains(answer.as_str()));
        let holding: Vec<usize> = holding.collect();
        (!holding.is_empty()).then(|| (item(answer), holding))
    })
}

/// Ids of an answer in the form that is learnt: its first letter a capital, a full stop, what ends the model's answers.
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
    // A model whose answers end with a text learns the text, which is the full stop.
    if memory.stop.is_empty() {
        ids.extend(memory.stop_ids.first());
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use mempack_model::LoadOptions;

    use super::*;
    use crate::Silent;

    const REFERENCES: u32 = 6;

    /// Questions about six drugs, of which every sequence reads two.
    fn questions(model: &Model, embedder: &Embedder, withheld: f64) -> Questions {
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
        let references = References::read(model, embedder, &[path("corpus.jsonl")], folder.path(), &Silent).unwrap();
        let form = Form { pool: 4, reads: vec![2], questions: 2, length: 80, no_answer: "Nothing tells.".into(), withheld, seed: 7 };
        Questions::read(&[path("questions.jsonl")], references, embedder, 0, form, folder.path(), &Silent).unwrap()
    }

    /// Of some sequences: whether they read the reference that was asked about, and whether they answer that nothing tells.
    fn read_and_told(questions: &mut Questions, model: &Model) -> Vec<(bool, bool)> {
        let batch = questions.batch(model, 0, 40).unwrap();
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
    fn what_is_withheld_is_not_read_and_the_answer_says_so() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let folder = std::env::var_os("MEMPACK_EMBEDDER").map_or_else(|| root.join("models/all-MiniLM-L6-v2"), PathBuf::from);
        let model = Model::load(&root.join("tests/fixtures/tiny"), &LoadOptions::default()).unwrap();
        let embedder = Embedder::load(&folder, &LoadOptions::default()).unwrap();
        for (share, least, most) in [(0.0, 0, 0), (0.3, 4, 22), (0.99, 37, 40)] {
            let seen = read_and_told(&mut questions(&model, &embedder, share), &model);
            assert_eq!(seen.len(), 40);
            // The reference is read exactly where there is an answer.
            assert!(seen.iter().all(|(read, told)| read != told), "{share}: {seen:?}");
            let told = seen.iter().filter(|(_, told)| *told).count();
            assert!((least..=most).contains(&told), "{share}: {told} of 40");
        }
    }
}
