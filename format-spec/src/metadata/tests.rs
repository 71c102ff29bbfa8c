use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::{Digest, Tag};

const DOCUMENTS: u32 = 6;

/// Kind, whether it is a list, and the values of each document that has any.
type Column = (FieldKind, bool, BTreeMap<u32, Vec<String>>);
type Fields = BTreeMap<String, Column>;

fn section(bytes: &[u8]) -> Section {
    Section { tag: Tag::METADATA, required: false, offset: 4096, length: bytes.len() as u64, digest: Digest::of(bytes) }
}

fn read(bytes: &[u8]) -> Result<Metadata<'_>, Damage> {
    Metadata::read(section(bytes), bytes, DOCUMENTS)
}

/// SPEC 6.1, written by hand.
fn encode(fields: &Fields) -> Vec<u8> {
    let (mut entries, mut names, mut columns) = (Vec::new(), Vec::new(), Vec::new());
    for (name, (kind, list, documents)) in fields {
        names.extend(name.as_bytes());
        let values: BTreeSet<&String> = documents.values().flatten().collect();
        let (mut ends, mut codes) = (Vec::new(), Vec::new());
        for document in 0..DOCUMENTS {
            for value in documents.get(&document).into_iter().flatten() {
                codes.push(values.iter().position(|other| *other == value).unwrap() as u32);
            }
            ends.push(codes.len() as u32);
        }
        let mut texts: Vec<u8> = Vec::new();
        let value_ends: Vec<u64> = values
            .iter()
            .map(|value| {
                texts.extend(value.as_bytes());
                texts.len() as u64
            })
            .collect();
        let number = FieldKind::ALL.iter().position(|other| other == kind).unwrap() as u8;
        entries.extend([number, u8::from(*list), 0, 0]);
        entries.extend([names.len(), values.len(), codes.len()].map(|count| (count as u32).to_le_bytes()).concat());
        entries.extend((texts.len() as u64).to_le_bytes());
        columns.extend(ends.iter().chain(&codes).flat_map(|number| number.to_le_bytes()));
        columns.extend(value_ends.iter().flat_map(|number| number.to_le_bytes()));
        columns.extend(texts);
    }
    [&(fields.len() as u32).to_le_bytes()[..], &[0; 4], &entries, &names, &columns].concat()
}

fn small() -> Fields {
    let of = |values: &[(u32, &[&str])]| {
        values.iter().map(|(document, values)| (*document, values.iter().map(ToString::to_string).collect())).collect()
    };
    BTreeMap::from([
        ("court.name".into(), (FieldKind::Text, false, of(&[(0, &["BGH"]), (1, &[""]), (5, &["BGH"])]))),
        ("tags".into(), (FieldKind::Text, true, of(&[(1, &["b", "a", "b"]), (2, &["判例"])]))),
        ("year".into(), (FieldKind::Integer, false, of(&[(0, &["2021"]), (4, &["-7"])]))),
    ])
}

#[test]
fn what_is_written_is_found() {
    let bytes = encode(&small());
    let metadata = read(&bytes).unwrap();
    assert_eq!(metadata.len(), 3);
    let names: Vec<_> = metadata.fields().map(|field| field.unwrap()).map(|field| (field.name(), field.kind(), field.is_list())).collect();
    let expected = [("court.name", FieldKind::Text, false), ("tags", FieldKind::Text, true), ("year", FieldKind::Integer, false)];
    assert_eq!(names, expected);
    for (name, (_, _, documents)) in small() {
        let field = metadata.field(&name).unwrap().unwrap();
        for document in 0..DOCUMENTS {
            let found: Vec<&str> = field.codes(document).unwrap().iter().map(|code| field.value(code.get()).unwrap()).collect();
            assert_eq!(found, documents.get(&document).cloned().unwrap_or_default(), "{name} of {document}");
        }
        assert!(field.codes(DOCUMENTS).unwrap().is_empty() && field.codes(u32::MAX).unwrap().is_empty());
        assert!(field.value(field.values()).is_err() && field.value(u32::MAX).is_err());
    }
    for name in ["", "court", "tag", "tagss", "zzz"] {
        assert!(metadata.field(name).unwrap().is_none(), "{name}");
    }
}

