//! Where files are cut into chunks.
//!
//! A pack is cut where its sections begin, so that what stands before a section that changes its length does not matter to it. Within a
//! section the contents decide (FastCDC, 2020): references that are added or removed in the middle change the chunks around them alone.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::ControlFlow;

use fastcdc::v2020::StreamCDC;
use mempack_format::{Digest, PackOutline};

use crate::objects::Piece;

/// How large chunks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkSizes {
    /// Fewest bytes, but for the last chunk of a section.
    pub min: usize,
    /// Bytes on average.
    pub average: usize,
    /// Most bytes.
    pub max: usize,
}

/// The sizes with which banks are published. Others would cut all files anew, and nothing of older banks would be recognised.
pub const CHUNK_SIZES: ChunkSizes = ChunkSizes { min: 64 << 10, average: 256 << 10, max: 1 << 20 };

/// A part of a file that is cut by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// Its bytes, from where the one before it ends.
    pub bytes: u64,
    /// How many of them are a section of the pack, and the digest that they must have.
    pub seal: Option<(u64, Digest)>,
}

/// Why a file was not cut.
#[derive(Debug)]
pub enum CutError {
    /// It cannot be read.
    Io(io::Error),
    /// The section that is this range has another digest.
    Seal {
        /// The number of the range.
        range: usize,
    },
    /// The caller ended it.
    Interrupted,
}

impl From<io::Error> for CutError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The ranges of a pack in a file of `length` bytes: header page, sections with the padding behind them, signatures.
pub fn ranges_of_pack(outline: &PackOutline, length: u64) -> Vec<Range> {
    let starts: Vec<u64> = outline.sections.iter().map(|section| section.offset).collect();
    let ends = starts.iter().skip(1).copied().chain([outline.bytes]);
    let header = Range { bytes: starts.first().copied().unwrap_or(outline.bytes), seal: None };
    let sections = outline
        .sections
        .iter()
        .zip(ends)
        .map(|(section, end)| Range { bytes: end.saturating_sub(section.offset), seal: Some((section.length, section.digest)) });
    let behind = Range { bytes: length.saturating_sub(outline.bytes), seal: None };
    [header].into_iter().chain(sections).chain([behind]).collect()
}

