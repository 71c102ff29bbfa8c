//! The references of a plan in files: those of a build shard, and those of the probe.
//!
//! A file is its references one after the other. Its length and its digest stand in the plan. A reference is, in little-endian numbers:
//! `key[32]`, `u32` ids, `u32` bytes of the lead, `u32` bytes of the text, `u32` occurrences, the ids (`u32` each), the lead, the text, and for each
//! occurrence document (`u32`), start, end (`u64`) and place. A place is a byte of flags and what these announce.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use mempack_format::{Digest, Origin, OriginPlace, Storage, StorageCursor};

use crate::BuildError;
use crate::scratch::{Candidate, failed};

/// Bytes that are read or written at once.
const BUFFER_BYTES: usize = 1 << 18;

/// Where a reference was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlannedOccurrence {
    pub origin: Origin,
    pub place: OriginPlace,
}

/// A reference of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlannedReference {
    pub candidate: Candidate,
    /// The first one first.
    pub occurrences: Vec<PlannedOccurrence>,
}

const HEADINGS: u8 = 1;
const PAGES: u8 = 2;
const SECTIONS: u8 = 4;
const ROWS: u8 = 8;
const SECONDS: u8 = 16;

impl PlannedReference {
    /// Appends the reference.
    pub fn put(&self, out: &mut Vec<u8>) {
        let Candidate { key, ids, lead, text } = &self.candidate;
        out.extend(key.0);
        for length in [ids.len(), lead.len(), text.len(), self.occurrences.len()] {
            out.extend((length as u32).to_le_bytes());
        }
        ids.iter().for_each(|id| out.extend(id.to_le_bytes()));
        out.extend(lead.as_bytes());
        out.extend(text.as_bytes());
        for PlannedOccurrence { origin, place } in &self.occurrences {
            out.extend(origin.document.to_le_bytes());
            out.extend(origin.start.to_le_bytes());
            out.extend(origin.end.to_le_bytes());
            put_place(place, out);
        }
    }

    /// Reads a reference; `None` at the end.
    ///
    /// # Errors
    /// [`ErrorKind::UnexpectedEof`] within a reference, [`ErrorKind::InvalidData`] for bytes that are none.
    pub fn read(input: &mut impl Read) -> io::Result<Option<Self>> {
        let mut first = [0];
        if loop {
            match input.read(&mut first) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read?,
            }
        } == 0
        {
            return Ok(None);
        }
        let mut key = [first[0]; 32];
        input.read_exact(&mut key[1..])?;
        let [ids, lead, text, occurrences] = [u32(input)?, u32(input)?, u32(input)?, u32(input)?];
        let ids = bytes(input, 4 * u64::from(ids))?.as_chunks::<4>().0.iter().map(|id| u32::from_le_bytes(*id)).collect();
        let (lead, text) = (string(input, lead)?, string(input, text)?);
        let occurrence = |_| {
            let origin = Origin { document: u32(input)?, start: u64(input)?, end: u64(input)? };
            Ok(PlannedOccurrence { origin, place: read_place(input)? })
        };
        let occurrences = (0..occurrences).map(occurrence).collect::<io::Result<_>>()?;
        Ok(Some(Self { candidate: Candidate { key: Digest(key), ids, lead, text }, occurrences }))
    }
}

fn put_place(place: &OriginPlace, out: &mut Vec<u8>) {
    let OriginPlace { headings, pages, sections, rows, seconds } = place;
    let flags = [
        (HEADINGS, !headings.is_empty()),
        (PAGES, pages.is_some()),
        (SECTIONS, sections.is_some()),
        (ROWS, rows.is_some()),
        (SECONDS, seconds.is_some()),
    ];
    out.push(flags.iter().filter(|(_, is_set)| *is_set).map(|(flag, _)| flag).sum());
    let text = |text: &str, out: &mut Vec<u8>| {
        out.extend((text.len() as u32).to_le_bytes());
        out.extend(text.as_bytes());
    };
    if !headings.is_empty() {
        out.extend((headings.len() as u32).to_le_bytes());
        headings.iter().for_each(|heading| text(heading, out));
    }
    if let Some((first, last)) = pages {
        out.extend([*first, *last].into_iter().flat_map(u64::to_le_bytes));
    }
    if let Some((first, last)) = sections {
        text(first, out);
        text(last, out);
    }
    if let Some((first, last)) = rows {
        for (sheet, row) in [first, last] {
            text(sheet, out);
            out.extend(row.to_le_bytes());
        }
    }
    if let Some((first, last)) = seconds {
        out.extend([*first, *last].into_iter().flat_map(u64::to_le_bytes));
    }
}

fn read_place(input: &mut impl Read) -> io::Result<OriginPlace> {
    let mut flags = [0];
    input.read_exact(&mut flags)?;
    let has = |flag| flags[0] & flag != 0;
    if flags[0] & !(HEADINGS | PAGES | SECTIONS | ROWS | SECONDS) != 0 {
        return Err(io::Error::new(ErrorKind::InvalidData, "a place of an unknown kind"));
    }
    let mut place = OriginPlace::default();
    if has(HEADINGS) {
        place.headings = (0..u32(input)?).map(|_| text(input)).collect::<io::Result<_>>()?;
    }
    if has(PAGES) {
        place.pages = Some((u64(input)?, u64(input)?));
    }
    if has(SECTIONS) {
        place.sections = Some((text(input)?, text(input)?));
    }
    if has(ROWS) {
        place.rows = Some(((text(input)?, u64(input)?), (text(input)?, u64(input)?)));
    }
    if has(SECONDS) {
        place.seconds = Some((u64(input)?, u64(input)?));
    }
    Ok(place)
}

