//! Tables of HTML and of CALS (OASIS TR 9503:1995), with cells over several rows and columns.

use std::collections::{HashMap, HashSet};

use super::role::Role;
use super::tree::Element;
use crate::{Failure, Limits};

/// Columns of a table.
const MAX_COLUMNS: usize = 1_000;
/// Cells of a table: 96 MB of empty ones.
const MAX_CELLS: usize = 4_000_000;

/// The rows of a table, and where each is in the tree.
pub(super) struct Rows {
    pub rows: Vec<Vec<String>>,
    pub nodes: Vec<usize>,
}

/// A part of a table that is read.
enum Found<'t> {
    Column(Element<'t>),
    /// A row, and whether it is of the header.
    Row(Element<'t>, bool),
}

/// The rows of a table and the names of its columns, in their order. The foot comes last.
fn found<'t>(table: Element<'t>, roles: &[Role]) -> Vec<Found<'t>> {
    let (mut found, mut foot) = (Vec::new(), Vec::new());
    let mut parts = vec![(table, Part::Group(false))];
    while let Some((element, kind)) = parts.pop() {
        match kind {
            Part::Row(is_head) => found.push(Found::Row(element, is_head)),
            Part::Group(is_head) => {
                let mut within = Vec::new();
                for child in element.elements() {
                    match part(child, roles) {
                        Part::Group(head) => within.push((child, Part::Group(head || is_head))),
                        Part::Row(head) => within.push((child, Part::Row(head || is_head))),
                        Part::Column => found.push(Found::Column(child)),
                        Part::Foot => foot.push((child, Part::Group(false))),
                        Part::Other => {}
                    }
                }
                parts.extend(within.into_iter().rev());
            }
            Part::Column | Part::Foot | Part::Other => {}
        }
        if parts.is_empty() {
            parts.extend(foot.drain(..).rev());
        }
    }
    found
}

/// What an element of a table is.
#[derive(Clone, Copy)]
enum Part {
    /// A part of the table, and whether its rows are of the header.
    Group(bool),
    Foot,
    /// The name of a column.
    Column,
    /// A row, and whether it is of the header.
    Row(bool),
    Other,
}

/// What an element within a part of a table is: by a user's rule, else by its name.
fn part(element: Element<'_>, roles: &[Role]) -> Part {
    match (roles[element.at()], element.name()) {
        (Role::Row, _) => Part::Row(false),
        (Role::HeadRow, _) => Part::Row(true),
        (Role::Skip, name) if !matches!(name, "colspec" | "header") => Part::Other,
        (_, "thead" | "header") => Part::Group(true),
        (_, "tbody" | "tgroup") => Part::Group(false),
        (_, "tfoot") => Part::Foot,
        (_, "colspec") => Part::Column,
        (_, "tr" | "row" | "strow") => Part::Row(false),
        (_, "sthead") => Part::Row(true),
        (Role::Block, _) if element.descendants().any(|row| matches!(roles[row.at()], Role::Row | Role::HeadRow)) => Part::Group(false),
        _ => Part::Other,
    }
}

/// Whether an element is a cell by its name.
fn is_named_cell(element: Element<'_>) -> bool {
    matches!(element.name(), "td" | "th" | "entry" | "cell" | "column" | "stentry")
}

/// The cells of a row.
fn cells<'t>(row: Element<'t>, roles: &[Role]) -> impl Iterator<Item = Element<'t>> {
    let is_cell = |cell: &Element<'_>| roles[cell.at()] == Role::Cell || is_named_cell(*cell) && roles[cell.at()] != Role::Skip;
    // A row that a rule names has cells of any name.
    let any = matches!(roles[row.at()], Role::Row | Role::HeadRow) && !row.elements().any(|cell| is_cell(&cell));
    let cells = row.elements().filter(move |cell| is_cell(cell) || any && !matches!(roles[cell.at()], Role::Skip | Role::Page));
    // One without elements is a cell.
    cells.chain(std::iter::once(row).filter(move |row| any && row.elements().next().is_none()))
}

