//! JSON (RFC 8259) with rows in any layout: a list of objects, an object with such a list within (`{"data": [...]}`), objects one after another, JSON lines,
//! and JSON text sequences (RFC 7464). A row is a document, see [`rows`](super::rows); an object alone is one row.
//!
//! A file is read as a stream, row by row, so that it may be larger than memory. An object has its rows within if its longest list of objects, at most
//! [`LIST_DEPTH`] objects deep, is more than half of it, and it has no text by a usual name itself. In an object that is larger than a row may be, it is the list in which that limit is
//! reached. Objects within a row give fields with both names: `court.name`. A list of words and numbers is a field that occurs again; all other
//! lists are JSON text. Numbers stay as they are written. Rows of JSON lines are counted as lines, others as objects.

use std::io::{BufRead, BufReader, Cursor, Read};
use std::ops::ControlFlow;

use serde_json::value::RawValue;

use super::Format;
use super::cell::{Cell, Fields};
use super::json_value::{cell, members};
use super::rows::{self, Rows};
use crate::decode::{self, Utf8Reader};
use crate::{Failure, Input, Options, Sink, Value};

/// Lists and objects within one another, at most.
const MAX_DEPTH: usize = 128;
/// Objects within one another whose members become fields; what is deeper is JSON text.
const FIELD_DEPTH: usize = 8;
/// Objects around a list of rows, at most.
const LIST_DEPTH: usize = 3;
/// Bytes of a value around the rows, such as a licence, that is read.
const AROUND_BYTES: usize = 64 << 10;
/// Fields of a row, at most.
const MAX_FIELDS: usize = 10_000;
/// Bytes of the name of an object whose members become fields, at most.
const NAME_BYTES: usize = 128;
const FORMAT: &str = "JSON file";

pub(super) struct Json;

impl Format for Json {
    fn name(&self) -> &'static str {
        "a JSON file"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["json", "jsonl", "ndjson", "jsonlines", "geojson", "json-seq"]
    }

    /// `{"`, `[{` and the like, which Markdown and program texts do not begin with.
    fn recognizes(&self, head: &[u8]) -> bool {
        let head = &head[..head.len().min(1 << 10)];
        let text = decode::start(head);
        let mut chars = text.chars().filter(|c| !is_blank(*c));
        match (chars.next(), chars.next()) {
            (Some('{'), Some('"')) => text.contains(':') || !text.contains('}'),
            (Some('['), Some('{')) => matches!(chars.next(), Some('"' | '}')),
            _ => false,
        }
    }

    fn is_like_text(&self) -> bool {
        true
    }

    fn extract(&self, input: Input<'_>, options: &Options, sink: &mut dyn Sink) -> Result<(), Failure> {
        let mut reader = Utf8Reader::new(BufReader::new(input.reader));
        let mut rows = Rows::new(options, sink);
        let whole = read(&mut reader, options, &mut rows)?;
        if whole.is_continue() {
            rows.finish()?;
        }
        reader.note(sink);
        Ok(())
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n' | '\u{1E}' | '\u{FEFF}')
}

/// Where the rows are.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Layout {
    /// Values one after another; whether each has a line.
    Values { lines: bool },
    /// The items of a list, which is the member of these names of objects within one another.
    List(Vec<String>),
}

