//! What a build says of fields that do not keep their types.

use std::fmt;

use mempack_format::FieldKind;

/// What values of a field are, of which a field may have several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sort {
    /// Values of a kind.
    Kind(FieldKind),
    /// A list.
    List,
    /// A single value.
    Single,
    /// A list that holds lists or objects.
    Nested,
}

impl fmt::Display for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(kind) => kind.fmt(f),
            Self::List => f.pad("list"),
            Self::Single => f.pad("single value"),
            Self::Nested => f.pad("list that holds lists or objects"),
        }
    }
}

/// A field of a corpus whose values do not all keep their type in a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataNote {
    /// The field.
    pub field: String,
    /// What its values are, with the number of documents that have such values, the most frequent first.
    pub found: Vec<(String, u64)>,
    /// The id of the first document whose values are the rarest of these.
    pub example: String,
    /// What the pack has instead.
    pub kept: &'static str,
}

impl MetadataNote {
    /// The note on values of some sorts, each with its documents and the id of the first; `None` for no sorts.
    pub(super) fn new(field: &str, sorts: &[(Sort, u64, &str)]) -> Option<Self> {
        let mut sorts = sorts.to_vec();
        // Stable: sorts of as many documents stay in their order, and the last one counts as the rarest.
        sorts.sort_by_key(|(_, documents, _)| std::cmp::Reverse(*documents));
        let (rarest, _, example) = *sorts.last()?;
        let kept = match rarest {
            Sort::Kind(_) => "text",
            Sort::List | Sort::Single => "lists",
            Sort::Nested => "text in JSON",
        };
        let found = sorts.iter().map(|(sort, documents, _)| (sort.to_string(), *documents)).collect();
        Some(Self { field: field.to_owned(), found, example: example.to_owned(), kept })
    }
}

impl fmt::Display for MetadataNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found: Vec<String> = self
            .found
            .iter()
            .map(|(sort, documents)| format!("{sort} in {documents} document{}", if *documents == 1 { "" } else { "s" }))
            .collect();
        write!(f, "the values of the field {:?} are kept as {}: {} (first in {:?})", self.field, self.kept, found.join(", "), self.example)
    }
}
