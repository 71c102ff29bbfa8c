//! `mempack inspect --model`: what packs know a model by, and its reading adapter, which they do not know.

use std::path::PathBuf;

use mempack_model::{DeviceChoice, LoadOptions, Model, Precision};
use mempack_runtime::{IdentityMismatch, MappedPack};
use serde_json::{Value, json};

use super::identity::{model_json, print_model};
use crate::failure::{Failure, Kind};
use crate::folders::{not_loaded, reader_json};
use crate::hints;
use crate::output::thousands;
use crate::terminal::{one_line, outln};

#[derive(clap::Args)]
pub struct GivenArgs {
    /// Show what packs know this model by, and its reading adapter; with a pack, exit with code 4 if it is not the pack's
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// The base of an adapter, if its adapter_config.json does not name it
    #[arg(long, value_name = "DIR", env = "MEMPACK_BASE")]
    base: Option<PathBuf>,
}

/// The model that is shown.
pub struct Given(Model);

impl GivenArgs {
    /// Loads the model, in f32 on the CPU.
    pub fn load(&self) -> Result<Option<Given>, Failure> {
        let Some(folder) = &self.model else { return Ok(None) };
        let options =
            LoadOptions { precision: Precision::F32, device: DeviceChoice::Cpu, base: self.base.clone(), ..LoadOptions::default() };
        Ok(Some(Given(Model::load(folder, &options).map_err(not_loaded)?)))
    }
}

impl Given {
    pub fn json(&self) -> Value {
        let mut reader = reader_json(&self.0);
        if let Some(adapter) = self.0.reading_adapter() {
            reader["extra_bytes"] = json!(adapter.extra_bytes);
        }
        json!({"model": model_json(self.0.identity()), "reader": reader})
    }

    pub fn print(&self) {
        let row = |name: &str, value: &str| outln!("{name:<12} {}", one_line(value));
        let adapter = self.0.reading_adapter();
        row(if adapter.is_some() { "writer" } else { "model" }, &self.0.identity().name);
        print_model(self.0.identity());
        if let Some(adapter) = adapter {
            row("reader", &adapter.name);
            row("  digest", &adapter.digest.to_string());
            row("  holds", &format!("{} bytes beyond one set of weights, in f32", thousands(adapter.extra_bytes)));
        }
    }

    /// Refuses a pack that the model does not read.
    pub fn check(&self, pack: &MappedPack) -> Result<(), Failure> {
        IdentityMismatch::check_model(&pack.manifest().model, self.0.identity()).map_err(|error| {
            let (hint, details) = (hints::mismatch(&error), error.details());
            Failure::new(Kind::Mismatch, error).with_hint(Some(hint)).with_details(Some(details))
        })
    }
}
