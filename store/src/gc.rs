//! Deleting what no published bank needs.
//!
//! A push that is under way relies on objects that it found, and nothing may name them yet. So a clean-up deletes in two steps. It first
//! condemns: it writes down what nothing names. Only what is still not named when the period of grace has passed is deleted, by a later
//! clean-up. A push that needs a condemned object takes it off that list before it relies on it, and waits while the object is being deleted.
//! The list changes on a condition, so that one of two who change it at the same time looks again.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant, SystemTime};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::catalog::{CHUNKS, FILES, SETS};
use crate::error::StoreError;
use crate::objects::{Condemned, Deleting, Sentence};
use crate::remote::{Listed, Store, Versioned};
use crate::verify::reachable;
use crate::watch::{Stage, Watch};

/// Objects that are deleted at a time; a push that needs one of them waits so long.
const BATCH: usize = 20_000;

/// A clean-up that deletes for longer than this has ended: another may take over its list.
const ENDED: u64 = 3_600;

/// A clean-up, and one batch of it, stops before others take over.
const LONGEST: Duration = Duration::from_secs(1_800);

/// How often a change is tried against other writers.
const TRIES: u32 = 50;

/// What is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GcOptions {
    /// How long ago an object must have been condemned. Longer than any push takes from its last look at the store to publishing: 10 minutes, or
    /// as long as it takes to ask for all objects of its bank.
    pub older_than: Duration,
    /// How many of the newest banks of every name stay; at least 1.
    pub keep: usize,
    /// Delete nothing, and condemn nothing.
    pub dry_run: bool,
}

impl Default for GcOptions {
    fn default() -> Self {
        Self { older_than: Duration::from_secs(24 * 3_600), keep: 5, dry_run: false }
    }
}

/// What was deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GcReport {
    /// Objects that stay because a bank needs them.
    pub needed: u64,
    /// Their bytes.
    pub needed_bytes: u64,
    /// Objects that nothing needs, and that are deleted later.
    pub waiting: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
    /// Objects that were deleted, or would have been.
    pub deleted: u64,
    /// Their bytes.
    pub deleted_bytes: u64,
}

/// Condemns what nothing needs, and deletes what was condemned long enough ago.
///
/// # Errors
/// If the store fails or does not write on a condition, if something published is damaged so that it is not known what is needed, or if another
/// clean-up is deleting. Nothing that is needed is then deleted.
pub async fn gc(store: &Store, options: &GcOptions, watch: &dyn Watch) -> Result<GcReport, StoreError> {
    if !options.dry_run {
        store.check_conditions().await?;
    }
    let mut report = GcReport::default();
    let mut tries = 0;
    let began = Instant::now();
    loop {
        let now = if options.dry_run { local_clock() } else { store.clock().await? };
        let (condemned, version) = store.condemned().await?;
        if let Some(deleting) = &condemned.deleting
            && !options.dry_run
        {
            let seconds = now.saturating_sub(deleting.since);
            if seconds < ENDED {
                return Err(StoreError::OtherGc { seconds });
            }
            // It was killed: its objects are deleted again, and then it has ended.
            end(store, &condemned, version, watch).await?;
            continue;
        }
        let needed = reachable(store, options.keep).await?;
        let all = all(store).await?;
        let unneeded: BTreeMap<&str, u64> =
            all.iter().filter(|object| !needed.contains(&object.name)).map(|object| (object.name.as_str(), object.bytes)).collect();
        let (due, rest) = judge(&condemned, &unneeded, now, options.older_than);
        let sum = |names: &mut dyn Iterator<Item = &str>| names.filter_map(|name| unneeded.get(name)).sum::<u64>();
        report.needed = (all.len() - unneeded.len()) as u64;
        report.needed_bytes = all.iter().map(|object| object.bytes).sum::<u64>() - unneeded.values().sum::<u64>();
        report.waiting = rest.len() as u64;
        report.waiting_bytes = sum(&mut rest.iter().map(|sentence| sentence.object.as_str()));
        let batch: Vec<String> = if options.dry_run { due.clone() } else { due.iter().take(BATCH).cloned().collect() };
        let bytes = sum(&mut batch.iter().map(String::as_str));
        if options.dry_run {
            report.deleted = batch.len() as u64;
            report.deleted_bytes = bytes;
            return Ok(report);
        }
        let left = due.len() - batch.len();
        if !begin(store, &condemned, version, &batch, &due, rest, now).await? {
            tries += 1;
            if tries >= TRIES {
                return Err(StoreError::Contended { object: "gc/condemned".to_owned(), attempts: tries });
            }
            store.pause(tries).await;
            continue;
        }
        if !batch.is_empty() {
            let (condemned, version) = store.condemned().await?;
            end(store, &condemned, version, watch).await?;
        }
        report.deleted += batch.len() as u64;
        report.deleted_bytes += bytes;
        if left == 0 || began.elapsed() > LONGEST {
            return Ok(report);
        }
    }
}

