//! The identity contract: what a pack and a model, or a pack and an embedder, must agree on.

use bincode::de::{Decode, Decoder};
use bincode::enc::{Encode, Encoder};
use bincode::error::{DecodeError, EncodeError};
use bincode::impl_borrow_decode;

use crate::{Digest, EmbedderPrompts, MemoryShape};

/// What a pack's memories depend on in the model that wrote them.
#[derive(Clone, Debug, PartialEq, bincode::Encode, bincode::Decode)]
pub struct ModelIdentity {
    /// The folder's name; for people, not compared.
    pub name: String,
    /// Digest of the base weights (tensors in the order of their names, so sharding does not matter).
    pub weights: Digest,
    /// Digest of the adapter's weights and scaling, if one is merged.
    pub adapter: Option<Digest>,
    /// Digest of the architecture: every field of the configuration that changes what is written.
    pub config: Digest,
    /// Digest of tokenizer.json.
    pub tokenizer: Digest,
    /// Layers of the model.
    pub layers: u32,
    /// The first memory layer; `shape.layers` of them follow one another.
    pub first_memory_layer: u32,
    /// Query heads of a layer.
    pub query_heads: u32,
    /// Shape of a memory.
    pub shape: MemoryShape,
    /// Base of the rotary embedding.
    pub rope_base: f64,
    /// Token ids of the prefix before a reference (the paper's `<s>Reference:`).
    pub prefix_ids: Vec<u32>,
    /// Most tokens of a reference.
    pub reference_length: u32,
    /// What is encoded of a reference, around `{text}`.
    pub reference_template: String,
    /// The rule that selects the tokens kept, by name.
    pub selection: String,
}

/// What a pack's embeddings depend on in the embedder.
///
/// The manifest holds all fields but the prompts, which have a section of their own (SPEC 5.2): its form is fixed for all of 1.x.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbedderIdentity {
    /// The folder's name; for people, not compared.
    pub name: String,
    /// Digest of weights, configuration, pooling, tokenizer and, if it has any, prompts.
    pub digest: Digest,
    /// Dimensions of an embedding.
    pub dim: u32,
    /// How embeddings compare: `cosine`.
    pub metric: String,
    /// Most tokens embedded of a text, its prompt included.
    pub max_tokens: u32,
    /// What it puts before queries and passages; `None` if it embeds both as they are.
    pub prompts: Option<EmbedderPrompts>,
}

impl Encode for EmbedderIdentity {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        let Self { name, digest, dim, metric, max_tokens, prompts: _ } = self;
        (name, digest, dim, metric, max_tokens).encode(encoder)
    }
}

impl<C> Decode<C> for EmbedderIdentity {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let (name, digest, dim, metric, max_tokens) = Decode::decode(decoder)?;
        Ok(Self { name, digest, dim, metric, max_tokens, prompts: None })
    }
}

impl_borrow_decode!(EmbedderIdentity);

/// One field in which two identities differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Name of the field.
    pub field: &'static str,
    /// What the pack has.
    pub pack: String,
    /// What the model or embedder has.
    pub model: String,
}

impl Difference {
    /// Values of more characters, as digests are, are left out of a summary.
    const MAX_SHORT: usize = 40;

    /// The field of [`EmbedderIdentity::prompts`]. Its values are in every summary: they say how to mend the difference.
    const PROMPTS: &str = "prompts";

