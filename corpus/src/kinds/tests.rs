use std::process::Command;

use super::*;
use crate::CorpusError;

/// What a reader says about a file of these bytes.
fn refused(path: &str, bytes: &[u8]) -> String {
    let error = match check(path, &bytes[..bytes.len().min(4096)]) {
        Err(error) => error,
        Ok(()) => match std::str::from_utf8(bytes) {
            Err(error) => not_utf8(path, bytes, 0, error.valid_up_to()),
            Ok(_) => panic!("{path} is a text"),
        },
    };
    error.to_string()
}

#[test]
fn files_are_known_by_their_first_bytes() {
    let cases: [(&str, &[u8], &str); 15] = [
        ("a.txt.gz", b"\x1F\x8B\x08\0", "this is a gzip file; unpack it: gzip -dc a.txt.gz > a.txt"),
        ("a.txt", b"\x1F\x8B\x08\0", "make a text of it: gzip -dc a.txt > a.new.txt"),
        ("standard input", b"\x1F\x8B\x08\0", "pass it through gzip -dc"),
        ("a b.txt", b"%PDF-1.7\n", "this is a PDF"),
        ("a b.docx", b"PK\x03\x04\0word/document.xml", "pandoc -f docx -t plain 'a b.docx' > 'a b.txt'"),
        ("a.txt", b"PK\x03\x04\0a.txt", "a zip archive"),
        ("a.md", b"version https://git-lfs.github.com/spec/v1\noid", "a git-LFS pointer"),
        ("a.txt", b"PAR1\x15\x04", "a Parquet table"),
        ("a.txt", &mempack_format::MAGIC, "a memory pack"),
        ("a.txt", b"GGUF\x03\0\0\0", "a model in GGUF"),
        ("a.txt", b"words\0words", "binary data (a NUL at byte 5)"),
        ("a.txt", b"\x01\x02\x03words", "binary data (3 of its first 8 bytes are control characters)"),
        ("a.txt", b"\xFF\xFEa\0", "text in UTF-16, expected UTF-8; convert it: iconv -f UTF-16 -t UTF-8 a.txt > a.utf8.txt"),
        ("a.txt", b"w\0o\0r\0d\0s\0 \0", "text in UTF-16LE"),
        ("a.txt", b"\0w\0o\0r\0d\0s", "text in UTF-16BE"),
    ];
    for (path, bytes, expected) in cases {
        let found = refused(path, bytes);
        assert!(found.contains(expected), "{found} / {expected}");
    }
}

/// `text` in an encoding of iconv; `None` where there is no iconv.
fn encoded(text: &str, encoding: &str) -> Option<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("text");
    std::fs::write(&file, text).unwrap();
    let output = Command::new("iconv").args(["-f", "UTF-8", "-t", encoding]).arg(&file).output().ok()?;
    assert!(output.status.success(), "{encoding}");
    Some(output.stdout)
}

