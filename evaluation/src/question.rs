//! The accepted answers of a question.

use mempack_questions::Question;

use crate::metrics::Words;

/// The accepted answers, normalised; empty if the corpus has no answer. `None` for a question without answers whose gold document is to be
/// found: it counts for retrieval only.
pub fn accepted(question: &Question) -> Option<Vec<Words>> {
    match (question.answerable, question.answers.is_empty()) {
        (false, _) => Some(Vec::new()),
        (true, true) => None,
        (true, false) => Some(question.answers.iter().map(|answer| Words::of(answer)).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_kinds_of_questions() {
        let of = |answers: &[&str], answerable| {
            let answers = answers.iter().map(|&answer| answer.to_owned()).collect();
            accepted(&Question { id: "1".into(), question: "?".into(), answers, gold_ids: Vec::new(), answerable })
        };
        assert_eq!(of(&["The dose"], true), Some(vec![Words::of("dose")]));
        assert_eq!(of(&[], true), None);
        assert_eq!(of(&[], false), Some(vec![]));
    }
}