fn local_clock() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |passed| passed.as_secs())
}

/// All objects that a clean-up may delete: those that digests name.
async fn all(store: &Store) -> Result<Vec<Listed>, StoreError> {
    let mut found = Vec::new();
    for folder in [CHUNKS, FILES, SETS] {
        found.extend(store.list(folder).await?);
    }
    // Files of others in these folders are not touched.
    found.retain(|object| Condemned::may_list(&object.name));
    Ok(found)
}

/// What is deleted now, sets first and chunks last; and what waits.
fn judge(condemned: &Condemned, unneeded: &BTreeMap<&str, u64>, now: u64, grace: Duration) -> (Vec<String>, Vec<Sentence>) {
    let since: BTreeMap<&str, u64> = condemned.waiting.iter().map(|sentence| (sentence.object.as_str(), sentence.since)).collect();
    let (mut due, mut rest) = (Vec::new(), Vec::new());
    for object in unneeded.keys() {
        let since = since.get(object).copied().unwrap_or(now);
        if now.saturating_sub(since) >= grace.as_secs() {
            due.push((*object).to_owned());
        } else {
            rest.push(Sentence { object: (*object).to_owned(), since });
        }
    }
    // An edition that exists has all its objects, also when a clean-up ends early.
    due.reverse();
    (due, rest)
}

/// Writes down what is deleted now and what waits; false if another writer changed the list in the meantime.
async fn begin(
    store: &Store,
    before: &Condemned,
    version: Option<Versioned>,
    batch: &[String],
    due: &[String],
    rest: Vec<Sentence>,
    now: u64,
) -> Result<bool, StoreError> {
    let mut after = Condemned::nothing();
    let taken: HashSet<&String> = batch.iter().collect();
    let since: BTreeMap<&str, u64> = before.waiting.iter().map(|sentence| (sentence.object.as_str(), sentence.since)).collect();
    // What is due and not in this batch keeps its time.
    let later = due.iter().filter(|object| !taken.contains(object));
    after.waiting = rest;
    after
        .waiting
        .extend(later.map(|object| Sentence { object: object.clone(), since: since.get(object.as_str()).copied().unwrap_or(now) }));
    after.waiting.sort_by(|one, other| one.object.cmp(&other.object));
    if !batch.is_empty() {
        let mut objects = batch.to_vec();
        objects.sort();
        let token = getrandom::u64().unwrap_or_default();
        after.deleting = Some(Deleting { since: now, token: format!("{token:016x}"), objects });
    }
    if after == *before {
        return Ok(true);
    }
    store.condemn(version.as_ref(), &after).await
}

/// Deletes what is written down, and writes down that it is done.
async fn end(store: &Store, condemned: &Condemned, version: Option<Versioned>, watch: &dyn Watch) -> Result<(), StoreError> {
    let Some(deleting) = &condemned.deleting else { return Ok(()) };
    watch.begin(Stage::Deleting, deleting.objects.len() as u64);
    let began = Instant::now();
    for folder in [SETS, FILES, CHUNKS] {
        let objects = deleting.objects.iter().filter(|object| object.starts_with(folder));
        let mut deletions = stream::iter(objects).map(|object| store.delete(object)).buffer_unordered(store.requests().at_once).boxed();
        while deletions.try_next().await?.is_some() {
            watch.advance(1);
            if began.elapsed() > LONGEST {
                let object = "what was condemned".to_owned();
                return Err(StoreError::Slow { action: "deleting", object, limit: LONGEST, attempts: 1 });
            }
        }
    }
    let (mut condemned, mut version) = (condemned.clone(), version);
    for attempt in 1..=TRIES {
        let token = condemned.deleting.take().map(|deleting| deleting.token);
        // Another clean-up took over, an hour later.
        if token.as_ref() != Some(&deleting.token) || store.condemn(version.as_ref(), &condemned).await? {
            return Ok(());
        }
        store.pause(attempt).await;
        (condemned, version) = store.condemned().await?;
    }
    Err(StoreError::Contended { object: "gc/condemned".to_owned(), attempts: TRIES })
}
