//! The endpoints `/v1/models` and `/v1/models/NAME`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State as Shared;
use axum::http::HeaderMap;
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::name::Name;
use crate::request::Tracked;
use crate::state::State;

/// A model that is served.
#[derive(Serialize, ToSchema)]
pub struct ServedModel {
    /// Its name.
    id: String,
    /// `model`.
    object: &'static str,
    /// When the server started, in seconds since 1970.
    created: u64,
    /// `mempack`.
    owned_by: &'static str,
    /// What it does: `answers` or `embeddings`.
    #[serde(rename = "mempack_role")]
    role: &'static str,
}

/// The models that are served.
#[derive(Serialize, ToSchema)]
pub struct Models {
    /// `list`.
    object: &'static str,
    /// The models.
    data: Vec<ServedModel>,
}

fn served(state: &State) -> Vec<ServedModel> {
    let model = |id: &str, role| ServedModel { id: id.to_owned(), object: "model", created: state.started, owned_by: "mempack", role };
    vec![model(state.model.name(), "answers"), model(&state.embedder.name, "embeddings")]
}

/// Lists the model that answers and the embedder.
///
/// # Errors
/// A caller without a valid key.
#[utoipa::path(get, path = "/v1/models", tag = "OpenAI", responses((status = 200, description = "The models", body = Models)))]
pub async fn models(Shared(state): Shared<Arc<State>>, headers: HeaderMap) -> Result<Json<Models>, ApiError> {
    Tracked::look(&state, &headers, "/v1/models")?.end(None);
    Ok(Json(Models { object: "list", data: served(&state) }))
}

/// Shows a model.
///
/// # Errors
/// A caller without a valid key, or a model that is not served.
#[utoipa::path(get, path = "/v1/models/{name}", tag = "OpenAI", params(("name" = String, Path, description = "Its name")),
    responses((status = 200, description = "The model", body = ServedModel),
              (status = 404, description = "It is not served", body = crate::error::ErrorBody)))]
pub async fn model(Shared(state): Shared<Arc<State>>, headers: HeaderMap, name: Name) -> Result<Json<ServedModel>, ApiError> {
    let name = name.checked()?;
    Tracked::look(&state, &headers, "/v1/models")?.end(None);
    let found = served(&state).into_iter().find(|model| model.id == name);
    found.map(Json).ok_or_else(|| ApiError::not_found("model_not_found", format!("the model `{name}` is not served here")))
}
