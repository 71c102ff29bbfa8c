//! What memories are worth: a model's answers from its weights alone, from the memories of a pack and with the same texts in its
//! prompt, side by side (arXiv 2407.01178, section 6), and what a user gains in time.
//!
//! - [`answer_questions`] answers a file of questions in several [modes](Mode) and scores the answers;
//! - [`choose_answers`] lets the model choose among given answers by their likelihood;
//! - [`measure_perplexity`] says how well it predicts a text;
//! - [`measure_quality`] says what the pack's codec loses, and whether that is worse than the pack says.
//!
//! Each gives a report that is written as JSON, printed as a table (its `Display`) and drawn as a [`figure`]. Retrieval happens once
//! a question and is the same for all modes; references that repeat the question are [left out](overlap). It works with any model
//! and pack that belong together.
//!
//! ```no_run
//! use std::{ops::ControlFlow, path::Path, sync::Arc};
//!
//! use mempack_evaluation::{Models, QuestionOptions, answer_questions, read_questions};
//! use mempack_model::{Embedder, LoadOptions, Model};
//! use mempack_runtime::MappedPack;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let model = Model::load(Path::new("model"), &LoadOptions::default())?;
//! let embedder = Embedder::load(Path::new("embedder"), &LoadOptions::default())?;
//! let pack = Arc::new(MappedPack::open("corpus.mpk")?);
//! let questions = read_questions(Path::new("questions.jsonl"))?;
//! let models = Models { model: &model, base: None, embedder: &embedder };
//! let report = answer_questions(&models, &pack, &questions, &QuestionOptions::default(), &mut |question| {
//!     println!("{}: {}", question.id, question.outcomes[0].answer);
//!     ControlFlow::Continue(())
//! })?;
//! print!("{report}");
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod answering;
mod bootstrap;
mod choices;
mod contender;
mod error;
mod figure;
mod library;
mod likelihood;
mod metrics;
mod mode;
mod models;
mod options;
mod outcome;
mod perplexity;
mod quality;
mod question;
mod report;
mod rows;
mod table;
mod tally;

pub use answering::answer_questions;
pub use bootstrap::{Interval, interval};
pub use choices::{ChoiceOptions, ChoiceQuestion, ChoiceReport, ChoiceScores, Chosen, choose_answers, read_choices};
pub use contender::{Setting, Thousandths};
pub use error::EvaluateError;
pub use figure::figure;
pub use mempack_model::{DEFAULT_OVERLAP, overlap};
pub use mempack_questions::{Question, read_questions};
pub use metrics::{Score, Words, abstains, novel_share, score};
pub use mode::{Mode, UnknownMode};
pub use models::Models;
pub use options::{QuestionOptions, Sweep, UnknownSweep};
pub use outcome::{Asked, Outcome, Retrieved};
pub use perplexity::{PerplexityOptions, PerplexityReport, Prediction, WindowScores, measure_perplexity, read_texts};
pub use quality::{Compared, DEVIATIONS, LayerQuality, QualityOptions, QualityReport, measure_quality};
pub use report::{Gain, ModeReport, PairedDifference, QuestionReport, SweepPoint, Sweeps, Unanswerable};
pub use rows::{RowsError, evenly, read_rows};
