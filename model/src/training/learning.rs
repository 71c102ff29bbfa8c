//! A model that is trained: its parameters, and the adapters on its weights.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tch::{Device, Kind, TchError, Tensor};

use super::save::Config;
use crate::adapter::{Adapter, WRAPPER};
use crate::decoder::Decoder;
use crate::family::Module;
use crate::layer::{LowRank, Projection};
use crate::model_folder::ModelFolder;
use crate::reading::{ReadingFolder, Stack};
use crate::{ComputeError, LoadError, LoadOptions, Model, Precision};

/// Which weights are trained.
#[derive(Clone, Debug, PartialEq)]
pub enum Learning {
    /// All weights. An adapter folder is merged into its base first.
    Everything,
    /// A LoRA adapter (arXiv 2106.09685) over a frozen base. The adapter of an adapter folder is trained further, with its rank and targets.
    Adapter(AdapterOptions),
    /// A reading adapter: a LoRA adapter that changes the reading of memories alone. The model of the folder, merged with the adapter that it
    /// may have, writes them as it is. The reading adapter of a folder is trained further, with its rank and targets.
    ReadingAdapter(AdapterOptions),
}

/// Options of a new LoRA adapter.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterOptions {
    /// The rank of the change of each weight.
    pub rank: u32,
    /// The change is multiplied by `alpha / rank`.
    pub alpha: f64,
    /// The projections to adapt, by their names in a layer, as `q_proj`; all linear maps of a layer if empty.
    pub targets: Vec<String>,
    /// The seed of the random numbers in A. B starts as zeros.
    pub seed: u64,
}

/// A tensor that is trained.
pub(super) struct Parameter {
    /// Its name, for files and messages.
    pub name: String,
    /// Its values, in f32.
    pub master: Tensor,
    /// The values that the model computes with, in the model's precision; the same tensor as `master` if that is f32. Its gradient is that of the
    /// parameter.
    pub working: Tensor,
    /// Whether weight decay applies: it does to matrices, not to norms and biases.
    pub decays: bool,
    /// The tensors of a file that it joins along the rows, with their names and rows.
    pub(super) pieces: Vec<(String, i64)>,
}

impl Parameter {
    /// A parameter with the initial value `value`, which files hold under one name.
    pub fn new(name: String, value: &Tensor, precision: Precision) -> Result<Self, TchError> {
        let rows = value.size().first().copied().unwrap_or_default();
        Self::joined(vec![(name, rows)], value, precision)
    }

    /// A parameter that files hold as several tensors, joined along the rows.
    fn joined(pieces: Vec<(String, i64)>, value: &Tensor, precision: Precision) -> Result<Self, TchError> {
        let kind = precision.kind();
        let names: Vec<_> = pieces.iter().map(|(name, _)| name.as_str()).collect();
        let name = names.join("+");
        let decays = value.dim() > 1;
        // A copy, because `value` may be a view of the checkpoint's tensors, or shared.
        let mut master = Tensor::f_empty(value.size(), (Kind::Float, value.device()))?;
        master.f_copy_(&value.f_detach()?)?;
        let working = if kind == Kind::Float { master.shallow_clone() } else { master.f_to_kind(kind)? };
        Ok(Self { name, master, working: working.f_set_requires_grad(true)?, decays, pieces })
    }

    /// Copies the master's values to the tensor that the model computes with.
    pub fn publish(&mut self) -> Result<(), TchError> {
        if self.working.kind() != Kind::Float {
            let _guard = tch::no_grad_guard();
            self.working.f_copy_(&self.master)?;
        }
        Ok(())
    }
}

/// A model that is trained.
pub struct Trainee {
    model: Model,
    pub(super) parameters: Vec<Parameter>,
    pub(super) adapter: Option<AdapterShape>,
    /// config.json of the base.
    pub(super) config: Config,
    pub(super) tokenizer: PathBuf,
    /// The writer's folder, if a reading adapter is trained.
    pub(super) writer: Option<PathBuf>,
    /// The seed of the next draw.
    next_seed: Cell<u64>,
}

