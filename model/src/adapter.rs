//! LoRA adapters (arXiv 2106.09685) in the PEFT layout.

use std::collections::BTreeMap;
use std::path::Path;

use mempack_format::Digest;
use serde_json::Value;
use tch::{Device, Kind, Tensor};

use crate::LoadError;
use crate::checkpoint::Checkpoint;
use crate::fields::{Fields, is_neutral, read_object, show};
use crate::harmless::ADAPTER;
use crate::targets::Targets;

pub(crate) const CONFIG: &str = "adapter_config.json";
pub(crate) const WEIGHTS: &str = "adapter_model.safetensors";
/// PEFT's prefix of module names.
pub(crate) const WRAPPER: &str = "base_model.model.";
const PLAIN: &str = "train or export a plain LoRA adapter";

/// An adapter: low-rank changes `scale * B A` of some weights of the base model.
pub(crate) struct Adapter {
    /// `base_model_name_or_path`.
    pub base: String,
    /// `r`.
    pub rank: u32,
    /// `lora_alpha`.
    pub alpha: f64,
    /// Factor of B A.
    pub scale: f64,
    targets: Targets,
    weights: Checkpoint,
    /// For each changed weight of the base model, the name of its pair up to `lora_A` or `lora_B`.
    pairs: BTreeMap<String, String>,
}

impl Adapter {
    /// The adapter in `folder`; `None` if it holds no adapter_config.json.
    pub(crate) fn open(folder: &Path) -> Result<Option<Self>, LoadError> {
        let path = folder.join(CONFIG);
        if !path.exists() {
            return Ok(None);
        }
        let object = read_object(&path, "fetch the adapter again")?;
        let f = Fields::new(&path, &object);
        let kind = f.required("peft_type", "`LORA`", f.str("peft_type")?)?;
        if kind != "LORA" {
            return Err(f.refuse("peft_type", "`LORA`", format!("`{kind}`"), PLAIN));
        }
        refuse_others(&f)?;
        let rank = f.required("r", "the rank", f.count("r")?)?;
        let alpha = f.required("lora_alpha", "a number", f.f64("lora_alpha")?)?;
        // Rank-stabilized LoRA (arXiv 2312.03732) divides by the square root of the rank.
        let scale = alpha / if f.bool("use_rslora")?.unwrap_or(false) { f64::from(rank).sqrt() } else { rank.into() };
        let base = f.required("base_model_name_or_path", "the base's name or folder", f.str("base_model_name_or_path")?)?.to_owned();
        let targets = Targets::read(&f)?;
        f.refuse_unknown(&[ADAPTER])?;
        let file = folder.join(WEIGHTS);
        if !file.exists()
            && let Some((name, remedy)) = ADAPTER_FILES.iter().find(|(name, _)| folder.join(name).exists())
        {
            return Err(LoadError::WrongFile {
                path: folder.to_owned(),
                expected: WEIGHTS,
                found: format!("{name} alone"),
                remedy: (*remedy).into(),
            });
        }
        let weights = Checkpoint::open_file(&file)?;
        let mut pairs = BTreeMap::new();
        for name in weights.names() {
            let module =
                name.strip_prefix(WRAPPER).and_then(|n| n.strip_suffix(".lora_A.weight").or_else(|| n.strip_suffix(".lora_B.weight")));
            match module {
                Some(module) => pairs.insert(format!("{module}.weight"), format!("{WRAPPER}{module}")),
                None => return Err(weights.wrong(name, "lora_A and lora_B weights only", "another one", PLAIN)),
            };
        }
        if pairs.is_empty() {
            return Err(LoadError::Safetensors {
                path: file,
                part: "tensors".into(),
                expected: "the pairs of an adapter".into(),
                found: "none".into(),
            });
        }
        Ok(Some(Self { base, rank, alpha, scale, targets, weights, pairs }))
    }

    /// Whether the base's weight `name` is changed.
    pub(crate) fn changes(&self, name: &str) -> bool {
        self.pairs.contains_key(name)
    }

    /// The change of the base's weight `name` of shape `shape`, in f32; `None` if it is not changed.
    pub(crate) fn change(&self, name: &str, shape: &[i64], device: Device) -> Result<Option<Tensor>, LoadError> {
        match self.pair(name, shape, device)? {
            Some((a, b)) => Ok(Some(b.f_matmul(&a)?.f_mul_scalar_(self.scale)?)),
            None => Ok(None),
        }
    }

    /// The pair of the base's weight `name` of shape `shape`: A `[rank, columns]` and B `[rows, rank]` in f32; `None` if the weight is not
    /// changed.
    pub(crate) fn pair(&self, name: &str, shape: &[i64], device: Device) -> Result<Option<(Tensor, Tensor)>, LoadError> {
        let Some(pair) = self.pairs.get(name) else { return Ok(None) };
        let (a, b) = (format!("{pair}.lora_A.weight"), format!("{pair}.lora_B.weight"));
        // The factor is computed from the rank in the configuration.
        let rank = i64::from(self.rank);
        let (rows, columns) = match shape {
            [rows, columns] => (*rows, *columns),
            _ => return Err(self.weights.wrong(&a, "a pair for a matrix", &format!("one for a tensor of shape {shape:?}"), PLAIN)),
        };
        let a = self.weights.tensor(&a, &[rank, columns], Kind::Float, device)?;
        let b = self.weights.tensor(&b, &[rows, rank], Kind::Float, device)?;
        Ok(Some((a, b)))
    }

