//! Nearest-neighbour search: through the graph, or by an exact scan.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use fixedbitset::FixedBitSet;
use mempack_format::{CoarseEmbeddings, Damage, Defect, Graph, Pack, ReadError, Tag, round_to_8_bits};
use mempack_numeric::Int8Query;
use mempack_retrieval::Hit;
use zerocopy::IntoBytes;
use zerocopy::little_endian::F32;

use crate::checked::Checks;
use crate::damage::Tolerance;
use crate::dot::dot;

/// Default size of the search's candidate list. With 16 links per node it gives a recall at 5 above 95% over a hundred thousand references
/// (see the tests and `benches/search.rs`).
pub const DEFAULT_EF: usize = 100;

/// [`MappedPack::search`](crate::MappedPack::search) scans packs of at most this many references completely. The scan is exact and takes
/// less than a millisecond at 384 dimensions.
pub const EXACT_UP_TO: u32 = 4096;

/// Candidates that a search by coarse embeddings compares exactly, for each hit wanted; at most the candidate list.
const RESCORED: usize = 4;

/// Nodes whose similarity a search of the graph computes, for each candidate of its list, over those that a scan could compute in the same time: the graph's
/// are spread over the file (`search_vectors filtered` of the benches).
const VISITS_PER_CANDIDATE: u64 = 19;
/// The same for coarse embeddings, which a scan does not use.
const COARSE_VISITS_PER_CANDIDATE: u64 = 8;

/// How to search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Through the graph. Small packs and packs without a graph are scanned instead.
    Graph {
        /// Size of the candidate list; at least `k` is used. Larger values give a better recall and take longer.
        ef: usize,
    },
    /// By comparing every reference.
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
    /// The query's dimensions are not the pack's, so it comes from another embedder.
    #[error("the query has {found} dimensions, the pack's embeddings have {expected}; embed it with the pack's own embedder")]
    Dimensions {
        /// Dimensions of the query.
        found: usize,
        /// Dimensions of the pack's embeddings.
        expected: usize,
    },
    /// A component of the query is not finite.
    #[error("the query's component {index} is {value}, not a finite number")]
    NotFinite {
        /// Index of the component.
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

/// The graph that a search walks: the similarity of each node to the query, and the links between nodes.
pub(crate) trait Nodes {
    /// Vectors that are on their way while one is compared.
    const AHEAD: usize;
    fn count(&self) -> u32;
    /// The node's similarity to the query, a finite number; `None` if the node's vector is damaged and damage is skipped. An error for a
    /// node that does not exist.
    fn similarity(&self, node: u32) -> Result<Option<f32>, SearchError>;
    /// The node's links. They are untrusted: they may repeat and may name nodes that do not exist.
    fn neighbours(&self, node: u32, level: u32) -> Result<impl Iterator<Item = u32>, SearchError>;
    /// Has the node's vector brought near the processor, while others are compared. Any number may be given.
    fn prefetch(&self, node: u32);
    /// As [`prefetch`](Self::prefetch), for the node's links on level 0.
    fn prefetch_links(&self, node: u32);
    /// The nodes that may be found; `None` if all may. Others are only ways to them.
    fn admitted(&self) -> Option<&FixedBitSet>;
}

/// The references of a pack, for one query.
struct PackNodes<'a, D> {
    pack: &'a Pack<D>,
    checks: &'a Checks,
    tolerance: Tolerance<'a>,
    query: &'a [f32],
    embeddings: &'a [F32],
    graph: Option<Graph<'a>>,
    admitted: Option<&'a FixedBitSet>,
}

impl<'a, D: AsRef<[u8]>> PackNodes<'a, D> {
    fn new(pack: &'a Pack<D>, checks: &'a Checks, tolerance: Tolerance<'a>, query: &'a [f32]) -> Result<Self, SearchError> {
        check_query(query, pack.manifest().embedder.dim as usize)?;
        Ok(Self { pack, checks, tolerance, query, embeddings: pack.embeddings()?, graph: None, admitted: None })
    }

    /// The node's similarity, after its vector has been compared with its leaf digest.
    fn checked_similarity(&self, node: u32) -> Result<f32, ReadError> {
        self.checks.embeddings.once(node, || self.pack.check_embedding(node))?;
        let start = node as usize * self.query.len();
        let row = match self.embeddings.get(start..start + self.query.len()) {
            Some(row) => row,
            None => self.pack.embedding(node)?,
        };
        let similarity = dot(self.query, row);
        if similarity.is_finite() { Ok(similarity) } else { Err(self.damage(node, row)) }
    }

