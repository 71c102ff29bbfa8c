//! Errors as OpenAI's interface gives them: `{"error": {"message", "type", "param", "code"}}`.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use mempack_model::ComputeError;
use mempack_runtime::{AskError, OptionError};
use serde::Serialize;
use utoipa::ToSchema;

/// A request that was not answered.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiError {
    /// The status of the reply.
    pub status: StatusCode,
    /// What is wrong, and how to mend it. It says nothing of packs that the caller may not read, and no path.
    pub message: String,
    /// The field of the request that is wrong.
    pub param: Option<String>,
    /// A word for programs.
    pub code: &'static str,
    /// When to try again.
    pub retry_after: Option<Duration>,
}

/// The body of an error.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorObject,
}

/// An error in OpenAI's form.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ErrorObject {
    /// What is wrong, and how to mend it.
    pub message: String,
    /// The kind of error, such as `invalid_request_error`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The field of the request that is wrong.
    pub param: Option<String>,
    /// A word for programs.
    pub code: &'static str,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), param: None, code, retry_after: None }
    }

    /// A field with a wrong value.
    pub fn field(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..Self::new(StatusCode::BAD_REQUEST, "invalid_value", message) }
    }

    /// A field, or a value of it, that this server does not support.
    pub fn unsupported(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: "unsupported_parameter", ..Self::field(param, message) }
    }

    /// A body that is no request.
    pub fn body(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_body", message)
    }

    /// A body that is larger than allowed.
    pub fn too_large(most: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "request_too_large",
            format!("the body is larger than {most} bytes, the most that this server reads"),
        )
    }

    /// A client that did not send its request in time.
    pub fn slow(limit: Duration) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", format!("the request did not arrive within {} s", limit.as_secs()))
    }

    /// An answer that was not complete in time.
    pub fn overdue(limit: Duration) -> Self {
        let message = format!(
            "the answer was not complete after {} s, the most that this server takes; ask for fewer tokens, or try again later",
            limit.as_secs()
        );
        Self::new(StatusCode::GATEWAY_TIMEOUT, "answer_timeout", message)
    }

    /// A queue that is full.
    pub fn busy() -> Self {
        let error = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "queue_full",
            "too many requests are waiting; try again after the time in Retry-After",
        );
        Self { retry_after: Some(Duration::from_secs(1)), ..error }
    }

    /// A key that has used up its quota.
    pub fn over_quota(retry_after: Duration) -> Self {
        let error = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limit_exceeded",
            "this key has used up its quota; try again after the time in Retry-After",
        );
        Self { retry_after: Some(retry_after), ..error }
    }

    /// A server that is being started.
    pub fn starting() -> Self {
        let error =
            Self::new(StatusCode::SERVICE_UNAVAILABLE, "starting", "the server checks its packs; try again after the time in Retry-After");
        Self { retry_after: Some(Duration::from_secs(1)), ..error }
    }

    /// A server that is being stopped.
    pub fn draining() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "shutting_down", "the server is being stopped; send the request to another one")
    }

    /// A request without a valid key. It does not say what is wrong with the key.
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_api_key", "send a valid key in the header `Authorization: Bearer KEY`")
    }

    /// A request that the key does not allow.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// Something that is not there, or that the caller may not know of.
    pub fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    /// A request that conflicts with the present state.
    pub fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    /// A failure of the server.
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "the server failed; its log says why")
    }

    /// A pack that is damaged.
    pub fn damaged() -> Self {
        let message = "a pack that this request reads is damaged; the server's log says where, and `mempack repair` mends it";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "pack_damaged", message)
    }

    /// OpenAI's name of the kind of error.
    pub fn kind(&self) -> &'static str {
        match self.status {
            StatusCode::UNAUTHORIZED => "authentication_error",
            StatusCode::FORBIDDEN => "permission_error",
            StatusCode::NOT_FOUND => "not_found_error",
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        }
    }

    /// The body of the reply.
    pub fn to_body(&self) -> ErrorBody {
        let Self { message, param, code, .. } = self.clone();
        ErrorBody { error: ErrorObject { message, kind: self.kind(), param, code } }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(self.to_body())).into_response();
        if let Some(retry_after) = self.retry_after {
            // Whole seconds (RFC 9110, section 10.2.3), never less than it takes.
            let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<AskError> for ApiError {
    /// What a client is told. Details that name files are for the log.
    fn from(error: AskError) -> Self {
        match &error {
            AskError::EmptyQuestion => Self::field("messages", "the question is empty; ask something"),
            AskError::Option(OptionError { option, found, expected }) => {
                let name = if *option == "log_probabilities" { "top_logprobs" } else { option };
                Self::field(name, format!("`{name}` is {found}; expected {expected}"))
            }
            AskError::NoSystem { .. } => Self::unsupported("messages", "this model has no place for system messages; leave them out"),
            AskError::TooLong { .. } => Self { code: "context_length_exceeded", ..Self::field("messages", error.to_string()) },
            AskError::Compute(ComputeError::Budget { .. }) => {
                let message =
                    "prompt and answer need more memory than this server gives to all answers; ask for fewer tokens (`max_tokens`)";
                Self { code: "context_length_exceeded", ..Self::field("max_tokens", message) }
            }
            _ if error.is_damage() => Self::damaged(),
            _ => Self::internal(),
        }
    }
}
