//! Layers that attend to a window of the context, from config.json.

use crate::LoadError;
use crate::family::{Family, SlidingWindow};
use crate::fields::Fields;

/// Mistral's window where config.json has no such field.
const MISTRAL_WINDOW: u32 = 4096;
const FULL: &str = "full_attention";
const SLIDING: &str = "sliding_attention";

/// The layers that attend to a window of the context, and how they rotate.
#[derive(Clone, Debug, PartialEq)]
pub struct SlidingLayers {
    /// How many tokens a token attends to, itself included: those of prefix and context, whatever their positions. Memories are attended to in
    /// any case.
    pub window: u32,
    /// Base of RoPE's frequencies, which are not scaled.
    pub rope_base: f64,
    /// Which layers they are, one flag a layer.
    pub(crate) layers: Vec<bool>,
}

/// The layers that attend to a window. In a family without such layers, a window that is shorter than the context is refused.
pub(crate) fn sliding_layers(
    f: &Fields<'_>,
    family: &Family,
    layers: u32,
    max_positions: Option<u32>,
    local_base: Option<f64>,
) -> Result<Option<SlidingLayers>, LoadError> {
    let kinds = f.strings("layer_types")?;
    let (SlidingWindow::SomeLayers { window, period, .. }, Some(rope_base)) = (family.sliding_window, local_base) else {
        whole_context(f, family, &kinds.unwrap_or_default(), max_positions)?;
        return Ok(None);
    };
    // Newer versions of transformers write the period with an underscore, beside the list.
    let period = match f.count("sliding_window_pattern")? {
        Some(period) => period,
        None => f.count("_sliding_window_pattern")?.unwrap_or(period),
    };
    let layers = match kinds {
        Some(kinds) => {
            if kinds.len() != layers as usize {
                let found = kinds.len().to_string();
                return Err(f.refuse("layer_types", format!("a kind for each of {layers} layers"), found, "correct the file"));
            }
            if let Some(kind) = kinds.iter().find(|kind| ![FULL, SLIDING].contains(&kind.as_str())) {
                let expected = format!("`{FULL}` or `{SLIDING}` for each layer");
                return Err(f.refuse("layer_types", expected, format!("`{kind}`"), "use a model of this family"));
            }
            kinds.iter().map(|kind| kind == SLIDING).collect()
        }
        None => (1..=layers).map(|number| !number.is_multiple_of(period)).collect::<Vec<bool>>(),
    };
    let window = f.count("sliding_window")?.unwrap_or(window);
    Ok(layers.contains(&true).then_some(SlidingLayers { window, rope_base, layers }))
}

/// Refuses a sliding window that is shorter than the context, because attention is computed over the whole context.
fn whole_context(f: &Fields<'_>, family: &Family, kinds: &[String], max_positions: Option<u32>) -> Result<(), LoadError> {
    if let Some(kind) = kinds.iter().find(|kind| ![FULL, SLIDING].contains(&kind.as_str())) {
        return Err(f.refuse("layer_types", "`full_attention` in every layer", format!("`{kind}`"), "use a model with full attention"));
    }
    let slides = kinds.iter().any(|kind| kind == SLIDING);
    let family = family.sliding_window;
    let used = slides || f.bool("use_sliding_window")?.unwrap_or(family != SlidingWindow::IfEnabled);
    let window = match f.u32("sliding_window")? {
        None if family == SlidingWindow::IfSet && !f.has("sliding_window") => Some(MISTRAL_WINDOW),
        window => window,
    };
    match window {
        Some(window) if used && max_positions.is_none_or(|max| window < max) => Err(f.refuse(
            "sliding_window",
            "none, or one that spans max_position_embeddings",
            window.to_string(),
            "use a model with full attention, or set the field to null if contexts stay shorter than the window",
        )),
        None if slides => Err(f.refuse("layer_types", "`full_attention` in every layer", "`sliding_attention`", "correct the file")),
        _ => Ok(()),
    }
}
