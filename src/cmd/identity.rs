//! What packs know a model by, as JSON and for people.

use mempack_format::{MemoryShape, ModelIdentity};
use mempack_report::kept;
use serde_json::{Value, json};

use crate::terminal::{one_line, outln};

/// The identity as JSON.
pub fn model_json(model: &ModelIdentity) -> Value {
    json!({
        "name": model.name, "weights": model.weights.to_string(), "adapter": model.adapter.map(|d| d.to_string()),
        "config": model.config.to_string(), "tokenizer": model.tokenizer.to_string(), "layers": model.layers,
        "first_memory_layer": model.first_memory_layer, "memory_layers": model.shape.layers, "query_heads": model.query_heads,
        "key_value_heads": model.shape.heads, "tokens_per_head": tokens_per_head(&model.shape), "head_dim": model.shape.head_dim,
        "rope_base": model.rope_base, "prefix_ids": model.prefix_ids, "reference_length": model.reference_length,
        "reference_template": model.reference_template, "selection": model.selection,
    })
}

/// The tokens of a reference that each head keeps: a number, or a table of the memory layers' heads, as in the model's `memory` block.
fn tokens_per_head(shape: &MemoryShape) -> Value {
    match shape.budget() {
        None => json!(shape.tokens),
        Some(budget) => budget.chunks(shape.heads.max(1) as usize).map(|layer| json!(layer)).collect(),
    }
}

/// Prints the identity without the name, a field a line.
pub fn print_model(model: &ModelIdentity) {
    let row = |name: &str, value: String| outln!("  {name:<10} {}", one_line(&value));
    let shape = &model.shape;
    let last = model.first_memory_layer + shape.layers.saturating_sub(1);
    row("layers", format!("{}, memory in {} to {last}", model.layers, model.first_memory_layer));
    row("heads", format!("{} query, {} key-value of {} dimensions, {}", model.query_heads, shape.heads, shape.head_dim, kept(shape)));
    row(
        "reference",
        format!("at most {} tokens, {:?} after prefix {:?}", model.reference_length, model.reference_template, model.prefix_ids),
    );
    row("selection", format!("{}; RoPE base {}", model.selection, model.rope_base));
    row("weights", model.weights.to_string());
    row("adapter", model.adapter.map_or("none".into(), |digest| digest.to_string()));
    row("config", model.config.to_string());
    row("tokenizer", model.tokenizer.to_string());
}
