//! Requests to a store: whole objects, repeated when they fail in passing, compared with their digests when they arrive.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, TryStreamExt as _};
use mempack_format::Digest;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, UpdateVersion};

use crate::error::StoreError;

/// How requests are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requests {
    /// How often each is tried.
    pub attempts: u32,
    /// How long is waited before the second attempt; before each further one twice as long.
    pub wait: Duration,
    /// The longest wait.
    pub longest_wait: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Requests at once.
    pub at_once: usize,
}

impl Default for Requests {
    fn default() -> Self {
        let (wait, longest_wait) = (Duration::from_millis(200), Duration::from_secs(10));
        Self { attempts: 6, wait, longest_wait, timeout: Duration::from_secs(120), at_once: 16 }
    }
}

/// How an object is replaced only if no one else has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// The store does it: put if absent, and put if the version is still this one.
    Conditional,
    /// The store is this folder, which every writer locks.
    Folder(PathBuf),
    /// Not at all: the object is read and written, and another writer may come between.
    None,
}

/// A store, and the folder in it whose objects are a bank's.
#[derive(Clone)]
pub struct Store {
    inner: Arc<dyn ObjectStore>,
    root: Path,
    url: String,
    guard: Guard,
    requests: Requests,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("url", &self.url).field("guard", &self.guard).finish_non_exhaustive()
    }
}

/// An object that was listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name below the root.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
}

/// An object and its version.
#[derive(Clone, Debug)]
pub struct Versioned {
    /// The object's bytes.
    pub bytes: Bytes,
    /// Its version, for a write on a condition.
    pub version: UpdateVersion,
}

/// How a write on a condition ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is written.
    Done,
    /// The condition was false.
    Changed,
    /// The store does not do that.
    Impossible,
}

/// What a failure means for the next attempt.
enum Fate {
    Passing,
    Lasting,
    Denied,
}

impl Store {
    /// The objects below `root` of a store. `url` names it in errors.
    pub fn new(inner: Arc<dyn ObjectStore>, root: Path, url: String, guard: Guard, requests: Requests) -> Self {
        Self { inner, root, url, guard, requests }
    }

    /// The address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How an object is replaced only if no one else has.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// How requests are made.
    pub fn requests(&self) -> Requests {
        self.requests
    }

    fn path(&self, name: &str) -> Path {
        self.root.parts().chain(Path::from(name).parts()).collect()
    }

