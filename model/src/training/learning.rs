//! A model whose weights learn.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tch::{Device, Kind, TchError, Tensor};

use super::save::Config;
use crate::adapter::{Adapter, WRAPPER};
use crate::decoder::Decoder;
use crate::family::Module;
use crate::layer::{LowRank, Part};
use crate::model_folder::ModelFolder;
use crate::{ComputeError, LoadError, LoadOptions, Model, Precision, TextTokenizer};

/// Which weights learn.
#[derive(Clone, Debug, PartialEq)]
pub enum Learning {
    /// All weights. An adapter folder is merged into its base first.
    Everything,
    /// A LoRA adapter (arXiv 2106.09685) over a frozen base. An adapter folder goes on learning; its rank and targets hold.
    Adapter(AdapterOptions),
}

/// A new adapter.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterOptions {
    /// Rank of the change of each weight.
    pub rank: u32,
    /// The change is multiplied by `alpha / rank`.
    pub alpha: f64,
    /// The projections that are changed, by their names in a layer, as `q_proj`; all linear maps of a layer if empty.
    pub targets: Vec<String>,
    /// Where the random numbers of A begin; B begins with zeros.
    pub seed: u64,
}

/// One tensor that learns.
pub(super) struct Parameter {
    /// What it is, for files and messages.
    pub name: String,
    /// Its values, in f32.
    pub master: Tensor,
    /// What the model computes with, in its own precision; the same tensor as `master` where that is f32. Its gradient is the parameter's.
    pub working: Tensor,
    /// Whether weight decay applies: to matrices, not to norms and biases.
    pub decays: bool,
    /// The tensors of a file that it holds one after the other, with their rows.
    pub(super) pieces: Vec<(String, i64)>,
}

impl Parameter {
    /// A parameter that begins with `value`, which a file holds under one name.
    pub fn new(name: String, value: &Tensor, precision: Precision) -> Result<Self, TchError> {
        let rows = value.size().first().copied().unwrap_or_default();
        Self::joined(vec![(name, rows)], value, precision)
    }

    /// A parameter that a file holds as several tensors, one after the other.
    fn joined(pieces: Vec<(String, i64)>, value: &Tensor, precision: Precision) -> Result<Self, TchError> {
        let kind = precision.kind();
        let names: Vec<_> = pieces.iter().map(|(name, _)| name.as_str()).collect();
        let name = names.join("+");
        let decays = value.dim() > 1;
        // A copy of its own: what is given may be a view of the checkpoint's tensors, or the same tensor.
        let mut master = Tensor::f_empty(value.size(), (Kind::Float, value.device()))?;
        master.f_copy_(&value.f_detach()?)?;
        let working = if kind == Kind::Float { master.shallow_clone() } else { master.f_to_kind(kind)? };
        Ok(Self { name, master, working: working.f_set_requires_grad(true)?, decays, pieces })
    }

    /// Puts the master's values into what the model computes with.
    pub fn publish(&mut self) -> Result<(), TchError> {
        if self.working.kind() != Kind::Float {
            let _guard = tch::no_grad_guard();
            self.working.f_copy_(&self.master)?;
        }
        Ok(())
    }
}

/// A model whose weights learn.
pub struct Trainee {
    model: Model,
    pub(super) parameters: Vec<Parameter>,
    pub(super) adapter: Option<AdapterShape>,
    /// config.json of the base.
    pub(super) config: Config,
    pub(super) tokenizer: PathBuf,
    /// Where the next draw begins.
    chance: Cell<u64>,
}

/// What adapter_config.json says of an adapter.
#[derive(Clone, Debug)]
pub(super) struct AdapterShape {
    pub base: String,
    pub rank: u32,
    pub alpha: f64,
    pub rank_stabilised: bool,
    pub targets: Vec<String>,
}

