//! Opening a pack and reading from it.

use std::fmt;

use zerocopy::little_endian::{F32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use crate::coarse::{self, CoarseEmbeddings};
use crate::codec::MAX_PARAMETER_BYTES;
use crate::constants::{DIGEST_BYTES, FEATURE_BUDGET, MAX_DOCUMENT_BYTES, ORIGIN_BYTES, REFERENCE_BYTES, TEXT_BLOCK_BYTES};
use crate::error::{Damage, Defect};
use crate::records::{RawOrigin, RawReference};
use crate::text::Inflater;
use crate::{
    Codec, CodecSpec, Digest, Document, Graph, Manifest, ManifestError, MemoryShape, Metadata, OpenError, Origin, Quality, ReadError,
    ReferenceInfo, Section, Signature, Tag, Terms, budget, header, manifest, prompts, quality,
};

/// A pack's id: the root digest over its header and, through the section table, over every section (SPEC 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub struct PackId(pub Digest);

impl fmt::Display for PackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where the sections of version 1.6 are.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) manifest: Section,
    pub(crate) document_index: Section,
    pub(crate) documents: Section,
    pub(crate) references: Section,
    pub(crate) origins: Section,
    pub(crate) text: Section,
    pub(crate) text_index: Section,
    pub(crate) codec: Section,
    pub(crate) memories: Section,
    pub(crate) embeddings: Section,
    pub(crate) coarse: Option<Section>,
    pub(crate) graph: Option<Section>,
    pub(crate) leaves: Section,
    pub(crate) quality: Option<Section>,
    pub(crate) prompts: Option<Section>,
    pub(crate) budget: Option<Section>,
    pub(crate) terms: Option<Section>,
    pub(crate) metadata: Option<Section>,
    pub(crate) places: Option<Section>,
}

impl Layout {
    fn find(sections: &[Section]) -> Result<Self, OpenError> {
        let optional = |tag| sections.iter().find(|section| section.tag == tag).copied();
        let find = |tag| optional(tag).ok_or(OpenError::MissingSection { tag });
        Ok(Self {
            manifest: find(Tag::MANIFEST)?,
            document_index: find(Tag::DOCUMENT_INDEX)?,
            documents: find(Tag::DOCUMENTS)?,
            references: find(Tag::REFERENCES)?,
            origins: find(Tag::ORIGINS)?,
            text: find(Tag::TEXT)?,
            text_index: find(Tag::TEXT_INDEX)?,
            codec: find(Tag::CODEC)?,
            memories: find(Tag::MEMORIES)?,
            embeddings: find(Tag::EMBEDDINGS)?,
            coarse: optional(Tag::COARSE_EMBEDDINGS),
            graph: optional(Tag::GRAPH),
            leaves: find(Tag::LEAVES)?,
            quality: optional(Tag::QUALITY),
            prompts: optional(Tag::PROMPTS),
            budget: optional(Tag::BUDGET),
            terms: optional(Tag::TERMS),
            metadata: optional(Tag::METADATA),
            places: optional(Tag::PLACES),
        })
    }
}

/// An open pack over the bytes of a file: a mapping, a `Vec`, a slice at any alignment.
///
/// Only the section table, the manifest and what continues it are copied. Everything read later is bounds-checked. Memories, embeddings and
/// text blocks have leaf digests ([`Pack::check_record`], [`Pack::check_embedding`], [`Pack::check_text_block`]), anchored in
/// the pack's id by [`Pack::check_leaves`]; [`Pack::codec`] checks the digest of its section. [`Pack::verify`] checks everything else.
pub struct Pack<D> {
    data: D,
    id: PackId,
    minor: u16,
    manifest: Manifest,
    quality: Option<Quality>,
    codec: CodecSpec,
    record_bytes: u64,
    /// Bytes of the pack; signatures may follow.
    length: u64,
    sections: Vec<Section>,
    signatures: Vec<Signature>,
    layout: Layout,
}

