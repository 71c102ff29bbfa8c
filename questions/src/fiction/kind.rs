//! Kinds of document: their facts, the sentences that state them, and the questions that ask for them.
//!
//! A kind is a text file in `kinds/`; `KINDS.md` there describes the format.

use super::Domain;
use super::template::Template;

/// A built-in file has an error. The tests parse all of them, so this does not occur in a build that passes its tests.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("built-in {file}, line {line}: {reason}; correct the file and build again")]
pub struct KindError {
    /// The file.
    pub file: &'static str,
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

/// A kind of document.
#[derive(Debug, Default)]
pub(crate) struct DocumentKind {
    /// One word, which begins the ids of its documents.
    pub name: &'static str,
    pub domain: Domain,
    /// Whether the subject is a person, for whom `he` or `she` stands.
    pub person: bool,
    /// The name of what a document is about; unique in a corpus.
    pub subject: Template,
    /// The subject within a sentence, with an article where it needs one.
    pub full: Template,
    /// Other words for the subject.
    pub nouns: Vec<&'static str>,
    pub titles: Vec<Template>,
    /// Constants of a document.
    pub lets: Vec<(&'static str, Template)>,
    /// First sentences.
    pub intros: Vec<Template>,
    /// Remarks: sentences that state no fact.
    pub also: Vec<Template>,
    pub facts: Vec<Fact>,
    /// Sentences that state two facts at once.
    pub both: Vec<Both>,
}

/// Something that a document may state.
#[derive(Debug)]
pub(crate) struct Fact {
    pub key: &'static str,
    pub value: Template,
    pub says: Vec<Template>,
    pub asks: Vec<Template>,
}

/// Sentences that state two facts, given by their indices in [`DocumentKind::facts`].
#[derive(Debug)]
pub(crate) struct Both {
    pub facts: [usize; 2],
    pub says: Vec<Template>,
}

const FILES: [(&str, &str); 16] = [
    ("drug.txt", include_str!("kinds/drug.txt")),
    ("act.txt", include_str!("kinds/act.txt")),
    ("disease.txt", include_str!("kinds/disease.txt")),
    ("regulation.txt", include_str!("kinds/regulation.txt")),
    ("device.txt", include_str!("kinds/device.txt")),
    ("lease.txt", include_str!("kinds/lease.txt")),
    ("trial.txt", include_str!("kinds/trial.txt")),
    ("judgment.txt", include_str!("kinds/judgment.txt")),
    ("case.txt", include_str!("kinds/case.txt")),
    ("supply.txt", include_str!("kinds/supply.txt")),
    ("discharge.txt", include_str!("kinds/discharge.txt")),
    ("bylaw.txt", include_str!("kinds/bylaw.txt")),
    ("labtest.txt", include_str!("kinds/labtest.txt")),
    ("will.txt", include_str!("kinds/will.txt")),
    ("procedure.txt", include_str!("kinds/procedure.txt")),
    ("charter.txt", include_str!("kinds/charter.txt")),
];

/// The built-in kinds; medical and legal ones alternate.
pub(crate) fn kinds() -> Result<Vec<DocumentKind>, KindError> {
    FILES.iter().map(|(file, text)| parse(file, text)).collect()
}

fn parse(file: &'static str, text: &'static str) -> Result<DocumentKind, KindError> {
    let mut kind = DocumentKind::default();
    // Whether a sentence belongs to the last `both` or to the last `fact`.
    let mut in_both = false;
    for (line, content) in (1..).zip(text.lines()) {
        let failed = |reason: &str| KindError { file, line, reason: reason.into() };
        let template = |text: &str| Template::parse(text).map_err(|error| KindError { file, line, reason: error.to_string() });
        let (word, rest) = content.split_once(' ').ok_or_else(|| failed("expected a keyword, a space and its content"))?;
        match word {
            "kind" => {
                let mut parts = rest.split(' ');
                kind.name = parts.next().unwrap_or_default();
                kind.domain = match parts.next() {
                    Some("medical") => Domain::Medical,
                    Some("legal") => Domain::Legal,
                    _ => return Err(failed("expected medical or legal")),
                };
                kind.person = match parts.next() {
                    Some("person") => true,
                    Some("thing") => false,
                    _ => return Err(failed("expected person or thing")),
                };
            }
            "subject" => {
                kind.subject = template(rest)?;
                kind.full = template("{X}")?;
            }
            "full" => kind.full = template(rest)?,
            "nouns" => kind.nouns = rest.split("; ").collect(),
            "title" => kind.titles = rest.split("; ").map(template).collect::<Result<_, _>>()?,
            "intro" => kind.intros.push(template(rest)?),
            "also" => kind.also.push(template(rest)?),
            "let" | "fact" => {
                let (key, value) = rest.split_once(" = ").ok_or_else(|| failed("expected `name = template`"))?;
                let value = template(value)?;
                if word == "let" {
                    kind.lets.push((key, value));
                } else {
                    kind.facts.push(Fact { key, value, says: Vec::new(), asks: Vec::new() });
                }
                in_both = false;
            }
            "both" => {
                let place = |key| kind.facts.iter().position(|fact| fact.key == key);
                let keys = rest.split_once(' ').and_then(|(a, b)| Some([place(a)?, place(b)?]));
                let facts = keys.ok_or_else(|| failed("expected the names of two facts above"))?;
                kind.both.push(Both { facts, says: Vec::new() });
                in_both = true;
            }
            "." if in_both => kind.both.last_mut().ok_or_else(|| failed("a sentence before any fact"))?.says.push(template(rest)?),
            "." => kind.facts.last_mut().ok_or_else(|| failed("a sentence before any fact"))?.says.push(template(rest)?),
            "?" => kind.facts.last_mut().ok_or_else(|| failed("a question before any fact"))?.asks.push(template(rest)?),
            _ => return Err(failed("expected kind, subject, full, nouns, title, let, intro, also, fact, both, `.` or `?`")),
        }
    }
    Ok(kind)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_is_rich_enough() {
        let kinds = kinds().unwrap();
        assert!(kinds.len() >= 15);
        for kind in &kinds {
            assert!(kind.facts.len() >= 12, "{}", kind.name);
            assert!(kind.titles.len() >= 3 && kind.intros.len() >= 4 && kind.also.len() >= 8 && kind.both.len() >= 4, "{}", kind.name);
            for fact in &kind.facts {
                let place = format!("{} {}", kind.name, fact.key);
                assert!(fact.says.len() >= 6, "{place}: {} sentences", fact.says.len());
                assert!(fact.asks.len() >= 4, "{place}: {} questions", fact.asks.len());
                assert!(fact.says.iter().all(|say| say.always("v")), "{place}: a sentence does not state the value");
                assert!(fact.asks.iter().all(|ask| ask.always("F")), "{place}: a question does not name the subject");
            }
            for both in &kind.both {
                let keys = both.facts.map(|fact| kind.facts[fact].key);
                assert!(both.says.len() >= 2, "{} {keys:?}", kind.name);
                assert!(both.says.iter().all(|say| keys.iter().all(|key| say.always(key))), "{} {keys:?}", kind.name);
            }
            let keys: BTreeSet<_> = kind.facts.iter().map(|fact| fact.key).collect();
            assert_eq!(keys.len(), kind.facts.len(), "{}: two facts of one name", kind.name);
        }
    }

    #[test]
    fn errors_name_file_and_line() {
        let error = parse("x.txt", "kind x legal thing\nfact a = [b").unwrap_err();
        assert!(error.to_string().contains("x.txt, line 2: `[` at byte 0 has no partner"), "{error}");
        assert!(parse("x.txt", "both a b").is_err());
        assert!(parse("x.txt", "kind x other thing").is_err());
    }
}
