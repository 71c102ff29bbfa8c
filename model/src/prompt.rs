//! Token ids of questions and references, by the model's templates.

use std::ops::Range;

use mempack_retrieval::{Chunks, Transcript, Turn};

use crate::{ComputeError, Model};

/// The tokens of a prompt, without the BOS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptTokens {
    /// Ids of the whole prompt.
    pub ids: Vec<u32>,
    /// The range of the question in `ids`.
    pub question: Range<usize>,
    /// The earlier turns of the conversation, which `ids` begin with.
    pub earlier: Vec<Turn>,
    /// Where the question's turn begins in `ids`: after the system message, or the earlier turns and a BOS.
    pub begins: usize,
    /// Tokens of the system message and what is around it, which `ids` begin with. They query for no memories.
    pub system: usize,
}

/// A question that was asked earlier in a conversation, and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The user's words.
    pub question: String,
    /// The answer.
    pub answer: String,
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
    Ok(PromptTokens { ids, question, earlier: Vec::new(), begins: 0, system: 0 })
}

/// A text to continue, without a template. All of it is the question.
///
/// # Errors
/// A failure of the tokenizer.
pub fn continued_tokens(model: &Model, text: &str) -> Result<PromptTokens, ComputeError> {
    let ids = model.tokenizer().encode_plain(text)?;
    Ok(PromptTokens { question: 0..ids.len(), ids, earlier: Vec::new(), begins: 0, system: 0 })
}

/// A prompt after a system message and earlier turns. The message is the filled `system_template`, once before the first turn. Each turn is the filled
/// `prompt_template` and [the answer](answer_ids), and each but the first begins with the BOS. This is what conversations are in training.
///
/// Special tokens are parsed in the templates and in nobody's words.
///
/// # Errors
/// [`ComputeError::NoSystem`] for a message without a `system_template`; a failure of the tokenizer.
pub fn conversation_tokens(
    model: &Model,
    system: Option<&str>,
    exchanges: &[Exchange],
    question: &str,
) -> Result<PromptTokens, ComputeError> {
    let ids = system.map(|system| system_ids(model, system)).transpose()?.unwrap_or_default();
    let system = ids.len();
    let mut before = PromptTokens { ids, question: 0..0, earlier: Vec::new(), begins: system, system };
    for Exchange { question, answer } in exchanges {
        before = before.ending_with(prompt_tokens(model, question)?);
        let start = before.ids.len();
        let (answer, end) = answer_ids(model, answer.trim())?;
        before.ids.extend(answer);
        before.earlier.push(Turn { question: before.question.clone(), answer: start..before.ids.len() });
        before.ids.extend(end);
        before.ids.push(model.config().bos);
        before.begins = before.ids.len();
    }
    Ok(before.ending_with(prompt_tokens(model, question)?))
}

impl PromptTokens {
    /// The prompt `last` after the earlier turns of this one, whose own question it replaces.
    #[must_use]
    pub fn ending_with(mut self, last: Self) -> Self {
        let start = self.begins;
        self.ids.truncate(start);
        self.ids.extend(last.ids);
        Self { question: last.question.start + start..last.question.end + start, ..self }
    }

    /// As text that is cut into chunks.
    pub fn transcript(&self, chunks: Chunks) -> Transcript {
        Transcript::conversation(self.ids.clone(), self.earlier.clone(), self.question.clone(), chunks).after_system(self.system)
    }
}

fn system_ids(model: &Model, system: &str) -> Result<Vec<u32>, ComputeError> {
    let template = model.memory().system_template.as_deref().ok_or(ComputeError::NoSystem)?;
    let (mut ids, end) = around(model, template, "{system}")?;
    ids.extend(model.tokenizer().encode_plain(system)?);
    ids.extend(end);
    Ok(ids)
}

/// The ids of an answer in the form in which the model writes it after its `prompt_template`, and the token that ends it. There is none where the
/// model stops at a text, which is then the end of the answer itself.
///
/// # Errors
/// A failure of the tokenizer.
pub fn answer_ids(model: &Model, answer: &str) -> Result<(Vec<u32>, Option<u32>), ComputeError> {
    let memory = model.memory();
    let space = if memory.prompt_template.ends_with(char::is_whitespace) { "" } else { " " };
    let ids = model.tokenizer().encode_plain(&format!("{space}{answer}"))?;
    Ok((ids, memory.stop_ids.first().copied().filter(|_| memory.stop.is_empty())))
}

/// Fills the model's `context_template`, which puts `text` into the prompt; `None` if the model has no such template.
///
/// # Errors
/// A failure of the tokenizer.
pub fn context_tokens(model: &Model, text: &str, question: &str) -> Result<Option<PromptTokens>, ComputeError> {
    let Some(template) = &model.memory().context_template else { return Ok(None) };
    let tokenizer = model.tokenizer();
    let mut prompt = PromptTokens { ids: Vec::new(), question: 0..0, earlier: Vec::new(), begins: 0, system: 0 };
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
/// # Errors
/// A failure of the tokenizer.
pub fn reference_tokens(model: &Model, text: &str) -> Result<Vec<u32>, ComputeError> {
    let model = model.writer();
    crate::reference::encode(model.tokenizer(), &model.memory().reference_template, text)
}

fn around(model: &Model, template: &str, mark: &str) -> Result<(Vec<u32>, Vec<u32>), ComputeError> {
    let (start, end) = template.split_once(mark).unwrap_or((template, ""));
    Ok((model.tokenizer().encode_template(start)?, model.tokenizer().encode_template(end)?))
}
