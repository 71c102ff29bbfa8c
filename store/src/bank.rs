//! A bank on the disk: a set with its packs, or one pack.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use mempack_format::{Digest, OpenError, OutlineError, PackId, PackOutline, PackSetFile};

use crate::cutting::{CHUNK_SIZES, ChunkSizes, CutError, Range, cut, ranges_of_pack};
use crate::error::BankError;
use crate::objects::{Edition, EditionFile, FileIndex, Piece, Stored as _, is_file_name};
use crate::watch::{Stage, Watch};

/// Most bytes of a set that is read.
const MAX_SET_BYTES: u64 = 1 << 30;

/// A bank whose files were read and cut, to be published.
#[derive(Clone, Debug)]
pub struct LocalBank {
    /// The name that it is published under unless another is given: that of its set or pack, without the ending.
    pub name: String,
    /// What is published.
    pub edition: Edition,
    /// The files, in the order of the edition.
    pub files: Vec<LocalFile>,
}

/// A file of a bank.
#[derive(Clone, Debug)]
pub struct LocalFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its chunks.
    pub index: FileIndex,
}

/// A file of a bank before it is read whole.
struct Found {
    path: PathBuf,
    name: String,
    ranges: Vec<Range>,
}

impl LocalBank {
    /// Reads the bank at `path`: a set, a pack, or a folder with one set or, without a set, one pack.
    ///
    /// Every byte is read once. What is checked on the way: the set, that it names these packs, and the digest of every section.
    ///
    /// # Errors
    /// If there is not exactly one bank, a file cannot be read or is damaged, or a pack is another than the set names.
    pub fn read(path: &Path, watch: &dyn Watch) -> Result<Self, BankError> {
        let entry = entry_of(path)?;
        let name = file_name(&entry)?;
        let (id, files) = if entry.extension() == Some(OsStr::new("mps")) { of_set(&entry)? } else { of_pack(&entry)? };
        watch.begin(Stage::Reading, files.iter().flat_map(|file| &file.ranges).map(|range| range.bytes).sum());
        let mut read = Vec::new();
        for file in files {
            let index = index_of(&file.path, &file.ranges, CHUNK_SIZES, watch)?;
            let listed = EditionFile { name: file.name, bytes: index.bytes, index: Digest::of(&index.to_bytes()) };
            read.push((listed, LocalFile { path: file.path, index }));
        }
        read.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
        let (listed, files) = read.into_iter().unzip();
        let stem = entry.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Self { name: stem, edition: Edition::new(name, id, listed), files })
    }
}

/// The chunks of a file of packs or sets, as it would be published; of another file, or a damaged one, those by its contents alone.
///
/// # Errors
/// If the file cannot be read.
pub fn chunks_of(path: &Path, watch: &dyn Watch) -> Result<FileIndex, BankError> {
    let length = fs::metadata(path).map_err(reading(path))?.len();
    let mut ranges = match File::open(path).map_err(reading(path)).map(PackOutline::read)? {
        Ok(outline) => ranges_of_pack(&outline, length),
        Err(OutlineError::Open(_)) => vec![Range { bytes: length, seal: None }],
        Err(OutlineError::Io(error)) => return Err(reading(path)(error)),
    };
    ranges.iter_mut().for_each(|range| range.seal = None);
    index_of(path, &ranges, CHUNK_SIZES, watch)
}

