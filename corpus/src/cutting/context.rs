//! The lines above a passage that are read with it, within a share of its tokens.

use crate::CorpusError;
use crate::composing::{Lead, ReferenceTokens, is_cjk};
use crate::structure::{Above, Kind};

/// The part of a reference's tokens, without its title, that the lines above it may take is one in this many.
const SHARE: usize = 2;
/// The innermost lines, which are always read: what introduces a list and the item above, or the heading and the header of a table. Each
/// further line takes from the few tokens that a memory keeps of its reference.
const NEEDED: usize = 2;
/// A line that is shortened keeps at least so many tokens, or is left out.
const MIN_TOKENS: usize = 4;

/// The lines above a place, as they are read before a passage that begins there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Context {
    /// The lines that the passage needs, the outermost first.
    lines: Vec<String>,
    /// Number of their tokens.
    pub tokens: usize,
    /// Lines above these, which are read where there is room, the outermost first.
    parents: Vec<String>,
}

impl Context {
    /// The lines of `chain` within `budget`, the tokens of a passage and what is above it. The heading that is the document's title is left
    /// out, for it is read before the passage.
    pub fn new<T: ReferenceTokens + ?Sized>(
        tokens: &T,
        lead: &Lead,
        chain: &[impl AsRef<Above>],
        budget: usize,
    ) -> Result<Self, CorpusError> {
        let room = budget / SHARE;
        let is_title = |above: &&Above| above.kind == Kind::Heading && lead.is_title(&above.text);
        let mut chain: Vec<&Above> = chain.iter().map(AsRef::as_ref).filter(|above| !is_title(above)).collect();
        let parents: Vec<&Above> = chain.drain(..chain.len().saturating_sub(NEEDED)).collect();
        for above in parents.iter().chain(&chain) {
            if above.tokens.get().is_none() {
                let _ = above.tokens.set(count(tokens, &above.text)?);
            }
        }
        let mut lines = fit(tokens, &chain, room)?;
        lines.reverse();
        let used: usize = lines.iter().map(|(_, count)| count).sum();
        let whole = lines.len() == chain.len();
        let mut left = room - used;
        let mut kept = Vec::new();
        for parent in parents.into_iter().rev().filter(|_| whole) {
            let Some(rest) = left.checked_sub(size(parent)) else { break };
            left = rest;
            kept.insert(0, parent.text.clone());
        }
        Ok(Self { lines: lines.into_iter().map(|(line, _)| line).collect(), tokens: used, parents: kept })
    }

    /// What may be read before a passage, the best first: with parents as there are, without them, and then with ever fewer lines.
    /// Each ends in a line feed unless it is empty.
    pub fn choices(&self) -> impl Iterator<Item = String> {
        let all: Vec<&String> = self.parents.iter().chain(&self.lines).collect();
        (0..=all.len()).map(move |left_out| all[left_out..].iter().map(|line| format!("{line}\n")).collect())
    }

    /// Number of lines that are read only where there is room.
    pub fn optional(&self) -> usize {
        self.parents.len()
    }
}

/// The lines of `chain` with their tokens, the innermost first, in `room` tokens. Where not all fit, the item or the row that the passage
/// goes on in comes first, for it says what the passage is about: "(b) For all policies in the small group market". The others share
/// what it leaves.
fn fit<T: ReferenceTokens + ?Sized>(tokens: &T, chain: &[&Above], room: usize) -> Result<Vec<(String, usize)>, CorpusError> {
    let goes_on = |above: &&&Above| matches!(above.kind, Kind::Item | Kind::Label);
    match chain.split_last().filter(|(inner, _)| goes_on(inner)) {
        Some((inner, outer)) => {
            let mut fitted = fit_evenly(tokens, &[inner], room)?;
            let left = room - fitted.iter().map(|(_, used)| used).sum::<usize>();
            fitted.extend(fit_evenly(tokens, outer, left)?);
            Ok(fitted)
        }
        None => fit_evenly(tokens, chain, room),
    }
}

