//! Training: trainable weights, and writing and reading with gradients.
//!
//! The layers, the selection and the positions are those of inference ([`Decoder::write`](crate::Decoder::write),
//! [`Reader`](crate::Reader)). This module makes their weights trainable, reads many sequences in one batch, saves trained weights in the
//! layouts of other programs, and creates [new models](create_model).

mod adamw;
mod create;
mod distil;
mod gates;
mod learning;
mod loss;
mod new_tokenizer;
mod read;
mod save;
mod state;
#[cfg(test)]
mod tests;
mod written;

use learning::Parameter;
#[cfg(test)]
pub(crate) use learning::drawing;

pub use adamw::{AdamW, AdamWConfig};
pub use create::{CreateError, NewTokenizer, ScratchOptions, create_model};
pub use distil::DistilWeights;
pub use gates::{AllTokens, GatedLoss};
pub use learning::{AdapterOptions, Learning, Trainee};
pub use loss::{Hits, Predictions, TrainingLoss};
pub use read::Sequence;
pub use save::SaveError;
pub use state::StateError;
/// The tensors that a training objective computes its loss with.
pub use tch::Tensor;
pub use written::{WriteOptions, Written};
