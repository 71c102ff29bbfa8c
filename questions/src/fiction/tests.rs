use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::english::occurrences;
use super::*;

fn make(documents: u64, seed: u64) -> Vec<MadeDocument> {
    Fiction::new(&FictionOptions { documents, seed, unanswerable: 0.2, ..FictionOptions::default() }).unwrap().collect()
}

#[test]
fn the_same_options_give_the_same_documents() {
    assert_eq!(make(60, 5), make(60, 5));
    assert_ne!(make(60, 5), make(60, 6));
}

#[test]
fn every_answer_stands_in_its_document_once() {
    for made in make(800, 1) {
        let CorpusDocument { id, title, text, .. } = &made.document;
        for question in made.questions.iter().filter(|question| question.answerable) {
            assert_eq!(question.gold_ids, [id.as_str()]);
            let answer = &question.answers[0];
            assert!((1..=8).contains(&answer.split(' ').count()), "{question:?}");
            assert_eq!(occurrences(text, answer), 1, "{question:?}\n{text}");
            assert_eq!(occurrences(text, question.answers.last().unwrap()), 1, "{question:?}\n{text}");
            assert!(!title.contains(answer) && !question.question.contains(answer), "{question:?}");
            assert!(question.answers.iter().all(|answer| text.contains(answer)), "{question:?}");
        }
        let asked: BTreeSet<_> = made.questions.iter().map(|question| &question.question).collect();
        assert_eq!(asked.len(), made.questions.len());
    }
}

/// The sentences of a text, without the numbers of paragraphs.
fn sentences(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let line = line.split_once(". ").filter(|(number, _)| number.parse::<u32>().is_ok()).map_or(line, |(_, rest)| rest);
        assert!(line.ends_with('.'), "{line}");
        out.extend(line.trim_end_matches('.').split(". ").map(str::to_owned));
    }
    out
}

#[test]
fn sentences_are_well_formed() {
    for made in make(800, 2) {
        let CorpusDocument { title, text, .. } = &made.document;
        let questions = made.questions.iter().map(|question| &question.question);
        for part in [title, text].into_iter().chain(questions) {
            for bad in [
                "  ",
                "{",
                "[",
                "|",
                " a a",
                " a an ",
                " ,",
                " .",
                "..",
                "\u{1}",
                "\u{2}",
                " a eight",
                " a 8 ",
                " the the ",
                " the a ",
                ";;",
            ] {
                assert!(!part.contains(bad), "{bad:?} in {part}");
            }
            let words: Vec<&str> = part.split_whitespace().collect();
            for pair in words.windows(2) {
                let vowel = pair[1].starts_with(['a', 'e', 'i', 'o', 'A', 'E', 'I', 'O']) && !pair[1].starts_with("one");
                assert!(!(pair[0] == "a" && vowel), "a {} in {part}", pair[1]);
                assert!(pair[0] != "an" || vowel || pair[1].starts_with(['u', 'U', '8', 'h']) || pair[1].starts_with("X-ray"), "{part}");
                assert!(pair[0] != pair[1], "{} twice in {part}", pair[0]);
            }
        }
        for sentence in sentences(text) {
            assert!(sentence.starts_with(|c: char| c.is_uppercase() || c.is_ascii_digit()), "{sentence}\n{text}");
        }
        let words = text.split_whitespace().count();
        assert!((25..=480).contains(&words), "{words} words: {text}");
    }
}

/// The words of the sample corpora that have at least four letters, in lower case.
fn sample_words() -> BTreeSet<String> {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kb-samples");
    let mut words = BTreeSet::new();
    for domain in ["legal", "medical"] {
        let text = std::fs::read_to_string(samples.join(domain).join("corpus.jsonl")).unwrap();
        for line in text.lines() {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            let both = format!("{} {}", row["title"].as_str().unwrap(), row["text"].as_str().unwrap());
            words.extend(both.split(|c: char| !c.is_alphabetic()).filter(|word| word.chars().count() >= 4).map(str::to_lowercase));
        }
    }
    words
}

