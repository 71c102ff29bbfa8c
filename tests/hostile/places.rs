//! SPEC 7.1: the places of origins. Their form is that of the metadata, whose own cases are in `metadata.rs`; here is that every rule of it holds for this section too, with
//! origins in place of documents.

use mempack_format::CodecSpec;
use mempack_hostile::{Parts, Plan};

use crate::corpus::{Corpus, Error, edited, with};

/// 30 references, of which every fourth has a second origin.
const ORIGINS: usize = 38;
/// The only entry, `page`, and its column: ends, three codes, the ends of three values, the values `1`, `2` and `3`.
const ENTRY: usize = 8;
const NAME: usize = ENTRY + 24;
const COLUMN: usize = NAME + "page".len();
const CODES: usize = COLUMN + 4 * ORIGINS;
const VALUE_ENDS: usize = CODES + 4 * 3;
const VALUES: usize = VALUE_ENDS + 8 * 3;

pub fn add(corpus: &mut Corpus) {
    let whole = Parts::of(&Plan::placed(CodecSpec::pq(3, 3)).bytes());
    assert_eq!(whole.get("PLACES").len(), VALUES + "123".len());
    for (name, error, at, bytes) in [
        ("places of no fields", Error("PLACES/TooSmall", "fields of the metadata is 0"), 0, vec![0]),
        ("2^32 - 1 fields of places", Error("PLACES/TooLarge", "fields of the metadata is 4294967295, the most is 1024"), 0, vec![255; 4]),
        ("a field of places of an unknown kind", Error("PLACES/TooLarge", "kind of a field is 5, the most is 4"), ENTRY, vec![5]),
        ("2^32 - 1 values of places", Error("PLACES/Value", "bytes of the metadata is"), ENTRY + 8, vec![255; 4]),
        ("a name of places that is not UTF-8", Error("PLACES/Utf8", "the name of a field is not UTF-8"), NAME, vec![0xff]),
        ("ends of origins that run backwards", Error("PLACES/TooSmall", "end of a document's values is 0"), COLUMN + 4, vec![0]),
        ("a place beyond the codes", Error("PLACES/TooLarge", "end of a document's values is 4"), COLUMN + 4 * (ORIGINS - 1), vec![4]),
        ("a code beyond the values of places", Error("PLACES/TooLarge", "code of a value is 3, the most is 2"), CODES, vec![3]),
        ("a value of places that is not UTF-8", Error("PLACES/Utf8", "a value is not UTF-8"), VALUES, vec![0xff]),
    ] {
        corpus.touch(name, error, &with(&whole, "PLACES", at, &bytes));
    }
    corpus.touch(
        "places without their header",
        Error("PLACES/TooSmall", "bytes of the metadata is 7"),
        &edited(&whole, "PLACES", |places| places.truncate(7)),
    );
    // Those of other origins are of no use: a column has an end for each origin.
    corpus.touch(
        "places of fewer origins",
        Error("PLACES/Value", "bytes of the metadata is"),
        &edited(&whole, "PLACES", |places| drop(places.drain(COLUMN..COLUMN + 4))),
    );
    for (name, error, at, bytes) in [
        (
            "values of places out of order",
            Error("PLACES/Repeated", "a value of a field, or one that is not in order, 1"),
            VALUES,
            b"2".to_vec(),
        ),
        (
            "a page that is no number",
            Error("PLACES/Kind", "value 2 of a field is not of the field's kind, integer"),
            VALUES + 2,
            b"x".to_vec(),
        ),
        ("a value of no origin", Error("PLACES/Unused", "value 2 of a field belongs to no document"), CODES + 8, vec![1]),
    ] {
        corpus.verify(name, error, &with(&whole, "PLACES", at, &bytes));
    }
}
