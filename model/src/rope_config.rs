//! Base and scaling of RoPE in config.json.

use serde_json::json;

use crate::LoadError;
use crate::family::{Family, alternatives};
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

/// Base and scaling of RoPE: `rope_theta` and `rope_scaling` in older files, `rope_parameters` in newer ones. Files that have both
/// must say the same in both.
pub(crate) fn rope(f: &Fields<'_>, family: &Family) -> Result<(f64, Option<Llama3Scaling>), LoadError> {
    f.only("partial_rotary_factor", &json!(1.0), WHOLE_HEADS)?;
    f.only("rotary_pct", &json!(1.0), WHOLE_HEADS)?;
    let mut base = read_base(f)?;
    let mut scaling: Option<Option<Llama3Scaling>> = None;
    for name in ["rope_parameters", "rope_scaling"] {
        let Some(block) = f.block(name)? else { continue };
        let inner = read_base(&block)?;
        if let (Some(here), Some(there)) = (inner, base)
            && here != there
        {
            let expected = format!("{there}, as the file says before");
            return Err(block.refuse("rope_theta", expected, here.to_string(), "remove the base that the model was not trained with"));
        }
        base = base.or(inner);
        let found = read_scaling(&block, family)?;
        if scaling.is_some_and(|before| before != found) {
            let expected = "the scaling of rope_parameters";
            return Err(f.refuse(name, expected, "another one", "remove the block that the model was not trained with"));
        }
        scaling = Some(found);
    }
    Ok((base.unwrap_or(10000.0), scaling.flatten()))
}

fn read_base(f: &Fields<'_>) -> Result<Option<f64>, LoadError> {
    match f.f64("rope_theta")? {
        Some(base) if base <= 1.0 => Err(f.refuse("rope_theta", "a number above 1", base.to_string(), "correct the file")),
        base => Ok(base),
    }
}

/// The scaling in a block.
fn read_scaling(block: &Fields<'_>, family: &Family) -> Result<Option<Llama3Scaling>, LoadError> {
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
    let scaling = if kind == "llama3" { Some(llama3(block)?) } else { None };
    if scaling.is_none() {
        block.only("factor", &json!(1.0), OTHER)?;
    }
    // Without scaling, the length of the first training is not used.
    block.refuse_unknown(&[&["original_max_position_embeddings"]])?;
    Ok(scaling)
}

fn llama3(block: &Fields<'_>) -> Result<Llama3Scaling, LoadError> {
    let positive = |name: &str| -> Result<f64, LoadError> {
        let value = block.required(name, "a positive number", block.f64(name)?)?;
        if value > 0.0 { Ok(value) } else { Err(block.refuse(name, "a positive number", value.to_string(), "correct the file")) }
    };
    let scaling = Llama3Scaling {
        factor: positive("factor")?,
        low_freq_factor: positive("low_freq_factor")?,
        high_freq_factor: positive("high_freq_factor")?,
        original_max_position_embeddings: positive("original_max_position_embeddings")?,
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
