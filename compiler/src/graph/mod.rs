//! The search graph: built by hnsw_rs (arXiv 1603.09320), then copied into flat lists.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use hnsw_rs::anndists::dist::distances::Distance;
use hnsw_rs::hnsw::{Hnsw, Point};
use mempack_format::GraphSource;
use mempack_numeric::lane_sums;

use crate::GraphOptions;

/// Maximum number of levels that hnsw_rs may use. With 16 neighbours, one node in 10^18 reaches the highest.
const MAX_LEVELS: usize = 16;
/// Maximum number of neighbours on an upper level: hnsw_rs counts them in a byte.
pub(crate) const MAX_M: u32 = 255;

/// One minus the inner product of unit vectors, never below 0.
///
/// The distance of hnsw_rs panics if rounding makes a product larger than 1.000002, and its order of additions depends on the
/// processor. A graph must not depend on that.
#[derive(Clone, Copy, Default)]
struct UnitDistance;

impl Distance<f32> for UnitDistance {
    fn eval(&self, a: &[f32], b: &[f32]) -> f32 {
        (1.0 - lane_sums(a, b).iter().sum::<f32>()).max(0.0)
    }
}

/// Builds a graph from embeddings in the order of references.
///
/// Its lists depend only on the embeddings, their order and the options: hnsw_rs draws levels from a generator with a fixed seed,
/// and insertion is serial. Memory: the embedding (4 bytes a dimension) and about 3 KiB for a node and its links at `m` = 16, 4,500 bytes with 384 dimensions.
pub struct GraphBuilder {
    hnsw: Hnsw<'static, f32, UnitDistance>,
    m: u32,
    nodes: u32,
}

impl GraphBuilder {
    /// An empty graph with room for so many references.
    pub fn new(options: GraphOptions, references: u64) -> Self {
        let hnsw = Hnsw::new(options.m as usize, references as usize, MAX_LEVELS, options.ef_construction as usize, UnitDistance);
        Self { hnsw, m: options.m, nodes: 0 }
    }

    /// Inserts the embedding of the next reference, a unit vector.
    pub fn push(&mut self, embedding: &[f32]) {
        self.hnsw.insert_slice((embedding, self.nodes as usize));
        self.nodes += 1;
    }

    /// The graph as flat lists, in which every node can be reached. Frees the memory of the builder.
    pub fn finish(self) -> FlatGraph {
        let mut points: Vec<Option<Arc<Point<'static, f32>>>> = vec![None; self.nodes as usize];
        let indexation = self.hnsw.get_point_indexation();
        let mut levels = vec![0u8; points.len()];
        let mut entry = 0;
        // The entry is the first node on the highest level: hnsw_rs keeps it until a node on a higher level is inserted.
        let top = self.hnsw.get_max_level_observed();
        for level in 0..=top {
            for (rank, point) in indexation.get_layer_iterator(level.into()).enumerate() {
                let node = point.get_origin_id();
                if level == top && rank == 0 {
                    entry = node as u32;
                }
                levels[node] = level;
                points[node] = Some(point);
            }
        }
        let lists = Lists { points };
        raise_levels(&lists, &mut levels);
        let mut graph = FlatGraph::new(self.m, entry, levels, &lists);
        graph.reach_all(|node| {
            let Some(point) = &lists.points[node as usize] else { return Vec::new() };
            let near = self.hnsw.search(point.get_v(), 4 * self.m as usize, 8 * self.m as usize);
            near.into_iter().map(|neighbour| neighbour.d_id as u32).collect()
        });
        graph
    }
}

struct Lists {
    points: Vec<Option<Arc<Point<'static, f32>>>>,
}

impl Lists {
    /// Neighbours on levels 0 to 15, nearest first.
    fn of(&self, node: usize) -> Vec<Vec<u32>> {
        let levels = self.points[node].as_ref().map(|point| point.get_neighborhood_id()).unwrap_or_default();
        let ids = |level: Vec<hnsw_rs::hnsw::Neighbour>| {
            level.into_iter().map(|neighbour| neighbour.d_id as u32).filter(|id| *id as usize != node).collect()
        };
        levels.into_iter().map(ids).collect()
    }
}

/// hnsw_rs links the first node on a new level to the old entry, whose own level is lower. The old entry is raised to that level
/// here. There are few of these nodes, and without them a level could fall into unconnected parts.
fn raise_levels(lists: &Lists, levels: &mut [u8]) {
    let mut upper: Vec<usize> = (0..levels.len()).filter(|node| levels[*node] > 0).collect();
    while let Some(node) = upper.pop() {
        for (level, list) in lists.of(node).iter().enumerate().take(usize::from(levels[node]) + 1).skip(1) {
            for neighbour in list.iter().map(|id| *id as usize) {
                if usize::from(levels[neighbour]) < level {
                    levels[neighbour] = level as u8;
                    upper.push(neighbour);
                }
            }
        }
    }
}

