//! Tables as they are seen: cells that span rows and columns are filled in.

use super::tree::{Id, Tree};

/// Columns of a table.
const COLUMNS: usize = 1000;
/// Cells of a table with those that are filled in; a table that would have more is not filled in.
const CELLS: usize = 500_000;

/// A cell, and the rows and columns that it spans.
struct Cell {
    id: Id,
    rows: usize,
    columns: usize,
    is_header: bool,
}

/// What a table is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It only arranges blocks.
    Layout,
    /// Its rows are items: a mark, and the words of the item.
    Items,
    /// Its rows are a name and a value each.
    Pairs,
    Data,
}

/// A table.
pub(super) struct Table {
    /// Its cells, row by row, each once.
    rows: Vec<Vec<Cell>>,
    /// How many of the first rows are headers.
    headers: usize,
    pub kind: Kind,
}

impl Table {
    /// A table, and what it is. `is_out` is what is left out; `text` gives the words of a cell.
    pub fn new(tree: &Tree, table: Id, is_out: impl Fn(Id) -> bool, text: impl Fn(Id) -> String) -> Self {
        let (mut head, mut body, mut foot) = (Vec::new(), Vec::new(), Vec::new());
        let mut has_caption = false;
        for part in tree.children(table).filter(|id| !is_out(*id)) {
            let rows = match tree.name(part) {
                "thead" => &mut head,
                "tfoot" => &mut foot,
                "tbody" => &mut body,
                "caption" => {
                    has_caption = true;
                    continue;
                }
                _ => continue,
            };
            for row in tree.children(part).filter(|id| tree.name(*id) == "tr" && !is_out(*id)) {
                let cells: Vec<Cell> = tree
                    .children(row)
                    .filter(|id| matches!(tree.name(*id), "td" | "th") && !is_out(*id))
                    .map(|id| cell(tree, id))
                    .collect();
                if !cells.is_empty() {
                    rows.push(cells);
                }
            }
        }
        let mut headers = head.len();
        let has_head = headers > 0;
        let rows: Vec<Vec<Cell>> = head.into_iter().chain(body).chain(foot).collect();
        if headers == 0 {
            headers = rows.iter().take_while(|row| row.iter().all(|cell| cell.is_header)).count();
        }
        if headers >= rows.len() {
            headers = rows.len().min(1);
        }
        let kind = kind(tree, table, &rows, headers, has_head || has_caption, &text);
        Self { rows, headers, kind }
    }

    /// The cells in the order in which they are read.
    pub fn cells(&self) -> impl Iterator<Item = Id> + '_ {
        self.rows.iter().flatten().map(|cell| cell.id)
    }

    /// The rows, each with its cells.
    pub fn rows(&self) -> impl Iterator<Item = Vec<Id>> + '_ {
        self.rows.iter().map(|row| row.iter().map(|cell| cell.id).collect())
    }

    /// The table with all cells filled in, its header first, by the words of each cell.
    pub fn grid(&self, mut words: impl FnMut(Id) -> String, is_bold: impl Fn(Id) -> bool) -> Vec<Vec<String>> {
        let cells: Vec<&Cell> = self.rows.iter().flatten().collect();
        let texts: Vec<String> = cells.iter().map(|cell| words(cell.id)).collect();
        let spanned: usize =
            cells.iter().map(|cell| cell.columns.saturating_mul(cell.rows.min(self.rows.len()))).fold(0, usize::saturating_add);
        let fills = spanned <= CELLS;
        // By row and column the number of a cell.
        let mut grid: Vec<Vec<Option<usize>>> = vec![Vec::new(); self.rows.len()];
        let mut number = 0;
        for (at, row) in self.rows.iter().enumerate() {
            let is_alone = row.len() == 1;
            let mut column = 0;
            for cell in row {
                while grid[at].get(column).is_some_and(Option::is_some) {
                    column += 1;
                }
                let (rows, columns) = if fills { (cell.rows, cell.columns) } else { (1, 1) };
                // The last row that rows span is the last one of the table.
                for line in grid.iter_mut().skip(at).take(rows) {
                    if line.len() < (column + columns).min(COLUMNS) {
                        line.resize((column + columns).min(COLUMNS), None);
                    }
                    for place in line.iter_mut().skip(column).take(if is_alone { 1 } else { columns }) {
                        place.get_or_insert(number);
                    }
                }
                column += columns;
                number += 1;
            }
        }
        let width = grid.iter().map(Vec::len).max().unwrap_or_default();
        let filled = |row: &Vec<Option<usize>>| -> Vec<String> {
            (0..width).map(|at| row.get(at).copied().flatten().and_then(|number| texts.get(number).cloned()).unwrap_or_default()).collect()
        };
        let mut rows: Vec<Vec<String>> = grid.iter().map(filled).collect();
        let headers = match self.headers {
            0 if self.looks_like_header(&rows, is_bold) => 1,
            headers => headers,
        };
        // Headers above one another are one: `Adults, Dose`.
        let mut header = vec![String::new(); width];
        for row in rows.drain(..headers) {
            for (above, cell) in header.iter_mut().zip(row) {
                if !cell.is_empty() && *above != cell && !above.ends_with(&format!(", {cell}")) {
                    *above = if above.is_empty() { cell } else { format!("{above}, {cell}") };
                }
            }
        }
        rows.retain(|row| row.iter().any(|cell| !cell.is_empty()));
        if rows.is_empty() && headers > 0 {
            return vec![header];
        }
        // Columns without a word are room on the page.
        let used: Vec<bool> = (0..width).map(|at| !header[at].is_empty() || rows.iter().any(|row| !row[at].is_empty())).collect();
        let cut =
            |row: Vec<String>| -> Vec<String> { row.into_iter().zip(&used).filter(|(_, used)| **used).map(|(cell, _)| cell).collect() };
        std::iter::once(header).chain(rows).map(cut).collect()
    }

    /// Whether the first row of a table without a header is one: all of its cells are bold, or all are words, and below them are numbers.
    fn looks_like_header(&self, rows: &[Vec<String>], is_bold: impl Fn(Id) -> bool) -> bool {
        let [first, rest @ ..] = rows else { return false };
        if rest.is_empty() || first.len() < 2 || first.iter().skip(1).any(String::is_empty) {
            return false;
        }
        if self.rows.first().is_some_and(|row| row.iter().all(|cell| is_bold(cell.id))) {
            return true;
        }
        let has_number = |cell: &String| cell.contains(|c: char| c.is_ascii_digit());
        !first.iter().any(has_number) && rest.iter().all(|row| row.iter().any(has_number)) && rest.len() > 1
    }
}

