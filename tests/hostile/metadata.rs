//! SPEC 6.1: the metadata of documents.

use mempack_format::CodecSpec;
use mempack_hostile::{Parts, Plan};

use crate::corpus::{Corpus, Error, edited, with};

const DOCUMENTS: usize = 4;
/// Where the entries of the fields stand.
const FIRST: usize = 8;
const SECOND: usize = FIRST + 24;
const THIRD: usize = SECOND + 24;
const NAMES: usize = THIRD + 24;
/// The column of `court.name`: ends, three codes, the ends of two values, the values `BGH` and `裁判所`.
const COURT: usize = NAMES + "court.nametagsyear".len();
const COURT_CODES: usize = COURT + 4 * DOCUMENTS;
const COURT_VALUE_ENDS: usize = COURT_CODES + 4 * 3;
const COURT_VALUES: usize = COURT_VALUE_ENDS + 8 * 2;
/// The column of `tags`: four codes, the values `a` and `b`.
const TAGS: usize = COURT_VALUES + "BGH裁判所".len();
const TAGS_VALUES: usize = TAGS + 4 * DOCUMENTS + 4 * 4 + 8 * 2;
/// The column of `year`: two codes, the values `-7` and `2021`.
const YEAR: usize = TAGS_VALUES + "ab".len();
const YEAR_VALUE_ENDS: usize = YEAR + 4 * DOCUMENTS + 4 * 2;
const YEAR_VALUES: usize = YEAR_VALUE_ENDS + 8 * 2;

pub fn add(corpus: &mut Corpus) {
    let whole = Parts::of(&Plan::described(CodecSpec::pq(3, 3)).bytes());
    assert_eq!(whole.get("METADATA").len(), YEAR_VALUES + "-72021".len());
    for (name, error, at, bytes) in [
        ("metadata of no fields", Error("METADATA/TooSmall", "fields of the metadata is 0"), 0, vec![0]),
        ("2^32 - 1 fields", Error("METADATA/TooLarge", "fields of the metadata is 4294967295, the most is 1024"), 0, vec![255; 4]),
        ("a field more than there are", Error("METADATA/Value", "bytes of the metadata is"), 0, vec![4]),
        ("a field less than there are", Error("METADATA/Value", "bytes of the metadata is"), 0, vec![2]),
        ("reserved bytes of the metadata", Error("METADATA/Value", "reserved bytes of the metadata is 1"), 4, vec![1]),
        ("a field of an unknown kind", Error("METADATA/TooLarge", "kind of a field is 5, the most is 4"), FIRST, vec![5]),
        ("an unknown list flag", Error("METADATA/TooLarge", "list flag of a field is 2"), SECOND + 1, vec![2]),
        ("reserved bytes of a field", Error("METADATA/Value", "reserved bytes of a field is 256"), THIRD + 3, vec![1]),
        ("ends of names that run backwards", Error("METADATA/TooSmall", "end of a field's name is 9"), SECOND + 4, vec![9]),
        ("a name beyond the names", Error("METADATA/TooLarge", "end of a field's name is 19, the most is 18"), SECOND + 4, vec![19]),
        ("names beyond the section", Error("METADATA/Value", "bytes of the metadata is"), THIRD + 4, vec![255; 4]),
        ("2^32 - 1 values", Error("METADATA/Value", "bytes of the metadata is"), FIRST + 8, vec![255; 4]),
        ("2^32 - 1 occurrences", Error("METADATA/Value", "bytes of the metadata is"), FIRST + 12, vec![255; 4]),
        ("values of 2^64 - 1 bytes", Error("METADATA/Value", "expected 18446744073709551615"), FIRST + 16, vec![255; 8]),
        ("a name of a field that is not UTF-8", Error("METADATA/Utf8", "the name of a field is not UTF-8"), NAMES, vec![0xff]),
        ("ends of documents that run backwards", Error("METADATA/TooSmall", "end of a document's values is 0"), COURT + 4, vec![0]),
        ("two values of a field without lists", Error("METADATA/TooLarge", "values of a document is 2, the most is 1"), COURT + 8, vec![4]),
        ("values of a list beyond the codes", Error("METADATA/TooLarge", "end of a document's values is 5"), TAGS + 12, vec![5]),
        ("more values than a list may have", Error("METADATA/TooLarge", "values of a document is 65535"), TAGS, vec![255, 255]),
        ("a code beyond the values", Error("METADATA/TooLarge", "code of a value is 2, the most is 1"), COURT_CODES, vec![2]),
        ("a value beyond the values", Error("METADATA/TooLarge", "end of a value is 255"), COURT_VALUE_ENDS + 8, vec![255]),
        ("ends of values that run backwards", Error("METADATA/TooSmall", "end of a value is 2"), COURT_VALUE_ENDS + 8, vec![2]),
        ("a value that is not UTF-8", Error("METADATA/Utf8", "a value is not UTF-8"), COURT_VALUES, vec![0xff]),
    ] {
        corpus.touch(name, error, &with(&whole, "METADATA", at, &bytes));
    }
    corpus.touch(
        "metadata without its header",
        Error("METADATA/TooSmall", "bytes of the metadata is 7"),
        &edited(&whole, "METADATA", |metadata| metadata.truncate(7)),
    );
    corpus.touch(
        "metadata without its columns",
        Error("METADATA/Value", "bytes of the metadata is"),
        &edited(&whole, "METADATA", |metadata| metadata.truncate(COURT)),
    );
    corpus.touch(
        "bytes behind the metadata",
        Error("METADATA/Value", "bytes of the metadata is"),
        &edited(&whole, "METADATA", |metadata| metadata.push(0)),
    );
    for (name, error, at, bytes) in [
        ("fields out of order", Error("METADATA/Repeated", "a name of a field, or one that is not in order, 1"), NAMES, b"z".to_vec()),
        (
            "values out of order",
            Error("METADATA/Repeated", "a value of a field, or one that is not in order, 1"),
            TAGS_VALUES,
            b"c".to_vec(),
        ),
        (
            "a value of another kind",
            Error("METADATA/Kind", "value 1 of a field is not of the field's kind, integer"),
            YEAR_VALUES + 3,
            b"x".to_vec(),
        ),
        ("a field of another kind", Error("METADATA/Kind", "value 0 of a field is not of the field's kind, date"), FIRST, vec![3]),
        ("a value of no document", Error("METADATA/Unused", "value 1 of a field belongs to no document"), COURT_CODES + 4, vec![0]),
        ("a code of no document", Error("METADATA/Value", "values of all documents is 3, expected 2"), COURT + 12, vec![2]),
        (
            "bytes behind the last value",
            Error("METADATA/Value", "bytes of the values of a field is 6, expected 5"),
            YEAR_VALUE_ENDS + 8,
            vec![5],
        ),
    ] {
        corpus.verify(name, error, &with(&whole, "METADATA", at, &bytes));
    }
}