/// An adapter as adapter_config.json describes it.
#[derive(Clone, Debug)]
pub(super) struct AdapterShape {
    pub base: String,
    pub rank: u32,
    pub alpha: f64,
    pub rank_stabilised: bool,
    pub targets: Vec<String>,
}

impl Trainee {
    /// Loads a folder as [`Model::load`] does, for training.
    ///
    /// # Errors
    /// As [`Model::load`]; a rank of 0, a target that no layer has, or an adapter folder with another rank; a reading adapter, unless it is
    /// one that is trained.
    pub fn load(folder: &Path, options: &LoadOptions, learning: &Learning) -> Result<Self, LoadError> {
        match learning {
            Learning::Everything => Self::load_model(folder, options, None),
            Learning::Adapter(wanted) => Self::load_model(folder, options, Some(wanted)),
            Learning::ReadingAdapter(wanted) => Self::load_reading(folder, options, wanted),
        }
    }

    /// A model that is trained, or the adapter on it.
    fn load_model(folder: &Path, options: &LoadOptions, adapter: Option<&AdapterOptions>) -> Result<Self, LoadError> {
        let mut opened = ModelFolder::open(folder, options)?;
        let taken = adapter.and_then(|_| opened.take_adapter());
        let mut decoder = Decoder::from_folder(&opened, options)?;
        let tokenizer = opened.load_tokenizer()?;
        let mut parameters = Vec::new();
        let adapter = match adapter {
            None => {
                train_all(&mut decoder, &mut parameters)?;
                None
            }
            Some(wanted) => Some(adapt(folder, &mut decoder, taken.as_ref(), wanted, &opened.base, &mut parameters)?),
        };
        let model = Model::from_parts(decoder, tokenizer, &opened);
        let ModelFolder { config_json: config, tokenizer: path, .. } = opened;
        Ok(Self { model, parameters, adapter, config, tokenizer: path, writer: None, next_seed: Cell::new(0) })
    }

    fn load_reading(folder: &Path, options: &LoadOptions, wanted: &AdapterOptions) -> Result<Self, LoadError> {
        match ReadingFolder::open(folder, options)? {
            Some(from) => {
                let writer = Model::writer_of(&from, options)?;
                Self::on_writer(folder, writer, from.stack, Some(&from.adapter), wanted)
            }
            None => {
                let stack = Stack::on(folder, options)?;
                let writer = Model::from_folder(&stack.writer, options)?;
                Self::on_writer(folder, writer, stack, None, wanted)
            }
        }
    }

    /// Trains the reading of what `writer` writes. The adapter's pairs are beside the writer's own tensors, which are not copied.
    fn on_writer(folder: &Path, writer: Model, stack: Stack, from: Option<&Adapter>, wanted: &AdapterOptions) -> Result<Self, LoadError> {
        let mut decoder = stack.decoder(writer.decoder())?;
        let mut parameters = Vec::new();
        let adapter = adapt(folder, &mut decoder, from, wanted, &stack.writer.base, &mut parameters)?;
        let model = Model::on_writer(writer, decoder, &stack)?;
        let ModelFolder { config_json: config, tokenizer, .. } = stack.writer;
        let writer = Some(stack.writer_folder);
        Ok(Self { model, parameters, adapter: Some(adapter), config, tokenizer, writer, next_seed: Cell::new(0) })
    }

    /// The model with its current weights. Its identity is that of the folder it was loaded from.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Sets what the saved `memory` block says in place of withheld answers: what the model is trained to say where the references do not
    /// tell.
    pub fn set_no_answer(&mut self, sentence: String) {
        self.model.set_no_answer(sentence);
    }

    /// The number of trained values.
    pub fn learnt(&self) -> usize {
        self.parameters.iter().map(|parameter| parameter.master.numel()).sum()
    }

    /// Sets all gradients to zero.
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

