//! The codec parameters section: group count, group map, allotments, tables.

use super::{
    CodecError,
    layout::{Decoding, Layout},
    trellis::{Steps, Trellis},
};
use crate::MemoryShape;

/// Most bytes of the codec parameters.
pub const MAX_PARAMETER_BYTES: u64 = 1 << 30;
/// Largest magnitude of a table entry, 2^100: no sum of look-ups can overflow.
pub const MAX_TABLE_VALUE: f32 = (1u128 << 100) as f32;
/// Largest magnitude of a table entry of a codec with a linear map, 2^50: no sum of products can overflow.
pub const MAX_MAPPED_VALUE: f32 = (1u64 << 50) as f32;
/// In an allotment: a dimension that belongs to the run of the one before it.
pub const CONTINUED: u8 = 255;

/// Checked parameters.
pub(super) struct Parameters {
    pub(super) map: Vec<u16>,
    pub(super) groups: usize,
    /// The allotment of each group's trellis, and its steps; empty for codecs without a trellis.
    pub(super) allotments: Vec<u8>,
    pub(super) steps: Vec<Steps>,
    pub(super) tables: Vec<f32>,
}

pub(super) fn parse(layout: &Layout, shape: &MemoryShape, bytes: &[u8]) -> Result<Parameters, CodecError> {
    let heads = 2 * u64::from(shape.layers) * u64::from(shape.heads);
    let found = bytes.len() as u64;
    let Some((count, rest)) = bytes.split_first_chunk::<4>() else {
        return Err(CodecError::ParametersLength { groups: 0, expected: 4, found });
    };
    let groups = u32::from_le_bytes(*count);
    let (min, max) = if layout.table_floats == 0 { (0, 0) } else { (1, heads.min(1 << 16) as u32) };
    if !(min..=max).contains(&groups) {
        return Err(CodecError::GroupCount { min, max, found: groups });
    }
    let map_bytes = if groups == 0 { 0 } else { 2 * heads };
    let allotment_bytes = if layout.decoding.trellis().is_some() { u64::from(groups) * u64::from(shape.head_dim) } else { 0 };
    let expected = 4 + map_bytes + allotment_bytes + 4 * u64::from(groups) * layout.table_floats as u64;
    if expected > MAX_PARAMETER_BYTES {
        return Err(CodecError::ParametersCap { found: expected });
    }
    // Below the cap, so `map_bytes` fits in a `usize`. Once the lengths agree, no allocation exceeds the caller's bytes.
    let parts = rest.split_at_checked(map_bytes as usize).filter(|_| found == expected);
    let parts = parts.and_then(|(map, rest)| Some((map, rest.split_at_checked(allotment_bytes as usize)?)));
    let Some((map, (allotments, tables))) = parts else {
        return Err(CodecError::ParametersLength { groups, expected, found });
    };
    let map: Vec<u16> = map.as_chunks::<2>().0.iter().map(|entry| u16::from_le_bytes(*entry)).collect();
    let tables: Vec<f32> = tables.as_chunks::<4>().0.iter().map(|entry| f32::from_le_bytes(*entry)).collect();
    check_map(&map, groups)?;
    if let Some(trellis) = layout.decoding.trellis() {
        check_allotments(trellis, allotments, shape.head_dim as usize)?;
    }
    check_tables(layout, &tables)?;
    let steps = match layout.decoding.trellis() {
        Some(trellis) => {
            let groups = allotments.chunks_exact(shape.head_dim as usize).zip(tables.chunks_exact(layout.table_floats));
            groups.map(|(allotment, tables)| trellis.steps(allotment, tables)).collect()
        }
        None => Vec::new(),
    };
    Ok(Parameters { map, groups: groups as usize, allotments: allotments.to_vec(), steps, tables })
}

/// Checks that the allotment of each group uses all bits of the code, and gives no run more bits than a window has.
fn check_allotments(trellis: &Trellis, allotments: &[u8], dim: usize) -> Result<(), CodecError> {
    for (group, allotment) in allotments.chunks_exact(dim).enumerate() {
        let mut bits = 0;
        for (dimension, &found) in allotment.iter().enumerate() {
            match found {
                CONTINUED if dimension > 0 => {}
                found if found <= trellis.window => bits += u64::from(found),
                found => return Err(CodecError::Allotment { group, dimension, max: trellis.window, found }),
            }
        }
        let expected = 8 * trellis.bytes as u64;
        if bits != expected {
            return Err(CodecError::AllottedBits { group, expected, found: bits });
        }
    }
    Ok(())
}

/// Checks that groups are numbered in the order in which they first appear, and that all appear: one grouping has one map.
fn check_map(map: &[u16], groups: u32) -> Result<(), CodecError> {
    let mut next = 0;
    for (entry, &group) in map.iter().enumerate() {
        if u32::from(group) > next || u32::from(group) >= groups {
            return Err(CodecError::GroupMap { entry, found: group, next });
        }
        if u32::from(group) == next {
            next += 1;
        }
    }
    if next == groups { Ok(()) } else { Err(CodecError::UnusedGroups { named: next, groups }) }
}

fn check_tables(layout: &Layout, tables: &[f32]) -> Result<(), CodecError> {
    let max = if layout.decoding.mapped() { MAX_MAPPED_VALUE } else { MAX_TABLE_VALUE };
    for (group, tables) in tables.chunks_exact(layout.table_floats.max(1)).enumerate() {
        if let Some((entry, &found)) = tables.iter().enumerate().find(|(_, x)| !(-max..=max).contains(*x)) {
            return Err(CodecError::TableValue { group, entry, max, found });
        }
        if let Decoding::Direct(direct) = &layout.decoding {
            (direct.check)(group, tables)?;
        }
    }
    Ok(())
}
