//! What tables and lists of rows share: which field of a row is its text, its title and its id, and what becomes of a row.
//!
//! A row is a document. Its text, title and id are the fields that [`Options`] name, or that the first rows suggest ([`SAMPLE_ROWS`]): the text is
//! the field of a usual name (`text`, `body`, `abstract`, ...) or else the one with the longest prose. `date`, `version` and `license` are
//! those of [`Extracted`]; all other fields stay fields, with their types.
//!
//! A table without prose, such as one of doses, is one document: a table in Markdown, in which each row has its place. Prose is what has on average at
//! least [`PROSE_CHARS`] characters, or [`NAMED_CHARS`] in a field of a usual name, and mostly more than one word. A field that is called `text` counts at any length.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use super::cell::{Cell, Fields};
use super::json_value;
use crate::markdown::{Text, one_line, with_line_feeds};
use crate::{Extracted, Failure, Note, Options, Place, Sink, Value};

/// Rows that a guess looks at, at most.
const SAMPLE_ROWS: usize = 200;
/// Bytes of rows that a guess looks at, at most, beside the last row.
const SAMPLE_BYTES: usize = 4 << 20;
/// Characters that the values of a field have on average, at least, if it is prose.
const PROSE_CHARS: usize = 80;
/// The same for a field whose name says that it is prose.
const NAMED_CHARS: usize = 24;
/// How many times longer another field is than one of [`LIKELY_TEXTS`], if it is the text all the same.
const MUCH_LONGER: usize = 4;
/// Fields that a message names, at most.
const SHOWN_FIELDS: usize = 20;
/// Bytes that a cell of a table counts beside its own.
const CELL_BYTES: usize = 8;

/// Names of fields that are the text, the likeliest first, as [`plain`] has them.
const TEXTS: [&str; 8] = ["text", "fulltext", "body", "content", "contents", "passage", "passagetext", "paragraph"];
/// Names of fields that are the text if no other one is much longer.
const LIKELY_TEXTS: [&str; 11] =
    ["abstract", "article", "document", "answer", "response", "description", "summary", "comment", "message", "review", "note"];
const TITLES: [&str; 9] = ["title", "headline", "heading", "subject", "name", "question", "query", "label", "term"];
const IDS: [&str; 13] =
    ["id", "uid", "uuid", "guid", "docid", "documentid", "passageid", "identifier", "pmid", "pmcid", "doi", "celex", "ecli"];

/// Takes rows, and gives their documents to a sink.
pub(super) struct Rows<'a> {
    options: &'a Options,
    sink: &'a mut dyn Sink,
    /// What the documents are if their rows do not say it: title of a table, date, version, licence.
    pub file: Extracted,
    /// Whether row 1 is a header, so that a table has a place for it.
    pub header: bool,
    /// The rows until it is known what they are.
    sample: Vec<(u64, Fields)>,
    sample_bytes: usize,
    kind: Option<Kind>,
    /// Rows without text, and the first one.
    without_text: u64,
    first_without_text: u64,
    documents: u64,
}

enum Kind {
    Documents(Choice),
    Table(Table),
}

/// The names of the fields that are more than fields.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Choice {
    text: String,
    title: Option<String>,
    id: Option<String>,
}

impl<'a> Rows<'a> {
    pub fn new(options: &'a Options, sink: &'a mut dyn Sink) -> Self {
        Self {
            options,
            sink,
            file: Extracted::default(),
            header: false,
            sample: Vec::new(),
            sample_bytes: 0,
            kind: None,
            without_text: 0,
            first_without_text: 0,
            documents: 0,
        }
    }

