//! Header and section table (SPEC 3), and the file as a whole.

use mempack_format::Digest;
use mempack_hostile::{Part, padded, put, seal_root, u64_at};

use crate::corpus::{Corpus, Error};

pub fn add(corpus: &mut Corpus) {
    whole_file(corpus);
    fields(corpus);
    table(corpus);
    sections(corpus);
    digests(corpus);
}

fn whole_file(corpus: &mut Corpus) {
    let file = corpus.whole.assemble();
    let cut = |length: usize| file[..length].to_vec();
    corpus.open("empty file", Error("NotAPack", "not a memory pack: it begins with bytes []"), Vec::new());
    corpus.open("three letters of the magic", Error("NotAPack", "[89, 4d, 50]"), cut(3));
    let text = String::from_utf8_lossy(&file).replace("\r\n", "\n").into_bytes();
    corpus.open("taken for text", Error("NotAPack", "ef, bf, bd"), text);
    corpus.open("cut within the magic", Error("Truncated", "5 bytes of 4096"), cut(5));
    corpus.open("cut within the header", Error("Truncated", "100 bytes of 4096"), cut(100));
    corpus.open("cut within the section table", Error("Truncated", "4095 bytes of 4096"), cut(4095));
    corpus.open("cut behind the header page", Error("Truncated", "cut short: 4096 bytes of"), cut(4096));
    corpus.open("cut within a section", Error("Truncated", "cut short: 12345 bytes of"), cut(12_345));
    corpus.open("last byte missing", Error("Truncated", "cut short"), cut(file.len() - 1));
    corpus.open("a byte behind the end", Error("TooLong", "no signatures begin there"), [&file[..], &[0]].concat());
    let mut longer = [&file[..], &[0; 100]].concat();
    let length = longer.len() as u64;
    put(&mut longer, 32, &length.to_le_bytes());
    seal_root(&mut longer);
    corpus.open("a file length that counts more than the sections", Error("Header", "byte 32: file length"), longer);
}

fn fields(corpus: &mut Corpus) {
    let length = corpus.whole.assemble().len() as u64;
    let mut file = corpus.header(10, &[0, 0]);
    file[96] ^= 1;
    corpus.open("root digest", Error("HeaderDigest", "the root digest says"), file);
    let mut file = corpus.whole.assemble();
    file[130] ^= 1;
    corpus.open("section table under a root digest of another", Error("HeaderDigest", "the header is damaged"), file);
    corpus.open("another major version", Error("MajorVersion", "format version 2.x"), corpus.header(8, &[2, 0]));
    corpus.open("major version 0", Error("MajorVersion", "format version 0.x"), corpus.header(8, &[0, 0]));
    corpus.open("unknown feature 2", Error("UnknownFeatures", "0x0000000000000004"), corpus.header(16, &[4]));
    corpus.open("unknown feature 63", Error("UnknownFeatures", "0x8000000000000000"), corpus.header(23, &[0x80]));
    corpus.open("file length too small", Error("TooLong", "its header says"), corpus.header(32, &(length - 1).to_le_bytes()));
    corpus.open("file length 2^64 - 1", Error("Truncated", "of 18446744073709551615"), corpus.header(32, &[0xFF; 8]));
    corpus.open("first reserved byte", Error("Header", "byte 40: reserved is 1"), corpus.header(40, &[1]));
    corpus.open("last reserved byte", Error("Header", "byte 95: reserved is 1"), corpus.header(95, &[1]));
    corpus.open("63 sections", Error("Header", "section count (at most) is 63"), corpus.header(12, &[63]));
    corpus.open("2^32 - 1 sections", Error("Header", "section count (at most) is 4294967295"), corpus.header(12, &[0xFF; 4]));
    corpus.open("no sections", Error("Header", "file length is"), corpus.header(12, &[0]));
    corpus.open("a section more than the table has", Error("SectionName", "byte 1024"), corpus.header(12, &[15]));
    corpus.open("an unused entry that is not empty", Error("Header", "byte 1029: unused entry is 1"), corpus.header(1029, &[1]));
    corpus.open("the last byte of the header page", Error("Header", "byte 4095: unused entry"), corpus.header(4095, &[1]));
}

