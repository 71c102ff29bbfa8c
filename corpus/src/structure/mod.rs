//! The structure of a text, line by line: headings, lists and tables, and which earlier lines a later line needs to be understood.
//!
//! A row of a table means little without the header of the table, an item of a list little without what introduces the list. A
//! [`Scanner`] reads a document block by block and gives an [`Outline`] of each, with the lines above every place of the block. Prose
//! has none. Known are Markdown (CommonMark and the tables of GitHub Flavored Markdown), tables of plain text with pipes or tabs, and
//! the enumerations of laws and contracts: `(a)`, `(1)`, `(i)`, `1.`, `第一条`, `（一）`.

mod marks;
mod outline;
mod scanner;
mod tables;

pub(crate) use outline::{Above, Bond, Kind, Outline};
pub(crate) use scanner::Scanner;

#[cfg(test)]
mod tests;
