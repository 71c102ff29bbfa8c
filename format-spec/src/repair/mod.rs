//! Repair of a damaged pack from others that have the same content (SPEC 4, 13).
//!
//! A digest identifies bytes in any file. So a section can be taken from any pack that has one of the same name, length and digest, and a
//! memory, an embedding or a text frame from any pack that has one with the same leaf digest. Padding, the leaf digests, the two
//! indices and the coarse embeddings follow from the rest. A section that was put together is accepted only if it fits its digest, which the pack's id covers.

mod error;
mod hashing;
mod patches;
mod recompute;

pub use error::{Missing, RepairError};

use std::io::{self, Write};
use std::ops::ControlFlow;

use crate::constants::{DIGEST_BYTES, PAGE_BYTES};
use crate::error::Interrupted;
use crate::header::{self, Header};
use crate::signature::trailer;
use crate::{Counts, LeafKind, PackId, Section, Tag, VerifyProgress, budget, manifest};
use hashing::{Hashing, Sink, fits};
use patches::{Patches, Wanted};

/// Where the root digest stands in the header page (SPEC 3).
const ROOT_AT: u64 = 96;

/// What was damaged, and how it is repaired. Donors are numbered in the order in which they were given.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mended {
    /// The header page, from a donor whose sections these are.
    Header {
        /// The donor.
        donor: usize,
    },
    /// A whole section of a donor.
    Section {
        /// The section.
        section: Tag,
        /// The donor.
        donor: usize,
    },
    /// Memories, embeddings or text blocks, by their leaf digests.
    Pieces {
        /// The section.
        section: Tag,
        /// What they are.
        kind: LeafKind,
        /// How many.
        count: u64,
        /// The donors of some of them.
        donors: Vec<usize>,
    },
    /// A section that follows from others.
    Recomputed {
        /// The section.
        section: Tag,
    },
    /// Bytes behind a section that must be zero.
    Padding {
        /// The section.
        section: Tag,
    },
    /// The signatures behind the pack, from a donor of the same id.
    Signatures {
        /// The donor.
        donor: usize,
    },
    /// Bytes behind the pack that are not signatures; they are left out.
    Behind {
        /// How many.
        bytes: u64,
    },
}

/// The bytes of a section; all but `Damaged` fit the section's digest.
enum Contents<'a> {
    /// In one place.
    Whole(&'a [u8]),
    /// In the damaged pack but for some pieces.
    Patched(Patches<'a>),
    /// They follow from other sections.
    Computed(Vec<u8>),
    /// Not found yet.
    Damaged,
}

impl Contents<'_> {
    /// Some bytes of the section; in a patched one these must be a whole row or frame.
    fn slice(&self, at: u64, length: u64) -> Option<&[u8]> {
        match self {
            Self::Whole(bytes) => range_of(bytes, at, length),
            Self::Patched(patches) => patches.slice(at, length),
            Self::Computed(bytes) => range_of(bytes, at, length),
            Self::Damaged => None,
        }
    }

    /// Gives all bytes of the section, in order.
    fn feed(&self, sink: &mut Sink<'_>) -> io::Result<()> {
        match self {
            Self::Whole(bytes) => sink(bytes),
            Self::Patched(patches) => patches.feed(sink),
            Self::Computed(bytes) => sink(bytes),
            Self::Damaged => Ok(()),
        }
    }
}

/// The plan of a repair, which can be written.
pub struct Repair<'a> {
    page: &'a [u8],
    header: Header,
    /// As many as sections.
    contents: Vec<Contents<'a>>,
    trailer: &'a [u8],
    mended: Vec<Mended>,
}

