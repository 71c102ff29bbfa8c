//! What receives written references: the pack of a build, or one of a merge.

use std::sync::atomic::AtomicBool;

use mempack_format::{Digest, GraphParameters, Origin, PackWriter};

use crate::cancel::check;
use crate::dedup::Occurrence;
use crate::graph::GraphBuilder;
use crate::places::PlaceTable;
use crate::progress::Stages;
use crate::terms::TermIndex;
use crate::{BuildError, COARSE_FROM, GraphOptions, Stage};

/// What goes into a pack with the memory and the embedding of a reference.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ReferenceMeta {
    pub key: Digest,
    /// Tokens that the model reads.
    pub tokens: u16,
    pub text: String,
    /// The first one first.
    pub occurrences: Vec<Occurrence>,
}

/// Receives references in their order.
pub(crate) trait ReferenceSink {
    /// The next reference: its memory record and its embedding, a unit vector.
    fn push(&mut self, reference: &ReferenceMeta, record: &[u8], embedding: &[f32]) -> Result<(), BuildError>;
}

/// Puts references into a pack, and all that is built from them: graph, inverted index, places.
///
/// Memory: that of [`GraphBuilder`] and [`TermIndex`], and 4 bytes for each origin.
pub(crate) struct PackSink<'a> {
    writer: &'a mut PackWriter,
    /// The titles of the documents of the pack.
    titles: &'a [String],
    options: GraphOptions,
    graph: GraphBuilder,
    terms: TermIndex,
    /// The numbers of the places of the origins, in the order of the pack.
    places: Vec<u32>,
    count: u64,
}

impl<'a> PackSink<'a> {
    /// A pack of `count` references, whose documents `writer` has already.
    pub fn new(writer: &'a mut PackWriter, titles: &'a [String], options: GraphOptions, count: u64) -> Self {
        let graph = GraphBuilder::new(options, count);
        Self { writer, titles, options, graph, terms: TermIndex::default(), places: Vec::new(), count }
    }

    /// Writes what was built from the references. `places` has the numbers of their occurrences. Reports the graph to `stages`, if there are any.
    pub fn finish(self, places: &PlaceTable, stages: Option<&mut Stages<'_>>, cancel: &AtomicBool) -> Result<(), BuildError> {
        let Self { writer, options, graph, terms, places: numbers, count, .. } = self;
        if numbers.len() as u64 <= u32::MAX.into() {
            writer.set_places(&places.columns(&numbers))?;
        }
        writer.set_terms(&terms)?;
        if count >= COARSE_FROM {
            writer.add_coarse_embeddings();
        }
        if let Some(stages) = stages {
            stages.begin(Stage::Graph, Some(count));
        }
        check(cancel)?;
        let parameters = GraphParameters { m: options.m, ef_construction: options.ef_construction };
        Ok(writer.set_graph(&graph.finish(), parameters)?)
    }
}

impl ReferenceSink for PackSink<'_> {
    fn push(&mut self, reference: &ReferenceMeta, record: &[u8], embedding: &[f32]) -> Result<(), BuildError> {
        let origins: Vec<Origin> = reference.occurrences.iter().map(|occurrence| occurrence.origin).collect();
        self.writer.push_reference(&reference.key, reference.tokens, &reference.text, &origins)?;
        self.places.extend(reference.occurrences.iter().map(|occurrence| occurrence.place));
        self.writer.push_memory(record)?;
        self.writer.push_embedding(embedding)?;
        self.graph.push(embedding);
        let titles = origins.iter().filter_map(|origin| self.titles.get(origin.document as usize));
        self.terms.push(titles.map(String::as_str), &reference.text, &reference.key, embedding);
        Ok(())
    }
}
