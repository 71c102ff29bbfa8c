//! How fast a model decodes with the memories of packs, without them, and with the texts in its prompt: by batch size, number of memories, length of
//! the question, and pack (codec).

mod cases;
mod measure;
mod plot;
mod report;

pub use cases::{Case, Reads, SpeedOptions};
pub use measure::measure_speed;
pub use plot::speed_figure;
pub use report::{SpeedReport, SpeedRow, Spread};
