//! Tables of HTML and of CALS (OASIS TR 9503:1995), with cells over several rows and columns.

use std::collections::HashMap;

use super::tree::Element;
use crate::{Failure, Limits};

/// Columns of a table.
const MAX_COLUMNS: usize = 1_000;
/// Cells of a table: 96 MB of empty ones.
const MAX_CELLS: usize = 4_000_000;

/// The rows of a table, the first of them its header. A cell over several rows stands in each of them. One over several columns stands in the first of them,
/// in a header in each. Rows of a header become one: `Dose: adults`.
pub(super) fn rows(table: Element<'_>, limits: &Limits, text: &mut dyn FnMut(Element<'_>) -> String) -> Result<Vec<Vec<String>>, Failure> {
    let mut grid = Grid { rows: Vec::new(), spans: Vec::new(), cells: 0, bytes: 0, limits };
    let mut columns = HashMap::new();
    let mut foot = Vec::new();
    let mut header = 0;
    let mut parts = vec![(table, false)];
    while let Some((part, is_head)) = parts.pop() {
        let mut inner = Vec::new();
        for child in part.elements() {
            match child.name() {
                "thead" | "header" => inner.push((child, true)),
                "tbody" | "tgroup" => inner.push((child, is_head)),
                "tfoot" => foot.push(child),
                "colspec" => {
                    let number = columns.len();
                    columns.insert(child.attribute("colname").unwrap_or_default(), number);
                }
                "tr" | "row" | "strow" | "sthead" => inner.push((child, is_head || child.name() == "sthead")),
                _ => {}
            }
        }
        // A row is read where it stands; parts are read in their order.
        if matches!(part.name(), "tr" | "row" | "strow" | "sthead") {
            grid.row(part, is_head, &columns, text)?;
            header += usize::from(is_head && header + 1 == grid.rows.len());
        } else {
            parts.extend(inner.into_iter().rev());
        }
        if parts.is_empty() {
            parts.extend(foot.drain(..).rev().map(|foot| (foot, false)));
        }
    }
    let mut rows = grid.rows;
    if header > 1 {
        let width = rows[..header].iter().map(Vec::len).max().unwrap_or_default();
        let names = (0..width).map(|at| {
            let mut names: Vec<&str> = Vec::new();
            for name in rows[..header].iter().filter_map(|row| row.get(at)).map(|name| name.trim()) {
                if !name.is_empty() && names.last() != Some(&name) {
                    names.push(name);
                }
            }
            names.join(": ")
        });
        let names = names.collect();
        rows.splice(..header, [names]);
    }
    Ok(rows)
}

struct Grid<'a> {
    rows: Vec<Vec<String>>,
    /// For each column the text of a cell above, and the rows that it still stands in.
    spans: Vec<(String, usize)>,
    cells: usize,
    bytes: u64,
    limits: &'a Limits,
}

impl Grid<'_> {
    fn row(
        &mut self,
        row: Element<'_>,
        is_head: bool,
        columns: &HashMap<&str, usize>,
        text: &mut dyn FnMut(Element<'_>) -> String,
    ) -> Result<(), Failure> {
        let mut cells: Vec<String> = Vec::new();
        for cell in row.elements() {
            if !matches!(cell.name(), "td" | "th" | "entry" | "cell" | "column" | "stentry") {
                continue;
            }
            let column = |name: &str| cell.attribute(name).and_then(|name| columns.get(name.trim())).copied();
            if let Some(at) = column("namest").or_else(|| column("colname")) {
                while cells.len() < at {
                    self.fill(&mut cells)?;
                }
            }
            while self.spans.get(cells.len()).is_some_and(|(_, rows)| *rows > 0) {
                self.fill(&mut cells)?;
            }
            let number = |names: &[&str]| cell.any_attribute(names).and_then(|number| number.trim().parse::<usize>().ok());
            let named = column("namest").zip(column("nameend")).map(|(first, last)| (last + 1).saturating_sub(first));
            let wide = named.or_else(|| number(&["colspan", "cols"])).unwrap_or(1).clamp(1, MAX_COLUMNS);
            let rows =
                number(&["rowspan", "rows"]).or_else(|| number(&["morerows"]).map(|more| more.saturating_add(1))).unwrap_or(1).max(1);
            let text = text(cell);
            for at in 0..wide {
                let text = if at == 0 || is_head { text.as_str() } else { "" };
                if rows > 1 {
                    self.spans.resize(self.spans.len().max(cells.len() + 1), (String::new(), 0));
                    self.spans[cells.len()] = (text.to_owned(), rows - 1);
                }
                self.count(text)?;
                cells.push(text.to_owned());
            }
            if cells.len() > MAX_COLUMNS {
                return Err(too_large("columns of a table", MAX_COLUMNS as u64));
            }
        }
        while cells.len() < self.spans.len() && self.spans[cells.len()..].iter().any(|(_, rows)| *rows > 0) {
            self.fill(&mut cells)?;
        }
        // A row of blank cells is a line to look at.
        if cells.iter().any(|cell| !cell.trim().is_empty()) {
            self.rows.push(cells);
        }
        Ok(())
    }

    /// Adds the cell that a span has in the next column, or an empty one.
    fn fill(&mut self, cells: &mut Vec<String>) -> Result<(), Failure> {
        let cell = match self.spans.get_mut(cells.len()) {
            Some((text, rows)) if *rows > 0 => {
                *rows -= 1;
                text.clone()
            }
            _ => String::new(),
        };
        self.count(&cell)?;
        cells.push(cell);
        Ok(())
    }

    fn count(&mut self, cell: &str) -> Result<(), Failure> {
        self.cells += 1;
        self.bytes += cell.len() as u64;
        if self.cells > MAX_CELLS {
            return Err(too_large("cells of a table", MAX_CELLS as u64));
        }
        if self.bytes > self.limits.text_bytes {
            return Err(too_large("bytes of text", self.limits.text_bytes));
        }
        Ok(())
    }
}

fn too_large(what: &'static str, limit: u64) -> Failure {
    Failure::TooLarge { what, limit, name: "a table", advice: "divide it into several files" }
}
