//! The passages of a document, cut block by block.

use std::ops::Range;
use std::vec::IntoIter;

use mempack_extract::{Marks, OriginPlace};
use mempack_format::Document;

use super::Segmenter;
use super::breaks::{self, Break, Class};
use super::context::Context;
use super::plan::{self, Place};
use crate::CorpusError;
use crate::blocks::{Block, Blocks};
use crate::composing::{Composed, Lead, ReferenceTokens};
use crate::document::has_words;
use crate::fields::DocumentField;
use crate::structure::{Bond, Outline, Scanner};

/// Words of more tokens may be cut between characters, and words with the marks that cling to them between those.
const LONG_WORD: usize = 8;

/// Blanks that are read before a passage below other lines: as many as an item in other items has.
const MAX_INDENT: usize = 8;

/// A part of a document that the model can read whole. Equal passages are one reference of a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// Its first byte in the document's text, which is not white space.
    pub start: u64,
    /// The end of its last byte, which is not white space.
    pub end: u64,
    /// Lines of the document above `start` that the passage needs to be understood, such as the header of its table, each with a line
    /// feed, and its indent; then the document's own bytes from `start` to `end`, without what is no text, such as comments.
    pub text: String,
    /// What model and embedder read before the text: the title with its punctuation, or nothing.
    pub lead: String,
    /// Where it stands in the document, as a citation says it.
    pub place: OriginPlace,
    /// The ids that the model reads, [`max_reference_tokens`](ReferenceTokens::max_reference_tokens) at most.
    pub ids: Vec<u32>,
}

/// Iterates over the passages of a document in order. Together they hold all of its text but white space and blocks without words; each
/// begins after the one before it, or with the end of it where [`CutOptions`](super::CutOptions) say so. It ends after an error.
///
/// Memory: one block of the document, with its tokens.
pub struct Passages<'s, T: ?Sized> {
    segmenter: &'s Segmenter<'s, T>,
    metadata: Document,
    fields: Vec<DocumentField>,
    marks: Marks,
    lead: Lead,
    blocks: Blocks,
    scanner: Scanner,
    /// None after the last block, and after an error.
    block: Option<BlockCut>,
}

impl<'s, T: ReferenceTokens + ?Sized> Passages<'s, T> {
    pub(super) fn new(
        segmenter: &'s Segmenter<'s, T>,
        metadata: Document,
        marks: Marks,
        lead: Lead,
        blocks: Blocks,
        first: Block,
    ) -> Result<Self, CorpusError> {
        let mut scanner = Scanner::default();
        let block = Some(BlockCut::new(segmenter, &lead, first, &marks, &mut scanner)?);
        Ok(Self { segmenter, metadata, fields: Vec::new(), marks, lead, blocks, scanner, block })
    }

    pub(super) fn with_fields(self, fields: Vec<DocumentField>) -> Self {
        Self { fields, ..self }
    }

    /// The document's metadata, with the title found in its text.
    pub fn metadata(&self) -> &Document {
        &self.metadata
    }

    /// The document's fields beside those of its record, if they are read.
    pub fn fields(&self) -> &[DocumentField] {
        &self.fields
    }

