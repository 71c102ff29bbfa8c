//! Which model and embedder to load, from the command line or by default.

use std::env;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;

use mempack_compiler::CODEBOOKS_FILE;
use mempack_model::{DeviceChoice, Embedder, LoadError, LoadOptions, MemorySource, Model, Precision, ReferenceTokenizer};
use serde_json::{Value, json};

use crate::failure::{Failure, Kind};
use crate::terminal::errln;

/// The default model's adapter and the default embedder, where set-up puts them.
const DEFAULT_MODEL: &str = "kb-samples/readers/smollm2";
const DEFAULT_EMBEDDER: &str = "models/all-MiniLM-L6-v2";

/// Which model and embedder to use, and how.
#[derive(clap::Args)]
pub struct ModelArgs {
    /// Model: a Hugging Face folder, a LoRA adapter folder, or a reading adapter folder (default: the model of `make models`)
    #[arg(long, value_name = "DIR", env = "MEMPACK_MODEL")]
    pub model: Option<PathBuf>,
    /// The base of an adapter, if its adapter_config.json does not name it
    #[arg(long, value_name = "DIR", env = "MEMPACK_BASE")]
    pub base: Option<PathBuf>,
    #[command(flatten)]
    pub embedder: EmbedderArgs,
}

/// Whose tokenizer to use.
#[derive(clap::Args)]
pub struct TokenizerArgs {
    /// Model whose tokenizer counts: a folder as for mempack build; its weights are not read (default: the model of `make models`)
    #[arg(long, value_name = "DIR", env = "MEMPACK_MODEL")]
    model: Option<PathBuf>,
    /// The base of an adapter, if its adapter_config.json does not name it
    #[arg(long, value_name = "DIR", env = "MEMPACK_BASE")]
    base: Option<PathBuf>,
}

impl TokenizerArgs {
    /// Loads the tokenizer.
    pub fn load(&self) -> Result<ReferenceTokenizer, Failure> {
        let folder = folder(self.model.as_deref(), DEFAULT_MODEL, "model", "--model")?;
        ReferenceTokenizer::load(&folder, &LoadOptions { base: self.base.clone(), ..LoadOptions::default() }).map_err(not_loaded)
    }
}

/// Which embedder to use, and on which device.
#[derive(clap::Args)]
pub struct EmbedderArgs {
    /// Embedder: a BERT or XLM-RoBERTa folder (default: the embedder of `make models`)
    #[arg(long, value_name = "DIR", env = "MEMPACK_EMBEDDER")]
    pub embedder: Option<PathBuf>,
    /// Device: auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    pub device: DeviceChoice,
}

impl ModelArgs {
    /// Loads the model in the given precision.
    pub fn load(&self, precision: Precision) -> Result<Model, Failure> {
        Model::load(&self.folder()?, &self.options(precision)).map_err(not_loaded)
    }

    /// Loads the model in the given precision, and the embedder in f32, at the same time.
    pub fn load_both(&self, precision: Precision) -> (Result<Model, Failure>, Result<Embedder, Failure>) {
        thread::scope(|scope| {
            let load = || self.embedder.load(Precision::F32);
            let embedder = thread::Builder::new().name("mempack-embedder".into()).spawn_scoped(scope, load);
            let model = self.load(precision);
            let embedder = match embedder {
                Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
                // The system gives no thread.
                Err(_) => load(),
            };
            (model, embedder)
        })
    }

    /// Loads the base without the adapter, if the model is an adapter.
    pub fn load_base(&self, precision: Precision) -> Result<Option<Model>, Failure> {
        Model::load_base(&self.folder()?, &self.options(precision)).map_err(not_loaded)
    }

    /// The codebooks that come with the model that writes, if there are any.
    pub fn codebooks(&self) -> Result<Option<PathBuf>, Failure> {
        let folder = self.folder()?;
        let writer = mempack_model::writer_folder(&folder, self.base.as_deref()).map_err(not_loaded)?;
        Ok(Some(writer.unwrap_or(folder).join(CODEBOOKS_FILE)).filter(|file| file.is_file()))
    }

    fn folder(&self) -> Result<PathBuf, Failure> {
        folder(self.model.as_deref(), DEFAULT_MODEL, "model", "--model")
    }

    fn options(&self, precision: Precision) -> LoadOptions {
        LoadOptions { precision, device: self.embedder.device, base: self.base.clone(), ..LoadOptions::default() }
    }
}

impl EmbedderArgs {
    /// Loads the embedder in the given precision.
    pub fn load(&self, precision: Precision) -> Result<Embedder, Failure> {
        let folder = folder(self.embedder.as_deref(), DEFAULT_EMBEDDER, "embedder", "--embedder")?;
        Ok(Embedder::load(&folder, &LoadOptions { precision, device: self.device, ..LoadOptions::default() })?)
    }
}

/// The failure of a model that was not loaded.
pub fn not_loaded(error: LoadError) -> Failure {
    let kind = if matches!(error, LoadError::OtherWriter { .. }) { Kind::Mismatch } else { Kind::Work };
    Failure::new(kind, error)
}

/// The reading adapter of a model, for people; `None` without one.
pub fn reader(model: &Model) -> Option<String> {
    model.reading_adapter().map(|adapter| format!("{}, {}", adapter.name, adapter.digest))
}

/// The reading adapter of a model as JSON; null without one.
pub fn reader_json(model: &Model) -> Value {
    model.reading_adapter().map_or(Value::Null, |adapter| json!({"name": adapter.name, "digest": adapter.digest.to_string()}))
}

/// Warns of a model that nothing says was trained to read memories: its answers may be nonsense, with right citations.
pub fn warn_if_untrained(model: &Model) {
    if model.memory_source() == MemorySource::Default {
        errln!(
            "warning: the model {} has no `memory` block, so it was hardly trained to read memories: its answers may make no sense, even \
             where the references are right. `mempack train` teaches a model to read",
            model.identity().name
        );
    }
}

/// Where default folders may be: the current folder, and those above the program.
pub fn roots() -> Vec<PathBuf> {
    let here = env::current_dir().unwrap_or_default();
    let program = env::current_exe().unwrap_or_default();
    std::iter::once(here.as_path()).chain(program.ancestors().skip(1).take(4)).map(Path::to_owned).collect()
}

/// The folder named, or the default under the current folder or above the program.
fn folder(named: Option<&Path>, default: &str, what: &str, option: &str) -> Result<PathBuf, Failure> {
    if let Some(path) = named {
        return Ok(path.to_owned());
    }
    roots().into_iter().find_map(|root| Some(root.join(default)).filter(|path| path.is_dir())).ok_or_else(|| {
        Failure::new(Kind::Work, format!("no {what}: {default} is neither in the current folder nor above the program; run `make models` in mempack's folder, or name one with {option} DIR"))
    })
}