fn table(corpus: &mut Corpus) {
    let at = corpus.whole.entry("EMBED");
    let file = corpus.whole.assemble();
    let (offset, length) = (u64_at(&file, at + 16), u64_at(&file, at + 24));
    let set = |corpus: &Corpus, field: usize, value: u64| corpus.header(at + field, &value.to_le_bytes());
    corpus.open("offset 2^64 - 4096", Error("Header", "section offset is 18446744073709547520"), set(corpus, 16, u64::MAX - 4095));
    corpus.open("offset 2^64 - 1", Error("Header", "section offset is 18446744073709551615"), set(corpus, 16, u64::MAX));
    corpus.open("offset in the header page", Error("Header", "section offset is 0,"), set(corpus, 16, 0));
    corpus.open("offset not at a page", Error("Header", "section offset is"), set(corpus, 16, offset + 1));
    corpus.open("a section that overlaps the one before", Error("Header", "section offset is"), set(corpus, 16, offset - 4096));
    corpus.open("a hole of a page before a section", Error("Header", "section offset is"), set(corpus, 16, offset + 4096));
    corpus.open("length 2^64 - 1", Error("Header", "section length (at most) is 18446744073709551615"), set(corpus, 24, u64::MAX));
    corpus.open("offset + length = 2^64", Error("Header", "section length (at most) is"), set(corpus, 24, 0u64.wrapping_sub(offset)));
    corpus.open("a section beyond the file", Error("Header", "section length (at most)"), set(corpus, 24, 1 << 40));
    corpus.open("a section that overlaps the next", Error("Header", "section offset is"), set(corpus, 24, length + 4096));
    corpus.open("unknown flag bits", Error("Header", "section flags is 3, expected 1"), set(corpus, 8, 3));
    corpus.open("a required section marked optional", Error("Header", "section flags is 0, expected 1"), set(corpus, 8, 0));
    let graph = corpus.whole.entry("GRAPH");
    corpus.open("the optional section marked required", Error("Header", "section flags is 1, expected 0"), corpus.header(graph + 8, &[1]));
    corpus.open("a tag in small letters", Error("SectionName", "65"), corpus.header(at, b"embed   "));
    corpus.open("a tag with a space within", Error("SectionName", "45, 4d, 20"), corpus.header(at, b"EM BED  "));
    corpus.open("a tag of zero bytes", Error("SectionName", "[00, 00"), corpus.header(at, &[0; 8]));
    let last = corpus.whole.entry("CODEC");
    let (one, other) = (file[last..last + 64].to_vec(), file[last + 64..last + 128].to_vec());
    corpus.open(
        "entries in another order than sections",
        Error("Header", "section offset is"),
        corpus.header(last, &[other, one].concat()),
    );
}

fn sections(corpus: &mut Corpus) {
    let mut parts = corpus.whole.clone();
    parts.0.push(parts.0[3].clone());
    corpus.open("a tag twice", Error("DuplicateSection", "section EMBED is listed twice"), parts.assemble());
    let mut parts = corpus.whole.clone();
    parts.0.insert(4, Part { tag: padded("NEWS2030"), flags: 1, bytes: b"what version 1.0 does not know".to_vec() });
    corpus.open("an unknown required section", Error("UnknownSection", "section NEWS2030"), parts.assemble());
    parts.0[4].flags = 2;
    corpus.open("an unknown section with unknown flags", Error("Header", "section flags is 2"), parts.assemble());
    let missing = [
        ("no MEMORIES", "MEMORIES"),
        ("no GRAPH, but graph parameters", "GRAPH"),
        ("no LEAVES", "LEAVES"),
        ("no EMBED", "EMBED"),
        ("no REFS", "REFS"),
        ("no ORIGINS", "ORIGINS"),
        ("no TEXTINDX", "TEXTINDX"),
        ("no TEXT", "TEXT"),
        ("no DOCINDEX", "DOCINDEX"),
        ("no DOCS", "DOCS"),
        ("no CODEC", "CODEC"),
        ("no MANIFEST", "MANIFEST"),
    ];
    for (name, tag) in missing {
        let mut parts = corpus.whole.clone();
        parts.0.remove(parts.index(tag));
        corpus.open(name, Error("MissingSection", tag), parts.assemble());
    }
}

/// A section's digest in the table is another, and the root digest right.
fn digests(corpus: &mut Corpus) {
    let wrong = |corpus: &Corpus, tag: &str| corpus.header(corpus.whole.entry(tag) + 32, &Digest::of(b"another").0);
    corpus.open("another digest of MANIFEST", Error("ManifestDigest", "section MANIFEST at byte"), wrong(corpus, "MANIFEST"));
    let verified = [
        ("another digest of MEMORIES", "MEMORIES/Digest"),
        ("another digest of GRAPH", "GRAPH/Digest"),
        ("another digest of EMBED", "EMBED/Digest"),
        ("another digest of REFS", "REFS/Digest"),
        ("another digest of ORIGINS", "ORIGINS/Digest"),
        ("another digest of TEXTINDX", "TEXTINDX/Digest"),
        ("another digest of TEXT", "TEXT/Digest"),
        ("another digest of DOCINDEX", "DOCINDEX/Digest"),
        ("another digest of DOCS", "DOCS/Digest"),
    ];
    for (name, error) in verified {
        let (tag, _) = error.split_once('/').expect("section/defect");
        let file = wrong(corpus, tag);
        corpus.verify_file(name, Error(error, "its digest is"), file);
    }
    let touched = [("another digest of CODEC", "CODEC/Digest"), ("another digest of LEAVES", "LEAVES/Digest")];
    for (name, error) in touched {
        let (tag, _) = error.split_once('/').expect("section/defect");
        let file = wrong(corpus, tag);
        corpus.touch_file(name, Error(error, "its digest is"), file);
    }
    let padding = {
        let mut file = corpus.whole.assemble();
        let entry = corpus.whole.entry("LEAVES");
        let end = u64_at(&file, entry + 16) + u64_at(&file, entry + 24);
        file[end as usize + 7] = 0x20;
        file
    };
    corpus.verify_file("padding that is not zero", Error("LEAVES/Padding", "0x20"), padding);
}