impl<'a> Repair<'a> {
    /// Finds what is damaged in `pack`, all bytes of a file, and where `donors`, all bytes of other packs, have the same undamaged. Donors
    /// may be damaged too. Calls `progress` about once per MiB of hashing; [`ControlFlow::Break`] ends the work.
    ///
    /// A damaged header page is taken from a donor if the damaged page still has the donor's id, or if all of the donor's sections are in
    /// `pack`. Memory is needed for damage only: about 100 bytes for each damaged memory, embedding or text block, and all of a section
    /// that is recomputed.
    ///
    /// # Errors
    /// If something is damaged that no donor has; if the header page is damaged and no donor's fits; if a donor's header page is damaged;
    /// or if `progress` ended it.
    pub fn plan(
        pack: &'a [u8],
        donors: &[&'a [u8]],
        progress: &mut dyn FnMut(VerifyProgress) -> ControlFlow<()>,
    ) -> Result<Self, RepairError> {
        let mut hashing = Hashing::new(pack.len() as u64, progress);
        let mut mended = Vec::new();
        let read = |(donor, data): (usize, &&[u8])| header::read_alone(data).map_err(|source| RepairError::Donor { donor, source });
        let headers = donors.iter().enumerate().map(read).collect::<Result<Vec<Header>, _>>()?;
        let (page, header) = match header::read_alone(pack) {
            Ok(header) => (pack, header),
            Err(source) => {
                let donor = find_header(pack, &headers, &mut hashing)?.ok_or(RepairError::Header { source })?;
                mended.push(Mended::Header { donor });
                let page = donors.get(donor).copied().unwrap_or_default();
                // This page has been read above.
                (page, header::read_alone(page).map_err(|source| RepairError::Header { source })?)
            }
        };
        let page = page.get(..PAGE_BYTES as usize).unwrap_or_default();
        let mut repair = Self { page, header, contents: Vec::new(), trailer: &[], mended };
        repair.whole_sections(pack, donors, &headers, &mut hashing)?;
        let missing = repair.parts(pack, donors, &mut hashing)?;
        if !missing.is_empty() {
            return Err(RepairError::Missing { missing });
        }
        repair.padding(pack);
        repair.signatures(pack, donors, &headers);
        Ok(repair)
    }

    /// The pack's id.
    pub fn id(&self) -> PackId {
        PackId(self.header.id)
    }

    /// What is repaired, in the order in which it was found; empty if nothing is damaged.
    pub fn mended(&self) -> &[Mended] {
        &self.mended
    }

    /// Bytes that [`Repair::write`] writes.
    pub fn bytes(&self) -> u64 {
        self.header.length + self.trailer.len() as u64
    }

    /// Writes the whole repaired pack, in order.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(self.page)?;
        let mut end = PAGE_BYTES;
        for (section, contents) in self.header.sections.iter().zip(&self.contents) {
            let padding = [0; PAGE_BYTES as usize];
            out.write_all(padding.get(..(section.offset - end) as usize).unwrap_or_default())?;
            contents.feed(&mut |bytes| out.write_all(bytes))?;
            end = section.offset + section.length;
        }
        out.write_all(self.trailer)
    }

