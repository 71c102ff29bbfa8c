//! Nearest references to a query: through the graph, or by looking at all of them.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use mempack_format::{Damage, Defect, Graph, Pack, ReadError, Tag};
use mempack_retrieval::Hit;
use zerocopy::little_endian::F32;

use crate::checked::Checks;
use crate::damage::Tolerance;
use crate::dot::dot;

/// How many nodes the search keeps in view where the caller has no wish: at 16 links a node, enough for the first five of a
/// hundred thousand references to be right more than 95 times of 100 (see the tests and `benches/search.rs`).
pub const DEFAULT_EF: usize = 100;

/// Packs of at most this many references are scanned whole by [`MappedPack::search`](crate::MappedPack::search): the scan is exact,
/// and at 384 dimensions costs less than a millisecond.
pub const EXACT_UP_TO: u32 = 4096;

/// How to look for neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Through the graph, with this many nodes in view (small packs and packs without a graph are scanned all the same).
    Graph {
        /// At least `k`, more for a better recall.
        ef: usize,
    },
    /// By looking at every reference.
    Exact,
}

impl Default for Method {
    fn default() -> Self {
        Self::Graph { ef: DEFAULT_EF }
    }
}

/// Why a search failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SearchError {
    /// The query comes from another embedder.
    #[error("the query has {found} dimensions, the pack's embeddings have {expected}; embed it with the pack's own embedder")]
    Dimensions {
        /// Dimensions of the query.
        found: usize,
        /// Dimensions of the pack's embeddings.
        expected: usize,
    },
    /// The query is no vector.
    #[error("the query's component {index} is {value}, not a finite number")]
    NotFinite {
        /// Which component.
        index: usize,
        /// Its value.
        value: f32,
    },
    /// The embeddings or the graph are damaged.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl SearchError {
    /// Whether the pack is damaged, rather than the query wrong.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Read(ReadError::Damaged(_)))
    }
}

/// What a search moves over: the nodes' scores against its query, and their links.
pub(crate) trait Nodes {
    fn count(&self) -> u32;
    /// A finite number, or an error, also for a node that does not exist; `None` if the node's vector is damaged, and damage is left out.
    fn score(&self, node: u32) -> Result<Option<f32>, SearchError>;
    /// Any links whatever, however often.
    fn neighbours(&self, node: u32, level: u32) -> Result<impl Iterator<Item = u32>, SearchError>;
}

/// The references of a pack, as a query sees them.
struct PackNodes<'a, D> {
    pack: &'a Pack<D>,
    checks: &'a Checks,
    tolerance: Tolerance<'a>,
    query: &'a [f32],
    embeddings: &'a [F32],
    graph: Option<Graph<'a>>,
}

impl<'a, D: AsRef<[u8]>> PackNodes<'a, D> {
    fn new(pack: &'a Pack<D>, checks: &'a Checks, tolerance: Tolerance<'a>, query: &'a [f32]) -> Result<Self, SearchError> {
        check_query(query, pack.manifest().embedder.dim as usize)?;
        Ok(Self { pack, checks, tolerance, query, embeddings: pack.embeddings()?, graph: None })
    }

    /// The node's score, of a vector that has its leaf digest.
    fn checked_score(&self, node: u32) -> Result<f32, ReadError> {
        self.checks.embeddings.once(node, || self.pack.check_embedding(node))?;
        let start = node as usize * self.query.len();
        let row = match self.embeddings.get(start..start + self.query.len()) {
            Some(row) => row,
            None => self.pack.embedding(node)?,
        };
        let score = dot(self.query, row);
        if score.is_finite() { Ok(score) } else { Err(self.damage(node, row)) }
    }

    /// The damage behind a score that is no number.
    fn damage(&self, node: u32, row: &[F32]) -> ReadError {
        let at = u64::from(node) * size_of_val(row) as u64;
        let section = self.pack.sections().iter().find(|section| section.tag == Tag::EMBEDDINGS);
        let defect = match row.iter().map(|value| value.get()).find(|value| !value.is_finite()) {
            Some(value) => Defect::NotFinite { reference: node, value },
            None => {
                let square: f64 = row.iter().map(|value| f64::from(value.get()).powi(2)).sum();
                Defect::NotUnit { reference: node, length: square.sqrt() }
            }
        };
        Damage { section: Tag::EMBEDDINGS, offset: section.map_or(0, |section| section.offset) + at, defect }.into()
    }
}

impl<D: AsRef<[u8]>> Nodes for PackNodes<'_, D> {
    fn count(&self) -> u32 {
        self.pack.manifest().counts.references
    }

    fn score(&self, node: u32) -> Result<Option<f32>, SearchError> {
        Ok(self.tolerance.admit(self.checked_score(node))?)
    }

    fn neighbours(&self, node: u32, level: u32) -> Result<impl Iterator<Item = u32>, SearchError> {
        let links = match &self.graph {
            Some(graph) => self.tolerance.admit(graph.neighbours(node, level).map_err(ReadError::from))?.unwrap_or_default(),
            None => &[],
        };
        Ok(links.iter().map(|link| link.get()))
    }
}

