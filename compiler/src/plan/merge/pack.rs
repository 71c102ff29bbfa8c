//! Writing one search pack.

use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use mempack_format::{Counts, Digest, Origin, PackWriter, SetPack, WorkFolder};

use crate::cancel::check;
use crate::dedup::Occurrence;
use crate::metadata::remaining;
use crate::places::PlaceTable;
use crate::sink::{PackSink, ReferenceMeta, ReferenceSink as _};
use crate::write::WrittenReference;
use crate::{BuildError, BuildProgress, GENERATOR, GraphOptions};

use super::super::references::{PlannedOccurrence, PlannedReference};
use super::super::{Plan, PlanError};
use super::spool::Spooled;

/// Digits of a pack's id in the name of its file.
const ID_DIGITS: usize = 12;

/// A pack to write.
#[derive(Clone, Debug)]
pub(super) struct PackJob {
    /// Its number in the set.
    pub number: u32,
    /// The stream of its references; the next one has the documents of their origins.
    pub stream: usize,
    pub references: u64,
    pub first_key: Digest,
    pub last_key: Digest,
}

/// What a pack is written from.
pub(super) struct PackParts<'a> {
    pub plan: &'a Plan,
    /// The codec's parameters.
    pub parameters: &'a [u8],
    pub spooled: &'a Spooled,
    /// The folder of the merge.
    pub folder: &'a WorkFolder,
    /// The name of the set.
    pub name: &'a str,
    pub progress: &'a dyn BuildProgress,
    pub cancel: &'a AtomicBool,
}

impl PackJob {
    /// Where the pack is until the set is complete.
    pub fn path(&self, folder: &WorkFolder) -> PathBuf {
        folder.scratch().join(format!("{:04}.mpk", self.number))
    }

    /// Writes the pack to [`path`](Self::path), and gives its entry in the set.
    pub fn write(&self, parts: &PackParts<'_>) -> Result<SetPack, PlanError> {
        let PackParts { plan, cancel, .. } = *parts;
        check(cancel)?;
        let contents = plan.pack.contents();
        let manifest = contents.manifest();
        let damaged = |source| PlanError::Pack { path: plan.pack.path().to_owned(), source: Box::new(source) };
        let folder = WorkFolder::open(Arc::clone(parts.folder.storage()), &self.path(parts.folder))?;
        let mut writer = PackWriter::create_in(&folder, manifest.model.shape.clone(), manifest.embedder.dim)?;
        writer.set_codec(&contents.codec(), parts.parameters)?;
        if let Some(quality) = contents.quality() {
            writer.set_quality(quality.clone())?;
        }
        let documents = self.documents(parts)?;
        let mut titles = Vec::with_capacity(documents.len());
        for document in &documents {
            let document = contents.document(*document).map_err(damaged)?;
            writer.push_document(&document)?;
            titles.push(document.title);
        }
        let fields = contents.metadata().and_then(|metadata| remaining(metadata, documents.iter().copied()));
        writer.set_metadata(&fields.map_err(damaged)?)?;

        let options = plan.manifest.options;
        let options = GraphOptions { m: options.graph_m, ef_construction: options.graph_ef };
        let mut sink = PackSink::new(&mut writer, &titles, options, self.references);
        let mut counts = Counts { documents: documents.len() as u32, references: self.references as u32, ..Counts::default() };
        let places = self.push_all(parts, &documents, &mut sink, &mut counts)?;
        sink.finish(&places, None, cancel)?;
        let summary = writer.finish(manifest.model.clone(), &manifest.precision, manifest.embedder.clone(), GENERATOR)?;
        folder.remove(&[])?;
        let id = summary.id.to_string();
        let file = format!("{}-{:04}-{}.mpk", parts.name, self.number, &id[..ID_DIGITS]);
        Ok(SetPack { file, id: summary.id, bytes: summary.bytes, counts, first_key: self.first_key, last_key: self.last_key })
    }

    /// The documents that the references come from, by their numbers in the plan, ascending.
    fn documents(&self, parts: &PackParts<'_>) -> Result<Vec<u32>, PlanError> {
        let mut bytes = Vec::new();
        let failed = |source| BuildError::Scratch { path: parts.spooled.path().clone(), source };
        parts.spooled.read(self.stream + 1).read_to_end(&mut bytes).map_err(failed)?;
        let mut documents: Vec<u32> = bytes.as_chunks::<4>().0.iter().map(|number| u32::from_le_bytes(*number)).collect();
        documents.sort_unstable();
        documents.dedup();
        Ok(documents)
    }

    /// Puts all references into the pack, and counts what belongs to them. Gives their places.
    fn push_all(
        &self,
        parts: &PackParts<'_>,
        documents: &[u32],
        sink: &mut PackSink<'_>,
        counts: &mut Counts,
    ) -> Result<PlaceTable, PlanError> {
        let contents = parts.plan.pack.contents();
        let (stride, dim) = (contents.record_bytes() as usize, contents.manifest().embedder.dim as usize);
        let failed = |source| BuildError::Scratch { path: parts.spooled.path().clone(), source };
        let mut places = PlaceTable::default();
        let mut reader = parts.spooled.read(self.stream);
        let mut payload = vec![0; WrittenReference::bytes(stride, dim)];
        while let Some(PlannedReference { candidate, occurrences }) = PlannedReference::read(&mut reader).map_err(failed)? {
            check(parts.cancel)?;
            reader.read_exact(&mut payload).map_err(failed)?;
            let WrittenReference { record, embedding } = WrittenReference::from_payload(&payload, stride);
            let mut occurrence = |PlannedOccurrence { origin, place }: PlannedOccurrence| {
                // All of them are listed.
                let document = documents.binary_search(&origin.document).unwrap_or_default() as u32;
                Occurrence { origin: Origin { document, ..origin }, place: places.number(place) }
            };
            let occurrences: Vec<Occurrence> = occurrences.into_iter().map(&mut occurrence).collect();
            let reference = ReferenceMeta { key: candidate.key, tokens: candidate.ids.len() as u16, text: candidate.text, occurrences };
            counts.origins += reference.occurrences.len() as u64;
            counts.tokens += u64::from(reference.tokens);
            counts.text_bytes += reference.text.len() as u64;
            sink.push(&reference, &record, &embedding)?;
            parts.progress.advance(1, reference.tokens.into());
        }
        Ok(places)
    }
}
