//! SPEC 11.1: coarse embeddings.

use mempack_format::CodecSpec;
use mempack_hostile::{Parts, Plan};

use crate::corpus::{Corpus, Error, REFERENCES, edited, with};

/// Bytes of a row; its last 58 are padding.
const ROW: usize = 64;

pub fn add(corpus: &mut Corpus) {
    let whole = Parts::of(&Plan::coarse(CodecSpec::pq(3, 3)).bytes());
    let rows = whole.get("EMBED8").to_vec();
    let code = rows[7 * ROW + 2];
    for (name, error, at, byte) in [
        ("a code one too large", Error("EMBED8/Coarse", "coarse embedding 7 holds"), 7 * ROW + 2, code.wrapping_add(1)),
        ("a code of -128", Error("EMBED8/Coarse", "holds -128 at 0"), 3 * ROW, 0x80),
        ("a number behind the dimensions", Error("EMBED8/Coarse", "holds 1 at 6, expected 0"), 6, 1),
        (
            "a number at the end of the last coarse embedding",
            Error("EMBED8/Coarse", "coarse embedding 29 holds -1 at 63"),
            REFERENCES * ROW - 1,
            0xff,
        ),
    ] {
        corpus.verify(name, error, &with(&whole, "EMBED8", at, &[byte]));
    }
    // The embeddings are whole, with other coarse ones: all of those of one number, and those of the embeddings in reverse.
    corpus.verify("coarse embeddings of zeros", Error("EMBED8/Coarse", "holds 0 at 0"), &edited(&whole, "EMBED8", |rows| rows.fill(0)));
    corpus.verify(
        "coarse embeddings of other references",
        Error("EMBED8/Coarse", "coarse embedding 0 holds"),
        &edited(&whole, "EMBED8", |rows| rows.rotate_left(ROW)),
    );
    for (name, length) in [
        ("a coarse embedding too few", 29 * ROW),
        ("a coarse embedding cut short", REFERENCES * ROW - 1),
        ("a byte behind the coarse embeddings", REFERENCES * ROW + 1),
    ] {
        let parts = edited(&whole, "EMBED8", |rows| rows.resize(length, 0));
        corpus.open(name, Error("SectionLength", "section EMBED8"), parts.assemble());
    }
    let mut required = whole.clone();
    if let Some(part) = required.0.iter_mut().find(|part| part.tag.starts_with(b"EMBED8")) {
        part.flags = 1;
    }
    corpus.open("required coarse embeddings", Error("Header", "section flags is 1, expected 0"), required.assemble());
}