impl<D> fmt::Debug for Pack<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pack")
            .field("id", &self.id)
            .field("manifest", &self.manifest)
            .field("sections", &self.sections)
            .finish_non_exhaustive()
    }
}

impl<D: AsRef<[u8]>> Pack<D> {
    /// Opens a pack. Reads and checks the header, the section table, the manifest and what continues it, and touches nothing else: the
    /// cost does not grow with the pack.
    ///
    /// # Errors
    /// If the data is not a pack, is truncated, has another version or needs features that this crate does not know, or if its header or
    /// manifest is damaged or inconsistent.
    pub fn open(data: D) -> Result<Self, OpenError> {
        let bytes = data.as_ref();
        let header = header::read(bytes)?;
        let layout = Layout::find(&header.sections)?;
        let (mut manifest, codec) = read_manifest(bytes, &layout.manifest)?;
        let needed = header.required_features & FEATURE_BUDGET != 0;
        if needed != layout.budget.is_some() {
            return Err(OpenError::BudgetFeature { needed });
        }
        if let Some(section) = &layout.budget {
            manifest.model.shape = read_budget(bytes, section, &manifest)?;
        }
        let malformed = |source| OpenError::Manifest { offset: layout.manifest.offset, source };
        let record_bytes = manifest::record_bytes(&codec, &manifest.model.shape).map_err(malformed)?;
        check_lengths(&layout, &manifest, record_bytes)?;
        let quality = layout.quality.map(|section| read_quality(bytes, &section, &manifest)).transpose()?;
        if let Some(section) = &layout.prompts {
            let malformed = |source| OpenError::Prompts { offset: section.offset, source };
            manifest.embedder.prompts = Some(prompts::decode(read_whole(bytes, section, malformed)?).map_err(malformed)?);
        }
        let header::Header { id, minor, length, sections, signatures, .. } = header;
        Ok(Self { data, id: PackId(id), minor, manifest, quality, codec, record_bytes, length, sections, signatures, layout })
    }

    /// The pack's id.
    pub fn id(&self) -> PackId {
        self.id
    }

    /// Format version, major and minor.
    pub fn version(&self) -> (u16, u16) {
        (crate::MAJOR_VERSION, self.minor)
    }

    /// Bytes of the pack, without the signatures behind it.
    pub fn bytes(&self) -> u64 {
        self.length
    }

    /// The signatures behind the pack, in the order of their keys; unchecked: see [`Signature::check`] and [`Pack::signed_by`].
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// What the pack is, what it depends on, and how much it holds; the embedder's prompts included, which are in a section of their own.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What the codec loses; `None` if it is lossless, or the pack is older than version 1.1.
    pub fn quality(&self) -> Option<&Quality> {
        self.quality.as_ref()
    }

    /// All sections, in the order of the file.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// The codec's name; [`Pack::codec`] has its parameters too.
    pub fn codec_spec(&self) -> CodecSpec {
        self.codec
    }

    /// Bytes of a memory record.
    pub fn record_bytes(&self) -> u64 {
        self.record_bytes
    }

    /// All bytes of a section, compared with its digest; empty if the pack does not have it.
    ///
    /// # Errors
    /// If the section is damaged.
    pub fn section(&self, tag: Tag) -> Result<&[u8], ReadError> {
        let Some(section) = self.sections.iter().find(|section| section.tag == tag) else { return Ok(&[]) };
        let bytes = self.contents(section)?;
        self.check_section(section, Digest::of(bytes))?;
        Ok(bytes)
    }

    /// Bytes of an embedding.
    pub(crate) fn embedding_bytes(&self) -> u64 {
        4 * u64::from(self.manifest.embedder.dim)
    }

    /// A document.
    ///
    /// # Errors
    /// If the pack has no document of this number, or its record is damaged.
    pub fn document(&self, document: u32) -> Result<Document, ReadError> {
        in_range("document", document, self.manifest.counts.documents)?;
        Ok(self.read_document(document)?)
    }

