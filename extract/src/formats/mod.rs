//! The formats, each in a module, and which of them a file has.

#[cfg(feature = "formats")]
mod cell;
#[cfg(feature = "formats")]
mod csv;
#[cfg(feature = "formats")]
mod embedded;
#[cfg(feature = "formats")]
mod epub;
#[cfg(feature = "formats")]
mod html;
#[cfg(feature = "formats")]
mod json;
#[cfg(feature = "formats")]
mod json_value;
#[cfg(feature = "formats")]
mod mail;
#[cfg(feature = "formats")]
mod office;
#[cfg(feature = "formats")]
mod parquet;
#[cfg(feature = "formats")]
mod pdf;
#[cfg(feature = "formats")]
mod rows;
#[cfg(feature = "formats")]
mod rtf;
mod subtitles;
mod text;
#[cfg(feature = "formats")]
mod xml;

use std::io::{Cursor, Read};

use crate::containers::{self, Container};
use crate::{Failure, Input, Options, Sink};

/// All formats. The first that recognises a file reads it.
const FORMATS: &[&dyn Format] = &[
    #[cfg(feature = "formats")]
    &pdf::Pdf,
    #[cfg(feature = "formats")]
    &epub::Epub,
    #[cfg(feature = "formats")]
    &office::Office,
    #[cfg(feature = "formats")]
    &parquet::Parquet,
    #[cfg(feature = "formats")]
    &rtf::Rtf,
    #[cfg(feature = "formats")]
    &html::Html,
    #[cfg(feature = "formats")]
    &xml::Xml,
    #[cfg(feature = "formats")]
    &mail::Mail,
    &subtitles::Subtitles,
    #[cfg(feature = "formats")]
    &json::Json,
    #[cfg(feature = "formats")]
    &csv::Csv,
    &text::Text,
];

/// Bytes of a file that [`Format::recognizes`] sees, unless it is shorter.
pub const HEAD_BYTES: usize = 64 << 10;

/// A kind of file.
pub(crate) trait Format: Sync {
    /// Its name in messages, with an article: `a PDF`.
    fn name(&self) -> &'static str;

    /// Extensions of its files, in lower case.
    fn extensions(&self) -> &'static [&'static str];

    /// Whether a file with these first bytes is of this format, whatever its name is. The name counts only where no format says so.
    fn recognizes(&self, head: &[u8]) -> bool;

    /// Whether a plain text may begin as a file of this format: then its name decides where there is one.
    fn is_like_text(&self) -> bool {
        false
    }

    /// Gives the documents of a file to `sink`, in order.
    ///
    /// # Errors
    /// If the file cannot be read. What was given of it before does not count then.
    fn extract(&self, input: Input<'_>, options: &Options, sink: &mut dyn Sink) -> Result<(), Failure>;
}

/// Gives the documents of a file to `sink`, in order.
///
/// # Errors
/// If the file cannot be read, or has no known format. What was given of it before does not count then.
pub fn extract(mut input: Input<'_>, options: &Options, sink: &mut dyn Sink) -> Result<(), Failure> {
    let mut head = Vec::new();
    input.reader.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    let extension = input.extension();
    let found = container(&head).ok_or_else(|| format(&head, &extension));
    let Input { name, reader, depth } = input;
    let input = Input { name, reader: Box::new(Cursor::new(head).chain(reader)), depth };
    match found {
        Ok(container) => containers::extract(container, input, options, sink),
        Err(Some(format)) => format.extract(input, options, sink),
        Err(None) => Err(Failure::Unknown { what: "no file of a known format", advice: "export its text with the program that made it" }),
    }
}

/// The name of the format of a file with these first bytes and this extension, with an article; `None` if none is known.
pub fn format_of(head: &[u8], extension: &str) -> Option<&'static str> {
    match container(head) {
        Some(Container::Gzip) => Some("a gzip file"),
        Some(Container::Zstd) => Some("a Zstandard file"),
        Some(Container::Zip) if format(head, extension).is_none() => Some("a zip archive"),
        _ => format(head, extension).map(Format::name),
    }
}

/// Whether the first bytes of a file say that it has a known format, whatever its name is. JSON does not, which texts and lines of JSON begin with too.
pub fn is_known(head: &[u8]) -> bool {
    container(head).is_some() || FORMATS.iter().any(|format| !format.is_like_text() && format.recognizes(head))
}

/// The extensions of all formats.
pub fn extensions() -> impl Iterator<Item = &'static str> {
    FORMATS.iter().flat_map(|format| format.extensions()).copied().chain(["gz", "zst", "zip"])
}

fn format(head: &[u8], extension: &str) -> Option<&'static dyn Format> {
    let by_content = FORMATS.iter().copied().find(|format| format.recognizes(head));
    by_content.or_else(|| FORMATS.iter().copied().find(|format| format.extensions().contains(&extension)))
}

/// The container that a file is. A zip archive may be a document of a format, which comes first.
fn container(head: &[u8]) -> Option<Container> {
    match head {
        [0x1F, 0x8B, ..] => Some(Container::Gzip),
        [0x28, 0xB5, 0x2F, 0xFD, ..] => Some(Container::Zstd),
        [b'P', b'K', 3, 4, ..] if format(head, "").is_none() => Some(Container::Zip),
        _ => None,
    }
}