/// See [`MappedPack::nearest`](crate::MappedPack::nearest).
pub(crate) fn nearest<D: AsRef<[u8]>>(
    pack: &Pack<D>,
    checks: &Checks,
    query: &[f32],
    k: usize,
    method: Method,
    tolerance: Tolerance<'_>,
) -> Result<Vec<Hit>, SearchError> {
    let mut nodes = PackNodes::new(pack, checks, tolerance, query)?;
    let Method::Graph { ef } = method else { return scan(&nodes, k) };
    if nodes.count() > EXACT_UP_TO {
        nodes.graph = tolerance.admit(pack.graph())?.flatten();
    }
    let Some(graph) = nodes.graph else { return scan(&nodes, k) };
    let Some(entry) = graph.entry() else { return Ok(Vec::new()) };
    let hits = descend(&nodes, entry, graph.max_level(), k, ef)?;
    // Damaged lists and vectors may have cut nodes off; looking at all of them finds those.
    let too_few = hits.len() < k.min(nodes.count() as usize);
    if tolerance.skips() && too_few { scan(&nodes, k) } else { Ok(hits) }
}

/// Greater is better: a higher score, and of equal scores the lower reference.
#[derive(Clone, Copy, Debug)]
struct Candidate(Hit);

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.similarity.total_cmp(&other.0.similarity).then(other.0.reference.cmp(&self.0.reference))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Candidate {}

/// The best `capacity` candidates seen.
struct Best {
    heap: BinaryHeap<Reverse<Candidate>>,
    capacity: usize,
}

impl Best {
    fn new(capacity: usize) -> Self {
        Self { heap: BinaryHeap::new(), capacity }
    }

    /// Whether there is no room for anything worse than `candidate`.
    fn is_full_above(&self, candidate: Candidate) -> bool {
        self.heap.len() >= self.capacity && self.heap.peek().is_none_or(|worst| worst.0 > candidate)
    }

    /// Takes `candidate` if there is room, or it is better than the worst.
    fn offer(&mut self, candidate: Candidate) -> bool {
        if self.is_full_above(candidate) {
            return false;
        }
        if self.heap.len() >= self.capacity {
            self.heap.pop();
        }
        self.heap.push(Reverse(candidate));
        true
    }

    /// The first `k`, best first.
    fn into_hits(self, k: usize) -> Vec<Hit> {
        // Ascending order of the reversed candidates is descending order of the candidates.
        self.heap.into_sorted_vec().into_iter().take(k).map(|Reverse(candidate)| candidate.0).collect()
    }
}

/// Nodes seen so far, a bit each. The zeroed pages come from the system untouched, so that a search pays for the nodes it visits.
struct Seen(Vec<u64>);

impl Seen {
    fn new(count: u32) -> Self {
        Self(vec![0; (count as usize).div_ceil(64)])
    }

    /// Whether `node` is seen for the first time; a node out of range never is.
    fn first(&mut self, node: u32) -> bool {
        let Some(word) = self.0.get_mut(node as usize / 64) else { return false };
        let bit = 1u64 << (node % 64);
        let first = *word & bit == 0;
        *word |= bit;
        first
    }
}

fn candidate(nodes: &impl Nodes, reference: u32) -> Result<Option<Candidate>, SearchError> {
    Ok(nodes.score(reference)?.map(|similarity| Candidate(Hit { reference, similarity })))
}

/// The `k` best of all nodes. Time `count`, memory `k`.
fn scan(nodes: &impl Nodes, k: usize) -> Result<Vec<Hit>, SearchError> {
    let mut best = Best::new(k);
    if k > 0 {
        for reference in 0..nodes.count() {
            if let Some(found) = candidate(nodes, reference)? {
                best.offer(found);
            }
        }
    }
    Ok(best.into_hits(k))
}

/// Hierarchical navigable small world search (Malkov and Yashunin, arXiv 1603.09320, algorithms 2 and 5).
///
/// From `entry`, greedily down the upper levels to level 0, and there best-first, with the `ef` best in view. Ends whatever the links
/// are: a greedy step strictly improves, and level 0 expands a node once. Finds nothing if the entry is left out.
fn descend(nodes: &impl Nodes, entry: u32, top_level: u32, k: usize, ef: usize) -> Result<Vec<Hit>, SearchError> {
    let ef = ef.max(k).min(nodes.count() as usize);
    if k == 0 || ef == 0 {
        return Ok(Vec::new());
    }
    let Some(mut nearest) = candidate(nodes, entry)? else { return Ok(Vec::new()) };
    for level in (1..=top_level).rev() {
        loop {
            let from = nearest;
            for neighbour in nodes.neighbours(from.0.reference, level)? {
                nearest = candidate(nodes, neighbour)?.map_or(nearest, |found| nearest.max(found));
            }
            if nearest == from {
                break;
            }
        }
    }
    let mut seen = Seen::new(nodes.count());
    let mut best = Best::new(ef);
    let mut open = BinaryHeap::from([nearest]);
    seen.first(nearest.0.reference);
    best.offer(nearest);
    while let Some(next) = open.pop() {
        if best.is_full_above(next) {
            break;
        }
        for neighbour in nodes.neighbours(next.0.reference, 0)? {
            if !seen.first(neighbour) {
                continue;
            }
            if let Some(found) = candidate(nodes, neighbour)?
                && best.offer(found)
            {
                open.push(found);
            }
        }
    }
    Ok(best.into_hits(k))
}

/// Checks that `query` is a vector of `dimensions` numbers.
pub(crate) fn check_query(query: &[f32], dimensions: usize) -> Result<(), SearchError> {
    if query.len() != dimensions {
        return Err(SearchError::Dimensions { found: query.len(), expected: dimensions });
    }
    match query.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(SearchError::NotFinite { index, value: query.get(index).copied().unwrap_or(f32::NAN) }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
