//! The questions that a budget is measured with, and the references that answer them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use mempack_model::training::Sequence;
use mempack_model::{Model, prompt_tokens};
use mempack_questions::{Question, read_questions};

use super::BudgetError;
use crate::corpora::CorpusReference;
use crate::turns::answer_tokens;

/// A question with its answer as the model writes it, and the one reference that it reads.
pub(super) struct Case {
    /// Reads the reference alone; the answer is learnt.
    pub sequence: Sequence,
    /// The tokens of its reference.
    pub reference: Vec<u32>,
    /// The gold documents.
    pub documents: Vec<String>,
}

/// The cases of a file.
pub(super) struct Cases {
    pub cases: Vec<Case>,
    /// How many questions are left out: those without an answer, and those whose answer no reference of their documents contains word for
    /// word.
    pub left_out: usize,
    /// Gold documents that no corpus has.
    pub missing: BTreeSet<String>,
}

/// Reads the cases of a file.
///
/// # Errors
/// A question of whose gold documents no corpus has any.
pub(super) fn read_cases(model: &Model, references: &[CorpusReference], path: &Path) -> Result<Cases, BudgetError> {
    let mut by_document: BTreeMap<&str, Vec<&CorpusReference>> = BTreeMap::new();
    for reference in references {
        by_document.entry(&reference.document).or_default().push(reference);
    }
    let (mut cases, mut left_out, mut missing) = (Vec::new(), 0, BTreeSet::new());
    for question in read_questions(path)? {
        let (there, not_there): (Vec<&String>, Vec<&String>) =
            question.gold_ids.iter().partition(|id| by_document.contains_key(id.as_str()));
        if let (true, Some(gold)) = (there.is_empty(), not_there.first()) {
            return Err(BudgetError::Gold { path: path.to_owned(), gold: (*gold).clone(), question: question.id });
        }
        let golds: Vec<&CorpusReference> = there.iter().filter_map(|id| by_document.get(id.as_str())).flatten().copied().collect();
        missing.extend(not_there.into_iter().cloned());
        match gold(&question, &golds) {
            Some((answer, reference)) => cases.push(case(model, &question, answer, reference)?),
            None => left_out += 1,
        }
    }
    Ok(Cases { cases, left_out, missing })
}

/// The first accepted answer that a reference contains word for word, and of the references that contain it the one that has the most words of
/// the question; of equals the first.
fn gold<'a>(question: &'a Question, golds: &[&'a CorpusReference]) -> Option<(&'a str, &'a CorpusReference)> {
    let asked = words(&question.question);
    let shared = |reference: &CorpusReference| words(&reference.text).intersection(&asked).count();
    question.answers.iter().find_map(|answer| {
        let containing = golds.iter().copied().filter(|gold| gold.text.contains(answer.as_str()));
        // `max_by_key` gives the last of equals.
        containing.rev().max_by_key(|gold| shared(gold)).map(|gold| (answer.as_str(), gold))
    })
}

fn words(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

fn case(model: &Model, question: &Question, answer: &str, reference: &CorpusReference) -> Result<Case, BudgetError> {
    let mut tokens = prompt_tokens(model, &question.question)?.ids;
    let mut learnt = vec![false; tokens.len()];
    tokens.extend(answer_tokens(model, answer)?);
    learnt.resize(tokens.len(), true);
    let sequence = Sequence { tokens, learnt, chunks: Vec::new() };
    Ok(Case { sequence, reference: reference.ids.clone(), documents: question.gold_ids.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_that_says_most_of_the_question_is_gold() {
        let reference = |text: &str| CorpusReference { document: "d".into(), text: text.into(), ids: vec![1] };
        let texts = ["19 boats lie there", "The Folkhall has 19 members", "The Folkhall has 19 doors", "nothing"];
        let references: Vec<CorpusReference> = texts.iter().map(|text| reference(text)).collect();
        let golds: Vec<&CorpusReference> = references.iter().collect();
        let question = |answers: &[&str]| Question {
            id: "1".into(),
            question: "How many members has the Folkhall?".into(),
            answers: answers.iter().map(|answer| (*answer).to_owned()).collect(),
            gold_ids: vec!["d".into()],
            answerable: true,
        };
        let found = |answers: &[&str]| gold(&question(answers), &golds).map(|(answer, gold)| (answer.to_owned(), gold.text.clone()));
        assert_eq!(found(&["nineteen", "19"]), Some(("19".into(), texts[1].into())));
        assert_eq!(found(&["boats"]), Some(("boats".into(), texts[0].into())));
        assert_eq!(found(&["twenty"]), None);
        // Of equals, the first.
        assert_eq!(gold(&question(&["19"]), &[golds[2], golds[2]]).map(|(_, gold)| std::ptr::eq(gold, golds[2])), Some(true));
    }
}
