//! `mempack build`: a corpus becomes a pack.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use mempack_compiler::{self as compiler, BuildError, BuildOptions, BuildProgress, BuildReport, Drift, GraphOptions, PreviousPack, Stage};
use mempack_format::{CodecSpec, DiskStorage, ModelIdentity, ReadError, SpecError};
use mempack_model::Precision;
use mempack_runtime::quality_json;
use serde_json::json;

use super::corpus;
use super::cut::CutArgs;
use super::files::FileArgs;
use crate::failure::{Failure, Kind};
use crate::folders::{self, ModelArgs};
use crate::hints;
use crate::interrupt;
use crate::output::{bytes, quality_line, quality_lines, thousands};
use crate::outputs;
use crate::progress::Progress;
use crate::terminal::{self, outln};

#[derive(clap::Args)]
pub struct Args {
    /// The corpus: texts, PDF, HTML, Office and other documents, tables (docs/corpora.md lists them), folders of them, or - for standard input
    #[arg(required = true, value_name = "CORPUS")]
    corpus: Vec<PathBuf>,
    /// What to do if two documents have the same id
    #[arg(long, value_enum, default_value_t, value_name = "RULE")]
    duplicate_ids: corpus::OnDuplicate,
    #[command(flatten)]
    cut: CutArgs,
    #[command(flatten)]
    files: FileArgs,
    /// The pack to write; a file there is replaced when the new pack is complete
    #[arg(short, long, value_name = "PACK")]
    output: PathBuf,
    #[command(flatten)]
    model: ModelArgs,
    /// Number type that memories are computed in: f32 or bf16
    #[arg(long, default_value_t)]
    precision: Precision,
    /// How memories are stored: F32, BF16, SQ8, PQMxB or RQMxB (M codes of B bits), another name of SPEC.md, section 9, or auto [default: that of --from, else RQ2x8,TCQ30x8]
    #[arg(long)]
    codec: Option<Codec>,
    /// With --codec auto: maximum bytes of a memory; the codec within it that loses least of memories that it was not trained on is taken
    #[arg(long, value_name = "N")]
    bytes_per_memory: Option<u64>,
    /// A pack of the same model to take unchanged references from; it may be the pack to write
    #[arg(long, value_name = "OLD")]
    from: Option<PathBuf>,
    /// Train the codec instead of keeping the codebooks of --from or of the model's codec.bin; memories of --from are then computed again, and
    /// only embeddings are taken
    #[arg(long)]
    retrain_codec: bool,
    /// Build even if the embedder or the model does not know more than 30% of the characters of the corpus
    #[arg(long)]
    any_language: bool,
    /// Refuse a corpus with fields whose values do not keep their types: values of several kinds, lists in some documents only, or lists that
    /// hold lists or objects; and a folder with a file that cannot be read. Without it, the build names them
    #[arg(long)]
    strict: bool,
    /// Maximum number of references that the codec is trained on
    #[arg(long, default_value_t = BuildOptions::default().sample, value_name = "N")]
    sample: usize,
    /// Refuse a codec that moves the model's predictions by more than this many nats a token (KL divergence on references that it was
    /// not trained on); a file at PACK is then unchanged
    #[arg(long, value_name = "NATS", allow_negative_numbers = true, value_parser = not_negative)]
    max_kl: Option<f64>,
    /// Number of computing threads; the pack does not depend on it
    #[arg(long, default_value_t = BuildOptions::default().threads, value_name = "N", value_parser = super::threads)]
    threads: usize,
    /// Maximum number of neighbours of a node in the search graph
    #[arg(long, default_value_t = GraphOptions::default().m)]
    graph_m: u32,
    /// Number of candidates that are examined when a node is inserted into the search graph
    #[arg(long, default_value_t = GraphOptions::default().ef_construction)]
    graph_ef: u32,
    /// Print the figures of the build as one JSON object
    #[arg(long)]
    json: bool,
}

/// The value of `--codec`.
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

