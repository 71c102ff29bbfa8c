//! Packs in pieces, assembled by SPEC.md alone, without the writer under test.

use std::ops::Range;

use mempack_format::Digest;
use zstd::zstd_safe::{CCtx, CParameter};

/// A number in a pack.
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// A number in a pack.
pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// Replaces bytes.
pub fn put(bytes: &mut [u8], at: usize, new: &[u8]) {
    bytes[at..at + new.len()].copy_from_slice(new);
}

/// A section's name, padded as in the table.
pub fn padded(tag: &str) -> [u8; 8] {
    let mut bytes = [b' '; 8];
    bytes[..tag.len()].copy_from_slice(tag.as_bytes());
    bytes
}

/// Corrects the root digest of a file of at least a page (SPEC 4).
pub fn seal_root(file: &mut [u8]) {
    let covered = [&file[..96], &file[128..4096]].concat();
    put(file, 96, &Digest::of(&covered).0);
}

/// Corrects the digests of all sections that lie within the file, then the root digest. Does not change a file shorter than a page.
pub fn seal(file: &mut [u8]) {
    if file.len() < 4096 {
        return;
    }
    for entry in (0..u32_at(file, 12).min(62) as usize).map(|entry| 128 + 64 * entry) {
        let (offset, length) = (u64_at(file, entry + 16) as usize, u64_at(file, entry + 24) as usize);
        if let Some(contents) = offset.checked_add(length).and_then(|end| file.get(offset..end)) {
            let digest = Digest::of(contents);
            put(file, entry + 32, &digest.0);
        }
    }
    seal_root(file);
}

/// A text block's frame (SPEC 8), with its checksum or without.
pub fn frame(text: &[u8], checksum: bool) -> Vec<u8> {
    compress(text, &[CParameter::ChecksumFlag(checksum)])
}

/// A frame without its content size.
pub fn frame_without_size(text: &[u8]) -> Vec<u8> {
    compress(text, &[CParameter::ChecksumFlag(true), CParameter::ContentSizeFlag(false)])
}

fn compress(text: &[u8], parameters: &[CParameter]) -> Vec<u8> {
    let mut context = CCtx::create();
    for parameter in parameters {
        context.set_parameter(*parameter).expect("zstd knows the parameter");
    }
    let mut frame = Vec::with_capacity(zstd::zstd_safe::compress_bound(text.len()));
    context.compress2(&mut frame, text).expect("there is room");
    frame
}

/// A section taken out of its pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Name, filled up with spaces.
    pub tag: [u8; 8],
    /// Flags of the section table.
    pub flags: u64,
    /// Contents.
    pub bytes: Vec<u8>,
}

/// A pack in pieces, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts(pub Vec<Part>);

impl Parts {
    /// Takes a whole pack apart.
    pub fn of(pack: &[u8]) -> Self {
        let entries = (0..u32_at(pack, 12) as usize).map(|entry| 128 + 64 * entry);
        let part = |at: usize| {
            let (offset, length) = (u64_at(pack, at + 16) as usize, u64_at(pack, at + 24) as usize);
            let tag = pack[at..at + 8].try_into().expect("eight bytes");
            Part { tag, flags: u64_at(pack, at + 8), bytes: pack[offset..offset + length].to_vec() }
        };
        Self(entries.map(part).collect())
    }

    /// Which of the sections has this name.
    pub fn index(&self, tag: &str) -> usize {
        self.0.iter().position(|part| part.tag == padded(tag)).unwrap_or_else(|| panic!("the pack has no section {tag}"))
    }

    /// Contents of a section, if there is one of this name.
    pub fn find(&self, tag: &str) -> Option<&[u8]> {
        self.0.iter().find(|part| part.tag == padded(tag)).map(|part| part.bytes.as_slice())
    }

    /// Contents of a section.
    pub fn get(&self, tag: &str) -> &[u8] {
        &self.0[self.index(tag)].bytes
    }

    /// Contents of a section, to be changed.
    pub fn edit(&mut self, tag: &str) -> &mut Vec<u8> {
        let index = self.index(tag);
        &mut self.0[index].bytes
    }

    /// Replaces bytes of a section.
    pub fn put(&mut self, tag: &str, at: usize, new: &[u8]) {
        put(self.edit(tag), at, new);
    }

