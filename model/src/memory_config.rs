//! The `memory` block of config.json: which layers have memories, how memories are written, and how they are read.

use std::path::Path;

use mempack_format::{EMPTY_SLOT, MemoryShape};
use mempack_retrieval::{Chunks, Margin};
use serde_json::{Map, Value, json};

use crate::answer_measure::AnswerMeasure;
use crate::fields::{Fields, show};
use crate::tokens_per_head::TokensPerHead;
use crate::{LoadError, ModelConfig};

/// A field of the `memory` block with a value that is not allowed.
#[derive(Debug)]
pub(crate) struct WrongField {
    pub field: &'static str,
    pub expected: String,
    pub found: String,
}

/// Where the `memory` block of a model comes from. A model that was trained to read memories has one in its own files: training writes it
/// with all its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemorySource {
    /// The model's own files: `memory` in config.json, or the adapter's memory.json.
    Model,
    /// The caller. Nothing says that the weights were trained with this block.
    Caller,
    /// There is no block, and all its fields have their defaults. Such a model has hardly learnt to read memories.
    Default,
}

/// The settings that make a checkpoint a Memory3 model. The defaults are the paper's (arXiv 2407.01178, section 3).
#[derive(Clone, Debug, PartialEq)]
pub struct MemoryConfig {
    /// The first memory layer. Default: 0.
    pub first_memory_layer: u32,
    /// Number of memory layers, which are consecutive. Default: half of all layers.
    pub num_memory_layers: u32,
    /// Tokens of a reference that each key-value head keeps. Default: 8 at every head.
    pub tokens_per_head: TokensPerHead,
    /// Max tokens of a reference, and length of the interval of positions that memories share.
    pub reference_length: u32,
    /// Max memories that a chunk reads.
    pub memories_per_chunk: u32,
    /// Tokens of a chunk.
    pub retrieval_interval: u32,
    /// Ids before a reference when it is written, and before the context when memories are read (the paper's `<s>Reference:`).
    pub reference_prefix_ids: Vec<u32>,
    /// Text that is encoded for a reference, with `{text}` once in it.
    pub reference_template: String,
    /// Text after the BOS in a prompt, with `{question}` once in it.
    pub prompt_template: String,
    /// The prompt that holds a text, with `{text}` and `{question}` once in it.
    pub context_template: Option<String>,
    /// What stands before the first turn of a conversation with a system message, after the BOS, with `{system}` once in it. `None`: the model has no
    /// place for such a message.
    pub system_template: Option<String>,
    /// Ids that end an answer. Default: the model's EOS ids.
    pub stop_ids: Vec<u32>,
    /// Strings that end an answer and are part of it.
    pub stop: Vec<String>,
    /// Factor of a memory's retrieval similarity in the attention scores. 0, the paper's, ignores similarities.
    pub similarity_bias: f32,
    /// How far a memory's similarity may be below the best one for the memory to be read. `None`, the paper's, reads all that were
    /// retrieved.
    pub similarity_margin: Option<f32>,
    /// Answers whose confidence is below this number are withheld. `None` withholds none. It changes no memory, so that packs stay valid.
    pub answer_threshold: Option<f64>,
    /// The measure that `answer_threshold` is on. Default: the mean log-probability.
    pub answer_measure: AnswerMeasure,
    /// What is said in place of a withheld answer: what the model was trained to say where the references do not tell. `None` leaves that
    /// to the program.
    pub no_answer: Option<String>,
}

/// The fields that a block may lack.
const OPTIONAL: [&str; 5] = ["context_template", "system_template", "similarity_margin", "answer_threshold", "no_answer"];

impl MemoryConfig {
    /// Reads the `memory` block of a config.json. Without one, all fields have their defaults.
    pub(crate) fn of_model(path: &Path, object: &Map<String, Value>, config: &ModelConfig) -> Result<Self, LoadError> {
        let empty = Map::new();
        let block = Fields::new(path, object).block("memory")?;
        Self::parse(&block.unwrap_or_else(|| Fields::new(path, &empty)), config)
    }

    /// Reads the fields of a `memory` block. Absent fields have their defaults.
    pub(crate) fn parse(f: &Fields<'_>, config: &ModelConfig) -> Result<Self, LoadError> {
        let memory = Self {
            first_memory_layer: f.u32("first_memory_layer")?.unwrap_or(0),
            num_memory_layers: f.u32("num_memory_layers")?.unwrap_or(config.layers / 2),
            tokens_per_head: TokensPerHead::read(f)?,
            reference_length: f.u32("reference_length")?.unwrap_or(128),
            memories_per_chunk: f.u32("memories_per_chunk")?.unwrap_or(5),
            retrieval_interval: f.u32("retrieval_interval")?.unwrap_or(64),
            reference_prefix_ids: f.ids("reference_prefix_ids")?.unwrap_or_else(|| vec![config.bos]),
            reference_template: f.str("reference_template")?.unwrap_or("{text}").to_owned(),
            prompt_template: f.str("prompt_template")?.unwrap_or("{question}").to_owned(),
            context_template: f.str("context_template")?.map(str::to_owned),
            system_template: f.str("system_template")?.map(str::to_owned),
            stop_ids: f.ids("stop_ids")?.unwrap_or_else(|| config.eos.clone()),
            stop: f.strings("stop")?.unwrap_or_default(),
            similarity_bias: f.f64("similarity_bias")?.unwrap_or(0.0) as f32,
            similarity_margin: f.f64("similarity_margin")?.map(|margin| margin as f32),
            answer_threshold: f.f64("answer_threshold")?,
            answer_measure: f.parsed("answer_measure", AnswerMeasure::NAMES)?.unwrap_or_default(),
            no_answer: f.str("no_answer")?.map(str::to_owned),
        };
        memory.check(config).map_err(|wrong| f.refuse(wrong.field, wrong.expected, wrong.found, "correct the memory block"))?;
        f.refuse_unknown(&[&["_comment"]])?;
        Ok(memory)
    }

