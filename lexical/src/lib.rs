//! Lexical retrieval: the [terms](terms) of a text, an [inverted index](TermCounts) over them, and [BM25](Bm25).
//!
//! Nothing here knows packs. `format-spec` stores an index, `compiler` builds it, `runtime` searches it.
#![forbid(unsafe_code)]

mod analysis;
mod bm25;
mod index;
mod stop_words;

pub use analysis::{ANALYSIS, terms};
pub use bm25::{Bm25, Corpus};
pub use index::{Posting, TermCounts};
