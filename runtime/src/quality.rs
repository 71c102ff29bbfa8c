//! The loss of a codec as JSON.

use mempack_format::{Loss, Quality};
use serde_json::{Value, json};

/// The object that programs print of it: the memories measured, the loss of keys and of values by layer (squared error over variance, 0 is lossless), and the
/// divergence of predictions in nats over so many tokens.
pub fn quality_json(quality: &Quality) -> Value {
    let losses = |of: fn(&Loss) -> f64| quality.layers.iter().map(of).collect::<Vec<_>>();
    json!({
        "memories": quality.memories, "keys": losses(|loss| loss.keys), "values": losses(|loss| loss.values),
        "divergence": quality.divergence.map(|divergence| json!({"nats": divergence.nats, "tokens": divergence.tokens})),
    })
}
