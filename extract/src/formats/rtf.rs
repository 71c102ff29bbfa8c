//! Rich Text Format 1.9.1.
//!
//! Read are paragraphs, headings, numbers of lists as they are seen, tables, foot- and endnotes, text boxes, and descriptions of pictures. Left out are
//! headers, footers, hidden and deleted text, comments, instructions of fields, tables of contents, and what readers are told to ignore.

use std::collections::HashMap;

use encoding_rs::{Encoding, WINDOWS_1252};

use super::Format;
use super::office::EMPTY_FILE;
use super::office::symbols::{raised, symbol};
use super::office::writer::{Label, Line, Row, Span, Words, Writer, add_to_cell};
use crate::markdown::one_line;
use crate::{Extracted, Failure, Input, Note, Options, Sink, Value};

/// Groups within one another that are read; what is deeper is left out.
const MAX_GROUPS: usize = 1000;
/// Rows of a table that are held; more are a further table.
const MAX_ROWS: usize = 100_000;
/// Cells of a row.
const MAX_CELLS: usize = 1000;

pub(super) struct Rtf;

impl Format for Rtf {
    fn name(&self) -> &'static str {
        "an RTF file"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["rtf"]
    }

    fn recognizes(&self, head: &[u8]) -> bool {
        head.trim_ascii_start().starts_with(b"{\\rtf")
    }

    fn extract(&self, input: Input<'_>, options: &Options, sink: &mut dyn Sink) -> Result<(), Failure> {
        let bytes = input.whole(&options.limits)?;
        if bytes.is_empty() {
            return Err(EMPTY_FILE);
        }
        if !self.recognizes(&bytes) {
            return Err(Failure::Unknown { what: "no RTF file, whatever its name says", advice: "give it the extension of what it is" });
        }
        let mut reader = Reader::new(&bytes, Writer::new(&options.limits));
        reader.read()?;
        if reader.groups.len() > 1 {
            sink.note(Note::PartSkipped { part: "the end of the file".into(), reason: "is missing, or was never written".into() });
        }
        if reader.too_deep {
            sink.note(Note::PartSkipped { part: "what is deepest in it".into(), reason: "is within too many other parts".into() });
        }
        let _ = sink.document(reader.document()?);
        Ok(())
    }
}

/// What the words of a group are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Destination {
    #[default]
    Body,
    Nothing,
    /// The numbers of a list as they are seen.
    ListText,
    Fonts,
    Styles,
    /// The properties of the document, and one of them.
    Properties,
    Info(&'static str),
    /// Data of a picture, among which its description is.
    Picture,
    Instruction,
    /// The name of a property of a shape, and its value.
    ShapeName,
    ShapeValue,
}

