//! A source of questions: its references, and the tokens of what is asked and answered.

use mempack_model::training::Sequence;
use mempack_model::{EmbedAs, Model, context_tokens, prompt_tokens};
use mempack_questions::{Question, read_questions};

use super::config::{QuestionSource, QuestionsConfig};
use crate::TrainError;
use crate::references::{References, embeddings};
use crate::stages::{StageContext, TrainingBatch};
use crate::turns::answer_tokens;

/// The references and questions of one source.
pub(super) struct SourceData {
    pub config: QuestionsConfig,
    pub references: References,
    pub items: Vec<QuestionItem>,
    /// Unit vectors of the questions, one after the other.
    pub queries: Vec<f32>,
    /// Indices of the questions about each reference.
    pub about: Vec<Vec<usize>>,
    /// The seed of what is drawn for sequences.
    pub seed: u64,
    /// Whether each sequence comes with the prompt that holds its text.
    pub prompts: bool,
}

/// A question that can be learnt from.
pub(super) struct QuestionItem {
    question: String,
    answer: String,
    /// All accepted answers.
    accepted: Vec<String>,
    /// The reference that answers it; `None` for a question without an answer.
    pub gold: Option<usize>,
}

impl SourceData {
    /// Reads the questions of a source that references of their documents answer.
    pub fn read(context: &StageContext<'_>, config: &QuestionsConfig, source: &QuestionSource, seed: u64) -> Result<Self, TrainError> {
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
        Ok(Self { config: config.clone(), references, items, queries, about, seed, prompts: false })
    }

    /// The unit vector of a question.
    pub fn query(&self, question: usize) -> &[f32] {
        let dim = self.queries.len() / self.items.len();
        &self.queries[question * dim..(question + 1) * dim]
    }

    /// Whether a reference may be read where the one that answers a question is withheld: it contains no accepted answer word for word.
    pub fn may_be_read_instead(&self, question: usize, reference: usize) -> bool {
        let (item, text) = (&self.items[question], &self.references.items[reference].text);
        item.gold != Some(reference) && !item.accepted.iter().any(|answer| text.contains(answer.as_str()))
    }

    /// Adds a sequence that asks the questions `turns`, of which the first counts, and reads `chunk`.
    pub fn push(
        &self,
        model: &Model,
        batch: &mut TrainingBatch,
        turns: &[usize],
        withheld: bool,
        chunk: Vec<(usize, f32)>,
    ) -> Result<(), TrainError> {
        let tokens = turns.iter().map(|turn| self.turn(model, *turn, withheld)).collect::<Result<Vec<_>, _>>()?;
        // Further turns are left out from the first that is too long.
        let length = |turns: &[Turn]| turns.iter().map(|turn| turn.prompt.len() + turn.answer.len()).sum::<usize>() + turns.len() - 1;
        let fitting = (1..=tokens.len()).take_while(|count| *count == 1 || length(&tokens[..*count]) <= self.config.length).last();
        let tokens = &tokens[..fitting.unwrap_or_default()];
        batch.sequences.push(Sequence { chunks: vec![chunk], ..sequence(model, tokens) });
        if self.prompts {
            let gold = turns.first().and_then(|first| self.items[*first].gold).filter(|_| !withheld);
            let prompt = match (gold, turns.first()) {
                (Some(gold), Some(first)) => {
                    let text = &self.references.items[gold].text;
                    context_tokens(model, text, &self.items[*first].question)?.map(|prompt| sequence_with(model, tokens, &prompt.ids))
                }
                _ => None,
            };
            batch.prompts.push(prompt);
        }
        Ok(())
    }

    fn turn(&self, model: &Model, question: usize, withheld: bool) -> Result<Turn, TrainError> {
        let item = &self.items[question];
        let answer = if withheld { &self.config.no_answer } else { &item.answer };
        Ok(Turn { prompt: prompt_tokens(model, &item.question)?.ids, answer: answer_tokens(model, answer)? })
    }
}

/// The tokens of a question and its answer.
struct Turn {
    prompt: Vec<u32>,
    answer: Vec<u32>,
}

/// The tokens of some turns, of which the answers are learnt. Each further turn begins with the BOS, which the model puts before the first.
fn sequence(model: &Model, turns: &[Turn]) -> Sequence {
    turns.first().map(|first| sequence_with(model, turns, &first.prompt)).unwrap_or_default()
}

/// As [`sequence`], with another prompt in the first turn.
fn sequence_with(model: &Model, turns: &[Turn], first: &[u32]) -> Sequence {
    let mut sequence = Sequence::default();
    for (number, turn) in turns.iter().enumerate() {
        let begin = (number > 0).then_some(model.config().bos);
        let prompt = if number == 0 { first } else { &turn.prompt };
        sequence.tokens.extend(begin.iter().chain(prompt));
        sequence.learnt.resize(sequence.tokens.len(), false);
        sequence.tokens.extend(&turn.answer);
        sequence.learnt.resize(sequence.tokens.len(), true);
    }
    sequence
}

/// What can be learnt from a question, and the references among `golds` that contain its answer; `None` if none does.
fn question_item(
    question: &Question,
    golds: impl Iterator<Item = usize>,
    references: &References,
    no_answer: &str,
) -> Option<(QuestionItem, Vec<usize>)> {
    let item = |answer: &str| QuestionItem {
        question: question.question.clone(),
        answer: answer.to_owned(),
        accepted: question.answers.clone(),
        gold: None,
    };
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
