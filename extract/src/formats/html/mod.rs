//! Pages of the web: HTML as WHATWG describes it (Living Standard), and XHTML 1 (W3C).
//!
//! The text is the main text of the page: without navigation, banners, comments and what is hidden. Numbers of articles and sections, by
//! their headings or the ids of
//! their elements, are places.

mod content;
mod line;
mod metadata;
mod numbers;
mod table;
mod tree;
mod writer;

use std::collections::HashMap;

use super::Format;
use crate::markdown::Text;
use crate::{Failure, Input, Note, Options, Sink, decode};
use content::Content;
pub(super) use metadata::iso;
use tree::Tree;
use writer::Writer;
pub(super) use writer::page_number;

/// Bytes in which a page says its encoding. WHATWG reads 1024 of them; pages say it later too.
const DECLARED: usize = 8 << 10;

/// Tags that a page begins with.
const FIRST_TAGS: [&str; 8] = ["!doctype html", "html", "head", "title", "body", "meta", "base", "main"];

pub(super) struct Html;

impl Format for Html {
    fn name(&self) -> &'static str {
        "an HTML page"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["html", "htm", "xhtml", "xht"]
    }

    fn recognizes(&self, head: &[u8]) -> bool {
        begins_page(head)
    }

    fn extract(&self, input: Input<'_>, options: &Options, sink: &mut dyn Sink) -> Result<(), Failure> {
        let bytes = input.whole(&options.limits)?;
        let page = decoded(&bytes, sink);
        let tree = Tree::parse(&page, is_xhtml(&page))?;
        let content = Content::of_page(&tree);
        let mut document = metadata::read(&tree, &content);
        let text = Writer::new(&tree, &content, &HashMap::new(), 0, Text::new(&options.limits)).write()?;
        if text.is_empty() {
            return Err(Failure::Empty { advice: "if a script writes the page, open it in a browser and save it from there" });
        }
        if is_cut(&page) {
            sink.note(Note::PartSkipped {
                part: "its end".to_owned(),
                reason: "is missing, as <body> begins and nothing ends it; load the page again".to_owned(),
            });
        }
        (document.text, document.marks) = text.finish();
        let _ = sink.document(document);
        Ok(())
    }
}

/// Adds a chapter of a book to its text. `pages` are those that begin at ids; `title` is the heading of a chapter that has none, and its
/// level.
///
/// # Errors
/// As of [`Format::extract`].
pub(super) fn chapter(
    bytes: &[u8],
    pages: &HashMap<String, u32>,
    title: Option<(u8, &str)>,
    mut text: Text,
    sink: &mut dyn Sink,
) -> Result<Text, Failure> {
    let page = decoded(bytes, sink);
    let tree = Tree::parse(&page, is_xhtml(&page))?;
    let content = Content::of_chapter(&tree);
    let has_words = content.nodes().any(|id| tree.text(id).is_some_and(|text| !text.trim().is_empty()));
    let mut above = 0;
    if let Some((level, title)) = title
        && has_words
        && !content.nodes().any(|id| writer::heading_level(&tree, id).is_some())
    {
        text.heading(level, title)?;
        above = level;
    }
    Writer::new(&tree, &content, pages, above, text).write()
}

/// The text of a page, in the encoding that it has or says that it has.
fn decoded(bytes: &[u8], sink: &mut dyn Sink) -> String {
    decode::text(bytes, declared(&bytes[..bytes.len().min(DECLARED)]).as_deref(), sink)
}

/// Whether a page is XML, where `<a/>` has an end.
fn is_xhtml(page: &str) -> bool {
    let head = &page[..page.floor_char_boundary(DECLARED)];
    page.trim_start_matches('\u{FEFF}').trim_start().starts_with("<?xml")
        || head.contains("<html xmlns")
        || head.contains("http://www.w3.org/1999/xhtml")
}

/// Whether a page says where it begins, and not where it ends.
fn is_cut(page: &str) -> bool {
    let has = |page: &str, tag: &str| {
        page.match_indices('<')
            .any(|(at, _)| page.as_bytes()[at..].get(..tag.len()).is_some_and(|found| found.eq_ignore_ascii_case(tag.as_bytes())))
    };
    has(page, "<html") && has(page, "<body") && !has(page, "</body") && !has(page, "</html")
}

