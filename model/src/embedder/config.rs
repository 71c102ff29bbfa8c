//! The configuration of an embedder's folder: pooling, max tokens.

use std::path::Path;

use serde_json::{Map, Value};

use crate::LoadError;
use crate::encoder::EncoderConfig;
use crate::fields::{Fields, read_json, read_object, read_object_if_any};
use crate::harmless::{ANY, ENCODER, SENTENCES};

pub(super) const FETCH: &str = "use the folder of a sentence-embedding model, as all-MiniLM-L6-v2 or BGE-M3";

/// How the states of a text's tokens are combined into one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// The mean over all tokens, the special ones included.
    Mean,
    /// The state of the first token.
    Cls,
}

/// The architecture of an embedder's encoder, from config.json.
pub(super) fn load_encoder(path: &Path) -> Result<EncoderConfig, LoadError> {
    let object = read_object(path, FETCH)?;
    let f = Fields::new(path, &object);
    let config = EncoderConfig::read(&f)?;
    f.refuse_unknown(&[ANY, ENCODER])?;
    Ok(config)
}

/// The pooling in `1_Pooling/config.json`; without that file the mean, as in the sentence-transformers library.
pub(super) fn load_pooling(folder: &Path, hidden: u32) -> Result<Pooling, LoadError> {
    let named = check_modules(folder)?;
    let path = folder.join("1_Pooling").join("config.json");
    // The module's file must be there if modules.json names the module.
    if !named && !path.exists() {
        return Ok(Pooling::Mean);
    }
    let object = read_object(&path, FETCH)?;
    let f = Fields::new(&path, &object);
    let pooling = read_pooling(&f, &object, hidden)?;
    f.refuse_unknown(&[SENTENCES])?;
    Ok(pooling)
}

fn read_pooling(f: &Fields<'_>, object: &Map<String, Value>, hidden: u32) -> Result<Pooling, LoadError> {
    if let Some(dim) = f.u32("word_embedding_dimension")?.filter(|dim| *dim != hidden) {
        return Err(f.refuse(
            "word_embedding_dimension",
            format!("{hidden}, the model's"),
            dim.to_string(),
            "the pooling is of another model",
        ));
    }
    let remedy = "use an embedder with mean or CLS pooling";
    if let Some(mode) = f.str("pooling_mode")? {
        return match mode {
            "mean" => Ok(Pooling::Mean),
            "cls" => Ok(Pooling::Cls),
            other => Err(f.refuse("pooling_mode", "`mean` or `cls`", format!("`{other}`"), remedy)),
        };
    }
    let mut modes: Vec<&str> = Vec::new();
    for name in object.keys().filter(|name| name.starts_with("pooling_mode_")) {
        if f.bool(name)?.unwrap_or(false) {
            modes.push(name);
        }
    }
    match modes.as_slice() {
        ["pooling_mode_mean_tokens"] => Ok(Pooling::Mean),
        ["pooling_mode_cls_token"] => Ok(Pooling::Cls),
        [] => Err(f.refuse("pooling_mode_mean_tokens", "one pooling to be true", "none", remedy)),
        others => Err(f.refuse(others[0], "pooling_mode_mean_tokens or pooling_mode_cls_token alone", others.join(" and "), remedy)),
    }
}

/// Refuses a folder whose `modules.json` has steps other than encoder, pooling and normalization, which are not computed, and whose
/// `config_sentence_transformers.json` compares vectors by another measure than cosine. Returns whether modules.json names the pooling.
fn check_modules(folder: &Path) -> Result<bool, LoadError> {
    let path = folder.join("modules.json");
    let (mut pooling, mut normalize) = (false, false);
    if path.exists() {
        let refuse = |found: String, remedy: &str| LoadError::Field {
            path: path.clone(),
            field: "type".into(),
            expected: "Transformer, Pooling in 1_Pooling and Normalize".into(),
            found,
            remedy: remedy.into(),
        };
        let Value::Array(modules) = read_json(&path, FETCH)? else { return Err(refuse("no list of modules".into(), FETCH)) };
        for module in &modules {
            let kind = module.get("type").and_then(Value::as_str).unwrap_or_default();
            let place = module.get("path").and_then(Value::as_str).unwrap_or_default();
            match (kind.rsplit('.').next().unwrap_or_default(), place) {
                ("Transformer", "") => {}
                ("Normalize", _) => normalize = true,
                ("Pooling", "1_Pooling") => pooling = true,
                _ => return Err(refuse(format!("`{kind}` in `{place}`"), "use an embedder without further steps")),
            }
        }
        if !pooling {
            return Err(refuse("no Pooling".into(), FETCH));
        }
    }
    let path = folder.join("config_sentence_transformers.json");
    let Some(object) = read_object_if_any(&path, FETCH)? else { return Ok(pooling) };
    let f = Fields::new(&path, &object);
    // The inner product of vectors of unit length is their cosine.
    let measure = f.str("similarity_fn_name")?.unwrap_or("cosine");
    if measure != "cosine" && !(normalize && measure == "dot") {
        let remedy = "use an embedder whose vectors are compared by their cosine";
        return Err(f.refuse("similarity_fn_name", "`cosine`", format!("`{measure}`"), remedy));
    }
    match f.str("model_type")? {
        None | Some("SentenceTransformer") => {}
        Some(other) => return Err(f.refuse("model_type", "`SentenceTransformer`", format!("`{other}`"), FETCH)),
    }
    f.refuse_unknown(&[SENTENCES])?;
    Ok(pooling)
}

/// Max tokens of a text according to `sentence_bert_config.json`, if it has the field.
pub(super) fn load_max_tokens(folder: &Path) -> Result<Option<u32>, LoadError> {
    let path = folder.join("sentence_bert_config.json");
    if !path.exists() {
        return Ok(None);
    }
    let object = read_object(&path, FETCH)?;
    let f = Fields::new(&path, &object);
    if f.bool("do_lower_case")?.unwrap_or(false) {
        return Err(f.refuse("do_lower_case", "false", "true", "use an embedder whose tokenizer.json does this itself"));
    }
    let max = f.u32("max_seq_length")?;
    f.refuse_unknown(&[SENTENCES])?;
    match max {
        Some(n) if n < 2 => Err(f.refuse("max_seq_length", "at least 2", n.to_string(), "correct the file")),
        max => Ok(max),
    }
}
