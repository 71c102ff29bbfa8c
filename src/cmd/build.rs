//! `mempack build`: a corpus becomes a pack.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use mempack_compiler::{self as compiler, BuildError, BuildOptions, BuildReport, Drift, GraphOptions, Input, Older, Stage};
use mempack_format::{CodecSpec, DiskStorage, ReadError, SpecError};
use mempack_model::Precision;
use serde_json::json;

use crate::failure::{Failure, Kind};
use crate::folders::ModelArgs;
use crate::hints;
use crate::interrupt;
use crate::output::{bytes, quality_json, quality_lines, thousands};
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
    /// How memories are stored: F32, BF16, SQ8, PQMxB or RQMxB (M codes of B bits), another name of SPEC.md, section 9, or auto [default: that of --from, else RQ2x8,TCQ30x8]
    #[arg(long)]
    codec: Option<Codec>,
    /// With --codec auto: of the codecs whose memories have at most this many bytes, take the one that loses least of memories that it
    /// was not trained on
    #[arg(long, value_name = "N")]
    bytes_per_memory: Option<u64>,
    /// A pack of the same model to take unchanged references from; it may be the pack to write itself
    #[arg(long, value_name = "OLD")]
    from: Option<PathBuf>,
    /// Train the codec anew instead of keeping the codebooks of --from; memories are then computed again, embeddings taken
    #[arg(long, requires = "from")]
    retrain_codec: bool,
    /// References that the codec is trained on, at most
    #[arg(long, default_value_t = BuildOptions::default().sample, value_name = "N")]
    sample: usize,
    /// Refuse a codec that moves the model's predictions by more than this many nats a token (KL divergence on references that it was
    /// not trained on); what is at PACK then stays as it is
    #[arg(long, value_name = "NATS", allow_negative_numbers = true, value_parser = not_negative)]
    max_kl: Option<f64>,
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

/// What `--codec` says.
#[derive(Clone, Copy)]
enum Codec {
    Auto,
    Named(CodecSpec),
}

impl FromStr for Codec {
    type Err = SpecError;

    fn from_str(word: &str) -> Result<Self, SpecError> {
        if word == "auto" { Ok(Self::Auto) } else { word.parse().map(Self::Named) }
    }
}

/// The codec named, and the bytes within which one is to be chosen.
fn codec(args: &Args) -> Result<(Option<CodecSpec>, Option<u64>), Failure> {
    match (args.codec, args.bytes_per_memory) {
        (Some(Codec::Auto), Some(bytes)) => Ok((None, Some(bytes))),
        (Some(Codec::Auto), None) => Err(Failure::new(Kind::Usage, "--codec auto needs --bytes-per-memory N: the bytes to choose within")),
        (_, Some(_)) => Err(Failure::new(Kind::Usage, "--bytes-per-memory says within what --codec auto chooses; say --codec auto too")),
        (Some(Codec::Named(codec)), None) => Ok((Some(codec), None)),
        (None, None) => Ok((None, None)),
    }
}

pub fn run(args: Args) -> Result<(), Failure> {
    let (codec, choose_within) = codec(&args)?;
    let cancel = interrupt::flag();
    // One thread an operation, several operations at a time: results do not depend on the number of threads.
    mempack_model::set_threads(1);
    let model = args.model.load(args.precision)?;
    let embedder = args.model.embedder.load(args.precision)?;
    let inputs = args.corpus.into_iter().map(|path| if path.as_os_str() == "-" { Input::Stdin } else { Input::Path(path) }).collect();
    let from = args.from.as_deref().map(older).transpose()?;
    let options = BuildOptions {
        inputs,
        output: args.output,
        codec: codec.or(from.as_ref().map(|older| older.codec())).unwrap_or(BuildOptions::default().codec),
        choose_within,
        from,
        retrain_codec: args.retrain_codec,
        threads: args.threads,
        graph: GraphOptions { m: args.graph_m, ef_construction: args.graph_ef },
        sample: args.sample,
        max_divergence: args.max_kl,
        storage: Arc::new(DiskStorage),
    };
    let bars = Bars(Progress::new());
    let report = compiler::build(&model, &embedder, &options, &bars, cancel).map_err(|error| {
        let hint = hints::build(&error);
        Failure::new(kind(&error), error).with_hint(hint)
    })?;
    bars.0.end();
    print(&options, &report, model.identity().first_memory_layer, args.json);
    Ok(())
}

