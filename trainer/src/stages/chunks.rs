//! Which references are near to the chunks of sequences.

use mempack_model::training::Sequence;
use mempack_model::{EmbedAs, Embedder, Model};
use mempack_retrieval::{Hit, Query, Retrieval};

use crate::TrainError;
use crate::references::{References, RepeatFilter};

/// References that chunks are given.
pub(super) struct ChunkReferences {
    pub references: References,
    pub embedder: Embedder,
    /// The maximum [overlap](mempack_model::overlap) of a reference with the sequence, a share.
    pub max_overlap: f64,
}

/// What a chunk finds.
pub(super) struct Found {
    /// The unit vector of its text.
    pub vector: Vec<f32>,
    /// The nearest references that do not repeat the sequence, most similar first.
    pub hits: Vec<Hit<usize>>,
}

impl ChunkReferences {
    /// At most `count` references for each chunk of each sequence.
    pub fn find(&self, model: &Model, sequences: &[Sequence], count: usize) -> Result<Vec<Vec<Found>>, TrainError> {
        let texts = sequences.iter().map(|sequence| chunk_texts(model, &sequence.tokens)).collect::<Result<Vec<_>, _>>()?;
        let all: Vec<&str> = texts.iter().flatten().map(String::as_str).collect();
        let vectors = self.embedder.embed(EmbedAs::Query, &all)?;
        let mut vectors = vectors.chunks_exact(self.embedder.dim());
        let filter = RepeatFilter { model, references: &self.references, max_overlap: self.max_overlap };
        let retrieval = Retrieval::new(&self.embedder, &self.references).filtered(filter);
        let mut of_sequences = Vec::with_capacity(sequences.len());
        for (sequence, texts) in sequences.iter().zip(&texts) {
            let find = |(text, vector): (&String, &[f32])| {
                let query = Query { text, context: &sequence.tokens };
                Ok(Found { hits: retrieval.recall_vector(&query, vector, count)?.hits, vector: vector.to_vec() })
            };
            of_sequences.push(texts.iter().zip(&mut vectors).map(find).collect::<Result<Vec<_>, TrainError>>()?);
        }
        Ok(of_sequences)
    }
}

/// The texts that query for the chunks of a sequence, as when a prompt is read: a chunk's own tokens, and for an unfinished last chunk the
/// last tokens of the sequence.
fn chunk_texts(model: &Model, tokens: &[u32]) -> Result<Vec<String>, TrainError> {
    let chunks = model.memory().chunks();
    let windows = (0..chunks.count(tokens.len())).map(|chunk| chunks.own_window(chunk, tokens.len()));
    windows.map(|window| Ok(model.tokenizer().decode(&tokens[window])?.trim().to_owned())).collect()
}