    /// The block of a reading adapter: the fields of `object`, which the file `path` holds, in place of the writer's. Null stands for a
    /// field's default.
    pub(crate) fn over(writer: &Self, path: &Path, object: &Map<String, Value>, config: &ModelConfig) -> Result<Self, LoadError> {
        let mut whole = object.clone();
        for (name, value) in writer.to_json().as_object().into_iter().flatten() {
            whole.entry(name.as_str()).or_insert_with(|| value.clone());
        }
        let fields = Fields::new(path, &whole);
        let memory = Self::parse(&fields, config)?;
        let pairs = writer.writing_fields().into_iter().zip(memory.writing_fields());
        match pairs.into_iter().find(|((_, writers), (_, own))| writers != own) {
            Some(((field, writers), (_, own))) => {
                let expected = format!("{}, as the writer has it, because memories depend on it", show(&writers));
                Err(fields.refuse(field, expected, show(&own), "remove the field"))
            }
            None => Ok(memory),
        }
    }

    /// Whether the tokenizers of models with these blocks are the same: tokens have a role in a model's templates.
    pub(crate) fn has_roles_of(&self, other: &Self) -> bool {
        let of = |block: &Self| {
            let Self { prompt_template, context_template, system_template, stop_ids, .. } = block.clone();
            (prompt_template, context_template, system_template, stop_ids)
        };
        of(self) == of(other)
    }

