//! Figures for people and for JSON.

use mempack_format::{Divergence, Loss, Quality};
use serde_json::{Value, json};

/// `1234567` as `1,234,567`.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A size in binary units: `1.5 MiB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{n} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// The loss of a codec: a summary line, then a line for each memory layer, of which `first_layer` is the first.
pub fn quality_lines(quality: &Quality, first_layer: u32) -> Vec<String> {
    let layer = |(loss, layer): (&Loss, u32)| format!("layer {layer:<4} {:.6} of keys, {:.6} of values", loss.keys, loss.values);
    std::iter::once(quality_line(quality)).chain(quality.layers.iter().zip(first_layer..).map(layer)).collect()
}

/// The loss of all layers together.
pub fn quality_line(quality: &Quality) -> String {
    let Quality { memories, layers, divergence } = quality;
    let mean = |of: fn(&Loss) -> f64| layers.iter().map(of).sum::<f64>() / layers.len().max(1) as f64;
    let mut line = format!(
        "{:.4} of keys and {:.4} of values of {} memories, the mean of {} layers",
        mean(|loss| loss.keys),
        mean(|loss| loss.values),
        thousands(u64::from(*memories)),
        layers.len()
    );
    if let Some(Divergence { nats, tokens }) = divergence {
        line += &format!("; predictions move by {nats:.4} nats a token (KL divergence over {} tokens)", thousands(*tokens));
    }
    line
}

/// The loss of a codec as JSON.
pub fn quality_json(quality: &Quality) -> Value {
    let losses = |of: fn(&Loss) -> f64| quality.layers.iter().map(of).collect::<Vec<_>>();
    json!({
        "memories": quality.memories, "keys": losses(|loss| loss.keys), "values": losses(|loss| loss.values),
        "divergence": quality.divergence.map(|divergence| json!({"nats": divergence.nats, "tokens": divergence.tokens})),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(["0", "999", "1,000", "1,234,567"].map(String::from), [0, 999, 1000, 1_234_567].map(thousands));
    }

    #[test]
    fn bytes_have_binary_units() {
        assert_eq!(["0 B", "1023 B", "1.0 KiB", "1.5 MiB"].map(String::from), [0, 1023, 1024, 1_572_864].map(bytes));
    }
}