fn not_negative(word: &str) -> Result<f64, String> {
    let number: f64 = word.parse().map_err(|_| format!("{word} is no number"))?;
    if number.is_nan() || number < 0.0 { Err(format!("{word} is not 0 or more")) } else { Ok(number) }
}

/// The pack to take references from. It stays mapped until the end, although its file may be replaced by then.
fn older(path: &Path) -> Result<Arc<Older>, Failure> {
    Ok(Arc::new(Older::new(path, super::open(path)?)))
}

fn kind(error: &BuildError) -> Kind {
    match error.reason() {
        BuildError::Interrupted => Kind::Interrupted,
        BuildError::OlderIdentity { .. } | BuildError::OlderCodec { .. } | BuildError::OlderChosen { .. } => Kind::Mismatch,
        BuildError::Older { source, .. } if matches!(**source, ReadError::Damaged(_)) => Kind::Damaged,
        _ => Kind::Work,
    }
}

fn print(options: &BuildOptions, report: &BuildReport, first_layer: u32, as_json: bool) {
    let seconds: f64 = report.stages.iter().map(|(_, time)| time.as_secs_f64()).sum();
    if as_json {
        let stages: serde_json::Map<_, _> =
            report.stages.iter().map(|(stage, time)| (stage.to_string(), json!(time.as_secs_f64()))).collect();
        println!(
            "{}",
            json!({
                "pack": options.output, "id": report.id.to_string(), "bytes": report.bytes, "documents": report.documents,
                "references": report.references, "origins": report.origins, "duplicates": report.duplicates, "tokens": report.tokens,
                "encoded": report.encoded, "resumed": report.resumed, "taken": report.taken, "drift": report.drift.map(|drift| drift_json(&drift)),
                "quality": report.quality.as_ref().map(quality_json), "codec": report.codec.to_string(), "threads": options.threads, "encoding_seconds": report.encoding.as_secs_f64(),
                "seconds": seconds, "stages": stages,
            })
        );
    } else {
        if let Some(drift) = &report.drift {
            print_drift(drift);
        }
        let lines = report.quality.iter().flat_map(|quality| quality_lines(quality, first_layer));
        for (at, line) in lines.enumerate() {
            println!("{}{line}", if at == 0 { format!("codec {} loses ", report.codec) } else { "  ".to_owned() });
        }
        println!(
            "{}: {} references ({} duplicates{}) of {} documents, {} tokens, {} in {seconds:.1} s, id {}",
            options.output.display(),
            thousands(report.references),
            thousands(report.duplicates),
            origin(report),
            thousands(report.documents),
            thousands(report.tokens),
            bytes(report.bytes),
            report.id,
        );
    }
}

/// Where the references come from, if not all were computed now.
fn origin(report: &BuildReport) -> String {
    if report.taken + report.resumed == 0 {
        return String::new();
    }
    let mut parts = vec![format!("{} encoded", thousands(report.encoded))];
    for (count, how) in [(report.resumed, "kept from before the interruption"), (report.taken, "taken from the older pack")] {
        if count > 0 {
            parts.push(format!("{} {how}", thousands(count)));
        }
    }
    format!("; {}", parts.join(", "))
}

fn drift_json(drift: &Drift) -> serde_json::Value {
    let fit = |fit: &compiler::Fit| json!({ "memories": fit.memories, "keys": fit.loss.keys, "values": fit.loss.values });
    json!({ "new": fit(&drift.new), "taken": fit(&drift.taken), "ratio": drift.ratio(), "trained_on": drift.trained_on, "clear": drift.is_clear() })
}

fn print_drift(drift: &Drift) {
    let Some(ratio) = drift.ratio() else { return };
    println!(
        "kept codebooks lose {:.4} of keys and {:.4} of values of {} new memories, {:.4} and {:.4} of {} older ones{}: ratio {ratio:.2}",
        drift.new.loss.keys,
        drift.new.loss.values,
        thousands(drift.new.memories.into()),
        drift.taken.loss.keys,
        drift.taken.loss.values,
        thousands(drift.taken.memories.into()),
        if drift.trained_on { ", which they may have been trained on" } else { "" },
    );
    if drift.is_clear() {
        println!("the new texts are not like those the codebooks were trained on; --retrain-codec trains them anew");
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