    fn next_passage(&mut self) -> Result<Option<Passage>, CorpusError> {
        while let Some(block) = &mut self.block {
            if let Some(passage) = block.next_passage(self.segmenter, &self.lead)? {
                // A text that has places is in memory, so its bytes are counted by `usize`.
                let place = self.marks.places(passage.start as usize, passage.end as usize);
                return Ok(Some(Passage { place: OriginPlace { headings: passage.place.headings, ..place }, ..passage }));
            }
            self.block = match self.blocks.by_ref().find(|block| !matches!(block, Ok(block) if !has_words(&block.text))) {
                Some(next) => Some(BlockCut::new(self.segmenter, &self.lead, next?, &self.marks, &mut self.scanner)?),
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
    /// All places to cut.
    breaks: Vec<Break>,
    places: Vec<Place>,
    /// Where a passage is read from that begins at each break, in bytes of the block: before the break where it repeats what stands there.
    repeats: Vec<usize>,
    /// The beginning of the block, as a place.
    first: Place,
    outline: Outline,
    /// What is read before a passage below each chain of the outline.
    contexts: Vec<Context>,
    /// Tokens that a passage is planned to have at most, with the lines above it.
    budget: usize,
    /// Number of breaks up to the end of the last passage.
    done: usize,
    /// Where the next passage begins, in bytes of the block.
    start: usize,
    /// The breaks at which the next passages are planned to end.
    planned: IntoIter<usize>,
}

impl BlockCut {
    fn new<T: ReferenceTokens + ?Sized>(
        segmenter: &Segmenter<'_, T>,
        lead: &Lead,
        block: Block,
        marks: &Marks,
        scanner: &mut Scanner,
    ) -> Result<Self, CorpusError> {
        let mut starts = segmenter.tokens.token_starts(&block.text).map_err(CorpusError::tokens)?;
        starts.sort_unstable();
        starts.retain(|start| !block.hides(*start));
        let before = |at: usize| starts.partition_point(|start| *start < at);
        let breaks = breaks::find(&block.text, |start, end| end - start > LONG_WORD && before(end) - before(start) > LONG_WORD);
        let budget = segmenter.composer.length().saturating_sub(lead.tokens());
        let outline = scanner.scan(&block.text);
        let context = |chain: &Vec<_>| Context::new(segmenter.tokens, lead, chain, budget);
        let contexts = outline.chains().iter().map(context).collect::<Result<Vec<_>, _>>()?;
        let above = |at: usize| outline.chain_at(at).map_or(0, |chain| contexts[chain].tokens);
        let bonds = outline.bonds(breaks.iter().map(|cut| cut.at));
        let apart = bounds(marks, &block);
        let place = |(cut, bond): (&Break, _)| {
            let ends = apart.binary_search(&cut.at).is_ok();
            Place { class: cut.class, bond, before: before(cut.at), above: above(cut.at), ends }
        };
        let mut places: Vec<Place> = breaks.iter().zip(bonds).map(place).collect();
        let mut repeats: Vec<usize> = breaks.iter().map(|cut| cut.at).collect();
        if segmenter.options.overlap > 0 {
            for at in 0..places.len() {
                let room = segmenter.options.overlap.min(budget.saturating_sub(places[at].above) / 2);
                if let Some(from) = repeated(&breaks, &places, &outline, at, room) {
                    repeats[at] = breaks[from].at;
                }
            }
            // Afterwards, for `above` is without what is repeated until then.
            for (place, from) in places.iter_mut().zip(&repeats) {
                place.above += place.before - before(*from);
            }
        }
        let text_start = block.text.len() - block.text.trim_start().len();
        let first = Place { class: Class::Paragraph, bond: Bond::None, before: 0, above: above(text_start), ends: false };
        Ok(Self { block, breaks, places, repeats, first, outline, contexts, budget, done: 0, start: 0, planned: Vec::new().into_iter() })
    }

    fn next_passage<T: ReferenceTokens + ?Sized>(
        &mut self,
        segmenter: &Segmenter<'_, T>,
        lead: &Lead,
    ) -> Result<Option<Passage>, CorpusError> {
        let max = segmenter.composer.length();
        loop {
            let Some(end) = self.planned.next() else {
                if self.done == self.breaks.len() {
                    return Ok(None);
                }
                self.plan();
                continue;
            };
            let own = |from: usize| {
                let range = trimmed(&self.block.text, from, self.breaks[end].at);
                (self.block.shown(range.clone()), range)
            };
            if own(self.start).0.is_empty() {
                self.passed(end);
                continue;
            }
            let (mut shown, mut range) = own(self.repeated_from());
            let (mut text, mut composed) = self.compose(segmenter, lead, range.start, shown, end > self.done)?;
            if composed.ids.len() > max && self.repeated_from() < self.start {
                // Nothing is repeated where there is no room.
                (shown, range) = own(self.start);
                (text, composed) = self.compose(segmenter, lead, range.start, shown, end > self.done)?;
            }
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
            let place = OriginPlace { headings: self.headings(range.clone()), ..OriginPlace::default() };
            let (start, end_byte) = (self.block.start + range.start as u64, self.block.start + range.end as u64);
            self.passed(end);
            return Ok(Some(Passage { start, end: end_byte, text, lead: composed.lead, place, ids: composed.ids }));
        }
    }

    /// Where the next passage is read from, in bytes of the block.
    fn repeated_from(&self) -> usize {
        self.done.checked_sub(1).map_or(self.start, |last| self.repeats[last])
    }

    /// The passage `own`, which begins at byte `at`, with the lines above it. Lines that are optional are left out where there is no room;
    /// the others too, if the passage cannot be cut shorter.
    fn compose<T: ReferenceTokens + ?Sized>(
        &self,
        segmenter: &Segmenter<'_, T>,
        lead: &Lead,
        at: usize,
        own: String,
        divisible: bool,
    ) -> Result<(String, Composed), CorpusError> {
        let compose = |text: &str| segmenter.composer.compose(lead, text).map_err(CorpusError::tokens);
        if let Some(chain) = self.outline.chain_at(at) {
            let context = &self.contexts[chain];
            let indent = self.indent(at);
            for (left_out, above) in context.choices().enumerate() {
                let text = if above.is_empty() { own.clone() } else { format!("{above}{indent}{own}") };
                let composed = compose(&text)?;
                let fits = composed.ids.len() <= segmenter.composer.length();
                if fits || divisible && left_out >= context.optional() {
                    return Ok((text, composed));
                }
            }
        }
        let composed = compose(&own)?;
        Ok((own, composed))
    }

    /// The headings that the passage in a range of bytes stands below, with those that it begins with.
    fn headings(&self, range: Range<usize>) -> Vec<String> {
        let headings = self.outline.headings(range).into_iter();
        headings.map(|above| above.text.trim_matches('#').trim().to_owned()).filter(|heading| !heading.is_empty()).collect()
    }

    /// The blanks before a passage that begins a line.
    fn indent(&self, at: usize) -> &str {
        let before = &self.block.text[..at];
        let line = &before[before.rfind('\n').map_or(0, |end| end + 1)..];
        if line.len() <= MAX_INDENT && line.bytes().all(|byte| byte == b' ') { line } else { "" }
    }

    /// Plans the passages of what is left of the block.
    fn plan(&mut self) {
        let first = self.done.checked_sub(1).map_or(self.first, |last| self.places[last]);
        let ends = plan::plan(&self.places[self.done..], first, self.budget);
        self.planned = ends.into_iter().map(|end| self.done + end).collect::<Vec<_>>().into_iter();
    }

    /// The text up to a break is cut.
    fn passed(&mut self, end: usize) {
        self.start = self.breaks[end].at;
        self.done = end + 1;
    }
}

/// The break from which a passage that begins at break `at` repeats at most `room` tokens: of the same section, or rows of the same table,
/// and of nothing that stands apart. As many sentences as there is room for, else words.
fn repeated(breaks: &[Break], places: &[Place], outline: &Outline, at: usize, room: usize) -> Option<usize> {
    let is_near = |place: &Place| places[at].before - place.before <= room;
    let (mut sentences, mut words) = (None, None);
    for from in (0..at).rev().take_while(|from| is_near(&places[*from])) {
        // A heading, an introduction or the header of a table ends before it.
        if places[from + 1].ends || places[from + 1].bond == Bond::Lead {
            break;
        }
        if places[from].bond == Bond::Row || !outline.is_same_above(breaks[from].at, breaks[at].at) {
            continue;
        }
        match breaks[from].class {
            Class::Paragraph | Class::Sentence => sentences = Some(from),
            Class::Clause | Class::Word | Class::Ideograph => words = Some(from),
            Class::Character | Class::Cluster => {}
        }
    }
    sentences.or(words)
}

/// The bytes of a block at which what stands apart begins, and what follows it, in ascending order.
fn bounds(marks: &Marks, block: &Block) -> Vec<usize> {
    let mut bounds = Vec::new();
    for range in marks.apart() {
        // A text that has marks is in memory, so its bytes are counted by `usize`.
        let inside = |at: usize| at.checked_sub(block.start as usize).filter(|at| *at <= block.text.len());
        bounds.extend(inside(range.start));
        bounds.extend(inside(range.end).and_then(|end| block.text.get(end..)).map(|rest| block.text.len() - rest.trim_start().len()));
    }
    bounds.sort_unstable();
    bounds
}

/// The range `start..end` of `text` without the white space at both its ends.
fn trimmed(text: &str, start: usize, end: usize) -> Range<usize> {
    let part = &text[start..end];
    let left = part.len() - part.trim_start().len();
    start + left..start + left + part.trim().len()
}