#[test]
fn no_name_is_one_of_the_sample_corpora() {
    let samples = sample_words();
    let reserved: BTreeSet<_> = include_str!("reserved.txt").split_whitespace().map(str::to_owned).collect();
    assert_eq!(samples.difference(&reserved).collect::<Vec<_>>(), Vec::<&String>::new(), "add these to reserved.txt");
    let mut names = BTreeSet::new();
    for made in make(800, 3) {
        for name in made.names {
            assert!(!samples.contains(&name.to_lowercase()), "{name}");
            names.insert(name);
        }
    }
    assert!(names.len() > 2_000, "{}", names.len());
}

/// A sentence with its names, numbers and values masked.
fn skeleton(sentence: &str, values: &BTreeSet<&str>) -> String {
    let masked = |word: &str| {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        let number = |part: &str| part.chars().any(|c| c.is_ascii_digit()) || (1..100).any(|n| english::in_words(n) == part);
        bare.starts_with(char::is_uppercase) || number(bare) || values.contains(bare)
    };
    let mut words: Vec<&str> = sentence.split(' ').map(|word| if masked(word) { "_" } else { word }).collect();
    words.dedup();
    words.join(" ")
}

#[test]
fn sentences_and_questions_are_varied() {
    let lists = include_str!("words.txt");
    let values: BTreeSet<&str> = lists.split(|c: char| !c.is_alphanumeric() && c != '\'').filter(|word| word.len() > 3).collect();
    let (mut said, mut asked, mut firsts) = (BTreeMap::<String, usize>::new(), BTreeMap::<String, usize>::new(), BTreeSet::new());
    let mut documents = 0;
    for made in make(500, 4) {
        documents += 1;
        let all = sentences(&made.document.text);
        firsts.insert(all.iter().take(3).map(|sentence| skeleton(sentence, &values)).collect::<Vec<_>>());
        for sentence in all {
            *said.entry(skeleton(&sentence, &values)).or_default() += 1;
        }
        for question in made.questions {
            *asked.entry(skeleton(&question.question, &values)).or_default() += 1;
        }
    }
    let (told, questions): (usize, usize) = (said.values().sum(), asked.values().sum());
    println!("{documents} documents: {} skeletons of {told} sentences, most used {:?}", said.len(), said.values().max());
    println!("{} forms of {questions} questions, {} different openings of three sentences", asked.len(), firsts.len());
    assert!(said.len() * 3 > told, "{} of {told}", said.len());
    assert!(asked.len() * 2 > questions, "{} of {questions}", asked.len());
    assert!(firsts.len() * 20 > documents * 19);
    assert!(said.values().all(|&times| times < 40), "{:?}", said.iter().max_by_key(|(_, times)| **times));
}

#[test]
fn look_alikes_come_together_and_every_kind_comes() {
    let mut kinds = BTreeMap::<_, usize>::new();
    for made in make(400, 7) {
        *kinds.entry(made.kind).or_default() += 1;
    }
    assert_eq!(kinds.len(), 16);
    assert!(kinds.values().all(|&times| times >= 2), "{kinds:?}");
    let legal = FictionOptions { documents: 30, domain: Some(Domain::Legal), ..FictionOptions::default() };
    assert!(
        Fiction::new(&legal)
            .unwrap()
            .all(|made| ["act", "regulation", "lease", "supply", "judgment", "bylaw", "will", "charter"].contains(&made.kind))
    );
}

#[test]
fn questions_without_answer_have_none() {
    let all = make(800, 8);
    let titles: Vec<_> = all.iter().map(|made| made.document.title.as_str()).collect();
    let questions: Vec<_> = all.iter().flat_map(|made| &made.questions).collect();
    let none: Vec<_> = questions.iter().filter(|question| !question.answerable).collect();
    let share = none.len() as f64 / questions.len() as f64;
    assert!((0.17..0.23).contains(&share), "{share}");
    assert!(none.iter().all(|question| question.answers.is_empty() && question.gold_ids.is_empty()));
    // No two documents have the same subject.
    let subjects: BTreeSet<_> = all.iter().map(|made| (made.kind, made.document.text.as_str())).collect();
    assert_eq!(subjects.len(), titles.len());
    let options = FictionOptions { unanswerable: f64::NAN, ..FictionOptions::default() };
    assert!(matches!(Fiction::new(&options), Err(FictionError::Unanswerable { .. })));
    let only = FictionOptions { documents: 50, unanswerable: 1.0, ..FictionOptions::default() };
    assert!(
        Fiction::new(&only).unwrap().all(|made| made.questions.len() == 3 && made.questions.iter().all(|question| !question.answerable))
    );
}
