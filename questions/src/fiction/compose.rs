//! One document: the facts it states, its text, and the questions about it.

use std::collections::BTreeSet;

use mempack_numeric::Rng;

use super::english::{articles, capital, occurrences, small};
use super::kind::{DocumentKind, Fact};
use super::page::Page;
use super::sentence::sentences;
use super::subject::Subject;
use super::values::{values, without_article};
use super::words::Scene;
use super::{FictionOptions, MadeDocument};
use crate::{CorpusDocument, Question};

/// Makes the document number `number`, counted from 1. Its subject is added to `subjects`.
pub(super) fn document(
    kind: &DocumentKind,
    number: u64,
    mut scene: Scene<'_>,
    subjects: &mut BTreeSet<String>,
    options: &FictionOptions,
    rng: &mut Rng,
) -> MadeDocument {
    let subject = Subject::new(kind, &mut scene, subjects, rng);
    subject.describe(kind, &mut scene, rng);
    let title = rng.pick(&kind.titles).map(|title| capital(&articles(&scene.expand(title, rng)))).unwrap_or_default();
    let values = values(kind, &title, &mut scene, rng);
    let stated = choose_facts(&values, rng);
    let sentences = sentences(kind, &stated, &values, &mut scene, rng);
    let text = Page { kind, subject: &subject }.lay_out(sentences, rng);
    let id = format!("{}-{number:06}", kind.name);

    let mut questions = Vec::new();
    let mut answerable = answerable_facts(&stated, &values, &text);
    rng.shuffle(&mut answerable);
    let mut unstated: Vec<usize> = (0..kind.facts.len()).filter(|fact| !stated.contains(fact)).collect();
    rng.shuffle(&mut unstated);
    for place in 1..=options.per_document {
        let unanswerable = rng.chance(options.unanswerable);
        // A question without an answer asks for a fact that the document does not state, or about a subject of no document.
        let other_subject = unanswerable && (unstated.is_empty() || rng.chance(0.4));
        let (fact, answers) = match (unanswerable, other_subject) {
            (false, _) => match answerable.pop() {
                Some((fact, answers)) => (fact, answers),
                None => break,
            },
            (true, false) => (unstated.pop().unwrap_or_default(), Vec::new()),
            (true, true) => (rng.below(kind.facts.len()), Vec::new()),
        };
        let outer = scene.constants.len();
        if other_subject {
            let other = Subject::new(kind, &mut scene, subjects, rng);
            other.describe(kind, &mut scene, rng);
        }
        if let Some(question) = kind.facts.get(fact).and_then(|fact| ask(fact, &mut scene, rng)) {
            questions.push(Question {
                id: format!("{id}-q{place}"),
                question,
                gold_ids: if unanswerable { Vec::new() } else { vec![id.clone()] },
                answers,
                answerable: !unanswerable,
            });
        }
        scene.constants.truncate(outer);
    }
    let source = "mempack make-questions fiction".into();
    let document = CorpusDocument { id, title, text, source, license: "CC0-1.0".into() };
    MadeDocument { kind: kind.name, document, questions, names: scene.names.take_given() }
}

/// The facts that a document states, in order: few, some, or nearly all of those that have a value.
fn choose_facts(values: &[Option<String>], rng: &mut Rng) -> Vec<usize> {
    let mut facts: Vec<usize> = (0..values.len()).filter(|fact| values.get(*fact).is_some_and(Option::is_some)).collect();
    rng.shuffle(&mut facts);
    let count = match rng.below(20) {
        0..8 => rng.between(3, 5),
        8..15 => rng.between(6, 9),
        _ => rng.between(10, 14),
    };
    facts.truncate(count);
    facts
}

/// The facts whose value occurs in the text exactly once, each with its answers as the text spells them.
fn answerable_facts(stated: &[usize], values: &[Option<String>], text: &str) -> Vec<(usize, Vec<String>)> {
    let literal = |value: &str| {
        let shorter = without_article(value);
        if occurrences(text, shorter) != 1 {
            return None;
        }
        // At the beginning of a sentence, the article or the first word is capitalised.
        let whole = [value.to_owned(), capital(value)].into_iter().find(|form| text.contains(form.as_str()))?;
        Some(if shorter.len() < value.len() { vec![whole, shorter.to_owned()] } else { vec![whole] })
    };
    let answers = |value: &String| literal(value).or_else(|| literal(&capital(value)));
    stated.iter().filter_map(|fact| Some((*fact, values.get(*fact)?.as_ref().and_then(answers)?))).collect()
}

/// A question that asks for a fact, sometimes with a polite phrase around it.
fn ask(fact: &Fact, scene: &mut Scene<'_>, rng: &mut Rng) -> Option<String> {
    let question = articles(&scene.expand(rng.pick(&fact.asks)?, rng));
    Some(match rng.below(100) {
        0..5 => small(question.trim_end_matches('?')),
        5..8 => format!("Please tell me: {}", small(&question)),
        8..11 => format!("I would like to know: {}", small(&question)),
        11..14 => format!("{}, please?", question.trim_end_matches('?')),
        14..17 => format!("A question: {}", small(&question)),
        _ => question,
    })
}
