//! Trains a model as a configuration file says, and loads the result.
//!
//! ```text
//! cargo run --release -p mempack-trainer --example train -- CONFIG.toml
//! ```
//!
//! README.md, "Teaching a model to read", shows a configuration. If the run is interrupted, the same command resumes it from its last
//! checkpoint.

use std::error::Error;
use std::sync::atomic::AtomicBool;

use mempack_model::{DeviceChoice, LoadOptions, Model};
use mempack_trainer::{LogLine, TrainConfig, TrainProgress, train};

/// Prints each step.
struct Lines;

impl TrainProgress for Lines {
    fn begin(&self, what: &str, _total: Option<u64>) {
        println!("{what}");
    }

    fn advance(&self, _count: u64) {}

    fn note(&self, text: &str) {
        println!("{text}");
    }

    fn step(&self, line: &LogLine, steps: u64) {
        println!("step {} of {steps}: loss {:.3}", line.step, line.loss);
    }
}

/// Trains a model: the argument is a configuration file.
pub fn run(args: &[String]) -> Result<(), Box<dyn Error>> {
    let [config] = args else { return Err("usage: train CONFIG.toml".into()) };
    let config = TrainConfig::read(config.as_ref())?;
    // The flag stops training from another thread, after the step that runs.
    let stop = AtomicBool::new(false);
    let report = train(&config, DeviceChoice::Cpu, &Lines, &stop)?;
    println!("{}: {} steps", report.folder.display(), report.steps);

    // The folder is a Hugging Face model or a PEFT adapter, which `mempack build --model` and `mempack ask --model` take.
    let model = Model::load(&report.folder, &LoadOptions::default())?;
    println!("memory layers from {}", model.memory().first_memory_layer);
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    run(&std::env::args().skip(1).collect::<Vec<_>>())
}