impl Trainee {
    /// Loads a folder as [`Model::load`] does, with weights that learn.
    ///
    /// # Errors
    /// What [`Model::load`] refuses; a rank of 0, a target that no layer has, an adapter folder whose rank is another than asked for.
    pub fn load(folder: &Path, options: &LoadOptions, learning: &Learning) -> Result<Self, LoadError> {
        let mut opened = ModelFolder::open(folder, options)?;
        let taken = match learning {
            Learning::Everything => None,
            Learning::Adapter(_) => opened.take_adapter(),
        };
        let mut decoder = Decoder::from_folder(&opened, options)?;
        let tokenizer = TextTokenizer::load(&opened.tokenizer)?;
        tokenizer.check_vocabulary(decoder.config().vocabulary as usize)?;
        let mut parameters = Vec::new();
        let adapter = match learning {
            Learning::Everything => {
                free(&mut decoder, &mut parameters)?;
                None
            }
            Learning::Adapter(wanted) => {
                let shape = adapt(folder, &mut decoder, taken.as_ref(), wanted, &opened.base, &mut parameters)?;
                Some(shape)
            }
        };
        let identity = opened.identity(&tokenizer);
        let ModelFolder { config_json: config, tokenizer: path, .. } = opened;
        Ok(Self {
            model: Model::from_parts(decoder, tokenizer, identity),
            parameters,
            adapter,
            config,
            tokenizer: path,
            chance: Cell::new(0),
        })
    }

    /// The model, which computes with the weights as they are now. Its identity is that of the folder it came from.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// How many numbers learn.
    pub fn learnt(&self) -> usize {
        self.parameters.iter().map(|parameter| parameter.master.numel()).sum()
    }

    /// Throws the gradients away.
    ///
    /// # Errors
    /// A failure of libtorch.
    pub fn clear_gradients(&self) -> Result<(), ComputeError> {
        for parameter in &self.parameters {
            let mut gradient = parameter.working.f_grad()?;
            if gradient.defined() {
                let _ = gradient.f_detach_()?.f_zero_()?;
            }
        }
        Ok(())
    }

    /// Where the numbers of chance begin from which the next writes draw their [noise](super::WriteOptions::noise).
    pub fn seed(&self, seed: u64) {
        self.chance.set(seed);
    }

    /// Draws what the next write needs.
    pub(super) fn drawing(&self) -> MutexGuard<'static, ()> {
        let seed = self.chance.get();
        // Another write of the same step draws other numbers.
        self.chance.set(seed.wrapping_add(0x9E37_79B9_7F4A_7C15));
        drawing(seed)
    }
}

/// Libtorch has one generator for the whole program: while this is held, what is drawn depends on `seed` alone.
pub(crate) fn drawing(seed: u64) -> MutexGuard<'static, ()> {
    static DRAWING: Mutex<()> = Mutex::new(());
    let guard = DRAWING.lock().unwrap_or_else(PoisonError::into_inner);
    tch::manual_seed(seed as i64);
    guard
}

/// Makes parameters of all weights.
fn free(decoder: &mut Decoder, parameters: &mut Vec<Parameter>) -> Result<(), TchError> {
    let precision = decoder.precision();
    let mut learn = |parameter: Parameter| -> Tensor {
        let working = parameter.working.shallow_clone();
        parameters.push(parameter);
        working
    };
    let one = |name: &str, value: &Tensor| Parameter::new(name.to_owned(), value, precision);
    let tied = decoder.is_tied();
    let names = decoder.config().family.names;
    decoder.embedding = learn(one(&names.weight(Module::Embedding), &decoder.embedding)?);
    for (number, layer) in (0..).zip(&mut decoder.layers) {
        for (part, norm) in layer.norms_mut() {
            *norm = learn(one(&names.weight(Module::Layer(number, part)), norm)?);
        }
        for linear in layer.linears_mut() {
            let pieces = |what: &str| linear.parts.iter().map(|part| (format!("{}.{what}", part.name), part.rows)).collect::<Vec<_>>();
            let weight = learn(Parameter::joined(pieces("weight"), &linear.weight, precision)?);
            let bias = match &linear.bias {
                Some(bias) => Some(learn(Parameter::joined(pieces("bias"), bias, precision)?)),
                None => None,
            };
            linear.bias = bias;
            linear.set_weight(weight)?;
        }
    }
    decoder.final_norm.weight = learn(one(&names.weight(Module::FinalNorm), &decoder.final_norm.weight)?);
    decoder.head = if tied { decoder.embedding.shallow_clone() } else { learn(one(&names.weight(Module::Head), &decoder.head)?) };
    Ok(())
}