fn read(reader: impl BufRead, options: &Options, rows: &mut Rows<'_>) -> Result<ControlFlow<()>, Failure> {
    let limit = usize::try_from(options.limits.row_bytes).unwrap_or(usize::MAX);
    let mut scanner = Scanner { reader, line: 1, limit, row: 1 };
    let Some(first) = scanner.peek()? else {
        return Err(Failure::Empty { advice: "look whether it was saved as a whole" });
    };
    let begin = scanner.line;
    let mut seen = Vec::new();
    let layout = if first == b'[' {
        Layout::List(Vec::new())
    } else {
        let cut = scanner.value(&mut seen)?;
        let one_line = scanner.line == begin;
        if cut.is_break() {
            let path = path_at_end(&seen[..limit]).ok_or_else(|| scanner.too_large())?;
            Layout::List(path)
        } else if scanner.peek()?.is_some() {
            Layout::Values { lines: one_line && scanner.line > begin }
        } else {
            match path_of_rows(&seen, options) {
                Some(path) => Layout::List(path),
                None => Layout::Values { lines: false },
            }
        }
    };
    match layout {
        Layout::Values { lines } => {
            let (mut count, mut line, mut row) = (1, begin, seen);
            loop {
                let number = if lines { line } else { count };
                if rows.row(number, parse(&row, number, line)?)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                if scanner.peek()?.is_none() {
                    return Ok(ControlFlow::Continue(()));
                }
                (count, line) = (count + 1, scanner.line);
                scanner.row = count;
                row.clear();
                if scanner.value(&mut row)?.is_break() {
                    return Err(scanner.too_large());
                }
            }
        }
        Layout::List(path) => {
            let reader = Cursor::new(seen).chain(scanner.reader);
            list(&mut Scanner { reader, line: begin, limit, row: 1 }, &path, rows)
        }
    }
}

/// Reads the items of a list of rows.
fn list(scanner: &mut Scanner<impl BufRead>, path: &[String], rows: &mut Rows<'_>) -> Result<ControlFlow<()>, Failure> {
    let mut value = Vec::new();
    for (depth, wanted) in path.iter().enumerate() {
        scanner.expect(b'{')?;
        loop {
            value.clear();
            if scanner.peek()? != Some(b'"') || scanner.value(&mut value)?.is_break() {
                return Err(scanner.invalid("a name in quotes is missing"));
            }
            let name: String = serde_json::from_slice(&value).map_err(|error| scanner.invalid(&without_place(&error)))?;
            scanner.expect(b':')?;
            if name == *wanted && scanner.peek()? == Some(if depth + 1 == path.len() { b'[' } else { b'{' }) {
                break;
            }
            value.clear();
            let known = match name.to_ascii_lowercase().as_str() {
                "date" => Some(&mut rows.file.date),
                "version" => Some(&mut rows.file.version),
                "license" | "licence" => Some(&mut rows.file.license),
                "title" => Some(&mut rows.file.title),
                _ => None,
            };
            match known {
                Some(known) => {
                    let limit = std::mem::replace(&mut scanner.limit, AROUND_BYTES);
                    let cut = scanner.value(&mut value)?;
                    scanner.limit = limit;
                    if cut.is_break() {
                        return Err(scanner.invalid(&format!("{name:?} has more than {AROUND_BYTES} bytes")));
                    }
                    let raw = std::str::from_utf8(&value).ok().and_then(|text| serde_json::from_str(text).ok());
                    if let Some(Cell::One(Value::Text(words) | Value::Number(words))) = raw.and_then(cell) {
                        *known = Some(words);
                    }
                }
                None => scanner.skip()?,
            }
            scanner.expect(b',')?;
        }
    }
    scanner.expect(b'[')?;
    let mut count = 0;
    if scanner.peek()? != Some(b']') {
        loop {
            count += 1;
            scanner.row = count;
            scanner.peek()?;
            let line = scanner.line;
            value.clear();
            if scanner.value(&mut value)?.is_break() {
                return Err(scanner.too_large());
            }
            if rows.row(count, parse(&value, count, line)?)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            match scanner.peek()? {
                Some(b',') => scanner.expect(b',')?,
                Some(b']') => break,
                Some(_) => return Err(scanner.invalid("a comma is missing after it")),
                None => return Err(scanner.ended()),
            }
        }
    }
    scanner.expect(b']')?;
    // What is around the list ends too, or the file is cut off.
    for _ in path {
        while scanner.peek()? == Some(b',') {
            scanner.expect(b',')?;
            scanner.skip()?;
            scanner.expect(b':')?;
            scanner.skip()?;
        }
        scanner.expect(b'}')?;
    }
    match scanner.peek()? {
        None => Ok(ControlFlow::Continue(())),
        Some(_) => Err(scanner.invalid("something stands after its end")),
    }
}

