//! The questions of the sample corpora fit their documents.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use mempack_questions::read_questions;
use serde_json::Value;

fn sample(domain: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../kb-samples").join(domain)
}

/// The texts of a corpus by the ids of their documents.
fn texts(domain: &str) -> HashMap<String, String> {
    let lines = fs::read_to_string(sample(domain).join("corpus.jsonl")).unwrap();
    let mut texts = HashMap::new();
    for line in lines.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let field = |name: &str| row[name].as_str().filter(|value| !value.is_empty()).unwrap_or_else(|| panic!("{name}: {row}")).to_owned();
        assert_eq!((field("license").as_str(), field("source").as_str()), ("CC0-1.0", "mempack kb-samples"));
        assert!(field("date").len() == 10 && !field("title").is_empty());
        assert_eq!(texts.insert(field("id"), field("text")), None, "two documents of one id: {row}");
    }
    texts
}

#[test]
fn every_answer_stands_in_its_gold_document() {
    // How many documents and questions there are, and whether an answer stands in one place alone.
    for (domain, documents, questions, once) in [("legal", 165, 355, false), ("medical", 159, 331, false), ("zh", 120, 237, true)] {
        let texts = texts(domain);
        let all = read_questions(&sample(domain).join("questions.jsonl")).unwrap();
        assert_eq!((texts.len(), all.len()), (documents, questions), "{domain}");
        let mut ids = HashSet::new();
        let mut asked = HashSet::new();
        let mut wordings = HashSet::new();
        for question in &all {
            assert!(ids.insert(&question.id), "{}: two questions of one id", question.id);
            assert!(wordings.insert(&question.question), "{}: asked twice", question.id);
            let [gold] = question.gold_ids.as_slice() else { panic!("{}: one gold document", question.id) };
            let text = texts.get(gold).unwrap_or_else(|| panic!("{}: no document {gold}", question.id));
            let answer = question.answers.first().unwrap_or_else(|| panic!("{}: no answer", question.id));
            let (text, answer) = (text.to_lowercase(), answer.to_lowercase());
            let places = text.matches(&answer).count();
            assert!(places == 1 || places > 1 && !once, "{}: `{answer}` stands in {places} places of {gold}", question.id);
            asked.insert(gold);
        }
        assert_eq!(asked.len(), documents, "{domain}: every document has a question");
    }
}

/// A number that is the end of a longer one is another number: `五日` in `十五日`.
#[test]
fn chinese_answers_are_whole_numbers() {
    let texts = texts("zh");
    let numeral = |c: char| "〇零一二三四五六七八九十百千万两半".contains(c);
    for question in read_questions(&sample("zh").join("questions.jsonl")).unwrap() {
        let (text, answer) = (&texts[&question.gold_ids[0]], &question.answers[0]);
        let before = text[..text.find(answer.as_str()).unwrap()].chars().next_back().unwrap();
        assert!(!(numeral(before) && answer.starts_with(numeral)), "{}: {before}{answer}", question.id);
    }
}

/// Articles count from their first on without a gap, three to eight of them.
#[test]
fn chinese_statutes_are_counted() {
    for (id, text) in texts("zh") {
        let numbers: Vec<u32> =
            text.lines().filter_map(|line| line.strip_prefix('第')?.split_once("条 ")).map(|(n, _)| number(n)).collect();
        assert!((3..=8).contains(&numbers.len()), "{id}: {numbers:?}");
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{id}: {numbers:?}");
    }
}

/// A Chinese number below 100.
fn number(text: &str) -> u32 {
    let digit = |c: char| "一二三四五六七八九".chars().position(|known| known == c).map_or(0, |place| place as u32 + 1);
    match text.split_once('十') {
        Some((tens, ones)) => tens.chars().next().map_or(1, digit) * 10 + ones.chars().next().map_or(0, digit),
        None => text.chars().next().map_or(0, digit),
    }
}
