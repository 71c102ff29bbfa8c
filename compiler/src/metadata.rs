//! The metadata of a pack (SPEC 6.1): fields of documents, each with one kind.

mod note;
mod remaining;

use std::collections::{BTreeMap, HashMap};

use mempack_corpus::DocumentField;
use mempack_format::{FieldColumn, FieldKind};

pub use note::MetadataNote;
pub(crate) use note::Sort;
pub(crate) use remaining::remaining;

/// The fields of the documents of a corpus, collected in their order.
///
/// Memory: every different value of a field once, 4 bytes for each value of a document, and 4 bytes for each field and document.
#[derive(Clone, Debug, Default)]
pub(crate) struct MetadataColumns(BTreeMap<String, Column>);

/// How many documents have values of a sort, and the id of the first one.
#[derive(Clone, Debug, Default)]
struct Seen {
    documents: u64,
    values: u64,
    first: String,
}

impl Seen {
    fn add(&mut self, id: &str, values: usize) {
        if values > 0 {
            if self.documents == 0 {
                id.clone_into(&mut self.first);
            }
            self.documents += 1;
            self.values += values as u64;
        }
    }
}

/// A field of the documents so far.
#[derive(Clone, Debug, Default)]
struct Column {
    /// The different values with their numbers, in the order in which they came.
    numbers: HashMap<String, u32>,
    /// Where the codes of each document end, up to the last one that has the field.
    ends: Vec<u32>,
    codes: Vec<u32>,
    sorts: BTreeMap<Sort, Seen>,
}

impl Column {
    fn push(&mut self, document: u32, id: &str, field: &DocumentField) {
        self.ends.resize(document as usize, self.codes.len() as u32);
        for value in &field.values {
            // More values than a u32 counts make ends that do not ascend, which the writer refuses.
            let next = self.numbers.len() as u32;
            let number = match self.numbers.get(&value.text) {
                Some(number) => *number,
                None => *self.numbers.entry(value.text.clone()).or_insert(next),
            };
            self.codes.push(number);
        }
        self.ends.push(self.codes.len() as u32);
        for kind in FieldKind::ALL {
            self.sort(Sort::Kind(kind)).add(id, field.values.iter().filter(|value| value.kind == kind).count());
        }
        self.sort(Sort::Nested).add(id, field.values.iter().filter(|value| value.nested).count());
        self.sort(if field.list { Sort::List } else { Sort::Single }).add(id, field.values.len());
    }

    fn sort(&mut self, sort: Sort) -> &mut Seen {
        self.sorts.entry(sort).or_default()
    }

    fn seen(&self, sort: Sort) -> Option<&Seen> {
        self.sorts.get(&sort).filter(|seen| seen.documents > 0)
    }

    /// The kind of the field, and whether it keeps the kinds of its values.
    fn kind(&self) -> (FieldKind, bool) {
        use FieldKind::{Boolean, Date, Integer, Number, Text};
        let values = |kind| self.seen(Sort::Kind(kind)).map_or(0, |seen| seen.values);
        let [booleans, integers, numbers, dates, texts] = FieldKind::ALL.map(values);
        match [booleans > 0, integers + numbers > 0, dates + texts > 0] {
            [true, false, false] => (Boolean, true),
            [false, true, false] => (if numbers > 0 { Number } else { Integer }, true),
            [false, false, true] if texts == 0 => (Date, true),
            // A few titles or names of places that happen to be dates are no loss.
            [false, false, true] => (Text, dates < texts),
            _ => (Text, false),
        }
    }

    fn notes(&self, name: &str, keeps_kinds: bool, notes: &mut Vec<MetadataNote>) {
        let mut note = |sorts: &[Sort]| {
            let found = sorts.iter().filter_map(|sort| Some((*sort, self.seen(*sort)?)));
            let found: Vec<(Sort, u64, &str)> = found.map(|(sort, seen)| (sort, seen.documents, seen.first.as_str())).collect();
            notes.extend(MetadataNote::new(name, &found));
        };
        if !keeps_kinds {
            note(&FieldKind::ALL.map(Sort::Kind));
        }
        if self.seen(Sort::List).is_some() && self.seen(Sort::Single).is_some() {
            note(&[Sort::List, Sort::Single]);
        }
        note(&[Sort::Nested]);
    }

    fn finish(self, name: String, kind: FieldKind, documents: u32) -> FieldColumn {
        let list = self.seen(Sort::List).is_some();
        let Self { numbers, mut ends, mut codes, .. } = self;
        ends.resize(documents as usize, codes.len() as u32);
        let mut values: Vec<(String, u32)> = numbers.into_iter().collect();
        values.sort_unstable();
        let mut places = vec![0; values.len()];
        for (place, (_, number)) in (0u32..).zip(&values) {
            places[*number as usize] = place;
        }
        for code in &mut codes {
            *code = places[*code as usize];
        }
        FieldColumn { name, kind, list, values: values.into_iter().map(|(value, _)| value).collect(), ends, codes }
    }
}

impl MetadataColumns {
    /// Adds the fields of a document, whose number is higher than those before.
    pub fn push(&mut self, document: u32, id: &str, fields: &[DocumentField]) {
        for field in fields {
            match self.0.get_mut(&field.name) {
                Some(column) => column.push(document, id, field),
                None => self.0.entry(field.name.clone()).or_default().push(document, id, field),
            }
        }
    }

    /// The fields of so many documents, in the order of their names, and what is to be said of them.
    pub fn finish(self, documents: u32) -> (Vec<FieldColumn>, Vec<MetadataNote>) {
        let mut notes = Vec::new();
        let field = |(name, column): (String, Column)| {
            let (kind, keeps_kinds) = column.kind();
            column.notes(&name, keeps_kinds, &mut notes);
            column.finish(name, kind, documents)
        };
        let fields = self.0.into_iter().map(field).collect();
        (fields, notes)
    }
}

#[cfg(test)]
mod tests;
