//! Continual training: language modelling on texts whose chunks read references (arXiv 2407.01178, section 3.6).

use std::path::PathBuf;

use mempack_model::Model;
use serde::{Deserialize, Serialize};

use super::chunks::ChunkReferences;
use super::text::Texts;
use super::{Objective, ObjectiveConfig, Part, StageContext, StageName, TrainingBatch};
use crate::config::WriteConfig;
use crate::references::{Pool, References};
use crate::{ConfigError, TrainError};

/// `kind = "continual"`: language modelling on texts. The embedder finds a reference for each chunk (the model's `retrieval_interval`) from the
/// chunk's text; a chunk reads its own reference and those of the chunks before it (section 3.6 of the paper). The loss is on all tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContinualConfig {
    /// Corpora of the texts, in the formats that `mempack build` reads.
    pub corpora: Vec<PathBuf>,
    /// Corpora of the references.
    pub references: Vec<PathBuf>,
    /// Tokens of a sequence; best a multiple of a chunk's tokens.
    pub length: usize,
    /// How many chunks before its own a chunk reads the references of. The paper has 4, so that a chunk reads five references.
    #[serde(default = "default_previous")]
    pub previous: usize,
    /// The maximum [overlap](mempack_model::overlap) of a reference with the sequence (equation 6 of the paper), 0.9 by default. A reference above
    /// it is not read, as it would give the text away.
    #[serde(default = "default_overlap")]
    pub overlap: f64,
    /// How references are written.
    pub write: WriteConfig,
}

fn default_previous() -> usize {
    4
}

fn default_overlap() -> f64 {
    0.9
}

impl ObjectiveConfig for ContinualConfig {
    fn check(&self, stage: StageName) -> Result<(), ConfigError> {
        stage.require("corpora", !self.corpora.is_empty(), "at least one", "none")?;
        stage.require("references", !self.references.is_empty(), "at least one corpus", "none")?;
        stage.require("length", self.length > 1, "at least 2 tokens", self.length)?;
        stage.require("overlap", (0.0..=1.0).contains(&self.overlap), "a share from 0 to 1", self.overlap)?;
        self.write.check(stage)
    }

    fn paths_mut(&mut self) -> Vec<&mut PathBuf> {
        self.corpora.iter_mut().chain(&mut self.references).collect()
    }

    fn write(&self) -> Option<&WriteConfig> {
        Some(&self.write)
    }

    fn length(&self) -> Option<(&'static str, usize)> {
        Some(("length", self.length))
    }

    fn load(&self, context: &StageContext<'_>) -> Result<Box<dyn Objective>, TrainError> {
        Ok(Box::new(Continual::read(context, self)?))
    }
}

/// Texts, and the references that their chunks read.
struct Continual {
    texts: Texts,
    memories: ChunkReferences,
    /// See [`ContinualConfig::previous`].
    previous: usize,
}

impl Continual {
    fn read(context: &StageContext<'_>, config: &ContinualConfig) -> Result<Self, TrainError> {
        let embedder = context.required_embedder()?;
        let texts = Texts::read(context, &config.corpora, config.length)?;
        let references = References::read(context.model, embedder, &config.references, context.cache, context.progress)?;
        if references.items.is_empty() {
            return Err(context.no_data("no reference", "name corpora with text as `references`"));
        }
        let memories = ChunkReferences { references, embedder: embedder.share(), max_overlap: config.overlap };
        Ok(Self { texts, memories, previous: config.previous })
    }
}

impl Objective for Continual {
    /// Each chunk finds one reference, the nearest to its text that does not repeat its sequence, and reads it and those of the chunks
    /// before. A reference that several chunks read is written once.
    fn batch(&mut self, model: &Model, part: Part) -> Result<TrainingBatch, TrainError> {
        let sequences = self.texts.sequences(part.sequence_numbers());
        let mut batch = TrainingBatch { sequences, ..TrainingBatch::default() };
        let found_by_all = self.memories.find(model, &batch.sequences, 1)?;
        let references = &self.memories.references;
        let mut pool = Pool::default();
        for (sequence, chunks) in batch.sequences.iter_mut().zip(found_by_all) {
            let mut found = Vec::with_capacity(chunks.len());
            for chunk in chunks {
                found.push(chunk.hits.first().map(|hit| hit.reference));
                // A reference is weighed by its similarity to the chunk that reads it, not to the chunk that found it.
                let read = read_by_last(&found, self.previous).into_iter();
                sequence.chunks.push(read.map(|r| (pool.place(r), references.similarity(&chunk.vector, r))).collect());
            }
        }
        batch.references = pool.ids(&references.items);
        Ok(batch)
    }
}

