//! Documents, references and origins (SPEC 6, 7).

use mempack_hostile::{Parts, frame, put, u32_at, u64_at};

use crate::corpus::{Corpus, Error, REFERENCES, edited};
use crate::fields::{Fields, int};

pub fn add(corpus: &mut Corpus) {
    document_index(corpus);
    document_records(corpus);
    spans_of_references(corpus);
    fields_of_references(corpus);
    origins(corpus);
}

fn document_index(corpus: &mut Corpus) {
    let length = corpus.whole.get("DOCS").len() as u64;
    let first = u64_at(corpus.whole.get("DOCINDEX"), 8);
    let mut parts = edited(&corpus.whole, "DOCS", |documents| documents.insert(0, 0));
    for entry in parts.edit("DOCINDEX").as_chunks_mut::<8>().0 {
        *entry = (u64::from_le_bytes(*entry) + 1).to_le_bytes();
    }
    corpus.verify("document records that do not begin with the section", Error("DOCINDEX/Value", "start of a document record"), &parts);
    let parts = corpus.with("DOCINDEX", 16, &(first - 1).to_le_bytes());
    corpus.touch("a document index that descends", Error("DOCINDEX/TooSmall", "end of a document record"), &parts);
    let parts = corpus.with("DOCINDEX", 16, &u64::MAX.to_le_bytes());
    corpus.touch("a document record to the end of the address space", Error("DOCINDEX/TooLarge", "18446744073709551615"), &parts);
    let parts = corpus.with("DOCINDEX", 32, &(length + 1).to_le_bytes());
    corpus.touch("a document record beyond the section", Error("DOCINDEX/TooLarge", "end of a document record"), &parts);
    let parts = edited(&corpus.whole, "DOCS", |documents| documents.push(0));
    corpus.verify("bytes behind the last document record", Error("DOCINDEX/Value", "end of the document records"), &parts);
    let mut parts = corpus.whole.clone();
    let mut record = (1u32 << 20).to_le_bytes().to_vec();
    record.resize(4 + (1 << 20), b'x');
    record.extend([0; 20]);
    let (new, old) = (record.len() as u64, first);
    parts.edit("DOCS").splice(..first as usize, record);
    for entry in parts.edit("DOCINDEX").as_chunks_mut::<8>().0.iter_mut().skip(1) {
        *entry = (u64::from_le_bytes(*entry) + new - old).to_le_bytes();
    }
    corpus.touch("a document record of more than 1 MiB", Error("DOCINDEX/TooLarge", "bytes of a document record"), &parts);
}

fn document_records(corpus: &mut Corpus) {
    let docs = corpus.whole.get("DOCS").to_vec();
    let title = 4 + u32_at(&docs, 0) as usize;
    let first = u64_at(corpus.whole.get("DOCINDEX"), 8) as usize;
    let parts = corpus.with("DOCS", 0, &u32::MAX.to_le_bytes());
    corpus.touch("a document id of 2^32 - 1 bytes", Error("DOCS/TooLarge", "document id is 4294967295"), &parts);
    let parts = corpus.with("DOCS", title, &200u32.to_le_bytes());
    corpus.touch("a title past its record", Error("DOCS/TooLarge", "document title is 200"), &parts);
    let parts = corpus.with("DOCS", 4, &[0xFF]);
    corpus.touch("a document id that is not UTF-8", Error("DOCS/Utf8", "document id"), &parts);
    let parts = corpus.with("DOCS", title + 4, &[0xC3, 0x28]);
    corpus.touch("a title that is not UTF-8", Error("DOCS/Utf8", "document title"), &parts);
    let moved = |by: i64| {
        let mut parts = corpus.whole.clone();
        let documents = parts.edit("DOCS");
        if by > 0 {
            documents.insert(first, 0)
        } else {
            drop(documents.splice(first - 4..first, []))
        }
        for entry in parts.edit("DOCINDEX").as_chunks_mut::<8>().0.iter_mut().skip(1) {
            *entry = u64::from_le_bytes(*entry).wrapping_add_signed(by).to_le_bytes();
        }
        parts
    };
    let (longer, shorter) = (moved(1), moved(-4));
    corpus.touch("a byte behind the sixth field", Error("DOCS/Value", "length of a document record"), &longer);
    // The last field is the date, whose end is cut off; its length stays.
    corpus.touch("a date past its record", Error("DOCS/TooLarge", "document date"), &shorter);
    let mut parts = corpus.whole.clone();
    let at = first - 14;
    parts.edit("DOCS").drain(at..first);
    for entry in parts.edit("DOCINDEX").as_chunks_mut::<8>().0.iter_mut().skip(1) {
        *entry = (u64::from_le_bytes(*entry) - 14).to_le_bytes();
    }
    corpus.touch("a record of five fields", Error("DOCS/TooSmall", "length of a document record"), &parts);
}

/// Byte of a reference record.
fn record(reference: usize, field: usize) -> usize {
    reference * 64 + field
}

