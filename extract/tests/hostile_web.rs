//! HTML and EPUB of any bytes end, without a panic.

use std::io::{Cursor, Read, Write};

use mempack_extract::{Extracted, Failure, Input, Limits, Options, extract};
use proptest::prelude::*;

const PAGES: [&str; 4] = [
    include_str!("files/act.html"),
    include_str!("files/leaflet.html"),
    include_str!("files/news.html"),
    include_str!("files/regulation.html"),
];
const BOOK: &[u8] = include_bytes!("files/handbook.epub");

fn read(name: &str, bytes: &[u8], limits: Limits) -> Result<Vec<Extracted>, Failure> {
    let mut found = Vec::new();
    extract(Input::new(name, bytes), &Options { limits, ..Options::default() }, &mut found)?;
    for document in &found {
        assert!(document.marks.iter().all(|(at, _)| document.text.is_char_boundary(at)));
    }
    Ok(found)
}

/// The book with one of its files replaced.
fn book_with(name: &str, content: &[u8]) -> Vec<u8> {
    let mut old = zip::ZipArchive::new(Cursor::new(BOOK)).unwrap();
    let mut new = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for number in 0..old.len() {
        let mut file = old.by_index(number).unwrap();
        let found = file.name().unwrap().into_owned();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        new.start_file(found.as_str(), zip::write::SimpleFileOptions::default()).unwrap();
        new.write_all(if found == name { content } else { &bytes }).unwrap();
    }
    new.finish().unwrap().into_inner()
}

#[test]
fn books_that_are_bombs_are_refused() {
    let bomb = book_with("EPUB/text/c2.xhtml", &vec![b' '; 20 << 20]);
    assert!(matches!(read("a.epub", &bomb, Limits::default()), Err(Failure::Bomb { .. })));
    let entities: String = (1..20).map(|number| format!("<!ENTITY a{number} \"{}\">", format!("&a{};", number - 1).repeat(10))).collect();
    let package = format!("<!DOCTYPE package [<!ENTITY a0 \"0123456789\">{entities}]><package>&a19;</package>");
    let laughs = book_with("EPUB/package.opf", package.as_bytes());
    assert!(matches!(read("a.epub", &laughs, Limits::default()), Err(Failure::Invalid { .. })));
    let deep = book_with("EPUB/nav.xhtml", "<ol>".repeat(100_000).as_bytes());
    assert!(read("a.epub", &deep, Limits::default()).is_ok());
    let deep = book_with("EPUB/text/c2.xhtml", "<div>".repeat(100_000).as_bytes());
    assert!(read("a.epub", &deep, Limits::default()).is_ok());
}

/// A line that begins anew, or words that stand elsewhere, within an element that is taken back or marked: a byte of the old line is none of the new one.
#[test]
fn lines_that_begin_within_an_element_are_read() {
    let page = "<span epub:type=pagebreak title=4></span>";
    for (html, expected) in [
        ("<p>a<del>x<br><br>é</del>b".to_owned(), "a~~x\n\néb\n"),
        ("<p><b><del></del></b>aé<b>x</b>".to_owned(), "aéx\n"),
        (format!("<dl><dt>é{page}</dt>aé</dl>"), "- é\n\naé\n"),
        (format!("<dl><dt>long words{page}</dt><dt>b{page}</dt><dd>c</dd></dl>"), "- long words, b: c\n"),
        (format!("<p>1<sup>2{page}3</sup>é"), "1²³é\n"),
    ] {
        let found = read("a.html", format!("<!DOCTYPE html><body>{html}").as_bytes(), Limits::default()).unwrap();
        assert_eq!(found[0].text, expected, "{html}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn pages_of_any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let _ = read("a.html", &[b"<!DOCTYPE html>".as_slice(), &bytes].concat(), Limits::default());
    }

    #[test]
    fn pages_of_any_tags_end(tags in prop::collection::vec(prop::sample::select(vec![
        "<p>", "</p>", "<table>", "</table>", "<tr>", "<td rowspan=0 colspan=3>", "<th>", "<ul>", "<ol start=-5 reversed>", "<li>", "</li>", "</ul>",
        "<b>", "</b>", "<a name=art5>", "<h2>", "</h2>", "<section id=art_7>", "</section>", "Article 5", "(a) x", "3. y", "<sup>", "</sup>", "é¹",
        "<br>", "<dl>", "<dt>", "<dd>", "<pre>", "<img alt=z>", "<del>", "</del>", "<span epub:type=pagebreak title=4>", "<math>", "<svg>", "§ 5", " ",
        "<blockquote>", "</blockquote>", "<figure>", "<template>", "<select>", "<ruby>", "<rt>", "<main>", "<nav>", "<caption>", "<q>", "4.2 w",
    ]), 0..80)) {
        let _ = read("a.html", format!("<html>{}", tags.concat()).as_bytes(), Limits::default());
    }

    #[test]
    fn pages_that_are_damaged_end(page in 0..PAGES.len(), cut in 0..4000usize, at in 0..4000usize, byte in any::<u8>()) {
        let mut bytes = PAGES[page].as_bytes().to_vec();
        bytes.truncate(cut.max(20));
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = read("a.html", &bytes, Limits::default());
    }

    #[test]
    fn books_that_are_damaged_end(cut in 0..BOOK.len(), changes in prop::collection::vec((0..BOOK.len(), any::<u8>()), 0..4), whole in any::<bool>()) {
        let mut bytes = BOOK.to_vec();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        bytes.truncate(if whole { BOOK.len() } else { cut });
        let _ = read("a.epub", &bytes, Limits::default());
    }

    #[test]
    fn packages_that_are_damaged_end(at in 0..1500usize, text in "[<>&;\"a-z/=]{0,6}") {
        let mut old = zip::ZipArchive::new(Cursor::new(BOOK)).unwrap();
        let mut package = String::new();
        old.by_name("EPUB/package.opf").unwrap().read_to_string(&mut package).unwrap();
        let at = package.floor_char_boundary(at % package.len());
        package.replace_range(at..at, &text);
        let _ = read("a.epub", &book_with("EPUB/package.opf", package.as_bytes()), Limits::default());
    }
}
