//! Which vectors share their tables.
//!
//! The keys and the values of each head have distributions of their own. On a pretrained model, tables for each head leave a quarter less
//! error than tables for a layer, and half as much as tables for all layers, even with only a dozen sampled vectors per centroid. But tables
//! take space in the pack. So heads share tables: first those of a layer, then those of ever longer runs of layers, until all tables together
//! are at most one part in [`CODES_PER_TABLE`] of the codes (a quarter less error is worth about that much longer codes) and each centroid has
//! [`VECTORS_PER_CENTROID`] sampled vectors. Keys and values never share tables.
//!
//! With a head budget, heads have vectors in different numbers. Runs of neighbouring heads then share tables, each as short as these two
//! rules allow.

use std::ops::Range;

use mempack_format::{CodecSpec, MemoryShape, SpecError, VectorKind};

/// Sampled vectors that each centroid should have.
const VECTORS_PER_CENTROID: u64 = 12;
/// How many times larger than the tables the codes should be.
const CODES_PER_TABLE: u64 = 4;

/// Heads `[layers * heads]` of one kind that share tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) kind: VectorKind,
    pub(super) heads: Range<usize>,
}

/// What the rule compares.
pub(super) struct Supply {
    /// Sampled vectors of one head, the mean over all heads.
    pub(super) sampled: u64,
    /// Vectors of one head in the whole pack, likewise.
    pub(super) coded: u64,
}

/// The groups of a codec, in the order of the format; none for a codec without tables.
pub(super) fn choose(spec: CodecSpec, shape: &MemoryShape, supply: &Supply) -> Result<Vec<Group>, SpecError> {
    let tables = 4 * spec.table_floats(shape.head_dim)? as u64;
    if tables == 0 {
        return Ok(Vec::new());
    }
    let (layers, heads) = (shape.layers as usize, shape.heads as usize);
    let centroids = super::rows(&spec).unwrap_or(1) as u64;
    let code = spec.code_bytes(shape.head_dim)? as u64;
    if shape.budget().is_some() {
        let all = (layers * heads) as u64;
        let most = (supply.coded * all * code / (CODES_PER_TABLE * tables)).max(1);
        let least = (VECTORS_PER_CENTROID * centroids).max((supply.sampled * all).div_ceil(most));
        return Ok(groups(runs(shape, supply.sampled * all, least).into_iter()));
    }
    let suffices = |groups: usize, heads_of_smallest: usize| {
        let codes = supply.coded * code * (layers * heads) as u64;
        supply.sampled * heads_of_smallest as u64 >= VECTORS_PER_CENTROID * centroids && codes >= CODES_PER_TABLE * tables * groups as u64
    };
    if suffices(layers * heads, 1) {
        return Ok(groups((0..layers * heads).map(|head| head..head + 1)));
    }
    let runs = (1..=layers).rev().find(|&runs| suffices(runs, layers / runs * heads)).unwrap_or(1);
    // Runs of layers of lengths as equal as possible.
    let start = |run: usize| run * layers / runs * heads;
    Ok(groups((0..runs).map(|run| start(run)..start(run + 1))))
}

/// Runs of heads that have at least `least` of `sampled` vectors each; the last one has what is left over. One run if there are fewer.
fn runs(shape: &MemoryShape, sampled: u64, least: u64) -> Vec<Range<usize>> {
    let slots = (shape.slots() as u64).max(1);
    let vectors = |heads: Range<usize>| sampled * shape.slots_of_run(heads).len() as u64 / slots;
    let (mut runs, mut start) = (Vec::<Range<usize>>::new(), 0);
    for end in 1..=shape.all_heads() {
        if vectors(start..end) >= least {
            runs.push(start..end);
            start = end;
        }
    }
    match runs.last_mut() {
        Some(last) => last.end = shape.all_heads(),
        None => runs.push(0..shape.all_heads()),
    }
    runs
}

fn groups(heads: impl Iterator<Item = Range<usize>> + Clone) -> Vec<Group> {
    VectorKind::ALL.iter().flat_map(|&kind| heads.clone().map(move |heads| Group { kind, heads })).collect()
}