/// The lines of `chain`, the innermost first, in `room` tokens: whole if all fit, else each shortened to its share of the room; the
/// outermost are left out where the shares are too small.
fn fit_evenly<T: ReferenceTokens + ?Sized>(tokens: &T, chain: &[&Above], room: usize) -> Result<Vec<(String, usize)>, CorpusError> {
    for from in 0..chain.len() {
        let lines = &chain[from..];
        let share = share(lines, room);
        if share < MIN_TOKENS && lines.iter().any(|above| size(above) > share) {
            continue;
        }
        let mut fitted = Vec::with_capacity(lines.len());
        for above in lines.iter().rev() {
            let text = if size(above) <= share { Some(above.text.clone()) } else { shorten(tokens, above, share)? };
            if let Some(text) = text {
                let used = count(tokens, &text)?;
                fitted.push((text, used));
            }
        }
        if fitted.iter().map(|(_, used)| used).sum::<usize>() <= room && !fitted.is_empty() {
            return Ok(fitted);
        }
    }
    Ok(Vec::new())
}

/// The most tokens that each line may have so that all of them, shortened to it, fit into `room`.
fn share(lines: &[&Above], room: usize) -> usize {
    let mut sizes: Vec<usize> = lines.iter().map(|above| size(above)).collect();
    sizes.sort_unstable();
    let mut left = room;
    for (at, size) in sizes.iter().enumerate() {
        let share = left / (sizes.len() - at);
        if *size > share {
            return share;
        }
        left -= size;
    }
    room
}

/// Tokens of a line with its line feed.
fn size(above: &Above) -> usize {
    above.tokens.get().copied().unwrap_or(usize::MAX)
}

fn count<T: ReferenceTokens + ?Sized>(tokens: &T, line: &str) -> Result<usize, CorpusError> {
    Ok(tokens.token_starts(line).map_err(CorpusError::tokens)?.len() + 1)
}

/// A line in at most `max` tokens with its line feed: the header of a table with fewer words in each cell, any other line without its
/// end. `None` if nothing sensible is left.
fn shorten<T: ReferenceTokens + ?Sized>(tokens: &T, above: &Above, max: usize) -> Result<Option<String>, CorpusError> {
    if above.kind == Kind::Header {
        for words in (1..=3).rev() {
            let text = shorten_cells(&above.text, words);
            if count(tokens, &text)? <= max {
                return Ok(Some(text));
            }
        }
        return Ok(None);
    }
    let starts = tokens.token_starts(&above.text).map_err(CorpusError::tokens)?;
    // One token is the line feed, another one the ellipsis.
    for kept in (1..max.saturating_sub(1)).rev() {
        let Some(at) = starts.get(kept) else { continue };
        let text = before_word(&above.text, *at);
        if text.contains(char::is_alphanumeric) {
            let text = format!("{text}…");
            if count(tokens, &text)? <= max {
                return Ok(Some(text));
            }
        }
    }
    Ok(None)
}

fn shorten_cells(header: &str, words: usize) -> String {
    let separator = if header.contains('|') { '|' } else { '\t' };
    let cell = |cell: &str| {
        let text = cell.split_whitespace().take(words).collect::<Vec<_>>().join(" ");
        if separator == '|' && !text.is_empty() { format!(" {text} ") } else { text }
    };
    let cells: Vec<String> = header.split(separator).map(cell).collect();
    cells.join(&separator.to_string()).trim().to_owned()
}

/// `text` up to byte `at`, without a word that `at` cuts.
fn before_word(text: &str, at: usize) -> &str {
    let (before, after) = text.split_at(text.floor_char_boundary(at));
    let inner = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() && !is_cjk(c));
    let before = if inner(before.chars().next_back()) && inner(after.chars().next()) {
        before.trim_end_matches(|c: char| c.is_alphanumeric() && !is_cjk(c))
    } else {
        before
    };
    before.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, ',' | '，' | '、' | '(' | '（' | '['))
}
