//! Token ids of questions and references, by the model's templates.

use std::ops::Range;

use crate::{ComputeError, Model};

/// The tokens of a prompt, without the BOS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptTokens {
    /// Ids of the whole prompt.
    pub ids: Vec<u32>,
    /// The range of the question in `ids`.
    pub question: Range<usize>,
}

/// Fills the model's `prompt_template`. Special tokens are parsed in the template and not in the question.
///
/// # Errors
/// A failure of the tokenizer.
pub fn prompt_tokens(model: &Model, question: &str) -> Result<PromptTokens, ComputeError> {
    let (mut ids, end) = around(model, &model.memory().prompt_template, "{question}")?;
    let start = ids.len();
    ids.extend(model.tokenizer().encode_plain(question)?);
    let question = start..ids.len();
    ids.extend(end);
    Ok(PromptTokens { ids, question })
}

/// Fills the model's `context_template`, which puts `text` into the prompt; `None` if the model has no such template.
///
/// # Errors
/// A failure of the tokenizer.
pub fn context_tokens(model: &Model, text: &str, question: &str) -> Result<Option<PromptTokens>, ComputeError> {
    let Some(template) = &model.memory().context_template else { return Ok(None) };
    let tokenizer = model.tokenizer();
    let mut prompt = PromptTokens { ids: Vec::new(), question: 0..0 };
    let mut rest = template.as_str();
    // Loading the model made sure that both placeholders occur once; their order is free.
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

/// Ids of a reference's text in the model's `reference_template`. Special tokens are parsed in neither.
///
/// Template and text are encoded as one string, so that a space before the text becomes part of its first token.
///
/// # Errors
/// A failure of the tokenizer.
pub fn reference_tokens(model: &Model, text: &str) -> Result<Vec<u32>, ComputeError> {
    let model = model.writer();
    model.tokenizer().encode_plain(&model.memory().reference_template.replacen("{text}", text, 1))
}

fn around(model: &Model, template: &str, mark: &str) -> Result<(Vec<u32>, Vec<u32>), ComputeError> {
    let (start, end) = template.split_once(mark).unwrap_or((template, ""));
    Ok((model.tokenizer().encode_template(start)?, model.tokenizer().encode_template(end)?))
}
