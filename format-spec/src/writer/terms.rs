//! Writing the inverted index.

use super::spool::Spool;
use super::{Files, at_most};
use crate::WriteError;
use crate::constants::MAX_TERM_BYTES;
use crate::terms::{Posting, RawTerms, put_postings};
use zerocopy::IntoBytes;

/// An inverted index to write.
pub trait TermSource {
    /// The number of the analysis that made the terms.
    fn analysis(&self) -> u32;
    /// The standard deviation of the cosines between embeddings; 0 if it is not known.
    fn spread(&self) -> f64;
    /// Terms of each reference, repetitions counted.
    fn lengths(&self) -> &[u32];
    /// Every term in the order of its bytes, with the references that have it, in order.
    fn terms(&self) -> impl Iterator<Item = (&str, impl ExactSizeIterator<Item = Posting>)>;
}

/// Writes the section `TERMS` (SPEC 12.1).
pub(super) fn write(files: &Files, source: &impl TermSource) -> Result<Spool, WriteError> {
    let mut spool = files.spool("terms", 0)?;
    let (mut list_ends, mut names, mut lists) = (files.spool("list-ends", 0)?, files.spool("term-names", 0)?, files.spool("lists", 0)?);
    let mut name_ends = files.spool("term-ends", 0)?;
    let (mut terms, mut list) = (0u32, Vec::new());
    let mut last = String::new();
    for (name, postings) in source.terms() {
        at_most("number of a term", u64::from(u32::MAX) - 1, terms.into())?;
        at_most("bytes of a term", MAX_TERM_BYTES, name.len() as u64)?;
        if name <= last.as_str() {
            return Err(WriteError::Missing { what: "order of terms", remedy: "give every term once, in the order of its bytes" });
        }
        name.clone_into(&mut last);
        names.write(name.as_bytes())?;
        at_most("bytes of all terms", u32::MAX.into(), names.length())?;
        name_ends.write(&(names.length() as u32).to_le_bytes())?;
        list.clear();
        put_postings(postings, &mut list);
        lists.write(&list)?;
        list_ends.write(&lists.length().to_le_bytes())?;
        terms += 1;
    }
    let occurrences: u64 = source.lengths().iter().map(|length| u64::from(*length)).sum();
    let header = RawTerms {
        analysis: source.analysis().into(),
        terms: terms.into(),
        occurrences: occurrences.into(),
        spread: source.spread().into(),
    };
    spool.write(header.as_bytes())?;
    for length in source.lengths() {
        spool.write(&length.to_le_bytes())?;
    }
    for part in [name_ends, list_ends, names, lists] {
        spool.join(part, &*files.storage)?;
    }
    Ok(spool)
}
