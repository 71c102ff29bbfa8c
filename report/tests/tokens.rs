//! The map of tokens over a text, by the tokenizer of the quick model.
#![cfg(feature = "tokenizer")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Words, all, attribute, elements, inside, nodes, page, text};
use mempack_format::Digest;
use mempack_report::{ReportError, ReportOptions, report};
use mempack_runtime::MappedPack;
use tokenizers::Tokenizer;

fn tokenizer() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/tiny/tokenizer.json")
}

fn with(path: &Path) -> ReportOptions {
    ReportOptions { tokenizer: Some(path.to_owned()), ..all() }
}

/// Ids and byte ranges of a text.
fn encode(text: &str) -> Vec<(u32, (usize, usize))> {
    let mut tokenizer = Tokenizer::from_file(tokenizer()).unwrap();
    tokenizer.set_encode_special_tokens(true);
    let encoding = tokenizer.encode(text, false).unwrap();
    encoding.get_ids().iter().copied().zip(encoding.get_offsets().iter().copied()).collect()
}

fn words<'a>(references: &'a [(&'a str, u16)], title: &'a str, template: &'a str) -> Words<'a> {
    let digest = Digest::of(&fs::read(tokenizer()).unwrap());
    Words { file: "tokens", model: "tiny", template, tokenizer: digest, document: ["id", title, "source"], field: ["f", "v"], references }
}

const TEXTS: [&str; 4] = ["The usual adult dose is 40 mg twice daily.", "Ünïcödé 法律 and 🦀 <b>\n\n  tabs\tand lines", "a", "   "];

#[test]
fn every_token_has_its_place_in_the_text() {
    let folder = tempfile::tempdir().unwrap();
    let read = |text: &str| format!("Ref: Dose. {text}");
    let counted: Vec<(&str, u16)> = TEXTS.iter().map(|text| (*text, encode(&read(text)).len() as u16)).collect();
    let path = words(&counted, "Dose", "Ref: {text}").write(folder.path());
    let nodes = nodes(&page(&path, &with(&tokenizer())));
    for (number, (source, tokens)) in counted.iter().enumerate() {
        let article = inside(&nodes, &format!("reference-{number}"));
        let map = elements(article, "p", Some("map"))[0];
        assert_eq!(text(map), read(source), "title, template and text are shown as they were read");
        let spans = encode(&read(source));
        let mut seen = 0;
        for piece in elements(map, "span", Some("token")) {
            let numbers: Vec<usize> =
                attribute(piece, "title").split("; ").map(|one| one.split([' ', ':']).nth(1).unwrap().parse().unwrap()).collect();
            for token in &numbers {
                assert_eq!(*token, seen, "tokens in order");
                let (start, end) = spans[*token].1;
                assert!(text(piece).contains(&read(source)[start..end]), "token {token}: {:?}", text(piece));
                seen += 1;
            }
            // Token 0 is kept by both heads, token r of reference r by one.
            let heads = if numbers.contains(&0) { 2 } else { usize::from(number > 0 && numbers.contains(&number)) };
            assert_eq!(attribute(piece, "class"), ["token k0", "token k4", "token k5"][heads], "{numbers:?}");
        }
        assert_eq!(seen, usize::from(*tokens));
    }
    let crab = text(
        elements(elements(inside(&nodes, "reference-1"), "p", Some("map"))[0], "span", None)
            .iter()
            .find(|p| text(p).contains('🦀'))
            .unwrap(),
    );
    assert!(crab.contains('🦀'), "the bytes of a character are one piece");
}

#[test]
fn what_cannot_be_told_is_said() {
    let folder = tempfile::tempdir().unwrap();
    // A number of tokens that is not that of the text.
    let path = words(&[("one two three", 99)], "", "{text}").write(folder.path());
    let nodes = nodes(&page(&path, &with(&tokenizer())));
    let article = inside(&nodes, "reference-0");
    assert!(text(article).contains("the memory was written from 99"), "{}", text(article));
    assert_eq!(elements(elements(article, "p", Some("cells"))[0], "span", Some("token")).len(), 99);
    assert!(elements(article, "p", Some("map")).is_empty());
}

#[test]
fn another_tokenizer_is_refused_by_its_digest() {
    let folder = tempfile::tempdir().unwrap();
    let path = words(&[("one", 1)], "", "{text}").write(folder.path());
    let pack = MappedPack::open(&path).unwrap();
    let other = folder.path().join("tokenizer.json");
    fs::write(&other, [fs::read(tokenizer()).unwrap(), b"\n".to_vec()].concat()).unwrap();
    let error = report(&pack, &with(&other)).unwrap_err();
    let ReportError::OtherTokenizer { expected, found, .. } = &error else { panic!("{error}") };
    assert!(*expected == pack.manifest().model.tokenizer && expected != found);
    assert!(error.to_string().contains(&found.to_string()) && error.to_string().contains("tiny") && !error.is_damage(), "{error}");
    fs::write(&other, "no tokenizer").unwrap();
    for (path, words) in [(other.as_path(), "no tokenizer"), (folder.path(), "cannot be read"), (Path::new("/no/such"), "cannot be read")] {
        let error = report(&pack, &with(path)).unwrap_err();
        assert!(matches!(error, ReportError::Tokenizer { .. }) && error.to_string().contains(words), "{error}");
    }
}
