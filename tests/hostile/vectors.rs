//! Memories, embeddings and their leaf digests (SPEC 10, 11, 13).

use mempack_format::CodecSpec;

use crate::corpus::{Corpus, Error, REFERENCES, SLOTS, STRIDE, small, with};

/// Where the memory of a reference with all slots filled begins.
const AT: usize = 10 * STRIDE;

pub fn add(corpus: &mut Corpus) {
    positions(corpus);
    codes(corpus);
    lossless_codes(corpus);
    embeddings(corpus);
    leaves(corpus);
}

fn positions(corpus: &mut Corpus) {
    let found: Vec<u8> = corpus.whole.get("MEMORIES")[AT..AT + 4].to_vec();
    assert_eq!(found, [10, 17, 24, 31]);
    let ascend = |slot| Error("MEMORIES/Codec", slot);
    let parts = corpus.with("MEMORIES", AT + 1, &[10]);
    corpus.touch_as(
        "a position twice",
        ascend("slot 1 has position 10"),
        Error("MEMORIES/TooSmall", "position is 10, the least is 11"),
        &parts,
    );
    let parts = corpus.with("MEMORIES", AT + 2, &[16]);
    corpus.touch_as(
        "positions that descend",
        ascend("slot 2 has position 16"),
        Error("MEMORIES/TooSmall", "position is 16, the least is 18"),
        &parts,
    );
    let parts = corpus.with("MEMORIES", AT + 3, &[128]);
    corpus.verify("a position behind the longest reference", Error("MEMORIES/TooLarge", "position is 128"), &parts);
    let parts = corpus.with("MEMORIES", AT + 7, &[254]);
    corpus.verify("position 254", Error("MEMORIES/TooLarge", "position is 254"), &parts);
    let mut parts = corpus.with("MEMORIES", AT + 1, &[255]);
    for code in [SLOTS + 2, SLOTS + 2 * SLOTS + 2] {
        parts = with(&parts, "MEMORIES", AT + code, &[0, 0]);
    }
    let verified = Error("MEMORIES/TooSmall", "position is 24, the least is 255");
    corpus.touch_as("an empty slot before a token", ascend("slot 2 has position 24"), verified, &parts);
}

fn codes(corpus: &mut Corpus) {
    // Reference 0 has one token, so that the second slot of every head is empty.
    assert_eq!(corpus.whole.get("MEMORIES")[..2], [0, 255]);
    let parts = corpus.with("MEMORIES", SLOTS + 2, &[0, 1]);
    corpus.touch("a key in an empty slot", Error("MEMORIES/Codec", "slot 1 is empty"), &parts);
    let parts = corpus.with("MEMORIES", SLOTS + 2 * SLOTS + 2 * 5, &[1]);
    corpus.touch("a value in an empty slot", Error("MEMORIES/Codec", "slot 5 is empty"), &parts);
    let code = AT + SLOTS + 2 * 6 + 1;
    let parts = corpus.with("MEMORIES", code, &[0x80]);
    corpus.touch("a bit behind the code of a key", Error("MEMORIES/Codec", "set bit in its padding"), &parts);
    let code = AT + SLOTS + 2 * SLOTS + 2 * 9 + 1;
    let parts = corpus.with("MEMORIES", code, &[0x02]);
    corpus.touch("a bit behind the code of a value", Error("MEMORIES/Codec", "set bit in its padding"), &parts);
}

fn lossless_codes(corpus: &mut Corpus) {
    for (name, codec, slot, value) in [
        ("F32, NaN in a key", CodecSpec::F32, 0, 0x7FC0_0000u32),
        ("F32, infinity in a value", CodecSpec::F32, 20, 0x7F80_0000),
        ("F32, minus infinity in a key", CodecSpec::F32, 3, 0xFF80_0000),
        ("BF16, NaN in a key", CodecSpec::BF16, 1, 0x7FC0_0000),
        ("BF16, infinity in a value", CodecSpec::BF16, 21, 0x7F80_0000),
    ] {
        let parts = small(codec);
        let stride = parts.get("MEMORIES").len() / REFERENCES;
        let width = if codec == CodecSpec::F32 { 4 } else { 2 };
        let at = 10 * stride + SLOTS + slot * 6 * width + 2 * width;
        let parts = with(&parts, "MEMORIES", at, &value.to_le_bytes()[4 - width..]);
        corpus.touch(name, Error("MEMORIES/Codec", "not finite, in dimension 2"), &parts);
    }
}

fn embeddings(corpus: &mut Corpus) {
    let row = |reference: usize| 24 * reference;
    for (name, reference, value, text) in [
        ("an embedding with NaN", 6, f32::NAN, "embedding 6 holds NaN"),
        ("an embedding with infinity", 7, f32::INFINITY, "embedding 7 holds inf"),
        ("an embedding with minus infinity", 8, f32::NEG_INFINITY, "embedding 8 holds -inf"),
    ] {
        let parts = corpus.with("EMBED", row(reference) + 8, &value.to_le_bytes());
        corpus.touch(name, Error("EMBED/NotFinite", text), &parts);
    }
    let parts = corpus.with("EMBED", row(9), &[0; 24]);
    corpus.verify("an embedding of zeros", Error("EMBED/NotUnit", "embedding 9 has length 0"), &parts);
    let parts = corpus.with("EMBED", row(10), &2.0f32.to_le_bytes());
    corpus.verify("an embedding that is too long", Error("EMBED/NotUnit", "embedding 10 has length 2"), &parts);
    let parts = corpus.with("EMBED", row(11) + 4, &f32::MAX.to_le_bytes());
    corpus.verify("an embedding of the largest number", Error("EMBED/NotUnit", "embedding 11 has length"), &parts);
}

/// A leaf is another, and the digest of the section right.
fn leaves(corpus: &mut Corpus) {
    let leaf = |corpus: &Corpus, number: usize| corpus.with("LEAVES", 32 * number, &[0xA5; 32]);
    let parts = leaf(corpus, 4);
    corpus.touch("another leaf of a memory", Error("MEMORIES/Leaf", "its leaf says a5a5"), &parts);
    let parts = leaf(corpus, REFERENCES + 5);
    corpus.touch("another leaf of an embedding", Error("EMBED/Leaf", "its leaf says a5a5"), &parts);
    let parts = leaf(corpus, 2 * REFERENCES + 1);
    corpus.touch("another leaf of a text block", Error("TEXT/Leaf", "its leaf says a5a5"), &parts);
}