    /// The place of a section's entry in the assembled file.
    pub fn entry(&self, tag: &str) -> usize {
        128 + 64 * self.index(tag)
    }

    /// Text block number `block`, decompressed; `None` if the index or the frame is damaged.
    pub fn block(&self, block: usize) -> Option<Vec<u8>> {
        zstd::bulk::decompress(self.get("TEXT").get(self.span(block)?)?, 1 << 16).ok()
    }

    /// Replaces the frame of text block number `block`, and moves those behind it. Does nothing where the index is damaged.
    pub fn set_frame(&mut self, block: usize, frame: &[u8]) {
        let Some(span) = self.span(block).filter(|span| span.start <= span.end && span.end <= self.get("TEXT").len()) else { return };
        let (old, new) = (span.len() as u64, frame.len() as u64);
        self.edit("TEXT").splice(span, frame.iter().copied());
        for entry in self.edit("TEXTINDX").as_chunks_mut::<8>().0.iter_mut().skip(block + 1) {
            *entry = u64::from_le_bytes(*entry).wrapping_sub(old).wrapping_add(new).to_le_bytes();
        }
    }

    fn span(&self, block: usize) -> Option<Range<usize>> {
        let entry = |index: usize| Some(u64::from_le_bytes(*self.get("TEXTINDX").as_chunks::<8>().0.get(index)?) as usize);
        Some(entry(block)?..entry(block + 1)?)
    }

    /// Corrects the leaf digests (SPEC 13) of memories, embeddings and text blocks: as many as `REFS` has records and `TEXTINDX` has spans.
    /// Bytes without a leaf and malformed spans are not changed.
    pub fn seal_leaves(&mut self) {
        let sections = ["REFS", "MEMORIES", "EMBED", "TEXTINDX", "TEXT"].map(|tag| self.find(tag));
        let [Some(references), Some(memories), Some(embeddings), Some(index), Some(text)] = sections else { return };
        let references = references.len() / 64;
        let rows = |bytes: &[u8]| -> Vec<u8> {
            let stride = bytes.len() / references.max(1);
            bytes.chunks_exact(stride.max(1)).take(references).flat_map(|row| Digest::of(row).0).collect()
        };
        let index: Vec<usize> = index.as_chunks::<8>().0.iter().map(|entry| u64::from_le_bytes(*entry) as usize).collect();
        let frames = index.windows(2).map(|span| Digest::of(text.get(span[0]..span[1]).unwrap_or_default()).0);
        let leaves = [rows(memories), rows(embeddings), frames.flatten().collect()].concat();
        if let Some(part) = self.0.iter_mut().find(|part| part.tag == padded("LEAVES")) {
            let fits = leaves.len().min(part.bytes.len());
            part.bytes[..fits].copy_from_slice(&leaves[..fits]);
        }
    }

    /// The file, with correct offsets and correct digests of sections and header.
    pub fn assemble(&self) -> Vec<u8> {
        let capacity = self.0.iter().map(|part| part.bytes.len() + 4096).sum::<usize>() + 4096;
        let mut file = Vec::with_capacity(capacity);
        file.resize(4096, 0);
        put(&mut file, 0, &[0x89, 0x4d, 0x50, 0x4b, 0x0d, 0x0a, 0x1a, 0x0a, 1, 0, 0, 0]);
        put(&mut file, 12, &(self.0.len() as u32).to_le_bytes());
        for (entry, part) in self.0.iter().enumerate() {
            file.resize(file.len().next_multiple_of(4096), 0);
            let (at, offset) = (128 + 64 * entry, file.len() as u64);
            put(&mut file, at, &part.tag);
            put(&mut file, at + 8, &part.flags.to_le_bytes());
            put(&mut file, at + 16, &offset.to_le_bytes());
            put(&mut file, at + 24, &(part.bytes.len() as u64).to_le_bytes());
            put(&mut file, at + 32, &Digest::of(&part.bytes).0);
            file.extend(&part.bytes);
        }
        let length = file.len() as u64;
        put(&mut file, 32, &length.to_le_bytes());
        // Feature bit 1 goes with the section (SPEC 2).
        if self.0.iter().any(|part| part.tag == *b"BUDGET  ") {
            put(&mut file, 16, &[2]);
        }
        seal_root(&mut file);
        file
    }
}
