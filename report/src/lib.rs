//! A page about a memory pack: one HTML file without scripts, for people who want to know what is in a pack.
//!
//! The page has the identity of model and embedder, counts, the sizes of all sections, what the codec loses, the signatures, how many tokens
//! each head keeps, and a sample of references: where they come from, which of their tokens were kept at which heads, and the references
//! nearest to them. It loads nothing, and everything that a pack says is escaped: no pack can put markup into it.
//!
//! What the page shows is compared with its digest first, as [`MappedPack`] does; sections of which it shows only the size are not read.
//!
//! ```no_run
//! use mempack_report::{ReportOptions, report};
//! use mempack_runtime::MappedPack;
//!
//! # let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../format-spec/tests/golden/v1.5.mpk");
//! let pack = MappedPack::open(golden)?;
//! let page = report(&pack, &ReportOptions { references: 3, ..ReportOptions::default() })?;
//! assert!(page.starts_with(mempack_report::FIRST_LINE));
//! assert_eq!(page.matches("<details>").count(), 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod codec;
mod error;
mod facts;
mod heat;
mod html;
mod metadata;
mod page;
mod references;
mod sample;
mod sizes;
mod token_text;
#[cfg(feature = "tokenizer")]
mod tokens;
mod words;

#[cfg(feature = "tokenizer")]
use std::path::PathBuf;

use mempack_runtime::MappedPack;

pub use error::ReportError;
pub use metadata::{FieldRow, metadata_fields};
pub use page::FIRST_LINE;
pub use words::{bytes, code_bytes, kept, quality_line, signers, thousands};

/// What a report shows beyond what every pack has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportOptions {
    /// References shown, at most: spread over the pack and chosen by `seed`.
    pub references: usize,
    /// References listed as nearest to each, at most.
    pub neighbours: usize,
    /// Seed of the sample.
    pub seed: u64,
    /// The tokenizer.json of the model that wrote the pack. With it the kept tokens are marked in the text, else by their numbers.
    #[cfg(feature = "tokenizer")]
    pub tokenizer: Option<PathBuf>,
}

impl Default for ReportOptions {
    fn default() -> Self {
        Self {
            references: 20,
            neighbours: 5,
            seed: 0,
            #[cfg(feature = "tokenizer")]
            tokenizer: None,
        }
    }
}

/// The page about a pack, as the text of an HTML file.
///
/// It is the same for the same file and options. Its size grows with the references shown, not with the pack: about 10 KB a reference with its
/// nearest ones.
///
/// # Errors
/// If something that is shown is damaged; if the tokenizer cannot be read, or is not the one that wrote the pack.
pub fn report(pack: &MappedPack, options: &ReportOptions) -> Result<String, ReportError> {
    #[cfg(feature = "tokenizer")]
    let tokens = options.tokenizer.as_deref().map(|path| tokens::Tokens::load(path, &pack.manifest().model)).transpose()?;
    #[cfg(feature = "tokenizer")]
    let tokens = tokens.as_ref().map(|tokens| tokens as &dyn token_text::Divide);
    #[cfg(not(feature = "tokenizer"))]
    let tokens = None;
    let fields = metadata_fields(pack).map_err(|source| ReportError::read(pack, source))?;
    let sample = sample::Sample::read(pack, options.references, options.neighbours, options.seed, tokens)?;
    Ok(page::write(pack, &fields, &sample))
}