#[test]
fn a_section_has_the_bytes_of_the_specification() {
    let fields = BTreeMap::from([("a".to_owned(), (FieldKind::Boolean, false, BTreeMap::from([(1, vec!["true".to_owned()])])))]);
    let entry = [[0, 0, 0, 0, 1, 0, 0, 0], [1, 0, 0, 0, 1, 0, 0, 0], [4, 0, 0, 0, 0, 0, 0, 0]].concat();
    let ends = [[0u32, 1, 1, 1, 1, 1].map(u32::to_le_bytes).concat(), vec![0; 4], vec![4, 0, 0, 0, 0, 0, 0, 0]].concat();
    assert_eq!(encode(&fields), [&[1, 0, 0, 0, 0, 0, 0, 0][..], &entry, b"a", &ends, b"true"].concat());
}

#[test]
fn damage_is_named() {
    let whole = encode(&small());
    let (second, names) = (8 + 24, 8 + 3 * 24);
    let first_column = names + "court.nametagsyear".len();
    for (what, at, byte, expected) in [
        ("no fields", 0, 0, "fields of the metadata is 0"),
        ("more fields than allowed", 2, 1, "fields of the metadata is 65539"),
        ("more fields than there are", 0, 9, "bytes of the metadata"),
        ("reserved bytes", 4, 1, "reserved bytes of the metadata is 1"),
        ("an unknown kind", 8, 5, "kind of a field is 5, the most is 4"),
        ("an unknown list flag", 9, 2, "list flag of a field is 2"),
        ("reserved bytes of an entry", 10, 1, "reserved bytes of a field is 1"),
        ("a name that ends before it starts", second + 4, 1, "end of a field's name is 1, the least is 10"),
        ("a name beyond the names", second + 4, 200, "end of a field's name is 200"),
        ("names beyond the section", second + 24 + 4, 200, "bytes of the metadata"),
        ("more values than there are", second + 8, 9, "bytes of the metadata"),
        ("a name that is not UTF-8", names, 0xff, "the name of a field is not UTF-8"),
        ("values before those of the document before", first_column + 4, 0, "end of a document's values is 0, the least is 1"),
        ("two values of a field without lists", first_column + 4, 3, "values of a document is 2, the most is 1"),
        ("values beyond the codes", first_column + 20, 4, "values of a document is 2"),
        ("a code beyond the values", first_column + 24, 9, "code of a value is 9, the most is 1"),
        ("a value beyond the texts", first_column + 36 + 8, 4, "end of a value is 4, the most is 3"),
        ("a value that is not UTF-8", first_column + 36 + 16, 0xff, "a value is not UTF-8"),
    ] {
        let mut bytes = whole.clone();
        bytes[at] = byte;
        let error = survey(&bytes).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("METADATA"), "{what}: {error}");
    }
    let field = read(&whole).unwrap().field("court.name").unwrap().unwrap();
    assert_eq!(
        (field.end_at(0), field.codes_at(), field.value_at(0)),
        (first_column as u64, first_column as u64 + 24, first_column as u64 + 36)
    );
}

#[test]
fn a_damaged_field_hides_no_other() {
    let mut bytes = encode(&small());
    bytes[8] = 9;
    let metadata = read(&bytes).unwrap();
    let found: Vec<_> = metadata.fields().map(|field| field.map(|field| field.name()).ok()).collect();
    assert_eq!(found, [None, Some("tags"), Some("year")]);
    assert!(metadata.field("year").is_err());
}