    /// Tries a request until it succeeds or fails for good. `None` if the object does not exist.
    async fn again<'a, T>(
        &self,
        action: &'static str,
        name: &str,
        request: impl Fn() -> BoxFuture<'a, Result<T, Error>> + Send,
    ) -> Result<Option<T>, StoreError> {
        self.again_within(self.requests.timeout, action, name, request).await
    }

    /// As [`again`](Self::again), with another limit for each attempt.
    async fn again_within<'a, T>(
        &self,
        timeout: Duration,
        action: &'static str,
        name: &str,
        request: impl Fn() -> BoxFuture<'a, Result<T, Error>> + Send,
    ) -> Result<Option<T>, StoreError> {
        let attempts = self.requests.attempts;
        let object = || name.to_owned();
        let mut attempt = 1;
        loop {
            let ended = tokio::time::timeout(timeout, request()).await;
            let last = attempt >= attempts;
            match ended {
                Ok(Ok(answer)) => return Ok(Some(answer)),
                Ok(Err(Error::NotFound { .. })) => return Ok(None),
                Ok(Err(source)) => match fate(&source) {
                    Fate::Denied => return Err(StoreError::Denied { action, object: object(), source: source.into() }),
                    Fate::Lasting => return Err(StoreError::Refused { action, object: object(), source: source.into() }),
                    Fate::Passing if last => return Err(StoreError::Request { action, object: object(), attempts, source: source.into() }),
                    Fate::Passing => {}
                },
                Err(_) if last => return Err(StoreError::Slow { action, object: object(), limit: timeout, attempts }),
                Err(_) => {}
            }
            self.pause(attempt).await;
            attempt += 1;
        }
    }

    /// Waits before the next attempt: twice as long every time, and at random, so that many requests do not come back at once.
    pub async fn pause(&self, attempt: u32) {
        let Requests { wait, longest_wait, .. } = self.requests;
        let wait = wait.saturating_mul(1 << (attempt - 1).min(16)).min(longest_wait);
        // Without random numbers all wait equally long, which is only slower.
        let share = f64::from(getrandom::u32().unwrap_or(u32::MAX)) / f64::from(u32::MAX);
        tokio::time::sleep(wait.mul_f64(0.5 + share / 2.0)).await;
    }

    /// An object of at most `most` bytes and its version; `None` if it does not exist.
    ///
    /// # Errors
    /// If it cannot be read or is longer.
    pub async fn read(&self, name: &str, most: u64) -> Result<Option<Versioned>, StoreError> {
        let path = self.path(name);
        let read = || {
            async {
                let found = self.inner.get(&path).await?;
                let size = found.meta.size;
                if size > most {
                    return Ok(Err(size));
                }
                let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
                let bytes = found.bytes().await?;
                Ok(Ok(Versioned { bytes, version }))
            }
            .boxed()
        };
        match self.again("reading", name, read).await? {
            None => Ok(None),
            Some(Ok(object)) => Ok(Some(object)),
            Some(Err(found)) => Err(StoreError::Length { object: name.to_owned(), expected: most, found }),
        }
    }

    /// An object of at most `most` bytes that has this digest. Wrong bytes are read again, because they may be the connection's.
    ///
    /// # Errors
    /// If it does not exist, cannot be read, or has other bytes.
    pub async fn read_checked(&self, name: &str, digest: Digest, most: u64) -> Result<Bytes, StoreError> {
        let attempts = self.requests.attempts.min(3);
        let mut attempt = 1;
        loop {
            let error = match self.read(name, most).await {
                Ok(None) => return Err(StoreError::Missing { object: name.to_owned() }),
                Ok(Some(object)) => match Digest::of(&object.bytes) {
                    found if found == digest => return Ok(object.bytes),
                    found => StoreError::Digest { object: name.to_owned(), found, attempts },
                },
                Err(error @ StoreError::Length { .. }) => error,
                Err(error) => return Err(error),
            };
            if attempt >= attempts {
                return Err(error);
            }
            self.pause(attempt).await;
            attempt += 1;
        }
    }

    /// Writes an object, whatever is there.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn write(&self, name: &str, bytes: Bytes) -> Result<UpdateVersion, StoreError> {
        let path = self.path(name);
        let written = self.again("writing", name, || async { self.inner.put(&path, bytes.clone().into()).await }.boxed()).await?;
        match written {
            Some(written) => Ok(written.into()),
            None => Err(self.no_place(name)),
        }
    }

    /// The error of a write to a bucket or container that does not exist.
    fn no_place(&self, name: &str) -> StoreError {
        let source = Error::NotFound { path: name.to_owned(), source: format!("{} does not exist", self.url).into() };
        StoreError::Refused { action: "writing", object: name.to_owned(), source: source.into() }
    }

    /// Writes an object on a condition, once. `before` is the version that must still be there, `None` if nothing may be.
    ///
    /// # Errors
    /// If it cannot be written; it may be written all the same if the connection was lost.
    pub async fn write_if(&self, name: &str, bytes: Bytes, before: Option<UpdateVersion>) -> Result<Put, StoreError> {
        let path = self.path(name);
        let mode = before.map_or(PutMode::Create, PutMode::Update);
        let options = PutOptions { mode, ..PutOptions::default() };
        let write = || {
            async {
                match self.inner.put_opts(&path, bytes.clone().into(), options.clone()).await {
                    Ok(_) => Ok(Put::Done),
                    Err(Error::Precondition { .. } | Error::AlreadyExists { .. } | Error::NotModified { .. }) => Ok(Put::Changed),
                    Err(Error::NotImplemented { .. } | Error::NotSupported { .. }) => Ok(Put::Impossible),
                    Err(error) => Err(error),
                }
            }
            .boxed()
        };
        match self.once().again("writing", name, write).await? {
            Some(put) => Ok(put),
            // Some stores answer so if the version that must be there is of an object that is gone.
            None => Ok(Put::Changed),
        }
    }

    /// The same store, with requests that are not repeated.
    fn once(&self) -> Self {
        Self { requests: Requests { attempts: 1, ..self.requests }, ..self.clone() }
    }

    /// Bytes of an object; `None` if it does not exist.
    ///
    /// # Errors
    /// If the store does not say.
    pub async fn size(&self, name: &str) -> Result<Option<u64>, StoreError> {
        let path = self.path(name);
        Ok(self.again("looking for", name, || async { self.inner.head(&path).await }.boxed()).await?.map(|found| found.size))
    }

    /// When an object was written, in seconds since 1970 by the clock of the store.
    ///
    /// # Errors
    /// If the object does not exist or the store does not say.
    pub async fn written_at(&self, name: &str) -> Result<u64, StoreError> {
        let path = self.path(name);
        let found = self.again("looking for", name, || async { self.inner.head(&path).await }.boxed()).await?;
        let found = found.ok_or_else(|| StoreError::Missing { object: name.to_owned() })?;
        Ok(u64::try_from(found.last_modified.timestamp()).unwrap_or(0))
    }

    /// All objects below a folder, in the order of their names.
    ///
    /// # Errors
    /// If the store does not list them.
    pub async fn list(&self, folder: &str) -> Result<Vec<Listed>, StoreError> {
        let path = self.path(folder);
        let limit = self.requests.timeout;
        let slow = |_| Error::Generic { store: "list", source: format!("no answer within {limit:?}").into() };
        let list = || {
            async {
                let mut found = Vec::new();
                let mut objects = self.inner.list(Some(&path));
                // A long list comes in pages: the limit is that of each.
                while let Some(object) = tokio::time::timeout(limit, objects.try_next()).await.map_err(slow)?? {
                    if let Some(rest) = object.location.prefix_match(&self.root) {
                        let parts: Vec<_> = rest.map(|part| part.as_ref().to_owned()).collect();
                        found.push(Listed { name: parts.join("/"), bytes: object.size });
                    }
                }
                Ok(found)
            }
            .boxed()
        };
        let mut found = self.again_within(Duration::MAX, "listing", folder, list).await?.unwrap_or_default();
        found.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }

    /// Deletes an object; returns whether it was there, as far as the store says.
    ///
    /// # Errors
    /// If the store does not delete it.
    pub async fn delete(&self, name: &str) -> Result<bool, StoreError> {
        let path = self.path(name);
        Ok(self.again("deleting", name, || async { self.inner.delete(&path).await }.boxed()).await?.is_some())
    }
}

fn fate(error: &Error) -> Fate {
    match error {
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => return Fate::Denied,
        Error::InvalidPath { .. }
        | Error::NotSupported { .. }
        | Error::NotImplemented { .. }
        | Error::AlreadyExists { .. }
        | Error::Precondition { .. }
        | Error::NotModified { .. }
        | Error::UnknownConfigurationKey { .. } => return Fate::Lasting,
        _ => {}
    }
    let mut cause = error.source();
    while let Some(error) = cause {
        match error.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => return Fate::Denied,
            Some(io::ErrorKind::StorageFull | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory) => return Fate::Lasting,
            _ => cause = error.source(),
        }
    }
    Fate::Passing
}
