//! Sections that follow from others: the two indices, the leaf digests and the coarse embeddings. The caller compares them with their digests.

use zstd::zstd_safe;

use super::patches::frame_span;
use super::{Contents, Hashing, Strides};
use crate::coarse::{largest_of, round_to_8_bits, row_bytes};
use crate::error::Interrupted;
use crate::{Digest, Tag};

/// `DOCINDEX` of `length` bytes: every document record is six strings (SPEC 6).
pub(super) fn document_index(documents: &Contents<'_>, length: u64) -> Option<Vec<u8>> {
    index(documents, length, |rest| {
        (0..6).try_fold(0usize, |end, _| {
            let length = u32::from_le_bytes(*rest.get(end..)?.first_chunk::<4>()?);
            end.checked_add(4)?.checked_add(length as usize)
        })
    })
}

/// `TEXTINDX` of `length` bytes: every text block is one Zstandard frame (SPEC 8).
pub(super) fn text_index(text: &Contents<'_>, length: u64) -> Option<Vec<u8>> {
    index(text, length, |rest| zstd_safe::find_frame_compressed_size(rest).ok())
}

/// An index of `length` bytes over records that follow one another in a section; `next` returns the length of the first record of the rest.
fn index(contents: &Contents<'_>, length: u64, next: impl Fn(&[u8]) -> Option<usize>) -> Option<Vec<u8>> {
    let &Contents::Whole(mut rest) = contents else { return None };
    let mut index = 0u64.to_le_bytes().to_vec();
    let mut end = 0;
    while !rest.is_empty() && (index.len() as u64) < length {
        let bytes = next(rest).filter(|bytes| *bytes > 0)?;
        rest = rest.get(bytes..)?;
        end += bytes as u64;
        index.extend(end.to_le_bytes());
    }
    rest.is_empty().then_some(index)
}

/// `LEAVES` of memories, embeddings and text blocks that are undamaged or repaired (SPEC 13).
pub(super) fn leaves(
    memories: &Contents<'_>,
    embeddings: &Contents<'_>,
    text: &Contents<'_>,
    text_index: &Contents<'_>,
    strides: &Strides,
    hashing: &mut Hashing<'_>,
) -> Result<Option<Vec<u8>>, Interrupted> {
    if [memories, embeddings, text, text_index].into_iter().any(|contents| matches!(contents, Contents::Damaged)) {
        return Ok(None);
    }
    let mut leaves = Vec::new();
    let mut push = |tag, piece: Option<&[u8]>| -> Result<bool, Interrupted> {
        let Some(piece) = piece else { return Ok(false) };
        leaves.extend(Digest::of(piece).0);
        hashing.advance(tag, piece.len() as u64)?;
        Ok(true)
    };
    for (tag, rows, stride) in [(Tag::MEMORIES, memories, strides.memory), (Tag::EMBEDDINGS, embeddings, strides.embedding)] {
        for reference in 0..u64::from(strides.counts.references) {
            let row = reference.checked_mul(stride).and_then(|at| rows.slice(at, stride));
            if !push(tag, row)? {
                return Ok(None);
            }
        }
    }
    for block in 0..strides.counts.text_blocks() {
        let frame = frame_span(text_index, block).and_then(|(at, length)| text.slice(at, length));
        if !push(Tag::TEXT, frame)? {
            return Ok(None);
        }
    }
    Ok(Some(leaves))
}

/// `EMBED8` of `length` bytes, of embeddings that are undamaged or repaired (SPEC 11.1).
pub(super) fn coarse_embeddings(
    embeddings: &Contents<'_>,
    length: u64,
    strides: &Strides,
    hashing: &mut Hashing<'_>,
) -> Result<Option<Vec<u8>>, Interrupted> {
    let Ok(dim) = u32::try_from(strides.embedding / 4) else { return Ok(None) };
    let stride = row_bytes(dim);
    let references = u64::from(strides.counts.references);
    if references.checked_mul(stride) != Some(length) {
        return Ok(None);
    }
    let row = |reference: u64| {
        let bytes = embeddings.slice(reference.checked_mul(strides.embedding)?, strides.embedding)?;
        Some(bytes.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)))
    };
    let Some(largest) = (0..references).try_fold(0.0, |largest, reference| Some(largest_of(largest, row(reference)?))) else {
        return Ok(None);
    };
    let mut coarse = Vec::new();
    for (reference, end) in (0..references).zip((stride..).step_by(stride as usize)) {
        let Some(values) = row(reference) else { return Ok(None) };
        coarse.extend(round_to_8_bits(values, largest).map(i8::cast_unsigned));
        coarse.resize(end as usize, 0);
        hashing.advance(Tag::COARSE_EMBEDDINGS, stride)?;
    }
    Ok(Some(coarse))
}
