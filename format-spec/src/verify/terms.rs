//! Verification of the inverted index.

use super::Verifier;
use crate::constants::TERMS_HEADER_BYTES;
use crate::error::{Damage, Defect, Interrupted};
use crate::{ReadError, Section, Terms};

impl<D: AsRef<[u8]>> Verifier<'_, D> {
    /// Checks that terms ascend and lists hold what the lengths of the references say (SPEC 12.1).
    ///
    /// Memory: 4 bytes for each reference.
    pub(super) fn terms(&mut self, section: &Section) -> Result<(), Interrupted> {
        let digest = self.hash(section)?;
        match self.pack.terms() {
            Ok(Some(terms)) => {
                let before = self.report.damages;
                let mut lengths = vec![0u32; terms.references() as usize];
                let mut last: &[u8] = &[];
                for term in 0..terms.len() {
                    let name = check_name(&terms, term, last);
                    last = *name.as_ref().unwrap_or(&last);
                    self.checked(name.map(|_| ()))?;
                    self.checked(count(&terms, term, &mut lengths))?;
                }
                // Wrong lists explain wrong sums.
                if self.report.damages == before {
                    self.checked(check_lengths(&terms, &lengths))?;
                }
            }
            Err(ReadError::Damaged(damage)) => self.damage(damage)?,
            Ok(None) | Err(ReadError::OutOfRange { .. }) => {}
        }
        self.close(section, digest)?;
        Ok(())
    }
}

/// A term, which must be UTF-8 and come after the `last` one.
fn check_name<'a>(terms: &Terms<'a>, term: u32, last: &[u8]) -> Result<&'a [u8], Damage> {
    let name = terms.name(term)?;
    if std::str::from_utf8(name).is_err() {
        return Err(terms.damage(terms.name_at(term), Defect::Utf8 { field: "a term" }));
    }
    if name <= last {
        return Err(
            terms.damage(terms.name_at(term), Defect::Repeated { field: "a term, or one that is not in order,", found: term.into() })
        );
    }
    Ok(name)
}

/// Adds the counts of a term to the lengths of the references.
fn count(terms: &Terms<'_>, term: u32, lengths: &mut [u32]) -> Result<(), Damage> {
    for posting in terms.postings(term)? {
        let posting = posting?;
        if let Some(length) = lengths.get_mut(posting.reference as usize) {
            *length = length.saturating_add(posting.count);
        }
    }
    Ok(())
}

fn check_lengths(terms: &Terms<'_>, counted: &[u32]) -> Result<(), Damage> {
    let mut occurrences = 0u64;
    for (reference, expected) in (0u32..).zip(counted) {
        let (expected, found) = (u64::from(*expected), u64::from(terms.length(reference)));
        if expected != found {
            let at = TERMS_HEADER_BYTES + 4 * u64::from(reference);
            return Err(terms.damage(at, Defect::Value { field: "terms of a reference", expected, found }));
        }
        occurrences += found;
    }
    if occurrences == terms.occurrences() {
        return Ok(());
    }
    Err(terms.damage(8, Defect::Value { field: "terms of all references", expected: occurrences, found: terms.occurrences() }))
}