/// The references that the last chunk reads, given what each chunk up to it has found: its own and those of the `previous` chunks before it,
/// each once.
fn read_by_last(found: &[Option<usize>], previous: usize) -> Vec<usize> {
    let mut read = Vec::new();
    for reference in found.iter().rev().take(previous + 1).flatten() {
        if !read.contains(reference) {
            read.push(*reference);
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use mempack_model::{Embedder, LoadOptions, overlaps};

    use super::*;
    use crate::stages::StageSize;
    use crate::{Keep, KeepSchedule, NoProgress};

    fn root(path: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
    }

    fn loaded() -> (Model, Embedder) {
        let embedder = std::env::var_os("MEMPACK_EMBEDDER").map_or_else(|| root("models/all-MiniLM-L6-v2"), PathBuf::from);
        assert!(
            embedder.join("config.json").is_file(),
            "no embedder in {}: run `make models`, or set MEMPACK_EMBEDDER",
            embedder.display()
        );
        let options = LoadOptions::default();
        (Model::load(&root("tests/fixtures/tiny"), &options).unwrap(), Embedder::load(&embedder, &options).unwrap())
    }

    /// A corpus in a folder of its own, one document a line.
    fn corpus(lines: &[&str]) -> (tempfile::TempDir, Vec<PathBuf>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("corpus.jsonl");
        std::fs::write(&path, lines.join("\n")).unwrap();
        (folder, vec![path])
    }

    fn continual(model: &Model, embedder: &Embedder, texts: &[PathBuf], references: &[PathBuf], length: usize, overlap: f64) -> Continual {
        let cache = tempfile::tempdir().unwrap();
        let write = WriteConfig { keep: KeepSchedule(vec![(0, Keep::Tokens(8))]), selection_gradient: false, noise: [0.0; 2] };
        let config = ContinualConfig { corpora: texts.to_vec(), references: references.to_vec(), length, previous: 4, overlap, write };
        let embedder = Some(embedder);
        let context =
            StageContext { model, embedder, stage: 0, size: StageSize::SMALL, seed: 7, cache: cache.path(), progress: &NoProgress };
        Continual::read(&context, &config).unwrap()
    }

    fn part(number: u64, sequences: usize) -> Part {
        Part { number, sequences }
    }

    #[test]
    fn a_chunk_reads_its_own_and_the_four_before_each_once() {
        let found = [Some(7), Some(3), None, Some(7), Some(5), Some(5), Some(9), Some(2)];
        let read = |chunks: usize| read_by_last(&found[..chunks], 4);
        assert_eq!(read(1), [7]);
        assert_eq!(read(2), [3, 7]);
        assert_eq!(read(3), [3, 7]);
        assert_eq!(read(4), [7, 3]);
        assert_eq!(read(5), [5, 7, 3]);
        // The first chunk is out of reach now, but the fourth found the same reference.
        assert_eq!(read(6), [5, 7, 3]);
        assert_eq!(read(7), [9, 5, 7]);
        assert_eq!(read(8), [2, 9, 5, 7]);
        assert_eq!(read_by_last(&found, 0), [2]);
    }

    #[test]
    fn parts_are_functions_of_their_number() {
        let (model, embedder) = loaded();
        let all = std::fs::read_to_string(root("kb-samples/medical/corpus.jsonl")).unwrap();
        let (_folder, sources) = corpus(&all.lines().take(8).collect::<Vec<_>>());
        let make = || continual(&model, &embedder, &sources, &sources, 200, 0.9);
        let mut one = make();
        let parts: Vec<_> = (0..3).map(|number| one.batch(&model, part(number, 2)).unwrap()).collect();
        assert_ne!(parts[0], parts[1]);
        let mut other = make();
        for number in [2, 0] {
            assert_eq!(other.batch(&model, part(number, 2)).unwrap(), parts[number as usize]);
        }
        for batch in &parts {
            let mut read = vec![false; batch.references.len()];
            for sequence in &batch.sequences {
                // The texts themselves are among the references.
                assert!(sequence.chunks.iter().flatten().all(|(place, _)| !overlaps(&sequence.tokens, &batch.references[*place], 0.9)));
                assert_eq!((sequence.tokens.len(), sequence.chunks.len()), (200, 4));
                assert!(sequence.learnt.iter().all(|learnt| *learnt));
                for (number, chunk) in sequence.chunks.iter().enumerate() {
                    assert!((1..=number + 1).contains(&chunk.len()), "{chunk:?}");
                    chunk.iter().for_each(|(place, _)| read[*place] = true);
                    // No reference is nearer to a chunk than its own, unless it repeats the sequence.
                    assert!(chunk.iter().all(|(_, similarity)| (-1.0..=chunk[0].1 + 1e-6).contains(similarity)), "{chunk:?}");
                }
            }
            // Every reference that is written is read, and is written once.
            assert!(read.iter().all(|read| *read));
            let distinct: std::collections::BTreeSet<_> = batch.references.iter().collect();
            assert_eq!(distinct.len(), batch.references.len());
        }
    }

    #[test]
    fn a_reference_that_repeats_the_text_is_not_read() {
        let (model, embedder) = loaded();
        let text = "Nutepril is a medicine against gout. The usual dose of Nutepril is 20 mg in the evening.";
        let own = &format!(r#"{{"id": "own", "text": "{text}"}}"#);
        let length = model.tokenizer().encode_plain(text).unwrap().len();
        let near = r#"{"id": "near", "text": "Nutepril must not be given to children, and not against a cough."}"#;
        let far = r#"{"id": "far", "text": "The lease ends with the month in which the tenant gives notice."}"#;
        let (_texts, texts) = corpus(&[own]);
        let (_references, references) = corpus(&[far, own, near]);
        let read = |overlap: f64, references: &[PathBuf]| {
            let mut data = continual(&model, &embedder, &texts, references, length, overlap);
            let batch = data.batch(&model, part(0, 1)).unwrap();
            let chunks = batch.sequences[0].chunks.clone();
            let texts: Vec<_> = batch.references.iter().map(|ids| model.tokenizer().decode(ids).unwrap()).collect();
            (texts, chunks)
        };
        let (texts_read, _) = read(1.0, &references);
        assert!(texts_read[0].contains("gout") && texts_read.len() == 1, "{texts_read:?}");
        let (texts_read, chunks) = read(0.9, &references);
        assert!(texts_read[0].contains("children") && texts_read.len() == 1, "{texts_read:?}");
        assert!(chunks.len() == 1 && chunks[0][0].0 == 0, "{chunks:?}");
        // There is no other reference: the chunk reads nothing.
        assert_eq!(read(0.9, &texts), (Vec::new(), vec![Vec::new()]));
    }
}
