//! Writing coarse embeddings.

use super::Files;
use super::spool::Spool;
use crate::WriteError;
use crate::coarse::{round_to_8_bits, row_bytes};

/// Writes the section `EMBED8` (SPEC 11.1) of embeddings whose numbers are at most `largest`.
pub(super) fn write(files: &Files, embeddings: &mut Spool, dim: u32, largest: f32) -> Result<Spool, WriteError> {
    let mut spool = files.spool("coarse-embeddings", 0)?;
    let mut row = Vec::new();
    embeddings.reread(4 * dim as usize, |embedding| {
        row.clear();
        let values = embedding.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value));
        row.extend(round_to_8_bits(values, largest).map(i8::cast_unsigned));
        row.resize(row_bytes(dim) as usize, 0);
        spool.write(&row)
    })?;
    Ok(spool)
}
