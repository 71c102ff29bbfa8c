//! Files around files: gzip, Zstandard and zip.

use std::cell::Cell;
use std::io::{self, BufReader, Cursor, Read};
use std::rc::Rc;

use zip::ZipArchive;
use zip::result::ZipError;

use crate::{Failure, Gathered, Input, Limits, Note, Options, Sink};

/// A container, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Container {
    Gzip,
    Zstd,
    /// A zip archive that is no document of another format.
    Zip,
}

/// How many times larger than itself a file may become. DEFLATE makes at most 1,032 bytes of one; text hardly more than 20.
const RATIO: u64 = 200;
/// Bytes that a small file may become at any ratio.
const ANY_RATIO: u64 = 16 << 20;

/// Reads what unpacks from a file, up to the limits, and says if it hit one.
pub(crate) struct Unpacked<R> {
    reader: R,
    left: u64,
    limit: u64,
    packed: u64,
    hit: Rc<Cell<bool>>,
}

impl<R: Read> Unpacked<R> {
    /// `packed` is the size before. An error of this kind is [`Failure::Bomb`], see [`bomb`].
    pub fn new(reader: R, packed: u64, limits: &Limits) -> Self {
        let limit = limits.unpacked_bytes.min(packed.saturating_mul(RATIO).max(ANY_RATIO));
        Self { reader, left: limit, limit, packed, hit: Rc::default() }
    }

    /// The failure of a reader that hit its limit.
    pub fn bomb(&self) -> impl Fn(Failure) -> Failure + use<R> {
        let (hit, limit, packed) = (Rc::clone(&self.hit), self.limit, self.packed);
        move |failure| if hit.get() { Failure::Bomb { limit, ratio: limit / packed.max(1) } } else { failure }
    }
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        match self.left.checked_sub(read as u64) {
            Some(left) => self.left = left,
            None => {
                self.hit.set(true);
                return Err(io::Error::other("it unpacks to more than is allowed"));
            }
        }
        Ok(read)
    }
}

/// Reads what is in a container.
pub(crate) fn extract(container: Container, input: Input<'_>, options: &Options, sink: &mut dyn Sink) -> Result<(), Failure> {
    let (depth, limits) = (input.depth + 1, &options.limits);
    if depth > limits.nesting {
        return Err(Failure::TooLarge {
            what: "archives within one another",
            limit: limits.nesting.into(),
            name: "the nesting of archives",
            advice: "unpack the outer ones",
        });
    }
    let name = input.name.to_owned();
    let bytes = input.whole(limits)?;
    let packed = bytes.len() as u64;
    // The name without the last extension says what is in it: `a.csv.gz`.
    let inner = match name.rsplit_once('.') {
        Some((inner, _)) if !inner.is_empty() => inner,
        _ => name.as_str(),
    };
    let cursor = Cursor::new(bytes);
    match container {
        Container::Gzip => stream(flate2::bufread::MultiGzDecoder::new(cursor), "gzip file", inner, packed, depth, options, sink),
        Container::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(cursor)?;
            stream(decoder, "Zstandard file", inner, packed, depth, options, sink)
        }
        Container::Zip => archive(cursor, depth, options, sink),
    }
}

fn stream(
    decoder: impl Read,
    format: &'static str,
    name: &str,
    packed: u64,
    depth: u32,
    options: &Options,
    sink: &mut dyn Sink,
) -> Result<(), Failure> {
    let unpacked = Unpacked::new(decoder, packed, &options.limits);
    let bomb = unpacked.bomb();
    let result = super::formats::extract(Input { name, reader: Box::new(BufReader::new(unpacked)), depth }, options, sink);
    result.map_err(|failure| match bomb(failure) {
        Failure::Read(error) => Failure::invalid(format, error),
        other => other,
    })
}

/// Reads the files of a zip archive, each for itself: one that cannot be read is noted.
fn archive(cursor: Cursor<Vec<u8>>, depth: u32, options: &Options, sink: &mut dyn Sink) -> Result<(), Failure> {
    let mut zip = open_zip(cursor, &options.limits)?;
    let mut left = options.limits.unpacked_bytes;
    for number in 0..zip.len() {
        let (name, result) = match zip.by_index(number) {
            Ok(file) => {
                let name = String::from_utf8_lossy(file.name_raw()).into_owned();
                if file.is_dir() || is_hidden(&name) {
                    continue;
                }
                let packed = file.compressed_size();
                let limits = Limits { unpacked_bytes: left, ..options.limits.clone() };
                let mut unpacked = Unpacked::new(file, packed, &limits);
                let bomb = unpacked.bomb();
                let before = unpacked.left;
                let mut found = Gathered::default();
                let result = super::formats::extract(Input { name: &name, reader: Box::new(&mut unpacked), depth }, options, &mut found);
                left -= before - unpacked.left;
                let result = result.map_err(bomb);
                if matches!(result, Err(Failure::Bomb { .. })) {
                    return result;
                }
                found.notes.into_iter().for_each(|note| sink.note(note));
                if result.is_ok() {
                    for mut document in found.documents {
                        document.name = if document.name.is_empty() { name.clone() } else { format!("{name}/{}", document.name) };
                        if sink.document(document).is_break() {
                            return Ok(());
                        }
                    }
                }
                (name, result)
            }
            Err(ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED)) => return Err(encrypted()),
            Err(error) => (format!("file {number}"), Err(Failure::invalid("zip archive", error))),
        };
        if let Err(failure) = result {
            sink.note(Note::PartSkipped { part: name, reason: failure.to_string() });
        }
    }
    Ok(())
}

/// Whether a file of an archive is none of the user's documents.
fn is_hidden(name: &str) -> bool {
    name.starts_with("__MACOSX/") || name.rsplit('/').next().is_some_and(|last| last.starts_with('.'))
}

/// Opens a zip archive, which office documents are too.
pub(crate) fn open_zip(cursor: Cursor<Vec<u8>>, limits: &Limits) -> Result<ZipArchive<Cursor<Vec<u8>>>, Failure> {
    let zip = ZipArchive::new(cursor).map_err(|error| Failure::invalid("zip archive", error))?;
    if zip.len() > limits.parts as usize {
        return Err(Failure::TooLarge {
            what: "files in the archive",
            limit: limits.parts.into(),
            name: "the files of an archive",
            advice: "unpack it into a folder, and name the folder",
        });
    }
    Ok(zip)
}

/// The bytes of a file of a zip archive, within the limits; `None` if it has no file of this name.
pub(crate) fn zip_part(zip: &mut ZipArchive<Cursor<Vec<u8>>>, name: &str, limits: &Limits) -> Result<Option<Vec<u8>>, Failure> {
    let file = match zip.by_name(name) {
        Ok(file) => file,
        Err(ZipError::FileNotFound) => return Ok(None),
        Err(ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED)) => return Err(encrypted()),
        Err(error) => return Err(Failure::invalid("zip archive", error)),
    };
    let packed = file.compressed_size();
    let limits = Limits { unpacked_bytes: limits.unpacked_bytes.min(limits.file_bytes), ..limits.clone() };
    let mut unpacked = Unpacked::new(file, packed, &limits);
    let bomb = unpacked.bomb();
    let mut bytes = Vec::new();
    unpacked.read_to_end(&mut bytes).map_err(|error| bomb(Failure::invalid("zip archive", error)))?;
    Ok(Some(bytes))
}

fn encrypted() -> Failure {
    Failure::Encrypted { advice: "unpack it with its password, and name what is in it" }
}
