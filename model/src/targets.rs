//! Which modules of the base an adapter says to change: `target_modules` and what narrows it, by the rules of peft 0.18
//! (`check_target_module_exists`).

use std::collections::BTreeSet;

use tokenizers::utils::SysRegex;

use crate::LoadError;
use crate::fields::Fields;

/// A list of names, or a pattern.
enum Names {
    /// Whole names of modules, or their last parts.
    List(Vec<String>),
    /// A pattern that matches the whole name of a module.
    Pattern(SysRegex),
    /// All linear maps in the layers.
    AllLinear,
}

/// The modules that an adapter says to change.
pub(crate) struct Targets {
    /// `None` if the file names none: then what is there counts.
    names: Option<Names>,
    excluded: Option<Names>,
    /// `layers_to_transform`: the numbers of the layers, if not all.
    layers: Option<BTreeSet<u32>>,
}

impl Targets {
    pub(crate) fn read(f: &Fields<'_>) -> Result<Self, LoadError> {
        let layers: Option<BTreeSet<u32>> = f.ids("layers_to_transform")?.map(|list| list.into_iter().collect());
        // Names of the list of layers, which the families here have only one of.
        f.get("layers_pattern");
        Ok(Self {
            names: Names::read(f, "target_modules")?,
            excluded: Names::read(f, "exclude_modules")?,
            layers: layers.filter(|l| !l.is_empty()),
        })
    }

    /// The modules among `linear`, the linear maps in the layers, and `others`.
    pub(crate) fn modules<'a>(&self, linear: &'a [String], others: &'a [String]) -> Vec<&'a String> {
        let Some(names) = &self.names else { return Vec::new() };
        let wanted = |module: &&String, in_layer: bool| {
            !self.excluded.as_ref().is_some_and(|excluded| excluded.have(module, in_layer))
                && names.have(module, in_layer)
                && match (&self.layers, names) {
                    (Some(layers), Names::List(list)) if !list.contains(*module) => layer_of(module).is_some_and(|n| layers.contains(&n)),
                    _ => true,
                }
        };
        linear.iter().filter(|m| wanted(m, true)).chain(others.iter().filter(|m| wanted(m, false))).collect()
    }
}

impl Names {
    fn read(f: &Fields<'_>, field: &str) -> Result<Option<Self>, LoadError> {
        let Some(value) = f.get(field) else { return Ok(None) };
        match value.as_str() {
            None => Ok(f.strings(field)?.filter(|list| !list.is_empty()).map(Self::List)),
            Some("") => Ok(None),
            Some("all-linear") => Ok(Some(Self::AllLinear)),
            Some(pattern) => match SysRegex::new(&format!("\\A(?:{pattern})\\z")) {
                Ok(pattern) => Ok(Some(Self::Pattern(pattern))),
                Err(error) => {
                    let found = format!("`{pattern}`: {error}");
                    Err(f.refuse(field, "a list of names, or a regular expression", found, "list the names of the modules"))
                }
            },
        }
    }

    fn have(&self, module: &str, in_layer: bool) -> bool {
        let ends = |name: &String| module.strip_suffix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        match self {
            Self::List(list) => list.iter().any(ends),
            Self::Pattern(pattern) => pattern.find_iter(module).next().is_some(),
            Self::AllLinear => in_layer,
        }
    }
}

/// The number in the name of a module of a layer.
fn layer_of(module: &str) -> Option<u32> {
    module.split('.').find_map(|part| part.parse().ok())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::{Value, json};

    use super::*;

    fn found(config: Value) -> Vec<String> {
        let linear: Vec<String> =
            (0..2).flat_map(|n| ["self_attn.q_proj", "self_attn.v_proj", "mlp.up_proj"].map(|m| format!("model.layers.{n}.{m}"))).collect();
        let others = ["model.embed_tokens".to_owned(), "lm_head".to_owned()];
        let object = config.as_object().unwrap();
        let targets = Targets::read(&Fields::new(Path::new("adapter_config.json"), object)).unwrap();
        targets.modules(&linear, &others).into_iter().map(|name| name.replace("model.layers.", "")).collect()
    }

    #[test]
    fn modules_are_those_of_peft() {
        for (config, expected) in [
            (json!({}), vec![]),
            (json!({"target_modules": []}), vec![]),
            (json!({"target_modules": ["q_proj"]}), vec!["0.self_attn.q_proj", "1.self_attn.q_proj"]),
            (json!({"target_modules": ["proj"]}), vec![]),
            (json!({"target_modules": ["self_attn.q_proj", "lm_head"]}), vec!["0.self_attn.q_proj", "1.self_attn.q_proj", "lm_head"]),
            (json!({"target_modules": ["q_proj"], "layers_to_transform": [1]}), vec!["1.self_attn.q_proj"]),
            (json!({"target_modules": ["q_proj"], "layers_to_transform": 0}), vec!["0.self_attn.q_proj"]),
            (json!({"target_modules": ["q_proj"], "layers_to_transform": [1], "layers_pattern": "layers"}), vec!["1.self_attn.q_proj"]),
            (json!({"target_modules": ["model.layers.1.mlp.up_proj"]}), vec!["1.mlp.up_proj"]),
            (json!({"target_modules": ["q_proj"], "exclude_modules": ["layers.0.self_attn.q_proj"]}), vec!["1.self_attn.q_proj"]),
            (json!({"target_modules": ".*\\.(q|v)_proj$", "exclude_modules": ".*0.*"}), vec!["1.self_attn.q_proj", "1.self_attn.v_proj"]),
            (json!({"target_modules": "up_proj"}), vec![]),
            (
                json!({"target_modules": "all-linear", "exclude_modules": ["up_proj", "v_proj"]}),
                vec!["0.self_attn.q_proj", "1.self_attn.q_proj"],
            ),
        ] {
            assert_eq!(found(config.clone()), expected, "{config}");
        }
    }
}