    /// Finds undamaged sections, in the pack or in a donor.
    fn whole_sections(
        &mut self,
        pack: &'a [u8],
        donors: &[&'a [u8]],
        headers: &[Header],
        hashing: &mut Hashing,
    ) -> Result<(), Interrupted> {
        for section in &self.header.sections {
            let own = bytes_of(pack, section);
            if hashing.is(section, own)? {
                self.contents.push(Contents::Whole(own));
                continue;
            }
            let mut found = Contents::Damaged;
            for (donor, (data, header)) in donors.iter().zip(headers).enumerate() {
                let same = |other: &&Section| other.tag == section.tag && other.length == section.length && other.digest == section.digest;
                let Some(other) = header.sections.iter().find(same) else { continue };
                let bytes = bytes_of(data, other);
                if hashing.is(section, bytes)? {
                    found = Contents::Whole(bytes);
                    self.mended.push(Mended::Section { section: section.tag, donor });
                    break;
                }
            }
            self.contents.push(found);
        }
        Ok(())
    }

    /// Repairs sections that no donor has undamaged: by pieces, and from other sections. Returns what is missing.
    fn parts(&mut self, pack: &'a [u8], donors: &[&'a [u8]], hashing: &mut Hashing) -> Result<Vec<Missing>, Interrupted> {
        let mut missing = Vec::new();
        if self.contents.iter().all(|contents| !matches!(contents, Contents::Damaged)) {
            return Ok(missing);
        }
        let manifest = self.contents(Tag::MANIFEST).and_then(|contents| match contents {
            Contents::Whole(bytes) => manifest::decode(bytes).ok(),
            _ => None,
        });
        let strides = manifest.and_then(|(manifest, codec)| {
            let shape = match self.contents(Tag::BUDGET) {
                None => manifest.model.shape,
                Some(Contents::Whole(bytes)) => budget::decode(bytes, &manifest.model.shape).ok()?,
                Some(_) => return None,
            };
            let memory = manifest::record_bytes(&codec, &shape).ok()?;
            Some(Strides { memory, embedding: 4 * u64::from(manifest.embedder.dim), counts: manifest.counts })
        });
        // Without the manifest and the head budget the strides of the other sections are not known.
        if let Some(strides) = strides {
            self.recompute(Tag::DOCUMENT_INDEX, &strides, hashing)?;
            self.recompute(Tag::TEXT_INDEX, &strides, hashing)?;
            for kind in [LeafKind::Memory, LeafKind::Embedding, LeafKind::TextBlock] {
                missing.extend(self.pieces(kind, &strides, pack, donors, hashing)?);
            }
            self.recompute(Tag::LEAVES, &strides, hashing)?;
            self.recompute(Tag::COARSE_EMBEDDINGS, &strides, hashing)?;
        }
        let listed: Vec<Tag> = missing.iter().map(Missing::section).collect();
        let unlisted = self.damaged().map(|(_, section)| section.tag).filter(|tag| !listed.contains(tag));
        missing.extend(unlisted.map(|section| Missing::Section { section }));
        Ok(missing)
    }

    /// Mends a section by its pieces, if it is damaged. Gives what was looked for and not found.
    fn pieces(
        &mut self,
        kind: LeafKind,
        strides: &Strides,
        pack: &'a [u8],
        donors: &[&'a [u8]],
        hashing: &mut Hashing,
    ) -> Result<Option<Missing>, Interrupted> {
        let Some((index, section)) = self.damaged().find(|(_, section)| section.tag == kind.section()) else { return Ok(None) };
        // Damaged leaves may still be right for the damaged pieces: the section's digest decides.
        let leaves =
            self.header.sections.iter().find(|section| section.tag == Tag::LEAVES).map_or(&[][..], |leaves| bytes_of(pack, leaves));
        let leaves = match self.contents(Tag::LEAVES) {
            Some(Contents::Whole(bytes)) => bytes,
            _ => leaves,
        };
        let wanted = Wanted::new(kind, bytes_of(pack, &section), section.length, leaves, self.contents(Tag::TEXT_INDEX), strides, hashing)?;
        let Some(wanted) = wanted else { return Ok(None) };
        let (patches, unfound) = wanted.find(donors, hashing)?;
        if !fits(&section, hashing, |sink| patches.feed(sink))? {
            let (first, count) = (unfound.first().copied(), unfound.len() as u64);
            return Ok(first.map(|first| Missing::Pieces { section: section.tag, kind, first, count }));
        }
        let (count, donors) = (patches.count(), patches.donors());
        self.mended.push(Mended::Pieces { section: section.tag, kind, count, donors });
        self.set(index, Contents::Patched(patches));
        Ok(None)
    }

    /// Recomputes a damaged section from other sections, if these are undamaged or repaired.
    fn recompute(&mut self, tag: Tag, strides: &Strides, hashing: &mut Hashing) -> Result<(), Interrupted> {
        let Some((index, section)) = self.damaged().find(|(_, section)| section.tag == tag) else { return Ok(()) };
        let contents = |tag| self.contents(tag).unwrap_or(&Contents::Damaged);
        let computed = match tag {
            Tag::DOCUMENT_INDEX => recompute::document_index(contents(Tag::DOCUMENTS), section.length),
            Tag::TEXT_INDEX => recompute::text_index(contents(Tag::TEXT), section.length),
            Tag::COARSE_EMBEDDINGS => recompute::coarse_embeddings(contents(Tag::EMBEDDINGS), section.length, strides, hashing)?,
            _ => {
                let [memories, embeddings, text, index] = [Tag::MEMORIES, Tag::EMBEDDINGS, Tag::TEXT, Tag::TEXT_INDEX].map(contents);
                recompute::leaves(memories, embeddings, text, index, strides, hashing)?
            }
        };
        if let Some(bytes) = computed
            && fits(&section, hashing, |sink| sink(&bytes))?
        {
            self.mended.push(Mended::Recomputed { section: tag });
            self.set(index, Contents::Computed(bytes));
        }
        Ok(())
    }

    /// Notes padding that is not zero or missing; [`Self::write`] writes zeros.
    fn padding(&mut self, pack: &[u8]) {
        let sections = &self.header.sections;
        for (section, next) in sections.iter().zip(sections.iter().skip(1)) {
            let end = section.offset + section.length;
            let padding = range_of(pack, end, next.offset - end);
            if padding.is_none_or(|padding| padding.iter().any(|byte| *byte != 0)) {
                self.mended.push(Mended::Padding { section: section.tag });
            }
        }
    }

    /// Keeps the signatures behind the pack, or takes those of a donor if they are damaged.
    fn signatures(&mut self, pack: &'a [u8], donors: &[&'a [u8]], headers: &[Header]) {
        let (id, length) = (self.id(), self.header.length);
        let behind = |data: &'a [u8]| data.get(length as usize..).unwrap_or_default();
        let right = |bytes| trailer::read(length, bytes).is_ok_and(|all| all.iter().all(|signature| signature.check(id).is_ok()));
        let own = behind(pack);
        if right(own) || (own.is_empty() && pack.len() as u64 == length) {
            self.trailer = own;
            return;
        }
        let same = donors.iter().zip(headers).position(|(data, header)| header.id == id.0 && right(behind(data)));
        if let Some(donor) = same {
            self.trailer = donors.get(donor).map_or(&[], |data| behind(data));
            self.mended.push(Mended::Signatures { donor });
        } else if trailer::read(length, own).is_ok() {
            // Well-formed signatures of something else stay: checking them reports that they are wrong.
            self.trailer = own;
        } else if !own.is_empty() {
            self.mended.push(Mended::Behind { bytes: own.len() as u64 });
        }
    }