    /// The record of a reference.
    ///
    /// # Errors
    /// If the pack has no reference of this number, or its record points outside the pack's text or origins.
    pub fn reference(&self, reference: u32) -> Result<ReferenceInfo, ReadError> {
        in_range("reference", reference, self.manifest.counts.references)?;
        Ok(self.read_reference(reference)?)
    }

    /// Where a reference comes from: one place, or several if the corpus has the same text more than once.
    ///
    /// # Errors
    /// As [`Pack::reference`], and if an origin is damaged.
    pub fn origins(&self, reference: u32) -> Result<impl ExactSizeIterator<Item = Origin> + Clone + '_, ReadError> {
        let info = self.reference(reference)?;
        let start = info.first_origin * ORIGIN_BYTES;
        let bytes = self.slice(&self.layout.origins, start, u64::from(info.origins) * ORIGIN_BYTES)?;
        let origins = <[RawOrigin]>::ref_from_bytes(bytes).unwrap_or_default();
        for (origin, at) in origins.iter().zip((start..).step_by(ORIGIN_BYTES as usize)) {
            origin.check(&self.manifest.counts).map_err(|defect| self.damage(&self.layout.origins, at, defect))?;
        }
        Ok(origins.iter().map(RawOrigin::get))
    }

    /// The text of a reference. Allocates at most 1 MiB and a text block.
    ///
    /// # Errors
    /// As [`Pack::reference`], and if a text block does not fit its leaf, is damaged, or the text is not UTF-8.
    pub fn text(&self, reference: u32) -> Result<String, ReadError> {
        let info = self.reference(reference)?;
        // Both bounded by `read_reference`: the text lies within the pack's and has at most 1 MiB.
        let (start, end) = (info.text_start, info.text_start + u64::from(info.text_len));
        let mut text = Vec::with_capacity(info.text_len as usize);
        let mut inflater = Inflater::new();
        let mut at = start;
        while at < end {
            let (block, skip) = (at / TEXT_BLOCK_BYTES, (at % TEXT_BLOCK_BYTES) as usize);
            let inflated = self.text_block(&mut inflater, block)?;
            let wanted = inflated.get(skip..).unwrap_or_default();
            let taken = wanted.get(..(end - at) as usize).unwrap_or(wanted);
            text.extend_from_slice(taken);
            at = (block + 1) * TEXT_BLOCK_BYTES;
        }
        let utf8 = |_| self.damage(&self.layout.references, u64::from(reference) * REFERENCE_BYTES, (32, Defect::Utf8 { field: "text" }));
        Ok(String::from_utf8(text).map_err(utf8)?)
    }

    /// The memory record of a reference, `[record_bytes]`, unchecked: see [`Pack::check_record`].
    ///
    /// # Errors
    /// If the pack has no reference of this number.
    pub fn record(&self, reference: u32) -> Result<&[u8], ReadError> {
        in_range("reference", reference, self.manifest.counts.references)?;
        // No overflow: `open` found the product of stride and count to be the section's length.
        Ok(self.slice(&self.layout.memories, u64::from(reference) * self.record_bytes, self.record_bytes)?)
    }

    /// The codec with its parameters, whose digest is checked. It takes as much memory as the section has bytes: keep it rather than read it
    /// again.
    ///
    /// # Errors
    /// If the codec parameters are damaged.
    pub fn codec(&self) -> Result<Codec, ReadError> {
        let section = &self.layout.codec;
        let bytes = self.section(section.tag)?;
        Ok(Codec::parse(&self.codec, self.manifest.model.shape.clone(), bytes)
            .map_err(|error| self.damage(section, 0, (0, error.into())))?)
    }

    /// The embedding of a reference, `[dim]`, a unit vector, unchecked: see [`Pack::check_embedding`].
    ///
    /// # Errors
    /// If the pack has no reference of this number.
    pub fn embedding(&self, reference: u32) -> Result<&[F32], ReadError> {
        in_range("reference", reference, self.manifest.counts.references)?;
        let bytes = self.embedding_bytes();
        let row = self.slice(&self.layout.embeddings, u64::from(reference) * bytes, bytes)?;
        Ok(<[F32]>::ref_from_bytes(row).unwrap_or_default())
    }

    /// All embeddings, `[references, dim]`, unchecked.
    ///
    /// # Errors
    /// Only if `D` no longer gives the bytes it gave to `open`.
    pub fn embeddings(&self) -> Result<&[F32], ReadError> {
        Ok(<[F32]>::ref_from_bytes(self.contents(&self.layout.embeddings)?).unwrap_or_default())
    }

    /// The embeddings in 8 bits a dimension, if the pack has them; unchecked.
    ///
    /// # Errors
    /// Only if `D` no longer gives the bytes it gave to `open`.
    pub fn coarse_embeddings(&self) -> Result<Option<CoarseEmbeddings<'_>>, ReadError> {
        let Some(section) = self.layout.coarse else { return Ok(None) };
        Ok(Some(CoarseEmbeddings::new(self.contents(&section)?, self.manifest.embedder.dim)))
    }

    /// The search graph, if the pack has one. Its header is checked, its lists are when they are read.
    ///
    /// # Errors
    /// If the graph's header is damaged.
    pub fn graph(&self) -> Result<Option<Graph<'_>>, ReadError> {
        let (Some(section), Some(parameters)) = (self.layout.graph, self.manifest.graph) else { return Ok(None) };
        Ok(Some(Graph::read(section, self.contents(&section)?, self.manifest.counts.references, parameters)?))
    }

    /// The inverted index, if the pack has one. Its header is checked, its terms and lists are when they are read.
    ///
    /// # Errors
    /// If the header of the terms is damaged.
    pub fn terms(&self) -> Result<Option<Terms<'_>>, ReadError> {
        let Some(section) = self.layout.terms else { return Ok(None) };
        Ok(Some(Terms::read(section, self.contents(&section)?, self.manifest.counts.references)?))
    }

    /// The metadata of the documents, if they have any. Its header is checked, its fields and values are when they are read.
    ///
    /// # Errors
    /// If the header or an entry of the metadata is damaged.
    pub fn metadata(&self) -> Result<Option<Metadata<'_>>, ReadError> {
        let Some(section) = self.layout.metadata else { return Ok(None) };
        Ok(Some(Metadata::read(section, self.contents(&section)?, self.manifest.counts.documents)?))
    }

    /// The places of the origins, if any has one: fields of origins, as [`metadata`](Self::metadata) has fields of documents. Its header is checked, its fields and values are when
    /// they are read.
    ///
    /// # Errors
    /// If the header or an entry of the places is damaged.
    pub fn places(&self) -> Result<Option<Metadata<'_>>, ReadError> {
        let Some(section) = self.layout.places else { return Ok(None) };
        let found = self.manifest.counts.origins;
        let limit = u32::MAX.into();
        let origins = u32::try_from(found).map_err(|_| Damage {
            section: section.tag,
            offset: section.offset,
            defect: Defect::TooLarge { field: "origins of a pack with places", limit, found },
        })?;
        Ok(Some(Metadata::read(section, self.contents(&section)?, origins)?))
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(crate) fn data(&self) -> &[u8] {
        self.data.as_ref()
    }

    /// All bytes of a section.
    pub(crate) fn contents(&self, section: &Section) -> Result<&[u8], Damage> {
        self.slice(section, 0, section.length)
    }

    /// Bytes of a section.
    pub(crate) fn slice(&self, section: &Section, start: u64, length: u64) -> Result<&[u8], Damage> {
        let inside = start.checked_add(length).filter(|end| *end <= section.length);
        let range = inside.and_then(|end| {
            let first = section.offset.checked_add(start)?;
            Some(usize::try_from(first).ok()?..usize::try_from(section.offset.checked_add(end)?).ok()?)
        });
        range.and_then(|range| self.data().get(range)).ok_or_else(|| {
            let found = start.saturating_add(length);
            self.damage(section, 0, (0, Defect::TooLarge { field: "end of a span", limit: section.length, found }))
        })
    }

    /// Damage at byte `at` and `defect.0` of a section.
    pub(crate) fn damage(&self, section: &Section, at: u64, defect: (u64, Defect)) -> Damage {
        Damage { section: section.tag, offset: section.offset.saturating_add(at).saturating_add(defect.0), defect: defect.1 }
    }

    /// Compares the digest of all bytes of a section with the section table.
    pub(crate) fn check_section(&self, section: &Section, found: Digest) -> Result<(), Damage> {
        if found == section.digest {
            return Ok(());
        }
        Err(self.damage(section, 0, (0, Defect::Digest { expected: section.digest, found })))
    }

    /// Entry `index` of a section of entries of `T`.
    pub(crate) fn entry<T: FromBytes + KnownLayout + Immutable + Unaligned>(&self, section: &Section, index: u64) -> Result<&T, Damage> {
        let size = size_of::<T>() as u64;
        let out = || self.damage(section, 0, (0, Defect::TooLarge { field: "entry", limit: section.length / size, found: index }));
        let bytes = self.slice(section, index.checked_mul(size).ok_or_else(out)?, size)?;
        T::ref_from_bytes(bytes).map_err(|_| out())
    }

    /// Span `index` of an index section: its entries `index` and `index + 1`, which must ascend within `limit`.
    pub(crate) fn span(&self, section: &Section, index: u64, field: &'static str, limit: u64) -> Result<(u64, u64), Damage> {
        let start = self.entry::<U64>(section, index)?.get();
        let end = self.entry::<U64>(section, index.saturating_add(1))?.get();
        let at = index.saturating_mul(8).saturating_add(8);
        if end < start {
            return Err(self.damage(section, at, (0, Defect::TooSmall { field, limit: start, found: end })));
        }
        if end > limit {
            return Err(self.damage(section, at, (0, Defect::TooLarge { field, limit, found: end })));
        }
        Ok((start, end))
    }

    pub(crate) fn read_document(&self, document: u32) -> Result<Document, Damage> {
        let (index, documents) = (&self.layout.document_index, &self.layout.documents);
        let (start, end) = self.span(index, document.into(), "end of a document record", documents.length)?;
        if end - start > MAX_DOCUMENT_BYTES {
            let defect = Defect::TooLarge { field: "bytes of a document record", limit: MAX_DOCUMENT_BYTES, found: end - start };
            return Err(self.damage(index, u64::from(document) * 8, (8, defect)));
        }
        Document::read(self.slice(documents, start, end - start)?).map_err(|defect| self.damage(documents, start, defect))
    }

    pub(crate) fn raw_reference(&self, reference: u32) -> Result<&RawReference, Damage> {
        self.entry(&self.layout.references, reference.into())
    }

    pub(crate) fn raw_origin(&self, origin: u64) -> Result<&RawOrigin, Damage> {
        self.entry(&self.layout.origins, origin)
    }

    pub(crate) fn read_reference(&self, reference: u32) -> Result<ReferenceInfo, Damage> {
        let raw = self.raw_reference(reference)?;
        raw.read(&self.manifest.counts)
            .map_err(|defect| self.damage(&self.layout.references, u64::from(reference) * REFERENCE_BYTES, defect))
    }

    /// Text block number `block`, decompressed. A frame that does not fit its leaf is not passed to zstd.
    pub(crate) fn text_block<'i>(&self, inflater: &'i mut Inflater, block: u64) -> Result<&'i [u8], Damage> {
        let (start, frame) = self.frame(block)?;
        self.inflate(inflater, block, start, frame)
    }

    /// Text block number `block` from its frame, which begins at byte `start` of the text.
    pub(crate) fn inflate<'i>(&self, inflater: &'i mut Inflater, block: u64, start: u64, frame: &[u8]) -> Result<&'i [u8], Damage> {
        let rest = self.manifest.counts.text_bytes.saturating_sub(block.saturating_mul(TEXT_BLOCK_BYTES));
        let inflated = inflater.inflate(block, frame, rest.min(TEXT_BLOCK_BYTES));
        inflated.map_err(|defect| self.damage(&self.layout.text, start, (0, defect)))
    }
}