    /// Refuses an adapter that changes a weight which the base lacks.
    pub(crate) fn check_targets(&self, has: impl Fn(&str) -> bool) -> Result<(), LoadError> {
        self.check(has, "a change of the base's weights", "which the base lacks", "use the adapter with its own base")
    }

    /// Refuses an adapter that lacks the pair of a module that it says to change. `linear` are the base's linear maps in its layers, and
    /// `others` its other modules that an adapter can change.
    pub(crate) fn check_complete(&self, linear: &[String], others: &[String]) -> Result<(), LoadError> {
        let lacks = |module: &&String| !self.pairs.contains_key(&format!("{module}.weight"));
        let missing = self.targets.modules(linear, others);
        let Some(module) = missing.iter().copied().find(lacks) else { return Ok(()) };
        let count = missing.iter().filter(|module| lacks(module)).count();
        let found = format!("nothing, as for {count} of the {} modules that the adapter says to change", missing.len());
        let name = format!("{WRAPPER}{module}.lora_A.weight");
        Err(self.weights.wrong(&name, "a pair for each of target_modules", &found, "fetch the adapter again, or use it with its own base"))
    }

    /// Refuses an adapter with a part that would not be trained further, and so would be lost.
    pub(crate) fn check_trained(&self, is_trained: impl Fn(&str) -> bool) -> Result<(), LoadError> {
        let remedy = "train all weights, which merges the adapter first, or use an adapter of the layers' projections alone";
        self.check(is_trained, "changes of the layers' projections alone", "which is not trained", remedy)
    }

    /// Refuses a reading adapter that changes another weight than those that a reader may have of its own.
    pub(crate) fn check_reading(&self, is_changed: impl Fn(&str) -> bool) -> Result<(), LoadError> {
        let remedy = "use an adapter of the layers' projections alone, with its own writer";
        self.check(is_changed, "changes of the layers' projections alone", "which a reading adapter cannot change", remedy)
    }

    fn check(&self, accepted: impl Fn(&str) -> bool, expected: &str, reason: &str, remedy: &str) -> Result<(), LoadError> {
        match self.pairs.iter().find(|(target, _)| !accepted(target)) {
            Some((target, pair)) => {
                let found = format!("a change of `{target}`, {reason}");
                Err(self.weights.wrong(&format!("{pair}.lora_A.weight"), expected, &found, remedy))
            }
            None => Ok(()),
        }
    }

    /// Digest of the adapter's weights and scale.
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(format!("lora {} scale {:e}", self.weights.digest(), self.scale).as_bytes())
    }
}

/// What peft calls the weights in other formats.
const ADAPTER_FILES: [(&str, &str); 1] = [("adapter_model.bin", "convert it to safetensors: load the adapter with peft, and save it")];

/// Refuses what changes the base's weights otherwise than by `scale * B A`.
fn refuse_others(f: &Fields<'_>) -> Result<(), LoadError> {
    for name in ["use_dora", "fan_in_fan_out", "lora_bias", "use_qalora", "use_bdlora", "ensure_weight_tying"] {
        if f.bool(name)?.unwrap_or(false) {
            return Err(f.refuse(name, "false", "true", PLAIN));
        }
    }
    for name in [
        "modules_to_save",
        "rank_pattern",
        "alpha_pattern",
        "layer_replication",
        "trainable_token_indices",
        "target_parameters",
        "alora_invocation_tokens",
        "arrow_config",
        "megatron_config",
    ] {
        if let Some(value) = f.get(name).filter(|value| !is_neutral(value)) {
            return Err(f.refuse(name, "nothing", show(value), PLAIN));
        }
    }
    if let Some(bias) = f.str("bias")?.filter(|bias| *bias != "none") {
        return Err(f.refuse("bias", "`none`", format!("`{bias}`"), PLAIN));
    }
    // Other beginnings, as `pissa` and `olora`, change the base's weights too, and the adapter is no change of the original ones.
    match f.get("init_lora_weights") {
        None | Some(Value::Bool(_)) => Ok(()),
        Some(Value::String(kind)) if matches!(kind.as_str(), "gaussian" | "orthogonal" | "eva") => Ok(()),
        Some(other) => Err(f.refuse(
            "init_lora_weights",
            "true, false, `gaussian`, `orthogonal` or `eva`, which leave the base's weights as they are",
            show(other),
            "save the adapter with peft's `path_initial_model_for_weight_conversion`, which makes it a plain one, or merge it into its base",
        )),
    }
}
