//! Where the model and the embedder are, when the command line does not say.

use std::env;
use std::path::{Path, PathBuf};

use mempack_model::{DeviceChoice, Embedder, LoadOptions, Model, Precision};

use crate::failure::{Failure, Kind};

/// The default model's adapter and the default embedder, as set-up puts them in place.
const DEFAULT_MODEL: &str = "kb-samples/reader";
const DEFAULT_EMBEDDER: &str = "models/all-MiniLM-L6-v2";

/// Which model and embedder to use, and how.
#[derive(clap::Args)]
pub struct ModelArgs {
    /// Model: a Hugging Face folder, or a LoRA adapter folder (default: the model that set-up put in place)
    #[arg(long, value_name = "DIR", env = "MEMPACK_MODEL")]
    pub model: Option<PathBuf>,
    /// The base of an adapter, where its adapter_config.json does not lead to it
    #[arg(long, value_name = "DIR", env = "MEMPACK_BASE")]
    pub base: Option<PathBuf>,
    #[command(flatten)]
    pub embedder: EmbedderArgs,
}

/// Which embedder to use, and on what.
#[derive(clap::Args)]
pub struct EmbedderArgs {
    /// Embedder: a BERT or XLM-RoBERTa folder (default: the one that set-up put in place)
    #[arg(long, value_name = "DIR", env = "MEMPACK_EMBEDDER")]
    pub embedder: Option<PathBuf>,
    /// Where to compute: auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    pub device: DeviceChoice,
}

impl ModelArgs {
    /// Load the model in the given precision.
    pub fn load(&self, precision: Precision) -> Result<Model, Failure> {
        Ok(Model::load(&self.folder()?, &self.options(precision))?)
    }

    /// Load the base of the adapter alone, if the model is one.
    pub fn load_base(&self, precision: Precision) -> Result<Option<Model>, Failure> {
        Ok(Model::load_base(&self.folder()?, &self.options(precision))?)
    }

    fn folder(&self) -> Result<PathBuf, Failure> {
        folder(self.model.as_deref(), DEFAULT_MODEL, "model", "--model")
    }

    fn options(&self, precision: Precision) -> LoadOptions {
        LoadOptions { precision, device: self.embedder.device, base: self.base.clone(), ..LoadOptions::default() }
    }
}

impl EmbedderArgs {
    /// Load the embedder in the given precision.
    pub fn load(&self, precision: Precision) -> Result<Embedder, Failure> {
        let folder = folder(self.embedder.as_deref(), DEFAULT_EMBEDDER, "embedder", "--embedder")?;
        Ok(Embedder::load(&folder, &LoadOptions { precision, device: self.device, ..LoadOptions::default() })?)
    }
}

/// The folder named, or else the default one under the current folder or above the program.
fn folder(named: Option<&Path>, default: &str, what: &str, option: &str) -> Result<PathBuf, Failure> {
    if let Some(path) = named {
        return Ok(path.to_owned());
    }
    let here = env::current_dir().unwrap_or_default();
    let program = env::current_exe().unwrap_or_default();
    let mut roots = std::iter::once(here.as_path()).chain(program.ancestors().skip(1).take(4));
    roots.find_map(|root| Some(root.join(default)).filter(|path| path.is_dir())).ok_or_else(|| {
        Failure::new(Kind::Work, format!("no {what}: neither the current folder nor those above the program hold {default}; run `make models` in mempack's folder, or name one with {option} DIR"))
    })
}