/// Puts an adapter's pairs beside the weights of the base, and makes parameters of them.
fn adapt(
    folder: &Path,
    decoder: &mut Decoder,
    from: Option<&Adapter>,
    wanted: &AdapterOptions,
    base: &str,
    parameters: &mut Vec<Parameter>,
) -> Result<AdapterShape, LoadError> {
    let refuse = |field: &str, expected: String, found: String| LoadError::Field {
        path: folder.to_owned(),
        field: field.into(),
        expected,
        found,
        remedy: "change the training configuration".into(),
    };
    if wanted.rank == 0 {
        return Err(refuse("rank", "at least 1".into(), "0".into()));
    }
    if let Some(adapter) = from.filter(|adapter| adapter.rank != wanted.rank) {
        return Err(refuse("rank", format!("{}, as the adapter to go on with has", adapter.rank), wanted.rank.to_string()));
    }
    let (precision, device) = (decoder.precision(), decoder.device);
    let known: Vec<_> =
        decoder.layers.iter().flat_map(|l| l.linears()).flat_map(|l| &l.parts).map(|p| module(&p.name).to_owned()).collect();
    if let Some(target) = wanted.targets.iter().find(|target| !known.contains(target)) {
        return Err(refuse("targets", "names such as q_proj or down_proj".into(), target.clone()));
    }
    let scale = from.map_or(wanted.alpha / f64::from(wanted.rank), |adapter| adapter.scale);
    // The order of layers and projections is fixed, and so are the random numbers.
    let _drawing = drawing(wanted.seed);
    let (mut targets, mut weights) = (BTreeSet::new(), BTreeSet::new());
    for layer in &mut decoder.layers {
        for linear in layer.linears_mut() {
            let columns = linear.weight.size().get(1).copied().unwrap_or_default();
            for Part { name, rows, low_rank } in &mut linear.parts {
                let pair = match from {
                    Some(adapter) => adapter.pair(&format!("{name}.weight"), &[*rows, columns], device)?,
                    None if wanted.targets.is_empty() || wanted.targets.iter().any(|t| t == module(name)) => {
                        Some(fresh(wanted.rank.into(), *rows, columns, device)?)
                    }
                    None => None,
                };
                let Some((a, b)) = pair else { continue };
                targets.insert(module(name).to_owned());
                weights.insert(format!("{name}.weight"));
                let a = Parameter::new(format!("{WRAPPER}{name}.lora_A.weight"), &a, precision)?;
                let b = Parameter::new(format!("{WRAPPER}{name}.lora_B.weight"), &b, precision)?;
                *low_rank = Some(LowRank { a: a.working.shallow_clone(), b: b.working.shallow_clone(), scale });
                parameters.extend([a, b]);
            }
        }
    }
    if let Some(adapter) = from {
        adapter.check_trained(|weight| weights.contains(weight))?;
    }
    Ok(AdapterShape {
        base: from.map_or_else(|| base.to_owned(), |adapter| adapter.base.clone()),
        rank: wanted.rank,
        alpha: from.map_or(wanted.alpha, |adapter| adapter.alpha),
        rank_stabilised: from.is_some_and(|adapter| adapter.scale != adapter.alpha / f64::from(adapter.rank)),
        targets: targets.into_iter().collect(),
    })
}

/// A pair that changes nothing yet: A uniform as in PEFT, B zero.
fn fresh(rank: i64, rows: i64, columns: i64, device: Device) -> Result<(Tensor, Tensor), TchError> {
    let bound = (columns as f64).sqrt().recip();
    // Drawn on the CPU, so that every device begins with the same numbers.
    let a = Tensor::f_empty([rank, columns], (Kind::Float, Device::Cpu))?.f_uniform_(-bound, bound)?.f_to_device(device)?;
    Ok((a, Tensor::f_zeros([rows, rank], (Kind::Float, device))?))
}

/// The last part of a module's name, as `q_proj`.
fn module(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}
