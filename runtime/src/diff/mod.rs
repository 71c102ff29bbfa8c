//! Differences between two packs: documents by id, references by key, and how the packs were built.

mod changes;
mod documents;
mod json;
mod metadata;
mod references;

use mempack_format::{Difference, Pack, ReadError, Section, Tag};

pub use changes::{Change, Counted, DiffError, DiffReport, Side};

/// Compares two packs, and calls `each` for every change: documents in the order of their ids' digests, then references in the order of
/// their keys.
///
/// Documents are compared by id. A document in both packs has changed if a field of its record or of its metadata, its references or their
/// order differ. If an
/// id repeats, the first is compared with the first, and so on. References are compared by key: equal keys mean equal memories, up to the
/// codec. A reference whose places in the corpus differ counts as kept and as moved.
///
/// Sections are compared with their digests before they are read. Memory: at most about 40 bytes per reference and 100 bytes per document
/// of both packs, and 24 bytes per origin of one pack while documents are compared.
///
/// # Errors
/// If a pack is damaged.
pub fn diff<A: AsRef<[u8]>, B: AsRef<[u8]>>(old: &Pack<A>, new: &Pack<B>, each: &mut dyn FnMut(Change)) -> Result<DiffReport, DiffError> {
    check(old).map_err(Side::Old.failed())?;
    check(new).map_err(Side::New.failed())?;
    let before = documents::Documents::of(old).map_err(Side::Old.failed())?;
    let after = documents::Documents::of(new).map_err(Side::New.failed())?;
    let fields = metadata::Fields::of(old, new)?;
    let documents = documents::compare((old, &before), (new, &after), &fields, each)?;
    let (references, moved) = references::compare((old, &before.names), (new, &after.names), each)?;
    let making = making(old, new).into_iter().chain(fields.kinds()).collect();
    Ok(DiffReport { same: old.id() == new.id(), documents, references, moved, making })
}

/// Compares the sections that [`diff`] reads with their digests.
fn check<D: AsRef<[u8]>>(pack: &Pack<D>) -> Result<(), ReadError> {
    let read = [Tag::DOCUMENT_INDEX, Tag::DOCUMENTS, Tag::METADATA, Tag::PLACES, Tag::REFERENCES, Tag::ORIGINS];
    read.into_iter().try_for_each(|tag| pack.section(tag).map(|_| ()))
}

/// Differences in how the packs were built: model, precision, embedder, codec, graph.
fn making<A: AsRef<[u8]>, B: AsRef<[u8]>>(old: &Pack<A>, new: &Pack<B>) -> Vec<Difference> {
    let (a, b) = (old.manifest(), new.manifest());
    let mut differences = a.model.differences(&b.model);
    let mut compare = |field, pack: String, model: String| {
        if pack != model {
            differences.push(Difference { field, pack, model });
        }
    };
    compare("precision", a.precision.clone(), b.precision.clone());
    compare("codec", a.codec.clone(), b.codec.clone());
    if a.codec == b.codec {
        compare("codec parameters", digest(old.sections(), Tag::CODEC), digest(new.sections(), Tag::CODEC));
    }
    let graph = |graph: Option<mempack_format::GraphParameters>| match graph {
        Some(graph) => format!("m {}, ef_construction {}", graph.m, graph.ef_construction),
        None => "none".to_owned(),
    };
    compare("graph", graph(a.graph), graph(b.graph));
    differences.extend(a.embedder.differences(&b.embedder));
    differences
}

fn digest(sections: &[Section], tag: Tag) -> String {
    sections.iter().find(|section| section.tag == tag).map(|section| section.digest.to_string()).unwrap_or_default()
}