/// The codec that is named, or the bytes within which one is chosen.
fn codec(args: &Args) -> Result<(Option<CodecSpec>, Option<u64>), Failure> {
    match (args.codec, args.bytes_per_memory) {
        (Some(Codec::Auto), Some(bytes)) => Ok((None, Some(bytes))),
        (Some(Codec::Auto), None) => {
            Err(Failure::new(Kind::Usage, "--codec auto needs --bytes-per-memory N, the maximum bytes of a memory"))
        }
        (_, Some(_)) => Err(Failure::new(Kind::Usage, "--bytes-per-memory limits what --codec auto chooses; add --codec auto")),
        (Some(Codec::Named(codec)), None) => Ok((Some(codec), None)),
        (None, None) => Ok((None, None)),
    }
}

pub fn run(args: Args) -> Result<(), Failure> {
    let (codec, max_record_bytes) = codec(&args)?;
    let sources: Vec<&Path> = args.corpus.iter().map(PathBuf::as_path).collect();
    outputs::check_pack(&args.output, &sources)?;
    let cancel = interrupt::flag();
    // Each operation runs on one thread, several side by side, so results do not depend on the number of threads.
    mempack_model::set_threads(1);
    let model = args.model.load(args.precision)?;
    folders::warn_if_untrained(&model);
    let embedder = args.model.embedder.load(args.precision)?;
    let inputs = corpus::inputs(&args.corpus);
    let from = args.from.as_deref().map(previous).transpose()?;
    let codebooks = if args.retrain_codec { None } else { args.model.codebooks()? };
    let codebooks = codebooks.as_deref().map(previous).transpose()?;
    let options = BuildOptions {
        inputs,
        duplicate_ids: args.duplicate_ids.into(),
        extraction: args.files.extraction()?,
        cut: args.cut.options(),
        output: args.output,
        codec: codec.or(from.as_ref().map(|previous| previous.codec())).unwrap_or(BuildOptions::default().codec),
        max_record_bytes,
        from,
        retrain_codec: args.retrain_codec,
        codebooks,
        any_language: args.any_language,
        strict: args.strict,
        threads: args.threads,
        graph: GraphOptions { m: args.graph_m, ef_construction: args.graph_ef },
        sample: args.sample,
        max_divergence: args.max_kl,
        storage: Arc::new(DiskStorage),
    };
    let bars = Bars(Progress::new());
    let report = compiler::build(&model, &embedder, &options, &bars, cancel).map_err(|error| {
        let (hint, details) = (hints::build(&error), hints::build_details(&error));
        Failure::new(kind(&error), error).with_hint(hint).with_details(details)
    })?;
    bars.0.end();
    print(&options, &report, model.identity(), args.json);
    Ok(())
}

fn not_negative(word: &str) -> Result<f64, String> {
    let number: f64 = word.parse().map_err(|_| format!("{word} is no number"))?;
    if number.is_nan() || number < 0.0 { Err(format!("{word} is not 0 or more")) } else { Ok(number) }
}

/// The pack to take references or codebooks from. It stays mapped until the end, even if its file is replaced.
fn previous(path: &Path) -> Result<Arc<PreviousPack>, Failure> {
    Ok(Arc::new(PreviousPack::new(path, super::open(path)?)))
}

fn kind(error: &BuildError) -> Kind {
    match error.reason() {
        BuildError::Interrupted => Kind::Interrupted,
        BuildError::PreviousIdentity { .. }
        | BuildError::Codebooks { .. }
        | BuildError::PreviousCodec { .. }
        | BuildError::PreviousTables { .. } => Kind::Mismatch,
        BuildError::PreviousPack { source, .. } if matches!(**source, ReadError::Damaged(_)) => Kind::Damaged,
        _ => Kind::Work,
    }
}

