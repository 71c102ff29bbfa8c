//! Cutting documents into references that the model can read whole (arXiv 2407.01178, section 3.2: at most 128 tokens).

mod breaks;
mod plan;

use std::borrow::Cow;

use mempack_model::{ComputeError, Model};

use self::breaks::is_cjk;
use crate::BuildError;

/// Part of a reference's tokens that its title may take.
const TITLE_SHARE: usize = 4;
/// Tokens that must be free beside the template: any character, and any word that is not cut, takes far fewer.
const LEAST_TOKENS: usize = 16;
/// Words of more tokens may be cut between characters.
const LONG_WORD: usize = 8;

/// What segmentation needs of a model.
pub(crate) trait Tokens {
    /// The byte of `text` where each of its tokens begins.
    fn starts(&self, text: &str) -> Result<Vec<usize>, ComputeError>;
    /// The ids that the model reads for a reference of this text, template included.
    fn reference(&self, text: &str) -> Result<Vec<u32>, ComputeError>;
    /// Most ids of a reference.
    fn limit(&self) -> usize;
}

impl Tokens for Model {
    fn starts(&self, text: &str) -> Result<Vec<usize>, ComputeError> {
        Ok(self.tokenizer().encode_spans(text)?.into_iter().map(|(_, span)| span.start).collect())
    }

    fn reference(&self, text: &str) -> Result<Vec<u32>, ComputeError> {
        mempack_model::reference_tokens(self, text)
    }

    fn limit(&self) -> usize {
        self.memory().reference_length as usize
    }
}

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
pub(crate) struct Segmenter<'a, T: Tokens + ?Sized> {
    tokens: &'a T,
    /// Ids of an empty reference: the template's own.
    template: usize,
}

impl<'a, T: Tokens + ?Sized> Segmenter<'a, T> {
    pub fn new(tokens: &'a T) -> Result<Self, BuildError> {
        let (template, found) = (tokens.reference("")?.len(), tokens.limit());
        if found < template + LEAST_TOKENS {
            return Err(BuildError::ReferenceLength { found, template, needed: template + LEAST_TOKENS });
        }
        Ok(Self { tokens, template })
    }

    /// What stands before the references of a document with this title: at most a quarter of their tokens.
    pub fn lead(&self, title: &str) -> Result<Lead, BuildError> {
        let title = title.split_whitespace().collect::<Vec<_>>().join(" ");
        // A longer title than this would be cut anyway; the tokenizer need not see more.
        let head = &title[..boundary(&title, 4096)];
        let most = self.tokens.limit() / TITLE_SHARE;
        let mut kept = head;
        let mut allowed = most;
        loop {
            let starts = self.tokens.starts(kept)?;
            if let Some(&at) = starts.get(allowed) {
                kept = shorten(kept, at);
            }
            let text = punctuate(kept);
            // The blank behind the title is part of the next word's token.
            let used = self.tokens.reference(text.trim_end())?.len();
            // Punctuation and template may join tokens or add some.
            if kept.is_empty() || used <= self.template + most || allowed == 0 {
                let text = if used <= self.template + most { text } else { String::new() };
                return Ok(Lead { used: used.max(self.template), text, title });
            }
            allowed = starts.len().min(allowed).saturating_sub(used - self.template - most);
        }
    }

    /// Cut a text, and hand out its pieces in order. Together they hold all of it but white space.
    pub fn cut(&self, text: &str, lead: &Lead, each: &mut dyn FnMut(Piece) -> Result<(), BuildError>) -> Result<(), BuildError> {
        let mut starts = self.tokens.starts(text)?;
        starts.sort_unstable();
        let before = |at: usize| starts.partition_point(|start| *start < at);
        let breaks = breaks::find(text, |start, end| end - start > LONG_WORD && before(end) - before(start) > LONG_WORD);
        let counts: Vec<usize> = breaks.iter().map(|cut| before(cut.at)).collect();

        let limit = self.tokens.limit();
        let mut budget = limit - lead.used;
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
                        return Err(BuildError::ReferenceLength { found: limit, template: self.template, needed: limit + excess });
                    }
                    each(piece)?;
                }
                done = planned + end + 1;
            }
        }
        Ok(())
    }

    /// One reference; without its title if it has no room for it.
    fn piece(&self, text: &str, range: std::ops::Range<usize>, lead: &Lead) -> Result<Piece, BuildError> {
        let (start, end) = (range.start, range.end);
        let own = &text[range];
        if !lead.text.is_empty() && !lead.opens(own) {
            let ids = self.tokens.reference(&compose(&lead.text, own))?;
            if ids.len() <= self.tokens.limit() || self.tokens.starts(own)?.len() > LONG_WORD {
                return Ok(Piece { start, end, lead: lead.text.clone(), ids });
            }
        }
        Ok(Piece { start, end, lead: String::new(), ids: self.tokens.reference(&compose("", own))? })
    }
}

/// The title of a document as it stands before its references.
#[derive(Clone, Debug)]
pub(crate) struct Lead {
    text: String,
    title: String,
    /// Tokens of `text` and of the template.
    used: usize,
}

impl Lead {
    /// Whether a text begins with the title itself, as a heading or in its first sentence.
    fn opens(&self, text: &str) -> bool {
        let text = text.trim_start_matches(|c: char| c == '#' || c.is_whitespace());
        text.strip_prefix(self.title.as_str()).is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() && !is_cjk(c)))
    }
}

/// What model and embedder read of a reference. Lines end in a line feed for them, however the document ends them.
pub(crate) fn compose<'t>(lead: &str, text: &'t str) -> Cow<'t, str> {
    let text = if text.contains("\r\n") { Cow::Owned(text.replace("\r\n", "\n")) } else { Cow::Borrowed(text) };
    if lead.is_empty() { text } else { Cow::Owned(format!("{lead}{text}")) }
}

fn punctuate(title: &str) -> String {
    match title.chars().next_back() {
        None => String::new(),
        Some('.' | '!' | '?' | ':' | ';') => format!("{title} "),
        Some('。' | '！' | '？' | '：' | '；') => title.to_owned(),
        Some(c) if is_cjk(c) => format!("{title}。"),
        Some(_) => format!("{title}. "),
    }
}

/// The last boundary of characters not behind `at`.
fn boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// `text` before byte `at`, back to the end of a word if there is one.
fn shorten(text: &str, at: usize) -> &str {
    let text = &text[..boundary(text, at)];
    match text.rfind(char::is_whitespace) {
        Some(blank) => text[..blank].trim_end(),
        None => text,
    }
}

fn trimmed(text: &str, start: usize, end: usize) -> std::ops::Range<usize> {
    let part = &text[start..end];
    let left = part.len() - part.trim_start().len();
    start + left..start + left + part.trim().len()
}

#[cfg(test)]
mod tests;
