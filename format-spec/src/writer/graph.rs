//! Writing the search graph (SPEC 12).

use zerocopy::IntoBytes;

use super::{WriteError, spool::Spool};
use crate::constants::{MAX_GRAPH_LEVEL, MAX_GRAPH_M, MAX_REFERENCES, NO_NODE};
use crate::graph::RawGraph;

/// A graph that can be written. Each list is requested several times, and must be the same each time.
pub trait GraphSource {
    /// Nodes: as many as references.
    fn nodes(&self) -> u32;
    /// The node that a search begins at, one of the highest level; not called if there are no nodes.
    fn entry(&self) -> u32;
    /// The highest level a node is on, at most 31.
    fn level(&self, node: u32) -> u32;
    /// Pushes the neighbours of a node on a level to `out`, which is empty: at most `m`, on level 0 at most `2 m`.
    fn neighbours(&self, node: u32, level: u32, out: &mut Vec<u32>);
}

/// Writes a graph; holds one neighbour list at a time.
pub(super) fn write(spool: &mut Spool, source: &dyn GraphSource, m: u32) -> Result<(), WriteError> {
    let nodes = source.nodes();
    for (what, limit, found) in [("graph m", MAX_GRAPH_M, m), ("nodes of the graph", MAX_REFERENCES, nodes)] {
        if found > limit {
            return Err(WriteError::TooLarge { what, limit: limit.into(), found: found.into() });
        }
    }
    if m == 0 {
        return Err(WriteError::Missing { what: "graph m", remedy: "give at least 1" });
    }
    let (mut upper_lists, mut max_level) = (0u64, 0);
    for node in 0..nodes {
        let level = source.level(node);
        if level > MAX_GRAPH_LEVEL {
            return Err(WriteError::TooLarge { what: "level of a node", limit: MAX_GRAPH_LEVEL.into(), found: level.into() });
        }
        max_level = max_level.max(level);
        upper_lists += u64::from(level);
    }
    if upper_lists > u64::from(u32::MAX) {
        return Err(WriteError::TooLarge { what: "upper lists of the graph", limit: u32::MAX.into(), found: upper_lists });
    }
    let entry = if nodes == 0 { NO_NODE } else { source.entry() };
    if nodes > 0 && (entry >= nodes || source.level(entry) != max_level) {
        return Err(WriteError::Graph { node: entry, level: max_level, found: entry.into(), problem: "no entry of the highest level" });
    }
    let header = RawGraph {
        m: m.into(),
        entry: entry.into(),
        max_level: max_level.into(),
        nodes: nodes.into(),
        upper_lists: upper_lists.into(),
        reserved: 0.into(),
    };
    spool.write(header.as_bytes())?;
    let mut list = Vec::new();
    for node in 0..nodes {
        write_list(spool, source, node, 0, 2 * m as usize, &mut list)?;
    }
    let mut start = 0u32;
    for node in 0..nodes {
        spool.write(&start.to_le_bytes())?;
        // Cannot exceed `upper_lists`, unless the source changes its answers.
        start = start.saturating_add(source.level(node));
    }
    spool.write(&start.to_le_bytes())?;
    for node in 0..nodes {
        for level in 1..=source.level(node) {
            write_list(spool, source, node, level, m as usize, &mut list)?;
        }
    }
    Ok(())
}

fn write_list(
    spool: &mut Spool,
    source: &dyn GraphSource,
    node: u32,
    level: u32,
    size: usize,
    list: &mut Vec<u32>,
) -> Result<(), WriteError> {
    list.clear();
    source.neighbours(node, level, list);
    let problem = |found, problem| Err(WriteError::Graph { node, level, found, problem });
    if list.len() > size {
        return problem(list.len() as u64, "one of more than fit");
    }
    for (at, &id) in list.iter().enumerate() {
        if id >= source.nodes() {
            return problem(id.into(), "no node");
        }
        if id == node {
            return problem(id.into(), "the node itself");
        }
        if source.level(id) < level {
            return problem(id.into(), "not on that level");
        }
        if list.iter().take(at).any(|other| *other == id) {
            return problem(id.into(), "listed twice");
        }
    }
    list.resize(size, NO_NODE);
    list.iter().try_for_each(|id| spool.write(&id.to_le_bytes()))
}
