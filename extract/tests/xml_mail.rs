//! Damaged and hostile XML and e-mail end in a failure or in a text, never in a panic.

use std::fmt::Write as _;
use std::path::Path;

use mempack_extract::{Extracted, Failure, Gathered, Input, Limits, Note, Options, XmlRules, extract};
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

fn read_by(rules: &str, file: &[u8]) -> Result<Gathered, Failure> {
    let mut ruled = Gathered::default();
    let limits = Limits { text_bytes: 1 << 20, ..Limits::default() };
    let options = Options { xml_rules: Some(XmlRules::parse("r.toml", rules).unwrap()), limits, ..Options::default() };
    extract(Input::new("a.xml", file), &options, &mut ruled)?;
    Ok(ruled)
}

/// The text and the places of one document.
fn ruled(rules: &str, body: &str) -> (String, Vec<String>) {
    let found = read_by(&format!("[elements]\n{rules}"), format!("<?xml version='1.0'?><a>{body}</a>").as_bytes()).unwrap();
    let document = &found.documents[0];
    let places = document.marks.iter().map(|(at, place)| format!("{at} {place:?}")).collect();
    (document.text.clone(), places)
}

#[test]
fn the_rule_that_is_most_precise_counts() {
    let rules = "x = 'skip'\n'y/x' = 'paragraph'\n'z/y/x' = 'heading'\n'x[@k]' = 'item'\n'x[@k=\"2\"]' = 'preformatted'\n";
    assert_eq!(ruled(rules, "<x>no</x><y><x>one</x></y><z><y><x k='1'>two</x></y></z>").0, "one\n\n# two\n");
    assert_eq!(ruled(rules, "<x k='1'>one</x><x k='2'>two</x><y><x k='2'>three</x></y>").0, "- one\n\n```\ntwo\n```\n\nthree\n");
    // By prefix where the rule has one.
    assert_eq!(ruled("'p:x' = 'skip'", "<p:x>no</p:x><q:x>yes</q:x>").0, "x: yes\n");
}

#[test]
fn numbers_of_parts_are_places() {
    let rules = "s = { role = 'section', number = '@n', heading = 'h' }\nt = { role = 'section', number = 'no', cite = 'r.' }\n\
                 p = { role = 'paragraph', number = '@n' }\n";
    let (text, places) = ruled(rules, "<s n='2'><h>Dues</h><p n='1'>One.</p><p n='2'><b>Two</b></p></s><s n='3'><p>Three.</p></s>");
    assert_eq!(text, "# 2 Dues\n\n1. One.\n2. Two\n\n# 3\n\nThree.\n");
    let section = |at: &str, name: &str| format!("{} Section({name:?})", text.find(at).unwrap());
    assert_eq!(places, [section("# 2", "2"), section("1.", "2(1)"), section("2. T", "2(2)"), section("# 3", "3")]);
    let (text, places) = ruled(rules, "<s n='2'><t><no>Rule 7</no><p n='a)'>One.</p></t></s>");
    assert_eq!((text.as_str(), places.len()), ("# 2\n\n## Rule 7\n\na) One.\n", 3));
    assert!(places[2].ends_with("Section(\"r. 7(a)\")"), "{places:?}");
}

#[test]
fn pages_begin_where_they_are() {
    let rules = "b = { role = 'page', number = '@n' }\nd = 'table'\nr = 'row'\n";
    let body = "<b n='1'/><p>One <b n='2'/>two.</p><title>Th<b n='3'/>ree</title><d><r><c>x1</c><e>y1</e></r><b n='4'/><r><c>x2</c><e>y2</e></r></d><p>f<b n='S. 5'/></p><p>six<b n='x'/></p>";
    let (text, places) = ruled(rules, body);
    assert_eq!(text, "One two.\n\n# Three\n\n| c | e |\n|---|---|\n| x1 | y1 |\n| x2 | y2 |\n\nf\n\nsix\n");
    let page = |at: &str, number: u32| format!("{} Page({number})", text.find(at).unwrap());
    assert_eq!(places, [page("One", 1), page("two", 2), page("# T", 3), page("| x2", 4), page("six", 5)]);
}