/// Whether these are the first bytes of a page.
fn begins_page(head: &[u8]) -> bool {
    let mut zeros = head.iter().take(64).filter(|byte| **byte == 0).count();
    let text: String = match head {
        // UTF-16 has zeros, in one of two places.
        _ if zeros > 8 => head.iter().filter(|byte| **byte != 0 && byte.is_ascii()).map(|byte| char::from(*byte)).collect(),
        _ => {
            zeros = 0;
            String::from_utf8_lossy(head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head)).into_owned()
        }
    };
    let mut rest = text.trim_start();
    if zeros > 0 {
        rest = rest.trim_start_matches(|c: char| !c.is_ascii_graphic());
    }
    loop {
        rest = rest.trim_start();
        let end = match () {
            () if rest.starts_with("<!--") => "-->",
            () if rest.starts_with("<?xml") => "?>",
            () => break,
        };
        let Some((_, after)) = rest.split_once(end) else { return false };
        rest = after;
    }
    let Some(tag) = rest.strip_prefix('<') else { return false };
    FIRST_TAGS.iter().any(|name| {
        let found = tag.get(..name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name));
        found && tag[name.len()..].starts_with(|c: char| c.is_whitespace() || matches!(c, '>' | '/'))
    })
}

/// The encoding that a page says it has: in a `meta` element, or in the declaration of XML.
fn declared(head: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    // The value after a name and `=`, with or without quotes.
    let value = |text: &str, name: &str| -> Option<String> {
        let rest = text[text.find(name)? + name.len()..].trim_start().strip_prefix('=')?.trim_start();
        let rest = rest.trim_start_matches(['"', '\'']);
        let label: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':' | '.')).collect();
        (!label.is_empty()).then_some(label)
    };
    if let Some(declaration) = head.trim_start().strip_prefix("<?xml").and_then(|rest| rest.split_once("?>"))
        && let Some(encoding) = value(declaration.0, "encoding")
    {
        return Some(encoding);
    }
    let mut rest = &*head;
    while let Some(at) = rest.find("<meta") {
        rest = &rest[at + 5..];
        let tag = rest.split('>').next().unwrap_or_default();
        if let Some(encoding) = value(tag, "charset") {
            return Some(encoding);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Extracted, Limits, Value};

    fn page(html: &str) -> Extracted {
        let mut found: Vec<Extracted> = Vec::new();
        Html.extract(Input::new("a.html", html.as_bytes()), &Options::default(), &mut found).unwrap();
        found.remove(0)
    }

    fn check(html: &str, expected: &str) {
        assert_eq!(page(html).text.trim_end(), expected, "{html}");
    }

    #[test]
    fn pages_are_recognised() {
        for head in
            ["<!DOCTYPE html>", "\u{FEFF}\n<!-- saved --><HTML lang=en>", "<?xml version='1.0'?><!DOCTYPE html PUBLIC ''>", "<title>"]
        {
            assert!(begins_page(head.as_bytes()), "{head}");
        }
        let wide: Vec<u8> = "\u{FEFF}<!DOCTYPE html><html>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(begins_page(&wide));
        for head in ["", "<", "<htmlx>", "<?xml version='1.0'?><article>", "# Title <html>", "<!-- <html>"] {
            assert!(!begins_page(head.as_bytes()), "{head}");
        }
    }

    #[test]
    fn encodings_are_declared() {
        for (head, expected) in [
            ("<meta charset=windows-1251>", Some("windows-1251")),
            ("<META HTTP-EQUIV='Content-Type' CONTENT='text/html; charset=Shift_JIS'>", Some("shift_jis")),
            ("<?xml version='1.0' encoding='iso-8859-2'?>", Some("iso-8859-2")),
            ("<meta name=a><meta charset = \"utf-8\"/>", Some("utf-8")),
            ("<p>charset=x", None),
        ] {
            assert_eq!(declared(head.as_bytes()).as_deref(), expected, "{head}");
        }
    }

    #[test]
    fn lists_have_the_numbers_that_are_seen() {
        check("<ol><li>a<li>b</ol>", "1. a\n2. b");
        check("<ol start=3 type=a><li>x<li value=27>y<li>z</ol>", "c. x\naa. y\nab. z");
        check("<ol reversed type=I><li>x<li>y</ol>", "II. x\nI. y");
        check("<ol style='list-style-type: lower-roman'><li>x<li>y</ol>", "i. x\nii. y");
        check("<ol style='list-style-type:none'><li>(a) x<li>(b) y</ol>", "(a) x\n(b) y");
        check("<ol><li>1. x<li>2) y</ol>", "1. x\n2) y");
        check("<ul><li>• x<li>y<ul><li>z</ul></ul>", "- x\n- y\n   - z");
        check("<ol><li><ol type=a><li>x<li>y</ol><li>z</ol>", "1. a. x\n   b. y\n2. z");
        check("<ol><li><p>x</p><p>y</p></ol>", "1. x\n\ny");
        check("<ul><li>4.2 x</ul>", "4.2 x");
    }

    #[test]
    fn pictures_with_their_captions_stand_apart() {
        let apart = |html: &str| {
            let Extracted { text, marks, .. } = page(html);
            marks.apart().iter().map(|range| text[range.clone()].to_owned()).collect::<Vec<_>>()
        };
        let figure = "<figure><img alt='The four rooms of a heart'><figcaption>Figure 1. A heart</figcaption></figure>";
        assert_eq!(apart(&format!("<p>a{figure}b")), ["[Picture: The four rooms of a heart]\n\nFigure 1. A heart"]);
        assert_eq!(apart("<p>a <img alt='The four rooms of a heart'> b"), ["[Picture: The four rooms of a heart]"]);
        assert!(
            apart("<p>a <img alt='A heart'> b<figure><table><tr><td>1<td>2<tr><td>3<td>4</table><figcaption>Doses in mg a day</figure>")
                .is_empty()
        );
    }

    #[test]
    fn blocks_and_words() {
        check("<h2>T<a href=#t>¶</a></h2>a<br>b<br><br>c<div>d</div>e", "## T\n\na\nb\n\nc\n\nd\n\ne");
        check(
            "<p>10<sup>3</sup> m<sup>2</sup>, CO<sub>2</sub>, x<sup>a+b</sup>, 1<sup>st</sup>, 5<sup>a</sup>",
            "10³ m², CO2, x^(a+b), 1st, 5^a",
        );
        check("<p>See<sup><a href=#n>1</a></sup>, <q>so</q>, <del>5</del> <ins>10</ins> mg", "See[1], “so”, ~~5~~ 10 mg");
        check("<p><ruby>漢字<rp>(</rp><rt>かんじ</rt><rp>)</rp></ruby>を", "漢字(かんじ)を");
        check("<blockquote><p>a<br>b</blockquote><pre>\n x  y\n  z</pre>", "> a\n> b\n\n```\n x  y\n  z\n```");
        check("<dl><dt>Dose<dd>5 mg<dd>10 mg<dt>Age:<dd>over 6<dt>Sex</dl>", "- Dose: 5 mg\n- Dose: 10 mg\n- Age: over 6\n- Sex");
        check("<dl><dt>Dose<dd><p>5 mg<p>at most<dt>Age<dd><ul><li>6<li>7</ul></dl>", "- Dose: 5 mg\n\nat most\n\n- Age:\n   - 6\n   - 7");
        check("<figure><img src=a.png alt='A box'><figcaption>Box 1</figcaption></figure>", "[Picture: A box]\n\nBox 1");
        check("<p>a <img alt='A box'> b<img alt='x.png'><img alt=''><p>c", "a b\n\n[Picture: A box]\n\nc");
        check("<details><summary>Q</summary><p>A</details>", "Q\n\nA");
        check("<p>so<wbr>-called&nbsp;x&shy;y", "so-called xy");
        check("<p>a <math><mfrac><mi>a</mi><mn>2</mn></mfrac></math>", "a a/2");
    }

    #[test]
    fn tables_are_filled_in() {
        check(
            "<table><caption>Doses</caption><tr><th rowspan=2>Age<th colspan=2>Dose<tr><th>day<th>night<tr><td rowspan=2>6<td colspan=2>5 mg<tr><td>1<td>2</table>",
            "Doses\n\n| Age | Dose, day | Dose, night |\n|---|---|---|\n| 6 | 5 mg | 5 mg |\n| 6 | 1 | 2 |",
        );
        check("<table><tr><th>Name<td>Zorvex<tr><th>Dose<td>5 mg</table>", "- Name: Zorvex\n- Dose: 5 mg");
        check("<table><tr><td>(a)<td>x<tr><td>(b)<td>y</table>", "(a) x\n(b) y");
        check("<table role=presentation><tr><td><h2>x</h2><td>y</table>", "## x\n\ny");
        check("<table><tr><td>a<td>b</table>", "a\n\nb");
        check("<table><tr><td><b>a</b><td><b>b</b><tr><td>c<td><ul><li>d<li>e</ul></table>", "| a | b |\n|---|---|\n| c | d; e |");
        let wide = format!("<table>{}</table>", "<tr><td colspan=1000 rowspan=9999>x<th>y".repeat(3000));
        assert!(page(&wide).text.len() < 10 << 20);
    }

    #[test]
    fn sections_are_places() {
        let found = page(
            "<h2>Chapter I</h2><h3>Article 1</h3><p>(1) a</p><p>(2) b:</p><ol style='list-style-type:none'><li>(a) c<li>(b) d</ol><h2>Chapter II</h2><p>e</p>\
             <div id=art_7><p>f</p></div><p>g</p><p><b>§ 8.</b> h</p>",
        );
        let place = |words: &str| {
            let at = found.text.find(words).unwrap();
            found.marks.places(at, at + 1).to_string()
        };
        let places: Vec<String> = ["(1) a", "(2) b", "(a) c", "(b) d", "e\n", "f\n", "g\n", "§ 8. h"].into_iter().map(place).collect();
        assert_eq!(places, ["Art. 1(1)", "Art. 1(2)", "Art. 1(2)(a)", "Art. 1(2)(b)", "", "Art. 7", "", "§ 8"]);
    }

    #[test]
    fn what_a_page_states_is_read() {
        let found = page(
            "<html lang=de><head><title>Zorvex | Amt</title><meta name=author content=A><meta property=og:site_name content=Amt>\
             <script type='application/ld+json'>{\"@graph\":[{\"@type\":\"WebPage\",\"datePublished\":\"2024-03-05T10:00\"}]}</script>\
             <link rel=license href=https://example.org/by></head><body><p>Die Dosis ist 5 mg, zweimal am Tag.",
        );
        assert_eq!(found.title.as_deref(), Some("Zorvex"));
        assert_eq!(found.date.as_deref(), Some("2024-03-05"));
        assert_eq!(found.license.as_deref(), Some("https://example.org/by"));
        let text = |text: &str| Value::Text(text.to_owned());
        assert_eq!(found.fields[..2], [("language".to_owned(), text("de")), ("author".to_owned(), text("A"))]);
    }

    #[test]
    fn hostile_pages_end() {
        let mut found: Vec<Extracted> = Vec::new();
        let mut read = |html: &str, limits: Limits| {
            Html.extract(Input::new("a.html", html.as_bytes()), &Options { limits, ..Options::default() }, &mut found)
        };
        for tag in ["div", "ul><li", "table><tr><td", "blockquote", "b", "dl><dt", "sup", "ruby><rt", "math", "h1"] {
            read(&format!("{}x", format!("<{tag}>").repeat(30_000)), Limits::default()).unwrap();
        }
        assert!(matches!(read("", Limits::default()), Err(Failure::Empty { .. })));
        let small = Limits { text_bytes: 100, ..Limits::default() };
        assert!(matches!(read(&"<p>words".repeat(100), small), Err(Failure::TooLarge { .. })));
    }
}
