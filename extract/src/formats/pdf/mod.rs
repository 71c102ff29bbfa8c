//! PDF (ISO 32000-2). `hayro-interpret` gives the glyphs with their positions; lines, columns, paragraphs, headings, lists and tables are found here.
//!
//! Pages are counted from 1 as viewers count them; page labels, which may say `iv` or begin anew, are not used, so that a page is one number.
//! Sections are the numbers of headings and clauses that follow one another.
//! Text behind a picture of a page (as scanners put it) is text. Slanted text (stamps) and text of marked ornaments is left out.
//! Passwords are not taken: a file that opens without one is read, whatever it allows.

mod collections;
mod guard;
mod info;
mod layout;
mod marks;
mod ocr;
mod page;
mod regions;
mod rows;
mod sections;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use hayro_interpret::hayro_syntax::{DecryptionError, LoadPdfError, Pdf as File};
use hayro_interpret::kurbo::{Affine, Rect};
use hayro_interpret::{Context, InterpreterCache, InterpreterSettings, interpret_page};
use memchr::memmem;

use self::collections::Collections;
use self::layout::{Blocks, Page, Style};
use self::page::{Found, Ink, Reader, Stop};
use super::Format;
use crate::markdown::Text;
use crate::{Extracted, Failure, Input, Limits, Note, Options, Sink};

/// Seconds that reading a file may take, without the command of `ocr`.
const SECONDS: u64 = 600;
/// Bytes in which a file begins (ISO 32000-2, annex I).
const HEADER_BYTES: usize = 1024;
/// Bytes at the end of a file in which its end is looked for.
const END_BYTES: usize = 64 << 10;

const FORMAT: &str = "PDF";

pub(super) struct Pdf;

impl Format for Pdf {
    fn name(&self) -> &'static str {
        "a PDF"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["pdf"]
    }

    fn recognizes(&self, head: &[u8]) -> bool {
        memmem::find(&head[..head.len().min(HEADER_BYTES)], b"%PDF-")
            .is_some_and(|at| head[..at].iter().all(|byte| !byte.is_ascii_alphanumeric()))
    }

    fn extract(&self, input: Input<'_>, options: &Options, sink: &mut dyn Sink) -> Result<(), Failure> {
        let bytes = input.whole(&options.limits)?;
        let read = read(bytes, options)?;
        read.notes.into_iter().for_each(|note| sink.note(note));
        let _ = sink.document(read.document);
        Ok(())
    }
}

struct Read {
    document: Extracted,
    notes: Vec<Note>,
}

fn read(bytes: Vec<u8>, options: &Options) -> Result<Read, Failure> {
    let limits = &options.limits;
    let deadline = Instant::now() + Duration::from_secs(SECONDS);
    if bytes.is_empty() {
        return Err(Failure::invalid(FORMAT, "it is empty"));
    }
    if memmem::find(&bytes[..bytes.len().min(HEADER_BYTES)], b"%PDF-").is_none() {
        return Err(Failure::invalid(FORMAT, "it does not begin with %PDF-"));
    }
    guard::check(&bytes, limits)?;
    let whole = memmem::rfind(&bytes[bytes.len().saturating_sub(END_BYTES)..], b"startxref").is_some();
    let file = catch_unwind(AssertUnwindSafe(|| File::new(bytes))).unwrap_or(Err(LoadPdfError::Invalid)).map_err(|error| match error {
        LoadPdfError::Decryption(DecryptionError::PasswordProtected) => {
            Failure::Encrypted { advice: "open it with its password, and print or export it to a PDF without one" }
        }
        LoadPdfError::Decryption(error) => Failure::invalid(FORMAT, format!("its encryption is not known: {error:?}")),
        LoadPdfError::Invalid if !whole => Failure::invalid(FORMAT, "it is cut off; fetch it again"),
        LoadPdfError::Invalid => Failure::invalid(FORMAT, "it has no page that can be found"),
    })?;
    let result = catch_unwind(AssertUnwindSafe(|| document(&file, whole, deadline, options)));
    result.unwrap_or_else(|_| Err(Failure::invalid(FORMAT, "its structure is damaged")))
}

