//! Withdrawing documents from a pack: a new pack without them, in which nothing of theirs is left.

mod error;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use mempack_format::{GraphParameters, Origin, Pack, PackId, PackWriter, ReadError, Scope, Tag, VerifyEvent};

pub use error::RevokeError;

use crate::GraphOptions;
use crate::builder::GENERATOR;
use crate::graph::{GraphBuilder, MAX_M};

/// References between two looks at the cancel flag and two reports of progress.
const STEP: u32 = 256;

/// The stages of a revocation, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevokeStage {
    /// The old pack is verified; counts bytes.
    Verifying,
    /// What stays is written; counts references.
    Writing,
    /// The graph is built anew; counts references. Not there for a pack without a graph.
    Graph,
    /// The sections are put together and brought to the disk; counts references.
    Sealing,
}

impl fmt::Display for RevokeStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Verifying => "verifying",
            Self::Writing => "writing what stays",
            Self::Graph => "graph",
            Self::Sealing => "sealing",
        })
    }
}

/// What a revocation made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevokeReport {
    /// The new pack's id.
    pub id: PackId,
    /// The new pack's size.
    pub bytes: u64,
    /// Documents that are gone.
    pub documents: u32,
    /// References that are gone.
    pub references: u32,
    /// References that lost an origin, and stay for the others.
    pub shared: u32,
    /// Documents that stay.
    pub documents_left: u32,
    /// References that stay.
    pub references_left: u32,
}

/// Documents of a pack that are to be revoked.
#[derive(Debug)]
pub struct Revocation<'p, D> {
    pack: &'p Pack<D>,
    /// Their numbers.
    revoked: BTreeSet<u32>,
    missing: Vec<String>,
}

impl<'p, D: AsRef<[u8]>> Revocation<'p, D> {
    /// Looks up the documents with these ids. If several documents have one id, all of them are meant.
    ///
    /// # Errors
    /// If the pack's documents are damaged.
    pub fn find(pack: &'p Pack<D>, ids: &[String]) -> Result<Self, RevokeError> {
        pack.section(Tag::DOCUMENT_INDEX)?;
        pack.section(Tag::DOCUMENTS)?;
        let mut found: BTreeMap<&str, bool> = ids.iter().map(|id| (id.as_str(), false)).collect();
        let mut revoked = BTreeSet::new();
        for document in 0..pack.manifest().counts.documents {
            if let Some(found) = found.get_mut(pack.document(document)?.id.as_str()) {
                *found = true;
                revoked.insert(document);
            }
        }
        let missing = found.into_iter().filter(|(_, found)| !found).map(|(id, _)| id.to_owned()).collect();
        Ok(Self { pack, revoked, missing })
    }

    /// The ids that no document has, in their order.
    pub fn missing(&self) -> &[String] {
        &self.missing
    }

    /// How many documents are to be revoked.
    pub fn documents(&self) -> usize {
        self.revoked.len()
    }

    /// Writes the pack without the documents to `target`, which may be the file of the pack itself: the new one is made beside it and
    /// takes its place at the end.
    ///
    /// Gone are the documents' records, their origins, and the references that come from nowhere else, with key, text, memory and
    /// embedding. The others are the same byte for byte, in the same order; the codec's parameters stay. The graph is built anew over the
    /// embeddings that stay, with the pack's own parameters. Optional sections that this version does not know are left out: nobody
    /// can tell whether they hold something of the documents. The old pack is verified first, because the new one's digests vouch for
    /// all that is taken from it.
    ///
    /// Memory: as a build, 4 bytes a dimension and about 3 KiB for each reference of the graph. `progress` hears of the stage, what of
    /// it is done and its whole.
    ///
    /// # Errors
    /// If no document would stay; if the pack is damaged; if `cancel` becomes true; if writing fails. What was at `target` is there still.
    pub fn write(
        &self,
        target: &Path,
        progress: &mut dyn FnMut(RevokeStage, u64, u64),
        cancel: &AtomicBool,
    ) -> Result<RevokeReport, RevokeError> {
        let manifest = self.pack.manifest();
        let gone = self.revoked.len() as u32;
        if gone == manifest.counts.documents {
            return Err(RevokeError::NothingLeft { documents: gone });
        }
        self.verify(progress, cancel)?;
        let mut writer = PackWriter::create(target, manifest.model.shape, manifest.embedder.dim)?;
        writer.set_codec(&self.pack.codec_spec(), self.pack.section(Tag::CODEC)?)?;
        // The codec is the same, and what it loses of memories of this kind.
        if let Some(quality) = self.pack.quality() {
            writer.set_quality(quality.clone())?;
        }
        let numbers = self.write_documents(&mut writer)?;
        let (left, shared) = self.write_references(&mut writer, &numbers, progress, cancel)?;
        if let Some(parameters) = manifest.graph {
            self.write_graph(&mut writer, parameters, &left, progress, cancel)?;
        }
        check(cancel)?;
        let references_left = left.len() as u32;
        progress(RevokeStage::Sealing, 0, references_left.into());
        let summary = writer.finish(manifest.model.clone(), &manifest.precision, manifest.embedder.clone(), GENERATOR)?;
        progress(RevokeStage::Sealing, references_left.into(), references_left.into());
        Ok(RevokeReport {
            id: summary.id,
            bytes: summary.bytes,
            documents: gone,
            references: manifest.counts.references - references_left,
            shared,
            documents_left: manifest.counts.documents - gone,
            references_left,
        })
    }