fn u32(input: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    input.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

fn u64(input: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    input.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// So many bytes. A length that is wrong reserves no memory for bytes that are not there.
fn bytes(input: &mut impl Read, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == length { Ok(bytes) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

fn string(input: &mut impl Read, length: u32) -> io::Result<String> {
    String::from_utf8(bytes(input, length.into())?).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
}

fn text(input: &mut impl Read) -> io::Result<String> {
    let length = u32(input)?;
    string(input, length)
}

/// A file that is written from its beginning, with its digest.
pub(crate) struct DigestFile {
    file: BufWriter<StorageCursor>,
    path: PathBuf,
    hasher: blake3::Hasher,
    length: u64,
}

impl DigestFile {
    pub fn create(storage: &dyn Storage, path: PathBuf) -> Result<Self, BuildError> {
        let file = storage.create(&path).map_err(failed(&path))?;
        let file = BufWriter::with_capacity(BUFFER_BYTES, StorageCursor::new(file, 0));
        Ok(Self { file, path, hasher: blake3::Hasher::new(), length: 0 })
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<(), BuildError> {
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        self.file.write_all(bytes).map_err(failed(&self.path))
    }

    /// The digest of what was written so far.
    pub fn digest(&self) -> Digest {
        self.hasher.finalize().into()
    }

    /// Writes the file to the disk. Gives its length and its digest.
    pub fn finish(self) -> Result<(u64, Digest), BuildError> {
        let Self { file, path, hasher, length } = self;
        let file = file.into_inner().map_err(|error| failed(&path)(error.into_error()))?;
        file.file().sync().map_err(failed(&path))?;
        Ok((length, hasher.finalize().into()))
    }
}

/// The length and the digest of a file.
pub(crate) fn digest_of(path: &Path) -> io::Result<(u64, Digest)> {
    let mut hasher = blake3::Hasher::new();
    let length = io::copy(&mut BufReader::with_capacity(BUFFER_BYTES, File::open(path)?), &mut hasher)?;
    Ok((length, hasher.finalize().into()))
}

/// Reads the references of a file whose digest was compared.
pub(crate) struct ReferenceReader {
    file: BufReader<File>,
    path: PathBuf,
}

impl ReferenceReader {
    pub fn open(path: PathBuf) -> Result<Self, BuildError> {
        let file = File::open(&path).map_err(|source| BuildError::PlanFile { path: path.clone(), source })?;
        Ok(Self { file: BufReader::with_capacity(BUFFER_BYTES, file), path })
    }

    pub fn next(&mut self) -> Result<Option<PlannedReference>, BuildError> {
        PlannedReference::read(&mut self.file).map_err(|source| BuildError::PlanFile { path: self.path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place() -> impl Strategy<Value = OriginPlace> {
        let pair = || prop::option::of((any::<u64>(), any::<u64>()));
        let row = || ("[a-zß]{0,5}", any::<u64>());
        let sections = prop::option::of(("[a-z§]{0,5}", "[a-z§]{0,5}"));
        (prop::collection::vec("[A-ZÄ ]{0,6}", 0..4), pair(), sections, prop::option::of((row(), row())), pair())
            .prop_map(|(headings, pages, sections, rows, seconds)| OriginPlace { headings, pages, sections, rows, seconds })
    }

    fn reference() -> impl Strategy<Value = PlannedReference> {
        let occurrence = (any::<u32>(), any::<u64>(), any::<u64>(), place())
            .prop_map(|(document, start, end, place)| PlannedOccurrence { origin: Origin { document, start, end }, place });
        let candidate = (any::<[u8; 32]>(), prop::collection::vec(any::<u32>(), 0..9), "[a-zö. ]{0,9}", "[a-zö. ]{0,30}")
            .prop_map(|(key, ids, lead, text)| Candidate { key: Digest(key), ids, lead, text });
        (candidate, prop::collection::vec(occurrence, 0..4))
            .prop_map(|(candidate, occurrences)| PlannedReference { candidate, occurrences })
    }

    proptest! {
        #[test]
        fn references_are_read_as_written(references in prop::collection::vec(reference(), 0..5), cut: prop::sample::Index) {
            let mut bytes = Vec::new();
            let mut ends = vec![0];
            for reference in &references {
                reference.put(&mut bytes);
                ends.push(bytes.len());
            }
            let mut input = bytes.as_slice();
            for reference in &references {
                prop_assert_eq!(&PlannedReference::read(&mut input).unwrap().unwrap(), reference);
            }
            prop_assert_eq!(PlannedReference::read(&mut input).unwrap(), None);

            // A file that is cut ends between two references, or is an error.
            let cut = cut.index(bytes.len() + 1);
            let mut input = &bytes[..cut];
            let end = loop {
                match PlannedReference::read(&mut input) {
                    Ok(Some(_)) => {}
                    Ok(None) => break true,
                    Err(error) => {
                        prop_assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
                        break false;
                    }
                }
            };
            prop_assert_eq!(end, ends.contains(&cut));
        }

        #[test]
        fn any_bytes_are_references_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut input = bytes.as_slice();
            while let Ok(Some(_)) = PlannedReference::read(&mut input) {}
        }
    }
}