/// Cuts values out of a stream, without looking at more than brackets and quotes.
struct Scanner<R> {
    reader: R,
    /// The line, counted from 1.
    line: u64,
    /// Bytes of a value, at most.
    limit: usize,
    /// The row, for errors.
    row: u64,
}

impl<R: BufRead> Scanner<R> {
    fn invalid(&self, reason: &str) -> Failure {
        Failure::invalid(FORMAT, format!("row {} (line {}): {reason}", self.row, self.line))
    }

    fn ended(&self) -> Failure {
        Failure::invalid(FORMAT, format!("it ends within row {} (line {}), so that it may be cut off", self.row, self.line))
    }

    fn too_large(&self) -> Failure {
        Failure::TooLarge {
            what: "bytes in a row",
            limit: self.limit as u64,
            name: "a row",
            advice: "look for a bracket or quote that is not closed, or make smaller objects of it",
        }
    }

    /// The next byte that is not blank, which is not taken.
    fn peek(&mut self) -> Result<Option<u8>, Failure> {
        loop {
            let bytes = self.reader.fill_buf()?;
            if bytes.is_empty() {
                return Ok(None);
            }
            let blanks = bytes.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0x1E)).count();
            let found = bytes.get(blanks).copied();
            self.line += bytes[..blanks].iter().filter(|byte| **byte == b'\n').count() as u64;
            self.reader.consume(blanks);
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    /// Takes a byte after blanks.
    fn expect(&mut self, byte: u8) -> Result<(), Failure> {
        match self.peek()? {
            Some(found) if found == byte => {
                self.reader.consume(1);
                Ok(())
            }
            Some(_) => Err(self.invalid(&format!("`{}` is missing", char::from(byte)))),
            None => Err(self.ended()),
        }
    }

    /// Takes a value, and adds its bytes to `out`. Breaks where it has more than the limit; `out` then has all that was taken.
    fn value(&mut self, out: &mut Vec<u8>) -> Result<ControlFlow<()>, Failure> {
        let limit = self.limit;
        self.walk(|bytes| {
            out.extend_from_slice(bytes);
            if out.len() > limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    }

    /// Goes over a value of any size.
    fn skip(&mut self) -> Result<(), Failure> {
        self.walk(|_| ControlFlow::Continue(())).map(drop)
    }

    /// Gives the bytes of a value, in pieces, until `take` breaks.
    fn walk(&mut self, mut take: impl FnMut(&[u8]) -> ControlFlow<()>) -> Result<ControlFlow<()>, Failure> {
        self.peek()?;
        let (mut depth, mut in_string, mut escaped, mut begun) = (0usize, false, false, false);
        loop {
            let bytes = self.reader.fill_buf()?;
            if bytes.is_empty() {
                // A number ends where the file does.
                return if begun && depth == 0 && !in_string { Ok(ControlFlow::Continue(())) } else { Err(self.ended()) };
            }
            let mut at = 0;
            let mut whole = false;
            while at < bytes.len() && !whole {
                if escaped {
                    (escaped, at) = (false, at + 1);
                    continue;
                }
                if in_string {
                    match memchr::memchr2(b'"', b'\\', &bytes[at..]) {
                        Some(found) => {
                            at += found + 1;
                            escaped = bytes[at - 1] == b'\\';
                            in_string = escaped;
                            whole = !in_string && depth == 0;
                        }
                        None => at = bytes.len(),
                    }
                    continue;
                }
                match bytes[at] {
                    b'"' if depth > 0 || !begun => in_string = true,
                    b'{' | b'[' if depth > 0 || !begun => {
                        depth += 1;
                        if depth > MAX_DEPTH {
                            return Err(self.invalid(&format!("it has more than {MAX_DEPTH} lists and objects within one another")));
                        }
                    }
                    b'}' | b']' if depth > 0 => {
                        depth -= 1;
                        whole = depth == 0;
                    }
                    // A word or number ends before the next sign. Of what is no value at all, a byte is taken, so that it is an error and no end.
                    b'{' | b'[' | b'"' | b'}' | b']' | b',' | b':' | b' ' | b'\t' | b'\r' | b'\n' | 0x1E if depth == 0 => {
                        whole = true;
                        if begun {
                            continue;
                        }
                    }
                    _ => {}
                }
                begun = true;
                at += 1;
            }
            let piece = &bytes[..at];
            self.line += memchr::memchr_iter(b'\n', piece).count() as u64;
            let cut = take(piece);
            self.reader.consume(at);
            if cut.is_break() || whole {
                return Ok(cut);
            }
        }
    }
}

/// The names of the objects around the list of objects in which an object is cut off.
fn path_at_end(bytes: &[u8]) -> Option<Vec<String>> {
    // Of each list or object that is open: whether it is a list, and the name of the member that is read.
    let mut open: Vec<(bool, Option<String>)> = Vec::new();
    let mut is_name = false;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                let start = at;
                at += 1;
                while bytes.get(at).is_some_and(|byte| *byte != b'"') {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                if is_name && at < bytes.len() {
                    open.last_mut()?.1 = serde_json::from_slice(&bytes[start..=at]).ok();
                }
                is_name = false;
            }
            b'{' => {
                open.push((false, None));
                is_name = true;
            }
            b'[' => {
                open.push((true, None));
                is_name = false;
            }
            b'}' | b']' => {
                open.pop();
                is_name = false;
            }
            b',' => is_name = open.last().is_some_and(|(list, _)| !list),
            _ => {}
        }
        at += 1;
    }
    let list = open.iter().position(|(list, _)| *list)?;
    // An item of it is open, too, or it would be a list of words or numbers.
    if list > LIST_DEPTH || open.get(list + 1).is_none_or(|(list, _)| *list) {
        return None;
    }
    open.truncate(list);
    open.into_iter().map(|(_, name)| name).collect()
}

