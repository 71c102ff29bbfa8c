//! Control tokens: tokens with a role in a model's texts, which no text of a user or a corpus may contain as tokens.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use tokenizers::{AddedToken, Encoding, Tokenizer};

use crate::LoadError;
use crate::fields::{Fields, read_file, read_json, read_object_if_any};

const FETCH: &str = "fetch the model again";

/// The roles of tokens, as the files of a model tell them.
#[derive(Debug, Default)]
pub(crate) struct Roles {
    ids: BTreeSet<u32>,
    names: BTreeSet<String>,
    templates: Vec<String>,
}

impl Roles {
    /// Reads the files beside a tokenizer.json that are about its tokens: tokenizer_config.json, special_tokens_map.json and chat
    /// templates.
    pub(crate) fn of_folder(folder: &Path) -> Result<Self, LoadError> {
        let mut roles = Self::default();
        for file in ["tokenizer_config.json", "special_tokens_map.json"] {
            let path = folder.join(file);
            if let Some(object) = read_object_if_any(&path, FETCH)? {
                roles.read(&Fields::new(&path, &object));
            }
        }
        let path = folder.join("chat_template.json");
        if path.exists() {
            roles.template(&read_json(&path, FETCH)?);
        }
        let path = folder.join("chat_template.jinja");
        if path.exists() {
            roles.templates.push(String::from_utf8_lossy(&read_file(&path, "file", FETCH)?).into_owned());
        }
        Ok(roles)
    }

    /// Adds tokens by their ids.
    pub(crate) fn add_ids(&mut self, ids: impl IntoIterator<Item = u32>) {
        self.ids.extend(ids);
    }

    /// Adds the markers of a template.
    pub(crate) fn add_template(&mut self, template: &str) {
        self.templates.push(template.to_owned());
    }

    fn read(&mut self, f: &Fields<'_>) {
        for role in ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"] {
            self.name(f.get(role));
        }
        for list in ["additional_special_tokens", "extra_special_tokens"] {
            match f.get(list) {
                Some(Value::Array(tokens)) => tokens.iter().for_each(|token| self.name(Some(token))),
                Some(Value::Object(tokens)) => tokens.values().for_each(|token| self.name(Some(token))),
                _ => {}
            }
        }
        for token in f.get("added_tokens_decoder").and_then(Value::as_object).into_iter().flat_map(|tokens| tokens.values()) {
            if token.get("special") == Some(&Value::Bool(true)) {
                self.name(Some(token));
            }
        }
        if let Some(template) = f.get("chat_template") {
            self.template(template);
        }
    }

    /// A token: its name, or an object with its name.
    fn name(&mut self, token: Option<&Value>) {
        let name = token.and_then(|token| token.as_str().or_else(|| token.get("content")?.as_str()));
        self.names.extend(name.map(str::to_owned));
    }

    /// All texts in a template, which may be a list or a map of templates with names.
    fn template(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.templates.push(text.clone()),
            Value::Array(list) => list.iter().for_each(|inner| self.template(inner)),
            Value::Object(object) => object.values().for_each(|inner| self.template(inner)),
            _ => {}
        }
    }

    /// Whether an added token has a role. In a template only markers count, as `<|user|>`: a template may have any word in it.
    fn has(&self, id: u32, token: &AddedToken) -> bool {
        let content = token.content.as_str();
        let marks = content.chars().any(|c| !c.is_alphanumeric() && !c.is_whitespace());
        let blank = content.chars().all(char::is_whitespace);
        !blank
            && (self.ids.contains(&id)
                || self.names.contains(content)
                || (marks && self.templates.iter().any(|template| template.contains(content))))
    }
}

/// Marks the added tokens that have a role as special, which makes them ordinary characters in plain text and leaves them out of
/// decoded text. Returns the ids of all special tokens, in ascending order.
pub(crate) fn mark_special(tokenizer: &mut Tokenizer, roles: &Roles) -> Result<Vec<u32>, tokenizers::Error> {
    let added = tokenizer.get_added_tokens_decoder();
    let found = added.iter().filter(|(id, token)| !token.special && roles.has(**id, token));
    let mut found: Vec<(u32, AddedToken)> = found.map(|(id, token)| (*id, AddedToken { special: true, ..token.clone() })).collect();
    found.sort_unstable_by_key(|(id, _)| *id);
    let mut ids: Vec<u32> = added.iter().filter(|(_, token)| token.special).map(|(id, _)| *id).chain(found.iter().map(|f| f.0)).collect();
    if !found.is_empty() {
        tokenizer.add_special_tokens(found.into_iter().map(|(_, token)| token))?;
    }
    ids.sort_unstable();
    Ok(ids)
}

/// Where to cut `text`, so that it does not encode to control tokens: in each of them, after its first character.
///
/// Some vocabularies have the names of control tokens as ordinary pieces, which text that is plain encodes to as well. `encoding` is that
/// of `text`. `control` has the ids in ascending order. Tokens that the tokenizer put around the text do not count.
pub(crate) fn cuts(encoding: &Encoding, text: &str, control: &[u32]) -> Vec<usize> {
    let tokens = encoding.get_ids().iter().zip(encoding.get_offsets()).zip(encoding.get_special_tokens_mask());
    let inside = tokens.filter(|((id, _), around)| **around == 0 && control.binary_search(id).is_ok());
    let mut cuts: Vec<usize> = inside
        .filter_map(|((_, (start, end)), _)| {
            let span = text.get(*start..*end)?;
            // White space before a token is part of it in some vocabularies.
            let (at, first) = span.char_indices().find(|(_, c)| !c.is_whitespace())?;
            let cut = at + first.len_utf8();
            (cut < span.len()).then_some(start + cut)
        })
        .collect();
    cuts.dedup();
    cuts
}