/// What a group inherits from the one around it.
#[derive(Clone, Debug, Default)]
struct State {
    destination: Destination,
    /// The destination of the group around it.
    outer: Destination,
    /// How many characters after `\u` stand for it.
    skipped: usize,
    font: i32,
    hidden: bool,
    deleted: bool,
    raised: Option<bool>,
    style: Option<i32>,
    outline: Option<u8>,
    level: u32,
    in_table: bool,
    /// Whether the group is a field that lists places of the document.
    is_contents: bool,
    /// Whether it says so itself, so that its end ends what it collects.
    collects: Option<Collects>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Collects {
    Footnote,
    Endnote,
    TextBox,
    Instruction,
}

#[derive(Debug, Default)]
struct Font {
    charset: i32,
    name: String,
}

#[derive(Debug, Default)]
struct Style {
    name: String,
    outline: Option<u8>,
}

/// A paragraph that is being read, and those that its note or text box has.
#[derive(Debug, Default)]
struct Paragraph {
    words: Words,
    label: String,
    notes: Vec<String>,
    after: Vec<Line>,
    /// Paragraphs of the same note or text box.
    lines: Vec<Line>,
}

/// How a cell of a row is joined to others.
#[derive(Clone, Copy, Debug, Default)]
struct CellShape {
    right: bool,
    down: bool,
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    groups: Vec<State>,
    /// Groups that are open beyond [`MAX_GROUPS`].
    beyond: usize,
    too_deep: bool,
    /// Bytes that are not decoded yet: a character may have two.
    pending: Vec<u8>,
    /// The first half of a character of UTF-16.
    surrogate: Option<u16>,
    /// Characters to skip after `\u`.
    to_skip: usize,
    code_page: i32,
    default_font: i32,
    fonts: HashMap<i32, Font>,
    styles: HashMap<i32, Style>,
    /// The style that is being defined.
    defined: i32,
    info: Vec<(&'static str, String)>,
    instruction: String,
    shape_name: String,
    shape_value: String,
    paragraph: Paragraph,
    /// Paragraphs around a note or text box.
    outer: Vec<Paragraph>,
    counted: [u64; 2],
    /// Cells of the row that is being read, and rows of the table.
    cell: String,
    cells: Vec<String>,
    rows: Vec<Row>,
    shapes: Vec<CellShape>,
    shape: CellShape,
    header: bool,
    table_notes: Vec<String>,
    counts_pages: bool,
    page: u32,
    writer: Writer,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8], mut writer: Writer) -> Self {
        // A page of the author is one of the document where the program counted as many.
        let counts_pages = manual_pages(bytes);
        if counts_pages {
            writer.page(1);
        }
        Self {
            bytes,
            at: 0,
            groups: vec![State { skipped: 1, ..State::default() }],
            beyond: 0,
            too_deep: false,
            pending: Vec::new(),
            surrogate: None,
            to_skip: 0,
            code_page: 1252,
            default_font: 0,
            fonts: HashMap::new(),
            styles: HashMap::new(),
            defined: 0,
            info: Vec::new(),
            instruction: String::new(),
            shape_name: String::new(),
            shape_value: String::new(),
            paragraph: Paragraph::default(),
            outer: Vec::new(),
            counted: [0; 2],
            cell: String::new(),
            cells: Vec::new(),
            rows: Vec::new(),
            shapes: Vec::new(),
            shape: CellShape::default(),
            header: false,
            table_notes: Vec::new(),
            counts_pages,
            page: 1,
            writer,
        }
    }

    fn state(&mut self) -> &mut State {
        if self.groups.is_empty() {
            self.groups.push(State::default());
        }
        let last = self.groups.len() - 1;
        &mut self.groups[last]
    }

    fn read(&mut self) -> Result<(), Failure> {
        while let Some(&byte) = self.bytes.get(self.at) {
            self.at += 1;
            match byte {
                b'{' => self.open(),
                b'}' => {
                    if self.close()? {
                        break;
                    }
                }
                b'\\' => self.control()?,
                b'\r' | b'\n' | 0 => {}
                byte => self.byte(byte),
            }
        }
        self.flush();
        while !self.outer.is_empty() {
            self.end_collecting(Collects::TextBox)?;
        }
        self.end_paragraph(true)?;
        self.end_table()
    }

    fn open(&mut self) {
        self.flush();
        self.to_skip = 0;
        if self.groups.len() >= MAX_GROUPS {
            self.beyond += 1;
            self.too_deep = true;
            return;
        }
        let state = self.state();
        let inner = State { outer: state.destination, collects: None, is_contents: false, ..state.clone() };
        self.groups.push(inner);
    }

    /// Ends a group. Whether it was that of the document.
    fn close(&mut self) -> Result<bool, Failure> {
        self.flush();
        self.to_skip = 0;
        if self.beyond > 0 {
            self.beyond -= 1;
            return Ok(false);
        }
        let Some(ended) = self.groups.pop() else { return Ok(true) };
        match ended.collects {
            Some(Collects::Instruction) => {
                let name = self.instruction.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
                self.state().is_contents = matches!(name.as_str(), "TOC" | "INDEX" | "TOA");
                self.instruction.clear();
            }
            Some(kind) => self.end_collecting(kind)?,
            None => {}
        }
        if ended.destination == Destination::ShapeValue && ended.outer != Destination::ShapeValue {
            let text = one_line(&std::mem::take(&mut self.shape_value));
            if self.shape_name == "wzDescription" && text.contains(' ') {
                self.paragraph.after.push(Line { words: text.as_str().into(), ..Line::default() });
            }
            self.shape_name.clear();
        }
        Ok(self.groups.len() <= 1)
    }

