//! Revoking documents: a new pack that keeps nothing of them.

mod error;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mempack_format::{GraphParameters, Origin, Pack, PackId, PackWriter, ReadError, Scope, Storage, Tag, VerifyEvent, WorkFolder};

pub use error::RevokeError;

use crate::graph::{GraphBuilder, MAX_M};
use crate::metadata::remaining;
use crate::terms::TermIndex;
use crate::{GENERATOR, GraphOptions};

/// Number of references between two checks of the cancel flag and two reports of progress.
const STEP: u32 = 256;

/// The stages of a revocation, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevokeStage {
    /// The old pack is verified. Counts bytes.
    Verifying,
    /// What remains is written. Counts references.
    Writing,
    /// The graph is rebuilt. Counts references. A pack without a graph skips this stage.
    Graph,
    /// The sections are joined and synced to the disk. Counts references.
    Sealing,
}

impl fmt::Display for RevokeStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Verifying => "verifying",
            Self::Writing => "writing what remains",
            Self::Graph => "graph",
            Self::Sealing => "sealing",
        })
    }
}

/// The result of a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevokeReport {
    /// The new pack's id.
    pub id: PackId,
    /// The new pack's size.
    pub bytes: u64,
    /// Documents that were revoked.
    pub documents: u32,
    /// References that were revoked.
    pub references: u32,
    /// References that lost an origin and remain because of others.
    pub shared: u32,
    /// Documents that remain.
    pub documents_left: u32,
    /// References that remain.
    pub references_left: u32,
}

/// Documents of a pack to revoke.
#[derive(Debug)]
pub struct Revocation<'p, D> {
    pack: &'p Pack<D>,
    /// Numbers of the documents.
    revoked: BTreeSet<u32>,
    missing: Vec<String>,
    /// The pack's file, if its permissions are to be those of a new file.
    file: Option<PathBuf>,
}

/// What remains of the references.
struct Remaining {
    /// Their old numbers.
    left: Vec<u32>,
    /// How many of them lost an origin.
    shared: u32,
    /// Which of the origins of the old pack remain.
    origins: Vec<bool>,
}

impl<'p, D: AsRef<[u8]>> Revocation<'p, D> {
    /// Looks up the documents with these ids. An id that no document has is looked up without the blanks at its ends, which lists often
    /// have. If several documents of an older pack have the same id, all of them are revoked.
    ///
    /// # Errors
    /// If the pack's documents are damaged.
    pub fn find(pack: &'p Pack<D>, ids: &[String]) -> Result<Self, RevokeError> {
        pack.section(Tag::DOCUMENT_INDEX)?;
        pack.section(Tag::DOCUMENTS)?;
        let mut wanted: BTreeMap<&str, Vec<u32>> = ids.iter().flat_map(|id| [(id.as_str(), Vec::new()), (id.trim(), Vec::new())]).collect();
        for document in 0..pack.manifest().counts.documents {
            if let Some(found) = wanted.get_mut(pack.document(document)?.id.as_str()) {
                found.push(document);
            }
        }
        let (mut revoked, mut missing) = (BTreeSet::new(), BTreeSet::new());
        for id in ids {
            let named = [id.as_str(), id.trim()].into_iter().filter_map(|id| wanted.get(id)).find(|found| !found.is_empty());
            match named {
                Some(found) => revoked.extend(found),
                None => {
                    missing.insert(id.clone());
                }
            }
        }
        let missing = missing.into_iter().collect();
        Ok(Self { pack, revoked, missing, file: None })
    }

    /// The same revocation, whose pack has the permissions of `file`, the pack's own file, if it replaces no other.
    pub fn with_permissions_of(self, file: &Path) -> Self {
        Self { file: Some(file.to_path_buf()), ..self }
    }

    /// The ids that no document has, sorted.
    pub fn missing(&self) -> &[String] {
        &self.missing
    }

    /// Id and title of each document to revoke, in the order of the pack.
    pub fn removed(&self) -> impl Iterator<Item = Result<(String, String), RevokeError>> {
        self.revoked.iter().map(|number| {
            let document = self.pack.document(*number)?;
            Ok((document.id, document.title))
        })
    }

    /// Number of documents to revoke.
    pub fn documents(&self) -> usize {
        self.revoked.len()
    }

