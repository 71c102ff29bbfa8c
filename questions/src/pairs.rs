//! Makes preferences out of questions: the right answer against one that no reference of the question supports.

use std::collections::{BTreeMap, HashMap};

use mempack_numeric::Rng;

use crate::{Preference, Question};

/// What is said where the references hold no answer.
pub const NO_ANSWER: &str = "The references do not tell.";

/// Answers that are tried for a question, drawn from each group of questions.
const TRIES: usize = 32;

/// Preferences that were made, and why there are not more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MadePreferences {
    /// The preferences, in the order of their questions.
    pub preferences: Vec<Preference>,
    /// Questions left out because none of their gold documents is in the corpus, so that no support can be looked for.
    pub without_document: u64,
    /// Questions left out because no other question has an answer that differs and that no gold document contains.
    pub without_other: u64,
}

/// Makes a preference out of each question. `documents` has the texts of gold documents, by id. Equal questions, documents and seeds give
/// equal preferences.
///
/// The answer to avoid is that of another question: of the same kind, if possible, which asks with the same words apart from names and numbers,
/// else one of the same form. It does not occur in the gold documents, and neither answer contains the other. For a question without an answer,
/// the one to prefer is [`NO_ANSWER`].
pub fn make_preferences(questions: &[Question], documents: &HashMap<String, String>, seed: u64) -> MadePreferences {
    let mut made = MadePreferences::default();
    let groups = groups(questions);
    for (number, question) in questions.iter().enumerate() {
        // A question without answers counts for retrieval only.
        let chosen = match question.answers.first() {
            Some(answer) => answer.as_str(),
            None if !question.answerable => NO_ANSWER,
            None => continue,
        };
        let golds: Vec<String> = question.gold_ids.iter().filter_map(|id| Some(documents.get(id)?.to_lowercase())).collect();
        if question.answerable && golds.is_empty() {
            made.without_document += 1;
            continue;
        }
        let mut rng = Rng::for_stream(seed, number as u64);
        match other_answer(questions, number, &golds, &groups, &mut rng) {
            Some(rejected) => made.preferences.push(Preference {
                id: question.id.clone(),
                question: question.question.clone(),
                gold_ids: question.gold_ids.clone(),
                chosen: chosen.to_owned(),
                rejected: rejected.to_owned(),
                line: made.preferences.len() as u64 + 1,
            }),
            None => made.without_other += 1,
        }
    }
    made
}

/// What questions of a group have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Common {
    /// The words of the question and the form of the answer.
    WordsAndForm(String, Form),
    /// The words of the question.
    Words(String),
    /// The form of the answer.
    Form(Form),
    /// Whether the answer has digits, and whether it has capitals.
    Letters(bool, bool),
}

/// The form of an answer: whether it has digits, whether it has capitals, as names have, and its length in words, or in characters where there
/// are no spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Form {
    digits: bool,
    capitals: bool,
    length: usize,
}

fn form(answer: &str) -> Form {
    let words = answer.split_whitespace().count();
    let length = if words == 1 && !answer.is_ascii() { answer.chars().count() } else { words };
    Form { digits: answer.contains(|c: char| c.is_numeric()), capitals: answer.contains(char::is_uppercase), length }
}

/// The words of a question without names and numbers: those that have a capital or a digit, the first word apart.
fn words(question: &str) -> String {
    let plain = |(place, word): (usize, &str)| {
        let named = word.contains(|c: char| c.is_numeric()) || (place > 0 && word.contains(char::is_uppercase));
        (!named).then(|| word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase())
    };
    question.split_whitespace().enumerate().filter_map(plain).collect::<Vec<_>>().join(" ")
}

/// What a question has in common with others, the closest first.
fn commons(question: &Question) -> Vec<Common> {
    let words = words(&question.question);
    match question.answers.first() {
        Some(answer) => {
            let form = form(answer);
            let letters = Common::Letters(form.digits, form.capitals);
            vec![Common::WordsAndForm(words.clone(), form), Common::Words(words), Common::Form(form), letters]
        }
        None => vec![Common::Words(words)],
    }
}

/// The questions with answers, by what they have in common.
fn groups(questions: &[Question]) -> BTreeMap<Common, Vec<usize>> {
    let mut groups: BTreeMap<Common, Vec<usize>> = BTreeMap::new();
    for (number, question) in questions.iter().enumerate().filter(|(_, question)| !question.answers.is_empty()) {
        for common in commons(question) {
            groups.entry(common).or_default().push(number);
        }
    }
    groups
}

