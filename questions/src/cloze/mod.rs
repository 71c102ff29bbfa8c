//! Questions from text without labels: a sentence with something left out.

mod chinese;
mod english;
mod sentences;

use sentences::{Sentence, sentences};

use crate::{Document, Question};
use mempack_numeric::Rng;

/// The gap in a sentence.
const BLANK: &str = "____";
/// Sentences looked at for each question wanted, so that a long document costs little more than reading it.
const LOOKED_AT: usize = 8;

/// What questions to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClozeOptions {
    /// Questions about each document, at most.
    pub per_document: usize,
    /// Where chance begins.
    pub seed: u64,
}

impl Default for ClozeOptions {
    fn default() -> Self {
        Self { per_document: 2, seed: 0 }
    }
}

/// Something that can be left out, in bytes of the sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Gap {
    start: usize,
    end: usize,
    kind: GapKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GapKind {
    /// A number, and where its unit begins.
    Quantity {
        unit: usize,
    },
    Name,
    Term,
}

/// Asks about documents, one after the other.
///
/// What is left out stands in its document once, and not in its title, so that the question has one answer. Memory: for the
/// document at hand 16 bytes a sentence beside its text; nothing is kept of the documents before.
#[derive(Clone, Debug)]
pub struct Cloze {
    options: ClozeOptions,
    documents: u64,
}

impl Cloze {
    /// Ready for the first document.
    pub fn new(options: &ClozeOptions) -> Self {
        Self { options: options.clone(), documents: 0 }
    }

    /// Questions about the next document; none if nothing in it can be asked without doubt.
    pub fn questions(&mut self, document: &Document) -> Vec<Question> {
        let mut rng = Rng::for_stream(self.options.seed, self.documents);
        self.documents += 1;
        let mut places = sentences(&document.text);
        rng.shuffle(&mut places);
        let mut questions: Vec<Question> = Vec::new();
        for place in places.iter().take(LOOKED_AT * self.options.per_document) {
            if questions.len() == self.options.per_document {
                break;
            }
            let Some((question, answer)) = ask(document, place, &mut rng) else { continue };
            // What one question asks, another must not tell.
            if questions.iter().any(|other| other.question.contains(&answer) || other.answers.iter().any(|told| question.contains(told))) {
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
fn ask(document: &Document, place: &Sentence, rng: &mut Rng) -> Option<(String, String)> {
    let sentence = document.text.get(place.start..place.end)?;
    let mut gaps = if place.chinese { chinese::gaps(sentence) } else { english::gaps(sentence) };
    rng.shuffle(&mut gaps);
    // Quantities and names say more than other words, which are asked for now and then.
    if rng.chance(0.8) {
        gaps.sort_by_key(|gap| matches!(gap.kind, GapKind::Term));
    }
    let alone = |gap: &&Gap| {
        let answer = &sentence[gap.start..gap.end];
        once(&document.text, answer, place.chinese) && !document.title.contains(answer)
    };
    let gap = gaps.iter().find(alone)?;
    let answer = sentence[gap.start..gap.end].to_owned();
    let sentence = Gapped { sentence, gap: *gap, title: document.title.trim() };
    let real = if place.chinese { chinese::real_question } else { english::real_question };
    let wordings: &[&str] = if place.chinese { &chinese::WORDINGS } else { &english::WORDINGS };
    Some((worded(&sentence, real, wordings, rng), answer))
}

/// Half of the time a question that `real` makes of the sentence, if it can, else one of the wordings around it.
fn worded(gapped: &Gapped<'_>, real: fn(&Gapped<'_>) -> Option<String>, wordings: &[&str], rng: &mut Rng) -> String {
    if rng.chance(0.5)
        && let Some(question) = real(gapped)
    {
        return question;
    }
    let wording = wording(wordings, gapped.title, rng).unwrap_or("{blanked}");
    wording.replace("{blanked}", &gapped.blanked()).replace("{title}", gapped.title)
}

/// Whether a text stands exactly once in another; where words have spaces between them, not as a part of a word.
fn once(text: &str, part: &str, chinese: bool) -> bool {
    let joins = |c: Option<char>| !chinese && c.is_some_and(char::is_alphanumeric);
    let whole = |at: usize| !joins(text[..at].chars().next_back()) && !joins(text[at + part.len()..].chars().next());
    text.match_indices(part).filter(|(at, _)| whole(*at)).take(2).count() == 1
}

/// A sentence and what is left out of it.
struct Gapped<'a> {
    sentence: &'a str,
    gap: Gap,
    /// The document's title; empty if it has none.
    title: &'a str,
}

impl Gapped<'_> {
    /// The sentence with something in the place of what is left out, on one line.
    fn with(&self, substitute: &str) -> String {
        let text = format!("{}{substitute}{}", &self.sentence[..self.gap.start], &self.sentence[self.gap.end..]);
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn blanked(&self) -> String {
        self.with(BLANK)
    }
}

/// One of the wordings; one that names the document only if it has a title.
fn wording<'a>(wordings: &[&'a str], title: &str, rng: &mut Rng) -> Option<&'a str> {
    let fit: Vec<_> = wordings.iter().filter(|wording| !title.is_empty() || !wording.contains("{title}")).collect();
    rng.pick(&fit).map(|wording| **wording)
}

#[cfg(test)]
mod tests;