    /// Sets the seed from which the next writes draw their [noise](super::WriteOptions::noise).
    pub fn seed(&self, seed: u64) {
        self.next_seed.set(seed);
    }

    /// Seeds libtorch's generator for the next write.
    pub(super) fn drawing(&self) -> MutexGuard<'static, ()> {
        let seed = self.next_seed.get();
        // Another write in the same step draws other numbers.
        self.next_seed.set(seed.wrapping_add(0x9E37_79B9_7F4A_7C15));
        drawing(seed)
    }
}

/// Seeds libtorch's generator, of which a process has one. While the guard is held, draws depend on `seed` alone.
pub(crate) fn drawing(seed: u64) -> MutexGuard<'static, ()> {
    static DRAWING: Mutex<()> = Mutex::new(());
    let guard = DRAWING.lock().unwrap_or_else(PoisonError::into_inner);
    tch::manual_seed(seed as i64);
    guard
}

/// Makes all weights parameters.
fn train_all(decoder: &mut Decoder, parameters: &mut Vec<Parameter>) -> Result<(), TchError> {
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

/// Adds an adapter's pairs of matrices to the weights of the base, and makes them parameters.
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
        return Err(refuse("rank", format!("{}, the rank of the adapter that is trained further", adapter.rank), wanted.rank.to_string()));
    }
    let (precision, device) = (decoder.precision(), decoder.device);
    let known: Vec<_> =
        decoder.layers.iter().flat_map(|l| l.linears()).flat_map(|l| &l.parts).map(|p| module(&p.name).to_owned()).collect();
    if let Some(target) = wanted.targets.iter().find(|target| !known.contains(target)) {
        return Err(refuse("targets", "names such as q_proj or down_proj".into(), target.clone()));
    }
    let scale = from.map_or(wanted.alpha / f64::from(wanted.rank), |adapter| adapter.scale);
    // Layers and projections come in a fixed order, so the random numbers are reproducible.
    let _drawing = drawing(wanted.seed);
    let mut weights = BTreeSet::new();
    for layer in &mut decoder.layers {
        for linear in layer.linears_mut() {
            let columns = linear.weight.size().get(1).copied().unwrap_or_default();
            for Projection { name, rows, low_rank } in &mut linear.parts {
                let pair = match from {
                    Some(adapter) => adapter.pair(&format!("{name}.weight"), &[*rows, columns], device)?,
                    None if wanted.targets.is_empty() || wanted.targets.iter().any(|t| t == module(name)) => {
                        Some(fresh(wanted.rank.into(), *rows, columns, device)?)
                    }
                    None => None,
                };
                let Some((a, b)) = pair else { continue };
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
        targets: targets(&weights, decoder.layers.len()),
    })
}

/// A new pair, which changes nothing yet: A is uniform as in PEFT, B is zero.
fn fresh(rank: i64, rows: i64, columns: i64, device: Device) -> Result<(Tensor, Tensor), TchError> {
    let bound = (columns as f64).sqrt().recip();
    // Drawn on the CPU, so that every device gets the same numbers.
    let a = Tensor::f_empty([rank, columns], (Kind::Float, Device::Cpu))?.f_uniform_(-bound, bound)?.f_to_device(device)?;
    Ok((a, Tensor::f_zeros([rows, rank], (Kind::Float, device))?))
}

/// `target_modules` of an adapter that changes these weights: the last parts of the modules' names where all layers have the module,
/// else the whole names.
fn targets(weights: &BTreeSet<String>, layers: usize) -> Vec<String> {
    let modules = || weights.iter().filter_map(|weight| weight.strip_suffix(".weight"));
    let everywhere = |last: &str| modules().filter(|name| module(name) == last).count() == layers;
    let targets: BTreeSet<&str> = modules().map(|name| Some(module(name)).filter(|last| everywhere(last)).unwrap_or(name)).collect();
    targets.into_iter().map(str::to_owned).collect()
}

/// The last part of a module's name, as `q_proj`.
fn module(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}