#[test]
fn documents_have_what_rules_state() {
    let rules = "root = 'a'\n[elements]\nd = { role = 'document', id = '@id', fields = { source = 'q/@url' } }\ndate = 'field:date'\n\
                 k = 'field:key'\nname = 'title'\nq = 'skip'\n";
    let file = "<a><date>2027</date><k>all</k><d id='1'><name>One</name><k>x</k><k>y</k><q url='u'>no</q><p>first</p><d id='2'><p>inner</p></d></d>\
                <d><name>Alone</name><name>again</name></d><d id='4'><q/></d></a>";
    let found = read_by(rules, file.as_bytes()).unwrap();
    let shown: Vec<_> = found.documents.iter().map(|d| (d.name.as_str(), d.id.as_deref(), d.date.as_deref(), d.text.as_str())).collect();
    let expected =
        [("1", Some("1"), Some("2027"), "first\n"), ("2", Some("2"), Some("2027"), "inner\n"), ("Alone", None, Some("2027"), "# again\n")];
    assert_eq!(shown, expected);
    assert_eq!(found.documents[0].source.as_deref(), Some("u"));
    let fields = |at: usize| format!("{:?}", found.documents[at].fields);
    assert_eq!((fields(0), fields(1)), ("[(\"key\", Text(\"x\")), (\"key\", Text(\"y\"))]".into(), "[(\"key\", Text(\"all\"))]".into()));
    assert_eq!(found.notes, [Note::XmlRules { unmatched: vec![] }]);
}

#[test]
fn the_example_of_the_manual_is_what_comes_of_it() {
    let manual = include_str!("../../docs/corpora.md");
    let block = |kind: &str| manual.split_once(&format!("```{kind}\n")).and_then(|(_, rest)| rest.split_once("```")).unwrap().0;
    let found = read_by(block("toml"), block("xml").as_bytes()).unwrap();
    assert_eq!(found.notes, [Note::XmlRules { unmatched: vec![] }]);
    let [document] = found.documents.as_slice() else { panic!("{:?}", found.documents) };
    assert_eq!(document.text, block("text"));
    assert_eq!((document.id.as_deref(), document.date.as_deref()), (Some("2027-114"), Some("2027-03-02")));
    let end = document.marks.places(0, document.text.len());
    assert_eq!(end.to_string(), "p. 411, Part 2 to § 3");
}

#[test]
fn rules_without_a_root_leave_known_formats_alone() {
    let rules = "[elements]\np = 'skip'\nitem = 'skip'\n";
    let kept = "<article xmlns:x='y'><front/><body><p>Read.</p></body></article>";
    assert_eq!(read_by(rules, kept.as_bytes()).unwrap().documents[0].text, "Read.\n");
    let feed =
        "<rss version='2.0'><channel><title>News</title><item><title>A</title><description>Read.</description></item></channel></rss>";
    assert_eq!(read_by(rules, feed.as_bytes()).unwrap().documents[0].text, "Read.\n");
    let root = format!("root = 'article'\n{rules}");
    assert!(matches!(read_by(&root, kept.as_bytes()), Err(Failure::Empty { .. })));
}

#[test]
fn lines_of_programs_end_in_line_feeds() {
    let file = "<?xml version='1.0'?><a><pre>a&#13;&#10;  b&#13;c</pre></a>";
    assert_eq!(text("a.xml", file), "```\na\n  b\nc\n```\n");
}

