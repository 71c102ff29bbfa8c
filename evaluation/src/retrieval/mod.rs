//! Retrieval alone: where the gold documents of questions are among the references found for them, without a language model.

mod figure;
mod gold;
mod measure;
mod metrics;
mod report;
mod stage;
mod strategies;
mod table;
mod tally;

pub use figure::retrieval_figure;
pub use measure::measure_retrieval;
pub use metrics::Ranks;
pub(crate) use report::first;
pub use report::{LeftOut, NotMeasured, PackName, RetrievalReport, StageDifference, StageReport, StrategyReport};
pub use stage::{CHOSEN, DEPTH, RetrievalOptions, Searched, Stage, StageFound};
