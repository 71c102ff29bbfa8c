//! The header page: header, section table, root digest (SPEC 3).

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::constants::{
    ENTRY_BYTES, HEADER_BYTES, KNOWN_REQUIRED_FEATURES, MAGIC, MAJOR_VERSION, MAX_SECTIONS, PAGE_BYTES, SECTION_REQUIRED,
};
use crate::signature::{Signature, trailer};
use crate::{Digest, OpenError, Section, Tag};

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawHeader {
    magic: [u8; 8],
    major: U16,
    minor: U16,
    sections: U32,
    required_features: U64,
    optional_features: U64,
    file_length: U64,
    reserved: [u8; 56],
    root: [u8; 32],
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawEntry {
    tag: [u8; 8],
    flags: U64,
    offset: U64,
    length: U64,
    digest: [u8; 32],
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawPage {
    header: RawHeader,
    entries: [RawEntry; MAX_SECTIONS as usize],
}

const _: () = assert!(size_of::<RawHeader>() as u64 == HEADER_BYTES);
const _: () = assert!(size_of::<RawEntry>() as u64 == ENTRY_BYTES);
const _: () = assert!(size_of::<RawPage>() as u64 == PAGE_BYTES);

// Offsets of fields, for errors (SPEC 3).
const AT_SECTIONS: u64 = 12;
const AT_RESERVED: u64 = 40;
const AT_ROOT: usize = 96;

/// The contents of the header page, checked.
pub(crate) struct Header {
    pub(crate) id: Digest,
    pub(crate) minor: u16,
    pub(crate) required_features: u64,
    /// Bytes of the pack; only signatures may follow them.
    pub(crate) length: u64,
    pub(crate) sections: Vec<Section>,
    pub(crate) signatures: Vec<Signature>,
}

/// `offset` rounded up to a page; `None` on overflow.
pub(crate) fn align(offset: u64) -> Option<u64> {
    offset.checked_next_multiple_of(PAGE_BYTES)
}

/// The root digest of a header page: of all its bytes but 96..128, which hold the digest.
fn root_of(page: &RawPage) -> Digest {
    let mut hasher = blake3::Hasher::new();
    let (before, after) = page.as_bytes().split_at(AT_ROOT);
    hasher.update(before);
    hasher.update(after.get(page.header.root.len()..).unwrap_or_default());
    hasher.finalize().into()
}

/// Reads the header page of `data`, the whole file, and the signatures behind the pack.
pub(crate) fn read(data: &[u8]) -> Result<Header, OpenError> {
    // `length` is below the data's: `read_with` calls this only if something follows the pack.
    let behind = |length: u64| trailer::read(length, data.get(length as usize..).unwrap_or_default());
    read_with(data, data.len() as u64, behind)
}

/// Reads the header page of `data` without looking at the file's length or at what follows the pack.
pub(crate) fn read_alone(data: &[u8]) -> Result<Header, OpenError> {
    read_with(data, u64::MAX, |_| Ok(Vec::new()))
}

/// Reads the header page from `start`, the beginning of a file of `found` bytes. If the file is longer than the pack, `behind` reads the
/// signatures that begin at the byte given to it.
pub(crate) fn read_with<E: From<OpenError>>(
    start: &[u8],
    found: u64,
    behind: impl FnOnce(u64) -> Result<Vec<Signature>, E>,
) -> Result<Header, E> {
    let (page, id) = read_page(start, found)?;
    let header = &page.header;
    let length = header.file_length.get();
    let signatures = if found > length { behind(length)? } else { Vec::new() };
    let unknown = header.required_features.get() & !KNOWN_REQUIRED_FEATURES;
    if unknown != 0 {
        return Err(OpenError::UnknownFeatures { unknown }.into());
    }
    if let Some((at, byte)) = header.reserved.iter().enumerate().find(|(_, byte)| **byte != 0) {
        let (offset, found) = (AT_RESERVED + at as u64, u64::from(*byte));
        return Err(OpenError::Header { offset, field: "reserved", expected: 0, found }.into());
    }
    let sections = read_table(page, length)?;
    Ok(Header { id, minor: header.minor.get(), required_features: header.required_features.get(), length, sections, signatures })
}

/// The header page, if the file has this major version and is at least as long as its pack; and the pack's id.
fn read_page(data: &[u8], found: u64) -> Result<(&RawPage, Digest), OpenError> {
    let start = data.get(..MAGIC.len()).unwrap_or(data);
    // A file that ends within the magic counts as a truncated pack if it has at least the first letters.
    if !start.starts_with(&MAGIC) && (start.len() < 4 || !MAGIC.starts_with(start)) {
        return Err(OpenError::NotAPack { found: start.to_vec() });
    }
    let Ok((page, _)) = RawPage::ref_from_prefix(data) else {
        return Err(OpenError::Truncated { expected: PAGE_BYTES, found });
    };
    let header = &page.header;
    // Another major version may change everything that follows, so this is checked first.
    if header.major.get() != MAJOR_VERSION {
        return Err(OpenError::MajorVersion { found: header.major.get(), supported: MAJOR_VERSION });
    }
    let id = Digest(header.root);
    let sealed = root_of(page);
    if sealed != id {
        return Err(OpenError::HeaderDigest { expected: id, found: sealed });
    }
    let expected = header.file_length.get();
    if found < expected {
        return Err(OpenError::Truncated { expected, found });
    }
    Ok((page, id))
}

fn read_table(page: &RawPage, file_length: u64) -> Result<Vec<Section>, OpenError> {
    let count = page.header.sections.get();
    if count > MAX_SECTIONS {
        let (expected, found) = (u64::from(MAX_SECTIONS), u64::from(count));
        return Err(OpenError::Header { offset: AT_SECTIONS, field: "section count (at most)", expected, found });
    }
    let (listed, rest) = page.entries.split_at(count as usize);
    let mut sections: Vec<Section> = Vec::with_capacity(listed.len());
    let mut end = PAGE_BYTES;
    for (entry, at) in listed.iter().zip((HEADER_BYTES..).step_by(ENTRY_BYTES as usize)) {
        let section = read_entry(entry, at, end)?;
        if sections.iter().any(|other| other.tag == section.tag) {
            return Err(OpenError::DuplicateSection { offset: at, tag: section.tag });
        }
        end = section.offset.checked_add(section.length).filter(|end| *end <= file_length).ok_or(OpenError::Header {
            offset: at + 24,
            field: "section length (at most)",
            expected: file_length.saturating_sub(section.offset),
            found: section.length,
        })?;
        sections.push(section);
    }
    if end != file_length {
        return Err(OpenError::Header { offset: 32, field: "file length", expected: end, found: file_length });
    }
    let unused = HEADER_BYTES + u64::from(count) * ENTRY_BYTES;
    if let Some((at, byte)) = rest.as_bytes().iter().enumerate().find(|(_, byte)| **byte != 0) {
        return Err(OpenError::Header { offset: unused + at as u64, field: "unused entry", expected: 0, found: u64::from(*byte) });
    }
    Ok(sections)
}

/// Reads the entry at byte `at`, whose section follows others that end at `end`.
fn read_entry(entry: &RawEntry, at: u64, end: u64) -> Result<Section, OpenError> {
    let tag = Tag::parse(entry.tag).ok_or(OpenError::SectionName { offset: at, found: entry.tag })?;
    let (flags, offset) = (entry.flags.get(), entry.offset.get());
    let required = flags == SECTION_REQUIRED;
    let demanded = tag.known().map(u64::from).unwrap_or(flags & SECTION_REQUIRED);
    if flags != demanded {
        return Err(OpenError::Header { offset: at + 8, field: "section flags", expected: demanded, found: flags });
    }
    if align(end) != Some(offset) {
        let expected = align(end).unwrap_or(u64::MAX);
        return Err(OpenError::Header { offset: at + 16, field: "section offset", expected, found: offset });
    }
    if required && tag.known().is_none() {
        return Err(OpenError::UnknownSection { tag, offset });
    }
    Ok(Section { tag, required, offset, length: entry.length.get(), digest: Digest(entry.digest) })
}

/// The header page of a pack with these sections and required features, and its id.
///
/// The minor version is the oldest that defines what the pack has, so that packs without anything new keep their bytes.
pub(crate) fn write(sections: &[Section], file_length: u64, required_features: u64) -> ([u8; PAGE_BYTES as usize], Digest) {
    let empty = RawEntry { tag: [0; 8], flags: U64::ZERO, offset: U64::ZERO, length: U64::ZERO, digest: [0; 32] };
    let minor = sections.iter().map(|section| section.tag.minor_version()).max().unwrap_or(1);
    let mut page = RawPage {
        header: RawHeader {
            magic: MAGIC,
            major: U16::new(MAJOR_VERSION),
            minor: U16::new(minor),
            sections: U32::new(sections.len() as u32),
            required_features: U64::new(required_features),
            optional_features: U64::ZERO,
            file_length: U64::new(file_length),
            reserved: [0; 56],
            root: [0; 32],
        },
        entries: [empty; MAX_SECTIONS as usize],
    };
    for (entry, section) in page.entries.iter_mut().zip(sections) {
        *entry = RawEntry {
            tag: section.tag.0,
            flags: U64::new(u64::from(section.required)),
            offset: U64::new(section.offset),
            length: U64::new(section.length),
            digest: section.digest.0,
        };
    }
    let id = root_of(&page);
    page.header.root = id.0;
    (zerocopy::transmute!(page), id)
}
