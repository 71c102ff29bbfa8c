//! The keys of a running server.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use jiff::Timestamp;

use crate::access::{Access, Denied};
use crate::error::KeysError;
use crate::file::{Stamp, Warning};
use crate::key::Key;
use crate::keys::Keys;
use crate::quota::Bucket;
use crate::secret::{Secret, SecretHash};

/// The keys of a running server: who a secret belongs to. Threads share it; [`KeyRing::reload`] follows changes of the file.
///
/// # Time that authentication takes
///
/// Keys are looked up by the hash of the secret. How long that takes depends on the hash of what the client sent, and could at most tell a
/// client that hashes of other secrets begin like its own. From that no secret can be computed: secrets are 256 random bits, and the hash is one
/// way. What is found is compared in constant time.
pub struct KeyRing {
    held: RwLock<Arc<Held>>,
    source: Option<Mutex<Source>>,
}

/// The keys of one version of the file.
#[derive(Default)]
struct Held {
    by_hash: HashMap<SecretHash, Holder>,
    warnings: Vec<Warning>,
}

struct Holder {
    access: Arc<Access>,
    revoked: bool,
}

/// Where the keys come from.
struct Source {
    path: PathBuf,
    /// Of the file that was read last, also of one that was refused; none if there was none.
    stamp: Option<Stamp>,
    /// Of the bytes that the keys were read from.
    digest: Option<blake3::Hash>,
    /// What was wrong with the file, and was said.
    said: Option<String>,
}

impl Held {
    /// Buckets of keys that `before` has with the same quota stay as they are.
    fn new(keys: &Keys, before: &Self) -> Self {
        let buckets: HashMap<&str, &Arc<Bucket>> =
            before.by_hash.values().filter_map(|holder| Some((holder.access.name.as_str(), holder.access.bucket.as_ref()?))).collect();
        let holder = |key: &Key| {
            let bucket = key.quota.map(|quota| match buckets.get(key.name.as_str()) {
                Some(bucket) if bucket.quota() == quota => Arc::clone(bucket),
                _ => Arc::new(Bucket::new(quota)),
            });
            (key.hash, Holder { access: Arc::new(Access::of(key, bucket)), revoked: key.revoked.is_some() })
        };
        Self { by_hash: keys.list().iter().map(holder).collect(), warnings: keys.warnings().to_vec() }
    }
}

impl KeyRing {
    /// The keys of a file.
    ///
    /// # Errors
    /// As [`Keys::read`].
    pub fn open(path: &Path) -> Result<Self, KeysError> {
        let (keys, stamp) = Keys::read_stamped(path)?;
        let source = Source { path: path.to_owned(), stamp: Some(stamp), digest: keys.digest(), said: None };
        Ok(Self { source: Some(Mutex::new(source)), ..Self::of(&keys) })
    }

    /// Keys that are in no file, and never change.
    pub fn of(keys: &Keys) -> Self {
        Self { held: RwLock::new(Arc::new(Held::new(keys, &Held::default()))), source: None }
    }

    /// Who has this secret; an empty text is no secret.
    ///
    /// # Errors
    /// If there is none, or nobody who may have it.
    pub fn authenticate(&self, secret: &str) -> Result<Arc<Access>, Denied> {
        self.authenticate_at(secret, Timestamp::now())
    }

    fn authenticate_at(&self, secret: &str, now: Timestamp) -> Result<Arc<Access>, Denied> {
        if secret.is_empty() {
            return Err(Denied::Missing);
        }
        let secret: Secret = secret.parse().map_err(|_| Denied::Malformed)?;
        let held = self.held();
        let holder = held.by_hash.get(&secret.hash()).ok_or(Denied::Unknown)?;
        let name = || holder.access.name.clone();
        if holder.revoked {
            return Err(Denied::Revoked { name: name() });
        }
        if holder.access.expires.is_some_and(|expires| expires <= now) {
            return Err(Denied::Expired { name: name() });
        }
        Ok(Arc::clone(&holder.access))
    }

    fn held(&self) -> Arc<Held> {
        Arc::clone(&self.held.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many keys there are, with those that are revoked or have expired.
    pub fn len(&self) -> usize {
        self.held().by_hash.len()
    }

    /// Whether there are no keys: then nobody can authenticate.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is dangerous about the file.
    pub fn warnings(&self) -> Vec<Warning> {
        self.held().warnings.clone()
    }

    /// Reads the file again if it has changed; to be called every second or so. Returns whether it holds something else. What is left of the quota of a
    /// key stays, unless the quota is another.
    ///
    /// # Errors
    /// If the file is not right. The keys then stay as they were, and the same error is not returned again before the file was right.
    pub fn reload(&self) -> Result<bool, KeysError> {
        let Some(source) = &self.source else { return Ok(false) };
        let mut source = source.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = Stamp::at(&source.path).ok();
        if stamp == source.stamp && stamp.as_ref().is_none_or(Stamp::is_settled) {
            return Ok(false);
        }
        match Keys::read_stamped(&source.path) {
            Ok((keys, stamp)) => {
                (source.stamp, source.said) = (Some(stamp), None);
                if std::mem::replace(&mut source.digest, keys.digest()) == keys.digest() && self.held().warnings == keys.warnings() {
                    return Ok(false);
                }
                let held = Held::new(&keys, &self.held());
                *self.held.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(held);
                Ok(true)
            }
            Err(error) => {
                source.stamp = stamp;
                let said = source.said.replace(error.to_string());
                if said == source.said { Ok(false) } else { Err(error) }
            }
        }
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing").field("keys", &self.len()).finish_non_exhaustive()
    }
}
