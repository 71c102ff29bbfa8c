//! The models that are compared.

use mempack_model::{Embedder, Model};

/// A model with what it is compared with and what retrieves for it.
#[derive(Clone, Copy)]
pub struct Models<'a> {
    /// The model that reads memories.
    pub model: &'a Model,
    /// The base of an adapter alone ([`Model::load_base`]), for the modes that ask for it.
    pub base: Option<&'a Model>,
    /// The embedder that the pack was built with.
    pub embedder: &'a Embedder,
}
