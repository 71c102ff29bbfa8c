//! Fetching a published bank into a folder.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mempack_format::{Digest, DiskStorage, Storage as _, StorageFile};

use crate::bank::{chunks_of, read_chunk};
use crate::catalog::set_name;
use crate::error::StoreError;
use crate::objects::{Edition, FileIndex, Head, HeadEntry, Piece, is_file_name};
use crate::remote::Store;
use crate::watch::{Stage, Watch};

/// Behind the name of a file that is not whole.
const PARTIAL: &str = ".pulling";

/// What is fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PullOptions {
    /// The name that it is published under; the only one if `None`.
    pub name: Option<String>,
    /// The beginning of the id of a set or pack, or of its edition, that was published under the name; the newest if `None`.
    pub set: Option<String>,
}

/// What was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullReport {
    /// The name.
    pub name: String,
    /// The edition.
    pub edition: Digest,
    /// The id of the set or pack.
    pub id: Digest,
    /// The file that is the bank.
    pub entry: PathBuf,
    /// Files of the bank.
    pub files: u64,
    /// Files that were there, whole.
    pub unchanged: u64,
    /// Bytes of the bank.
    pub bytes: u64,
    /// Bytes that were fetched.
    pub fetched_bytes: u64,
}

/// Where a chunk is on the disk.
type Known = HashMap<Digest, (Arc<PathBuf>, u64)>;

/// A file to be put together.
struct Target {
    path: PathBuf,
    partial: PathBuf,
    index: FileIndex,
}

/// Fetches a bank into `folder`, which is created. Chunks of files that are there are used, so that a pull that was interrupted goes on where it
/// ended. Files are renamed when all are whole, the bank's set last; other files of the folder stay.
///
/// # Errors
/// If nothing is published under the name, the store fails, an object is damaged, or the folder cannot be written. Files that are in the folder
/// under their own name are then what they were, or, if renaming failed, whole files of the new bank.
pub async fn pull(store: &Store, folder: &Path, options: &PullOptions, watch: &dyn Watch) -> Result<PullReport, StoreError> {
    let name = store.choose_name(options.name.as_deref()).await?;
    let head = store.existing_head(&name).await?;
    let entry = choose(&name, &head, options.set.as_deref())?;
    let edition = match store.edition(entry).await {
        // What is published now is there; what was before may have been deleted.
        Err(StoreError::Missing { object }) if object == set_name(entry.edition) && head.current() != Some(entry) => {
            return Err(StoreError::Collected { name, edition: entry.edition });
        }
        edition => edition?,
    };
    let indexes = store.indexes(&edition).await?;

    let created = fs::create_dir_all(folder);
    created.map_err(|source| StoreError::Io { action: "create", path: folder.to_owned(), source })?;
    let _lock = lock(folder)?;
    let (known, local) = known(folder, watch)?;
    let targets: Vec<Target> = edition
        .files
        .iter()
        .zip(indexes)
        .filter(|(file, index)| local.get(&file.name) != Some(index))
        .map(|(file, index)| {
            let path = folder.join(&file.name);
            Target { partial: folder.join(format!(".{}{PARTIAL}", file.name)), path, index }
        })
        .collect();
    if !targets.is_empty() {
        watch.begin(Stage::Fetching, targets.iter().map(|target| target.index.bytes).sum());
    }
    let mut fetched_bytes = 0;
    for target in &targets {
        fetched_bytes += assemble(store, target, &known, watch).await?;
    }
    finish(folder, &edition, &targets)?;
    Ok(PullReport {
        edition: entry.edition,
        id: edition.id,
        entry: folder.join(&edition.entry),
        files: edition.files.len() as u64,
        unchanged: (edition.files.len() - targets.len()) as u64,
        bytes: edition.bytes(),
        fetched_bytes,
        name,
    })
}

/// The edition that begins with `wanted`, or whose set or pack does.
fn choose(name: &str, head: &Head, wanted: Option<&str>) -> Result<HeadEntry, StoreError> {
    let mut found: Vec<HeadEntry> = Vec::new();
    for entry in &head.editions {
        let fits = wanted.is_none_or(|wanted| entry.id.to_string().starts_with(wanted) || entry.edition.to_string().starts_with(wanted));
        // The same bank may have been published several times; with other signatures it is another edition of one id.
        if fits && !found.iter().any(|other| other.id == entry.id) {
            found.push(*entry);
        }
    }
    match found.as_slice() {
        [one] => Ok(*one),
        [newest, ..] if wanted.is_none() => Ok(*newest),
        several => Err(StoreError::WhichEdition {
            name: name.to_owned(),
            wanted: wanted.unwrap_or_default().to_owned(),
            found: several.len(),
            known: head.editions.iter().map(|entry| entry.id.to_string()).collect::<Vec<_>>().join(", "),
        }),
    }
}

/// Locks the folder until the file is dropped or the process ends.
fn lock(folder: &Path) -> Result<File, StoreError> {
    let failed = |source| StoreError::Io { action: "lock", path: folder.to_owned(), source };
    let file = File::open(folder).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Busy { folder: folder.to_owned() }),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// The chunks of the packs and sets in a folder, and the indexes of these files by name.
