//! What the tests share: the golden pack, packs taken apart and put together by SPEC.md alone, and every accessor.
#![allow(dead_code)] // no test uses all of it

use std::ops::ControlFlow;

use mempack_format::{Digest, OpenError, Pack, Sample, Scope, VerifyError, VerifyReport};

pub const GOLDEN: &[u8] = include_bytes!("../golden/v1.0.mpk");

/// Verification without progress.
pub fn verify<D: AsRef<[u8]>>(pack: &Pack<D>) -> Result<VerifyReport, VerifyError> {
    pack.verify(&mut |_| ControlFlow::Continue(()))
}

/// Calls everything there is to call on a pack, for numbers that exist and some that do not.
pub fn touch_everything<D: AsRef<[u8]>>(pack: &Pack<D>) {
    let counts = pack.manifest().counts;
    let _ = (pack.id(), pack.version(), pack.bytes(), pack.sections(), pack.codec_spec(), pack.record_bytes(), pack.embeddings().is_ok());
    let _ = (pack.check_leaves(), pack.check_text_block(u64::MAX));
    for document in (0..counts.documents.min(64)).chain([counts.documents, u32::MAX]) {
        let _ = pack.document(document);
    }
    let codec = pack.codec();
    let graph = pack.graph();
    for reference in (0..counts.references.min(64)).chain([counts.references, u32::MAX]) {
        let _ = pack.reference(reference);
        let _ = pack.origins(reference).map(Iterator::count);
        // Decompressing takes longer than all else here; `verify` reads every text.
        if reference % 8 == 3 {
            let _ = pack.text(reference);
        }
        let _ = (pack.check_record(reference), pack.check_embedding(reference), pack.check_text_block(reference.into()));
        let _ = pack.embedding(reference);
        if let (Ok(codec), Ok(record)) = (&codec, pack.record(reference)) {
            let _ = codec.decode_memory(record, &mut mempack_format::Memory::empty(codec.shape()));
        }
        if let Ok(Some(graph)) = &graph {
            for level in (0..=graph.level_of(reference).min(40)).chain([u32::MAX]) {
                let _ = graph.neighbours(reference, level).map(<[_]>::len);
            }
        }
    }
}