/// The answer of another question that the documents `golds`, in lower case, do not contain.
fn other_answer<'a>(
    questions: &'a [Question],
    number: usize,
    golds: &[String],
    groups: &BTreeMap<Common, Vec<usize>>,
    rng: &mut Rng,
) -> Option<&'a str> {
    let question = questions.get(number)?;
    let accepted: Vec<String> = question.answers.iter().map(|answer| answer.trim().to_lowercase()).collect();
    let differs = |answer: &str| {
        let answer = answer.trim().to_lowercase();
        let same = |other: &String| other.contains(&answer) || answer.contains(other.as_str());
        !answer.is_empty() && !accepted.iter().any(same) && !golds.iter().any(|gold| gold.contains(&answer))
    };
    for common in commons(question) {
        let Some(group) = groups.get(&common) else { continue };
        // A large group is drawn from, a small one looked through.
        let order: Vec<usize> = if group.len() <= TRIES {
            rng.distinct(group.len(), group.len())
        } else {
            (0..TRIES).map(|_| rng.below(group.len())).collect()
        };
        let answers = order.into_iter().filter_map(|place| questions.get(*group.get(place)?)?.answers.first());
        if let Some(answer) = answers.map(String::as_str).find(|answer| differs(answer)) {
            return Some(answer);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fiction, FictionOptions};

    fn question(id: &str, text: &str, answers: &[&str], golds: &[&str]) -> Question {
        let own = |list: &[&str]| list.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>();
        let (answers, gold_ids) = (own(answers), own(golds));
        let answerable = !gold_ids.is_empty();
        Question { id: id.into(), question: text.into(), answers, gold_ids, answerable }
    }

    fn documents(texts: &[(&str, &str)]) -> HashMap<String, String> {
        texts.iter().map(|(id, text)| ((*id).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn the_other_answer_is_of_the_same_kind_and_has_no_support() {
        let questions = [
            question("1", "What is the dose of Nutepril?", &["20 mg"], &["a"]),
            question("2", "What is the dose of Olvarine 5?", &["35 mg"], &["b"]),
            question("3", "Who made Nutepril?", &["Harker and Sons"], &["a"]),
            question("4", "What is the dose of Zambin?", &[], &[]),
            question("5", "What is the dose of Pardol?", &["20 MG"], &["c"]),
        ];
        let texts = documents(&[("a", "Take 20 mg. Made by Harker and Sons."), ("b", "Take 35 mg, not 20 mg."), ("c", "20 mg")]);
        for seed in 0..20 {
            let made = make_preferences(&questions, &texts, seed);
            let pairs: Vec<_> = made.preferences.iter().map(|p| (p.id.as_str(), p.chosen.as_str(), p.rejected.as_str())).collect();
            let of = |id: &str| *pairs.iter().find(|pair| pair.0 == id).unwrap();
            assert_eq!(of("1"), ("1", "20 mg", "35 mg"));
            // Its document names the other doses, and the maker is no dose: there is nothing of its form, so it is left out.
            assert!(pairs.iter().all(|pair| pair.0 != "2"), "{pairs:?}");
            assert_eq!((of("4").1, of("5").2), (NO_ANSWER, "35 mg"));
            assert!(["20 mg", "35 mg", "20 MG"].contains(&of("4").2));
            // Nobody else made anything.
            assert_eq!((made.without_other, made.without_document), (2, 0));
            assert_eq!(made.preferences.iter().map(|p| p.line).collect::<Vec<_>>(), [1, 2, 3]);
        }
        assert_eq!(make_preferences(&questions, &documents(&[]), 1).without_document, 4);
    }

    #[test]
    fn fiction_gives_pairs_of_the_same_kind() {
        let options = FictionOptions { documents: 60, seed: 3, ..FictionOptions::default() };
        let made: Vec<_> = Fiction::new(&options).unwrap().collect();
        let texts: HashMap<String, String> = made.iter().map(|made| (made.document.id.clone(), made.document.text.clone())).collect();
        let questions: Vec<Question> = made.into_iter().flat_map(|made| made.questions).collect();
        let pairs = make_preferences(&questions, &texts, 5);
        println!("{} questions, {} pairs", questions.len(), pairs.preferences.len());
        assert!(pairs.preferences.len() * 10 >= questions.len() * 9, "{} of {}", pairs.preferences.len(), questions.len());
        assert_eq!(pairs, make_preferences(&questions, &texts, 5));
        assert_ne!(pairs, make_preferences(&questions, &texts, 6));
        for pair in &pairs.preferences {
            let supported = pair.gold_ids.iter().any(|id| texts[id].to_lowercase().contains(&pair.rejected.to_lowercase()));
            assert!(!supported && pair.chosen != pair.rejected, "{pair:?}");
        }
    }
}
