//! The configuration of a cross-encoder's folder: architecture, labels, max tokens.

use std::path::Path;

use serde_json::Value;

use crate::LoadError;
use crate::encoder::EncoderConfig;
use crate::fields::{Fields, read_object, read_object_if_any};
use crate::harmless::{ANY, ENCODER, RERANKER};

pub(super) const FETCH: &str = "use the folder of a cross-encoder, as ms-marco-MiniLM-L6-v2 or bge-reranker-v2-m3";

const EXPECTED: &str = "`BertForSequenceClassification` or `XLMRobertaForSequenceClassification`";

/// Where the two linear maps of the head are in a checkpoint, and whether texts have token types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Architecture {
    name: &'static str,
    model_type: &'static str,
    pub dense: &'static str,
    pub out: &'static str,
    pub typed: bool,
}

const BERT: Architecture =
    Architecture { name: "BertForSequenceClassification", model_type: "bert", dense: "bert.pooler.dense", out: "classifier", typed: true };
const XLM_ROBERTA: Architecture = Architecture {
    name: "XLMRobertaForSequenceClassification",
    model_type: "xlm-roberta",
    dense: "classifier.dense",
    out: "classifier.out_proj",
    typed: false,
};
const ARCHITECTURES: [Architecture; 4] = [
    BERT,
    XLM_ROBERTA,
    Architecture { name: "RobertaForSequenceClassification", model_type: "roberta", ..XLM_ROBERTA },
    Architecture { name: "CamembertForSequenceClassification", model_type: "camembert", ..XLM_ROBERTA },
];

/// Reads config.json.
pub(super) fn load_config(path: &Path) -> Result<(Architecture, EncoderConfig), LoadError> {
    let object = read_object(path, FETCH)?;
    let f = Fields::new(path, &object);
    let architecture = architecture(&f)?;
    let model_type = f.required("model_type", architecture.model_type, f.str("model_type")?)?;
    if model_type != architecture.model_type {
        let expected = format!("`{}`, the type of {}", architecture.model_type, architecture.name);
        return Err(f.refuse("model_type", expected, format!("`{model_type}`"), FETCH));
    }
    let labels = f.get("id2label").and_then(Value::as_object).map(|labels| labels.len() as u64);
    let (field, labels) = match (f.u32("num_labels")?, labels) {
        (Some(labels), _) => ("num_labels", Some(u64::from(labels))),
        (None, labels) => ("id2label", labels),
    };
    if labels != Some(1) {
        let found = labels.map_or_else(|| "nothing, which means 2".to_owned(), |labels| labels.to_string());
        return Err(f.refuse(field, "1 label, whose value is the score of a pair", found, FETCH));
    }
    let config = EncoderConfig::read(&f)?;
    f.refuse_unknown(&[ANY, ENCODER, RERANKER])?;
    Ok((architecture, config))
}

fn architecture(f: &Fields<'_>) -> Result<Architecture, LoadError> {
    let names = f.required("architectures", EXPECTED, f.strings("architectures")?)?;
    if let [name] = names.as_slice()
        && let Some(architecture) = ARCHITECTURES.into_iter().find(|known| known.name == name)
    {
        return Ok(architecture);
    }
    let kind = match names.first().map_or("", String::as_str) {
        name if name.ends_with("ForCausalLM") => ", a language model",
        name if name.ends_with("Model") => ", an encoder without a head, as embedders are",
        _ => "",
    };
    let found = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    Err(f.refuse("architectures", EXPECTED, if found.is_empty() { "no name".into() } else { found + kind }, FETCH))
}

/// Max tokens of a pair: `model_max_length` of tokenizer_config.json, at most the model's positions. At least `min` are needed.
pub(super) fn load_max_tokens(folder: &Path, config: &EncoderConfig, min: usize) -> Result<usize, LoadError> {
    let positions = config.max_tokens() as usize;
    let path = folder.join("tokenizer_config.json");
    let object = read_object_if_any(&path, FETCH)?.unwrap_or_default();
    let f = Fields::new(&path, &object);
    // Files state a huge number if there is no limit.
    let stated = f.f64("model_max_length")?.map_or(usize::MAX, |max| max as usize);
    let expected = || format!("at least {min}, so that a pair has room beside the special tokens");
    if stated < min {
        return Err(f.refuse("model_max_length", expected(), stated.to_string(), "correct the file"));
    }
    if positions < min {
        return Err(LoadError::Field {
            path: folder.join("config.json"),
            field: "max_position_embeddings".into(),
            expected: expected(),
            found: positions.to_string(),
            remedy: FETCH.into(),
        });
    }
    Ok(stated.min(positions))
}