    /// The damage that explains a similarity that is not finite.
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
    const AHEAD: usize = 3;

    fn count(&self) -> u32 {
        self.pack.manifest().counts.references
    }

    fn similarity(&self, node: u32) -> Result<Option<f32>, SearchError> {
        Ok(self.tolerance.admit(self.checked_similarity(node))?)
    }

    fn neighbours(&self, node: u32, level: u32) -> Result<impl Iterator<Item = u32>, SearchError> {
        let links = match &self.graph {
            Some(graph) => self.tolerance.admit(graph.neighbours(node, level).map_err(ReadError::from))?.unwrap_or_default(),
            None => &[],
        };
        Ok(links.iter().map(|link| link.get()))
    }

    fn prefetch(&self, node: u32) {
        let start = node as usize * self.query.len();
        if let Some(row) = self.embeddings.get(start..start + self.query.len()) {
            mempack_numeric::prefetch(row.as_bytes());
        }
    }

    fn prefetch_links(&self, node: u32) {
        let links = self.graph.as_ref().map_or(&[][..], |graph| graph.base_list(node));
        mempack_numeric::prefetch(links.as_bytes());
    }

    fn admitted(&self) -> Option<&FixedBitSet> {
        self.admitted
    }
}

/// The references of a pack that has coarse embeddings, for one query. Similarities are inner products of 8-bit integers, and damage of these is not
/// noticed: it can only mislead the search.
struct CoarseNodes<'a, D> {
    nodes: &'a PackNodes<'a, D>,
    rows: CoarseEmbeddings<'a>,
    query: Int8Query,
}

impl<'a, D: AsRef<[u8]>> CoarseNodes<'a, D> {
    fn new(nodes: &'a PackNodes<'a, D>, rows: CoarseEmbeddings<'a>) -> Self {
        let largest = nodes.query.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        let mut query: Vec<i8> = round_to_8_bits(nodes.query.iter().copied(), largest).collect();
        query.resize(rows.stride(), 0);
        Self { nodes, rows, query: Int8Query::new(query) }
    }
}

impl<D: AsRef<[u8]>> Nodes for CoarseNodes<'_, D> {
    const AHEAD: usize = 8;

    fn count(&self) -> u32 {
        self.nodes.count()
    }

    #[inline]
    fn similarity(&self, node: u32) -> Result<Option<f32>, SearchError> {
        match self.rows.row(node) {
            Some(row) => Ok(Some(self.query.dot(row) as f32)),
            None => Err(ReadError::OutOfRange { what: "reference", index: node.into(), count: self.count().into() }.into()),
        }
    }

    fn neighbours(&self, node: u32, level: u32) -> Result<impl Iterator<Item = u32>, SearchError> {
        self.nodes.neighbours(node, level)
    }

    fn prefetch(&self, node: u32) {
        if let Some(row) = self.rows.row(node) {
            mempack_numeric::prefetch(row.as_bytes());
        }
    }

    fn prefetch_links(&self, node: u32) {
        self.nodes.prefetch_links(node);
    }

    fn admitted(&self) -> Option<&FixedBitSet> {
        self.nodes.admitted
    }
}

/// See [`MappedPack::nearest`](crate::MappedPack::nearest).
pub(crate) fn nearest<D: AsRef<[u8]>>(
    pack: &Pack<D>,
    checks: &Checks,
    query: &[f32],
    k: usize,
    method: Method,
    admitted: Option<&FixedBitSet>,
    tolerance: Tolerance<'_>,
) -> Result<Vec<Hit>, SearchError> {
    let mut nodes = PackNodes::new(pack, checks, tolerance, query)?;
    nodes.admitted = admitted;
    let Method::Graph { ef } = method else { return scan(&nodes, k) };
    let found = admitted.map_or(nodes.count() as usize, |admitted| admitted.count_ones(..));
    let coarse = pack.coarse_embeddings()?;
    let visits = if coarse.is_some() { COARSE_VISITS_PER_CANDIDATE } else { VISITS_PER_CANDIDATE }.saturating_mul(ef.max(k) as u64);
    if found > EXACT_UP_TO as usize && !prefers_scan(nodes.count(), found, visits) {
        nodes.graph = tolerance.admit(pack.graph())?.flatten();
    }
    let Some(graph) = nodes.graph else { return scan(&nodes, k) };
    let Some(entry) = graph.entry() else { return Ok(Vec::new()) };
    // Past so many visits, a scan would have been the shorter way.
    let most = if admitted.is_some() { 2 * found } else { usize::MAX };
    let hits = match coarse {
        Some(rows) => {
            let candidates = ef.min(RESCORED.saturating_mul(k)).max(k);
            let found = descend(&CoarseNodes::new(&nodes, rows), entry, graph.max_level(), candidates, ef, most)?;
            found.map(|found| rescore(&nodes, found, k)).transpose()?
        }
        None => descend(&nodes, entry, graph.max_level(), k, ef, most)?,
    };
    // Damaged lists and vectors can disconnect nodes, and so can references that are not admitted; a scan finds those.
    let too_few = |hits: &Vec<Hit>| hits.len() < k.min(found) && (tolerance.skips() || admitted.is_some());
    match hits {
        Some(hits) if !too_few(&hits) => Ok(hits),
        _ => scan(&nodes, k),
    }
}

