//! Where the origins of a pack stand in their documents (SPEC 7.1).

use std::collections::HashMap;

use mempack_corpus::{DocumentField, FieldValue};
use mempack_format::{FieldColumn, OriginPlace};

use crate::metadata::MetadataColumns;

/// The different places of a corpus, by number. Number 0 is none.
///
/// Memory: every different place once.
#[derive(Debug, Default)]
pub(crate) struct PlaceTable {
    numbers: HashMap<OriginPlace, u32>,
    fields: Vec<Vec<DocumentField>>,
}

impl PlaceTable {
    /// The number of a place.
    pub fn number(&mut self, place: OriginPlace) -> u32 {
        if place.is_empty() {
            return 0;
        }
        // More places than a u32 counts are as many origins, and such packs have none.
        let next = self.fields.len() as u32 + 1;
        let fields = || {
            let value = |kind, text| FieldValue { kind, nested: false, text };
            let field = |(name, kind, values): (&str, _, Vec<String>)| DocumentField {
                name: name.to_owned(),
                list: true,
                values: values.into_iter().map(|text| value(kind, text)).collect(),
            };
            place.fields().into_iter().map(field).collect::<Vec<_>>()
        };
        let fields = fields();
        let number = *self.numbers.entry(place).or_insert(next);
        if number == next {
            self.fields.push(fields);
        }
        number
    }

    /// The places with their numbers, in no order.
    pub fn by_number(&self) -> impl Iterator<Item = (u32, &OriginPlace)> {
        self.numbers.iter().map(|(place, number)| (*number, place))
    }

    /// The section of a pack whose origins have the places of these numbers.
    pub fn columns(&self, numbers: &[u32]) -> Vec<FieldColumn> {
        if self.fields.is_empty() {
            return Vec::new();
        }
        let mut columns = MetadataColumns::default();
        for (origin, number) in (0u32..).zip(numbers) {
            let fields = number.checked_sub(1).and_then(|number| self.fields.get(number as usize));
            columns.push(origin, "", fields.map(Vec::as_slice).unwrap_or_default());
        }
        columns.finish(numbers.len() as u32).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_become_columns() {
        let mut table = PlaceTable::default();
        let page = |first, last| OriginPlace { pages: Some((first, last)), ..OriginPlace::default() };
        let section = OriginPlace { sections: Some(("§ 1".into(), "§ 1".into())), ..page(9, 9) };
        let numbers = [page(2, 10), OriginPlace::default(), section, page(2, 10)].map(|place| table.number(place));
        assert_eq!(numbers, [1, 0, 2, 1]);
        let columns = table.columns(&numbers);
        let shown: Vec<String> = columns
            .iter()
            .map(|column| format!("{} {} {:?} {:?} {:?}", column.name, column.kind, column.values, column.ends, column.codes))
            .collect();
        assert_eq!(shown, [r#"page integer ["10", "2", "9"] [2, 2, 3, 5] [1, 0, 2, 1, 0]"#, r#"section text ["§ 1"] [0, 0, 1, 1] [0]"#,]);
        assert!(table.columns(&[0, 0]).is_empty());
    }
}
