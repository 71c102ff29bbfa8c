//! What an embedder puts before texts, from `config_sentence_transformers.json`.

use std::path::Path;

use mempack_format::{EmbedderPrompts, MAX_PROMPT_BYTES};

use super::config::FETCH;
use crate::LoadError;
use crate::fields::{Fields, read_object_if_any};

/// What a text is embedded as. An embedder with prompts, such as E5, puts another one before each kind of text, and only the similarity
/// of a query to a passage means something.
///
/// Prompts are read from `config_sentence_transformers.json`, under the names that the sentence-transformers library looks for in
/// `encode_query` and `encode_document`: `query` for queries; `document`, `passage` or `corpus` for passages. As there, the prompt that
/// `default_prompt_name` names is for both, where they have none of their own. A prompt of another name is refused unless it is empty: it
/// serves a task other than search, or one of several searches, and the file does not say which one a pack is for. Two different prompts
/// for passages are refused too; that library takes the first of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmbedAs {
    /// A text that something is looked for with: a question, or the text of a chunk.
    Query,
    /// A text that is looked for: a reference.
    Passage,
}

/// The names of prompts.
const NAMES: [(EmbedAs, &[&str]); 2] = [(EmbedAs::Query, &["query"]), (EmbedAs::Passage, &["document", "passage", "corpus"])];

const REMEDY: &str = "keep the prompts for search under `query` and `passage`, and remove the others from the file";

/// The prompts of an embedder's folder ([`EmbedAs`]); `None` if it puts nothing before texts.
pub(super) fn load_prompts(folder: &Path) -> Result<Option<EmbedderPrompts>, LoadError> {
    let path = folder.join("config_sentence_transformers.json");
    let Some(object) = read_object_if_any(&path, FETCH)? else { return Ok(None) };
    let f = Fields::new(&path, &object);
    let block = f.block("prompts")?;
    let prompt = |name: &str| -> Result<Option<&str>, LoadError> {
        let prompt = block.as_ref().map_or(Ok(None), |block| block.str(name))?;
        match (&block, prompt) {
            (Some(block), Some(text)) if text.len() as u64 > MAX_PROMPT_BYTES => {
                Err(block.refuse(name, format!("at most {MAX_PROMPT_BYTES} bytes"), format!("{} bytes", text.len()), REMEDY))
            }
            _ => Ok(prompt),
        }
    };
    let default = match f.str("default_prompt_name")? {
        None => None,
        Some(name) => match prompt(name)? {
            Some(prompt) => Some((name, prompt)),
            None => {
                let expected = "null, or the name of a prompt in `prompts`";
                return Err(f.refuse("default_prompt_name", expected, format!("`{name}`, which is missing"), "correct the file"));
            }
        },
    };
    let mut found = [""; 2];
    for (slot, (_, names)) in found.iter_mut().zip(NAMES) {
        let mut own: Option<(&str, &str)> = None;
        for name in names {
            let Some(text) = prompt(name)? else { continue };
            if let Some((first, other)) = own.filter(|(_, other)| *other != text) {
                return Err(f.refuse(&format!("prompts.{name}"), format!("{other:?}, as `{first}` has"), format!("{text:?}"), REMEDY));
            }
            own = Some((name, text));
        }
        *slot = own.or(default).map_or("", |(_, text)| text);
    }
    for name in block.iter().flat_map(Fields::names) {
        let known = NAMES.iter().any(|(_, names)| names.contains(&name)) || default.is_some_and(|(default, _)| default == name);
        if let Some(text) = prompt(name)?.filter(|text| !known && !text.is_empty()) {
            let expected = "prompts for `query` and for `passage` (or `document` or `corpus`) alone";
            return Err(f.refuse(&format!("prompts.{name}"), expected, format!("{text:?}"), REMEDY));
        }
    }
    let [query, passage] = found.map(str::to_owned);
    if query.is_empty() && passage.is_empty() {
        return Ok(None);
    }
    refuse_uncounted(folder)?;
    Ok(Some(EmbedderPrompts { query, passage }))
}

/// Refuses a pooling that leaves the prompt's tokens out of the mean.
fn refuse_uncounted(folder: &Path) -> Result<(), LoadError> {
    let path = folder.join("1_Pooling").join("config.json");
    let Some(object) = read_object_if_any(&path, FETCH)? else { return Ok(()) };
    let f = Fields::new(&path, &object);
    match f.bool("include_prompt")? {
        Some(false) => Err(f.refuse("include_prompt", "true", "false", "use an embedder whose vectors include the prompt")),
        _ => Ok(()),
    }
}
