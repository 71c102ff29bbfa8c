//! The inverted index over the texts of the references, searched in place (SPEC 12.1).

use std::cmp::Ordering;

use zerocopy::little_endian::{F64, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::Section;
use crate::constants::{MAX_TERM_BYTES, TERMS_HEADER_BYTES};
use crate::error::{Damage, Defect};

/// SPEC 12.1, "Header of the terms".
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawTerms {
    pub(crate) analysis: U32,
    pub(crate) terms: U32,
    pub(crate) occurrences: U64,
    pub(crate) spread: F64,
}

const _: () = assert!(size_of::<RawTerms>() as u64 == TERMS_HEADER_BYTES);

/// A reference that has a term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posting {
    /// Number of the reference.
    pub reference: u32,
    /// How often the term is in it; at least 1.
    pub count: u32,
}

/// An inverted index: which references have which terms, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    section: Section,
    analysis: u32,
    occurrences: u64,
    spread: f64,
    /// `[references]`.
    lengths: &'a [U32],
    /// `[terms]`: where each term ends in `names`.
    name_ends: &'a [U32],
    /// `[terms]`: where each list ends in `lists`.
    list_ends: &'a [U64],
    names: &'a [u8],
    lists: &'a [u8],
}

impl<'a> Terms<'a> {
    /// The index in `bytes`, the contents of `section`, of so many references. Looks at the header and the last ends.
    pub(crate) fn read(section: Section, bytes: &'a [u8], references: u32) -> Result<Self, Damage> {
        let damage = |at: u64, defect| Damage { section: section.tag, offset: section.offset.saturating_add(at), defect };
        let too_small =
            |_| damage(0, Defect::TooSmall { field: "bytes of the terms", limit: TERMS_HEADER_BYTES, found: bytes.len() as u64 });
        let (header, rest) = RawTerms::ref_from_prefix(bytes).map_err(too_small)?;
        let spread = header.spread.get();
        // No standard deviation of cosines is larger than 1.
        if !(0.0..=1.0).contains(&spread) || spread.is_sign_negative() {
            return Err(damage(16, Defect::Spread { found: spread }));
        }
        // All below 2^36.
        let (terms, references) = (header.terms.get() as usize, references as usize);
        let fixed = 4 * references + 12 * terms;
        let short = || {
            let limit = TERMS_HEADER_BYTES + fixed as u64;
            damage(4, Defect::TooSmall { field: "bytes of the terms", limit, found: bytes.len() as u64 })
        };
        let (lengths, rest) = rest.split_at_checked(4 * references).ok_or_else(short)?;
        let (name_ends, rest) = rest.split_at_checked(4 * terms).ok_or_else(short)?;
        let (list_ends, rest) = rest.split_at_checked(8 * terms).ok_or_else(short)?;
        let name_ends = <[U32]>::ref_from_bytes(name_ends).unwrap_or_default();
        let list_ends = <[U64]>::ref_from_bytes(list_ends).unwrap_or_default();
        let (names_end, lists_end) = (name_ends.last().map_or(0, |end| end.get().into()), list_ends.last().map_or(0, |end| end.get()));
        let expected = lists_end.checked_add(names_end).and_then(|all| all.checked_add(TERMS_HEADER_BYTES + fixed as u64));
        if expected != Some(bytes.len() as u64) {
            let (expected, found) = (expected.unwrap_or(u64::MAX), bytes.len() as u64);
            return Err(damage(0, Defect::Value { field: "bytes of the terms", expected, found }));
        }
        let (names, lists) = rest.split_at_checked(names_end as usize).ok_or_else(short)?;
        let lengths = <[U32]>::ref_from_bytes(lengths).unwrap_or_default();
        let (analysis, occurrences) = (header.analysis.get(), header.occurrences.get());
        Ok(Self { section, analysis, occurrences, spread, lengths, name_ends, list_ends, names, lists })
    }

    /// The number of the analysis that made terms of the texts (SPEC 12.1). A query is analysed in the same way.
    pub fn analysis(&self) -> u32 {
        self.analysis
    }

    /// The standard deviation of the cosines between embeddings of the pack: what similarities are divided by before scores are added to
    /// them. 0 if it is not known.
    pub fn spread(&self) -> f64 {
        self.spread
    }

    /// Terms of all references together, repetitions counted.
    pub fn occurrences(&self) -> u64 {
        self.occurrences
    }

    /// References.
    pub fn references(&self) -> u32 {
        self.lengths.len() as u32
    }

