//! Vocabularies of elements: what each element is, how it is numbered and cited.

use super::role::Role;
use super::tree::{Element, Tree};

/// How the number of a part is cited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cited {
    /// After that of the part that it is in: `(3)`.
    Within,
    /// By itself, if nothing around it is.
    Alone,
    /// By itself, after words such as `Art.`, unless the number has words of its own. Empty if it has them always.
    Named(&'static str),
    /// By itself, after words in place of those that the number has; as it is if they are empty.
    Given(String),
}

/// Where the number or heading of an element is that a rule names.
pub(super) enum Stated<'t> {
    /// Words of an attribute, or of the rule.
    Words(String),
    Element(Element<'t>),
}

/// A vocabulary of elements.
pub(super) trait Dialect {
    /// What an element is; `None` if its name says nothing.
    fn role(&self, element: Element<'_>) -> Option<Role>;

    /// What stands before the number of a part that is cited by itself, such as `Art.` for an article; `None` for others. Empty if the number has it.
    fn cited(&self, kind: &str) -> Option<&'static str>;

    /// How the number of a part is cited, by its element and its kind.
    fn cites(&self, _element: Element<'_>, kind: &str) -> Cited {
        self.cited(kind).map_or(Cited::Within, Cited::Named)
    }

    /// Where the number of a part or item is, if a rule says it.
    fn number<'t>(&self, _element: Element<'t>) -> Option<Stated<'t>> {
        None
    }

    /// Where the heading of a part or a table is, if a rule says it.
    fn heading<'t>(&self, _element: Element<'t>) -> Option<Stated<'t>> {
        None
    }

    /// The page that begins at an element.
    fn page(&self, _element: Element<'_>) -> Option<u32> {
        None
    }

    /// Whether a user's rule says what an element is.
    fn is_ruled(&self, _element: Element<'_>) -> bool {
        false
    }

    /// Whether a division is a note on the part that it is in, and is cited as such.
    fn is_note(&self, _kind: &str) -> bool {
        false
    }

    /// Whether unknown elements in no running text are lines, each named by its element.
    fn names_leaves(&self) -> bool {
        false
    }
}

/// The roles of all elements of a tree. An unknown one is a block if it has blocks within.
pub(super) fn roles(tree: &Tree, dialect: &dyn Dialect) -> Vec<Role> {
    let mut roles = vec![Role::Inline; tree.len()];
    for at in (0..tree.len()).rev() {
        let Some(element) = tree.element(at) else { continue };
        roles[at] = dialect.role(element).unwrap_or_else(|| {
            let has_blocks = element.elements().any(|child| roles[child.at()].is_block());
            if has_blocks { Role::Block } else { Role::Leaf }
        });
    }
    roles
}