/// Cuts a file into chunks, from its beginning, and compares what is sealed. `each` gets every chunk with the byte at which it begins.
///
/// # Errors
/// If the file cannot be read, is shorter than the ranges, a section has another digest, or `each` ends it.
pub fn cut(
    file: &mut File,
    ranges: &[Range],
    sizes: ChunkSizes,
    each: &mut dyn FnMut(u64, Piece) -> ControlFlow<()>,
) -> Result<(), CutError> {
    file.seek(SeekFrom::Start(0))?;
    let mut at = 0;
    for (number, range) in ranges.iter().enumerate() {
        let mut sealed = range.seal.map_or(0, |(length, _)| length);
        let mut hasher = blake3::Hasher::new();
        let start = at;
        let mut on_chunk = |bytes: &[u8]| -> Result<(), CutError> {
            let part = bytes.get(..sealed.min(bytes.len() as u64) as usize).unwrap_or(bytes);
            hasher.update(part);
            sealed -= part.len() as u64;
            let piece = Piece { digest: Digest::of(bytes), bytes: bytes.len() as u32 };
            let begins = at;
            at += bytes.len() as u64;
            if each(begins, piece).is_break() { Err(CutError::Interrupted) } else { Ok(()) }
        };
        if range.bytes <= sizes.min as u64 {
            let mut bytes = Vec::with_capacity(range.bytes as usize);
            (&mut *file).take(range.bytes).read_to_end(&mut bytes)?;
            if !bytes.is_empty() {
                on_chunk(&bytes)?;
            }
        } else {
            for chunk in StreamCDC::new((&mut *file).take(range.bytes), sizes.min, sizes.average, sizes.max) {
                on_chunk(&chunk.map_err(io::Error::from)?.data)?;
            }
        }
        if at - start != range.bytes {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        if range.seal.is_some_and(|(_, digest)| Digest::from(hasher.finalize()) != digest) {
            return Err(CutError::Seal { range: number });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use mempack_numeric::Rng;

    use super::*;

    const SMALL: ChunkSizes = ChunkSizes { min: 256, average: 1024, max: 4096 };

    fn random(seed: u64, bytes: usize) -> Vec<u8> {
        let mut random = Rng::from_seed(seed);
        (0..bytes).map(|_| random.next_u64() as u8).collect()
    }

    fn pieces(bytes: &[u8], ranges: &[Range]) -> Vec<(u64, Piece)> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let mut pieces = Vec::new();
        cut(&mut file, ranges, SMALL, &mut |at, piece| {
            pieces.push((at, piece));
            ControlFlow::Continue(())
        })
        .unwrap();
        pieces
    }

    fn whole(bytes: &[u8]) -> Range {
        Range { bytes: bytes.len() as u64, seal: Some((bytes.len() as u64, Digest::of(bytes))) }
    }

    #[test]
    fn chunks_cover_the_file_and_have_its_digests() {
        for length in [0, 1, 255, 256, 257, 5_000, 100_000] {
            let bytes = random(length as u64, length);
            let mut end = 0;
            for (at, piece) in pieces(&bytes, &[whole(&bytes)]) {
                assert_eq!(at, end);
                end += u64::from(piece.bytes);
                assert_eq!(piece.digest, Digest::of(&bytes[at as usize..end as usize]));
                assert!(piece.bytes <= 4096 && (piece.bytes >= 256 || end == length as u64));
            }
            assert_eq!(end, length as u64);
        }
    }

    #[test]
    fn what_is_inserted_changes_the_chunks_around_it_alone() {
        let before = random(1, 200_000);
        let mut after = before.clone();
        after.splice(70_000..70_000, random(2, 333));
        let old: std::collections::HashSet<Digest> = pieces(&before, &[whole(&before)]).iter().map(|(_, piece)| piece.digest).collect();
        let new = pieces(&after, &[whole(&after)]);
        let changed: u64 = new.iter().filter(|(_, piece)| !old.contains(&piece.digest)).map(|(_, piece)| u64::from(piece.bytes)).sum();
        assert!(new.len() > 100 && changed < 20_000, "{changed} bytes of {} chunks changed", new.len());
    }

    #[test]
    fn sections_are_cut_by_themselves() {
        let (one, two) = (random(3, 10_000), random(4, 10_000));
        let together = pieces(&[one.clone(), two.clone()].concat(), &[whole(&one), whole(&two)]);
        let apart = [pieces(&one, &[whole(&one)]), pieces(&two, &[whole(&two)])].concat();
        assert!(together.iter().map(|(_, piece)| piece).eq(apart.iter().map(|(_, piece)| piece)));
    }

    #[test]
    fn a_section_with_other_bytes_and_a_short_file_are_refused() {
        let bytes = random(5, 10_000);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let wrong = Range { seal: Some((9_000, Digest::of(&bytes))), ..whole(&bytes) };
        let start = Range { seal: Some((9_000, Digest::of(&bytes[..9_000]))), ..whole(&bytes) };
        let longer = Range { bytes: 10_001, seal: None };
        assert!(cut(&mut file, &[start], SMALL, &mut |_, _| ControlFlow::Continue(())).is_ok());
        assert!(matches!(cut(&mut file, &[wrong], SMALL, &mut |_, _| ControlFlow::Continue(())), Err(CutError::Seal { range: 0 })));
        assert!(matches!(cut(&mut file, &[whole(&bytes)], SMALL, &mut |_, _| ControlFlow::Break(())), Err(CutError::Interrupted)));
        assert!(matches!(cut(&mut file, &[longer], SMALL, &mut |_, _| ControlFlow::Continue(())), Err(CutError::Io(_))));
    }
}
