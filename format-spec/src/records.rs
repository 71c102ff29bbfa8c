//! Documents, references and origins: what they mean, and their records (SPEC 6, 7).

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::constants::{MAX_REFERENCE_TEXT, ORIGIN_BYTES, REFERENCE_BYTES};
use crate::error::Defect;
use crate::{Counts, Digest};

/// A document of the corpus. All fields but `id` may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// Identifier in the corpus.
    pub id: String,
    /// Title.
    pub title: String,
    /// Licence.
    pub license: String,
    /// Where it was published.
    pub source: String,
    /// Version or edition.
    pub version: String,
    /// Date, in the corpus's own form.
    pub date: String,
}

/// Where a reference comes from: bytes `start..end` of a document's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Number of the document.
    pub document: u32,
    /// First byte.
    pub start: u64,
    /// The byte after the last.
    pub end: u64,
}

/// The record of a reference; its text and its origins are read separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReferenceInfo {
    /// Digest of everything its memory depends on.
    pub key: Digest,
    /// Tokens, as the model read them.
    pub tokens: u16,
    /// First byte of its text in the text of the pack.
    pub text_start: u64,
    /// Bytes of its text.
    pub text_len: u32,
    /// Number of its first origin.
    pub first_origin: u64,
    /// How many origins it has; they follow one another.
    pub origins: u32,
}

/// SPEC 7, "Reference record".
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawReference {
    key: [u8; 32],
    text_start: U64,
    first_origin: U64,
    text_len: U32,
    origins: U32,
    tokens: U16,
    reserved: [u8; 6],
}

/// SPEC 7, "Origin record".
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawOrigin {
    document: U32,
    reserved: U32,
    start: U64,
    end: U64,
}

const _: () = assert!(size_of::<RawReference>() as u64 == REFERENCE_BYTES);
const _: () = assert!(size_of::<RawOrigin>() as u64 == ORIGIN_BYTES);

/// A defect, and the byte of the record it is at.
pub(crate) type At = (u64, Defect);

impl RawReference {
    pub(crate) fn new(info: &ReferenceInfo) -> Self {
        Self {
            key: info.key.0,
            text_start: info.text_start.into(),
            first_origin: info.first_origin.into(),
            text_len: info.text_len.into(),
            origins: info.origins.into(),
            tokens: info.tokens.into(),
            reserved: [0; 6],
        }
    }

    /// Reads the record; its text and its origins must lie within the pack's.
    pub(crate) fn read(&self, counts: &Counts) -> Result<ReferenceInfo, At> {
        let info = ReferenceInfo {
            key: Digest(self.key),
            tokens: self.tokens.get(),
            text_start: self.text_start.get(),
            text_len: self.text_len.get(),
            first_origin: self.first_origin.get(),
            origins: self.origins.get(),
        };
        let within = |at, field, start: u64, length: u32, limit| match start.checked_add(length.into()) {
            Some(end) if end <= limit => Ok(()),
            end => Err((at, Defect::TooLarge { field, limit, found: end.unwrap_or(u64::MAX) })),
        };
        within(32, "end of a reference's text", info.text_start, info.text_len, counts.text_bytes)?;
        within(40, "end of a reference's origins", info.first_origin, info.origins, counts.origins)?;
        if u64::from(info.text_len) > MAX_REFERENCE_TEXT {
            let found = info.text_len.into();
            return Err((48, Defect::TooLarge { field: "length of a reference's text", limit: MAX_REFERENCE_TEXT, found }));
        }
        Ok(info)
    }

    pub(crate) fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// Bytes that must be zero.
    pub(crate) fn check_reserved(&self) -> Result<(), At> {
        match self.reserved.iter().find(|byte| **byte != 0) {
            None => Ok(()),
            Some(&byte) => Err((58, Defect::Value { field: "reserved bytes of a reference", expected: 0, found: byte.into() })),
        }
    }
}

impl RawOrigin {
    pub(crate) fn new(origin: &Origin) -> Self {
        Self { document: origin.document.into(), reserved: U32::ZERO, start: origin.start.into(), end: origin.end.into() }
    }

    pub(crate) fn get(&self) -> Origin {
        Origin { document: self.document.get(), start: self.start.get(), end: self.end.get() }
    }

    pub(crate) fn check(&self, counts: &Counts) -> Result<(), At> {
        let origin = self.get();
        if origin.document >= counts.documents {
            let limit = u64::from(counts.documents).saturating_sub(1);
            return Err((0, Defect::TooLarge { field: "document of an origin", limit, found: origin.document.into() }));
        }
        if self.reserved != U32::ZERO {
            return Err((4, Defect::Value { field: "reserved bytes of an origin", expected: 0, found: self.reserved.get().into() }));
        }
        if origin.start > origin.end {
            return Err((8, Defect::TooLarge { field: "start of an origin", limit: origin.end, found: origin.start }));
        }
        Ok(())
    }
}

impl Document {
    fn fields(&self) -> [&str; 6] {
        [&self.id, &self.title, &self.license, &self.source, &self.version, &self.date]
    }

    /// Bytes of its record.
    pub(crate) fn record_bytes(&self) -> u64 {
        self.fields().iter().map(|field| 4 + field.len() as u64).sum()
    }

    /// Appends its record (SPEC 6); the caller has checked its size against the cap, so every length fits.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        for field in self.fields() {
            out.extend((field.len() as u32).to_le_bytes());
            out.extend(field.as_bytes());
        }
    }

    /// Reads a record that must end where `bytes` end.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, At> {
        let mut rest = bytes;
        let mut next = |name: &'static str| -> Result<String, At> {
            let at = (bytes.len() - rest.len()) as u64;
            let too_large = |limit: usize, found: u32| Defect::TooLarge { field: name, limit: limit as u64, found: found.into() };
            let Some((length, behind)) = rest.split_first_chunk::<4>() else {
                return Err((at, Defect::TooSmall { field: "length of a document record", limit: at + 4, found: bytes.len() as u64 }));
            };
            let length = u32::from_le_bytes(*length);
            let Some((text, behind)) = behind.split_at_checked(length as usize) else {
                return Err((at, too_large(behind.len(), length)));
            };
            rest = behind;
            std::str::from_utf8(text).map(String::from).map_err(|_| (at + 4, Defect::Utf8 { field: name }))
        };
        let document = Self {
            id: next("document id")?,
            title: next("document title")?,
            license: next("document license")?,
            source: next("document source")?,
            version: next("document version")?,
            date: next("document date")?,
        };
        if rest.is_empty() {
            return Ok(document);
        }
        let used = (bytes.len() - rest.len()) as u64;
        Err((used, Defect::Value { field: "length of a document record", expected: used, found: bytes.len() as u64 }))
    }
}