/// The names of the cells of rows that a rule names, in their order, if the cells are told by their names.
fn names<'t>(parts: &[Found<'t>], roles: &[Role]) -> Option<Vec<&'t str>> {
    let mut names: Vec<&str> = Vec::new();
    let mut known = HashSet::new();
    for part in parts {
        let Found::Row(row, is_head) = part else { continue };
        let mut own = HashSet::new();
        for cell in cells(*row, roles) {
            let is_told = roles[row.at()] == Role::Row && !is_head && roles[cell.at()] != Role::Cell && !is_named_cell(cell);
            if !is_told || !own.insert(cell.name()) {
                return None;
            }
            if known.insert(cell.name()) {
                names.push(cell.name());
            }
        }
    }
    (names.len() > 1 && names.len() <= MAX_COLUMNS).then_some(names)
}

/// The rows of a table, the first of them its header. A cell over several rows stands in each of them. One over several columns stands in the first of them,
/// in a header in each. Rows of a header become one: `Dose: adults`. Where cells are told by the names of their elements, these are the header.
pub(super) fn rows(
    table: Element<'_>,
    roles: &[Role],
    limits: &Limits,
    text: &mut dyn FnMut(Element<'_>) -> String,
) -> Result<Rows, Failure> {
    let mut grid = Grid { rows: Vec::new(), nodes: Vec::new(), spans: Vec::new(), cells: 0, bytes: 0, roles, limits };
    let found = found(table, roles);
    if let Some(names) = names(&found, roles) {
        return grid.told(&found, &names, text);
    }
    let (mut columns, mut header) = (HashMap::new(), 0);
    for part in found {
        match part {
            Found::Column(column) => {
                let number = columns.len();
                columns.insert(column.attribute("colname").unwrap_or_default(), number);
            }
            Found::Row(row, is_head) => {
                grid.row(row, is_head, &columns, text)?;
                header += usize::from(is_head && header + 1 == grid.rows.len());
            }
        }
    }
    let Grid { mut rows, mut nodes, .. } = grid;
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
        nodes.drain(1..header);
    }
    Ok(Rows { rows, nodes })
}

struct Grid<'a> {
    rows: Vec<Vec<String>>,
    /// Where each row is in the tree.
    nodes: Vec<usize>,
    /// For each column the text of a cell above, and the rows that it still stands in.
    spans: Vec<(String, usize)>,
    cells: usize,
    bytes: u64,
    roles: &'a [Role],
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
        for cell in self::cells(row, self.roles) {
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
            self.nodes.push(row.at());
        }
        Ok(())
    }

    /// Rows whose cells stand under their names.
    fn told(mut self, parts: &[Found<'_>], names: &[&str], text: &mut dyn FnMut(Element<'_>) -> String) -> Result<Rows, Failure> {
        let columns: HashMap<&str, usize> = names.iter().enumerate().map(|(at, name)| (*name, at)).collect();
        let header: Vec<String> = names.iter().map(|name| name.replace(['_', '-'], " ")).collect();
        for part in parts {
            let Found::Row(row, _) = part else { continue };
            let mut cells = vec![String::new(); names.len()];
            for cell in self::cells(*row, self.roles) {
                let text = text(cell);
                if let Some(place) = columns.get(cell.name()).and_then(|at| cells.get_mut(*at)) {
                    *place = text;
                }
            }
            cells.iter().try_for_each(|cell| self.count(cell))?;
            if cells.iter().any(|cell| !cell.is_empty()) {
                if self.rows.is_empty() {
                    self.rows.push(header.clone());
                    self.nodes.push(row.at());
                }
                self.rows.push(cells);
                self.nodes.push(row.at());
            }
        }
        Ok(Rows { rows: self.rows, nodes: self.nodes })
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
