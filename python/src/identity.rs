//! What a pack says of the model and the embedder that it was built with.

use mempack_format::{EmbedderIdentity as FormatEmbedder, MemoryShape as FormatShape, ModelIdentity as FormatModel};
use numpy::{PyArray1, PyArray2, PyArrayMethods as _};
use pyo3::prelude::*;

/// The shape of a pack's memories.
#[pyclass(frozen, module = "mempack")]
pub struct MemoryShape {
    shape: FormatShape,
}

#[pymethods]
impl MemoryShape {
    /// Memory layers.
    #[getter]
    fn layers(&self) -> u32 {
        self.shape.layers
    }

    /// Key-value heads of a layer.
    #[getter]
    fn heads(&self) -> u32 {
        self.shape.heads
    }

    /// Most tokens that a head keeps.
    #[getter]
    fn tokens(&self) -> u32 {
        self.shape.tokens
    }

    /// Dimensions of a key or a value.
    #[getter]
    fn head_dim(&self) -> u32 {
        self.shape.head_dim
    }

    /// `[layers, heads]`, uint8: tokens that each head keeps of a reference that has as many.
    #[getter]
    fn counts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray2<u8>>> {
        let counts: Vec<u8> = self.shape.slots_of_heads().map(|slots| u8::try_from(slots.len()).unwrap_or(u8::MAX)).collect();
        PyArray1::from_vec(py, counts).reshape([self.shape.layers as usize, self.shape.heads as usize])
    }

    fn __repr__(&self) -> String {
        let FormatShape { layers, heads, tokens, head_dim, .. } = &self.shape;
        format!("MemoryShape(layers={layers}, heads={heads}, tokens={tokens}, head_dim={head_dim})")
    }
}

/// What memories depend on in the model that wrote them. Digests are in hexadecimal.
#[pyclass(frozen, module = "mempack", get_all)]
pub struct ModelIdentity {
    name: String,
    weights: String,
    adapter: Option<String>,
    config: String,
    tokenizer: String,
    layers: u32,
    first_memory_layer: u32,
    query_heads: u32,
    shape: Py<MemoryShape>,
    rope_base: f64,
    prefix_ids: Vec<u32>,
    reference_length: u32,
    reference_template: String,
    selection: String,
}

impl ModelIdentity {
    pub fn of(py: Python<'_>, model: &FormatModel) -> PyResult<Self> {
        Ok(Self {
            name: model.name.clone(),
            weights: model.weights.to_string(),
            adapter: model.adapter.map(|digest| digest.to_string()),
            config: model.config.to_string(),
            tokenizer: model.tokenizer.to_string(),
            layers: model.layers,
            first_memory_layer: model.first_memory_layer,
            query_heads: model.query_heads,
            shape: Py::new(py, MemoryShape { shape: model.shape.clone() })?,
            rope_base: model.rope_base,
            prefix_ids: model.prefix_ids.clone(),
            reference_length: model.reference_length,
            reference_template: model.reference_template.clone(),
            selection: model.selection.clone(),
        })
    }
}

#[pymethods]
impl ModelIdentity {
    fn __repr__(&self) -> String {
        let Self { name, layers, first_memory_layer, shape, .. } = self;
        let shape = shape.get().__repr__();
        format!("ModelIdentity(name={name:?}, layers={layers}, first_memory_layer={first_memory_layer}, shape={shape})")
    }
}

/// What embeddings depend on in the embedder.
#[pyclass(frozen, module = "mempack", get_all)]
pub struct EmbedderIdentity {
    name: String,
    digest: String,
    dim: u32,
    metric: String,
    max_tokens: u32,
    /// What is put before a text that queries; empty if nothing is.
    query_prompt: String,
    /// What is put before a text that is found; empty if nothing is.
    passage_prompt: String,
}

impl EmbedderIdentity {
    pub fn of(embedder: &FormatEmbedder) -> Self {
        let prompts = embedder.prompts.clone();
        let (query_prompt, passage_prompt) = prompts.map(|prompts| (prompts.query, prompts.passage)).unwrap_or_default();
        Self {
            name: embedder.name.clone(),
            digest: embedder.digest.to_string(),
            dim: embedder.dim,
            metric: embedder.metric.clone(),
            max_tokens: embedder.max_tokens,
            query_prompt,
            passage_prompt,
        }
    }
}

#[pymethods]
impl EmbedderIdentity {
    fn __repr__(&self) -> String {
        format!("EmbedderIdentity(name={:?}, dim={}, metric={:?})", self.name, self.dim, self.metric)
    }
}
