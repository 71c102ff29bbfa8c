//! Codec parameters (SPEC 9).

use mempack_format::CodecSpec;

use crate::corpus::{Corpus, Error, edited, small, with};

/// Where the tables begin: behind the count and a map of 8 heads.
const TABLES: usize = 4 + 2 * 8;
/// Bytes of a group's tables of PQ3x3 at 6 dimensions.
const GROUP: usize = 4 * 8 * 6;

const CODEC: &str = "CODEC/Codec";

pub fn add(corpus: &mut Corpus) {
    let groups = |corpus: &Corpus, count: u32| corpus.with("CODEC", 0, &count.to_le_bytes());
    let parts = groups(corpus, 0);
    corpus.touch("no code books", Error(CODEC, "0 groups, expected 1 to 8"), &parts);
    let parts = groups(corpus, u32::MAX);
    corpus.touch("2^32 - 1 code books", Error(CODEC, "4294967295 groups, expected 1 to 8"), &parts);
    let parts = groups(corpus, 9);
    corpus.touch("more code books than heads", Error(CODEC, "9 groups, expected 1 to 8"), &parts);
    let parts = groups(corpus, 8);
    corpus.touch("code books larger than their section", Error(CODEC, "expected 1556 for 8 groups"), &parts);
    let parts = edited(&corpus.whole, "CODEC", |bytes| bytes.truncate(TABLES));
    corpus.touch("code books of no bytes", Error(CODEC, "codec parameters of 20 bytes"), &parts);
    let parts = edited(&corpus.whole, "CODEC", Vec::clear);
    corpus.touch("an empty codec section", Error(CODEC, "codec parameters of 0 bytes"), &parts);
    let parts = edited(&corpus.whole, "CODEC", |bytes| bytes.push(0));
    corpus.touch("a byte behind the code books", Error(CODEC, "codec parameters of 789 bytes"), &parts);
    let parts = corpus.with("CODEC", 4 + 2 * 7, &4u16.to_le_bytes());
    corpus.touch("a group that is not there", Error(CODEC, "entry 7 is group 4"), &parts);
    let parts = corpus.with("CODEC", 4, &u16::MAX.to_le_bytes());
    corpus.touch("group 65535", Error(CODEC, "entry 0 is group 65535"), &parts);
    let parts = corpus.with("CODEC", 4 + 2 * 2, &2u16.to_le_bytes());
    corpus.touch("groups out of order", Error(CODEC, "entry 2 is group 2, expected at most 1"), &parts);
    let parts = corpus.with("CODEC", 4 + 2 * 6, &[0; 4]);
    corpus.touch("a group that no head has", Error(CODEC, "names 3 groups of 4"), &parts);
    for (name, value, text) in [
        ("a table entry that is no number", f32::NAN, "entry 5 is NaN"),
        ("an infinite table entry", f32::INFINITY, "entry 5 is inf"),
        ("a table entry of minus infinity", f32::NEG_INFINITY, "entry 5 is -inf"),
        ("a table entry above 2^100", 1.3e30, "entry 5 is 13"),
        ("a table entry below -2^100", -1.3e30, "entry 5 is -13"),
    ] {
        let parts = corpus.with("CODEC", TABLES + 2 * GROUP + 4 * 5, &value.to_le_bytes());
        corpus.touch(name, Error(CODEC, text), &parts);
    }
    let parts = with(&small(CodecSpec::SQ8), "CODEC", TABLES + 4 * 6, &(-1.0f32).to_le_bytes());
    corpus.touch("a scalar step below zero", Error(CODEC, "the step of dimension 0 is -1"), &parts);
    allotments(corpus);
    let parts = with(&small(CodecSpec::F32), "CODEC", 0, &[1]);
    corpus.touch("code books of a lossless codec", Error(CODEC, "1 groups, expected 0 to 0"), &parts);
}

/// Allotments stand behind the map: 4, 4, 4, 4, 0 bits to the runs of six dimensions.
fn allotments(corpus: &mut Corpus) {
    let whole = small(CodecSpec::tcq(2, 4));
    for (name, at, new, text) in [
        ("an allotment that begins with no run", 0, [255], "allotment of group 0"),
        ("more new bits than a window has", 1, [5], "allotment of group 0"),
        ("an allotment of 254 bits", 6, [254], "allotment of group 1"),
        ("fewer bits than the code has", 3, [3], "15 bits"),
        ("more bits than the code has", 4, [1], "17 bits"),
        ("an allotment of no bits at all", 2, [0], "12 bits"),
    ] {
        let parts = with(&whole, "CODEC", TABLES + at, &new);
        corpus.touch(name, Error(CODEC, text), &parts);
    }
    let parts = edited(&whole, "CODEC", |bytes| drop(bytes.drain(TABLES..TABLES + 6)));
    corpus.touch("an allotment too few", Error(CODEC, "for 4 groups"), &parts);
    let entries = TABLES + 4 * 6;
    let parts = with(&whole, "CODEC", entries + 4 * 10, &1.2e15f32.to_le_bytes());
    corpus.touch("an entry of a map above 2^50", Error(CODEC, "entry 10 is 12"), &parts);
}
