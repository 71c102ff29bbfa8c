//! Pieces of a section from other packs, by their leaf digests (SPEC 13).

use std::collections::{BTreeMap, HashMap};
use std::io;

use super::hashing::Sink;
use super::{Contents, Hashing, Strides, range_of};
use crate::constants::DIGEST_BYTES;
use crate::error::Interrupted;
use crate::{Digest, LeafKind, Pack};

/// A damaged section with pieces of other packs inserted.
pub(super) struct Patches<'a> {
    own: &'a [u8],
    length: u64,
    /// By the byte of the section at which they begin.
    pieces: BTreeMap<u64, &'a [u8]>,
    donors: Vec<usize>,
}

impl<'a> Patches<'a> {
    pub(super) fn count(&self) -> u64 {
        self.pieces.len() as u64
    }

    /// The donors of at least one piece.
    pub(super) fn donors(&self) -> Vec<usize> {
        self.donors.clone()
    }

    /// A row or a frame.
    pub(super) fn slice(&self, at: u64, length: u64) -> Option<&'a [u8]> {
        match self.pieces.get(&at) {
            Some(piece) => Some(*piece).filter(|piece| piece.len() as u64 == length),
            None => range_of(self.own, at, length),
        }
    }

    /// Gives all bytes of the section, in order; fewer if some are neither in the file nor inserted.
    pub(super) fn feed(&self, sink: &mut Sink<'_>) -> io::Result<()> {
        let mut end = 0;
        for (at, piece) in &self.pieces {
            sink(range_of(self.own, end, at.saturating_sub(end)).unwrap_or_default())?;
            sink(piece)?;
            end = at + piece.len() as u64;
        }
        sink(range_of(self.own, end, self.length.saturating_sub(end)).unwrap_or_default())
    }
}

/// The pieces of a section that do not fit their leaves.
pub(super) struct Wanted<'a> {
    kind: LeafKind,
    own: &'a [u8],
    length: u64,
    /// Number, first byte in the section, and bytes of those with this digest.
    pieces: HashMap<Digest, Vec<(u64, u64, u64)>>,
    /// Numbers of pieces whose leaf is missing.
    unfound: Vec<u64>,
}

impl<'a> Wanted<'a> {
    /// Compares every piece of `own`, what the file has of a section of `length` bytes, with its leaf. `None` if the places of the pieces
    /// are not known.
    pub(super) fn new(
        kind: LeafKind,
        own: &'a [u8],
        length: u64,
        leaves: &[u8],
        text_index: Option<&Contents<'_>>,
        strides: &Strides,
        hashing: &mut Hashing<'_>,
    ) -> Result<Option<Self>, Interrupted> {
        let numbers = strides.counts.leaves_of(kind);
        let mut wanted = Self { kind, own, length, pieces: HashMap::new(), unfound: Vec::new() };
        for (number, place) in (0u64..).zip(numbers) {
            let span = match kind {
                LeafKind::Memory => number.checked_mul(strides.memory).map(|at| (at, strides.memory)),
                LeafKind::Embedding => number.checked_mul(strides.embedding).map(|at| (at, strides.embedding)),
                LeafKind::TextBlock => text_index.and_then(|index| frame_span(index, number)),
            };
            let Some((at, bytes)) = span.filter(|(at, bytes)| at.checked_add(*bytes).is_some_and(|end| end <= length)) else {
                return Ok(None);
            };
            let leaf = range_of(leaves, place.saturating_mul(DIGEST_BYTES), DIGEST_BYTES);
            let Some(leaf) = leaf.and_then(|leaf| leaf.try_into().ok()).map(Digest) else {
                wanted.unfound.push(number);
                continue;
            };
            let piece = range_of(own, at, bytes);
            if piece.is_none_or(|piece| Digest::of(piece) != leaf) {
                wanted.pieces.entry(leaf).or_default().push((number, at, bytes));
            }
            hashing.advance(kind.section(), bytes)?;
        }
        Ok(Some(wanted))
    }

    /// Searches the donors for the pieces, and inserts those that are found. Returns the numbers of the others, ascending.
    pub(super) fn find(mut self, donors: &[&'a [u8]], hashing: &mut Hashing<'_>) -> Result<(Patches<'a>, Vec<u64>), Interrupted> {
        let mut patches = Patches { own: self.own, length: self.length, pieces: BTreeMap::new(), donors: Vec::new() };
        for (index, data) in donors.iter().enumerate() {
            // A donor that does not open may have undamaged sections, but their strides are not known.
            let Ok(donor) = Pack::open(*data) else { continue };
            for number in 0..donor.leaf_count(self.kind) {
                if self.pieces.is_empty() {
                    break;
                }
                let Ok(leaf) = donor.leaf(self.kind, number) else { break };
                if !self.pieces.contains_key(&leaf) {
                    continue;
                }
                let Some(piece) = donor.leaf_span(self.kind, number).ok().and_then(|(at, length)| range_of(data, at, length)) else {
                    continue;
                };
                hashing.advance(self.kind.section(), piece.len() as u64)?;
                if Digest::of(piece) != leaf {
                    continue;
                }
                for (number, at, length) in self.pieces.remove(&leaf).unwrap_or_default() {
                    // A damaged leaf can equal that of a piece of another length.
                    if piece.len() as u64 == length {
                        patches.pieces.insert(at, piece);
                    } else {
                        self.unfound.push(number);
                    }
                }
                if !patches.donors.contains(&index) {
                    patches.donors.push(index);
                }
            }
        }
        self.unfound.extend(self.pieces.into_values().flatten().map(|(number, ..)| number));
        self.unfound.sort_unstable();
        Ok((patches, self.unfound))
    }
}

/// Where the frame of a text block is: its first byte in the section, and its bytes.
pub(super) fn frame_span(index: &Contents<'_>, block: u64) -> Option<(u64, u64)> {
    let entry = |number: u64| Some(u64::from_le_bytes(index.slice(number.checked_mul(8)?, 8)?.try_into().ok()?));
    let (start, end) = (entry(block)?, entry(block.checked_add(1)?)?);
    Some((start, end.checked_sub(start)?))
}
