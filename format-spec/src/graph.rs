//! The search graph: flat lists at fixed offsets, searched in place (SPEC 12).

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::constants::{GRAPH_HEADER_BYTES, MAX_GRAPH_LEVEL, NO_NODE};
use crate::error::{Damage, Defect};
use crate::{GraphParameters, Section};

/// SPEC 12, "Graph header".
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawGraph {
    pub(crate) m: U32,
    pub(crate) entry: U32,
    pub(crate) max_level: U32,
    pub(crate) nodes: U32,
    pub(crate) upper_lists: U64,
    pub(crate) reserved: U64,
}

const _: () = assert!(size_of::<RawGraph>() as u64 == GRAPH_HEADER_BYTES);

/// A hierarchical navigable small world graph (Malkov and Yashunin 2018) over the embeddings; nodes are references.
#[derive(Clone, Copy, Debug)]
pub struct Graph<'a> {
    section: Section,
    m: u32,
    entry: u32,
    max_level: u32,
    /// `[nodes, 2 m]`.
    base: &'a [U32],
    /// `[nodes + 1]`: before node i stand `starts[i]` upper lists.
    starts: &'a [U32],
    /// `[upper lists, m]`.
    upper: &'a [U32],
}

impl<'a> Graph<'a> {
    /// The graph in `bytes`, the contents of `section`, of so many references. Looks at the header alone.
    pub(crate) fn read(section: Section, bytes: &'a [u8], references: u32, parameters: GraphParameters) -> Result<Self, Damage> {
        let damage = |at: u64, defect| Damage { section: section.tag, offset: section.offset + at, defect };
        let value = |at, field, expected: u64, found: u64| {
            if expected == found { Ok(()) } else { Err(damage(at, Defect::Value { field, expected, found })) }
        };
        let too_small = |found: usize| damage(0, Defect::TooSmall { field: "graph bytes", limit: GRAPH_HEADER_BYTES, found: found as u64 });
        let (header, lists) = RawGraph::ref_from_prefix(bytes).map_err(|_| too_small(bytes.len()))?;
        let (m, entry, max_level) = (header.m.get(), header.entry.get(), header.max_level.get());
        value(0, "graph m", parameters.m.into(), m.into())?;
        value(12, "graph nodes", references.into(), header.nodes.get().into())?;
        if references == 0 {
            value(4, "graph entry", NO_NODE.into(), entry.into())?;
        } else if entry >= references {
            return Err(damage(4, Defect::TooLarge { field: "graph entry", limit: u64::from(references) - 1, found: entry.into() }));
        }
        if max_level > MAX_GRAPH_LEVEL {
            return Err(damage(8, Defect::TooLarge { field: "graph levels", limit: MAX_GRAPH_LEVEL.into(), found: max_level.into() }));
        }
        value(24, "reserved bytes of the graph", 0, header.reserved.get())?;
        // Both below 2^43, since m is at most 256 and there are fewer than 2^32 nodes.
        let (base_bytes, start_bytes) = (u64::from(references) * 8 * u64::from(m), (u64::from(references) + 1) * 4);
        let upper_bytes = header.upper_lists.get().checked_mul(4 * u64::from(m));
        let expected = upper_bytes.and_then(|upper| upper.checked_add(GRAPH_HEADER_BYTES + base_bytes + start_bytes)).unwrap_or(u64::MAX);
        value(16, "graph bytes", expected, bytes.len() as u64)?;
        let lists = <[U32]>::ref_from_bytes(lists).unwrap_or_default();
        let (base, rest) = lists.split_at_checked((base_bytes / 4) as usize).unwrap_or_default();
        let (starts, upper) = rest.split_at_checked((start_bytes / 4) as usize).unwrap_or_default();
        Ok(Self { section, m, entry, max_level, base, starts, upper })
    }

    /// Nodes; as many as references.
    pub fn nodes(&self) -> u32 {
        (self.starts.len() as u32).saturating_sub(1)
    }