    /// Takes a row, numbered from 1 with the header. Breaks if no more are wanted.
    pub fn row(&mut self, number: u64, fields: Fields) -> Result<ControlFlow<()>, Failure> {
        match &mut self.kind {
            Some(Kind::Documents(_)) => return self.document(number, fields),
            Some(Kind::Table(table)) => table.row(number, &fields, self.options)?,
            None => {
                self.sample_bytes += fields.iter().map(|(name, cell)| name.len() + cell.bytes()).sum::<usize>();
                self.sample.push((number, fields));
                if self.sample.len() >= SAMPLE_ROWS || self.sample_bytes >= SAMPLE_BYTES {
                    return self.decide();
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Ends the rows.
    pub fn finish(mut self) -> Result<(), Failure> {
        if self.kind.is_none() && self.decide()?.is_break() {
            return Ok(());
        }
        match self.kind {
            Some(Kind::Table(table)) => {
                let (text, marks) = table.finish(self.header, self.options)?;
                if text.is_empty() {
                    return Err(Failure::Empty { advice: "look whether its rows have any words" });
                }
                let _ = self.sink.document(Extracted { text, marks, ..self.file });
            }
            Some(Kind::Documents(choice)) => {
                if self.documents == 0 {
                    return Err(Failure::Empty { advice: "look whether another field has it, and name that as the text's field" });
                }
                if self.without_text > 0 {
                    let (rows, have) = if self.without_text == 1 { ("row", "has") } else { ("rows", "have") };
                    self.sink.note(Note::PartSkipped {
                        part: format!("{} {rows}", self.without_text),
                        reason: format!("{have} no text in the field {:?} (row {} is the first)", choice.text, self.first_without_text),
                    });
                }
            }
            None => {}
        }
        Ok(())
    }

    /// Decides what the rows are, and takes those that waited for it.
    fn decide(&mut self) -> Result<ControlFlow<()>, Failure> {
        let choice = choose(&self.sample, self.options)?;
        let sample = std::mem::take(&mut self.sample);
        let Some(choice) = choice else {
            let mut table = Table { turned: sample.len() == 1 && !self.header, ..Table::default() };
            for (number, fields) in sample {
                table.row(number, &fields, self.options)?;
            }
            self.kind = Some(Kind::Table(table));
            return Ok(ControlFlow::Continue(()));
        };
        let guessed = |said: &Option<String>, found: &Option<String>| said.is_none() && found.is_some();
        if self.options.text_field.is_none()
            || guessed(&self.options.title_field, &choice.title)
            || guessed(&self.options.id_field, &choice.id)
        {
            self.sink.note(Note::Guessed { text: choice.text.clone(), title: choice.title.clone(), id: choice.id.clone() });
        }
        self.kind = Some(Kind::Documents(choice));
        for (number, fields) in sample {
            if self.document(number, fields)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Gives the document of a row.
    fn document(&mut self, number: u64, mut fields: Fields) -> Result<ControlFlow<()>, Failure> {
        let Some(Kind::Documents(choice)) = &self.kind else { return Ok(ControlFlow::Continue(())) };
        let text = take(&mut fields, &choice.text);
        let text = match text.as_ref().map(|cell| cell.words("\n\n")) {
            Some(None) if self.documents == 0 && self.options.text_field.is_some() => {
                return Err(Failure::NoField {
                    field: choice.text.clone(),
                    fields: format!("words, but lists or objects (row {number}); name a field within them, such as {}.0.text", choice.text),
                });
            }
            text => text.flatten().unwrap_or_default(),
        };
        if text.trim().is_empty() {
            self.without_text += 1;
            if self.without_text == 1 {
                self.first_without_text = number;
            }
            return Ok(ControlFlow::Continue(()));
        }
        let text = lines(text);
        if text.len() as u64 > self.options.limits.text_bytes {
            return Err(too_much_text(self.options));
        }
        let mut words = |name: &Option<String>| {
            let cell = name.as_ref().and_then(|name| take(&mut fields, name))?;
            cell.words(", ").map(|words| one_line(&words)).filter(|words| !words.is_empty())
        };
        let (id, title) = (words(&choice.id), words(&choice.title));
        let mut document =
            Extracted { row: Some(number), id, title, text, fields: Vec::with_capacity(fields.len()), ..Extracted::default() };
        document.marks.push(0, Place::Row(String::new(), number));
        for (name, cell) in fields {
            let known = match name.to_ascii_lowercase().as_str() {
                "date" => Some(&mut document.date),
                "version" => Some(&mut document.version),
                "license" | "licence" => Some(&mut document.license),
                "source" => Some(&mut document.source),
                _ => None,
            };
            match (known, cell) {
                (Some(known), Cell::One(Value::Text(words) | Value::Number(words))) if known.is_none() => {
                    *known = Some(words).filter(|words| !words.is_empty());
                }
                (_, Cell::One(value)) => document.fields.push((name, value)),
                (_, Cell::List(values)) => document.fields.extend(values.into_iter().map(|value| (name.clone(), value))),
            }
        }
        for (known, of_file) in [
            (&mut document.date, &self.file.date),
            (&mut document.version, &self.file.version),
            (&mut document.license, &self.file.license),
        ] {
            if known.is_none() {
                known.clone_from(of_file);
            }
        }
        self.documents += 1;
        Ok(self.sink.document(document))
    }
}

/// Texts whose lines end in line feeds, as the last one does.
fn lines(text: String) -> String {
    let mut text = with_line_feeds(&text).into_owned();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

fn too_much_text(options: &Options) -> Failure {
    Failure::TooLarge {
        what: "bytes of text",
        limit: options.limits.text_bytes,
        name: "the text of a document",
        advice: "divide it into several files, or name the field that is the text of a row",
    }
}

/// Takes the value at a path out of a row; what is within a list or within JSON text stays there, too.
fn take(fields: &mut Fields, path: &str) -> Option<Cell> {
    // The last one counts, as in other readers of JSON.
    if let Some(at) = fields.iter().rposition(|(name, _)| name == path) {
        return Some(fields.remove(at).1);
    }
    within(fields, path)
}

/// The value at a path that goes into a list or into JSON text.
fn within(fields: &Fields, path: &str) -> Option<Cell> {
    path.rmatch_indices('.').find_map(|(dot, _)| {
        let (_, cell) = fields.iter().rfind(|(name, _)| *name == path[..dot])?;
        let rest = &path[dot + 1..];
        match cell {
            Cell::List(values) => values.get(rest.parse::<usize>().ok()?).cloned().map(Cell::One),
            Cell::One(Value::Json(text)) => json_value::at(text, rest),
            Cell::One(_) => None,
        }
    })
}

fn has(fields: &Fields, path: &str) -> bool {
    fields.iter().any(|(name, _)| name == path) || within(fields, path).is_some()
}

/// Whether a row has the text's field that a user names.
pub(super) fn has_named_text(fields: &Fields, options: &Options) -> bool {
    options.text_field.as_ref().is_some_and(|path| has(fields, path))
}

/// Whether a row has a text by the name of a field.
pub(super) fn has_usual_text(fields: &Fields) -> bool {
    let is_text = |(name, cell): &(String, Cell)| {
        TEXTS.contains(&plain(name).as_str()) && matches!(cell, Cell::One(Value::Text(text)) if has_words(text))
    };
    fields.iter().any(is_text)
}

/// A name in lower case, without what joins its words.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric() || *c == '.').flat_map(char::to_lowercase).collect()
}

/// Whether a text has more than one word. Some scripts have no blanks.
fn has_words(text: &str) -> bool {
    let text = text.trim();
    text.contains(char::is_whitespace) || text.chars().filter(|c| !c.is_ascii() && c.is_alphabetic()).nth(7).is_some()
}

/// What the values of a field are like.
#[derive(Default)]
struct Column<'a> {
    name: &'a str,
    /// Values that are not empty, and those of them that are words, and have several.
    values: usize,
    texts: usize,
    worded: usize,
    /// Characters of words.
    chars: usize,
    distinct: HashSet<String>,
}

impl Column<'_> {
    fn mean(&self) -> usize {
        self.chars / self.texts.max(1)
    }

    fn is_prose(&self, chars: usize) -> bool {
        self.texts > 0 && self.mean() >= chars && self.worded * 2 >= self.texts && self.texts * 2 >= self.values
    }
}

/// The fields that are text, title and id; `None` if no field has prose.
fn choose(sample: &[(u64, Fields)], options: &Options) -> Result<Option<Choice>, Failure> {
    let mut columns: Vec<Column> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (_, fields) in sample {
        for (name, cell) in fields {
            let place = *places.entry(name).or_insert_with(|| {
                columns.push(Column { name, ..Column::default() });
                columns.len() - 1
            });
            let column = &mut columns[place];
            let Some(words) = cell.words(" ").filter(|words| !words.trim().is_empty()) else { continue };
            column.values += 1;
            if matches!(cell, Cell::One(Value::Text(_)) | Cell::List(_)) {
                column.texts += 1;
                column.worded += usize::from(has_words(&words));
                column.chars += words.chars().count();
            }
            // An id is short.
            if words.len() <= 200 {
                column.distinct.insert(words);
            }
        }
    }
    for said in [&options.text_field, &options.title_field, &options.id_field].into_iter().flatten() {
        if !sample.iter().any(|(_, fields)| has(fields, said)) {
            return Err(no_field(said, &columns));
        }
    }
    let Some(text) = options.text_field.clone().or_else(|| guess_text(&columns)) else { return Ok(None) };
    let others = || columns.iter().filter(|column| column.name != text);
    let named = |names: &[&str], fits: &dyn Fn(&Column) -> bool| {
        let fitting = || others().filter(|column| fits(column));
        names.iter().find_map(|name| fitting().find(|column| plain(column.name) == *name)).map(|column| column.name.to_owned())
    };
    let title = options.title_field.clone().or_else(|| {
        named(&TITLES, &|column| column.texts * 2 >= sample.len() && column.texts * 2 >= column.values && column.mean() <= 300)
    });
    let id = options
        .id_field
        .clone()
        .or_else(|| named(&IDS, &|column| column.values * 2 >= sample.len() && column.distinct.len() == column.values));
    Ok(Some(Choice { text, title, id }))
}

/// The field that is the text, by its name and by what it has.
fn guess_text(columns: &[Column]) -> Option<String> {
    let named = |names: &[&str], chars: usize| {
        // `text` before `doc.text`.
        let find = |name: &str, within: bool| {
            columns.iter().find(|column| {
                let plain = plain(column.name);
                let last = plain.rsplit('.').next().unwrap_or_default();
                last == name && (last == plain) != within && (name == "text" && column.texts > 0 || column.is_prose(chars))
            })
        };
        names.iter().find_map(|name| find(name, false)).or_else(|| names.iter().find_map(|name| find(name, true)))
    };
    let longest = columns.iter().filter(|column| column.is_prose(PROSE_CHARS)).max_by_key(|column| column.mean());
    let likely =
        || named(&LIKELY_TEXTS, NAMED_CHARS).filter(|likely| longest.is_none_or(|longest| longest.mean() < MUCH_LONGER * likely.mean()));
    named(&TEXTS, NAMED_CHARS).or_else(likely).or(longest).map(|column| column.name.to_owned())
}

/// That there is no such field, and which there are, the nearest names first.
fn no_field(field: &str, columns: &[Column]) -> Failure {
    let mut names: Vec<&str> = columns.iter().map(|column| column.name).collect();
    let near = |name: &str| strsim::osa_distance(&plain(&cut(name)), &plain(&cut(field)));
    names.sort_by_key(|name| near(name));
    let more = if names.len() > SHOWN_FIELDS { format!(" and {} more", names.len() - SHOWN_FIELDS) } else { String::new() };
    let shown: Vec<String> = names.iter().take(SHOWN_FIELDS).map(|name| format!("{:?}", cut(name))).collect();
    Failure::NoField { field: cut(field), fields: format!("{}{more}", if shown.is_empty() { "none".into() } else { shown.join(", ") }) }
}

/// The beginning of a name, for a message.
fn cut(name: &str) -> String {
    name.chars().take(60).collect()
}

/// Rows that are one document.
#[derive(Default)]
struct Table {
    names: Vec<String>,
    places: HashMap<String, usize>,
    rows: Vec<(u64, Vec<String>)>,
    bytes: usize,
    /// Whether the fields of the only row become rows.
    turned: bool,
}

impl Table {
    fn row(&mut self, number: u64, fields: &Fields, options: &Options) -> Result<(), Failure> {
        let mut row = Vec::with_capacity(self.names.len());
        for (name, cell) in fields {
            let shown = cell.shown();
            let place = match self.places.get(name) {
                Some(place) => *place,
                None => {
                    self.names.push(name.clone());
                    self.places.insert(name.clone(), self.names.len() - 1);
                    self.bytes += name.len() + CELL_BYTES;
                    self.names.len() - 1
                }
            };
            self.bytes += shown.len();
            if row.len() <= place {
                self.bytes += (place + 1 - row.len()) * CELL_BYTES;
                self.check(options)?;
                row.resize(place + 1, String::new());
            }
            row[place] = shown;
        }
        self.check(options)?;
        self.rows.push((number, row));
        Ok(())
    }

    fn check(&self, options: &Options) -> Result<(), Failure> {
        if self.bytes as u64 > options.limits.text_bytes {
            return Err(too_much_text(options));
        }
        Ok(())
    }

    fn finish(self, header: bool, options: &Options) -> Result<(String, crate::Marks), Failure> {
        let mut text = Text::new(&options.limits);
        if self.turned {
            let values = self.rows.into_iter().flat_map(|(_, row)| row);
            let rows: Vec<Vec<String>> = self.names.into_iter().zip(values).map(|(name, value)| vec![name, value]).collect();
            text.table(&[vec![vec!["Field".into(), "Value".into()]], rows].concat())?;
            return Ok(text.finish());
        }
        let mut rows = Vec::with_capacity(self.rows.len() + 1);
        // Words alone: what no header names has no name.
        rows.push((header.then_some(1), self.names));
        rows.extend(self.rows.into_iter().map(|(number, row)| (Some(number), row)));
        let (numbers, rows): (Vec<Option<u64>>, Vec<Vec<String>>) = rows.into_iter().unzip();
        let place = |(at, number): (usize, Option<u64>)| Some((at, Place::Row(String::new(), number?)));
        let places: Vec<(usize, Place)> = numbers.into_iter().enumerate().filter_map(place).collect();
        text.table_at(&rows, &places)?;
        Ok(text.finish())
    }
}