/// Whether comparing all of `admitted` references costs less than finding them in the graph, where the share of them among all that are visited is
/// about their share of the pack. Without a filter, the graph takes the time of `visits` comparisons.
fn prefers_scan(references: u32, admitted: usize, visits: u64) -> bool {
    let visits = visits.saturating_mul(references.into()) / (admitted.max(1) as u64);
    admitted < references as usize && admitted as u64 <= visits
}

/// The references with their similarities to the query, in the same order.
pub(crate) fn cosines<D: AsRef<[u8]>>(
    pack: &Pack<D>,
    checks: &Checks,
    query: &[f32],
    references: &[u32],
    tolerance: Tolerance<'_>,
) -> Result<Vec<Hit>, SearchError> {
    let nodes = PackNodes::new(pack, checks, tolerance, query)?;
    let hit = |reference: &u32| Ok(nodes.similarity(*reference)?.map(|similarity| Hit { reference: *reference, similarity }));
    references.iter().filter_map(|reference| hit(reference).transpose()).collect()
}

/// The best `k` of what a coarse search found, by their checked embeddings.
fn rescore(nodes: &impl Nodes, found: Vec<Hit>, k: usize) -> Result<Vec<Hit>, SearchError> {
    found.iter().for_each(|hit| nodes.prefetch(hit.reference));
    let mut best = Best::new(k);
    for hit in found {
        if let Some(exact) = candidate(nodes, hit.reference)? {
            best.offer(exact);
        }
    }
    Ok(best.into_hits(k))
}

/// A hit as one number, for heaps: the greater one is better. In its upper half, the similarity in the order of [`f32::total_cmp`]; in its lower half,
/// the reference, of which the lower number is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate(u64);

/// The sign of an `f32`.
const SIGN: u32 = 1 << 31;

impl Candidate {
    fn new(hit: Hit) -> Self {
        let bits = hit.similarity.to_bits();
        let ordered = if bits & SIGN == 0 { bits | SIGN } else { !bits };
        Self(u64::from(ordered) << 32 | u64::from(!hit.reference))
    }

    fn reference(self) -> u32 {
        !(self.0 as u32)
    }

    fn hit(self) -> Hit {
        let ordered = (self.0 >> 32) as u32;
        let bits = if ordered & SIGN == 0 { !ordered } else { ordered ^ SIGN };
        Hit { reference: self.reference(), similarity: f32::from_bits(bits) }
    }
}

/// The best `capacity` candidates seen.
struct Best {
    heap: BinaryHeap<Reverse<Candidate>>,
    capacity: usize,
}

impl Best {
    fn new(capacity: usize) -> Self {
        Self { heap: BinaryHeap::new(), capacity }
    }

    /// Whether the list is full and all its candidates are better than `candidate`.
    fn is_full_above(&self, candidate: Candidate) -> bool {
        self.heap.len() >= self.capacity && self.heap.peek().is_none_or(|worst| worst.0 > candidate)
    }

    /// Adds `candidate` if there is room or it is better than the worst. Returns whether it was added.
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

    /// The best `k`, best first.
    fn into_hits(self, k: usize) -> Vec<Hit> {
        // Ascending order of reversed candidates is descending order of candidates.
        self.heap.into_sorted_vec().into_iter().take(k).map(|Reverse(candidate)| candidate.hit()).collect()
    }
}

/// The visited nodes, one bit each. The system provides zeroed pages on first access, so a search pays only for the nodes it visits.
struct Seen(Vec<u64>);