    /// Different terms.
    pub fn len(&self) -> u32 {
        self.name_ends.len() as u32
    }

    /// Whether there are no terms.
    pub fn is_empty(&self) -> bool {
        self.name_ends.is_empty()
    }

    /// Terms of a reference, repetitions counted; 0 for a reference that does not exist.
    pub fn length(&self, reference: u32) -> u32 {
        self.lengths.get(reference as usize).map_or(0, |length| length.get())
    }

    /// Where the end of a term stands in the section.
    pub(crate) fn name_at(&self, term: u32) -> u64 {
        TERMS_HEADER_BYTES + 4 * (self.lengths.len() as u64 + u64::from(term))
    }

    /// A term, in bytes of UTF-8.
    ///
    /// # Errors
    /// If there is no such term, or the ends before it and of it do not ascend.
    pub fn name(&self, term: u32) -> Result<&'a [u8], Damage> {
        let end = |term: u32| self.name_ends.get(term as usize).map_or(u64::MAX, |end| end.get().into());
        let start = term.checked_sub(1).map_or(0, end);
        let end = end(term);
        // Not empty, and no longer than a term may be.
        let inside = end > start && end - start <= MAX_TERM_BYTES;
        let name = if inside { self.names.get(start as usize..end as usize) } else { None };
        name.ok_or_else(|| {
            self.damage(
                self.name_at(term),
                Defect::TooLarge { field: "end of a term", limit: start.saturating_add(MAX_TERM_BYTES), found: end },
            )
        })
    }

    /// The number of a term, by bisection; `None` if no reference has it.
    ///
    /// # Errors
    /// If a term that is looked at is damaged.
    pub fn find(&self, name: &str) -> Result<Option<u32>, Damage> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.name(middle)?.cmp(name.as_bytes()) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Ok(Some(middle)),
            }
        }
        Ok(None)
    }

    /// The references that have a term.
    ///
    /// # Errors
    /// If there is no such term, or the ends before its list and of it do not ascend.
    pub fn postings(&self, term: u32) -> Result<Postings<'a>, Damage> {
        let end = |term: u32| self.list_ends.get(term as usize).map_or(u64::MAX, |end| end.get());
        let start = term.checked_sub(1).map_or(0, end);
        let end = end(term);
        let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
        let Some(bytes) = range.and_then(|(start, end)| self.lists.get(start..end)) else {
            let at = self.lists_at().saturating_sub(self.names.len() as u64 + 8 * (u64::from(self.len()) - u64::from(term)));
            return Err(
                self.damage(at, Defect::TooLarge { field: "end of a list of references", limit: self.lists.len() as u64, found: end })
            );
        };
        let offset = self.section.offset.saturating_add(self.lists_at()).saturating_add(start);
        let mut list = Postings { section: self.section, bytes, at: 0, offset, left: 0, next: 0, references: self.references() };
        let having = list.number("references of a term", u64::from(self.references()))?;
        if having == 0 {
            return Err(list.damage(0, Defect::TooSmall { field: "references of a term", limit: 1, found: 0 }));
        }
        list.left = having as u32;
        Ok(list)
    }

    /// Where the lists begin in the section.
    fn lists_at(&self) -> u64 {
        TERMS_HEADER_BYTES + 4 * self.lengths.len() as u64 + 12 * self.name_ends.len() as u64 + self.names.len() as u64
    }

    pub(crate) fn damage(&self, at: u64, defect: Defect) -> Damage {
        Damage { section: self.section.tag, offset: self.section.offset.saturating_add(at), defect }
    }
}

/// The references that have one term, in ascending order. Ends after the first damage.
#[derive(Clone, Debug)]
pub struct Postings<'a> {
    section: Section,
    bytes: &'a [u8],
    at: usize,
    /// Where the list begins in the file.
    offset: u64,
    left: u32,
    /// The least number that the next reference can have.
    next: u64,
    references: u32,
}

