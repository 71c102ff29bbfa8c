//! Which packs of a set a search looks at.

use std::sync::Arc;

use mempack_numeric::dot;

use crate::mapped_set::OpenedSet;
use crate::pack_set::Mounted;
use crate::search::Method;

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
        let own = file.routing().iter(file.manifest().embedder.dim).filter(|(owner, _)| *owner as usize == self.index);
        own.map(|(_, centroid)| dot(query, centroid)).max_by(f32::total_cmp)
    }
}

/// For each pack, whether a search for `query` looks at its vectors first. Of a set with a routing table these are the packs whose centroids are
/// nearest to the query: as many as the set was opened with, or a third of them. Packs outside of sets, and all packs in an exact search, are among the first.
///
/// A filter turns routing off: what it admits may lie anywhere.
pub(crate) fn searched_first(packs: &[Arc<Mounted>], query: &[f32], method: Method) -> Vec<bool> {
    let mut first = vec![true; packs.len()];
    if method == Method::Exact {
        return first;
    }
    let routed =
        |mounted: &Mounted| mounted.set().filter(|of| mounted.selected().is_none() && !of.set.file.routing().owners.is_empty()).cloned();
    let mut sets: Vec<(Arc<OpenedSet>, Vec<(f32, usize)>)> = Vec::new();
    for (order, mounted) in packs.iter().enumerate() {
        let Some(of) = routed(mounted) else { continue };
        let scored = (of.nearness(query).unwrap_or(f32::NEG_INFINITY), order);
        match sets.iter_mut().find(|(set, _)| Arc::ptr_eq(set, &of.set)) {
            Some((_, scores)) => scores.push(scored),
            None => sets.push((of.set, vec![scored])),
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
