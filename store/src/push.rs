//! Publishing a bank.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mempack_format::Digest;

use crate::bank::{LocalBank, read_chunk};
use crate::catalog::{chunk_group, chunk_name, file_name, head_name, set_name};
use crate::error::StoreError;
use crate::objects::{Head, HeadEntry, Piece, Stored as _, is_name};
use crate::remote::Store;
use crate::watch::{Stage, Watch};

/// From so many chunks on, the store lists what it has, in place of being asked for each.
const LISTED_FROM: usize = 256;

/// When sending took longer than this, the store is looked at again. What was condemned after the first look must still be there then: this is
/// shorter than any period of grace of a clean-up.
const FRESH: Duration = Duration::from_secs(600);

/// How long is waited for a clean-up that deletes what is needed.
const DELETING_WAIT: Duration = Duration::from_secs(300);

/// How often a change is tried against other writers.
const TRIES: u32 = 50;

/// How a bank is published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushOptions {
    /// The name to publish under; that of the bank's file if `None`.
    pub name: Option<String>,
    /// Publish also over what another writer publishes in the meantime.
    pub replace: bool,
    /// Send everything, also what is there, because it may be damaged.
    pub resend: bool,
}

/// What was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushReport {
    /// The name.
    pub name: String,
    /// The edition.
    pub edition: Digest,
    /// The id of the set or pack.
    pub id: Digest,
    /// Files of the bank.
    pub files: u64,
    /// Bytes of the bank.
    pub bytes: u64,
    /// Objects that were sent.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Objects that were there already.
    pub there: u64,
    /// Their bytes.
    pub there_bytes: u64,
    /// Whether this edition was already what is published.
    pub unchanged: bool,
}

/// An object to be sent.
#[derive(Clone, Debug)]
enum Source {
    Chunk { path: Arc<PathBuf>, at: u64, piece: Piece },
    Bytes(Bytes),
}

impl Source {
    fn bytes(&self) -> u64 {
        match self {
            Self::Chunk { piece, .. } => piece.bytes.into(),
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }
}

/// The objects of a bank, by name; in the order in which they are sent, so that what names others comes after them.
struct Objects {
    chunks: BTreeMap<String, Source>,
    files: BTreeMap<String, Source>,
    sets: BTreeMap<String, Source>,
}

impl Objects {
    fn of(bank: &LocalBank) -> Self {
        let (mut chunks, mut files) = (BTreeMap::new(), BTreeMap::new());
        for file in &bank.files {
            let path = Arc::new(file.path.clone());
            for (at, piece) in file.index.places() {
                chunks.entry(chunk_name(piece.digest)).or_insert_with(|| Source::Chunk { path: Arc::clone(&path), at, piece });
            }
            let bytes = file.index.to_bytes();
            files.insert(file_name(Digest::of(&bytes)), Source::Bytes(bytes.into()));
        }
        let bytes = bank.edition.to_bytes();
        Self { chunks, files, sets: [(set_name(Digest::of(&bytes)), Source::Bytes(bytes.into()))].into() }
    }

    fn groups(&self) -> [&BTreeMap<String, Source>; 3] {
        [&self.chunks, &self.files, &self.sets]
    }

    fn names(&self) -> HashSet<&str> {
        self.groups().into_iter().flatten().map(|(name, _)| name.as_str()).collect()
    }

    fn len(&self) -> u64 {
        self.groups().iter().map(|group| group.len() as u64).sum()
    }

    fn bytes(&self) -> u64 {
        self.groups().into_iter().flatten().map(|(_, source)| source.bytes()).sum()
    }
}

/// Publishes a bank: sends what the store does not have, and then names it in one step.
///
/// # Errors
/// If the store refuses, fails, or does not write on a condition; if another writer publishes under the name in the meantime and
/// [`PushOptions::replace`] is not set; or if a file changes. What is published stays what it was.
pub async fn push(store: &Store, bank: &LocalBank, options: &PushOptions, watch: &dyn Watch) -> Result<PushReport, StoreError> {
    let name = options.name.as_ref().unwrap_or(&bank.name).clone();
    if !is_name(&name) {
        return Err(StoreError::Name { name });
    }
    store.check_conditions().await?;
    let entry = HeadEntry { edition: Digest::of(&bank.edition.to_bytes()), id: bank.edition.id };
    let before = store.head(&name).await?;
    let objects = Objects::of(bank);
    let mut sent = HashMap::new();
    loop {
        let began = Instant::now();
        rescue(store, &objects.names()).await?;
        let missing = missing(store, &objects, options.resend, &sent, watch).await?;
        let whole = missing.iter().all(Vec::is_empty);
        if !whole {
            watch.begin(Stage::Sending, missing.iter().flatten().map(|(_, source)| source.bytes()).sum());
        }
        for group in missing {
            send(store, group, &mut sent, watch).await?;
        }
        if whole || began.elapsed() < FRESH {
            break;
        }
    }
    // What was condemned since then is still there, and now stays for another period of grace.
    rescue(store, &objects.names()).await?;
    let unchanged = publish(store, &name, entry, before.as_ref().map(|(head, _)| head), options.replace).await?;
    let sent_bytes = sent.values().sum();
    Ok(PushReport {
        edition: entry.edition,
        id: entry.id,
        files: bank.files.len() as u64,
        bytes: bank.edition.bytes(),
        sent: sent.len() as u64,
        sent_bytes,
        there: objects.len().saturating_sub(sent.len() as u64),
        there_bytes: objects.bytes().saturating_sub(sent_bytes),
        unchanged,
        name,
    })
}

/// Makes sure that no clean-up deletes these objects before its period of grace has passed again.
async fn rescue(store: &Store, names: &HashSet<&str>) -> Result<(), StoreError> {
    let began = Instant::now();
    let mut tries = 0;
    loop {
        let (mut condemned, version) = store.condemned().await?;
        if condemned.deleting.iter().flat_map(|deleting| &deleting.objects).any(|object| names.contains(object.as_str())) {
            if began.elapsed() >= DELETING_WAIT.min(store.requests().timeout * 3) {
                return Err(StoreError::Deleting { waited: began.elapsed() });
            }
            store.pause(6).await;
            continue;
        }
        let listed = condemned.waiting.len();
        condemned.waiting.retain(|sentence| !names.contains(sentence.object.as_str()));
        if condemned.waiting.len() == listed || store.condemn(version.as_ref(), &condemned).await? {
            return Ok(());
        }
        tries += 1;
        if tries >= TRIES {
            return Err(StoreError::Contended { object: "gc/condemned".to_owned(), attempts: tries });
        }
        store.pause(tries).await;
    }
}

type Group<'a> = Vec<(&'a str, &'a Source)>;

/// Which objects are not there, or not whole. Those that this push sent already are.
async fn missing<'a>(
    store: &Store,
    objects: &'a Objects,
    resend: bool,
    sent: &HashMap<String, u64>,
    watch: &dyn Watch,
) -> Result<[Group<'a>; 3], StoreError> {
    watch.begin(Stage::Looking, objects.len());
    let mut found = [Vec::new(), Vec::new(), Vec::new()];
    for (group, missing) in objects.groups().into_iter().zip(&mut found) {
        let there = if resend && sent.is_empty() { HashMap::new() } else { sizes(store, group, watch).await? };
        missing.extend(
            group
                .iter()
                .filter(|(name, source)| there.get(name.as_str()) != Some(&source.bytes()))
                .map(|(name, source)| (name.as_str(), source)),
        );
    }
    Ok(found)
}