impl Postings<'_> {
    /// How many references are left.
    pub fn left(&self) -> u32 {
        self.left
    }

    fn damage(&self, at: usize, defect: Defect) -> Damage {
        Damage { section: self.section.tag, offset: self.offset.saturating_add(at as u64), defect }
    }

    /// A number of at most `limit` in LEB128, in its shortest form.
    fn number(&mut self, field: &'static str, limit: u64) -> Result<u64, Damage> {
        let start = self.at;
        let mut number = 0u64;
        for shift in (0..63).step_by(7) {
            let Some(byte) = self.bytes.get(self.at).copied() else {
                return Err(self.damage(
                    start,
                    Defect::TooSmall { field: "bytes of a list of references", limit: self.at as u64 + 1, found: self.at as u64 },
                ));
            };
            self.at += 1;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return match byte {
                    0 if shift > 0 => {
                        Err(self.damage(start, Defect::Value { field: "bytes of a number", expected: shift / 7, found: shift / 7 + 1 }))
                    }
                    _ if number > limit => Err(self.damage(start, Defect::TooLarge { field, limit, found: number })),
                    _ => Ok(number),
                };
            }
        }
        Err(self.damage(start, Defect::TooLarge { field: "bytes of a number", limit: 9, found: 10 }))
    }

    fn read(&mut self) -> Result<Posting, Damage> {
        let start = self.at;
        let coded = self.number("distance of a reference", 2 * u64::from(u32::MAX) + 1)?;
        let reference = self.next + coded / 2;
        let Some(number) = u32::try_from(reference).ok().filter(|reference| *reference < self.references) else {
            let limit = u64::from(self.references).saturating_sub(1);
            return Err(self.damage(start, Defect::TooLarge { field: "reference of a term", limit, found: reference }));
        };
        let count = if coded % 2 == 0 { 1 } else { self.number("count of a term", u64::from(u32::MAX) - 2)? as u32 + 2 };
        self.next = reference + 1;
        self.left -= 1;
        if self.left == 0 && self.at != self.bytes.len() {
            let (expected, found) = (self.at as u64, self.bytes.len() as u64);
            return Err(self.damage(self.at, Defect::Value { field: "bytes of a list of references", expected, found }));
        }
        Ok(Posting { reference: number, count })
    }
}

impl Iterator for Postings<'_> {
    type Item = Result<Posting, Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let read = self.read();
        if read.is_err() {
            self.left = 0;
        }
        Some(read)
    }
}

/// Appends the list of a term: how many references there are, then each. They must ascend, and counts be at least 1.
pub(crate) fn put_postings(postings: impl ExactSizeIterator<Item = Posting>, out: &mut Vec<u8>) {
    put_number(postings.len() as u64, out);
    let mut next = 0;
    for Posting { reference, count } in postings {
        let distance = u64::from(reference).saturating_sub(next);
        put_number(2 * distance + u64::from(count > 1), out);
        if count > 1 {
            put_number(u64::from(count) - 2, out);
        }
        next = u64::from(reference) + 1;
    }
}