/// The command of the advice gives back the text.
#[test]
fn the_command_that_is_given_converts_the_text() {
    let texts = [
        ("GB18030", "第一条 为了保护公民的合法权益，制定本法。\n第二条 国家保护公民的权利，任何人不得侵犯。\n"),
        ("BIG5", "第一條 為保障人民之權利，特制定本法。\n第二條 國家應保護人民之權利，任何人不得侵犯之。\n"),
        ("SHIFT_JIS", "第一条　この法律は、国民の権利を守ることを目的とする。\nすべての国民は、これを守らなければならない。\n"),
        ("EUC-KR", "제1조 이 법은 국민의 권리를 보호함을 목적으로 한다.\n제2조 모든 국민은 법 앞에 평등하다.\n"),
        ("WINDOWS-1251", "Статья 1. Настоящий закон защищает права граждан. Каждый имеет право на жизнь и свободу.\n"),
        ("WINDOWS-1252", "Die Kündigungsfrist beträgt drei Monate. Für Räume gilt die kürzere Frist, außer an Feiertagen.\n"),
        ("UTF-16LE", "第一条 为了保护公民的合法权益，制定本法。\n第二条 国家保护公民。\n"),
        ("UTF-16", "A notice of a month.\n"),
        ("UTF-32", "A notice of a month.\n"),
        ("UTF-32BE", "A notice of a month.\n"),
    ];
    for (encoding, text) in texts {
        let Some(bytes) = encoded(text, encoding) else { return };
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("law text.txt");
        std::fs::write(&file, &bytes).unwrap();
        let advice = refused(&file.to_string_lossy(), &bytes);
        let command = &advice[advice.find("iconv").unwrap_or_else(|| panic!("{encoding}: {advice}"))..];
        assert!(Command::new("sh").args(["-c", command]).status().unwrap().success(), "{command}");
        let converted = std::fs::read_to_string(folder.path().join("law text.utf8.txt")).unwrap();
        assert_eq!(converted.trim_start_matches('\u{FEFF}'), text, "{encoding}: {advice}");
    }
}

#[test]
fn damaged_utf8_is_told_from_other_encodings() {
    let mut bytes = "Für Räume gilt die kürzere Frist über Ostern. ".repeat(4).into_bytes();
    bytes.extend(b"\xFF and words");
    assert!(refused("a.txt", &bytes).contains("the rest of it is, so it was damaged"));
    let cut = "第一条 为了保护".as_bytes();
    assert!(refused("a.txt", &cut[..cut.len() - 1]).contains("ends within a character and was cut off"));
}

#[test]
fn files_of_other_extensions_are_told_what_to_do() {
    let cases: [(&str, &[u8], &str); 9] = [
        ("a.json", b"[{\"text\": 1}]", "jq -c '.[]' a.json > a.jsonl"),
        ("a.json", b"{\n\"text\": \"b\"\n}", "jq -c . a.json > a.jsonl"),
        (
            "a.json",
            b"{\"text\": \"b\"}\n{\"text\": \"c\"}\n",
            "one object a line already; give it the extension .jsonl: cat a.json > a.jsonl",
        ),
        ("a.html", b"<p>words", "pandoc -f html -t plain a.html > a.txt"),
        ("page", b"<!DOCTYPE html><p>words", "it is HTML"),
        ("a.csv", b"a,b\n", "one JSON object a line"),
        ("README", b"words", "give it the extension .txt: cat README > README.txt"),
        ("a.pdf", b"%PDF-1.4", "this is a PDF"),
        ("it's.log", b"words", r"cat 'it'\''s.log' > 'it'\''s.txt'"),
    ];
    for (path, bytes, expected) in cases {
        let found = unknown_extension(path, bytes).to_string();
        assert!(found.contains(expected), "{found} / {expected}");
    }
    assert!(matches!(unknown_extension("a.csv", b"a"), CorpusError::UnknownKind { .. }));
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_judged(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400), path in "[a-z' \n-]{0,6}(.json|.txt|)") {
        let _ = check(&path, &bytes);
        let _ = unknown_extension(&path, &bytes);
        if let Err(error) = std::str::from_utf8(&bytes) {
            let _ = not_utf8(&path, &bytes, 0, error.valid_up_to()).to_string();
        }
    }

    #[test]
    fn a_text_is_never_taken_for_another_encoding(text in "([ -~]|[一-龥]|[а-я]|[à-ü]|\n){0,200}") {
        if !text.is_empty() && kinds_known(&text) {
            proptest::prop_assert!(check("a.txt", text.as_bytes()).is_ok(), "{:?}", text);
        }
    }
}

/// Whether a text begins with no magic number by chance.
fn kinds_known(text: &str) -> bool {
    !["PK", "BZh", "GIF8", "ID3", "GGUF", "OggS", "7z", "PAR1"].iter().any(|magic| text.starts_with(magic))
}
