//! Which memories a chunk of text reads (arXiv 2407.01178, section 3.2).
//!
//! - [`Chunks`] is chunk arithmetic: which chunk a token is in, which tokens query for it. [`Transcript`] applies it to a
//!   conversation, and leaves the prompt's template out of queries.
//! - [`Recall`] is the seam: query text in, references with similarities out. [`Retrieval`] composes it from stages: [`Embed`],
//!   [`Index`], [`Filter`], [`Rerank`] and [`Margin`]. Filter, reranker and margin can be left out.
//! - [`Strategy`] names what reranker and margin do: the most similar, the similar enough, or what is also [`Diverse`].
//!
//! This crate knows neither packs nor models: they implement its traits.
//!
//! ```
//! use std::convert::Infallible;
//!
//! use mempack_retrieval::{Embed, Hit, Index, Margin, Query, Recall, Retrieval};
//!
//! /// A vector of two letter counts.
//! struct Letters;
//!
//! impl Embed for Letters {
//!     type Error = Infallible;
//!     fn embed_queries(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, Infallible> {
//!         let count = |text: &str, letter| text.matches(letter).count() as f32;
//!         Ok(texts.iter().map(|text| vec![count(text, 'a'), count(text, 'b')]).collect())
//!     }
//! }
//!
//! /// An exact scan.
//! struct Scan(Vec<[f32; 2]>);
//!
//! impl Index for Scan {
//!     type Reference = usize;
//!     type Error = Infallible;
//!     fn nearest(&self, _: &Query<'_>, vector: &[f32], max: usize) -> Result<Vec<Hit<usize>>, Infallible> {
//!         let similarity = |own: &[f32; 2]| own[0] * vector[0] + own[1] * vector[1];
//!         let mut hits: Vec<_> = self.0.iter().map(similarity).enumerate().map(|(reference, similarity)| Hit { reference, similarity }).collect();
//!         hits.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));
//!         hits.truncate(max);
//!         Ok(hits)
//!     }
//! }
//!
//! let retrieval = Retrieval::new(Letters, Scan(vec![[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])).within(Margin::new(Some(0.5)));
//! let recalled = retrieval.recall(&[Query::new("b")], 3)?;
//! assert_eq!(recalled[0].hits.iter().map(|hit| hit.reference).collect::<Vec<_>>(), [1, 2]);
//! # Ok::<(), Infallible>(())
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod chunks;
mod diverse;
mod hit;
mod margin;
mod recall;
mod strategy;
mod transcript;

pub use chunks::Chunks;
pub use diverse::{Compare, Diverse};
pub use hit::{Hit, Recalled, Reranked};
pub use margin::Margin;
pub use recall::{AdmitAll, Embed, Filter, Index, KeepOrder, Query, Recall, Rerank, Retrieval};
pub use strategy::{Strategy, UnknownStrategy};
pub use transcript::{Transcript, Turn};