fn document(file: &File, whole: bool, deadline: Instant, options: &Options) -> Result<Read, Failure> {
    let limits = &options.limits;
    let count = file.pages().len();
    if count > limits.parts as usize {
        return Err(Failure::TooLarge {
            what: "pages",
            limit: limits.parts.into(),
            name: "the parts of a file",
            advice: "divide it into several files",
        });
    }
    let stated = info::stated_pages(file).unwrap_or(count);
    if !whole || count < stated {
        let reason = if whole { format!("it says it has {stated} pages, and {count} are found") } else { "it is cut off".into() };
        return Err(Failure::invalid(FORMAT, format!("{reason}; fetch it again")));
    }
    let mut alternatives = info::alternatives(file);
    let mut reading = Reading {
        file,
        deadline,
        limits,
        ocr: !options.ocr.is_empty(),
        text_bytes: limits.text_bytes,
        ink: Ink::default(),
        collections: Collections::default(),
        cache: InterpreterCache::new(),
    };
    let (mut pages, mut notes, mut pictures) = (Vec::new(), Vec::new(), Vec::new());
    // Text that the command read, by page.
    let mut read = HashMap::new();
    for (number, page) in (1..).zip(file.pages().iter()) {
        let own = page.raw().obj_id().and_then(|id| alternatives.remove(&id)).unwrap_or_default();
        let (width, height) = page.render_dimensions();
        let area = Rect::new(0.0, 0.0, width.into(), height.into());
        let Some(mut found) = reading.page(number as usize - 1, own, area)? else {
            notes.push(Note::PartSkipped { part: format!("page {number}"), reason: "is damaged".into() });
            continue;
        };
        if found.unknown > 0 && found.unknown > found.glyphs.len() as u64 / 20 {
            let reason = format!(
                "has {} characters of a font that does not say what they are; a command of `ocr` reads pictures of pages only",
                found.unknown
            );
            notes.push(Note::PartSkipped { part: format!("page {number}"), reason });
        }
        if found.drawn && found.glyphs.iter().all(|glyph| glyph.dot || glyph.text.trim().is_empty()) && found.unknown == 0 {
            found.pictures.sort_by(|(a, _), (b, _)| a.total_cmp(b));
            let mut text = String::new();
            for (_, picture) in std::mem::take(&mut found.pictures) {
                match ocr::read(&options.ocr, picture)? {
                    Ok(more) => text = format!("{text}\n\n{more}"),
                    Err(reason) => notes.push(Note::PartSkipped { part: format!("page {number}"), reason }),
                }
            }
            if text.contains(char::is_alphanumeric) {
                read.insert(number, text);
            } else {
                pictures.push(number);
            }
        }
        pages.push(Page { number, groups: rows::groups(found, area) });
    }
    layout::leave_out_running(&mut pages);
    let style = Style::new(&pages, reading.ink.usual(), info::bookmarks(file));
    let mut blocks = Blocks::default();
    for page in pages {
        if Instant::now() > deadline {
            return Err(too_long());
        }
        let text = read.remove(&page.number);
        let number = page.number;
        blocks.add(page, &style);
        if let Some(text) = text {
            blocks.add_read(number, &text.replace('\r', ""), &style);
        }
    }
    let mut text = Text::new(limits);
    blocks.write(&mut text)?;
    if text.is_empty() {
        return Err(Failure::Empty {
            advice: "its pages may be pictures: name a command that reads them as `ocr`, such as `tesseract - -`",
        });
    }
    if !pictures.is_empty() {
        notes.push(Note::PagesWithoutText { pages: pictures, of: count as u32 });
    }
    let (text, marks) = text.finish();
    let mut document = Extracted { text, marks, ..Extracted::default() };
    info::state(file, &mut document);
    Ok(Read { document, notes })
}

fn too_long() -> Failure {
    Failure::invalid(FORMAT, format!("reading it takes more than {SECONDS} seconds"))
}

/// The reading of the pages of a file.
struct Reading<'a> {
    file: &'a File,
    deadline: Instant,
    limits: &'a Limits,
    /// Whether pictures of pages are wanted.
    ocr: bool,
    /// Bytes of text that may still come.
    text_bytes: u64,
    ink: Ink,
    collections: Collections,
    cache: InterpreterCache<'a>,
}

impl Reading<'_> {
    /// What stands on a page; `None` if it is damaged.
    fn page(&mut self, index: usize, alternatives: HashMap<i64, String>, area: Rect) -> Result<Option<Found>, Failure> {
        let page = &self.file.pages()[index];
        let transform = Affine::new(page.initial_transform(true).as_coeffs());
        let settings = InterpreterSettings::default();
        self.collections.add(page.resources());
        let mut reader = Reader::new(&mut self.ink, &self.collections, self.deadline, self.text_bytes, area);
        (reader.alternatives, reader.pictures) = (alternatives, self.ocr);
        let result = catch_unwind(AssertUnwindSafe(|| {
            let mut context = Context::new(transform, area, &self.cache, self.file.xref(), settings);
            interpret_page(page, &mut context, &mut reader);
        }));
        let (found, left) = (reader.found, reader.text_bytes);
        self.text_bytes = left;
        match result {
            Ok(()) => Ok(Some(found)),
            Err(payload) => match payload.downcast_ref() {
                Some(Stop::Deadline) => Err(too_long()),
                Some(Stop::TextBytes) => Err(Failure::TooLarge {
                    what: "bytes of text",
                    limit: self.limits.text_bytes,
                    name: "the text of a document",
                    advice: "divide it into several files",
                }),
                Some(Stop::Forms) => {
                    Err(Failure::invalid(FORMAT, format!("page {} draws forms within one another without end", index + 1)))
                }
                None => {
                    self.cache = InterpreterCache::new();
                    Ok(None)
                }
            },
        }
    }
}
