//! `mempack report`: a page about a pack.

use std::path::{Path, PathBuf};

use mempack_report::{ReportError, ReportOptions, report};

use crate::failure::{Failure, Kind};
use crate::output_file::{Contents, OutputFile};

/// Writes one HTML file that loads nothing: identity, counts, sizes by section, the loss of the codec by layer, signatures, how many tokens each
/// head keeps, and a sample of references with the tokens that were kept of them and the references nearest to them. What it shows is checked
/// against its digests.
#[derive(clap::Args)]
pub struct Args {
    /// The pack
    pack: PathBuf,
    /// The page
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// The tokenizer.json of the model that wrote the pack: marks the kept tokens in the text
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    /// Maximum number of references shown, spread over the pack
    #[arg(long, default_value_t = ReportOptions::default().references, value_name = "N")]
    references: usize,
    /// Maximum number of nearest references listed for each
    #[arg(long, default_value_t = ReportOptions::default().neighbours, value_name = "N")]
    neighbours: usize,
    /// Seed of the sample
    #[arg(long, default_value_t = ReportOptions::default().seed, value_name = "N")]
    seed: u64,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let Args { pack, output, tokenizer, references, neighbours, seed } = args;
    let inputs: Vec<&Path> = [Some(pack.as_path()), tokenizer.as_deref()].into_iter().flatten().collect();
    let target = OutputFile::check("--output", &output, Contents::Report, &inputs)?;
    let pack = super::open(&pack)?;
    let page = report(&pack, &ReportOptions { references, neighbours, seed, tokenizer }).map_err(|error| {
        let kind = match &error {
            ReportError::OtherTokenizer { .. } => Kind::Mismatch,
            error if error.is_damage() => Kind::Damaged,
            _ => Kind::Work,
        };
        Failure::new(kind, error)
    })?;
    target.write(page.as_bytes())
}
