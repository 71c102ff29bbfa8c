//! Figures for people and for JSON.

use mempack_format::{Loss, Quality};
pub use mempack_report::{bytes, quality_line, thousands};

/// The loss of a codec: a summary line, then a line for each memory layer, of which `first_layer` is the first.
pub fn quality_lines(quality: &Quality, first_layer: u32) -> Vec<String> {
    let layer = |(loss, layer): (&Loss, u32)| format!("layer {layer:<4} {:.6} of keys, {:.6} of values", loss.keys, loss.values);
    std::iter::once(quality_line(quality)).chain(quality.layers.iter().zip(first_layer..).map(layer)).collect()
}
