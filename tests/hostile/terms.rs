//! SPEC 12.1: the inverted index.

use mempack_format::CodecSpec;
use mempack_hostile::{Parts, Plan};

use crate::corpus::{Corpus, Error, REFERENCES, edited, with};

/// Where the lengths begin, and how many terms there are.
const LENGTHS: usize = 24;
const TERMS: usize = 3;
const NAME_ENDS: usize = LENGTHS + 4 * REFERENCES;
const LIST_ENDS: usize = NAME_ENDS + 4 * TERMS;
const NAMES: usize = LIST_ENDS + 8 * TERMS;

pub fn add(corpus: &mut Corpus) {
    let whole = Parts::of(&Plan::lexical(CodecSpec::pq(3, 3)).bytes());
    let index = whole.get("TERMS").to_vec();
    // The names are `dosis`, `lease` and `法律`; the first list begins behind them.
    let lists = NAMES + "dosislease法律".len();
    for (name, error, at, bytes) in [
        (
            "a spread of similarities that is no number",
            Error("TERMS/Spread", "spread of similarities is NaN"),
            16,
            f64::NAN.to_le_bytes().to_vec(),
        ),
        ("a negative spread of similarities", Error("TERMS/Spread", "spread of similarities is -1"), 16, (-1f64).to_le_bytes().to_vec()),
        ("a spread of similarities above 1", Error("TERMS/Spread", "spread of similarities is 1000"), 16, 1000f64.to_le_bytes().to_vec()),
        ("2^32 - 1 terms", Error("TERMS/TooSmall", "bytes of the terms"), 4, u32::MAX.to_le_bytes().to_vec()),
        ("a term more than there are", Error("TERMS/Value", "bytes of the terms is"), 4, 4u32.to_le_bytes().to_vec()),
        ("terms beyond their section", Error("TERMS/Value", "bytes of the terms is"), NAME_ENDS + 8, u32::MAX.to_le_bytes().to_vec()),
        ("lists of 2^64 - 1 bytes", Error("TERMS/Value", "expected 18446744073709551615"), LIST_ENDS + 16, u64::MAX.to_le_bytes().to_vec()),
        ("an empty term", Error("TERMS/TooLarge", "end of a term is 0"), NAME_ENDS, vec![0]),
        ("ends of terms that run backwards", Error("TERMS/TooLarge", "end of a term is 4"), NAME_ENDS + 4, vec![4]),
        ("ends of lists that run backwards", Error("TERMS/TooLarge", "end of a list of references is 0"), LIST_ENDS + 8, vec![0, 0]),
        ("a list beyond the lists", Error("TERMS/TooLarge", "end of a list of references is 65535"), LIST_ENDS, vec![255, 255]),
        ("a term of no reference", Error("TERMS/TooSmall", "references of a term is 0"), lists, vec![0]),
        ("a term of more references than there are", Error("TERMS/TooLarge", "references of a term is 31"), lists, vec![31]),
        ("a reference of a term beyond the last", Error("TERMS/TooLarge", "reference of a term is 63"), lists + 1, vec![126]),
        (
            "fewer references of a term than its list has",
            Error("TERMS/Value", "bytes of a list of references is"),
            lists,
            vec![index[lists] - 1],
        ),
        ("a number of a list that is longer than it need be", Error("TERMS/Value", "bytes of a number is 2"), lists + 1, vec![0x80, 0]),
    ] {
        corpus.touch(name, error, &with(&whole, "TERMS", at, &bytes));
    }
    corpus.touch(
        "terms without their header",
        Error("TERMS/TooSmall", "bytes of the terms is 23"),
        &edited(&whole, "TERMS", |terms| terms.truncate(23)),
    );
    corpus.touch(
        "bytes behind the lists",
        Error("TERMS/Value", "bytes of the terms is"),
        &edited(&whole, "TERMS", |terms| terms.extend([0; 5])),
    );
    for (name, error, at, bytes) in [
        ("terms out of order", Error("TERMS/Repeated", "in order"), NAMES, b"z".to_vec()),
        ("a term that is not UTF-8", Error("TERMS/Utf8", "a term is not UTF-8"), NAMES + 10, vec![0xff]),
        ("a wrong length of a reference", Error("TERMS/Value", "terms of a reference is 999"), LENGTHS, 999u32.to_le_bytes().to_vec()),
        ("a wrong number of occurrences", Error("TERMS/Value", "terms of all references is 12345"), 8, 12_345u64.to_le_bytes().to_vec()),
    ] {
        corpus.verify(name, error, &with(&whole, "TERMS", at, &bytes));
    }
}