/// Reads one chunk of a file again.
///
/// # Errors
/// If the file cannot be read, or the chunk has other bytes than before.
pub fn read_chunk(path: &Path, at: u64, piece: Piece) -> Result<Vec<u8>, BankError> {
    let mut bytes = vec![0; piece.bytes as usize];
    let read = File::open(path).and_then(|mut file| {
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut bytes)
    });
    match read {
        Ok(()) if Digest::of(&bytes) == piece.digest => Ok(bytes),
        Ok(()) => Err(BankError::Changed { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(BankError::Changed { path: path.to_owned() }),
        Err(source) => Err(reading(path)(source)),
    }
}

fn reading(path: &Path) -> impl Fn(io::Error) -> BankError {
    move |source| BankError::Io { path: path.to_owned(), source }
}

/// The set or pack that `path` means.
fn entry_of(path: &Path) -> Result<PathBuf, BankError> {
    if !path.is_dir() {
        let known = path.extension().is_some_and(|ending| ending == "mps" || ending == "mpk");
        return if known && path.exists() { Ok(path.to_owned()) } else { Err(BankError::None { path: path.to_owned() }) };
    }
    let mut found: (Vec<PathBuf>, Vec<PathBuf>) = Default::default();
    for file in fs::read_dir(path).map_err(reading(path))? {
        let file = file.map_err(reading(path))?.path();
        match file.extension() {
            Some(ending) if ending == "mps" => found.0.push(file),
            Some(ending) if ending == "mpk" => found.1.push(file),
            _ => {}
        }
    }
    let mut banks = if found.0.is_empty() { found.1 } else { found.0 };
    banks.sort();
    match banks.as_slice() {
        [] => Err(BankError::None { path: path.to_owned() }),
        [one] => Ok(one.clone()),
        several => {
            let names: Vec<_> = several.iter().filter_map(|path| path.file_name()).take(4).map(|name| name.to_string_lossy()).collect();
            let more = if several.len() > names.len() { ", ..." } else { "" };
            Err(BankError::Several { path: path.to_owned(), found: names.join(", ") + more })
        }
    }
}

fn file_name(path: &Path) -> Result<String, BankError> {
    let name = path.file_name().and_then(OsStr::to_str).filter(|name| is_file_name(name));
    name.map(str::to_owned).ok_or_else(|| BankError::FileName { path: path.to_owned() })
}

fn of_set(path: &Path) -> Result<(Digest, Vec<Found>), BankError> {
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_SET_BYTES).read_to_end(&mut bytes)).map_err(reading(path))?;
    let set = PackSetFile::read(&bytes).map_err(|source| BankError::Set { path: path.to_owned(), source })?;
    let whole = Range { bytes: bytes.len() as u64, seal: Some((bytes.len() as u64, Digest::of(&bytes))) };
    let mut files = vec![Found { path: path.to_owned(), name: file_name(path)?, ranges: vec![whole] }];
    for pack in &set.manifest().packs {
        let path = path.with_file_name(&pack.file);
        if !path.exists() {
            return Err(BankError::MissingPack { path });
        }
        let (id, found) = found_pack(&path)?;
        if id != pack.id {
            return Err(BankError::Replaced { path, expected: pack.id, found: id });
        }
        files.push(found);
    }
    Ok((set.id().0, files))
}

fn of_pack(path: &Path) -> Result<(Digest, Vec<Found>), BankError> {
    let (id, found) = found_pack(path)?;
    Ok((id.0, vec![found]))
}

fn found_pack(path: &Path) -> Result<(PackId, Found), BankError> {
    let refused = |source: OpenError| BankError::Pack { path: path.to_owned(), source };
    let file = File::open(path).map_err(reading(path))?;
    let length = file.metadata().map_err(reading(path))?.len();
    let outline = PackOutline::read(&file).map_err(|error| match error {
        OutlineError::Io(error) => reading(path)(error),
        OutlineError::Open(error) => refused(error),
    })?;
    let ranges = ranges_of_pack(&outline, length);
    Ok((outline.id, Found { path: path.to_owned(), name: file_name(path)?, ranges }))
}

fn index_of(path: &Path, ranges: &[Range], sizes: ChunkSizes, watch: &dyn Watch) -> Result<FileIndex, BankError> {
    let mut file = File::open(path).map_err(reading(path))?;
    let mut pieces = Vec::new();
    let cut = cut(&mut file, ranges, sizes, &mut |_, piece: Piece| {
        watch.advance(piece.bytes.into());
        pieces.push(piece);
        if watch.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    match cut {
        Ok(()) => Ok(FileIndex::new(pieces)),
        Err(CutError::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Err(BankError::Changed { path: path.to_owned() }),
        Err(CutError::Io(error)) => Err(reading(path)(error)),
        Err(CutError::Interrupted) => Err(BankError::Interrupted),
        Err(CutError::Seal { range }) => Err(damaged_section(path, range)),
    }
}

/// The error for a section that has another digest: range 0 of a pack is its header page.
fn damaged_section(path: &Path, range: usize) -> BankError {
    let outline = File::open(path).ok().and_then(|file| PackOutline::read(file).ok());
    match outline.as_ref().and_then(|outline| outline.sections.get(range.checked_sub(1)?)) {
        Some(section) => BankError::Section { path: path.to_owned(), section: section.tag.to_string(), offset: section.offset },
        None => BankError::Changed { path: path.to_owned() },
    }
}