    fn contents(&self, tag: Tag) -> Option<&Contents<'a>> {
        let index = self.header.sections.iter().position(|section| section.tag == tag)?;
        self.contents.get(index)
    }

    fn set(&mut self, index: usize, new: Contents<'a>) {
        if let Some(contents) = self.contents.get_mut(index) {
            *contents = new;
        }
    }

    /// The sections that are not found yet.
    fn damaged(&self) -> impl Iterator<Item = (usize, Section)> + '_ {
        let sections = self.header.sections.iter().zip(&self.contents).enumerate();
        sections.filter(|(_, (_, contents))| matches!(contents, Contents::Damaged)).map(|(index, (section, _))| (index, *section))
    }
}

/// The lengths and the number of rows, from the manifest.
struct Strides {
    memory: u64,
    embedding: u64,
    counts: Counts,
}

/// The donor whose header page `pack` must have had.
fn find_header(pack: &[u8], headers: &[Header], hashing: &mut Hashing) -> Result<Option<usize>, Interrupted> {
    let root = range_of(pack, ROOT_AT, DIGEST_BYTES);
    let named = headers.iter().position(|header| root == Some(&header.id.0[..]));
    if named.is_some() {
        return Ok(named);
    }
    'donors: for (donor, header) in headers.iter().enumerate() {
        for section in &header.sections {
            if !hashing.is(section, bytes_of(pack, section))? {
                continue 'donors;
            }
        }
        return Ok(Some(donor));
    }
    Ok(None)
}

/// The bytes of a section that the file has.
fn bytes_of<'a>(data: &'a [u8], section: &Section) -> &'a [u8] {
    let rest = usize::try_from(section.offset).ok().and_then(|offset| data.get(offset..)).unwrap_or_default();
    rest.get(..usize::try_from(section.length).unwrap_or(usize::MAX)).unwrap_or(rest)
}

fn range_of(bytes: &[u8], at: u64, length: u64) -> Option<&[u8]> {
    bytes.get(usize::try_from(at).ok()?..usize::try_from(at.checked_add(length)?).ok()?)
}
