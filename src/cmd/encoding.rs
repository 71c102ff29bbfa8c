//! What `build` and `plan` share: how a corpus is read, cut and encoded, and what is said of its codec.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use mempack_compiler::{BuildError, BuildOptions, BuildProgress, GraphOptions, PreviousPack, Stage, UsedCodebooks};
use mempack_format::{CodecSpec, DiskStorage, ReadError, SpecError};
use mempack_model::Precision;

use super::corpus;
use super::cut::CutArgs;
use super::files::FileArgs;
use crate::failure::{Failure, Kind};
use crate::folders::ModelArgs;
use crate::output::quality_line;
use crate::progress::Progress;
use crate::terminal::outln;

/// How a corpus is read, cut and encoded.
#[derive(clap::Args)]
pub struct EncodingArgs {
    /// What to do if two documents have the same id
    #[arg(long, value_enum, default_value_t, value_name = "RULE")]
    pub duplicate_ids: corpus::OnDuplicate,
    #[command(flatten)]
    pub cut: CutArgs,
    #[command(flatten)]
    pub files: FileArgs,
    /// Number type that memories are computed in: f32 or bf16
    #[arg(long, default_value_t)]
    pub precision: Precision,
    /// How memories are stored: F32, BF16, SQ8, PQMxB or RQMxB (M codes of B bits), another name of SPEC.md, section 9, or auto [default: that of build --from, else RQ2x8,TCQ30x8]
    #[arg(long)]
    codec: Option<Codec>,
    /// With --codec auto: maximum bytes of a memory; the codec within it that loses least of memories that it was not trained on is taken
    #[arg(long, value_name = "N")]
    bytes_per_memory: Option<u64>,
    /// Train the codec instead of keeping the codebooks of build --from or of the model's codec.bin; memories of --from are then computed again, and
    /// only embeddings are taken
    #[arg(long)]
    pub retrain_codec: bool,
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
    /// not trained on); a file at the output is then unchanged
    #[arg(long, value_name = "NATS", allow_negative_numbers = true, value_parser = not_negative)]
    max_kl: Option<f64>,
    /// Maximum number of neighbours of a node in the search graph
    #[arg(long, default_value_t = GraphOptions::default().m)]
    graph_m: u32,
    /// Number of candidates that are examined when a node is inserted into the search graph
    #[arg(long, default_value_t = GraphOptions::default().ef_construction)]
    graph_ef: u32,
}

/// The names of the arguments above, for those that exclude them.
pub const ENCODING: [&str; 23] = [
    "duplicate_ids",
    "reference_length",
    "reference_overlap",
    "no_title",
    "text_field",
    "title_field",
    "id_field",
    "xml_rules",
    "ocr",
    "file_seconds",
    "file_memory",
    "precision",
    "codec",
    "bytes_per_memory",
    "retrain_codec",
    "any_language",
    "strict",
    "sample",
    "max_kl",
    "graph_m",
    "graph_ef",
    "corpus",
    "from",
];

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

impl EncodingArgs {
    /// The codec that is named, or the bytes within which one is chosen.
    pub fn codec(&self) -> Result<(Option<CodecSpec>, Option<u64>), Failure> {
        match (self.codec, self.bytes_per_memory) {
            (Some(Codec::Auto), Some(bytes)) => Ok((None, Some(bytes))),
            (Some(Codec::Auto), None) => {
                Err(Failure::new(Kind::Usage, "--codec auto needs --bytes-per-memory N, the maximum bytes of a memory"))
            }
            (_, Some(_)) => Err(Failure::new(Kind::Usage, "--bytes-per-memory limits what --codec auto chooses; add --codec auto")),
            (Some(Codec::Named(codec)), None) => Ok((Some(codec), None)),
            (None, None) => Ok((None, None)),
        }
    }

    /// The options of a build of `corpus`.
    pub fn options(
        &self,
        corpus: &[PathBuf],
        output: PathBuf,
        model: &ModelArgs,
        from: Option<Arc<PreviousPack>>,
        threads: usize,
    ) -> Result<BuildOptions, Failure> {
        let (codec, max_record_bytes) = self.codec()?;
        let codebooks = if self.retrain_codec { None } else { model.codebooks()? };
        let codebooks = codebooks.as_deref().map(previous).transpose()?;
        Ok(BuildOptions {
            inputs: corpus::inputs(corpus),
            duplicate_ids: self.duplicate_ids.into(),
            extraction: self.files.extraction()?,
            cut: self.cut.options(),
            output,
            codec: codec.or(from.as_ref().map(|previous| previous.codec())).unwrap_or(BuildOptions::default().codec),
            max_record_bytes,
            from,
            retrain_codec: self.retrain_codec,
            codebooks,
            any_language: self.any_language,
            strict: self.strict,
            threads,
            graph: GraphOptions { m: self.graph_m, ef_construction: self.graph_ef },
            sample: self.sample,
            max_divergence: self.max_kl,
            storage: Arc::new(DiskStorage),
        })
    }
}

fn not_negative(word: &str) -> Result<f64, String> {
    let number: f64 = word.parse().map_err(|_| format!("{word} is no number"))?;
    if number.is_nan() || number < 0.0 { Err(format!("{word} is not 0 or more")) } else { Ok(number) }
}

/// A pack to take references or codebooks from, or that of a plan. It stays mapped until the end, even if its file is replaced.
pub fn previous(path: &Path) -> Result<Arc<PreviousPack>, Failure> {
    Ok(Arc::new(PreviousPack::new(path, super::open(path)?)))
}

/// How many files of the corpus were left out, in parentheses.
pub fn skipped(files: u64) -> String {
    match files {
        0 => String::new(),
        1 => " (1 file could not be read)".into(),
        _ => format!(" ({} files could not be read)", crate::output::thousands(files)),
    }
}

/// Says that the codebooks that came with the model are used.
pub fn print_codebooks(used: &UsedCodebooks) {
    let lost =
        used.quality.as_ref().map(|quality| format!(", and lose {} of the texts that they were trained with", quality_line(quality)));
    outln!("the codebooks are those that came with the model{}; --retrain-codec trains new ones", lost.unwrap_or_default());
}

/// The compiler's progress on standard error.
pub struct Bars(pub Progress);

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

/// The kind of failure that an error of a build is.
pub fn kind(error: &BuildError) -> Kind {
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
