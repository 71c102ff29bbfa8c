//! `mempack build`: a corpus becomes a pack.

use std::path::PathBuf;

use mempack_compiler::{self as compiler, BuildError, BuildOptions, BuildReport, GraphOptions, Input, Stage};
use mempack_format::CodecSpec;
use mempack_model::Precision;
use serde_json::json;

use crate::failure::{Failure, Kind};
use crate::folders::ModelArgs;
use crate::interrupt;
use crate::output::{bytes, thousands};
use crate::progress::Progress;

#[derive(clap::Args)]
pub struct Args {
    /// The corpus: .txt, .md and .jsonl files, folders of them, or - for standard input
    #[arg(required = true, value_name = "CORPUS")]
    corpus: Vec<PathBuf>,
    /// The pack to write; one that is there is replaced when the new one is whole
    #[arg(short, long, value_name = "PACK")]
    output: PathBuf,
    #[command(flatten)]
    model: ModelArgs,
    /// What memories are computed in: f32 or bf16
    #[arg(long, default_value_t)]
    precision: Precision,
    /// How memories are stored: F32, BF16, SQ8, PQ<m>x<bits> or RQ<m>x<bits>
    #[arg(long, default_value_t = BuildOptions::default().codec)]
    codec: CodecSpec,
    /// References that the codec is trained on, at most
    #[arg(long, default_value_t = BuildOptions::default().sample, value_name = "N")]
    sample: usize,
    /// Threads that compute; the pack does not depend on it
    #[arg(long, default_value_t = BuildOptions::default().threads, value_name = "N")]
    threads: usize,
    /// Neighbours of a node in the search graph
    #[arg(long, default_value_t = GraphOptions::default().m)]
    graph_m: u32,
    /// Candidates looked at when a node is put into the search graph
    #[arg(long, default_value_t = GraphOptions::default().ef_construction)]
    graph_ef: u32,
    /// Print the figures of the build as one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let cancel = interrupt::flag();
    // One thread an operation, several operations at a time: results do not depend on the number of threads.
    mempack_model::set_threads(1);
    let model = args.model.load(args.precision)?;
    let embedder = args.model.embedder.load(args.precision)?;
    let inputs = args.corpus.into_iter().map(|path| if path.as_os_str() == "-" { Input::Stdin } else { Input::Path(path) }).collect();
    let options = BuildOptions {
        inputs,
        output: args.output,
        codec: args.codec,
        threads: args.threads,
        graph: GraphOptions { m: args.graph_m, ef_construction: args.graph_ef },
        sample: args.sample,
    };
    let bars = Bars(Progress::new());
    let report = compiler::build(&model, &embedder, &options, &bars, cancel).map_err(|error| {
        let kind = if matches!(error, BuildError::Interrupted) { Kind::Interrupted } else { Kind::Work };
        Failure::new(kind, error)
    })?;
    bars.0.end();
    print(&options, &report, args.json);
    Ok(())
}

fn print(options: &BuildOptions, report: &BuildReport, as_json: bool) {
    let seconds: f64 = report.stages.iter().map(|(_, time)| time.as_secs_f64()).sum();
    if as_json {
        let stages: serde_json::Map<_, _> =
            report.stages.iter().map(|(stage, time)| (stage.to_string(), json!(time.as_secs_f64()))).collect();
        println!(
            "{}",
            json!({
                "pack": options.output, "id": report.id.to_string(), "bytes": report.bytes, "documents": report.documents,
                "references": report.references, "origins": report.origins, "duplicates": report.duplicates, "tokens": report.tokens,
                "codec": options.codec.to_string(), "threads": options.threads, "seconds": seconds, "stages": stages,
            })
        );
    } else {
        println!(
            "{}: {} references ({} duplicates) of {} documents, {} tokens, {} in {seconds:.1} s, id {}",
            options.output.display(),
            thousands(report.references),
            thousands(report.duplicates),
            thousands(report.documents),
            thousands(report.tokens),
            bytes(report.bytes),
            report.id,
        );
    }
}

/// The compiler's progress on standard error.
struct Bars(Progress);

impl compiler::Progress for Bars {
    fn stage(&self, stage: Stage, total: Option<u64>) {
        self.0.begin(&stage.to_string(), "references", total);
    }

    fn advance(&self, references: u64, tokens: u64) {
        self.0.advance(references, tokens);
    }

    fn note(&self, text: &str) {
        self.0.note(text);
    }
}