    /// Begins a note or a text box.
    fn collect(&mut self, kind: Collects) {
        self.outer.push(std::mem::take(&mut self.paragraph));
        let state = self.state();
        state.collects = Some(kind);
        state.in_table = false;
        state.destination = Destination::Body;
    }

    fn end_collecting(&mut self, kind: Collects) -> Result<(), Failure> {
        if self.outer.is_empty() {
            return Ok(());
        }
        self.end_paragraph(true)?;
        let Some(outer) = self.outer.pop() else { return Ok(()) };
        let inner = std::mem::replace(&mut self.paragraph, outer);
        if kind == Collects::TextBox {
            self.paragraph.after.extend(inner.lines);
            return Ok(());
        }
        let mut text = String::new();
        for line in &inner.lines {
            add_to_cell(&mut text, line.words.text());
        }
        if !text.is_empty() {
            let kind = usize::from(kind == Collects::Endnote);
            self.counted[kind] += 1;
            let count = self.counted[kind];
            let mark = if kind == 0 { format!("[{count}]") } else { format!("[{}]", super::office::roman(count).to_lowercase()) };
            self.paragraph.words.push(&mark);
            self.paragraph.notes.push(format!("{mark} {text}"));
        }
        Ok(())
    }

    /// A byte of text.
    fn byte(&mut self, byte: u8) {
        if self.beyond > 0 {
            return;
        }
        match self.to_skip.checked_sub(1) {
            Some(left) => self.to_skip = left,
            None if matches!(self.state().destination, Destination::Nothing | Destination::Picture) => {}
            None => self.pending.push(byte),
        }
    }

