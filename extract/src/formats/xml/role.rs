//! What elements are in a text.

/// What an element is in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// No text.
    Skip,
    /// Words in a line.
    Inline,
    /// Not known, and without blocks within.
    Leaf,
    /// A paragraph, or what has blocks within.
    Block,
    /// A part with a heading of its own, that may have a number.
    Division,
    /// A numbered paragraph; a heading of it runs into its text.
    Level,
    /// The number of a division, a level or an item.
    Number,
    /// A heading.
    Heading,
    List,
    Item,
    /// What a definition defines.
    Term,
    Table,
    /// A row of a table, by a user's rule.
    Row,
    /// A row of the header of a table, by a user's rule.
    HeadRow,
    /// A cell of a row, by a user's rule.
    Cell,
    /// A table or a picture with its caption.
    Captioned,
    Caption,
    /// A picture, with its alternative text.
    Picture,
    /// A footnote; it comes after the block that it is in.
    Note,
    /// Text of another document, whose numbers are no places of this one.
    Quote,
    /// The end of a line, or a line.
    Break,
    Preformatted,
    Superscript,
    /// A raised reference to a note or a source: `[1]`.
    Reference,
    Formula,
    /// Where a page begins.
    Page,
}

impl Role {
    /// Whether an element of this role divides a paragraph.
    pub fn is_block(self) -> bool {
        !matches!(
            self,
            Self::Skip
                | Self::Inline
                | Self::Leaf
                | Self::Number
                | Self::Picture
                | Self::Note
                | Self::Break
                | Self::Superscript
                | Self::Reference
                | Self::Formula
                | Self::Page
        )
    }
}
