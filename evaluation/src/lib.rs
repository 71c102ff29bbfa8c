//! Measures the value of memories: compares a model's answers from its weights alone, from the memories of a pack, and with the pack's
//! texts in the prompt (arXiv 2407.01178, section 6), in quality and in time.
//!
//! - [`answer_questions`] answers questions in several [modes](Mode) and scores the answers.
//! - [`choose_answers`] scores multiple-choice questions by the likelihood of the choices.
//! - [`measure_suite`] does that for suites of public benchmarks, without memories and with several numbers of them.
//! - [`measure_perplexity`] measures how well the model predicts a text.
//! - [`measure_retrieval`] measures where the gold documents of questions are among the references found, without a language model.
//! - [`measure_quality`] measures the loss of the pack's codec and compares it with the loss that the pack records.
//!
//! Each returns a report that serializes to JSON and prints as a table (its `Display`); [`figure`] draws the report on questions.
//!
//! Each mode is a [`Session`](mempack_runtime::Session) that reads from what its [`ReadFrom`](mempack_runtime::ReadFrom) names: the program
//! that `ask` runs. So retrieval is the session's: memories are retrieved chunk by chunk, and texts with the whole question. The hit rates
//! ([`QuestionReport::hit_at`]) come from one more retrieval with the whole question. References that repeat the question are
//! [filtered out](overlap). The measurements work with any pack and the model that built it.
//!
//! ```no_run
//! use std::{ops::ControlFlow, path::Path, sync::Arc};
//!
//! use mempack_evaluation::{Models, QuestionOptions, answer_questions, read_questions};
//! use mempack_model::{Embedder, LoadOptions, Model};
//! use mempack_runtime::{MappedPack, Mounts, Ranking, Strategy};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let model = Model::load(Path::new("model"), &LoadOptions::default())?;
//! let embedder = Embedder::load(Path::new("embedder"), &LoadOptions::default())?;
//! let mounts = Arc::new(Mounts::of(MappedPack::open("corpus.mpk")?));
//! let questions = read_questions(Path::new("questions.jsonl"))?;
//! let models = Models { model: &model, base: None, embedder: &embedder, ranking: Ranking::default(), strategy: Strategy::TOP_K, reranking: None };
//! let report = answer_questions(&models, &mounts, &questions, &QuestionOptions::default(), &mut |question| {
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
mod choice_question;
mod choices;
mod contender;
mod error;
mod figure;
mod lane;
mod library;
mod likelihood;
mod metrics;
mod mode;
mod models;
mod options;
mod outcome;
mod panel;
mod parameters;
mod perplexity;
mod quality;
mod question;
mod report;
mod retrieval;
mod rows;
mod scatter;
mod segments;
mod selective;
mod speed;
mod suite;
mod table;
mod tally;

pub use answering::answer_questions;
pub use bootstrap::{Interval, interval};
pub use choice_question::{ChoiceQuestion, ChoiceScores, read_choices};
pub use choices::{ChoiceOptions, ChoiceReport, Chosen, choose_answers};
pub use contender::{Setting, Thousandths, TokensKept};
pub use error::EvaluateError;
pub use figure::figure;
pub use mempack_figure::Drawing;
pub use mempack_model::{DEFAULT_OVERLAP, overlap};
pub use mempack_questions::{Question, read_questions};
pub use metrics::{Score, Words, abstains, novel_share, score};
pub use mode::{Mode, UnknownMode};
pub use models::{ModelName, Models, ReaderName, RerankerName, Retrieving};
pub use options::{QuestionOptions, Sweep, UnknownSweep};
pub use outcome::{Asked, Outcome, Retrieved, Withheld};
pub use perplexity::{PerplexityOptions, PerplexityReport, Prediction, WindowScores, measure_perplexity, read_texts};
pub use quality::{Compared, DEVIATIONS, LayerQuality, QualityOptions, QualityReport, measure_quality};
pub use report::{Gain, ModeReport, PairedDifference, QuestionReport, SweepPoint, Sweeps, Unanswerable};
pub use retrieval::{
    CHOSEN, DEPTH, LeftOut, NotMeasured, PackName, Ranks, RetrievalOptions, RetrievalReport, Searched, Stage, StageDifference, StageFound,
    StageReport, StrategyReport, measure_retrieval, retrieval_figure,
};
pub use rows::{RowsError, evenly, read_rows};
pub use scatter::{ScatterPoints, read_points, scatter_figure};
pub use selective::{Declined, Judged, Point, Selective, choose, declined, precision_over_coverage};
pub use speed::{Case, Reads, SpeedOptions, SpeedReport, SpeedRow, Spread, measure_speed, speed_figure};
pub use suite::{
    SettingReport, Suite, SuiteAsked, SuiteChoice, SuiteOptions, SuiteReport, SuiteTask, TaskReport, UnknownSuite, measure_suite,
    read_suite,
};
