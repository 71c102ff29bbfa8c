//! The models that are compared.

use mempack_model::{Embedder, Model};

/// A model, the base model that it is compared with, and the embedder.
#[derive(Clone, Copy)]
pub struct Models<'a> {
    /// The model that reads memories.
    pub model: &'a Model,
    /// The base model of an adapter ([`Model::load_base`]), for the modes that need it.
    pub base: Option<&'a Model>,
    /// The embedder that the pack was built with.
    pub embedder: &'a Embedder,
}