fn cell(tree: &Tree, id: Id) -> Cell {
    let span =
        |name: &str, most: usize| tree.attribute(id, name).and_then(|value| value.trim().parse::<usize>().ok()).map(|span| span.min(most));
    // 0 rows are all of them.
    let rows = match span("rowspan", 65_534).unwrap_or(1) {
        0 => 65_534,
        rows => rows,
    };
    Cell { id, rows, columns: span("colspan", COLUMNS).unwrap_or(1).max(1), is_header: tree.name(id) == "th" }
}

fn kind(tree: &Tree, table: Id, rows: &[Vec<Cell>], headers: usize, is_data: bool, text: impl Fn(Id) -> String) -> Kind {
    if matches!(tree.attribute(table, "role"), Some("presentation" | "none")) && headers == 0 {
        return match is_items(rows, &text) {
            true => Kind::Items,
            false => Kind::Layout,
        };
    }
    let width = rows.iter().map(Vec::len).max().unwrap_or_default();
    let has_header = headers > 0 || rows.iter().flatten().any(|cell| cell.is_header);
    if !has_header && !is_data && is_items(rows, &text) {
        return Kind::Items;
    }
    let blocks = |id: Id| {
        tree.descendants(id)
            .any(|id| matches!(tree.name(id), "table" | "h1" | "h2" | "h3" | "h4" | "article" | "main" | "section" | "form" | "nav"))
    };
    let holds_blocks = || rows.iter().flatten().any(|cell| !cell.is_header && blocks(cell.id));
    if !is_data && (width < 2 || !has_header && (rows.len() < 2 || holds_blocks())) || holds_tables_only(tree, rows) {
        return Kind::Layout;
    }
    let is_pair = |row: &Vec<Cell>| matches!(&row[..], [name, value] if name.is_header && !value.is_header);
    if headers == 0 && rows.iter().all(|row| is_pair(row) || matches!(&row[..], [cell] if cell.is_header)) {
        return Kind::Pairs;
    }
    Kind::Data
}

/// Whether most of the cells have tables of their own with several rows.
fn holds_tables_only(tree: &Tree, rows: &[Vec<Cell>]) -> bool {
    let cells = rows.iter().map(Vec::len).sum::<usize>();
    let tables = rows.iter().flatten().filter(|cell| tree.find(cell.id, "table").is_some()).count();
    tables * 2 >= cells.max(1)
}

/// Whether each row is a mark and the words of an item, as in the laws of the European Union.
fn is_items(rows: &[Vec<Cell>], text: impl Fn(Id) -> String) -> bool {
    !rows.is_empty() && rows.iter().all(|row| matches!(&row[..], [mark, _] if super::numbers::is_mark(text(mark.id).trim())))
}