fn put_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::{Digest, Tag};

    const REFERENCES: u32 = 40;

    fn section(bytes: &[u8]) -> Section {
        Section { tag: Tag::TERMS, required: false, offset: 4096, length: bytes.len() as u64, digest: Digest::of(bytes) }
    }

    /// Terms with the counts of their references.
    type Index = BTreeMap<String, BTreeMap<u32, u32>>;

    /// SPEC 12.1, written by hand.
    fn encode(index: &Index, spread: f64) -> Vec<u8> {
        let mut lengths = vec![0u32; REFERENCES as usize];
        let (mut name_ends, mut list_ends, mut names, mut lists) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (name, of_term) in index {
            names.extend(name.as_bytes());
            name_ends.extend((names.len() as u32).to_le_bytes());
            put_postings(of_term.iter().map(|(reference, count)| Posting { reference: *reference, count: *count }), &mut lists);
            list_ends.extend((lists.len() as u64).to_le_bytes());
            of_term.iter().for_each(|(reference, count)| lengths[*reference as usize] += count);
        }
        let occurrences: u64 = lengths.iter().map(|length| u64::from(*length)).sum();
        let header = [&1u32.to_le_bytes()[..], &(index.len() as u32).to_le_bytes(), &occurrences.to_le_bytes(), &spread.to_le_bytes()];
        let lengths: Vec<u8> = lengths.iter().flat_map(|length| length.to_le_bytes()).collect();
        [header.concat(), lengths, name_ends, list_ends, names, lists].concat()
    }

    fn small() -> Index {
        let of = |counts: &[(u32, u32)]| counts.iter().copied().collect();
        [("fever", of(&[(0, 1), (1, 2), (39, 300)])), ("lease", of(&[(7, 1)])), ("条例", of(&[(0, 1), (38, 1)]))]
            .into_iter()
            .map(|(name, counts)| (name.to_owned(), counts))
            .collect()
    }

    #[test]
    fn a_list_has_the_bytes_of_the_specification() {
        let mut bytes = Vec::new();
        put_postings([(5, 1), (6, 3), (200, 1)].map(|(reference, count)| Posting { reference, count }).into_iter(), &mut bytes);
        // Three references; 5 once; the next one, twice and once more; 193 between, as 386 in two bytes.
        assert_eq!(bytes, [3, 10, 1, 1, 0x82, 0x03]);
    }

    #[test]
    fn what_is_written_is_found() {
        let (index, bytes) = (small(), encode(&small(), 0.25));
        let terms = Terms::read(section(&bytes), &bytes, REFERENCES).unwrap();
        assert_eq!((terms.analysis(), terms.spread(), terms.len(), terms.references()), (1, 0.25, 3, REFERENCES));
        assert_eq!((terms.length(0), terms.length(39), terms.length(40), terms.occurrences()), (2, 300, 0, 306));
        for (name, of_term) in &index {
            let term = terms.find(name).unwrap().unwrap();
            let found: BTreeMap<u32, u32> = terms.postings(term).unwrap().map(|p| p.map(|p| (p.reference, p.count)).unwrap()).collect();
            assert_eq!(&found, of_term, "{name}");
        }
        for name in ["", "a", "feve", "fevers", "zzz", "条"] {
            assert_eq!(terms.find(name).unwrap(), None, "{name}");
        }
        assert!(terms.name(3).is_err() && terms.postings(3).is_err() && terms.name(u32::MAX).is_err());
    }

    #[test]
    fn damage_is_named() {
        let whole = encode(&small(), 0.25);
        let first_list = whole.len() - terms_of(&whole).lists.len();
        for (what, at, byte, expected) in [
            ("more terms than there are", 4, 9, "the least is"),
            ("a spread that is negative", 23, 0xbf, "the spread of similarities is -"),
            ("a spread above 1", 23, 0x40, "the spread of similarities is 1"),
            ("an end of a term before its start", 24 + 160 + 4, 1, "end of a term is 1"),
            ("an end of all terms beyond the section", 24 + 160 + 8, 200, "bytes of the terms"),
            ("an end of a list beyond the lists", 24 + 160 + 12, 200, "end of a list"),
            ("a term in no reference", first_list, 0, "references of a term is 0"),
            ("a term in more references than there are", first_list, 90, "references of a term is 90"),
            ("fewer references than listed", first_list, 2, "bytes of a list of references"),
            ("a reference beyond the last", first_list + 1, 120, "reference of a term is 60"),
        ] {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            let error = survey(&bytes).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("TERMS"), "{what}: {error}");
        }
    }

    fn terms_of(bytes: &[u8]) -> Terms<'_> {
        Terms::read(section(bytes), bytes, REFERENCES).unwrap()
    }

    /// Reads everything.
    fn survey(bytes: &[u8]) -> Result<usize, Damage> {
        let terms = Terms::read(section(bytes), bytes, REFERENCES)?;
        let mut postings = 0;
        for term in 0..terms.len() {
            terms.name(term)?;
            for posting in terms.postings(term)? {
                assert!(posting?.reference < REFERENCES);
                postings += 1;
            }
        }
        Ok(postings)
    }

    proptest! {
        #[test]
        fn any_index_survives_the_round_trip(
            index in prop::collection::btree_map("\\PC{1,12}", prop::collection::btree_map(0..REFERENCES, 1u32..1000, 1..20), 0..30),
            absent in "\\PC{0,12}",
        ) {
            let bytes = encode(&index, 0.5);
            let terms = terms_of(&bytes);
            let names: BTreeSet<&str> = index.keys().map(String::as_str).collect();
            for (term, (name, of_term)) in (0..).zip(&index) {
                prop_assert_eq!(terms.find(name).unwrap(), Some(term));
                prop_assert_eq!(terms.name(term).unwrap(), name.as_bytes());
                let found: BTreeMap<u32, u32> = terms.postings(term).unwrap().map(|p| p.map(|p| (p.reference, p.count)).unwrap()).collect();
                prop_assert_eq!(&found, of_term);
            }
            prop_assert_eq!(terms.find(&absent).unwrap().is_some(), names.contains(absent.as_str()));
            for end in 0..bytes.len() {
                prop_assert!(survey(&bytes[..end]).is_err(), "{}", end);
            }
        }

        #[test]
        fn no_bytes_are_read_past(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), name in "\\PC{0,8}") {
            let mut bytes = encode(&small(), 0.25);
            for (at, byte) in flips {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Ok(terms) = Terms::read(section(&bytes), &bytes, REFERENCES) {
                let _ = terms.find(&name);
                let _ = terms.postings(terms.len());
            }
            let _ = survey(&bytes);
        }
    }
}