/// The bytes of those objects that are there.
async fn sizes(store: &Store, group: &BTreeMap<String, Source>, watch: &dyn Watch) -> Result<HashMap<String, u64>, StoreError> {
    let at_once = store.requests().at_once;
    if group.len() >= LISTED_FROM {
        let folders: HashSet<String> = group
            .values()
            .filter_map(|source| match source {
                Source::Chunk { piece, .. } => Some(chunk_group(piece.digest)),
                Source::Bytes(_) => None,
            })
            .collect();
        if !folders.is_empty() {
            let listed: Vec<_> =
                stream::iter(&folders).map(|folder| store.list(folder)).buffer_unordered(at_once).boxed().try_collect().await?;
            watch.advance(group.len() as u64);
            return Ok(listed.into_iter().flatten().map(|object| (object.name, object.bytes)).collect());
        }
    }
    let found: Vec<_> = stream::iter(group.keys())
        .map(|name| async move {
            let size = store.size(name).await?;
            watch.advance(1);
            Ok::<_, StoreError>(size.map(|size| (name.clone(), size)))
        })
        .buffer_unordered(at_once)
        .boxed()
        .try_collect()
        .await?;
    Ok(found.into_iter().flatten().collect())
}

async fn send(store: &Store, group: Group<'_>, sent: &mut HashMap<String, u64>, watch: &dyn Watch) -> Result<(), StoreError> {
    let mut sending = stream::iter(group)
        .map(|(name, source)| async move {
            let bytes = match source {
                Source::Bytes(bytes) => bytes.clone(),
                Source::Chunk { path, at, piece } => {
                    let (path, at, piece) = (Arc::clone(path), *at, *piece);
                    let read = tokio::task::spawn_blocking(move || read_chunk(&path, at, piece)).await;
                    read.map_err(|_| StoreError::Interrupted)??.into()
                }
            };
            let length = bytes.len() as u64;
            store.write(name, bytes).await?;
            watch.advance(length);
            Ok::<_, StoreError>((name.to_owned(), length))
        })
        .buffer_unordered(store.requests().at_once)
        .boxed();
    while let Some((name, length)) = sending.try_next().await? {
        sent.insert(name, length);
    }
    Ok(())
}

/// Names the edition, if what is published is still `before`. Returns whether it already was.
async fn publish(store: &Store, name: &str, entry: HeadEntry, before: Option<&Head>, replace: bool) -> Result<bool, StoreError> {
    let published = |head: Option<&Head>| head.and_then(Head::current).map(|entry| entry.edition);
    for attempt in 1..=TRIES {
        let now = store.head(name).await?;
        let (head, version) = now.as_ref().map_or((None, None), |(head, version)| (Some(head), Some(version)));
        if published(head) == Some(entry.edition) {
            return Ok(attempt == 1 && published(before) == Some(entry.edition));
        }
        if !replace && head != before {
            let show =
                |head: Option<&Head>| head.and_then(Head::current).map_or("nothing".to_owned(), |entry| format!("bank {}", entry.id));
            let (before, found, ours) = (show(before), show(head), format!("bank {}", entry.id));
            return Err(StoreError::Conflict { name: name.to_owned(), before, found, ours });
        }
        if store.replace(&head_name(name), version, Head::after(head, entry).to_bytes().into()).await? {
            return Ok(false);
        }
        if replace {
            store.pause(attempt).await;
        }
    }
    Err(StoreError::Contended { object: head_name(name), attempts: TRIES })
}
