//! The write path: references/s from a corpus to a pack, on one thread, in f32 and bf16.
//!
//! ```text
//! cargo bench -p mempack-benches --bench encode                       the tiny model of the tests
//! MEMPACK_MODEL=DIR [MEMPACK_BASE=DIR] cargo bench ...                another one, such as kb-samples/readers/smollm2
//! ```
//!
//! Prints the seconds of each stage of a build before criterion's figures.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use std::{env, fs};

use criterion::{Criterion, Throughput};
use mempack_compiler::{BuildOptions, BuildReport, Input, SilentBuild, Stage, build};
use mempack_model::{Embedder, LoadOptions, Model, Precision};

/// Documents of one reference each.
const DOCUMENTS: usize = 64;

fn main() -> Result<(), Box<dyn Error>> {
    mempack_model::set_threads(1);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = |name: &str, default: &str| env::var_os(name).map_or_else(|| root.join(default), PathBuf::from);
    let (model, embedder) = (folder("MEMPACK_MODEL", "tests/fixtures/tiny"), folder("MEMPACK_EMBEDDER", "models/all-MiniLM-L6-v2"));
    if !embedder.join("model.safetensors").exists() {
        return Err(format!("no embedder in {}: run `make models`, or set MEMPACK_EMBEDDER", embedder.display()).into());
    }
    let scratch = tempfile::tempdir()?;
    let options = BuildOptions {
        inputs: vec![Input::Path(corpus(scratch.path())?)],
        output: scratch.path().join("bench.mpk"),
        threads: 1,
        ..BuildOptions::default()
    };
    let mut criterion = Criterion::default().sample_size(10).measurement_time(Duration::from_secs(20)).configure_from_args();
    let mut group = criterion.benchmark_group("build");
    for precision in [Precision::F32, Precision::Bf16] {
        let load = LoadOptions { precision, base: env::var_os("MEMPACK_BASE").map(PathBuf::from), ..LoadOptions::default() };
        let (model, embedder) = (Model::load(&model, &load)?, Embedder::load(&embedder, &load)?);
        let run = || build(&model, &embedder, &options, &SilentBuild, &AtomicBool::new(false));
        let report = run()?;
        println!("{}", summary(&report, precision));
        group.throughput(Throughput::Elements(report.references));
        group.bench_function(precision.to_string(), |bencher| bencher.iter(&run));
    }
    group.finish();
    Ok(())
}

/// Documents that all differ, of about the length of a reference.
fn corpus(folder: &Path) -> std::io::Result<PathBuf> {
    let path = folder.join("corpus.jsonl");
    let words = ["river", "bridge", "dose", "tablet", "court", "water", "north", "harbour", "letter", "winter", "stone"];
    let row = |document: usize| {
        let text: Vec<String> =
            (0..30).map(|word| format!("{} {}", words[(document * 7 + word * word) % words.len()], document + word)).collect();
        format!("{{\"id\": \"{document}\", \"title\": \"Document {document}\", \"text\": \"{}.\"}}\n", text.join(" "))
    };
    fs::write(&path, (0..DOCUMENTS).map(row).collect::<String>())?;
    Ok(path)
}

fn summary(report: &BuildReport, precision: Precision) -> String {
    let stages: Vec<String> = report.stages.iter().map(|(stage, time)| format!("{stage} {:.2} s", time.as_secs_f64())).collect();
    // Sampling writes the memories, and writing encodes them: this corpus is all sample.
    let busy = |stage: &Stage| matches!(stage, Stage::Sampling | Stage::Writing);
    let seconds: f64 = report.stages.iter().filter(|(stage, _)| busy(stage)).map(|(_, time)| time.as_secs_f64()).sum();
    format!(
        "{precision}: {} references, {} tokens: {}; {:.1} references/s, {:.0} tokens/s to write, encode and embed",
        report.references,
        report.tokens,
        stages.join(", "),
        report.references as f64 / seconds,
        report.tokens as f64 / seconds,
    )
}
