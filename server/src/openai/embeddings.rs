//! The endpoint `/v1/embeddings`.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State as Shared;
use axum::http::Request;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use mempack_model::{ComputeError, EmbedAs};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::fields::Fields;
use crate::body;
use crate::error::ApiError;
use crate::request::Tracked;
use crate::state::State;

const KNOWN: [&str; 6] = ["model", "input", "encoding_format", "dimensions", "input_type", "user"];

/// A request to `/v1/embeddings`.
#[derive(Deserialize, ToSchema)]
pub struct EmbeddingRequest {
    /// The name of the embedder; the one that is served if it is left out.
    model: Option<String>,
    /// A text, or a list of texts.
    input: Input,
    /// `float`, the default, or `base64`: little-endian 32-bit floats.
    encoding_format: Option<Encoding>,
    /// Must be the embedder's number of dimensions.
    dimensions: Option<usize>,
    /// Whether texts are embedded as passages, the default, or as queries. Embedders with prompts tell the two apart.
    #[serde(default)]
    input_type: InputType,
    /// A name for the end user. It affects nothing.
    #[expect(dead_code, reason = "accepted so that clients may send it")]
    user: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
enum Input {
    One(String),
    Many(Vec<String>),
}

#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    Float,
    Base64,
}

#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum InputType {
    #[default]
    Passage,
    Query,
}

/// Embeddings.
#[derive(Serialize, ToSchema)]
pub struct Embeddings {
    /// `list`.
    object: &'static str,
    /// One for each text, in their order.
    data: Vec<Embedding>,
    /// The embedder.
    model: String,
    /// Numbers of tokens.
    usage: EmbeddingUsage,
}

/// The embedding of a text.
#[derive(Serialize, ToSchema)]
pub struct Embedding {
    /// `embedding`.
    object: &'static str,
    /// The text's place.
    index: usize,
    /// A unit vector.
    embedding: Vector,
}

#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum Vector {
    Numbers(Vec<f32>),
    Base64(String),
}

/// Numbers of tokens.
#[derive(Serialize, ToSchema)]
struct EmbeddingUsage {
    prompt_tokens: usize,
    total_tokens: usize,
}

/// Embeds texts with the embedder of the packs.
#[utoipa::path(post, path = "/v1/embeddings", request_body = EmbeddingRequest, tag = "OpenAI",
    responses((status = 200, description = "The embeddings", body = Embeddings),
              (status = "4XX", description = "A request that is refused", body = crate::error::ErrorBody)))]
pub async fn embeddings(Shared(state): Shared<Arc<State>>, request: Request<Body>) -> Response {
    let tracked = match Tracked::begin(&state, request.headers(), "/v1/embeddings") {
        Ok(tracked) => tracked,
        Err(error) => return error.into_response(),
    };
    let embedded = embed(&state, request).await;
    tracked.end(embedded.as_ref().err());
    embedded.map_or_else(IntoResponse::into_response, |embeddings| Json(embeddings).into_response())
}

async fn embed(state: &State, request: Request<Body>) -> Result<Embeddings, ApiError> {
    let value = body::json(request, &state.limits).await?;
    let tokens = |list: &Vec<serde_json::Value>| list.iter().any(|item| !item.is_string());
    if value.get("input").and_then(serde_json::Value::as_array).is_some_and(tokens) {
        return Err(ApiError::unsupported("input", "`input` must be a text or a list of texts; token ids are not supported"));
    }
    let EmbeddingRequest { model, input, encoding_format, dimensions, input_type, .. } = Fields::of(value, &[&KNOWN])?.part()?;
    let texts = match input {
        Input::One(one) => vec![one],
        Input::Many(many) => many,
    };
    let most = state.limits.embeddings;
    if texts.is_empty() || texts.len() > most {
        return Err(ApiError::field("input", format!("`input` has {} texts; expected 1 to {most}", texts.len())));
    }
    if texts.iter().any(|text| text.trim().is_empty()) {
        return Err(ApiError::field("input", "`input` has an empty text"));
    }
    let (name, dim) = (state.embedder.name.clone(), state.embedder.dim);
    if let Some(other) = model.filter(|other| *other != name) {
        let message = format!("the embedder `{other}` is not served here; `{name}` is");
        return Err(ApiError { param: Some("model".into()), ..ApiError::not_found("model_not_found", message) });
    }
    if let Some(other) = dimensions.filter(|other| *other != dim) {
        return Err(ApiError::unsupported("dimensions", format!("`dimensions` is {other}; `{name}` has {dim}")));
    }
    let embed_as = match input_type {
        InputType::Passage => EmbedAs::Passage,
        InputType::Query => EmbedAs::Query,
    };
    let work = move |tools: &crate::searcher::Tools| -> Result<(Vec<f32>, usize), ComputeError> {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let mut tokens = 0;
        for text in &texts {
            tokens += tools.embedder.tokens(embed_as, text)?.len();
        }
        Ok((tools.embedder.embed(embed_as, &texts)?, tokens))
    };
    let (vectors, tokens) = state.searcher.run(work).await?.map_err(|error| {
        tracing::error!(%error, "texts cannot be embedded");
        ApiError::internal()
    })?;
    let vector = |numbers: &[f32]| match encoding_format.unwrap_or(Encoding::Float) {
        Encoding::Float => Vector::Numbers(numbers.to_vec()),
        Encoding::Base64 => {
            let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            Vector::Base64(BASE64_STANDARD.encode(bytes))
        }
    };
    let data = vectors.chunks(dim.max(1)).enumerate();
    let data = data.map(|(index, numbers)| Embedding { object: "embedding", index, embedding: vector(numbers) }).collect();
    Ok(Embeddings { object: "list", data, model: name, usage: EmbeddingUsage { prompt_tokens: tokens, total_tokens: tokens } })
}
