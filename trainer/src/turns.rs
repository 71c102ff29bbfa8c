//! Tokens of what a model answers.

use mempack_model::{Model, answer_ids};

use crate::TrainError;

/// An answer in the form that is learnt: with a capital and a full stop.
pub(crate) fn answer_form(answer: &str) -> String {
    let mut letters = answer.trim().chars();
    let mut text: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    if !text.ends_with(['.', '!', '?', '。', '！', '？']) {
        text.push('.');
    }
    text
}

/// Token ids of a text that the model writes after a prompt, with the model's end of an answer.
pub(crate) fn written_tokens(model: &Model, text: &str) -> Result<Vec<u32>, TrainError> {
    let (mut ids, end) = answer_ids(model, text)?;
    // A model that stops at a text learns that text, which is the full stop; others learn a stop token.
    ids.extend(end);
    Ok(ids)
}

/// Token ids of an answer in the form that is learnt.
pub(crate) fn answer_tokens(model: &Model, answer: &str) -> Result<Vec<u32>, TrainError> {
    written_tokens(model, &answer_form(answer))
}

/// The most tokens of a sequence that reads memories, as the model's context allows; `None` if its files do not say.
pub(crate) fn room(model: &Model) -> Option<usize> {
    let memory = model.memory();
    // Prefix, the positions that memories share, and the BOS come before.
    let before = memory.reference_prefix_ids.len() + memory.reference_length as usize + 1;
    model.config().max_positions.map(|positions| (positions as usize).saturating_sub(before))
}
