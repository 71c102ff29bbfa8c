//! A store that fails, hangs, loses answers, cuts and changes what is read, by a seed.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use mempack_numeric::Rng;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};

/// How often requests go wrong, each as a share of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Nothing happens, and the request fails.
    pub fails: f64,
    /// It happens, and the request fails.
    pub answer_lost: f64,
    /// What is read ends with an error in the middle.
    pub breaks: f64,
    /// What is read ends in the middle, without an error.
    pub cut: f64,
    /// A byte of what is read is another.
    pub flips: f64,
    /// It takes longer than anyone waits.
    pub hangs: f64,
    /// It takes some milliseconds.
    pub slow: f64,
}

/// The store.
#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn ObjectStore>,
    faults: Faults,
    random: Mutex<Rng>,
    /// Whether writing is denied.
    pub denies: bool,
    /// Whether deleting is denied.
    pub denies_deletion: bool,
    /// Whether conditions are taken and not obeyed.
    pub ignores_conditions: bool,
    happened: AtomicU64,
}

impl Faulty {
    pub fn new(inner: Arc<dyn ObjectStore>, faults: Faults, seed: u64) -> Self {
        let random = Mutex::new(Rng::from_seed(seed));
        Self { inner, faults, random, denies: false, denies_deletion: false, ignores_conditions: false, happened: AtomicU64::new(0) }
    }

    /// How many faults there were.
    pub fn happened(&self) -> u64 {
        self.happened.load(Ordering::Relaxed)
    }

    fn chance(&self, share: f64) -> bool {
        let happens = share > 0.0 && self.random.lock().unwrap().chance(share);
        self.happened.fetch_add(happens.into(), Ordering::Relaxed);
        happens
    }

    async fn before(&self) -> Result<()> {
        if self.chance(self.faults.slow) {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        if self.chance(self.faults.hangs) {
            tokio::time::sleep(Duration::from_secs(3_600)).await;
        }
        if self.chance(self.faults.fails) { Err(broken("503 slow down")) } else { Ok(()) }
    }

    fn after<T>(&self, answer: Result<T>) -> Result<T> {
        if self.chance(self.faults.answer_lost) { Err(broken("connection reset")) } else { answer }
    }

    fn may_write(&self, path: &Path) -> Result<()> {
        match self.denies {
            true => Err(Error::PermissionDenied { path: path.to_string(), source: "403 forbidden".into() }),
            false => Ok(()),
        }
    }
}

fn broken(why: &'static str) -> Error {
    Error::Generic { store: "faulty", source: why.into() }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faulty {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, location: &Path, payload: PutPayload, mut options: PutOptions) -> Result<PutResult> {
        self.before().await?;
        self.may_write(location)?;
        if self.ignores_conditions {
            options = PutOptions::default();
        }
        self.after(self.inner.put_opts(location, payload, options).await)
    }

    async fn put_multipart_opts(&self, location: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.before().await?;
        let head = options.head;
        let mut found = self.inner.get_opts(location, options).await?;
        if head {
            return self.after(Ok(found));
        }
        let (meta, range, attributes, extensions) =
            (found.meta.clone(), found.range.clone(), found.attributes.clone(), found.extensions.clone());
        let mut bytes = match found.payload {
            GetResultPayload::Stream(stream) => stream.map_ok(|bytes| bytes.to_vec()).try_concat().await?,
            payload => {
                found.payload = payload;
                found.bytes().await?.to_vec()
            }
        };
        let place = |random: &Mutex<Rng>, length: usize| random.lock().unwrap().below(length.max(1));
        if !bytes.is_empty() && self.chance(self.faults.flips) {
            let at = place(&self.random, bytes.len());
            bytes[at] ^= 1;
        }
        let mut parts: Vec<Result<Bytes>> = Vec::new();
        if self.chance(self.faults.breaks) {
            bytes.truncate(place(&self.random, bytes.len()));
            parts.push(Ok(bytes.into()));
            parts.push(Err(broken("connection reset by peer")));
        } else {
            if self.chance(self.faults.cut) {
                bytes.truncate(place(&self.random, bytes.len()));
            }
            parts.push(Ok(bytes.into()));
        }
        Ok(GetResult { payload: GetResultPayload::Stream(stream::iter(parts).boxed()), meta, range, attributes, extensions })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        if self.denies || self.denies_deletion {
            return locations.map(|path| Err(Error::PermissionDenied { path: path?.to_string(), source: "403 forbidden".into() })).boxed();
        }
        if self.chance(self.faults.fails) {
            return stream::iter([Err(broken("503 slow down"))]).boxed();
        }
        let lost = self.chance(self.faults.answer_lost);
        let deleted = self.inner.delete_stream(locations);
        if lost { deleted.map(|_| Err(broken("connection reset"))).boxed() } else { deleted }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        if self.chance(self.faults.fails) {
            return stream::iter([Err(broken("503 slow down"))]).boxed();
        }
        let listed = self.inner.list(prefix);
        if self.chance(self.faults.breaks) { listed.take(1).chain(stream::iter([Err(broken("connection reset"))])).boxed() } else { listed }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
