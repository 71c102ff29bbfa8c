//! Base and scaling of RoPE in config.json.

use serde_json::json;

use crate::LoadError;
use crate::family::{Family, SlidingWindow, alternatives};
use crate::fields::Fields;

const WHOLE_HEADS: &str = "use a model that rotates whole heads";
const OTHER: &str = "use a model without this scaling";

/// How RoPE frequencies are scaled for long contexts (`rope_type: llama3`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Llama3Scaling {
    /// Low frequencies are divided by this.
    pub factor: f64,
    /// Wavelengths above `original / low` are low frequencies.
    pub low_freq_factor: f64,
    /// Wavelengths below `original / high` are high frequencies, which stay unchanged.
    pub high_freq_factor: f64,
    /// Context length of the first training.
    pub original_max_position_embeddings: f64,
}

/// What config.json says of RoPE.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RopeConfig {
    pub base: f64,
    pub scaling: Scaling,
    /// The base of the layers with a window, in a family where they have their own. They are not scaled.
    pub local_base: Option<f64>,
}

/// How frequencies are scaled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scaling {
    None,
    Llama3(Llama3Scaling),
    /// All frequencies are divided by this.
    Linear(f64),
}

/// Base and scaling of RoPE: `rope_theta` and `rope_scaling` in older files, `rope_parameters` in newer ones. Files that have both
/// must say the same in both. Where layers with a window rotate differently, newer files have a block for each kind of layer.
pub(crate) fn rope(f: &Fields<'_>, family: &Family) -> Result<RopeConfig, LoadError> {
    f.only("partial_rotary_factor", &json!(1.0), WHOLE_HEADS)?;
    f.only("rotary_pct", &json!(1.0), WHOLE_HEADS)?;
    let local_default = match family.sliding_window {
        SlidingWindow::SomeLayers { rope_base, .. } => Some(rope_base),
        _ => None,
    };
    let mut base = read_base(f, "rope_theta", None)?;
    let mut local = if local_default.is_some() { read_base(f, "rope_local_base_freq", None)? } else { None };
    let mut scaling: Option<Scaling> = None;
    for name in ["rope_parameters", "rope_scaling"] {
        let Some(mut block) = f.block(name)? else { continue };
        if local_default.is_some()
            && let Some(full) = block.block("full_attention")?
        {
            if let Some(sliding) = block.block("sliding_attention")? {
                local = read_base(&sliding, "rope_theta", local)?;
                if read_scaling(&sliding, family)? != Scaling::None {
                    return Err(sliding.refuse("rope_type", "`default` where attention has a window", "a scaling", OTHER));
                }
            }
            block.refuse_unknown(&[])?;
            block = full;
        }
        base = read_base(&block, "rope_theta", base)?;
        let found = read_scaling(&block, family)?;
        if scaling.is_some_and(|before| before != found) {
            let expected = "the scaling of rope_parameters";
            return Err(f.refuse(name, expected, "another one", "remove the block that the model was not trained with"));
        }
        scaling = Some(found);
    }
    Ok(RopeConfig {
        base: base.unwrap_or(family.default_rope_base),
        scaling: scaling.unwrap_or(Scaling::None),
        local_base: local.or(local_default),
    })
}

/// The base in the field `name`, which must be the one that the file says `before`, if it does; else that one.
fn read_base(f: &Fields<'_>, name: &str, before: Option<f64>) -> Result<Option<f64>, LoadError> {
    let Some(base) = f.f64(name)? else { return Ok(before) };
    if base <= 1.0 {
        return Err(f.refuse(name, "a number above 1", base.to_string(), "correct the file"));
    }
    match before.filter(|before| *before != base) {
        Some(before) => {
            let expected = format!("{before}, as the file says before");
            Err(f.refuse(name, expected, base.to_string(), "remove the base that the model was not trained with"))
        }
        None => Ok(Some(base)),
    }
}

/// The scaling in a block.
fn read_scaling(block: &Fields<'_>, family: &Family) -> Result<Scaling, LoadError> {
    block.only("partial_rotary_factor", &json!(1.0), WHOLE_HEADS)?;
    // Both names may be there, the older one for older programs.
    let (newer, older) = (block.str("rope_type")?, block.str("type")?);
    if let (Some(newer), Some(older)) = (newer, older)
        && newer != older
    {
        return Err(block.refuse("type", format!("`{newer}`, as rope_type"), format!("`{older}`"), "remove the wrong one"));
    }
    let expected = || alternatives(family.rope_types.iter().copied());
    let kind = match newer.or(older) {
        Some(kind) => kind,
        // The factor of a block without type means linear scaling to some programs, and nothing to others.
        None if block.has("factor") => return Err(block.refuse("rope_type", expected(), "nothing, but a `factor`", "add the field")),
        None => "default",
    };
    if !family.rope_types.contains(&kind) {
        return Err(block.refuse("rope_type", expected(), format!("`{kind}`"), OTHER));
    }
    let scaling = match kind {
        "llama3" => Scaling::Llama3(llama3(block)?),
        "linear" => Scaling::Linear(positive(block, "factor")?),
        _ => Scaling::None,
    };
    if scaling == Scaling::None {
        block.only("factor", &json!(1.0), OTHER)?;
    }
    // Without scaling, the length of the first training is not used.
    block.refuse_unknown(&[&["original_max_position_embeddings"]])?;
    Ok(scaling)
}

fn positive(block: &Fields<'_>, name: &str) -> Result<f64, LoadError> {
    let value = block.required(name, "a positive number", block.f64(name)?)?;
    if value > 0.0 { Ok(value) } else { Err(block.refuse(name, "a positive number", value.to_string(), "correct the file")) }
}

fn llama3(block: &Fields<'_>) -> Result<Llama3Scaling, LoadError> {
    let scaling = Llama3Scaling {
        factor: positive(block, "factor")?,
        low_freq_factor: positive(block, "low_freq_factor")?,
        high_freq_factor: positive(block, "high_freq_factor")?,
        original_max_position_embeddings: positive(block, "original_max_position_embeddings")?,
    };
    if scaling.high_freq_factor <= scaling.low_freq_factor {
        return Err(block.refuse(
            "high_freq_factor",
            format!("a number above {}", scaling.low_freq_factor),
            scaling.high_freq_factor.to_string(),
            "correct the file",
        ));
    }
    Ok(scaling)
}