    /// The fields that differ in one line, with their values where they are short: `RoPE base (500000.0, not 10000.0), weights`.
    pub fn summary(differences: &[Self]) -> String {
        let one = |difference: &Self| {
            let Self { field, pack, model } = difference;
            let is_short = pack.len().max(model.len()) <= Self::MAX_SHORT || *field == Self::PROMPTS;
            if is_short { format!("{field} ({pack}, not {model})") } else { (*field).to_owned() }
        };
        differences.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    /// All fields that differ with both values, one a line.
    pub fn details(differences: &[Self]) -> String {
        let one = |difference: &Self| format!("{}: {}, not {}", difference.field, difference.pack, difference.model);
        differences.iter().map(one).collect::<Vec<_>>().join("\n")
    }
}

macro_rules! differences {
    ($pack:expr, $model:expr; $($field:literal: $($path:ident).+),+ $(,)?) => {{
        let mut found = Vec::new();
        $(if $pack.$($path).+ != $model.$($path).+ {
            found.push(Difference { field: $field, pack: format!("{:?}", $pack.$($path).+), model: format!("{:?}", $model.$($path).+) });
        })+
        found
    }};
}

impl ModelIdentity {
    /// The fields in which a model differs from the one that wrote this pack; empty if the model may read it.
    pub fn differences(&self, model: &Self) -> Vec<Difference> {
        let mut found = differences!(self, model;
            "layers": layers, "first memory layer": first_memory_layer, "memory layers": shape.layers,
            "query heads": query_heads, "key-value heads": shape.heads, "head dimension": shape.head_dim,
            "RoPE base": rope_base, "reference length": reference_length,
            "prefix ids": prefix_ids, "reference template": reference_template, "selection rule": selection,
            "tokenizer": tokenizer, "architecture": config, "weights": weights, "adapter": adapter,
        );
        let [pack, of_model] = tokens_per_head(&self.shape, &model.shape, model.first_memory_layer);
        if pack != of_model {
            found.insert(0, Difference { field: "tokens per head", pack, model: of_model });
        }
        found
    }
}

/// The tokens per head of two shapes: one number where both have one; else the sums, with the numbers of the first head in which they differ,
/// whose layer is counted from the model's first.
pub(crate) fn tokens_per_head(a: &MemoryShape, b: &MemoryShape, first_memory_layer: u32) -> [String; 2] {
    let both = [a, b];
    if both.iter().all(|shape| shape.budget().is_none()) {
        return both.map(|shape| shape.tokens.to_string());
    }
    let comparable = a.layers == b.layers && a.heads == b.heads;
    let differing = (0..a.all_heads()).find(|head| a.slots_of(*head).len() != b.slots_of(*head).len()).filter(|_| comparable);
    both.map(|shape| match differing {
        Some(head) => {
            let (layer, of_layer) = (head as u32 / shape.heads, head as u32 % shape.heads);
            let (all, here) = (shape.slots(), shape.slots_of(head).len());
            format!("{all} in all, {here} at layer {}, head {of_layer}", first_memory_layer.saturating_add(layer))
        }
        None => format!("{} in all", shape.slots()),
    })
}

impl EmbedderIdentity {
    /// The fields in which an embedder differs from the one this pack was built with.
    pub fn differences(&self, embedder: &Self) -> Vec<Difference> {
        let mut found = differences!(self, embedder; "embedding dimension": dim, "metric": metric, "most tokens embedded": max_tokens, "embedder": digest);
        if self.prompts != embedder.prompts {
            let show = |of: &Self| of.prompts.as_ref().map_or("no prompts".into(), EmbedderPrompts::to_string);
            found.insert(0, Difference { field: Difference::PROMPTS, pack: show(self), model: show(embedder) });
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_of_prompts_names_both() {
        let identity = |digest: &[u8], prompts: Option<[&str; 2]>| EmbedderIdentity {
            name: "made up".into(),
            digest: Digest::of(digest),
            dim: 2,
            metric: "cosine".into(),
            max_tokens: 256,
            prompts: prompts.map(|[query, passage]| EmbedderPrompts { query: query.into(), passage: passage.into() }),
        };
        let pack = identity(b"pack", Some(["query: ", "passage: "]));
        assert_eq!(pack.differences(&pack), []);
        assert_eq!(
            Difference::summary(&pack.differences(&identity(b"pack", None))),
            r#"prompts (query prompt "query: " and passage prompt "passage: ", not no prompts)"#
        );
        assert_eq!(
            Difference::summary(&identity(b"other", None).differences(&identity(b"pack", Some(["", "a\u{1b}[2J"])))),
            r#"prompts (no prompts, not query prompt "" and passage prompt "a\u{1b}[2J"), embedder"#
        );
    }
}