#[test]
fn kinds_accept_their_values() {
    use FieldKind::{Boolean, Date, Integer, Number, Text};
    for (text, kinds) in [
        ("true", &[Boolean][..]),
        ("True", &[]),
        ("0", &[Integer, Number]),
        ("-1", &[Integer, Number]),
        ("2021", &[Integer, Number]),
        ("9223372036854775807", &[Integer, Number]),
        ("9223372036854775808", &[Number]),
        ("007", &[]),
        ("+1", &[]),
        ("-0", &[Number]),
        ("1.0", &[Number]),
        ("-1.5e-7", &[Number]),
        ("1E+22", &[Number]),
        ("1e999", &[]),
        ("1.", &[]),
        (".5", &[]),
        ("1e", &[]),
        ("-", &[]),
        ("inf", &[]),
        ("NaN", &[]),
        ("1_000", &[]),
        ("٣", &[]),
        ("2024-05-01", &[Date]),
        ("2024-05-01T10:00:00Z", &[Date]),
        ("2024-02-30", &[]),
        ("", &[]),
        ("判例", &[]),
    ] {
        for kind in FieldKind::ALL {
            assert_eq!(kind.accepts(text), kind == Text || kinds.contains(&kind), "{text} as {kind}");
        }
    }
}

/// Reads everything.
fn survey(bytes: &[u8]) -> Result<usize, Damage> {
    let mut found = 0;
    for field in read(bytes)?.fields() {
        let field = field?;
        for document in 0..DOCUMENTS {
            for code in field.codes(document)? {
                field.value(code.get())?;
                found += 1;
            }
        }
    }
    Ok(found)
}

fn any_field() -> impl Strategy<Value = Column> {
    let value = "\\PC{0,6}";
    let one = prop::collection::btree_map(0..DOCUMENTS, prop::collection::vec(value, 1..=1), 1..6);
    let list = prop::collection::btree_map(0..DOCUMENTS, prop::collection::vec(value, 1..5), 1..6);
    prop_oneof![
        one.prop_map(|documents| (FieldKind::Text, false, documents)),
        list.prop_map(|documents| (FieldKind::Text, true, documents))
    ]
}

proptest! {
    #[test]
    fn any_metadata_survives_the_round_trip(fields in prop::collection::btree_map("\\PC{0,8}", any_field(), 1..6), absent in "\\PC{0,8}") {
        let bytes = encode(&fields);
        let metadata = read(&bytes).unwrap();
        prop_assert_eq!(metadata.fields().map(|field| field.unwrap().name()).collect::<Vec<_>>(), fields.keys().collect::<Vec<_>>());
        for (name, (kind, list, documents)) in &fields {
            let field = metadata.field(name).unwrap().unwrap();
            prop_assert_eq!((field.kind(), field.is_list()), (*kind, *list));
            for document in 0..DOCUMENTS {
                let found: Vec<&str> = field.codes(document).unwrap().iter().map(|code| field.value(code.get()).unwrap()).collect();
                prop_assert_eq!(found, documents.get(&document).map_or(&[][..], Vec::as_slice));
            }
        }
        prop_assert_eq!(metadata.field(&absent).unwrap().is_some(), fields.contains_key(&absent));
        for end in 0..bytes.len() {
            prop_assert!(survey(&bytes[..end]).is_err(), "{}", end);
        }
    }

    #[test]
    fn no_bytes_are_read_past(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = encode(&small());
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = survey(&bytes);
    }

    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(0u8..4, 0..200)) {
        let _ = survey(&bytes);
    }

    #[test]
    fn numbers_are_those_of_rust(text in "-?[0-9.eE+-]{0,6}|-?[0-9]{1,20}") {
        // Rust reads every number of JSON, and more.
        prop_assert!(!FieldKind::Number.accepts(&text) || text.parse::<f64>().is_ok_and(f64::is_finite));
        prop_assert!(!FieldKind::Integer.accepts(&text) || FieldKind::Number.accepts(&text));
    }
}