    /// Writes the pack without the documents to `target`, which may be the file of the pack itself. The new pack is made beside a file
    /// there, takes over its permissions and owner, and replaces it at the end.
    ///
    /// The new pack lacks the records of the documents, their metadata with every value that no other document has, their origins with their places, and the references that come from no other document, with key,
    /// text, memory and embedding. The other references are the same byte for byte and in the same order, and the codec's parameters are
    /// the same. The graph is rebuilt over the remaining embeddings with the pack's own parameters. Optional sections that this version
    /// does not know are left out, because they may hold something of the documents. The old pack is verified first, because the digests
    /// of the new pack cover everything that is taken from it.
    ///
    /// Memory: as for a build, 4 bytes a dimension and about 3 KiB for each reference of the graph. `progress` receives the stage, the
    /// amount done and the total.
    ///
    /// # Errors
    /// If no document would remain, the pack is damaged, `cancel` becomes true, or writing fails. A file at `target` is then unchanged.
    pub fn write(
        &self,
        storage: Arc<dyn Storage>,
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
        let folder = WorkFolder::open(storage, target)?;
        let mut writer = PackWriter::create_in(&folder, manifest.model.shape.clone(), manifest.embedder.dim)?;
        if let Some(file) = &self.file {
            writer.permissions_of(file);
        }
        writer.set_codec(&self.pack.codec_spec(), self.pack.section(Tag::CODEC)?)?;
        // The codec is the same, so its loss on memories of this kind is too.
        if let Some(quality) = self.pack.quality() {
            writer.set_quality(quality.clone())?;
        }
        let (numbers, titles) = self.write_documents(&mut writer)?;
        let stay = (0..).zip(&numbers).filter(|(_, new)| new.is_some()).map(|(number, _)| number);
        writer.set_metadata(&remaining(self.pack.metadata()?, stay)?)?;
        let mut terms = TermIndex::default();
        let Remaining { left, shared, origins } = self.write_references(&mut writer, &numbers, &titles, &mut terms, progress, cancel)?;
        let stay = (0..).zip(&origins).filter(|(_, stays)| **stays).map(|(number, _)| number);
        writer.set_places(&remaining(self.pack.places()?, stay)?)?;
        // The index is rebuilt from what remains, so that no revoked term is left in it.
        if self.pack.terms()?.is_some() {
            writer.set_terms(&terms)?;
        }
        if self.pack.coarse_embeddings()?.is_some() {
            writer.add_coarse_embeddings();
        }
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

    /// Verifies the pack. Damaged signatures are ignored, because the new pack has none.
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

    /// Writes the documents that remain. Gives the new number of every document, and the titles of those that remain.
    fn write_documents(&self, writer: &mut PackWriter) -> Result<(Vec<Option<u32>>, Vec<String>), RevokeError> {
        let (mut numbers, mut titles) = (Vec::new(), Vec::new());
        for number in 0..self.pack.manifest().counts.documents {
            let stays = !self.revoked.contains(&number);
            numbers.push(if stays {
                let document = self.pack.document(number)?;
                let new = writer.push_document(&document)?;
                titles.push(document.title);
                Some(new)
            } else {
                None
            });
        }
        Ok((numbers, titles))
    }

    /// Writes the references that remain, with their remaining origins.
    fn write_references(
        &self,
        writer: &mut PackWriter,
        numbers: &[Option<u32>],
        titles: &[String],
        terms: &mut TermIndex,
        progress: &mut dyn FnMut(RevokeStage, u64, u64),
        cancel: &AtomicBool,
    ) -> Result<Remaining, RevokeError> {
        let pack = self.pack;
        let count = pack.manifest().counts.references;
        let (mut left, mut shared, mut stays) = (Vec::new(), 0, Vec::new());
        for reference in 0..count {
            if reference % STEP == 0 {
                check(cancel)?;
                progress(RevokeStage::Writing, reference.into(), count.into());
            }
            let all = pack.origins(reference)?;
            let places = all.len();
            let renumbered =
                |origin: Origin| Some(Origin { document: numbers.get(origin.document as usize).copied().flatten()?, ..origin });
            let renumbered: Vec<Option<Origin>> = all.map(renumbered).collect();
            stays.extend(renumbered.iter().map(Option::is_some));
            let origins: Vec<Origin> = renumbered.into_iter().flatten().collect();
            if origins.is_empty() {
                continue;
            }
            shared += u32::from(origins.len() < places);
            let info = pack.reference(reference)?;
            let (text, embedding) = (pack.text(reference)?, self.embedding(reference)?);
            writer.push_reference(&info.key, info.tokens, &text, &origins)?;
            writer.push_memory(pack.record(reference)?)?;
            writer.push_embedding(&embedding)?;
            let titles = origins.iter().filter_map(|origin| titles.get(origin.document as usize));
            terms.push(titles.map(String::as_str), &text, &info.key, &embedding);
            left.push(reference);
        }
        progress(RevokeStage::Writing, count.into(), count.into());
        Ok(Remaining { left, shared, origins: stays })
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
        // Another writer may have used parameters that this one does not allow: the nearest allowed ones are taken.
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

/// Fails if the cancel flag is set.
fn check(cancel: &AtomicBool) -> Result<(), RevokeError> {
    if cancel.load(Ordering::Relaxed) { Err(RevokeError::Interrupted) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
