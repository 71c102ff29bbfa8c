//! Cloze questions from unlabelled text: sentences with a gap.

mod chinese;
mod english;
mod sentences;

use mempack_numeric::Rng;

use sentences::{Sentence, sentences};

use crate::{CorpusDocument, Question};

/// What stands in the gap of a sentence.
const BLANK: &str = "____";
/// Sentences tried for each question wanted, so that a long document costs little more than reading it.
const TRIED_SENTENCES: usize = 8;

/// Options of [`Cloze`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClozeOptions {
    /// The maximum number of questions about a document.
    pub per_document: usize,
    /// The seed of all random choices.
    pub seed: u64,
}

impl Default for ClozeOptions {
    fn default() -> Self {
        Self { per_document: 2, seed: 0 }
    }
}

/// A part of a sentence that can be left out, as a byte range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Gap {
    start: usize,
    end: usize,
    kind: GapKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GapKind {
    /// A number with a unit, which begins at byte `unit` of the sentence.
    Quantity {
        unit: usize,
    },
    Name,
    Term,
}

/// Makes questions about documents, one document at a time.
///
/// The part that is left out occurs once in its document and not in the title, so the question has one answer. Memory: the text of
/// one document and 16 bytes for each of its sentences.
#[derive(Clone, Debug)]
pub struct Cloze {
    options: ClozeOptions,
    documents: u64,
}

impl Cloze {
    /// Prepares for the first document.
    pub fn new(options: &ClozeOptions) -> Self {
        Self { options: options.clone(), documents: 0 }
    }

    /// Questions about the next document; empty if no sentence gives a question with one answer.
    pub fn questions(&mut self, document: &CorpusDocument) -> Vec<Question> {
        let mut rng = Rng::for_stream(self.options.seed, self.documents);
        self.documents += 1;
        let mut places = sentences(&document.text);
        rng.shuffle(&mut places);
        let mut questions: Vec<Question> = Vec::new();
        for place in places.iter().take(TRIED_SENTENCES * self.options.per_document) {
            if questions.len() == self.options.per_document {
                break;
            }
            let Some((question, answer)) = ask(document, place, &mut rng) else { continue };
            // A question must not contain the answer of another.
            if questions
                .iter()
                .any(|other| other.question.contains(&answer) || other.answers.iter().any(|answer| question.contains(answer)))
            {
                continue;
            }
            questions.push(Question {
                id: format!("{}-q{}", document.id, questions.len() + 1),
                question,
                answers: vec![answer],
                gold_ids: vec![document.id.clone()],
                answerable: true,
            });
        }
        questions
    }
}

/// A question about a sentence, and its answer.
fn ask(document: &CorpusDocument, place: &Sentence, rng: &mut Rng) -> Option<(String, String)> {
    let sentence = document.text.get(place.start..place.end)?;
    let mut gaps = if place.chinese { chinese::gaps(sentence) } else { english::gaps(sentence) };
    rng.shuffle(&mut gaps);
    // Most questions ask for quantities and names, which say more than other words.
    if rng.chance(0.8) {
        gaps.sort_by_key(|gap| matches!(gap.kind, GapKind::Term));
    }
    let unique = |gap: &&Gap| {
        let answer = &sentence[gap.start..gap.end];
        occurs_once(&document.text, answer, place.chinese) && !document.title.contains(answer)
    };
    let gap = gaps.iter().find(unique)?;
    let answer = sentence[gap.start..gap.end].to_owned();
    let sentence = Gapped { sentence, gap: *gap, title: document.title.trim() };
    let real = if place.chinese { chinese::real_question } else { english::real_question };
    let wordings: &[&str] = if place.chinese { &chinese::WORDINGS } else { &english::WORDINGS };
    Some((worded(&sentence, real, wordings, rng), answer))
}

/// Half of the time the question that `real` makes from the sentence, if there is one; else the sentence in one of the wordings.
fn worded(gapped: &Gapped<'_>, real: fn(&Gapped<'_>) -> Option<String>, wordings: &[&str], rng: &mut Rng) -> String {
    if rng.chance(0.5)
        && let Some(question) = real(gapped)
    {
        return question;
    }
    let wording = wording(wordings, gapped.title, rng).unwrap_or("{blanked}");
    wording.replace("{blanked}", &gapped.blanked()).replace("{title}", gapped.title)
}

/// Whether a text occurs exactly once in another. Outside Chinese, occurrences within a word do not count.
fn occurs_once(text: &str, part: &str, chinese: bool) -> bool {
    let joins = |c: Option<char>| !chinese && c.is_some_and(char::is_alphanumeric);
    let whole = |at: usize| !joins(text[..at].chars().next_back()) && !joins(text[at + part.len()..].chars().next());
    text.match_indices(part).filter(|(at, _)| whole(*at)).take(2).count() == 1
}

/// A sentence and the part that is left out.
struct Gapped<'a> {
    sentence: &'a str,
    gap: Gap,
    /// The document's title; empty if it has none.
    title: &'a str,
}

impl Gapped<'_> {
    /// The sentence on one line, with `substitute` in place of the gap.
    fn with(&self, substitute: &str) -> String {
        let text = format!("{}{substitute}{}", &self.sentence[..self.gap.start], &self.sentence[self.gap.end..]);
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn blanked(&self) -> String {
        self.with(BLANK)
    }
}

/// One of the wordings; those that name the title are left out if the document has none.
fn wording<'a>(wordings: &[&'a str], title: &str, rng: &mut Rng) -> Option<&'a str> {
    let fit: Vec<_> = wordings.iter().filter(|wording| !title.is_empty() || !wording.contains("{title}")).collect();
    rng.pick(&fit).map(|wording| **wording)
}

#[cfg(test)]
mod tests;
