//! Verification of the search graph.

use super::Verifier;
use crate::Graph;
use crate::constants::{MAX_GRAPH_LEVEL, NO_NODE};
use crate::error::{Damage, Defect, ReadError, VerifyError};

impl<D: AsRef<[u8]>> Verifier<'_, D> {
    /// Levels are consistent, and every list holds nodes of its level, none twice, then padding (SPEC 12).
    pub(super) fn graph(&self) -> Result<(), VerifyError> {
        let graph = match self.pack.graph() {
            Ok(Some(graph)) => graph,
            Err(ReadError::Damaged(damage)) => return Err(damage.into()),
            Ok(None) | Err(ReadError::OutOfRange { .. }) => return Ok(()),
        };
        check_levels(&graph)?;
        let mut seen = Vec::new();
        for node in 0..graph.nodes() {
            for level in 0..=graph.level_of(node) {
                check_list(&graph, node, level, &mut seen)?;
            }
        }
        Ok(())
    }
}

fn check_levels(graph: &Graph<'_>) -> Result<(), Damage> {
    let mut before = 0;
    let mut highest = 0;
    for (node, start) in graph.starts().iter().enumerate() {
        let found = u64::from(start.get());
        let at = graph.starts_at() + 4 * node as u64;
        let field = "upper lists before a node";
        if node == 0 && found != 0 {
            return Err(graph.damage(at, Defect::Value { field, expected: 0, found }));
        }
        if found < before {
            return Err(graph.damage(at, Defect::TooSmall { field, limit: before, found }));
        }
        let limit = before + u64::from(MAX_GRAPH_LEVEL);
        if found > limit {
            return Err(graph.damage(at, Defect::TooLarge { field, limit, found }));
        }
        highest = highest.max(found - before);
        before = found;
    }
    if before != graph.upper_lists() {
        return Err(graph.damage(16, Defect::Value { field: "upper lists", expected: before, found: graph.upper_lists() }));
    }
    let max_level = u64::from(graph.max_level());
    if max_level != highest {
        return Err(graph.damage(8, Defect::Value { field: "graph levels", expected: highest, found: max_level }));
    }
    let entry = graph.entry().map_or(max_level, |entry| graph.level_of(entry).into());
    if entry != max_level {
        return Err(graph.damage(4, Defect::Value { field: "level of the entry", expected: max_level, found: entry }));
    }
    Ok(())
}

fn check_list(graph: &Graph<'_>, node: u32, level: u32, seen: &mut Vec<u32>) -> Result<(), Damage> {
    let damage = |at: usize, defect| graph.damage(graph.list_at(node, level) + 4 * at as u64, defect);
    seen.clear();
    let list = graph.list(node, level);
    let neighbours = graph.neighbours(node, level)?;
    for (at, id) in neighbours.iter().map(|id| id.get()).enumerate() {
        if id == node {
            return Err(damage(at, Defect::Itself { node }));
        }
        let found = graph.level_of(id);
        if found < level {
            return Err(damage(at, Defect::TooSmall { field: "level of a neighbour", limit: level.into(), found: found.into() }));
        }
        seen.push(id);
    }
    seen.sort_unstable();
    if let Some((_, twice)) = seen.iter().zip(seen.iter().skip(1)).find(|(a, b)| a == b) {
        return Err(damage(0, Defect::Repeated { field: "neighbour", found: u64::from(*twice) }));
    }
    let padding = list.iter().enumerate().skip(neighbours.len()).find(|(_, id)| id.get() != NO_NODE);
    match padding {
        None => Ok(()),
        Some((at, id)) => {
            let (expected, found) = (NO_NODE.into(), id.get().into());
            Err(damage(at, Defect::Value { field: "padding of a neighbour list", expected, found }))
        }
    }
}
