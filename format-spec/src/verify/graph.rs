//! Verification of the search graph.

use super::Verifier;
use crate::constants::{MAX_GRAPH_LEVEL, NO_NODE};
use crate::error::{Damage, Defect, Interrupted};
use crate::{Graph, ReadError, Section};

impl<D: AsRef<[u8]>> Verifier<'_, D> {
    /// Checks that levels are consistent, and that every list holds distinct nodes of its level, then padding (SPEC 12).
    pub(super) fn graph(&mut self, section: &Section) -> Result<(), Interrupted> {
        let digest = self.hash(section)?;
        match self.pack.graph() {
            Ok(Some(graph)) => {
                let levels_whole = self.levels(&graph)?;
                let mut seen = Vec::new();
                for node in 0..graph.nodes() {
                    // Where levels are damaged, the owners of upper lists are not known; lists of level 0 have fixed places.
                    let highest = if levels_whole { graph.level_of(node) } else { 0 };
                    for level in 0..=highest {
                        self.checked(check_list(&graph, node, level, &mut seen))?;
                    }
                }
            }
            Err(ReadError::Damaged(damage)) => self.damage(damage)?,
            Ok(None) | Err(ReadError::OutOfRange { .. }) => {}
        }
        self.close(section, digest)?;
        Ok(())
    }

    /// Checks the levels of all nodes and of the header, and returns whether they are right.
    fn levels(&mut self, graph: &Graph<'_>) -> Result<bool, Interrupted> {
        let field = "upper lists before a node";
        let before = self.report.damages;
        // Upper lists before the node; unknown after a wrong number.
        let mut lists_before = None;
        let mut highest = 0;
        for (node, start) in graph.starts().iter().enumerate() {
            let found = u64::from(start.get());
            let defect = match lists_before {
                None if node == 0 && found != 0 => Some(Defect::Value { field, expected: 0, found }),
                Some(limit) if found < limit => Some(Defect::TooSmall { field, limit, found }),
                Some(min) if found > min + u64::from(MAX_GRAPH_LEVEL) => {
                    Some(Defect::TooLarge { field, limit: min + u64::from(MAX_GRAPH_LEVEL), found })
                }
                _ => None,
            };
            highest = highest.max(lists_before.map_or(0, |before| found.saturating_sub(before)));
            lists_before = defect.is_none().then_some(found);
            if let Some(defect) = defect {
                self.damage(graph.damage(graph.starts_at() + 4 * node as u64, defect))?;
            }
        }
        if self.report.damages == before {
            let checked = check_top(graph, lists_before.unwrap_or_default(), highest);
            self.checked(checked)?;
        }
        Ok(self.report.damages == before)
    }
}

/// Compares the header with the nodes, which have `upper_lists` upper lists and `highest` as their highest level.
fn check_top(graph: &Graph<'_>, upper_lists: u64, highest: u64) -> Result<(), Damage> {
    if upper_lists != graph.upper_lists() {
        return Err(graph.damage(16, Defect::Value { field: "upper lists", expected: upper_lists, found: graph.upper_lists() }));
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
