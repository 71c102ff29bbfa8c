//! Filters over packs: which documents and references an expression admits.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use fixedbitset::FixedBitSet;
use mempack_filter::{Column, Expression, FieldType, FilterError};
use mempack_format::{Document, Field, FieldKind, Metadata, ReadError, instant};

use crate::MappedPack;
use crate::pack_set::{Mounted, PackSet};
use crate::selection::Selected;

/// Why a filter was not applied to packs. Nothing is admitted then, whatever is done about damage elsewhere.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SelectError {
    /// The filter is about a field that no document of any pack has.
    #[error(transparent)]
    Names(Box<FilterError>),
    /// The filter does not fit the fields of a pack.
    #[error("{}: {source}", path.display())]
    Pack {
        /// The pack's file.
        path: PathBuf,
        /// What does not fit.
        source: Box<FilterError>,
    },
    /// What the filter asks about is damaged.
    #[error("{}: {source}", path.display())]
    Read {
        /// The pack's file.
        path: PathBuf,
        /// The damage.
        source: ReadError,
    },
}

impl SelectError {
    /// Whether a pack is damaged, rather than the filter wrong.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Read { source: ReadError::Damaged(_), .. })
    }
}

/// Reads a field of a record.
type Read = fn(&Document) -> &str;

/// The fields that every document can have, with what they are in a document. An empty one is absent.
const OF_EVERY_DOCUMENT: [(&str, Read); 6] = [
    ("id", |document| &document.id),
    ("title", |document| &document.title),
    ("license", |document| &document.license),
    ("source", |document| &document.source),
    ("version", |document| &document.version),
    ("date", |document| &document.date),
];

impl PackSet {
    /// The same packs, of which searches find, and citations name, only what `filter` admits as well. A reference that several documents share is
    /// admitted if one of these documents is.
    ///
    /// # Errors
    /// If no pack has a field of the filter, its constants do not fit the kinds of a pack's fields, or the metadata of a pack are damaged. An empty set fits
    /// every filter.
    pub fn selecting(&self, filter: &Expression) -> Result<Self, SelectError> {
        if self.packs().is_empty() {
            return Ok(Self::default());
        }
        filter.check_names(&self.fields()?).map_err(|error| SelectError::Names(Box::new(error)))?;
        let select = |mounted: &Arc<Mounted>| Ok(Arc::new(mounted.selecting(filter)?));
        Ok(Self::new(self.packs().iter().map(select).collect::<Result<_, SelectError>>()?))
    }

    /// The names of the fields that documents of these packs have, in ascending order: `id`, `title`, `license`, `source`, `version`, `date`, and those of the
    /// metadata.
    ///
    /// # Errors
    /// If the metadata of a pack are damaged.
    pub fn fields(&self) -> Result<Vec<String>, SelectError> {
        let mut names: Vec<String> = OF_EVERY_DOCUMENT.iter().map(|(name, _)| (*name).to_owned()).collect();
        for mounted in self.packs() {
            names.extend(mounted.pack().field_names().map_err(|source| mounted.not_selected(source))?);
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }
}

impl Mounted {
    /// The pack, of which only what `filter` admits as well is found.
    pub(crate) fn selecting(&self, filter: &Expression) -> Result<Self, SelectError> {
        let mut documents = self.pack().select(filter).map_err(|error| match error {
            Refused::Filter(source) => SelectError::Pack { path: self.pack().path().to_owned(), source: Box::new(source) },
            Refused::Read(source) => self.not_selected(source),
        })?;
        if let Some(before) = self.selected() {
            documents.intersect_with(&before.documents);
        }
        let references = self.pack().references_of(&documents).map_err(|source| self.not_selected(source))?;
        Ok(self.with_selected(Arc::new(Selected { documents, references })))
    }

    fn not_selected(&self, source: ReadError) -> SelectError {
        SelectError::Read { path: self.pack().path().to_owned(), source }
    }
}

enum Refused {
    Filter(FilterError),
    Read(ReadError),
}

impl From<ReadError> for Refused {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl MappedPack {
    fn field_names(&self) -> Result<Vec<String>, ReadError> {
        self.read_consistent(|checks| {
            checks.metadata(self)?;
            let Some(metadata) = self.metadata()? else { return Ok(Vec::new()) };
            metadata.fields().map(|field| Ok(field?.name().to_owned())).collect()
        })
    }

