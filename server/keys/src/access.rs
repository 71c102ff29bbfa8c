//! What a request may do.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use mempack_filter::Expression;

use crate::key::{Key, PackScope};
use crate::quota::{Bucket, Quota};

/// What the holder of a key may do. Requests keep it until they end, also if the file of keys changes meanwhile.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Access {
    /// The key's name; [`Access::ANONYMOUS`] without keys.
    pub name: String,
    /// The packs that it sees.
    pub packs: PackScope,
    /// What every search obeys.
    pub filter: Option<Expression>,
    /// Whether it may mount and remove packs, and see the metrics of all.
    pub admin: bool,
    /// From when on the key is refused.
    pub expires: Option<Timestamp>,
    pub(crate) bucket: Option<Arc<Bucket>>,
}

/// A quota is used up. Nothing was taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", over(self))]
pub struct OverQuota {
    /// After which time there will be enough, if the key asks nothing else meanwhile. If the cost is more than the whole quota, its period.
    pub retry_after: Duration,
    /// The quota.
    pub quota: Quota,
    /// What was asked for.
    pub cost: u32,
}

fn over(refused: &OverQuota) -> String {
    let OverQuota { retry_after, quota, cost } = refused;
    if *cost > quota.count() {
        format!("the request costs {cost}, which is more than the key's whole quota of {quota}")
    } else {
        format!("the key's quota of {quota} is used up; try again in {} s", retry_after.as_secs_f64().ceil())
    }
}

/// Why nobody is recognised. To clients all of them are one answer, so that they do not learn which secrets were ever right; the audit
/// log tells them apart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// There is no secret.
    #[error("the request has no API key")]
    Missing,
    /// The text cannot be a secret: it is mistyped or something else.
    #[error("the API key is malformed")]
    Malformed,
    /// No key has the secret.
    #[error("nobody has the API key")]
    Unknown,
    /// The key was revoked.
    #[error("the API key {name} is revoked")]
    Revoked {
        /// Its name.
        name: String,
    },
    /// The key has expired.
    #[error("the API key {name} has expired")]
    Expired {
        /// Its name.
        name: String,
    },
}

impl Denied {
    /// One word for logs and metrics: `missing`, `malformed`, `unknown`, `revoked` or `expired`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::Revoked { .. } => "revoked",
            Self::Expired { .. } => "expired",
        }
    }

    /// The name of the key whose secret it was.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Revoked { name } | Self::Expired { name } => Some(name),
            Self::Missing | Self::Malformed | Self::Unknown => None,
        }
    }
}

impl Access {
    /// The name of everybody on a server without keys. No key can have it.
    pub const ANONYMOUS: &str = "-";

    /// What everybody may on a server without keys: all packs, no quota, no administration.
    pub fn anonymous() -> Self {
        Self { name: Self::ANONYMOUS.to_owned(), packs: PackScope::All, filter: None, admin: false, expires: None, bucket: None }
    }

    /// The same with or without administration.
    #[must_use]
    pub fn with_admin(self, admin: bool) -> Self {
        Self { admin, ..self }
    }

    pub(crate) fn of(key: &Key, bucket: Option<Arc<Bucket>>) -> Self {
        Self {
            name: key.name.as_str().to_owned(),
            packs: key.packs.clone(),
            filter: key.filter.as_ref().map(|filter| filter.expression().clone()),
            admin: key.admin,
            expires: key.expires,
            bucket,
        }
    }

    /// Whether it sees the pack of this name.
    pub fn may_read(&self, pack: &str) -> bool {
        self.packs.contains(pack)
    }

    /// The filter of a search: what the key demands and what the request asks for. Neither can widen the other.
    pub fn narrow(&self, asked: Option<Expression>) -> Option<Expression> {
        match (self.filter.clone(), asked) {
            (Some(own), Some(asked)) => Some(own.and(asked)),
            (own, asked) => own.or(asked),
        }
    }

    /// The key's quota.
    pub fn quota(&self) -> Option<Quota> {
        self.bucket.as_deref().map(Bucket::quota)
    }

    /// Takes `cost` requests out of the key's quota: all or none.
    ///
    /// # Errors
    /// If it has not so many left.
    pub fn take(&self, cost: u32) -> Result<(), OverQuota> {
        match &self.bucket {
            None => Ok(()),
            Some(bucket) => bucket.take(cost).map_err(|retry_after| OverQuota { retry_after, quota: bucket.quota(), cost }),
        }
    }
}
