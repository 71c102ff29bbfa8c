use mempack_corpus::FieldValue;
use proptest::prelude::*;

use super::*;

/// A value as a line of JSON has it.
fn value(kind: FieldKind, text: &str) -> FieldValue {
    FieldValue { kind, nested: false, text: text.to_owned() }
}

fn single(name: &str, of: FieldValue) -> DocumentField {
    DocumentField { name: name.into(), list: false, values: vec![of] }
}

/// Columns of documents `d0`, `d1`, ..., each with the field `f`.
fn columns(fields: &[Option<DocumentField>]) -> (Vec<FieldColumn>, Vec<String>) {
    let mut columns = MetadataColumns::default();
    for (document, field) in (0..).zip(fields) {
        columns.push(document, &format!("d{document}"), field.as_slice());
    }
    let (fields, notes) = columns.finish(fields.len() as u32);
    (fields, notes.iter().map(ToString::to_string).collect())
}

#[test]
fn a_field_has_one_kind() {
    use FieldKind::{Boolean, Date, Integer, Number, Text};
    let as_text = "the values of the field \"f\" are kept as text: ";
    for (kinds, expected, note) in [
        (&[Boolean, Boolean][..], Boolean, None),
        (&[Integer, Integer], Integer, None),
        (&[Integer, Number], Number, None),
        (&[Number], Number, None),
        (&[Date, Date], Date, None),
        (&[Text, Text, Date], Text, None),
        (&[Text, Date], Text, Some("date in 1 document, text in 1 document (first in \"d0\")")),
        (&[Date, Text, Date], Text, Some("date in 2 documents, text in 1 document (first in \"d1\")")),
        (&[Text, Integer, Integer], Text, Some("integer in 2 documents, text in 1 document (first in \"d0\")")),
        (&[Integer, Integer, Date], Text, Some("integer in 2 documents, date in 1 document (first in \"d2\")")),
        (&[Boolean, Integer], Text, Some("boolean in 1 document, integer in 1 document (first in \"d1\")")),
        (
            &[Number, Text, Boolean, Number, Boolean, Boolean],
            Text,
            Some("boolean in 3 documents, number in 2 documents, text in 1 document (first in \"d1\")"),
        ),
    ] {
        let fields: Vec<_> = kinds.iter().map(|kind| Some(single("f", value(*kind, "x")))).collect();
        let (columns, notes) = columns(&fields);
        assert_eq!(columns[0].kind, expected, "{kinds:?}");
        assert_eq!(notes, note.map(|note| format!("{as_text}{note}")).into_iter().collect::<Vec<_>>(), "{kinds:?}");
    }
}

#[test]
fn lists_and_what_they_hold_are_noted() {
    let text = |text: &str| value(FieldKind::Text, text);
    let list = DocumentField { name: "f".into(), list: true, values: vec![text("b"), text("a"), text("b")] };
    let (fields, notes) = columns(&[None, Some(list.clone()), Some(single("f", text("c"))), None, Some(list)]);
    let expected = FieldColumn {
        name: "f".into(),
        kind: FieldKind::Text,
        list: true,
        values: ["a", "b", "c"].map(String::from).to_vec(),
        ends: vec![0, 3, 4, 4, 7],
        codes: vec![1, 0, 1, 2, 1, 0, 1],
    };
    assert_eq!(fields, [expected]);
    assert_eq!(
        notes,
        ["the values of the field \"f\" are kept as lists: list in 2 documents, single value in 1 document (first in \"d2\")"]
    );

    let nested = FieldValue { kind: FieldKind::Text, nested: true, text: "[[1]]".into() };
    let (fields, notes) = columns(&[Some(single("f", text("c"))), Some(single("f", nested))]);
    assert_eq!((fields[0].kind, fields[0].list), (FieldKind::Text, false));
    assert_eq!(
        notes,
        ["the values of the field \"f\" are kept as text in JSON: list that holds lists or objects in 1 document (first in \"d1\")"]
    );
}

#[test]
fn equal_texts_of_several_kinds_are_one_value() {
    let (fields, notes) = columns(&[Some(single("f", value(FieldKind::Integer, "7"))), Some(single("f", value(FieldKind::Text, "7")))]);
    assert_eq!((fields[0].values.as_slice(), fields[0].codes.as_slice()), (&["7".to_owned()][..], &[0, 0][..]));
    assert_eq!(notes.len(), 1);
}

#[test]
fn no_fields_are_no_columns() {
    assert_eq!(columns(&[None, None]), (Vec::new(), Vec::new()));
}

proptest! {
    #[test]
    fn columns_give_back_what_came(documents in prop::collection::vec(prop::collection::btree_map("[ab]", prop::collection::vec("\\PC{0,2}", 1..4), 0..3), 0..8)) {
        let mut columns = MetadataColumns::default();
        for (number, fields) in (0..).zip(&documents) {
            let field = |(name, values): (&String, &Vec<String>)| {
                DocumentField { name: name.clone(), list: true, values: values.iter().map(|text| value(FieldKind::Text, text)).collect() }
            };
            columns.push(number, "id", &fields.iter().map(field).collect::<Vec<_>>());
        }
        let (fields, _) = columns.finish(documents.len() as u32);
        let mut found = vec![BTreeMap::new(); documents.len()];
        for field in &fields {
            prop_assert!(field.values.is_sorted());
            let mut start = 0;
            for (document, end) in found.iter_mut().zip(&field.ends) {
                let codes = &field.codes[start..*end as usize];
                if !codes.is_empty() {
                    document.insert(field.name.clone(), codes.iter().map(|code| field.values[*code as usize].clone()).collect::<Vec<_>>());
                }
                start = *end as usize;
            }
        }
        prop_assert_eq!(found, documents);
    }
}