impl Seen {
    fn new(count: u32) -> Self {
        Self(vec![0; (count as usize).div_ceil(64)])
    }

    /// Marks `node` and returns whether it is visited for the first time; false for a node out of range.
    fn first(&mut self, node: u32) -> bool {
        let Some(word) = self.0.get_mut(node as usize / 64) else { return false };
        let bit = 1u64 << (node % 64);
        let first = *word & bit == 0;
        *word |= bit;
        first
    }
}

fn candidate(nodes: &impl Nodes, reference: u32) -> Result<Option<Candidate>, SearchError> {
    Ok(nodes.similarity(reference)?.map(|similarity| Candidate::new(Hit { reference, similarity })))
}

/// The best `k` of all nodes that may be found, in O(count) time and O(k) memory.
fn scan(nodes: &impl Nodes, k: usize) -> Result<Vec<Hit>, SearchError> {
    let mut best = Best::new(k);
    let mut compare = |reference: u32| -> Result<(), SearchError> {
        if let Some(found) = candidate(nodes, reference)? {
            best.offer(found);
        }
        Ok(())
    };
    match nodes.admitted() {
        _ if k == 0 => {}
        Some(admitted) => {
            admitted.ones().map(|reference| reference as u32).filter(|reference| *reference < nodes.count()).try_for_each(&mut compare)?
        }
        None => (0..nodes.count()).try_for_each(&mut compare)?,
    }
    Ok(best.into_hits(k))
}

/// Hierarchical navigable small world search (Malkov and Yashunin, arXiv 1603.09320, algorithms 2 and 5).
///
/// The search descends greedily from `entry` through the upper levels to level 0, where it continues best-first with the `ef` best
/// candidates. It terminates for any links: each greedy step strictly improves, and level 0 expands a node once. It finds nothing if the
/// entry node is damaged and skipped. Nodes that may not be found are expanded like others, but are no candidates. `None` once more than `most` nodes
/// of level 0 have been compared.
fn descend<N: Nodes>(nodes: &N, entry: u32, top_level: u32, k: usize, ef: usize, most: usize) -> Result<Option<Vec<Hit>>, SearchError> {
    let ef = ef.max(k).min(nodes.count() as usize);
    if k == 0 || ef == 0 {
        return Ok(Some(Vec::new()));
    }
    let Some(mut nearest) = candidate(nodes, entry)? else { return Ok(Some(Vec::new())) };
    for level in (1..=top_level).rev() {
        loop {
            let from = nearest;
            for neighbour in nodes.neighbours(from.reference(), level)? {
                nearest = candidate(nodes, neighbour)?.map_or(nearest, |found| nearest.max(found));
            }
            if nearest == from {
                break;
            }
        }
    }
    let admitted = nodes.admitted();
    let admits = |candidate: Candidate| admitted.is_none_or(|admitted| admitted.contains(candidate.reference() as usize));
    let mut seen = Seen::new(nodes.count());
    let mut best = Best::new(ef);
    let mut open = BinaryHeap::from([nearest]);
    let mut compared = 0;
    let mut fresh = Vec::new();
    seen.first(nearest.reference());
    if admits(nearest) {
        best.offer(nearest);
    }
    while let Some(next) = open.pop() {
        if best.is_full_above(next) {
            break;
        }
        // The next node to expand is likely to be the best of those that are open now, or one that is found to be better.
        if let Some(later) = open.peek() {
            nodes.prefetch_links(later.reference());
        }
        // Vectors stand anywhere in the file: the first are on their way while the others are looked up, and each while the one before it is compared.
        fresh.extend(nodes.neighbours(next.reference(), 0)?.filter(|neighbour| seen.first(*neighbour)));
        fresh.iter().take(N::AHEAD).for_each(|neighbour| nodes.prefetch(*neighbour));
        for (place, neighbour) in fresh.iter().copied().enumerate() {
            if let Some(later) = fresh.get(place + N::AHEAD) {
                nodes.prefetch(*later);
            }
            compared += 1;
            let Some(found) = candidate(nodes, neighbour)? else { continue };
            if best.is_full_above(found) {
                continue;
            }
            if open.peek().is_none_or(|best| *best < found) {
                nodes.prefetch_links(found.reference());
            }
            open.push(found);
            if admits(found) {
                best.offer(found);
            }
        }
        fresh.clear();
        if compared > most {
            return Ok(None);
        }
    }
    Ok(Some(best.into_hits(k)))
}

/// Checks that `query` has `dimensions` finite components.
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
