//! Verification of references, origins, documents and text.

use super::Verifier;
use crate::constants::{ORIGIN_BYTES, REFERENCE_BYTES, TEXT_BLOCK_BYTES};
use crate::error::{Defect, VerifyError};
use crate::pack::Layout;
use crate::text::Inflater;

impl<D: AsRef<[u8]>> Verifier<'_, D> {
    /// References follow one another without gap in text and origins, and have tokens (SPEC 7).
    pub(super) fn references(&mut self, layout: &Layout) -> Result<(), VerifyError> {
        let section = &layout.references;
        self.digest(section)?;
        let manifest = self.pack.manifest();
        let (mut text, mut origins, mut tokens) = (0, 0, 0);
        for reference in 0..manifest.counts.references {
            let at = u64::from(reference) * REFERENCE_BYTES;
            let info = self.pack.read_reference(reference)?;
            self.pack.raw_reference(reference)?.check_reserved().map_err(|defect| self.pack.damage(section, at, defect))?;
            self.equal(section, at + 32, "start of a reference's text", text, info.text_start)?;
            self.equal(section, at + 40, "first origin of a reference", origins, info.first_origin)?;
            let least = |field, found: u64| Defect::TooSmall { field, limit: 1, found };
            if info.origins == 0 {
                return Err(self.pack.damage(section, at, (52, least("origins of a reference", 0))).into());
            }
            if info.tokens == 0 {
                return Err(self.pack.damage(section, at, (56, least("tokens of a reference", 0))).into());
            }
            if u32::from(info.tokens) > manifest.model.reference_length {
                let (limit, found) = (manifest.model.reference_length.into(), info.tokens.into());
                let defect = Defect::TooLarge { field: "tokens of a reference", limit, found };
                return Err(self.pack.damage(section, at, (56, defect)).into());
            }
            // No overflow: `read_reference` found both ends within the manifest's counts.
            text += u64::from(info.text_len);
            origins += u64::from(info.origins);
            tokens += u64::from(info.tokens);
        }
        let end = section.length;
        self.equal(section, end, "bytes of all references' texts", manifest.counts.text_bytes, text)?;
        self.equal(section, end, "origins of all references", manifest.counts.origins, origins)?;
        self.equal(section, end, "tokens of all references", manifest.counts.tokens, tokens)
    }

    /// Origins are of documents that exist (SPEC 7).
    pub(super) fn origins(&mut self, layout: &Layout) -> Result<(), VerifyError> {
        let section = &layout.origins;
        self.digest(section)?;
        let counts = &self.pack.manifest().counts;
        for origin in 0..counts.origins {
            let damage = |defect| self.pack.damage(section, origin * ORIGIN_BYTES, defect);
            self.pack.raw_origin(origin)?.check(counts).map_err(damage)?;
        }
        Ok(())
    }

    /// Document records fill their section, and hold six UTF-8 strings each (SPEC 6).
    pub(super) fn documents(&mut self, layout: &Layout) -> Result<(), VerifyError> {
        let (index, documents) = (&layout.document_index, &layout.documents);
        self.digest(index)?;
        self.digest(documents)?;
        let mut end = 0;
        for document in 0..self.pack.manifest().counts.documents {
            let (start, next) = self.pack.span(index, document.into(), "end of a document record", documents.length)?;
            self.equal(index, u64::from(document) * 8, "start of a document record", end, start)?;
            self.pack.read_document(document)?;
            end = next;
        }
        self.equal(index, index.length.saturating_sub(8), "end of the document records", documents.length, end)
    }

    /// Text blocks fill their section and inflate to the manifest's bytes, and every reference's text is UTF-8 (SPEC 8).
    pub(super) fn text(&mut self, layout: &Layout) -> Result<(), VerifyError> {
        let (index, text) = (&layout.text_index, layout.text);
        let manifest = self.pack.manifest();
        let mut hasher = blake3::Hasher::new();
        let mut inflater = Inflater::new();
        // What of the blocks so far belongs to references not looked at yet; at most a reference's text and a block.
        let mut pending: Vec<u8> = Vec::new();
        let (mut reference, mut end) = (0, 0);
        for block in 0..manifest.counts.blocks() {
            let (start, next) = self.pack.span(index, block, "end of a text block", text.length)?;
            self.equal(index, block * 8, "start of a text block", end, start)?;
            hasher.update(self.pack.slice(&text, start, next - start)?);
            pending.extend_from_slice(self.pack.text_block(&mut inflater, block)?);
            end = next;
            let available = ((block + 1) * TEXT_BLOCK_BYTES).min(manifest.counts.text_bytes);
            let mut used = 0;
            while reference < manifest.counts.references {
                let info = self.pack.read_reference(reference)?;
                if info.text_start + u64::from(info.text_len) > available {
                    break;
                }
                let bytes = pending.get(used..used + info.text_len as usize).unwrap_or_default();
                if std::str::from_utf8(bytes).is_err() {
                    let at = u64::from(reference) * REFERENCE_BYTES;
                    return Err(self.pack.damage(&layout.references, at, (32, Defect::Utf8 { field: "text" })).into());
                }
                used += info.text_len as usize;
                reference += 1;
            }
            pending.drain(..used.min(pending.len()));
            self.advance(&text, next - start)?;
        }
        self.equal(index, index.length.saturating_sub(8), "end of the text blocks", text.length, end)?;
        self.check_digest(&text, &hasher)
    }
}
