//! Which packs of a set a search looks at.

use std::path::PathBuf;
use std::sync::Arc;

use mempack_format::PackSetFile;
use mempack_numeric::dot;

use crate::search::Method;

/// The file of a set, and how its packs are searched.
#[derive(Debug)]
pub(crate) struct OpenedSet {
    pub path: PathBuf,
    pub file: PackSetFile,
    /// Packs whose vectors a search looks at; `None` for a third of them.
    pub probes: Option<usize>,
}

/// That a pack belongs to a set, and where it stands in it.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    pub set: Arc<OpenedSet>,
    /// The number of the pack in the set.
    pub index: usize,
}

impl Membership {
    /// The largest inner product of the query with a centroid of the pack; `None` for a pack without references.
    fn nearness(&self, query: &[f32]) -> Option<f32> {
        let file = &self.set.file;
        let own = file.routing().of_pack(self.index as u32, file.manifest().embedder.dim);
        own.map(|centroid| dot(query, centroid)).max_by(f32::total_cmp)
    }
}

/// For each pack, given with its place in a set, whether a search for `query` looks at its vectors first. Of a set with a routing table these are the
/// packs whose centroids are nearest to the query: as many as the set was opened with, or a third of them. Packs without a place, and all packs in an exact
/// search, are among the first.
pub(crate) fn searched_first<'a>(packs: impl Iterator<Item = Option<&'a Membership>>, query: &[f32], method: Method) -> Vec<bool> {
    let mut first = Vec::new();
    let mut sets: Vec<(&OpenedSet, Vec<(f32, usize)>)> = Vec::new();
    for (order, place) in packs.enumerate() {
        first.push(true);
        let Some(of) = place.filter(|of| method != Method::Exact && !of.set.file.routing().owners.is_empty()) else { continue };
        let scored = (of.nearness(query).unwrap_or(f32::NEG_INFINITY), order);
        match sets.iter_mut().find(|(set, _)| std::ptr::eq(*set, &*of.set)) {
            Some((_, scores)) => scores.push(scored),
            None => sets.push((&of.set, vec![scored])),
        }
    }
    for (set, mut scores) in sets {
        scores.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let probes = set.probes.unwrap_or(scores.len().div_ceil(3));
        for (_, order) in scores.into_iter().skip(probes) {
            if let Some(first) = first.get_mut(order) {
                *first = false;
            }
        }
    }
    first
}
