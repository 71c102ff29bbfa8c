//! Who sends a request, and what they may do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{HeaderMap, header};
use mempack_keys::{Access, Denied, KeyRing};

use crate::error::ApiError;

/// Who may send requests.
pub struct Who {
    keys: Option<KeyRing>,
    /// What callers without a key may do, on a server without keys.
    anonymous: Arc<Access>,
    /// The number of the next request.
    next: AtomicU64,
    /// What identifies this run of the server in the ids of its requests.
    run: u64,
}

/// Who sends a request.
#[derive(Clone)]
pub struct Caller {
    /// What they may do.
    pub access: Arc<Access>,
    /// Identifies the request in logs and replies.
    pub id: String,
}

impl Who {
    /// Callers must have one of these keys; without keys everybody may ask, and administer if `admin`.
    pub fn new(keys: Option<KeyRing>, admin: bool) -> Self {
        let run = getrandom::u64().unwrap_or_else(|_| std::process::id().into());
        Self { keys, anonymous: Arc::new(Access::anonymous().with_admin(admin)), next: AtomicU64::new(0), run }
    }

    /// An id for a request.
    pub fn next_id(&self) -> String {
        format!("{:016x}-{:x}", self.run, self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// What the sender of a request with these headers may do.
    ///
    /// # Errors
    /// If keys are demanded and it has no valid one.
    pub fn access(&self, headers: &HeaderMap) -> Result<Arc<Access>, Denied> {
        let Some(keys) = &self.keys else { return Ok(Arc::clone(&self.anonymous)) };
        let secret = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
            let (scheme, secret) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim())
        });
        keys.authenticate(secret.unwrap_or_default())
    }

    /// Whether keys are demanded.
    pub fn demands_keys(&self) -> bool {
        self.keys.is_some()
    }

    /// Reads the file of keys again if it has changed. A file that is not right is told, and the keys stay.
    pub fn reload(&self) {
        match self.keys.as_ref().map(KeyRing::reload) {
            Some(Ok(true)) => tracing::info!("the keys were read again"),
            Some(Err(error)) => tracing::error!(%error, "the keys stay as they were"),
            _ => {}
        }
    }
}

impl Caller {
    /// Refuses callers who may not administer.
    ///
    /// # Errors
    /// If the key is not one of administration.
    pub fn must_be_admin(&self) -> Result<(), ApiError> {
        let message = "this needs a key of administration, or a server that was started with --admin and without keys";
        if self.access.admin { Ok(()) } else { Err(ApiError::forbidden(message)) }
    }
}