fn known(folder: &Path, watch: &dyn Watch) -> Result<(Known, HashMap<String, FileIndex>), StoreError> {
    let failed = |source| StoreError::Io { action: "read", path: folder.to_owned(), source };
    let mut paths = Vec::new();
    for file in fs::read_dir(folder).map_err(failed)? {
        let path = file.map_err(failed)?.path();
        let is_bank = path.extension().is_some_and(|ending| ending == "mpk" || ending == "mps");
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if is_bank && !hidden && path.is_file() {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Ok(Default::default());
    }
    watch.begin(Stage::Reading, paths.iter().filter_map(|path| fs::metadata(path).ok()).map(|file| file.len()).sum());
    let (mut known, mut local) = (Known::new(), HashMap::new());
    for path in paths {
        let index = chunks_of(&path, watch)?;
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default().to_owned();
        let path = Arc::new(path);
        for (at, piece) in index.places() {
            known.entry(piece.digest).or_insert_with(|| (Arc::clone(&path), at));
        }
        local.insert(name, index);
    }
    Ok((known, local))
}

/// Puts a file together beside its name: of what an earlier pull left, of chunks that are on the disk, and of the store. Returns the bytes of
/// the last.
async fn assemble(store: &Store, target: &Target, known: &Known, watch: &dyn Watch) -> Result<u64, StoreError> {
    let failed = |source| StoreError::Io { action: "write", path: target.partial.clone(), source };
    let file = DiskStorage.open(&target.partial).map_err(failed)?;
    file.set_length(target.index.bytes).map_err(failed)?;
    let file: Arc<dyn StorageFile> = Arc::from(file);
    let mut places = stream::iter(target.index.places())
        .map(|(at, piece)| {
            let (file, local) = (Arc::clone(&file), known.get(&piece.digest).cloned());
            async move {
                let (here, left) = (Arc::clone(&file), local.clone());
                let found = blocking(move || is_there(&*here, at, piece, left)).await?.map_err(failed)?;
                let fetched = if found { 0 } else { u64::from(piece.bytes) };
                if !found {
                    let bytes = store.chunk(piece).await?;
                    blocking(move || file.write_all_at(&bytes, at)).await?.map_err(failed)?;
                }
                watch.advance(piece.bytes.into());
                Ok::<_, StoreError>(fetched)
            }
        })
        .buffer_unordered(store.requests().at_once)
        .boxed();
    let mut fetched = 0;
    while let Some(bytes) = places.try_next().await? {
        fetched += bytes;
    }
    let file = Arc::clone(&file);
    blocking(move || file.sync()).await?.map_err(failed)?;
    Ok(fetched)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Interrupted)
}

/// Whether a place of a file has its chunk, perhaps after it was copied from another file.
fn is_there(file: &dyn StorageFile, at: u64, piece: Piece, local: Option<(Arc<PathBuf>, u64)>) -> io::Result<bool> {
    let mut bytes = vec![0; piece.bytes as usize];
    file.read_exact_at(&mut bytes, at)?;
    if Digest::of(&bytes) == piece.digest {
        return Ok(true);
    }
    // A file that changed in the meantime, or cannot be read, is no loss: the chunk is fetched.
    match local.map(|(path, from)| read_chunk(&path, from, piece)) {
        Some(Ok(bytes)) => file.write_all_at(&bytes, at).map(|()| true),
        _ => Ok(false),
    }
}

/// Gives the files their names, the bank's set or pack last; and removes what is left of other pulls that did not end.
fn finish(folder: &Path, edition: &Edition, targets: &[Target]) -> Result<(), StoreError> {
    let last = folder.join(&edition.entry);
    for target in targets.iter().filter(|target| target.path != last).chain(targets.iter().filter(|target| target.path == last)) {
        if target.path == last {
            sync(folder)?;
        }
        let renamed = DiskStorage.rename(&target.partial, &target.path);
        renamed.map_err(|source| StoreError::Io { action: "write", path: target.path.clone(), source })?;
    }
    let failed = |source| StoreError::Io { action: "read", path: folder.to_owned(), source };
    for file in fs::read_dir(folder).map_err(failed)? {
        let path = file.map_err(failed)?.path();
        if path.file_name().and_then(OsStr::to_str).is_some_and(is_partial) {
            DiskStorage.remove_file(&path).map_err(|source| StoreError::Io { action: "remove", path, source })?;
        }
    }
    sync(folder)
}

/// Whether a file is one that a pull has not ended.
fn is_partial(name: &str) -> bool {
    name.strip_prefix('.').and_then(|name| name.strip_suffix(PARTIAL)).is_some_and(is_file_name)
}

fn sync(folder: &Path) -> Result<(), StoreError> {
    DiskStorage.sync_folder(folder).map_err(|source| StoreError::Io { action: "write", path: folder.to_owned(), source })
}