    /// The documents that a filter admits.
    fn select(&self, filter: &Expression) -> Result<FixedBitSet, Refused> {
        self.read_consistent(|checks| {
            checks.tables(self)?;
            checks.metadata(self)?;
            let columns = Columns::of(self, filter)?;
            let checked = filter.check(|name| columns.0.get(name).map(|column| column.field_type())).map_err(Refused::Filter)?;
            Ok(checked.select(self.manifest().counts.documents, |name| Ok(columns.0.get(name)))?)
        })
    }

    /// The references that have an origin in one of these documents.
    fn references_of(&self, documents: &FixedBitSet) -> Result<FixedBitSet, ReadError> {
        self.read_consistent(|checks| {
            checks.tables(self)?;
            let count = self.manifest().counts.references;
            let mut references = FixedBitSet::with_capacity(count as usize);
            for reference in 0..count {
                references.set(reference as usize, self.origins(reference)?.any(|origin| documents.contains(origin.document as usize)));
            }
            Ok(references)
        })
    }
}

/// The fields of a pack that a filter is about, by name.
struct Columns<'a>(BTreeMap<&'a str, PackColumn<'a>>);

impl<'a> Columns<'a> {
    fn of(pack: &'a MappedPack, filter: &'a Expression) -> Result<Self, ReadError> {
        let metadata: Option<Metadata<'_>> = pack.metadata()?;
        let mut columns = BTreeMap::new();
        for name in filter.fields() {
            let column = match OF_EVERY_DOCUMENT.iter().find(|(own, _)| *own == name) {
                Some((own, of)) => Some(PackColumn::Read(ReadColumn::of(pack, *own == "date", *of)?)),
                None => metadata.map(|metadata| metadata.field(name)).transpose()?.flatten().map(PackColumn::Stored),
            };
            columns.extend(column.map(|column| (name, column)));
        }
        Ok(Self(columns))
    }
}

enum PackColumn<'a> {
    Stored(Field<'a>),
    Read(ReadColumn),
}

/// A field that is read from the records of the documents.
struct ReadColumn {
    kind: FieldKind,
    /// The different values, numbered.
    values: Vec<String>,
    /// The number of each document's value.
    documents: Vec<Option<u32>>,
}

impl ReadColumn {
    /// A field of texts; if it may be one of dates, and at least half of the different values are dates, one of dates that other documents do not have.
    fn of(pack: &MappedPack, may_be_date: bool, of: Read) -> Result<Self, ReadError> {
        let mut numbers: BTreeMap<String, u32> = BTreeMap::new();
        let mut documents = Vec::new();
        for number in 0..pack.manifest().counts.documents {
            let document = pack.document(number)?;
            let value = of(&document);
            let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
            documents.push((!value.is_empty()).then(|| *numbers.entry(value.to_owned()).or_insert(next)));
        }
        let dates =
            may_be_date && !numbers.is_empty() && 2 * numbers.keys().filter(|value| instant(value).is_some()).count() >= numbers.len();
        let mut values = vec![String::new(); numbers.len()];
        for (value, number) in numbers {
            if let Some(place) = values.get_mut(number as usize) {
                *place = value;
            }
        }
        if !dates {
            return Ok(Self { kind: FieldKind::Text, values, documents });
        }
        let is_date = |number: &u32| values.get(*number as usize).is_some_and(|value| instant(value).is_some());
        documents.iter_mut().for_each(|number| *number = number.filter(is_date));
        Ok(Self { kind: FieldKind::Date, values, documents })
    }
}

impl Column for &PackColumn<'_> {
    type Error = ReadError;

    fn field_type(&self) -> FieldType {
        match self {
            PackColumn::Stored(field) => FieldType { kind: field.kind(), list: field.is_list() },
            PackColumn::Read(column) => FieldType { kind: column.kind, list: false },
        }
    }

    fn values(&self) -> u32 {
        match self {
            PackColumn::Stored(field) => field.values(),
            PackColumn::Read(column) => u32::try_from(column.values.len()).unwrap_or(u32::MAX),
        }
    }

    fn value(&self, number: u32) -> Result<&str, ReadError> {
        match self {
            PackColumn::Stored(field) => Ok(field.value(number)?),
            PackColumn::Read(column) => Ok(column.values.get(number as usize).map(String::as_str).unwrap_or_default()),
        }
    }

    fn of_document(&self, document: u32, numbers: &mut Vec<u32>) -> Result<(), ReadError> {
        numbers.clear();
        match self {
            PackColumn::Stored(field) => numbers.extend(field.codes(document)?.iter().map(|code| code.get())),
            PackColumn::Read(column) => numbers.extend(column.documents.get(document as usize).copied().flatten()),
        }
        Ok(())
    }
}