/// Lists of neighbours of fixed size. Memory: `8 m + 5` bytes a node, and `4 m` for each level above the lowest.
pub struct FlatGraph {
    m: usize,
    entry: u32,
    levels: Vec<u8>,
    /// `[nodes, 2 m]`, padded with `NONE`.
    base: Vec<u32>,
    /// Number of upper lists before those of each node.
    starts: Vec<u32>,
    /// `[upper lists, m]`.
    upper: Vec<u32>,
}

const NONE: u32 = u32::MAX;

impl FlatGraph {
    fn new(m: u32, entry: u32, levels: Vec<u8>, lists: &Lists) -> Self {
        let m = m as usize;
        let mut graph = Self { m, entry, base: Vec::with_capacity(2 * m * levels.len()), starts: Vec::new(), upper: Vec::new(), levels };
        for node in 0..graph.levels.len() {
            graph.starts.push((graph.upper.len() / m) as u32);
            for (level, mut list) in lists.of(node).into_iter().enumerate().take(usize::from(graph.levels[node]) + 1) {
                let (out, size) = if level == 0 { (&mut graph.base, 2 * m) } else { (&mut graph.upper, m) };
                list.resize(size, NONE);
                out.extend(list);
            }
        }
        graph
    }

    /// Links every node that cannot be reached from the entry on the lowest level to a near node that has room in its list.
    ///
    /// hnsw_rs drops the farthest of too many neighbours. Among many equal or almost equal texts that may be the only link to a node,
    /// and then no search would find it. `near` gives nodes near a node, nearest first.
    fn reach_all(&mut self, near: impl Fn(u32) -> Vec<u32>) {
        let mut reached = vec![false; self.levels.len()];
        self.reach(self.entry, &mut reached);
        for node in 0..self.levels.len() as u32 {
            if reached[node as usize] {
                continue;
            }
            let hosts: Vec<u32> = near(node).into_iter().filter(|host| reached[*host as usize]).collect();
            if let Some(host) = self.host(&hosts) {
                self.link(host, node);
                self.link(node, host);
            }
            self.reach(node, &mut reached);
        }
    }

    /// Marks all nodes that can be reached from `start` on the lowest level.
    fn reach(&self, start: u32, reached: &mut [bool]) {
        let mut open = vec![start];
        while let Some(node) = open.pop() {
            if reached.get_mut(node as usize).is_some_and(|reached| !std::mem::replace(reached, true)) {
                open.extend(self.list(node, 0));
            }
        }
    }

    /// The first node with room in its list: one of `hosts`, or one around them, or one around the entry.
    fn host(&self, hosts: &[u32]) -> Option<u32> {
        let mut open: VecDeque<u32> = hosts.iter().copied().chain([self.entry]).collect();
        let mut seen: HashSet<u32> = open.iter().copied().collect();
        while let Some(node) = open.pop_front() {
            if self.list(node, 0).len() < 2 * self.m {
                return Some(node);
            }
            open.extend(self.list(node, 0).iter().filter(|node| seen.insert(**node)));
        }
        None
    }

    /// Adds a neighbour to a list on the lowest level, if there is room and it is not in the list.
    fn link(&mut self, from: u32, to: u32) {
        let list = self.list(from, 0);
        if list.len() < 2 * self.m && !list.contains(&to) {
            let slot = 2 * self.m * from as usize + list.len();
            self.base[slot] = to;
        }
    }

    fn list(&self, node: u32, level: u32) -> &[u32] {
        let (lists, size, index) = match level {
            0 => (&self.base, 2 * self.m, node as usize),
            _ => (&self.upper, self.m, (self.starts[node as usize] + level - 1) as usize),
        };
        let list = &lists[index * size..][..size];
        &list[..list.iter().position(|id| *id == NONE).unwrap_or(size)]
    }
}

impl GraphSource for FlatGraph {
    fn nodes(&self) -> u32 {
        self.levels.len() as u32
    }

    fn entry(&self) -> u32 {
        self.entry
    }

    fn level(&self, node: u32) -> u32 {
        self.levels[node as usize].into()
    }

    fn neighbours(&self, node: u32, level: u32, out: &mut Vec<u32>) {
        out.extend(self.list(node, level));
    }
}

#[cfg(test)]
mod tests;