#[test]
fn messages_give_no_orders_to_a_terminal() {
    let file = "From: a@example.org\nSubject: b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\nText\n--c\n\
                Content-Type: application/pdf\nContent-Disposition: attachment; filename=\"\u{1B}[2J.pdf\"\n\nx\n--c--\n";
    let mut found = Gathered::default();
    extract(Input::new("a.eml", file.as_bytes()), &Options::default(), &mut found).unwrap();
    let notes: Vec<String> = found.notes.iter().map(Note::to_string).collect();
    assert!(notes[0].contains("[2J.pdf") && notes.iter().all(|note| !note.contains(char::is_control)), "{notes:?}");
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

/// Roles of rules.
const ROLES: [&str; 20] = [
    "{ role = 'document', id = '@n', title = 'b' }",
    "'title'",
    "{ role = 'section', number = 'c', heading = 'b/c', cite = '§' }",
    "'section'",
    "'heading'",
    "'number'",
    "{ role = 'paragraph', number = '@n' }",
    "'list'",
    "{ role = 'item', number = 'c' }",
    "'table'",
    "'row'",
    "{ role = 'row', header = true }",
    "'cell'",
    "'inline'",
    "'line'",
    "'note'",
    "'quote'",
    "'preformatted'",
    "{ role = 'field:k', value = 'c/@n' }",
    "'page'",
];

/// Parts of elements.
const PARTS: [&str; 10] = ["<a>", "<b>", "<c>", "<c n='3'>", "<b n='é)'/>", "</>", "</>", "<c n='7'/>", "Wörter ", "\u{FDD0}2\u{FDD0}"];

const SAMPLES: [&str; 14] = [
    "trial.nxml",
    "usc_title.xml",
    "public_law.xml",
    "act.akn",
    "act_uk.xml",
    "guideline.xml",
    "news.rss",
    "medicines.xml",
    "ordinance.xml",
    "medicine_db.xml",
    "cms_pages.xml",
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
    fn any_rules_for_any_elements(
        roles in prop::collection::vec(prop::sample::select(ROLES.to_vec()), 4),
        parts in prop::collection::vec(prop::sample::select(PARTS.to_vec()), 0..60),
    ) {
        let rules: String = ["a", "b", "b/c", "c[@n]"].iter().zip(roles).map(|(name, role)| format!("'{name}' = {role}\n")).collect();
        let mut open = Vec::new();
        let mut body = String::from("<?xml version='1.0'?><x>");
        for part in parts {
            match part.strip_prefix('<').and_then(|tag| tag.split([' ', '>']).next()) {
                Some("/") => body.push_str(&open.pop().map_or(String::new(), |name| format!("</{name}>"))),
                Some(name) if !part.ends_with("/>") => {
                    open.push(name);
                    body.push_str(part);
                }
                _ => body.push_str(part),
            }
        }
        open.iter().rev().for_each(|name| body.push_str(&format!("</{name}>")));
        match read_by(&format!("[elements]\n{rules}"), format!("{body}</x>").as_bytes()) {
            Ok(found) => {
                for document in found.documents {
                    for (at, _) in document.marks.iter() {
                        prop_assert!(document.text.is_char_boundary(at), "{rules}{body}");
                    }
                }
            }
            Err(Failure::Empty { .. }) => {}
            Err(failure) => prop_assert!(false, "{failure}\n{rules}{body}"),
        }
    }

    #[test]
    fn damaged_files(
        name in prop::sample::select(SAMPLES.to_vec()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0usize..60), 1..6),
    ) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files").join(name);
        let mut bytes = std::fs::read(&path).unwrap();
        for (from, to, length) in changes {
            // A piece of the file takes the place of another.
            let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
            let piece = bytes[from..(from + length).min(bytes.len())].to_vec();
            bytes.splice(to..(to + length / 2).min(bytes.len()), piece);
        }
        let _ = match std::fs::read_to_string(format!("{}.rules.toml", path.display())) {
            Ok(rules) => read_by(&rules, &bytes).map(drop),
            Err(_) => read(name, &bytes).map(drop),
        };
    }
}
