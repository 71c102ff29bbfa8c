//! Verification of text blocks and of the texts in them.

use super::Verifier;
use crate::constants::{REFERENCE_BYTES, TEXT_BLOCK_BYTES};
use crate::error::{Damage, Defect, Interrupted};
use crate::pack::Layout;
use crate::text::Inflater;
use crate::{Digest, LeafKind};

/// Text of the blocks so far that belongs to references not checked yet: at most a reference's text and a block.
struct Pending {
    bytes: Vec<u8>,
    /// Where those bytes begin in the text of the pack.
    start: u64,
    /// The next reference to check.
    reference: u32,
}

impl<D: AsRef<[u8]>> Verifier<'_, D> {
    /// Checks that text blocks fit their leaves, fill their section and decompress to the manifest's bytes (SPEC 8, 13). If the references
    /// are undamaged, so that their places are known, checks that their texts are UTF-8.
    pub(super) fn text(&mut self, layout: &Layout, references_whole: bool) -> Result<(), Interrupted> {
        let (index, text) = (&layout.text_index, &layout.text);
        let mut hasher = blake3::Hasher::new();
        let mut inflater = Inflater::new();
        let mut pending = Pending { bytes: Vec::new(), start: 0, reference: 0 };
        // The end of the block before; unknown after a wrong span.
        let mut end = Some(0);
        let mut in_a_row = true;
        for block in 0..self.pack.manifest().counts.text_blocks() {
            let span = match self.pack.unchecked_frame(block) {
                Ok((start, frame)) => {
                    let follows = self.equal(index, block * 8, "start of a text block", end.unwrap_or(start), start)?;
                    end = follows.then_some(start + frame.len() as u64);
                    follows.then_some((start, frame))
                }
                Err(damage) => {
                    self.damage(damage)?;
                    end = None;
                    None
                }
            };
            let mut whole = None;
            if let Some((start, frame)) = span {
                hasher.update(frame);
                match self.block(&mut inflater, block, start, frame) {
                    Ok(inflated) => whole = Some(inflated),
                    Err(damage) => self.damage(damage)?,
                }
                self.advance(text, frame.len() as u64)?;
            } else {
                in_a_row = false;
            }
            if references_whole {
                self.texts(layout, &mut pending, block, whole)?;
            }
        }
        if let Some(end) = end {
            in_a_row &= self.equal(index, index.length.saturating_sub(8), "end of the text blocks", text.length, end)?;
        }
        self.report.text_blocks = self.pack.manifest().counts.text_blocks();
        let found = if in_a_row { hasher.finalize().into() } else { Digest::of(self.pack.contents(text).unwrap_or_default()) };
        self.close(text, found)?;
        Ok(())
    }

    /// A block's bytes from its frame, which is compared with its leaf first.
    pub(super) fn block<'i>(&self, inflater: &'i mut Inflater, block: u64, start: u64, frame: &[u8]) -> Result<&'i [u8], Damage> {
        if self.leaves_whole {
            self.pack.check_leaf(LeafKind::TextBlock, block, start, Digest::of(frame))?;
        }
        self.pack.inflate(inflater, block, start, frame)
    }

    /// Checks the references that end in or before a block of the text; `inflated` is `None` for a damaged block.
    fn texts(&mut self, layout: &Layout, pending: &mut Pending, block: u64, inflated: Option<&[u8]>) -> Result<(), Interrupted> {
        let counts = self.pack.manifest().counts;
        let available = (block + 1).saturating_mul(TEXT_BLOCK_BYTES).min(counts.text_bytes);
        match inflated {
            Some(bytes) => pending.bytes.extend_from_slice(bytes),
            // References that are partly in it are skipped: the block has been reported.
            None => {
                pending.bytes.clear();
                pending.start = available;
            }
        }
        while pending.reference < counts.references {
            let reference = pending.reference;
            // It was read before. If it cannot be read now, the data has changed since.
            let Ok(info) = self.pack.read_reference(reference) else { break };
            let end = info.text_start + u64::from(info.text_len);
            if end > available {
                break;
            }
            if let Some(skip) = info.text_start.checked_sub(pending.start) {
                let bytes = pending.bytes.get(skip as usize..(end - pending.start) as usize).unwrap_or_default();
                if std::str::from_utf8(bytes).is_err() {
                    let at = u64::from(reference) * REFERENCE_BYTES;
                    let damage = self.pack.damage(&layout.references, at, (32, Defect::Utf8 { field: "text" }));
                    self.damage(damage)?;
                }
            }
            pending.reference += 1;
        }
        // References follow one another: text before the next one is not needed any more.
        let next = self.pack.read_reference(pending.reference).map_or(available, |info| info.text_start);
        let done = next.saturating_sub(pending.start).min(pending.bytes.len() as u64);
        pending.bytes.drain(..done as usize);
        pending.start += done;
        Ok(())
    }
}
