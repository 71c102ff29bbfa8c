//! Continual training: language modelling on texts whose chunks read references (arXiv 2407.01178, section 3.6).

use mempack_model::training::Sequence;
use mempack_model::{Embedder, Model, overlaps};

use crate::TrainError;
use crate::batch::Batch;
use crate::references::References;
use crate::text::Texts;

/// Texts, and the references that their chunks read.
pub(crate) struct Continual {
    pub texts: Texts,
    pub references: References,
    pub embedder: Embedder,
    /// How many chunks before its own a chunk reads the references of.
    pub previous: usize,
    /// References that have more than this in common with a sequence are none of its.
    pub overlap: f64,
}

/// References looked at first; of most chunks the nearest one will do.
const NEAREST: usize = 4;

impl Continual {
    /// The part that begins with the sequence number `first`; it depends on that number alone.
    ///
    /// Each chunk has one reference, the one nearest to its text that does not repeat its sequence, and reads it and those of the
    /// chunks before; what several chunks read is written once.
    pub fn batch(&mut self, model: &Model, first: u64, count: usize) -> Result<Batch, TrainError> {
        let mut batch = self.texts.batch(first, count);
        let texts = batch.sequences.iter().map(|sequence| chunk_texts(model, sequence)).collect::<Result<Vec<_>, _>>()?;
        let all: Vec<&str> = texts.iter().flatten().map(String::as_str).collect();
        let vectors = self.embedder.embed(&all)?;
        let mut queries = vectors.chunks_exact(self.embedder.dim());
        let mut pool: Vec<usize> = Vec::new();
        for (sequence, texts) in batch.sequences.iter_mut().zip(&texts) {
            let mut found = Vec::with_capacity(texts.len());
            for query in queries.by_ref().take(texts.len()) {
                found.push(self.find(model, query, &sequence.tokens)?);
                let places = read_by_last(&found, self.previous).into_iter().map(|reference| {
                    let place = pool.iter().position(|known| *known == reference).unwrap_or_else(|| {
                        pool.push(reference);
                        pool.len() - 1
                    });
                    // How near a reference is to this chunk, whichever one found it: that is what reading weighs it by.
                    (place, self.references.similarity(query, reference))
                });
                sequence.chunks.push(places.collect());
            }
        }
        batch.references = pool.iter().map(|r| self.references.items[*r].ids.clone()).collect();
        Ok(batch)
    }

    /// The reference nearest to a chunk that does not repeat the sequence `tokens`; none if all do.
    fn find(&self, model: &Model, query: &[f32], tokens: &[u32]) -> Result<Option<usize>, TrainError> {
        let (mut done, mut wanted) = (0, NEAREST);
        while done < self.references.items.len() {
            let near = self.references.nearest(query, wanted);
            for (reference, _) in &near[done..] {
                let own = model.tokenizer().encode_plain(&self.references.items[*reference].text)?;
                if !overlaps(tokens, &own, self.overlap) {
                    return Ok(Some(*reference));
                }
            }
            done = near.len();
            wanted *= NEAREST;
        }
        Ok(None)
    }
}

/// What the chunks of a sequence are retrieved with: their own text, as when a prompt is read; of an unfinished last chunk, as many
/// tokens before the end as a chunk has.
fn chunk_texts(model: &Model, sequence: &Sequence) -> Result<Vec<String>, TrainError> {
    let interval = model.memory().retrieval_interval as usize;
    let count = sequence.tokens.len();
    let ends = (0..count.div_ceil(interval)).map(|chunk| count.min((chunk + 1) * interval));
    let texts = ends.map(|end| Ok(model.tokenizer().decode(&sequence.tokens[end.saturating_sub(interval)..end])?.trim().to_owned()));
    texts.collect()
}

/// What the last of some chunks reads: of those that they found, its own and those of the `previous` chunks before it, each once.
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
    use std::path::{Path, PathBuf};

    use mempack_model::LoadOptions;

    use super::*;
    use crate::Silent;

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

    /// The lines of a corpus, one document each, in a folder of their own.
    fn corpus(lines: &[&str]) -> (tempfile::TempDir, Vec<PathBuf>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("corpus.jsonl");
        std::fs::write(&path, lines.join("\n")).unwrap();
        (folder, vec![path])
    }

    fn continual(model: &Model, embedder: &Embedder, texts: &[PathBuf], references: &[PathBuf], length: usize, overlap: f64) -> Continual {
        let cache = tempfile::tempdir().unwrap();
        Continual {
            texts: Texts::read(model, 0, texts, length, 7, &Silent).unwrap(),
            references: References::read(model, embedder, references, cache.path(), &Silent).unwrap(),
            embedder: embedder.share(),
            previous: 4,
            overlap,
        }
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
        // The first chunk is out of reach now; the fourth one found the same.
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
        let parts: Vec<_> = (0..3).map(|part| one.batch(&model, 2 * part, 2).unwrap()).collect();
        assert_ne!(parts[0], parts[1]);
        let mut other = make();
        for part in [2, 0] {
            assert_eq!(other.batch(&model, 2 * part, 2).unwrap(), parts[part as usize]);
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
            // Whatever is written is read, and written once.
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
            let batch = data.batch(&model, 0, 1).unwrap();
            let chunks = batch.sequences[0].chunks.clone();
            let texts: Vec<_> = batch.references.iter().map(|ids| model.tokenizer().decode(ids).unwrap()).collect();
            (texts, chunks)
        };
        let (texts_read, _) = read(1.0, &references);
        assert!(texts_read[0].contains("gout") && texts_read.len() == 1, "{texts_read:?}");
        let (texts_read, chunks) = read(0.9, &references);
        assert!(texts_read[0].contains("children") && texts_read.len() == 1, "{texts_read:?}");
        assert!(chunks.len() == 1 && chunks[0][0].0 == 0, "{chunks:?}");
        // Nothing else is there: the chunk reads nothing.
        assert_eq!(read(0.9, &texts), (Vec::new(), vec![Vec::new()]));
    }
}
