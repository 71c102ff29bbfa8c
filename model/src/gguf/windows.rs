//! The layers with a window in a GGUF file, of a family that has such layers.

use serde_json::{Map, Value, json};

use super::error::{FETCH, ImportError};
use super::metadata::Metadata;
use crate::family::{Family, SlidingWindow};
use crate::fields::COUNT_CAP;

/// Which layers attend to a window, and how.
#[derive(Debug)]
pub(super) struct Windows {
    /// `None` if the file has no window: then all layers attend to the whole context.
    window: Option<u32>,
    /// Of how many layers the last one has no window.
    period: u32,
    rope_base: f64,
}

impl Windows {
    /// Reads them, `key` being the full name of a key of the architecture. In a family without such layers, a window that is shorter than the
    /// context is refused.
    pub(super) fn read(m: &Metadata<'_>, key: impl Fn(&str) -> String, family: &Family, context: u32) -> Result<Option<Self>, ImportError> {
        let name = key("attention.sliding_window");
        let window = m.u32(&name)?.filter(|window| *window > 0);
        let SlidingWindow::SomeLayers { period, rope_base, .. } = family.sliding_window else {
            return match window.filter(|window| *window < context) {
                Some(window) => {
                    let expected = format!("none, or one of at least the {context} tokens of the context");
                    Err(m.wrong(&name, expected, window.to_string(), "use a model with full attention"))
                }
                None => Ok(None),
            };
        };
        if let Some(window) = window.filter(|window| *window > COUNT_CAP) {
            return Err(m.wrong(&name, format!("at most {COUNT_CAP}"), window.to_string(), FETCH));
        }
        // Files of before these keys have the numbers of the first models.
        let pattern = key("attention.sliding_window_pattern");
        let period = match m.u32(&pattern)? {
            Some(0) => return Err(m.wrong(&pattern, "a number above 0", "0", FETCH)),
            given => given.unwrap_or(period),
        };
        let base = key("rope.freq_base_swa");
        let rope_base = match m.number(&base)? {
            Some(found) if found <= 1.0 => return Err(m.wrong(&base, "a number above 1", found.to_string(), FETCH)),
            given => given.unwrap_or(rope_base),
        };
        Ok(Some(Self { window, period, rope_base }))
    }

    /// Puts them into config.json.
    pub(super) fn put(&self, config: &mut Map<String, Value>, layers: u32) {
        let kind = |number: u32| match self.window {
            Some(_) if !number.is_multiple_of(self.period) => "sliding_attention",
            _ => "full_attention",
        };
        config.insert("layer_types".into(), (1..=layers).map(kind).collect());
        config.insert("sliding_window".into(), json!(self.window));
        config.insert("rope_local_base_freq".into(), json!(self.rope_base));
    }
}
