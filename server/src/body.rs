//! Reads bodies within limits of size and time.

use axum::body::{Body, Bytes};
use axum::http::{Request, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::Value;

use crate::error::ApiError;
use crate::state::Limits;

/// The JSON value of a body.
///
/// # Errors
/// A body that is too large, does not arrive in time, is not UTF-8, or is not JSON.
pub async fn json(request: Request<Body>, limits: &Limits) -> Result<Value, ApiError> {
    let bytes = bytes(request, limits).await?;
    serde_json::from_slice(&bytes).map_err(|error| ApiError::body(format!("the body is not JSON in UTF-8: {error}")))
}

/// The bytes of a body.
///
/// # Errors
/// A body that is too large, or does not arrive in time.
pub async fn bytes(request: Request<Body>, limits: &Limits) -> Result<Bytes, ApiError> {
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if let Some(length) = announced.filter(|length| *length > limits.body as u64) {
        // Many clients read no reply before all is sent. What is a little too large is let in for them, and thrown away.
        if length <= 2 * limits.body as u64 {
            let thrown_away = discard(request.into_body());
            if tokio::time::timeout(limits.receive, thrown_away).await.is_err() {
                return Err(ApiError::slow(limits.receive));
            }
        }
        return Err(ApiError::too_large(limits.body));
    }
    let body = Limited::new(request.into_body(), limits.body).collect();
    match tokio::time::timeout(limits.receive, body).await {
        Err(_) => Err(ApiError::slow(limits.receive)),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ApiError::too_large(limits.body)),
        Ok(Err(_)) => Err(ApiError::body("the body is not complete")),
        Ok(Ok(body)) => Ok(body.to_bytes()),
    }
}

/// Reads a body to its end, or to where it breaks off, and keeps nothing.
async fn discard(mut body: Body) {
    while let Some(Ok(_)) = body.frame().await {}
}