    /// Most neighbours of a node on an upper level; twice as many on level 0.
    pub fn m(&self) -> u32 {
        self.m
    }

    /// The node a search begins at; `None` if there are no nodes.
    pub fn entry(&self) -> Option<u32> {
        (self.entry != NO_NODE).then_some(self.entry)
    }

    /// The level a search begins at.
    pub fn max_level(&self) -> u32 {
        self.max_level
    }

    /// The highest level that a node is on; 0 for a node that does not exist.
    pub fn level_of(&self, node: u32) -> u32 {
        self.uppers(node).map_or(0, |(_, level)| level)
    }

    /// Neighbours of a node on a level, all of them existing nodes; empty for a node or a level that does not exist.
    ///
    /// # Errors
    /// If a neighbour is no node.
    pub fn neighbours(&self, node: u32, level: u32) -> Result<&'a [U32], Damage> {
        let list = self.list(node, level);
        // No node has a number as large as `NO_NODE`.
        let end = list.iter().enumerate().find(|(_, id)| id.get() >= self.nodes());
        match end.map(|(at, id)| (at, id.get())) {
            None => Ok(list),
            Some((used, NO_NODE)) => Ok(list.get(..used).unwrap_or_default()),
            Some((at, found)) => {
                let defect = Defect::TooLarge { field: "neighbour", limit: u64::from(self.nodes()).saturating_sub(1), found: found.into() };
                Err(self.damage(self.list_at(node, level) + 4 * at as u64, defect))
            }
        }
    }

    /// A node's list on level 0 with its padding, unchecked; empty for a node that does not exist.
    pub fn base_list(&self, node: u32) -> &'a [U32] {
        self.list(node, 0)
    }

    /// A node's list on a level with its padding: `2 m` ids on level 0, `m` above.
    pub(crate) fn list(&self, node: u32, level: u32) -> &'a [U32] {
        let m = self.m as usize;
        let (lists, size, index) = match level {
            0 => (self.base, 2 * m, Some(node as usize)),
            _ => (self.upper, m, self.uppers(node).filter(|(_, top)| level <= *top).map(|(first, _)| first + level as usize - 1)),
        };
        let range = index.and_then(|index| Some(index.checked_mul(size)?..index.checked_add(1)?.checked_mul(size)?));
        range.and_then(|range| lists.get(range)).unwrap_or_default()
    }

    /// Where a list begins in the section.
    pub(crate) fn list_at(&self, node: u32, level: u32) -> u64 {
        let m = u64::from(self.m);
        match level {
            0 => GRAPH_HEADER_BYTES + u64::from(node) * 8 * m,
            _ => {
                let first = self.uppers(node).map_or(0, |(first, _)| first as u64);
                self.starts_at() + 4 * self.starts.len() as u64 + (first + u64::from(level) - 1) * 4 * m
            }
        }
    }

    /// Where the numbers of upper lists begin in the section.
    pub(crate) fn starts_at(&self) -> u64 {
        GRAPH_HEADER_BYTES + 4 * self.base.len() as u64
    }

    /// Upper lists before each node, and before the end.
    pub(crate) fn starts(&self) -> &'a [U32] {
        self.starts
    }

    /// How many upper lists there are.
    pub(crate) fn upper_lists(&self) -> u64 {
        self.upper.len() as u64 / u64::from(self.m.max(1))
    }

    pub(crate) fn damage(&self, at: u64, defect: Defect) -> Damage {
        Damage { section: self.section.tag, offset: self.section.offset + at, defect }
    }

    /// The first of a node's upper lists, and how many it has.
    fn uppers(&self, node: u32) -> Option<(usize, u32)> {
        let first = self.starts.get(node as usize)?.get();
        let end = self.starts.get(node as usize + 1)?.get();
        Some((first as usize, end.checked_sub(first)?))
    }
}