fn print(options: &BuildOptions, report: &BuildReport, model: &ModelIdentity, as_json: bool) {
    let (first_layer, head_dim) = (model.first_memory_layer, model.shape.head_dim);
    let seconds: f64 = report.stages.iter().map(|(_, time)| time.as_secs_f64()).sum();
    if as_json {
        let stages: serde_json::Map<_, _> =
            report.stages.iter().map(|(stage, time)| (stage.to_string(), json!(time.as_secs_f64()))).collect();
        terminal::print_json(&json!({
            "pack": options.output, "id": report.id.to_string(), "bytes": report.bytes, "documents": report.documents,
            "skipped": report.skipped.len(),
            "skipped_files": report.skipped.iter().map(|(path, reason)| json!({"path": path, "reason": reason})).collect::<Vec<_>>(),
            "references": report.references, "origins": report.origins, "duplicates": report.duplicates, "tokens": report.tokens,
            "encoded": report.encoded, "resumed": report.resumed, "taken": report.taken, "drift": report.drift.map(|drift| drift_json(&drift)),
            "codebooks": report.codebooks.as_ref().map(|used| json!({"id": used.id.to_string(), "quality": used.quality.as_ref().map(quality_json)})),
            "quality": report.quality.as_ref().map(quality_json), "codec": report.codec.to_string(), "threads": options.threads, "encoding_seconds": report.encoding.as_secs_f64(),
            "seconds": seconds, "stages": stages,
        }));
    } else {
        if let Some(drift) = &report.drift {
            print_drift(drift);
        }
        let lines = report.quality.iter().flat_map(|quality| quality_lines(quality, first_layer));
        for (at, line) in lines.take(if terminal::is_verbose() { usize::MAX } else { 1 }).enumerate() {
            outln!("{}{line}", if at == 0 { format!("codec {} loses ", report.codec) } else { "  ".to_owned() });
        }
        if let Some(used) = &report.codebooks {
            outln!(
                "the codebooks are those that came with the model{}; --retrain-codec trains new ones",
                used.quality
                    .as_ref()
                    .map(|quality| format!(", and lose {} of the texts that they were trained with", quality_line(quality)))
                    .unwrap_or_default()
            );
        }
        if let Some(advice) = cheaper_codec(report, head_dim) {
            outln!("{advice}");
        }
        outln!(
            "{}: {} references ({} duplicates{}) of {} documents{}, {} tokens, {} in {seconds:.1} s, id {}",
            options.output.display(),
            thousands(report.references),
            thousands(report.duplicates),
            origin(report),
            thousands(report.documents),
            skipped(report.skipped.len() as u64),
            thousands(report.tokens),
            bytes(report.bytes),
            report.id,
        );
    }
}

/// For a small corpus whose codec took most of the time: why it did, and which codec takes none.
fn cheaper_codec(report: &BuildReport, head_dim: u32) -> Option<String> {
    /// With more references the codec's share of the time is small.
    const FEW: u64 = 5_000;
    /// Shorter builds need no advice.
    const SECONDS: f64 = 10.0;
    let time = |wanted: &dyn Fn(Stage) -> bool| -> f64 {
        report.stages.iter().filter(|(stage, _)| wanted(*stage)).map(|(_, time)| time.as_secs_f64()).sum()
    };
    let of_codec = time(&|stage| matches!(stage, Stage::Sensitivity | Stage::Training | Stage::Measuring));
    let all = time(&|_| true);
    let plain = CodecSpec::SQ8;
    if report.codec == plain || report.references >= FEW || of_codec < SECONDS || of_codec < all / 2.0 {
        return None;
    }
    let ratio = plain.code_bytes(head_dim).ok()? as f64 / report.codec.code_bytes(head_dim).ok()? as f64;
    Some(format!(
        "training and measuring the codec took {of_codec:.0} of {all:.0} s: that depends on the codec's tables, hardly on the number of \
         references. --codec {plain} has no tables to train; its memories take {ratio:.1} times the bytes"
    ))
}

/// How many files of the corpus are not in the pack.
fn skipped(files: u64) -> String {
    match files {
        0 => String::new(),
        1 => " (1 file could not be read)".into(),
        _ => format!(" ({} files could not be read)", thousands(files)),
    }
}

/// Where the references come from, if not all were computed now.
fn origin(report: &BuildReport) -> String {
    if report.taken + report.resumed == 0 {
        return String::new();
    }
    let mut parts = vec![format!("{} encoded", thousands(report.encoded))];
    for (count, how) in [(report.resumed, "kept from before the interruption"), (report.taken, "taken from the previous pack")] {
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
    outln!(
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
        outln!("the new texts differ from those the codebooks were trained on; --retrain-codec trains new codebooks");
    }
}

/// The compiler's progress on standard error.
struct Bars(Progress);

impl BuildProgress for Bars {
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
