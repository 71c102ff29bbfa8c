//! Queries of the chunks of a sequence.

use mempack_model::Model;

use crate::TrainError;

/// The texts that query for the chunks of a sequence, as when a prompt is read: a chunk's own tokens, and for an unfinished last chunk the
/// last tokens of the sequence.
pub(super) fn chunk_texts(model: &Model, tokens: &[u32]) -> Result<Vec<String>, TrainError> {
    let chunks = model.memory().chunks();
    let windows = (0..chunks.count(tokens.len())).map(|chunk| chunks.own_window(chunk, tokens.len()));
    windows.map(|window| Ok(model.tokenizer().decode(&tokens[window])?.trim().to_owned())).collect()
}