/// Opens and verifies, and touches everything if the pack opens.
pub fn exercise(bytes: &[u8]) -> Result<Result<VerifyReport, VerifyError>, OpenError> {
    let pack = Pack::open(bytes)?;
    touch_everything(&pack);
    let verified = verify(&pack);
    // What goes on after damage must neither fail otherwise nor find something else; a sample may miss what there is.
    let surveyed = pack.survey(Scope::Whole, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(surveyed.damages == 0, verified.is_ok(), "{verified:?}");
    let sample = Scope::Sample(Sample::new(0.3, u64::from(surveyed.counts.references)).unwrap());
    let sampled = pack.survey(sample, &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(sampled.damages == 0 || verified.is_err(), "{verified:?}");
    Ok(verified)
}

pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

pub fn put(bytes: &mut [u8], at: usize, new: &[u8]) {
    bytes[at..at + new.len()].copy_from_slice(new);
}

/// SPEC 4: puts the right root digest into a header page.
pub fn reseal_root(bytes: &mut [u8]) {
    let mut covered = bytes[..96].to_vec();
    covered.extend(&bytes[128..4096]);
    let root = Digest::of(&covered);
    put(bytes, 96, &root.0);
}

/// SPEC 3, 4: puts the right digests of all sections that lie within the file, and the right root digest.
pub fn reseal(bytes: &mut [u8]) {
    for entry in (0..u32_at(bytes, 12).min(62) as usize).map(|entry| 128 + 64 * entry) {
        let (offset, length) = (u64_at(bytes, entry + 16) as usize, u64_at(bytes, entry + 24) as usize);
        if let Some(contents) = offset.checked_add(length).and_then(|end| bytes.get(offset..end)) {
            let digest = Digest::of(contents);
            put(bytes, entry + 32, &digest.0);
        }
    }
    reseal_root(bytes);
}

/// A section taken out of its pack.
#[derive(Clone)]
pub struct Part {
    pub tag: [u8; 8],
    pub flags: u64,
    pub bytes: Vec<u8>,
}

/// A pack in pieces, to be changed and put together again.
#[derive(Clone)]
pub struct Parts(pub Vec<Part>);

impl Parts {
    pub fn golden() -> Self {
        Self::of(GOLDEN)
    }

    pub fn of(pack: &[u8]) -> Self {
        let entries = (0..u32_at(pack, 12) as usize).map(|entry| 128 + 64 * entry);
        let part = |at: usize| {
            let (offset, length) = (u64_at(pack, at + 16) as usize, u64_at(pack, at + 24) as usize);
            let (tag, bytes) = (pack[at..at + 8].try_into().unwrap(), pack[offset..offset + length].to_vec());
            Part { tag, flags: u64_at(pack, at + 8), bytes }
        };
        Self(entries.map(part).collect())
    }

    pub fn get(&mut self, tag: &str) -> &mut Vec<u8> {
        &mut self.0.iter_mut().find(|part| part.tag == padded(tag)).unwrap().bytes
    }

    /// SPEC 13: makes the leaf digests right again, of the golden pack's records of 80 bytes, rows of 32 bytes, and frames
    /// wherever the index puts them; a frame that is put out of the section keeps its leaf.
    pub fn seal_leaves(&mut self) {
        let mut leaves: Vec<u8> = self.get("MEMORIES").chunks(80).flat_map(|record| Digest::of(record).0).collect();
        leaves.extend(self.get("EMBED").chunks(32).flat_map(|row| Digest::of(row).0));
        let index: Vec<usize> = self.get("TEXTINDX").chunks(8).map(|entry| u64_at(entry, 0) as usize).collect();
        let (before, text) = (leaves.len(), self.get("TEXT").clone());
        let old = self.get("LEAVES").clone();
        for (block, span) in index.windows(2).enumerate() {
            let at = before + 32 * block;
            match text.get(span[0]..span[1].max(span[0])) {
                Some(frame) => leaves.extend(Digest::of(frame).0),
                None => leaves.extend(&old[at..at + 32]),
            }
        }
        *self.get("LEAVES") = leaves;
    }

    pub fn index(&self, tag: &str) -> usize {
        self.0.iter().position(|part| part.tag == padded(tag)).unwrap()
    }

    /// The file, with right offsets and digests.
    pub fn assemble(&self) -> Vec<u8> {
        let mut file = vec![0; 4096];
        put(&mut file, 0, &[0x89, 0x4d, 0x50, 0x4b, 0x0d, 0x0a, 0x1a, 0x0a, 1, 0, 0, 0]);
        put(&mut file, 12, &(self.0.len() as u32).to_le_bytes());
        for (entry, part) in self.0.iter().enumerate() {
            file.resize(file.len().next_multiple_of(4096), 0);
            let at = 128 + 64 * entry;
            let offset = file.len() as u64;
            put(&mut file, at, &part.tag);
            put(&mut file, at + 8, &part.flags.to_le_bytes());
            put(&mut file, at + 16, &offset.to_le_bytes());
            put(&mut file, at + 24, &(part.bytes.len() as u64).to_le_bytes());
            put(&mut file, at + 32, &Digest::of(&part.bytes).0);
            file.extend(&part.bytes);
        }
        let length = file.len() as u64;
        put(&mut file, 32, &length.to_le_bytes());
        reseal_root(&mut file);
        file
    }
}

/// A section's name as it stands in the table.
pub fn padded(tag: &str) -> [u8; 8] {
    let mut bytes = [b' '; 8];
    bytes[..tag.len()].copy_from_slice(tag.as_bytes());
    bytes
}