fn spans_of_references(corpus: &mut Corpus) {
    let refs = corpus.whole.get("REFS").to_vec();
    let (start, length) = (u64_at(&refs, record(5, 32)), u32_at(&refs, record(5, 48)));
    let (origin, origins) = (u64_at(&refs, record(5, 40)), u32_at(&refs, record(5, 52)));
    let text = "end of a reference's text";
    let parts = corpus.with("REFS", record(5, 32), &u64::MAX.to_le_bytes());
    corpus.touch("a text whose end overflows", Error("REFS/TooLarge", text), &parts);
    let parts = corpus.with("REFS", record(6, 32), &(1u64 << 40).to_le_bytes());
    corpus.touch("a text behind all texts", Error("REFS/TooLarge", text), &parts);
    let parts = corpus.with("REFS", record(7, 48), &u32::MAX.to_le_bytes());
    corpus.touch("a text of 2^32 - 1 bytes", Error("REFS/TooLarge", text), &parts);
    let parts = corpus.with("REFS", record(5, 32), &(start - 1).to_le_bytes());
    // It then begins within the character or the word before; the sample's texts end with a space.
    corpus.verify("texts that overlap", Error("REFS/Value", "start of a reference's text"), &parts);
    let mut parts = corpus.with("REFS", record(5, 48), &(length - 1).to_le_bytes());
    corpus.verify("a gap between texts", Error("REFS/Value", "start of a reference's text"), &parts);
    parts.put("REFS", record(5, 48), &length.to_le_bytes());
    let last = REFERENCES - 1;
    let shorter = u32_at(&refs, record(last, 48)) - 1;
    parts.put("REFS", record(last, 48), &shorter.to_le_bytes());
    corpus.verify("texts that do not sum up", Error("REFS/Value", "bytes of all references' texts"), &parts);
    let text = "end of a reference's origins";
    let parts = corpus.with("REFS", record(5, 40), &u64::MAX.to_le_bytes());
    corpus.touch("origins whose end overflows", Error("REFS/TooLarge", text), &parts);
    let parts = corpus.with("REFS", record(6, 40), &(1u64 << 40).to_le_bytes());
    corpus.touch("origins behind all origins", Error("REFS/TooLarge", text), &parts);
    let parts = corpus.with("REFS", record(7, 52), &u32::MAX.to_le_bytes());
    corpus.touch("2^32 - 1 origins", Error("REFS/TooLarge", text), &parts);
    let parts = corpus.with("REFS", record(5, 40), &(origin - 1).to_le_bytes());
    corpus.verify("origins that overlap", Error("REFS/Value", "first origin of a reference"), &parts);
    let parts = corpus.with("REFS", record(5, 52), &(origins + 1).to_le_bytes());
    corpus.verify("an origin of two references", Error("REFS/Value", "first origin of a reference"), &parts);
    let parts = long_text(&corpus.whole);
    corpus.touch("a text of more than 1 MiB", Error("REFS/TooLarge", "length of a reference's text"), &parts);
}

/// A whole pack but that its first text is larger than any may be: all texts are one letter, in as many blocks as they need.
fn long_text(whole: &Parts) -> Parts {
    let mut parts = whole.clone();
    let longest = (1u64 << 20) + 1;
    let total = longest + REFERENCES as u64 - 1;
    let blocks = vec![b'x'; total as usize];
    let frames: Vec<Vec<u8>> = blocks.chunks(65_536).map(|block| frame(block, true)).collect();
    let ends = frames.iter().scan(0, |end, frame| {
        *end += frame.len() as u64;
        Some(*end)
    });
    *parts.edit("TEXTINDX") = std::iter::once(0).chain(ends).flat_map(u64::to_le_bytes).collect();
    *parts.edit("TEXT") = frames.concat();
    let leaves = parts.edit("LEAVES");
    leaves.truncate(2 * 32 * REFERENCES);
    leaves.resize(2 * 32 * REFERENCES + 32 * frames.len(), 0);
    let refs = parts.edit("REFS");
    for reference in 0..REFERENCES {
        let (start, length) = if reference == 0 { (0, longest as u32) } else { (longest + reference as u64 - 1, 1) };
        put(refs, record(reference, 32), &start.to_le_bytes());
        put(refs, record(reference, 48), &length.to_le_bytes());
    }
    let manifest = Fields::of(parts.get("MANIFEST")).with(&[("counts.text_bytes", int(total))]);
    *parts.edit("MANIFEST") = manifest;
    parts.seal_leaves();
    parts
}

fn fields_of_references(corpus: &mut Corpus) {
    let parts = corpus.with("REFS", record(9, 56), &[0, 0]);
    corpus.verify("a reference of no tokens", Error("REFS/TooSmall", "tokens of a reference is 0"), &parts);
    let parts = corpus.with("REFS", record(9, 56), &129u16.to_le_bytes());
    corpus.verify("a reference of more tokens than the model reads", Error("REFS/TooLarge", "tokens of a reference is 129"), &parts);
    let parts = corpus.with("REFS", record(9, 52), &[0; 4]);
    corpus.verify("a reference without origin", Error("REFS/TooSmall", "origins of a reference is 0"), &parts);
    let parts = corpus.with("REFS", record(9, 63), &[1]);
    corpus.verify("a reserved byte of a reference", Error("REFS/Value", "reserved bytes of a reference"), &parts);
    let key = corpus.whole.get("REFS")[record(3, 0)..record(3, 32)].to_vec();
    let parts = corpus.with("REFS", record(20, 0), &key);
    corpus.verify("a key twice", Error("REFS/RepeatedKey", "reference 20 has the key of reference 3"), &parts);
}

fn origins(corpus: &mut Corpus) {
    let parts = corpus.with("ORIGINS", 7 * 24, &4u32.to_le_bytes());
    corpus.touch("an origin in the document behind the last", Error("ORIGINS/TooLarge", "document of an origin is 4"), &parts);
    let parts = corpus.with("ORIGINS", 7 * 24, &u32::MAX.to_le_bytes());
    corpus.touch("an origin in no document", Error("ORIGINS/TooLarge", "document of an origin is 4294967295"), &parts);
    let parts = corpus.with("ORIGINS", 7 * 24 + 7, &[1]);
    corpus.touch("a reserved byte of an origin", Error("ORIGINS/Value", "reserved bytes of an origin"), &parts);
    let parts = corpus.with("ORIGINS", 7 * 24 + 8, &u64::MAX.to_le_bytes());
    corpus.touch("an origin that starts behind its end", Error("ORIGINS/TooLarge", "start of an origin"), &parts);
}