/// The group of each head, `[kind, layers * heads]`.
pub(super) fn map(groups: &[Group]) -> impl Iterator<Item = u16> {
    groups.iter().enumerate().flat_map(|(index, group)| group.heads.clone().map(move |_| index as u16))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: MemoryShape = MemoryShape::new(21, 3, 8, 64);

    fn count(spec: &str, memories: u64, references: u64) -> usize {
        let supply = Supply { sampled: 8 * memories, coded: 8 * references };
        let groups = choose(spec.parse().unwrap(), &SHAPE, &supply).unwrap();
        let heads: Vec<(VectorKind, usize)> = groups.iter().flat_map(|group| group.heads.clone().map(|head| (group.kind, head))).collect();
        let all: Vec<(VectorKind, usize)> = VectorKind::ALL.iter().flat_map(|&kind| (0..63).map(move |head| (kind, head))).collect();
        assert!(groups.is_empty() || heads == all, "each head is in one group, in order");
        assert_eq!(map(&groups).collect::<std::collections::BTreeSet<_>>().len(), groups.len());
        groups.len()
    }

    #[test]
    fn groups_grow_with_what_there_is() {
        assert_eq!(count("F32", 4096, 1 << 20), 0);
        // Enough of everything: each head has its own.
        assert_eq!(count("SQ8", 4096, 1 << 20), 126);
        assert_eq!(count("PQ8x8", 1024, 1 << 20), 126);
        assert_eq!(count("PQ8x8", 4096, 4096), 126);
        // Codes of 384 KiB a layer do for tables of 64 KiB, but not for three times those; and so on down.
        assert_eq!(count("PQ8x8", 2048, 2048), 42);
        assert_eq!(count("PQ8x8", 400, 400), 12);
        assert_eq!(count("PQ8x8", 1, 1), 2);
        assert_eq!(count("SQ8", 1, 1), 30);
        assert_eq!(count("RQ8x8", 0, 0), 2);
        // A large pack, but few vectors to train on.
        assert_eq!(count("PQ8x8", 60, 1 << 20), 14);
        assert_eq!(count("PQ8x14", 1024, 1 << 20), 4);
    }

    #[test]
    fn heads_of_a_budget_share_tables_until_they_have_enough_vectors() {
        // 64 slots: 63 heads, of which the first has none, and the last three too few of their own.
        let mut budget = [0; 63];
        (budget[1], budget[5], budget[60], budget[61], budget[62]) = (40, 20, 2, 1, 1);
        let shape = MemoryShape::with_budget(21, 3, 64, &budget).unwrap();
        let of = |memories: u64, references: u64| {
            let supply = Supply { sampled: 64 * memories / 63, coded: 64 * references / 63 };
            let groups = choose("PQ8x8".parse().unwrap(), &shape, &supply).unwrap();
            let (keys, values) = groups.split_at(groups.len() / 2);
            assert!(keys.iter().zip(values).all(|(key, value)| key.heads == value.heads && key.kind != value.kind));
            keys.iter().map(|group| group.heads.clone()).collect::<Vec<_>>()
        };
        // PQ8x8 has 256 centroids: 3,072 vectors a run.
        assert_eq!(of(1000, 1 << 20), [0..2, 2..6, 6..63]);
        assert_eq!(of(2000, 1 << 20), [0..2, 2..6, 6..61, 61..63]);
        // A pack of few codes has few tables, and few vectors share one set.
        assert_eq!(of(1000, 1000).len(), 1);
        assert_eq!(of(10, 1 << 20), std::slice::from_ref(&(0..63)));
    }

    #[test]
    fn tables_stay_in_proportion() {
        for references in [1u64, 30, 500, 5_000, 50_000, 5_000_000] {
            for spec in ["SQ8", "PQ8x8", "PQ16x8", "RQ8x8", "RQ2x12"] {
                let groups = count(spec, references.min(8192), references) as u64;
                let spec: CodecSpec = spec.parse().unwrap();
                let tables = groups * 4 * spec.table_floats(64).unwrap() as u64;
                let codes = references * 1008 * spec.code_bytes(64).unwrap() as u64;
                assert!(groups == 2 || 4 * tables <= codes, "{spec} {references}");
            }
        }
    }
}