/// The names of the objects around the list that has the rows of a file with one value; `None` if the value is a row.
fn path_of_rows(bytes: &[u8], options: &Options) -> Option<Vec<String>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let raw: &RawValue = serde_json::from_str(text).ok()?;
    let fields = fields(raw).ok()?;
    if rows::has_named_text(&fields, options) || rows::has_usual_text(&fields) {
        return None;
    }
    let (path, list) = longest_list(raw, LIST_DEPTH)?;
    (list * 2 > text.len()).then_some(path)
}

/// The longest list of objects within an object, and its bytes.
fn longest_list(raw: &RawValue, depth: usize) -> Option<(Vec<String>, usize)> {
    let mut longest: Option<(Vec<String>, usize)> = None;
    for (name, value) in members(raw).ok()?.0 {
        let found = match value.get().as_bytes().first() {
            Some(b'[') if value.get()[1..].trim_start().starts_with('{') => Some((Vec::new(), value.get().len())),
            Some(b'{') if depth > 1 => longest_list(value, depth - 1),
            _ => None,
        };
        if let Some((mut path, bytes)) = found
            && longest.as_ref().is_none_or(|(_, most)| bytes > *most)
        {
            path.insert(0, name);
            longest = Some((path, bytes));
        }
    }
    longest
}

/// The fields of a row.
fn parse(bytes: &[u8], number: u64, line: u64) -> Result<Fields, Failure> {
    let invalid = |reason: String, line| Failure::invalid(FORMAT, format!("row {number} (line {line}): {reason}"));
    let text = std::str::from_utf8(bytes).map_err(|error| invalid(error.to_string(), line))?;
    let read = || serde_json::from_str(text).and_then(fields);
    read().map_err(|error| invalid(without_place(&error), line + (error.line() as u64).saturating_sub(1)))
}

/// What is wrong, without the place within the row.
fn without_place(error: &serde_json::Error) -> String {
    let said = error.to_string();
    said.split(" at line ").next().unwrap_or_default().to_owned()
}

