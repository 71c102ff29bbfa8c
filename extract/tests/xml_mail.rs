//! Damaged and hostile XML and e-mail end in a failure or in a text, never in a panic.

use std::fmt::Write as _;
use std::path::Path;

use mempack_extract::{Extracted, Failure, Input, Limits, Options, extract};
use proptest::prelude::*;

fn read(name: &str, bytes: &[u8]) -> Result<Vec<Extracted>, Failure> {
    let mut documents = Vec::new();
    let limits = Limits { text_bytes: 1 << 20, ..Limits::default() };
    extract(Input::new(name, bytes), &Options { limits, ..Options::default() }, &mut documents)?;
    Ok(documents)
}

fn text(name: &str, file: &str) -> String {
    read(name, file.as_bytes()).unwrap().into_iter().map(|document| document.text).collect()
}

#[test]
fn elements_within_one_another_are_bounded() {
    let deep = |depth: usize| format!("<?xml version='1.0'?><a>{}x{}</a>", "<sec>".repeat(depth), "</sec>".repeat(depth));
    assert_eq!(text("a.xml", &deep(150)), "x\n");
    let lists = format!("<?xml version='1.0'?><a>{}x{}</a>", "<list><item>".repeat(99), "</item></list>".repeat(99));
    assert!(text("a.xml", &lists).ends_with("x\n"));
    assert!(matches!(read("a.xml", deep(100_000).as_bytes()), Err(Failure::TooLarge { .. })));
}

#[test]
fn entities_are_bounded() {
    let file = |declared: &str, used: &str| format!("<!DOCTYPE a [{declared}]><a xmlns='urn:a'>{used}</a>");
    assert_eq!(text("a.xml", &file("<!ENTITY b '<c>5&#x20;mg</c>'>", "<p>&b; &deg;C &amp; &c;</p>")), "5 mg °C & &c;\n");
    assert!(matches!(read("a.xml", file("<!ENTITY b '&b;&b;'>", "&b;").as_bytes()), Err(Failure::Invalid { .. })));
    assert!(matches!(read("a.xml", file("<!ENTITY b '</a><a>'>", "&b;").as_bytes()), Err(Failure::Invalid { .. })));
    let long = format!("<!ENTITY b '{}'>", "x".repeat(100_000));
    assert!(matches!(read("a.xml", file(&long, &"&b;".repeat(1_000)).as_bytes()), Err(Failure::Bomb { .. })));
    assert!(matches!(read("a.xml", file(&long, &format!("<b c='{}'/>", "&b;".repeat(1_000))).as_bytes()), Err(Failure::Bomb { .. })));
    assert_eq!(text("a.xml", &file("<!ENTITY b SYSTEM 'file:///etc/passwd'>", "c&b;")), "c\n");
}

#[test]
fn cells_are_bounded() {
    let rows = "<tr><td rowspan='65000' colspan='1000'>x</td></tr>".to_owned() + &"<tr/>".repeat(20_000);
    let file = format!("<?xml version='1.0'?><a><table>{rows}</table></a>");
    assert!(matches!(read("a.xml", file.as_bytes()), Err(Failure::TooLarge { .. })));
    let words = "x".repeat(100_000);
    let file = format!("<?xml version='1.0'?><a><table><tr><td rowspan='99'>{words}</td></tr>{}</table></a>", "<tr/>".repeat(50));
    assert!(matches!(read("a.xml", file.as_bytes()), Err(Failure::TooLarge { .. })));
}

#[test]
fn encodings_of_xml_are_read() {
    let file = "<?xml version='1.0' encoding='UTF-16'?><a><p>Größe 5 µg</p></a>";
    let wide: Vec<u8> = [0xFF, 0xFE].into_iter().chain(file.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    assert_eq!(read("a", &wide).unwrap()[0].text, "Größe 5 µg\n");
}

#[test]
fn letters_within_letters_are_bounded() {
    let file = "From: a@example.org\nSubject: b\nContent-Type: text/html\n\n".repeat(10_000) + "<p>Text</p>\n";
    assert!(text("a.eml", &file).contains("Text"));
}

#[test]
fn encoded_letters_are_bounded() {
    let inner = "From: a@example.org\nSubject: inner\nContent-Type: message/rfc822\n\n".repeat(60_000).replace('=', "=3D");
    let head = "From: a@example.org\nSubject: outer\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\nText\n--c\n";
    let file = format!("{head}Content-Type: message/rfc822\nContent-Transfer-Encoding: quoted-printable\n\n{inner}\n--c--\n");
    assert_eq!(text("a.eml", &file), "Text\n");
    let inner = "RnJvbTogYUBleGFtcGxlLm9yZwpTdWJqZWN0OiBpbm5lcgoKV2l0aGluLgo=";
    let file = format!("{head}Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n{inner}\n--c--\n");
    assert_eq!(text("a.eml", &file), "Text\nWithin.\n");
}

#[test]
fn japanese_letters_are_read() {
    let head = b"From: a@example.org\nSubject: b\nContent-Type: text/plain; charset=ISO-2022-JP\n\n";
    let file = [head.as_slice(), b"\x1B$B$3$s$K$A$O\x1B(B\n"].concat();
    assert_eq!(read("a.eml", &file).unwrap()[0].text, "こんにちは\n");
}

#[test]
fn boundaries_are_bounded() {
    let mut file = String::from("From: a@example.org\nSubject: b\nContent-Type: multipart/mixed; boundary=c\n\n");
    for number in 0..30_000 {
        write!(file, "--c\nContent-Type: multipart/mixed; boundary=d{number}\n\n").unwrap();
    }
    assert!(matches!(read("a.eml", file.as_bytes()), Err(Failure::TooLarge { .. })));
}

const SAMPLES: [&str; 11] = [
    "trial.nxml",
    "usc_title.xml",
    "public_law.xml",
    "act.akn",
    "act_uk.xml",
    "guideline.xml",
    "news.rss",
    "medicines.xml",
    "reply.eml",
    "archive.mbox",
    "newsletter.eml",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_behind_a_beginning(
        head in prop::sample::select(vec!["<?xml version='1.0'?><a>", "<akomaNtoso xmlns='a'>", "<rss a=''>", "From: a\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n"]),
        tail in prop::collection::vec(prop::sample::select(b"<>&;/='\" \n-b:abc?![]\x00\xC3\xFF".to_vec()), 0..300),
    ) {
        let _ = read("a.xml", &[head.as_bytes(), &tail].concat());
    }

    #[test]
    fn damaged_files(
        name in prop::sample::select(SAMPLES.to_vec()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0usize..60), 1..6),
    ) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files").join(name);
        let mut bytes = std::fs::read(path).unwrap();
        for (from, to, length) in changes {
            // A piece of the file takes the place of another.
            let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
            let piece = bytes[from..(from + length).min(bytes.len())].to_vec();
            bytes.splice(to..(to + length / 2).min(bytes.len()), piece);
        }
        let _ = read(name, &bytes);
    }
}