    fn encoding(&mut self) -> &'static Encoding {
        let font = self.state().font;
        let page = match self.fonts.get(&font).map(|font| font.charset) {
            Some(0) => 1252,
            Some(77) => 10000,
            Some(128) => 932,
            Some(129) => 949,
            Some(134) => 936,
            Some(136) => 950,
            Some(161) => 1253,
            Some(162) => 1254,
            Some(163) => 1258,
            Some(177) => 1255,
            Some(178..=181) => 1256,
            Some(186) => 1257,
            Some(204) => 1251,
            Some(222) => 874,
            Some(238) => 1250,
            _ => self.code_page,
        };
        code_page(page)
    }

    /// Decodes the bytes that are pending.
    fn flush(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        self.surrogate = None;
        let bytes = std::mem::take(&mut self.pending);
        let symbols = self.symbol_font();
        if let Some(font) = symbols {
            let text: String = bytes.iter().map(|byte| symbol(&font, (*byte).into()).unwrap_or(char::from(*byte))).collect();
            self.push(&text);
        } else {
            let encoding = self.encoding();
            let text = encoding.decode_without_bom_handling(&bytes).0;
            self.push(&text);
        }
        self.pending = bytes;
        self.pending.clear();
    }

    /// The name of the font, if it is one of symbols.
    fn symbol_font(&mut self) -> Option<String> {
        if self.state().destination != Destination::Body {
            return None;
        }
        let font = self.state().font;
        let font = self.fonts.get(&font)?;
        (font.charset == 2 && symbol(&font.name, 0x41).is_some()).then(|| font.name.clone())
    }

    /// Words of the group that is open.
    fn push(&mut self, text: &str) {
        let state = self.state().clone();
        match state.destination {
            Destination::Nothing | Destination::Properties | Destination::Picture => {}
            Destination::Body => {
                if !(state.hidden || state.deleted) {
                    match state.raised {
                        Some(below) => self.paragraph.words.push(&raised(text, below)),
                        None => self.paragraph.words.push(text),
                    }
                }
            }
            Destination::ListText => self.paragraph.label.push_str(text),
            Destination::Fonts => self.fonts.entry(state.font).or_default().name.push_str(text.trim_end_matches(';')),
            Destination::Styles => self.styles.entry(self.defined).or_default().name.push_str(text.trim_end_matches(';')),
            Destination::Info(name) => match self.info.last_mut().filter(|(last, _)| *last == name) {
                Some((_, value)) => value.push_str(text),
                None => self.info.push((name, text.to_owned())),
            },
            Destination::Instruction => self.instruction.push_str(text),
            Destination::ShapeName => self.shape_name.push_str(text),
            Destination::ShapeValue => self.shape_value.push_str(text),
        }
    }

    /// A unit of UTF-16.
    fn unit(&mut self, unit: u16) {
        self.flush();
        let first = self.surrogate.take();
        let c = match (first, unit) {
            (_, 0xD800..=0xDBFF) => {
                self.surrogate = Some(unit);
                return;
            }
            (Some(first), 0xDC00..=0xDFFF) => char::decode_utf16([first, unit]).next().and_then(Result::ok),
            _ => char::from_u32(unit.into()),
        };
        let mut c = c.unwrap_or(char::REPLACEMENT_CHARACTER);
        if ('\u{F020}'..='\u{F0FF}').contains(&c) {
            let font = self.symbol_font().unwrap_or_else(|| "Symbol".into());
            c = symbol(&font, c.into()).unwrap_or(c);
        }
        self.push(c.encode_utf8(&mut [0; 4]));
    }

    /// What follows a backslash.
    fn control(&mut self) -> Result<(), Failure> {
        let rest = &self.bytes[self.at..];
        let Some(&first) = rest.first() else { return Ok(()) };
        if !first.is_ascii_alphabetic() {
            self.at += 1;
            if first == b'\'' {
                let digits = rest.get(1..3).and_then(|digits| std::str::from_utf8(digits).ok());
                if let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
                    self.at += 2;
                    self.byte(byte);
                }
                return Ok(());
            }
            if let Some(left) = self.to_skip.checked_sub(1) {
                self.to_skip = left;
                return Ok(());
            }
            match first {
                b'\\' | b'{' | b'}' => self.byte(first),
                b'~' => self.word("\u{A0}"),
                b'_' => self.word("-"),
                b'*' => {
                    // Read are only destinations that are known.
                    self.flush();
                    self.state().destination = Destination::Nothing;
                    let known = ["shpinst", "shptxt", "ud", "fldinst", "picprop", "shppict", "company"];
                    let rest = self.bytes[self.at..].trim_ascii_start();
                    let name = rest.strip_prefix(b"\\").unwrap_or_default();
                    let length = name.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
                    if known.iter().any(|known| known.as_bytes() == &name[..length]) {
                        let outer = self.state().outer;
                        self.state().destination = outer;
                    }
                }
                b'\r' | b'\n' => self.named("par", None)?,
                _ => {}
            }
            return Ok(());
        }
        let length = rest.iter().take(32).take_while(|byte| byte.is_ascii_alphabetic()).count();
        let sign = usize::from(rest.get(length) == Some(&b'-'));
        let digits = rest.iter().skip(length + sign).take_while(|byte| byte.is_ascii_digit()).count();
        let name = std::str::from_utf8(&rest[..length]).unwrap_or_default();
        let digits_text = std::str::from_utf8(&rest[length..length + sign + digits]).unwrap_or_default();
        let value = (digits > 0).then(|| digits_text.parse::<i64>().unwrap_or(i64::MAX));
        self.at += length + if digits > 0 { sign + digits } else { 0 };
        if self.bytes.get(self.at) == Some(&b' ') {
            self.at += 1;
        }
        if name == "bin" {
            // Its length may lie.
            self.at = self.at.saturating_add(usize::try_from(value.unwrap_or(0)).unwrap_or(0)).min(self.bytes.len());
            return Ok(());
        }
        if self.beyond > 0 {
            return Ok(());
        }
        if let Some(left) = self.to_skip.checked_sub(1) {
            self.to_skip = left;
            return Ok(());
        }
        let value = value.map(|value| value.clamp(i32::MIN.into(), i32::MAX.into()) as i32);
        self.named(name, value)
    }

    fn word(&mut self, text: &str) {
        self.flush();
        self.push(text);
    }

    /// A control word.
    fn named(&mut self, name: &str, value: Option<i32>) -> Result<(), Failure> {
        self.flush();
        let is_on = value != Some(0);
        let number = value.unwrap_or(0);
        let destination = self.state().destination;
        // What holds in all destinations.
        match name {
            "u" => {
                self.unit(number as u16);
                self.to_skip = self.state().skipped;
                return Ok(());
            }
            "uc" => self.state().skipped = usize::try_from(number).unwrap_or(1).min(100),
            "ansicpg" => self.code_page = number,
            "mac" => self.code_page = 10000,
            "deff" => {
                self.default_font = number;
                self.state().font = number;
            }
            "f" => self.state().font = number,
            "ud" => {
                // The Unicode version of what the group before it says.
                let at = self.groups.len().saturating_sub(2);
                let outer = self.groups.get(at).map(|group| group.outer).unwrap_or_default();
                self.state().destination = outer;
            }
            _ => {}
        }
        if destination == Destination::Nothing {
            return Ok(());
        }
        let words = match name {
            "tab" | "emspace" | "enspace" | "qmspace" => " ",
            "line" | "lbr" => "\u{2028}",
            "emdash" => "—",
            "endash" => "–",
            "bullet" => "•",
            "lquote" => "‘",
            "rquote" => "’",
            "ldblquote" => "“",
            "rdblquote" => "”",
            _ => "",
        };
        if !words.is_empty() {
            self.push(words);
            return Ok(());
        }
        match destination {
            Destination::Fonts => {
                if name == "fcharset" {
                    let font = self.state().font;
                    self.fonts.entry(font).or_default().charset = number;
                }
                // Other names of the same font are starred, and left out.
                return Ok(());
            }
            Destination::Styles => {
                match name {
                    "s" => self.defined = number,
                    "outlinelevel" => self.styles.entry(self.defined).or_default().outline = u8::try_from(number).ok(),
                    // Styles of characters, sections and tables.
                    "cs" | "ds" | "ts" => self.state().destination = Destination::Nothing,
                    _ => {}
                }
                return Ok(());
            }
            Destination::Properties => {
                let known = [("title", "title"), ("author", "author"), ("subject", "subject"), ("keywords", "keywords")].into_iter();
                let known = known.chain([("company", "company"), ("category", "category"), ("doccomm", "description")]);
                let mut known = known.chain([("creatim", "created"), ("revtim", "modified")]);
                let field = known.find(|(word, _)| *word == name);
                self.state().destination = field.map_or(Destination::Nothing, |(_, field)| Destination::Info(field));
                return Ok(());
            }
            Destination::Info("created" | "modified") => {
                if let "yr" | "mo" | "dy" = name {
                    let separator = if name == "yr" { "" } else { "-" };
                    self.push(&format!("{separator}{number:02}"));
                }
                return Ok(());
            }
            _ => {}
        }
        match name {
            "fonttbl" => self.state().destination = Destination::Fonts,
            "stylesheet" => self.state().destination = Destination::Styles,
            "info" => self.state().destination = Destination::Properties,
            "listtext" | "pntext" => {
                self.paragraph.label.clear();
                self.state().destination = Destination::ListText;
            }
            "fldinst" => {
                let state = self.state();
                state.destination = Destination::Instruction;
                state.collects = Some(Collects::Instruction);
            }
            "fldrslt" => {
                let around = self.groups.len().saturating_sub(2);
                if self.groups.get(around).is_some_and(|group| group.is_contents) {
                    self.state().destination = Destination::Nothing;
                }
            }
            "footnote" => self.collect(Collects::Footnote),
            "ftnalt" => {
                let note = self.groups.iter_mut().rev().find(|group| group.collects == Some(Collects::Footnote));
                if let Some(note) = note {
                    note.collects = Some(Collects::Endnote);
                }
            }
            "shptxt" => self.collect(Collects::TextBox),
            "sn" => self.state().destination = Destination::ShapeName,
            "sv" => self.state().destination = Destination::ShapeValue,
            "header" | "headerl" | "headerr" | "headerf" | "footer" | "footerl" | "footerr" | "footerf" | "colortbl" | "nonshppict"
            | "shprslt" | "xe" | "tc" | "tcn" | "txe" | "rxe" | "nonesttables" | "upr" | "ftnsep" | "ftnsepc" | "ftncn" | "aftnsep"
            | "aftnsepc" | "aftncn" | "listtable" | "revtbl" | "filetbl" => self.state().destination = Destination::Nothing,
            "pict" => self.state().destination = Destination::Picture,
            _ => self.formatting(name, value, is_on)?,
        }
        Ok(())
    }

    fn formatting(&mut self, name: &str, value: Option<i32>, is_on: bool) -> Result<(), Failure> {
        let number = value.unwrap_or(0);
        match name {
            "par" | "sect" => self.end_paragraph(false)?,
            "page" if self.counts_pages => {
                self.page = self.page.saturating_add(1);
                let page = self.page;
                self.paragraph.words.page(page);
            }
            "pard" => {
                let state = self.state();
                (state.style, state.outline, state.level, state.in_table) = (None, None, 0, false);
            }
            "plain" => {
                let font = self.default_font;
                let state = self.state();
                (state.hidden, state.deleted, state.raised, state.font) = (false, false, None, font);
            }
            "v" => self.state().hidden = is_on,
            "deleted" => self.state().deleted = is_on,
            "super" => self.state().raised = is_on.then_some(false),
            "sub" => self.state().raised = is_on.then_some(true),
            "nosupersub" => self.state().raised = None,
            "s" => self.state().style = value,
            "outlinelevel" => self.state().outline = u8::try_from(number).ok(),
            "ilvl" => self.state().level = u32::try_from(number).unwrap_or(0).min(8),
            "intbl" => self.state().in_table = true,
            "trowd" => {
                self.shapes.clear();
                (self.shape, self.header) = (CellShape::default(), false);
            }
            "trhdr" => self.header = is_on,
            "clmrg" => self.shape.right = true,
            "clvmrg" => self.shape.down = true,
            "cellx" => {
                if self.shapes.len() < MAX_CELLS {
                    self.shapes.push(self.shape);
                }
                self.shape = CellShape::default();
            }
            "nestcell" => self.end_cell_paragraph(),
            "cell" => {
                self.end_cell_paragraph();
                let cell = std::mem::take(&mut self.cell);
                if self.cells.len() < MAX_CELLS {
                    self.cells.push(cell);
                }
            }
            "row" => {
                self.end_row();
                if self.rows.len() >= MAX_ROWS {
                    self.end_table()?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The level of a heading, from 1.
    fn heading(&mut self) -> Option<u8> {
        let (own, style) = (self.state().outline, self.state().style);
        let of_style = || {
            let style = self.styles.get(&style?)?;
            let named =
                || style.name.trim().to_lowercase().strip_prefix("heading ").and_then(|level| level.parse::<u8>().ok()?.checked_sub(1));
            style.outline.or_else(named)
        };
        own.or_else(of_style).filter(|level| *level < 9).map(|level| level + 1)
    }

    fn end_cell_paragraph(&mut self) {
        let paragraph = &mut self.paragraph;
        let words = std::mem::take(&mut paragraph.words);
        let label = one_line(&std::mem::take(&mut paragraph.label));
        if !words.is_empty() {
            let separator = if label.is_empty() { "" } else { " " };
            add_to_cell(&mut self.cell, &format!("{label}{separator}{}", words.text()));
        }
        self.table_notes.append(&mut paragraph.notes);
        for line in paragraph.after.drain(..) {
            add_to_cell(&mut self.cell, line.words.text());
        }
    }

    fn end_row(&mut self) {
        let cells = std::mem::take(&mut self.cells);
        if cells.iter().all(String::is_empty) {
            return;
        }
        let mut row = Row { header: self.header, page: self.counts_pages.then_some(self.page), ..Row::default() };
        for (at, cell) in cells.into_iter().enumerate() {
            let shape = self.shapes.get(at).copied().unwrap_or_default();
            row.spans.push(match shape {
                CellShape { down: true, .. } => Span::Down,
                CellShape { right: true, .. } => Span::Right,
                _ => Span::Own,
            });
            row.cells.push(cell);
        }
        self.rows.push(row);
    }

    fn end_table(&mut self) -> Result<(), Failure> {
        if !self.cells.is_empty() || !self.cell.is_empty() {
            // A row that breaks off.
            let cell = std::mem::take(&mut self.cell);
            self.cells.push(cell);
            self.end_row();
        }
        if self.rows.is_empty() {
            return Ok(());
        }
        let (rows, notes) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.table_notes));
        self.writer.table(rows, &notes)
    }

    /// Ends a paragraph; at the end of a note or of the file it may be without one.
    fn end_paragraph(&mut self, at_end: bool) -> Result<(), Failure> {
        self.surrogate = None;
        let heading = self.heading();
        if self.outer.is_empty() && self.state().in_table && !at_end {
            self.end_cell_paragraph();
            return Ok(());
        }
        let level = self.state().level;
        let Paragraph { words, label, notes, after, lines } = std::mem::take(&mut self.paragraph);
        let text = one_line(&label);
        let label = (!text.is_empty()).then(|| {
            let divides = heading.is_some() || text.trim_end_matches('.').contains('.');
            if text.contains(char::is_alphanumeric) && text != "o" { Label { text, level, divides } } else { Label::bullet(level) }
        });
        let line = Line { words, heading, label, notes, picture: false };
        if !self.outer.is_empty() {
            self.paragraph.lines = lines;
            self.paragraph.lines.push(line);
            self.paragraph.lines.extend(after);
            return Ok(());
        }
        self.end_table()?;
        self.writer.line(&line)?;
        after.iter().try_for_each(|line| self.writer.line(line))
    }

    fn document(self) -> Result<Extracted, Failure> {
        let (text, marks) = self.writer.finish()?;
        let mut document = Extracted { text, marks, ..Extracted::default() };
        let mut dates = [None, None];
        for (name, value) in self.info {
            let value = one_line(&value);
            match name {
                _ if value.is_empty() => {}
                "title" => document.title = Some(value),
                "created" => dates[0] = Some(value),
                "modified" => dates[1] = Some(value),
                name => document.fields.push((name.to_owned(), Value::Text(value))),
            }
        }
        document.date = dates[1].clone().or_else(|| dates[0].clone());
        for (name, date) in ["created", "modified"].into_iter().zip(dates) {
            document.fields.extend(date.map(|date| (name.to_owned(), Value::Text(date))));
        }
        Ok(document)
    }
}

/// The encoding of a code page of Windows; that of Western Europe if it is not known.
fn code_page(page: i32) -> &'static Encoding {
    let label = match page {
        437 | 850 | 1252 | 0 => return WINDOWS_1252,
        866 => "ibm866".to_owned(),
        932 => "shift_jis".to_owned(),
        936 => "gbk".to_owned(),
        949 => "euc-kr".to_owned(),
        950 => "big5".to_owned(),
        10000 => "macintosh".to_owned(),
        10007 => "x-mac-cyrillic".to_owned(),
        65001 => "utf-8".to_owned(),
        page => format!("windows-{page}"),
    };
    Encoding::for_label(label.as_bytes()).unwrap_or(WINDOWS_1252)
}

/// Whether there are as many breaks of pages as the program counted pages, but one.
fn manual_pages(bytes: &[u8]) -> bool {
    let words = |word: &'static [u8]| bytes.windows(word.len() + 1).enumerate().filter(move |(_, window)| window.starts_with(word));
    let counted = words(b"\\nofpages").next().and_then(|(at, _)| {
        let digits = bytes[at + 9..].iter().take(6).take_while(|byte| byte.is_ascii_digit()).count();
        std::str::from_utf8(&bytes[at + 9..at + 9 + digits]).ok()?.parse::<usize>().ok()
    });
    let breaks = words(b"\\page").filter(|(_, window)| !window[5].is_ascii_alphanumeric()).count();
    breaks > 0 && counted == Some(breaks + 1)
}