fn fields(raw: &RawValue) -> Result<Fields, serde_json::Error> {
    let mut found = Fields::new();
    match raw.get().as_bytes().first() {
        Some(b'{') => flatten("", raw, FIELD_DEPTH, &mut found)?,
        // A list of lists: a table without names.
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(raw.get())?;
            for (at, item) in items.into_iter().enumerate() {
                found.extend(cell(item).map(|cell| (format!("column {}", at + 1), cell)));
            }
        }
        _ => found.extend(cell(raw).map(|cell| ("text".to_owned(), cell))),
    }
    Ok(found)
}

fn flatten(prefix: &str, raw: &RawValue, depth: usize, found: &mut Fields) -> Result<(), serde_json::Error> {
    for (name, value) in members(raw)?.0 {
        let name = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        match value.get().as_bytes().first() {
            Some(b'{') if depth > 1 && name.len() <= NAME_BYTES => flatten(&name, value, depth - 1, found)?,
            _ if found.len() == MAX_FIELDS => return Err(serde::de::Error::custom(format!("it has more than {MAX_FIELDS} fields"))),
            _ => found.extend(cell(value).map(|cell| (name, cell))),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Extracted, Limits};

    fn documents(text: &str, options: &Options) -> Result<Vec<Extracted>, String> {
        let mut found: Vec<Extracted> = Vec::new();
        Json.extract(Input::new("x.json", text.as_bytes()), options, &mut found).map_err(|failure| failure.to_string())?;
        Ok(found)
    }

    fn shown(text: &str) -> Vec<String> {
        let name = |document: &Extracted| document.id.clone().unwrap_or_else(|| document.row.unwrap_or_default().to_string());
        let shown = |document: Extracted| format!("{}: {}", name(&document), document.text.trim_end().replace('\n', "/"));
        documents(text, &Options::default()).unwrap().into_iter().map(shown).collect()
    }

    #[test]
    fn layouts_give_the_same_rows() {
        let expected = ["a: One tablet.", "b: Two tablets."];
        for text in [
            "{\"id\":\"a\",\"text\":\"One tablet.\"}\n{\"id\":\"b\",\"text\":\"Two tablets.\"}\n",
            "{\"id\":\"a\",\"text\":\"One tablet.\"}{\"id\":\"b\",\"text\":\"Two tablets.\"}",
            "\u{1E}{\"id\":\"a\",\"text\":\"One tablet.\"}\n\u{1E}{\"id\":\"b\",\"text\":\"Two tablets.\"}\n",
            "[{\"id\":\"a\",\"text\":\"One tablet.\"},\n {\"id\":\"b\",\"text\":\"Two tablets.\"}]",
            "{\"version\": 2, \"data\": [{\"id\":\"a\",\"text\":\"One tablet.\"}, {\"id\":\"b\",\"text\":\"Two tablets.\"}], \"n\": 2}",
            "{\"r\": {\"hits\": {\"hits\": [{\"id\":\"a\",\"text\":\"One tablet.\"}, {\"id\":\"b\",\"text\":\"Two tablets.\"}]}}}",
            "\u{FEFF}[{\"id\":\"a\",\"text\":\"One tablet.\"},{\"id\":\"b\",\"text\":\"Two tablets.\"}]",
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
        assert_eq!(shown("\n{\"text\":\"x\"}\n\n{\"text\":\"y\"}"), ["2: x", "4: y"]);
        assert_eq!(shown("{\"text\":\n\"x\"}\n\n{\"text\":\"y\"}"), ["1: x", "2: y"]);
        assert_eq!(shown("[\"x\", \"y z\"]"), ["1: x", "2: y z"]);
        assert_eq!(shown("{\"text\":\"One tablet.\", \"entities\":[{\"a\":1},{\"a\":2},{\"a\":3},{\"a\":4}]}"), ["1: One tablet."]);
    }

    #[test]
    fn fields_are_as_they_are_written() {
        let text = r#"{"text":"One tablet.","n":1.50,"big":12345678901234567890123,"ok":true,"none":null,"a":{"b":{"c":"x"},"e":{}},"tags":["p",null,7],
            "l":[{"x": 1}],"half":"\ud83d!","title":"T","date":"2024-05-01","licence":"CC0-1.0","n":2}"#;
        let found = documents(text, &Options::default()).unwrap().remove(0);
        let (text, number) = (|text: &str| Value::Text(text.into()), |text: &str| Value::Number(text.into()));
        let expected: Vec<(String, Value)> = [
            ("n", number("1.50")),
            ("big", number("12345678901234567890123")),
            ("ok", Value::Boolean(true)),
            ("a.b.c", text("x")),
            ("tags", text("p")),
            ("tags", number("7")),
            ("l", Value::Json(r#"[{"x": 1}]"#.into())),
            ("half", text("\u{FFFD}!")),
            ("n", number("2")),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        assert_eq!(found.fields, expected);
        assert_eq!(
            (found.title.as_deref(), found.date.as_deref(), found.license.as_deref()),
            (Some("T"), Some("2024-05-01"), Some("CC0-1.0"))
        );
    }

    #[test]
    fn named_fields_go_into_objects_and_lists() {
        let text = r#"[{"doc":{"id":7},"paragraphs":[{"text":"One."},{"text":"Two."}],"names":["A","B"]}]"#;
        let mut options =
            Options { text_field: Some("paragraphs.1.text".into()), title_field: Some("names.0".into()), ..Options::default() };
        options.id_field = Some("doc.id".into());
        let found = documents(text, &options).unwrap().remove(0);
        assert_eq!((found.id.as_deref().unwrap(), found.title.as_deref(), found.text.as_str()), ("7", Some("A"), "Two.\n"));
        options.text_field = Some("paragraf".into());
        assert_eq!(documents(text, &options).unwrap_err(), "has no field \"paragraf\"; it has \"paragraphs\", \"names\", \"doc.id\"");
        options.text_field = Some("paragraphs".into());
        assert!(documents(text, &options).unwrap_err().contains("such as paragraphs.0.text"));
    }

    #[test]
    fn what_is_no_json_is_said() {
        let deep = format!("[{}", "[".repeat(200_000));
        for (text, expected) in [
            ("[{\"text\":\"a\"},{\"text\":\"b", "ends within row 2 (line 1)"),
            ("{\"text\":\"a\"}\n{\"text\":", "ends within row 2 (line 2)"),
            ("{\"text\":\"a\"}\n{\"text\":\"b\",}\n", "row 2 (line 2): key must be a string"),
            ("{\"text\":\"a\"}\n{text}\n", "row 2 (line 2): key must be a string"),
            ("[{\"text\":\"a\"} {\"text\":\"b\"}]", "a comma is missing"),
            ("[{\"text\":\"a\"}] []", "something stands after its end"),
            ("{\"data\":[{\"text\":\"a b\"},{\"text\":\"c\"}]", "ends within row 1"),
            (deep.as_str(), "more than 128 lists and objects"),
            ("", "has no text"),
            ("[]", "has no text"),
        ] {
            let failure = documents(text, &Options::default()).unwrap_err();
            assert!(failure.contains(expected), "{}: {failure}", &text[..text.len().min(60)]);
        }
    }

    #[test]
    fn a_list_in_an_object_may_be_larger_than_a_row() {
        let row = r#"{"id": "x", "text": "One tablet in the morning."}"#;
        let text = format!(r#"{{"version": "3", "meta": {{"k": [1]}}, "data": {{"rows": [{}]}}, "n": 1}}"#, vec![row; 100].join(", "));
        let options = Options { limits: Limits { row_bytes: 200, ..Limits::default() }, ..Options::default() };
        let found = documents(&text, &options).unwrap();
        assert_eq!((found.len(), found[99].version.as_deref()), (100, Some("3")));
        let long = format!(r#"{{"text": "{}"}}"#, "a ".repeat(200));
        assert!(documents(&long, &options).unwrap_err().contains("more than 200 bytes in a row"));
    }
}
