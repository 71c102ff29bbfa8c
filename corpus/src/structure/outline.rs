//! What a scanner finds in a block.

use std::cell::OnceCell;
use std::ops::Range;
use std::rc::Rc;

/// What a line above is to the lines below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A heading.
    Heading,
    /// What introduces a list, or stands above a table.
    Lead,
    /// An item of a list, to the items below it and to the rest of its own text.
    Item,
    /// The header row of a table.
    Header,
    /// The first cell of a row, to the rest of the row.
    Label,
}

/// A line of a document that lines below it need.
#[derive(Debug)]
pub(crate) struct Above {
    pub kind: Kind,
    /// The line without white space at its ends; of a long one, the part that matters.
    pub text: String,
    /// Number of its tokens, once they are counted.
    pub tokens: OnceCell<usize>,
}

impl Above {
    pub fn new(kind: Kind, text: impl Into<String>) -> Rc<Self> {
        Rc::new(Self { kind, text: text.into(), tokens: OnceCell::new() })
    }
}

/// The lines above a place, the outermost first.
pub(crate) type Chain = Vec<Rc<Above>>;

/// How much a place to cut is worse than others of its class, because it divides what belongs together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Bond {
    /// Nothing binds.
    None,
    /// Within an item of a list.
    Item,
    /// After a heading, or between a list and what introduces it.
    Lead,
    /// Within a row of a table, or between its header and its first row.
    Row,
}

/// The structure of a block. Places are bytes of the block.
#[derive(Debug, Default)]
pub(crate) struct Outline {
    pub(super) lines: Vec<Line>,
    pub(super) chains: Vec<Chain>,
    /// Cuts after the first and up to the second place divide what belongs together.
    pub(super) bonds: Vec<(usize, usize, Bond)>,
}

#[derive(Debug)]
pub(super) struct Line {
    /// Where its first character that is not white space stands.
    pub start: usize,
    /// What stands above its beginning and above the rest of it, as numbers of chains.
    pub at_start: usize,
    pub within: usize,
}

impl Outline {
    /// The number of the chain above a place, `None` where nothing is above.
    pub fn chain_at(&self, at: usize) -> Option<usize> {
        let line = &self.lines[self.lines.partition_point(|line| line.start <= at).checked_sub(1)?];
        let chain = if at == line.start { line.at_start } else { line.within };
        (!self.chains[chain].is_empty()).then_some(chain)
    }

    /// Whether the same lines stand above two places.
    pub fn is_same_above(&self, one: usize, other: usize) -> bool {
        let chain = |at| self.chain_at(at).map(|chain| self.chains[chain].as_slice()).unwrap_or_default();
        equal(chain(one), chain(other))
    }

    /// The headings above the text in a range of bytes, and those that it begins with, the outermost first.
    pub fn headings(&self, range: Range<usize>) -> Vec<&Above> {
        let Some(mut at) = self.lines.partition_point(|line| line.start <= range.start).checked_sub(1) else { return Vec::new() };
        let headings = |chain: usize| self.chains[chain].iter().filter(|above| above.kind == Kind::Heading);
        let mut chain = if self.lines[at].start == range.start { self.lines[at].at_start } else { self.lines[at].within };
        // A heading is above the line after it.
        while let Some(next) = self.lines.get(at + 1).filter(|next| next.start < range.end) {
            let is_new = |above: &&Rc<Above>| !headings(chain).any(|known| Rc::ptr_eq(known, above));
            if !headings(next.at_start).any(|above| is_new(&above)) {
                break;
            }
            (at, chain) = (at + 1, next.at_start);
        }
        headings(chain).map(AsRef::as_ref).collect()
    }

    /// All chains.
    pub fn chains(&self) -> &[Chain] {
        &self.chains
    }

    /// The bonds at places, which ascend.
    pub fn bonds(&self, places: impl ExactSizeIterator<Item = usize>) -> Vec<Bond> {
        let mut found = vec![Bond::None; places.len()];
        if self.bonds.is_empty() {
            return found;
        }
        let places: Vec<usize> = places.collect();
        for (from, to, bond) in &self.bonds {
            let range = places.partition_point(|at| at <= from)..places.partition_point(|at| at <= to);
            found[range].iter_mut().for_each(|known| *known = (*known).max(*bond));
        }
        found
    }

    /// Adds a line.
    pub(super) fn push(&mut self, start: usize, at_start: Chain, within: Chain) {
        let at_start = self.number(at_start);
        let within = self.number(within);
        self.lines.push(Line { start, at_start, within });
    }

    /// The number of a chain; lines that follow one another mostly share theirs.
    fn number(&mut self, chain: Chain) -> usize {
        let from = self.chains.len().saturating_sub(4);
        match self.chains[from..].iter().position(|known| equal(known, &chain)) {
            Some(at) => from + at,
            None => {
                self.chains.push(chain);
                self.chains.len() - 1
            }
        }
    }
}

/// Whether two chains are of the same lines.
fn equal(one: &[Rc<Above>], other: &[Rc<Above>]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(a, b)| Rc::ptr_eq(a, b))
}
