//! The passages of a document, cut block by block.

use std::ops::Range;
use std::vec::IntoIter;

use mempack_format::Document;

use super::breaks::{self, Break};
use super::{Segmenter, plan};
use crate::CorpusError;
use crate::blocks::{Block, Blocks};
use crate::composing::{Lead, ReferenceTokens};
use crate::document::has_words;

/// Words of more tokens may be cut between characters, and words with the marks that cling to them between those.
const LONG_WORD: usize = 8;

/// A part of a document that the model can read whole. Equal passages are one reference of a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// Its first byte in the document's text, which is not white space.
    pub start: u64,
    /// The end of its last byte, which is not white space.
    pub end: u64,
    /// The document's own bytes from `start` to `end`.
    pub text: String,
    /// What model and embedder read before the text: the title with its punctuation, or nothing.
    pub lead: String,
    /// The ids that the model reads, [`max_reference_tokens`](ReferenceTokens::max_reference_tokens) at most.
    pub ids: Vec<u32>,
}

/// Iterates over the passages of a document in order. Together they hold all of its text but white space and blocks without words. It
/// ends after an error.
///
/// Memory: one block of the document, with its tokens.
pub struct Passages<'s, T: ?Sized> {
    segmenter: &'s Segmenter<'s, T>,
    metadata: Document,
    lead: Lead,
    blocks: Blocks,
    /// None after the last block, and after an error.
    block: Option<BlockCut>,
}

impl<'s, T: ReferenceTokens + ?Sized> Passages<'s, T> {
    pub(super) fn new(
        segmenter: &'s Segmenter<'s, T>,
        metadata: Document,
        lead: Lead,
        blocks: Blocks,
        first: Block,
    ) -> Result<Self, CorpusError> {
        let block = Some(BlockCut::new(segmenter, &lead, first)?);
        Ok(Self { segmenter, metadata, lead, blocks, block })
    }

    /// The document's metadata, with the title found in its text.
    pub fn metadata(&self) -> &Document {
        &self.metadata
    }

    fn next_passage(&mut self) -> Result<Option<Passage>, CorpusError> {
        while let Some(block) = &mut self.block {
            if let Some(passage) = block.next_passage(self.segmenter, &self.lead)? {
                return Ok(Some(passage));
            }
            self.block = match self.blocks.by_ref().find(|block| !matches!(block, Ok(block) if !has_words(&block.text))) {
                Some(next) => Some(BlockCut::new(self.segmenter, &self.lead, next?)?),
                None => None,
            };
        }
        Ok(None)
    }
}

impl<T: ReferenceTokens + ?Sized> Iterator for Passages<'_, T> {
    type Item = Result<Passage, CorpusError>;

    fn next(&mut self) -> Option<Self::Item> {
        let passage = self.next_passage();
        if passage.is_err() {
            self.block = None;
        }
        passage.transpose()
    }
}

/// A block that is being cut.
struct BlockCut {
    block: Block,
    /// All places to cut, and the number of tokens before each.
    breaks: Vec<Break>,
    counts: Vec<usize>,
    /// Tokens that the text of a passage is planned to have at most.
    budget: usize,
    /// Number of breaks up to the end of the last passage.
    done: usize,
    /// Where the next passage begins, in bytes of the block.
    start: usize,
    /// The breaks at which the next passages are planned to end.
    planned: IntoIter<usize>,
}

impl BlockCut {
    fn new<T: ReferenceTokens + ?Sized>(segmenter: &Segmenter<'_, T>, lead: &Lead, block: Block) -> Result<Self, CorpusError> {
        let mut starts = segmenter.tokens.token_starts(&block.text).map_err(CorpusError::tokens)?;
        starts.sort_unstable();
        let before = |at: usize| starts.partition_point(|start| *start < at);
        let breaks = breaks::find(&block.text, |start, end| end - start > LONG_WORD && before(end) - before(start) > LONG_WORD);
        let counts = breaks.iter().map(|cut| before(cut.at)).collect();
        let budget = segmenter.tokens.max_reference_tokens().saturating_sub(lead.tokens());
        Ok(Self { block, breaks, counts, budget, done: 0, start: 0, planned: Vec::new().into_iter() })
    }

    fn next_passage<T: ReferenceTokens + ?Sized>(
        &mut self,
        segmenter: &Segmenter<'_, T>,
        lead: &Lead,
    ) -> Result<Option<Passage>, CorpusError> {
        let max = segmenter.tokens.max_reference_tokens();
        loop {
            let Some(end) = self.planned.next() else {
                if self.done == self.breaks.len() {
                    return Ok(None);
                }
                self.plan();
                continue;
            };
            let range = trimmed(&self.block.text, self.start, self.breaks[end].at);
            if !range.is_empty() {
                let text = &self.block.text[range.clone()];
                let composed = segmenter.composer.compose(lead, text).map_err(CorpusError::tokens)?;
                let excess = composed.ids.len().saturating_sub(max);
                // Alone a passage may have some tokens more than it had in the block: then the rest is planned again with less.
                if excess > 0 && self.budget > 1 {
                    self.budget = self.budget.saturating_sub(excess).max(1);
                    self.plan();
                    continue;
                }
                if excess > 0 {
                    let template = segmenter.composer.template();
                    return Err(CorpusError::ReferenceLength { found: max, template, needed: max + excess });
                }
                let (start, end_byte) = (self.block.start + range.start as u64, self.block.start + range.end as u64);
                let passage = Passage { start, end: end_byte, text: text.to_owned(), lead: composed.lead, ids: composed.ids };
                self.passed(end);
                return Ok(Some(passage));
            }
            self.passed(end);
        }
    }

    /// Plans the passages of what is left of the block.
    fn plan(&mut self) {
        let before = self.done.checked_sub(1).map_or(0, |last| self.counts[last]);
        let ends = plan::plan(&self.breaks[self.done..], &self.counts[self.done..], before, self.budget);
        self.planned = ends.into_iter().map(|end| self.done + end).collect::<Vec<_>>().into_iter();
    }

    /// The text up to a break is cut.
    fn passed(&mut self, end: usize) {
        self.start = self.breaks[end].at;
        self.done = end + 1;
    }
}

/// The range `start..end` of `text` without the white space at both its ends.
fn trimmed(text: &str, start: usize, end: usize) -> Range<usize> {
    let part = &text[start..end];
    let left = part.len() - part.trim_start().len();
    start + left..start + left + part.trim().len()
}
