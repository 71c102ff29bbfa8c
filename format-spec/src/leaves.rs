//! Leaf digests (SPEC 13): one for every memory record, embedding and text frame.

use std::fmt;
use std::ops::Range;

use crate::constants::DIGEST_BYTES;
use crate::error::{Damage, Defect};
use crate::pack::in_range;
use crate::{Counts, Digest, Pack, ReadError, Section, Tag};

/// What has a leaf digest, in the order of the section `LEAVES`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LeafKind {
    /// The memory record of a reference.
    Memory,
    /// The embedding of a reference.
    Embedding,
    /// The compressed frame of a text block.
    TextBlock,
}

impl fmt::Display for LeafKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Memory => "memory",
            Self::Embedding => "embedding",
            Self::TextBlock => "text block",
        })
    }
}

impl LeafKind {
    /// The section that it is in.
    pub fn section(self) -> Tag {
        match self {
            Self::Memory => Tag::MEMORIES,
            Self::Embedding => Tag::EMBEDDINGS,
            Self::TextBlock => Tag::TEXT,
        }
    }
}

impl Counts {
    /// Leaf digests of a pack. Saturates, as counts may be hostile.
    pub(crate) fn leaves(&self) -> u64 {
        self.leaves_of(LeafKind::TextBlock).end
    }

    /// The numbers of a kind's leaf digests among all of them.
    pub(crate) fn leaves_of(&self, kind: LeafKind) -> Range<u64> {
        let references = u64::from(self.references);
        match kind {
            LeafKind::Memory => 0..references,
            LeafKind::Embedding => references..2 * references,
            LeafKind::TextBlock => 2 * references..self.text_blocks().saturating_add(2 * references),
        }
    }
}

impl<D: AsRef<[u8]>> Pack<D> {
    /// Compares the section of leaf digests with its digest in the section table. Do this once, before the first leaf is trusted: what fits
    /// its leaf is then covered by the pack's id. Reads all leaves, 32 bytes each.
    ///
    /// # Errors
    /// If the section is damaged.
    pub fn check_leaves(&self) -> Result<(), ReadError> {
        self.section(Tag::LEAVES).map(drop)
    }

    /// Compares the tables of references, origins and documents, which have no leaves, with their digests in the section table. Do this
    /// once, before the first citation. Reads all of them.
    ///
    /// # Errors
    /// If one of them is damaged.
    pub fn check_tables(&self) -> Result<(), ReadError> {
        [Tag::REFERENCES, Tag::ORIGINS, Tag::DOCUMENT_INDEX, Tag::DOCUMENTS].into_iter().try_for_each(|tag| self.section(tag).map(drop))
    }

    /// Compares the memory record of a reference with its leaf digest (SPEC 13). Do this when it is first touched.
    ///
    /// # Errors
    /// If the pack has no reference of this number, or the record or the leaf is damaged.
    pub fn check_record(&self, reference: u32) -> Result<(), ReadError> {
        let found = Digest::of(self.record(reference)?);
        Ok(self.check_leaf(LeafKind::Memory, reference.into(), u64::from(reference) * self.record_bytes(), found)?)
    }

    /// Compares the embedding of a reference with its leaf digest (SPEC 13). Do this when it is first touched.
    ///
    /// # Errors
    /// If the pack has no reference of this number, or the embedding or the leaf is damaged.
    pub fn check_embedding(&self, reference: u32) -> Result<(), ReadError> {
        in_range("reference", reference, self.manifest().counts.references)?;
        let stride = self.embedding_bytes();
        let at = u64::from(reference) * stride;
        let found = Digest::of(self.slice(&self.layout().embeddings, at, stride)?);
        Ok(self.check_leaf(LeafKind::Embedding, reference.into(), at, found)?)
    }

    /// Compares the frame of a text block with its leaf digest (SPEC 13). [`Pack::text`] does this already.
    ///
    /// # Errors
    /// If the pack has no block of this number, or its index entry, its frame or its leaf is damaged.
    pub fn check_text_block(&self, block: u64) -> Result<(), ReadError> {
        in_range("text block", block, self.manifest().counts.text_blocks())?;
        self.frame(block)?;
        Ok(())
    }

    /// The compressed frame of a text block, checked against its leaf, and where it begins in the section.
    pub(crate) fn frame(&self, block: u64) -> Result<(u64, &[u8]), Damage> {
        let (start, frame) = self.unchecked_frame(block)?;
        self.check_leaf(LeafKind::TextBlock, block, start, Digest::of(frame))?;
        Ok((start, frame))
    }

    /// The compressed frame of a text block, and where it begins in the section, as the index has it.
    pub(crate) fn unchecked_frame(&self, block: u64) -> Result<(u64, &[u8]), Damage> {
        let text = &self.layout().text;
        let (start, end) = self.span(&self.layout().text_index, block, "end of a text block", text.length)?;
        Ok((start, self.slice(text, start, end - start)?))
    }

    /// How many there are of a kind.
    pub(crate) fn leaf_count(&self, kind: LeafKind) -> u64 {
        let leaves = self.manifest().counts.leaves_of(kind);
        leaves.end - leaves.start
    }

    /// The section that a kind is in.
    fn leaf_section(&self, kind: LeafKind) -> &Section {
        let layout = self.layout();
        match kind {
            LeafKind::Memory => &layout.memories,
            LeafKind::Embedding => &layout.embeddings,
            LeafKind::TextBlock => &layout.text,
        }
    }

    /// Where the bytes of a leaf are: the first in the file, and how many.
    pub(crate) fn leaf_span(&self, kind: LeafKind, number: u64) -> Result<(u64, u64), Damage> {
        let (start, length) = match kind {
            // No overflow: `open` found the products to be the sections' lengths.
            LeafKind::Memory => (number * self.record_bytes(), self.record_bytes()),
            LeafKind::Embedding => (number * self.embedding_bytes(), self.embedding_bytes()),
            LeafKind::TextBlock => {
                let (start, frame) = self.unchecked_frame(number)?;
                (start, frame.len() as u64)
            }
        };
        Ok((self.leaf_section(kind).offset + start, length))
    }

    /// A leaf digest, which is not compared with anything.
    pub(crate) fn leaf(&self, kind: LeafKind, number: u64) -> Result<Digest, Damage> {
        let before = self.manifest().counts.leaves_of(kind).start;
        Ok(Digest(*self.entry::<[u8; DIGEST_BYTES as usize]>(&self.layout().leaves, before.saturating_add(number))?))
    }

    /// Compares a digest with a leaf; `at` is where the bytes begin in their section.
    pub(crate) fn check_leaf(&self, kind: LeafKind, number: u64, at: u64, found: Digest) -> Result<(), Damage> {
        let expected = self.leaf(kind, number)?;
        if found == expected {
            return Ok(());
        }
        Err(self.damage(self.leaf_section(kind), at, (0, Defect::Leaf { kind, number, expected, found })))
    }
}