    /// The fields that decide what is written, with their values.
    fn writing_fields(&self) -> [(&'static str, Value); 6] {
        [
            ("first_memory_layer", json!(self.first_memory_layer)),
            ("num_memory_layers", json!(self.num_memory_layers)),
            ("tokens_per_head", self.tokens_per_head.to_json()),
            ("reference_length", json!(self.reference_length)),
            ("reference_prefix_ids", json!(self.reference_prefix_ids)),
            ("reference_template", json!(self.reference_template)),
        ]
    }

    /// This block with the fields of `other` that decide what is written.
    pub(crate) fn writing_as(&self, other: &Self) -> Self {
        let other = other.clone();
        Self {
            first_memory_layer: other.first_memory_layer,
            num_memory_layers: other.num_memory_layers,
            tokens_per_head: other.tokens_per_head,
            reference_length: other.reference_length,
            reference_prefix_ids: other.reference_prefix_ids,
            reference_template: other.reference_template,
            ..self.clone()
        }
    }

    /// The block as JSON, with all fields.
    pub fn to_json(&self) -> Value {
        let mut block = json!({
            "first_memory_layer": self.first_memory_layer,
            "num_memory_layers": self.num_memory_layers,
            "tokens_per_head": self.tokens_per_head.to_json(),
            "reference_length": self.reference_length,
            "memories_per_chunk": self.memories_per_chunk,
            "retrieval_interval": self.retrieval_interval,
            "reference_prefix_ids": self.reference_prefix_ids,
            "reference_template": self.reference_template,
            "prompt_template": self.prompt_template,
            "stop_ids": self.stop_ids,
            "stop": self.stop,
            "similarity_bias": self.similarity_bias,
        });
        if let Some(template) = &self.context_template {
            block["context_template"] = template.as_str().into();
        }
        if let Some(template) = &self.system_template {
            block["system_template"] = template.as_str().into();
        }
        if let Some(margin) = self.similarity_margin {
            block["similarity_margin"] = margin.into();
        }
        if let Some(threshold) = self.answer_threshold {
            block["answer_threshold"] = threshold.into();
        }
        if self.answer_measure != AnswerMeasure::default() {
            block["answer_measure"] = self.answer_measure.name().into();
        }
        if let Some(phrase) = &self.no_answer {
            block["no_answer"] = phrase.as_str().into();
        }
        block
    }

    /// The block as JSON, with null for the fields that are not there: laid over another block, it replaces all of it.
    pub(crate) fn to_whole_json(&self) -> Value {
        let mut block = self.to_json();
        for name in OPTIONAL {
            if block.get(name).is_none() {
                block[name] = Value::Null;
            }
        }
        block
    }

    /// How far below the best hit's similarity a memory may be and still be read.
    pub fn margin(&self) -> Margin {
        Margin::new(self.similarity_margin)
    }

    /// How many memories a chunk reads of those retrieved, whose similarities are given, the highest first: at least one, and no
    /// more than the [margin](Self::similarity_margin) allows.
    pub fn justified(&self, similarities: impl Iterator<Item = f32>) -> usize {
        self.margin().count(similarities)
    }

    /// The chunks of a text.
    pub fn chunks(&self) -> Chunks {
        Chunks::new(self.retrieval_interval as usize)
    }

    /// The shape of a memory of this model.
    pub fn shape(&self, config: &ModelConfig) -> MemoryShape {
        self.tokens_per_head.shape(self.num_memory_layers, config.heads, config.head_dim)
    }

    /// Checks that the block fits the architecture.
    pub(crate) fn check(&self, config: &ModelConfig) -> Result<(), WrongField> {
        let wrong = |field, expected, found| Err(WrongField { field, expected, found });
        if self.first_memory_layer >= config.layers {
            return wrong("first_memory_layer", format!("0 to {}", config.layers - 1), self.first_memory_layer.to_string());
        }
        let room = config.layers - self.first_memory_layer;
        if !(1..=room).contains(&self.num_memory_layers) {
            return wrong(
                "num_memory_layers",
                format!("1 to {room}, the layers from the first memory layer on"),
                self.num_memory_layers.to_string(),
            );
        }
        // A position is stored in one byte, of which one value marks an empty slot.
        if !(1..=u32::from(EMPTY_SLOT)).contains(&self.reference_length) {
            return wrong("reference_length", format!("1 to {EMPTY_SLOT}"), self.reference_length.to_string());
        }
        let per_head = self.tokens_per_head.check(self.num_memory_layers, config.heads, self.reference_length);
        per_head.or_else(|(expected, found)| wrong("tokens_per_head", expected, found))?;
        for (name, n) in [("memories_per_chunk", self.memories_per_chunk), ("retrieval_interval", self.retrieval_interval)] {
            if !(1..=4096).contains(&n) {
                return wrong(name, "1 to 4096".into(), n.to_string());
            }
        }
        if !(1..=1024).contains(&self.reference_prefix_ids.len()) {
            return wrong("reference_prefix_ids", "1 to 1024 ids".into(), self.reference_prefix_ids.len().to_string());
        }
        for (name, ids) in [("reference_prefix_ids", &self.reference_prefix_ids), ("stop_ids", &self.stop_ids)] {
            if let Some(id) = ids.iter().find(|id| **id >= config.vocabulary) {
                return wrong(name, format!("ids below {}", config.vocabulary), id.to_string());
            }
        }
        let context = self.context_template.as_deref();
        for (name, template, mark) in [
            ("reference_template", Some(self.reference_template.as_str()), "{text}"),
            ("prompt_template", Some(self.prompt_template.as_str()), "{question}"),
            ("context_template", context, "{question}"),
            ("context_template", context, "{text}"),
            ("system_template", self.system_template.as_deref(), "{system}"),
        ] {
            if template.is_some_and(|t| t.matches(mark).count() != 1) {
                return wrong(name, format!("a text with {mark} in it once"), format!("`{}`", template.unwrap_or_default()));
            }
        }
        if !(0.0..=1e6).contains(&self.similarity_bias) {
            return wrong("similarity_bias", "a number from 0 to 1e6".into(), self.similarity_bias.to_string());
        }
        // Similarities of unit vectors differ by at most 2.
        if let Some(margin) = self.similarity_margin.filter(|margin| !(0.0..=2.0).contains(margin)) {
            return wrong("similarity_margin", "a number from 0 to 2, or no such field".into(), margin.to_string());
        }
        let measure = self.answer_measure;
        if let Some(threshold) = self.answer_threshold.filter(|threshold| !measure.admits(*threshold)) {
            return wrong("answer_threshold", format!("{}, or no such field", measure.values()), threshold.to_string());
        }
        if let Some(phrase) = self.no_answer.as_ref().filter(|phrase| phrase.trim().is_empty()) {
            return wrong("no_answer", "a sentence, or no such field".into(), format!("`{phrase}`"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::Generation;

    #[test]
    fn as_many_memories_as_the_scores_justify() {
        let block = |similarity_margin| {
            let config = ModelConfig::parse(
                Path::new("config.json"),
                json!({
                    "model_type": "llama", "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 8,
                    "vocab_size": 10, "rms_norm_eps": 1e-5, "bos_token_id": 1, "eos_token_id": 2,
                })
                .as_object()
                .unwrap(),
                &Generation::default(),
            );
            let empty = Map::new();
            let path = Path::new("config.json");
            MemoryConfig { similarity_margin, ..MemoryConfig::parse(&Fields::new(path, &empty), &config.unwrap()).unwrap() }
        };
        let scores = [0.75f32, 0.5, 0.5, 0.25];
        let read = |margin| block(margin).justified(scores.into_iter());
        assert_eq!([None, Some(0.0), Some(0.25), Some(0.3), Some(0.5), Some(2.0)].map(read), [4, 1, 3, 3, 4, 4]);
        assert_eq!(block(Some(0.1)).justified(std::iter::empty()), 0);
    }
}