pub(crate) fn in_range(what: &'static str, index: impl Into<u64>, count: impl Into<u64>) -> Result<(), ReadError> {
    let (index, count) = (index.into(), count.into());
    if index < count { Ok(()) } else { Err(ReadError::OutOfRange { what, index, count }) }
}

fn read_manifest(data: &[u8], section: &Section) -> Result<(Manifest, CodecSpec), OpenError> {
    let malformed = |source| OpenError::Manifest { offset: section.offset, source };
    manifest::decode(read_whole(data, section, malformed)?).map_err(malformed)
}

fn read_quality(data: &[u8], section: &Section, manifest: &Manifest) -> Result<Quality, OpenError> {
    let malformed = |source| OpenError::Quality { offset: section.offset, source };
    quality::decode(read_whole(data, section, malformed)?, &manifest.model.shape).map_err(malformed)
}

fn read_budget(data: &[u8], section: &Section, manifest: &Manifest) -> Result<MemoryShape, OpenError> {
    let malformed = |source| OpenError::Budget { offset: section.offset, source };
    budget::decode(read_whole(data, section, malformed)?, &manifest.model.shape).map_err(malformed)
}

/// The bytes of a section that is read when a pack is opened, compared with its digest.
fn read_whole<'d>(data: &'d [u8], section: &Section, malformed: impl Fn(ManifestError) -> OpenError) -> Result<&'d [u8], OpenError> {
    if section.length > crate::constants::MAX_MANIFEST_BYTES {
        return Err(malformed(ManifestError::TooLarge { found: section.length }));
    }
    // Within the data: the section table was checked against the file's length.
    let bytes = data.get(section.offset as usize..).and_then(|rest| rest.get(..section.length as usize)).unwrap_or_default();
    let found = Digest::of(bytes);
    if found != section.digest {
        return Err(OpenError::ManifestDigest { tag: section.tag, offset: section.offset, expected: section.digest, found });
    }
    Ok(bytes)
}

