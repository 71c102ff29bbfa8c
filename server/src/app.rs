//! The routes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::Router;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa::OpenApi;

use crate::error::ApiError;
use crate::metrics::Present;
use crate::openai::{answers, embeddings, models};
use crate::request::Tracked;
use crate::state::State;
use crate::{mcp, packs, page};

/// What the service offers, for `/openapi.json`.
#[derive(OpenApi)]
#[openapi(
    info(title = "mempack", description = "Answers that are read from memory packs, with citations: OpenAI's interface and packs."),
    paths(
        answers::chat,
        answers::completions,
        embeddings::embeddings,
        models::models,
        models::model,
        packs::list,
        packs::put,
        packs::delete,
        healthz,
        readyz,
        metrics
    )
)]
struct Api;

/// All routes.
pub fn router(state: &Arc<State>, hosts: &[String]) -> Router {
    let mcp = Router::new().route_service("/mcp", mcp::service(state, hosts)).layer(from_fn_with_state(Arc::clone(state), mcp::guard));
    Router::new()
        .route("/v1/chat/completions", post(answers::chat))
        .route("/v1/completions", post(answers::completions))
        .route("/v1/embeddings", post(embeddings::embeddings))
        .route("/v1/models", get(models::models))
        .route("/v1/models/{name}", get(models::model))
        .route("/packs", get(packs::list))
        .route("/packs/{name}", put(packs::put).delete(packs::delete))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/openapi.json", get(openapi))
        .merge(page::router())
        .merge(mcp)
        .fallback(nowhere)
        .method_not_allowed_fallback(wrong_method)
        .layer(SetResponseHeaderLayer::if_not_present(header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
        .layer(SetResponseHeaderLayer::overriding(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")))
        .layer(CatchPanicLayer::custom(|_| ApiError::internal().into_response()))
        .with_state(Arc::clone(state))
}

/// Whether the process lives.
#[utoipa::path(get, path = "/healthz", tag = "Operation", responses((status = 200, description = "It does")))]
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether questions are answered.
#[utoipa::path(get, path = "/readyz", tag = "Operation", responses(
    (status = 200, description = "They are"), (status = 503, description = "They are not: the reason is in the body")))]
pub async fn readyz(Shared(state): Shared<Arc<State>>) -> (StatusCode, &'static str) {
    match () {
        () if state.engine.is_draining() => (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n"),
        () if !state.ready.load(Ordering::Acquire) => (StatusCode::SERVICE_UNAVAILABLE, "the folder of packs is being checked\n"),
        () if !state.engine.is_alive() => (StatusCode::SERVICE_UNAVAILABLE, "the engine has failed\n"),
        () => (StatusCode::OK, "ready\n"),
    }
}

/// Metrics in the text format of Prometheus. A key that is none of administration sees those of its own requests.
#[utoipa::path(get, path = "/metrics", tag = "Operation", responses((status = 200, description = "The metrics", body = String)))]
pub async fn metrics(Shared(state): Shared<Arc<State>>, headers: HeaderMap) -> Result<Response, ApiError> {
    let tracked = Tracked::look(&state, &headers, "/metrics")?;
    let caller = tracked.caller();
    let everything = !state.who.demands_keys() || caller.access.admin;
    let text = if everything {
        let packs = state.catalog.mounts().packs();
        state.metrics.all(&Present { load: state.engine.load(), cache: state.cache.statistics(), packs: &packs })
    } else {
        state.metrics.own(caller)
    };
    tracked.end(None);
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(Api::openapi())
}

async fn nowhere() -> ApiError {
    ApiError::not_found("unknown_url", "there is nothing at this address; `GET /openapi.json` lists what there is")
}

async fn wrong_method() -> ApiError {
    let message = "this address has other methods; the header `Allow` lists them";
    ApiError { status: StatusCode::METHOD_NOT_ALLOWED, code: "wrong_method", message: message.into(), ..nowhere().await }
}
