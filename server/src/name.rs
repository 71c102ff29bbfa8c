//! A name in an address.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use crate::error::ApiError;

/// The name in an address such as `/packs/NAME`, if it is UTF-8.
pub struct Name(Option<String>);

impl Name {
    /// The name.
    ///
    /// # Errors
    /// If it is not UTF-8.
    pub fn checked(self) -> Result<String, ApiError> {
        self.0.ok_or_else(|| ApiError::field("name", "the name in the address is not UTF-8"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        Ok(Self(Path::from_request_parts(parts, state).await.ok().map(|Path(name)| name)))
    }
}