    /// Demands that the pack is whole; of its signatures, which are not taken over, nothing.
    fn verify(&self, progress: &mut dyn FnMut(RevokeStage, u64, u64), cancel: &AtomicBool) -> Result<(), RevokeError> {
        let mut first = None;
        let ended = self.pack.survey(Scope::Whole, &mut |event| match event {
            VerifyEvent::Progress(at) => {
                progress(RevokeStage::Verifying, at.done, at.total);
                if cancel.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            }
            VerifyEvent::Damage(damage) if damage.section != Tag::SIGNATURES => {
                first = Some(damage);
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        });
        match (first, ended) {
            (Some(damage), _) => Err(ReadError::Damaged(damage).into()),
            (None, Err(_)) => Err(RevokeError::Interrupted),
            (None, Ok(_)) => Ok(()),
        }
    }

    /// The documents that stay; gives every document's new number.
    fn write_documents(&self, writer: &mut PackWriter) -> Result<Vec<Option<u32>>, RevokeError> {
        let number = |document| match self.revoked.contains(&document) {
            true => Ok(None),
            false => Ok(Some(writer.push_document(&self.pack.document(document)?)?)),
        };
        (0..self.pack.manifest().counts.documents).map(number).collect()
    }

    /// The references that stay, with what origins they have left; gives their old numbers, and how many of them lost an origin.
    fn write_references(
        &self,
        writer: &mut PackWriter,
        numbers: &[Option<u32>],
        progress: &mut dyn FnMut(RevokeStage, u64, u64),
        cancel: &AtomicBool,
    ) -> Result<(Vec<u32>, u32), RevokeError> {
        let pack = self.pack;
        let count = pack.manifest().counts.references;
        let (mut left, mut shared) = (Vec::new(), 0);
        for reference in 0..count {
            if reference % STEP == 0 {
                check(cancel)?;
                progress(RevokeStage::Writing, reference.into(), count.into());
            }
            let all = pack.origins(reference)?;
            let places = all.len();
            let stays = |origin: Origin| Some(Origin { document: numbers.get(origin.document as usize).copied().flatten()?, ..origin });
            let origins: Vec<Origin> = all.filter_map(stays).collect();
            if origins.is_empty() {
                continue;
            }
            shared += u32::from(origins.len() < places);
            let info = pack.reference(reference)?;
            writer.push_reference(&info.key, info.tokens, &pack.text(reference)?, &origins)?;
            writer.push_memory(pack.record(reference)?)?;
            writer.push_embedding(&self.embedding(reference)?)?;
            left.push(reference);
        }
        progress(RevokeStage::Writing, count.into(), count.into());
        Ok((left, shared))
    }

    fn write_graph(
        &self,
        writer: &mut PackWriter,
        parameters: GraphParameters,
        left: &[u32],
        progress: &mut dyn FnMut(RevokeStage, u64, u64),
        cancel: &AtomicBool,
    ) -> Result<(), RevokeError> {
        let count = left.len() as u64;
        // A pack of another writer may have what this one's graphs never have: then what comes nearest.
        let m = parameters.m.clamp(2, MAX_M);
        let ef_construction = parameters.ef_construction.max(m);
        let mut graph = GraphBuilder::new(GraphOptions { m, ef_construction }, count);
        for (done, reference) in (0u64..).zip(left) {
            if done % u64::from(STEP) == 0 {
                check(cancel)?;
                progress(RevokeStage::Graph, done, count);
            }
            graph.push(&self.embedding(*reference)?);
        }
        let graph = graph.finish();
        check(cancel)?;
        writer.set_graph(&graph, GraphParameters { m, ef_construction })?;
        progress(RevokeStage::Graph, count, count);
        Ok(())
    }

    fn embedding(&self, reference: u32) -> Result<Vec<f32>, RevokeError> {
        Ok(self.pack.embedding(reference)?.iter().map(|value| value.get()).collect())
    }
}

/// Fails if the user wants to stop.
fn check(cancel: &AtomicBool) -> Result<(), RevokeError> {
    if cancel.load(Ordering::Relaxed) { Err(RevokeError::Interrupted) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