/// Compares the sections' lengths with what the manifest's counts demand.
fn check_lengths(layout: &Layout, manifest: &Manifest, record_bytes: u64) -> Result<(), OpenError> {
    let counts = &manifest.counts;
    let references = u64::from(counts.references);
    let demanded = [
        (&layout.document_index, Some((u64::from(counts.documents) + 1) * 8)),
        (&layout.references, Some(references * REFERENCE_BYTES)),
        (&layout.origins, counts.origins.checked_mul(ORIGIN_BYTES)),
        (&layout.text_index, counts.text_blocks().checked_add(1).and_then(|entries| entries.checked_mul(8))),
        (&layout.memories, references.checked_mul(record_bytes)),
        (&layout.embeddings, (4 * references).checked_mul(manifest.embedder.dim.into())),
        (&layout.leaves, counts.leaves().checked_mul(DIGEST_BYTES)),
    ];
    let coarse = layout.coarse.as_ref().map(|section| (section, references.checked_mul(coarse::row_bytes(manifest.embedder.dim))));
    for (section, expected) in demanded.into_iter().chain(coarse) {
        if expected != Some(section.length) {
            let (tag, offset, found) = (section.tag, section.offset, section.length);
            return Err(OpenError::SectionLength { tag, offset, expected: expected.unwrap_or(u64::MAX), found });
        }
    }
    if layout.codec.length > MAX_PARAMETER_BYTES {
        let (tag, offset, found) = (layout.codec.tag, layout.codec.offset, layout.codec.length);
        return Err(OpenError::SectionLength { tag, offset, expected: MAX_PARAMETER_BYTES, found });
    }
    match (layout.graph, manifest.graph) {
        (None, Some(_)) => Err(OpenError::MissingSection { tag: Tag::GRAPH }),
        (Some(section), None) => {
            let (expected, found) = ("present, as the pack has a section GRAPH".into(), "absent".into());
            Err(OpenError::Manifest { offset: section.offset, source: ManifestError::Field { field: "graph", expected, found } })
        }
        _ => Ok(()),
    }
}
