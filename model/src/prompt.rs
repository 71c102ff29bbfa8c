//! How questions and references become token ids: the model's templates, as it was trained with them.

use std::ops::Range;

use crate::{ComputeError, Model};

/// The tokens of a prompt; the token that begins a text is not among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptTokens {
    /// Ids of the whole prompt.
    pub ids: Vec<u32>,
    /// Which of them are the user's words.
    pub question: Range<usize>,
}

/// Fills the model's `prompt_template`: its parts may hold special tokens, the question is ordinary text.
pub fn prompt_tokens(model: &Model, question: &str) -> Result<PromptTokens, ComputeError> {
    let (mut ids, end) = around(model, &model.memory().prompt_template, "{question}")?;
    let start = ids.len();
    ids.extend(model.tokenizer().encode_plain(question)?);
    let question = start..ids.len();
    ids.extend(end);
    Ok(PromptTokens { ids, question })
}

/// Fills the model's `context_template`, which puts `text` into the prompt; `None` if the model has no such template.
pub fn context_tokens(model: &Model, text: &str, question: &str) -> Result<Option<PromptTokens>, ComputeError> {
    let Some(template) = &model.memory().context_template else { return Ok(None) };
    let tokenizer = model.tokenizer();
    let mut prompt = PromptTokens { ids: Vec::new(), question: 0..0 };
    let mut rest = template.as_str();
    // Both marks occur once (checked when the model was loaded), in either order.
    while let Some((at, mark)) = ["{text}", "{question}"].iter().filter_map(|m| rest.find(m).map(|at| (at, *m))).min() {
        prompt.ids.extend(tokenizer.encode_template(&rest[..at])?);
        let start = prompt.ids.len();
        prompt.ids.extend(tokenizer.encode_plain(if mark == "{text}" { text } else { question })?);
        if mark == "{question}" {
            prompt.question = start..prompt.ids.len();
        }
        rest = &rest[at + mark.len()..];
    }
    prompt.ids.extend(tokenizer.encode_template(rest)?);
    Ok(Some(prompt))
}

/// Ids of a reference's text in the model's `reference_template`; special tokens in the text are ordinary text.
///
/// Template and text are encoded as one string, so that a space before the text joins its first word.
pub fn reference_tokens(model: &Model, text: &str) -> Result<Vec<u32>, ComputeError> {
    model.tokenizer().encode_plain(&model.memory().reference_template.replacen("{text}", text, 1))
}

fn around(model: &Model, template: &str, mark: &str) -> Result<(Vec<u32>, Vec<u32>), ComputeError> {
    let (start, end) = template.split_once(mark).unwrap_or((template, ""));
    Ok((model.tokenizer().encode_template(start)?, model.tokenizer().encode_template(end)?))
}
