//! Cutting documents into references that the model can read whole (arXiv 2407.01178, section 3.2: at most 128 tokens).

mod breaks;
mod plan;

use mempack_model::{Composer, Lead, ReferenceTokens};

use crate::BuildError;

/// Tokens that must be free beside the template: any character, and any word that is not cut, takes far fewer.
const LEAST_TOKENS: usize = 16;
/// Words of more tokens may be cut between characters, and words with the marks that cling to them between those.
const LONG_WORD: usize = 8;

/// A reference, as a part of a text.
#[derive(Debug)]
pub(crate) struct Piece {
    /// Its first byte in the text; no white space.
    pub start: usize,
    /// Behind its last byte; before it no white space.
    pub end: usize,
    /// What model and embedder read before it: the title with its punctuation, or nothing.
    pub lead: String,
    /// What the model reads, at most the model's limit.
    pub ids: Vec<u32>,
}

/// Cuts texts for one model.
pub(crate) struct Segmenter<'a, T: ReferenceTokens + ?Sized> {
    tokens: &'a T,
    composer: Composer<'a, T>,
}

impl<'a, T: ReferenceTokens + ?Sized> Segmenter<'a, T> {
    pub fn new(tokens: &'a T) -> Result<Self, BuildError> {
        let composer = Composer::new(tokens)?;
        let (template, found) = (composer.template(), tokens.limit());
        if found < template + LEAST_TOKENS {
            return Err(BuildError::ReferenceLength { found, template, needed: template + LEAST_TOKENS });
        }
        Ok(Self { tokens, composer })
    }

    /// What stands before the references of a document with this title.
    pub fn lead(&self, title: &str) -> Result<Lead, BuildError> {
        Ok(self.composer.lead(title)?)
    }

    /// Cut a text, and hand out its pieces in order. Together they hold all of it but white space.
    pub fn cut(&self, text: &str, lead: &Lead, each: &mut dyn FnMut(Piece) -> Result<(), BuildError>) -> Result<(), BuildError> {
        let mut starts = self.tokens.starts(text)?;
        starts.sort_unstable();
        let before = |at: usize| starts.partition_point(|start| *start < at);
        let breaks = breaks::find(text, |start, end| end - start > LONG_WORD && before(end) - before(start) > LONG_WORD);
        let counts: Vec<usize> = breaks.iter().map(|cut| before(cut.at)).collect();

        let limit = self.tokens.limit();
        let mut budget = limit - lead.tokens();
        // Encoded alone a piece may have some tokens more than it had in the text: then the rest is cut anew with less.
        let mut done = 0;
        'plans: while done < breaks.len() {
            let (mut start, first) = if done == 0 { (0, 0) } else { (breaks[done - 1].at, counts[done - 1]) };
            let planned = done;
            for end in plan::plan(&breaks[planned..], &counts[planned..], first, budget) {
                let range = trimmed(text, start, breaks[planned + end].at);
                start = breaks[planned + end].at;
                if !range.is_empty() {
                    let piece = self.piece(text, range, lead)?;
                    let excess = piece.ids.len().saturating_sub(limit);
                    if excess > 0 && budget > 1 {
                        budget = budget.saturating_sub(excess).max(1);
                        continue 'plans;
                    }
                    if excess > 0 {
                        return Err(BuildError::ReferenceLength {
                            found: limit,
                            template: self.composer.template(),
                            needed: limit + excess,
                        });
                    }
                    each(piece)?;
                }
                done = planned + end + 1;
            }
        }
        Ok(())
    }

    fn piece(&self, text: &str, range: std::ops::Range<usize>, lead: &Lead) -> Result<Piece, BuildError> {
        let (start, end) = (range.start, range.end);
        let composed = self.composer.compose(lead, &text[range])?;
        Ok(Piece { start, end, lead: composed.lead, ids: composed.ids })
    }
}

fn trimmed(text: &str, start: usize, end: usize) -> std::ops::Range<usize> {
    let part = &text[start..end];
    let left = part.len() - part.trim_start().len();
    start + left..start + left + part.trim().len()
}

#[cfg(test)]
mod tests;
