//! Finding and checking the shards of a merge.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use crate::BuildProgress;
use crate::cancel::check;
use crate::codec::threads;

use super::super::shard_file::{ShardHeader, check_shard, read_header};
use super::super::{BadShard, Plan, PlanError, ShardDefect};
use super::MergeOptions;

/// The files of all shards in the order of their numbers, every byte of them checked, and that of the references that they belong to.
pub(super) fn find(
    plan: &Plan,
    options: &MergeOptions,
    progress: &dyn BuildProgress,
    cancel: &AtomicBool,
) -> Result<Vec<PathBuf>, PlanError> {
    let mut bad = Vec::new();
    let files = files(plan, options, &mut bad);
    let found: Vec<Mutex<Result<(), PlanError>>> = files.iter().map(|_| Mutex::new(Ok(()))).collect();
    let defects: Vec<Mutex<Option<ShardDefect>>> = files.iter().map(|_| Mutex::new(None)).collect();
    let each = files.iter().zip(found.iter().zip(&defects)).enumerate();
    threads::for_each(options.threads, each, |(shard, (path, (result, defect)))| {
        let checked = match path {
            Some(path) => check_one(plan, shard as u32, path, cancel),
            None => Ok(Ok(())),
        };
        match checked {
            Ok(Ok(())) => progress.advance(plan.manifest.shards[shard].references, 0),
            Ok(Err(wrong)) => *defect.lock().unwrap_or_else(PoisonError::into_inner) = Some(wrong),
            Err(error) => *result.lock().unwrap_or_else(PoisonError::into_inner) = Err(error),
        }
    });
    for result in found {
        result.into_inner().unwrap_or_else(PoisonError::into_inner)?;
    }
    for ((shard, path), defect) in (0..).zip(&files).zip(defects) {
        if let Some((defect, path)) = defect.into_inner().unwrap_or_else(PoisonError::into_inner).zip(path.clone()) {
            bad.push(BadShard { shard: Some(shard), path, defect });
        }
    }
    if !bad.is_empty() {
        bad.sort_by_key(|bad| bad.shard.unwrap_or(u32::MAX));
        return Err(PlanError::Shards { bad, shards: plan.shards() });
    }
    Ok(files.into_iter().flatten().collect())
}

/// The one file of each shard; `None` for a shard that is in `bad` already.
fn files(plan: &Plan, options: &MergeOptions, bad: &mut Vec<BadShard>) -> Vec<Option<PathBuf>> {
    let mut found: BTreeMap<u32, Vec<PathBuf>> = BTreeMap::new();
    for shard in 0..plan.shards() {
        let path = plan.shard_path(shard);
        if options.storage.exists(&path) {
            found.entry(shard).or_default().push(path);
        }
    }
    for path in &options.shards {
        let header = read_header(path).and_then(|header| match header.plan == plan.id() && header.shard < plan.shards() {
            true => Ok(header.shard),
            false => Err(ShardDefect::OtherPlan { found: header.plan }),
        });
        match header {
            Ok(shard) => {
                let paths = found.entry(shard).or_default();
                let is_same =
                    |other: &PathBuf| path.canonicalize().ok().is_some_and(|path| other.canonicalize().is_ok_and(|other| path == other));
                if !paths.iter().any(is_same) {
                    paths.push(path.clone());
                }
            }
            Err(defect) => bad.push(BadShard { shard: None, path: path.clone(), defect }),
        }
    }
    let mut one = |shard| {
        let mut paths = found.remove(&shard).unwrap_or_default();
        let Some(path) = paths.pop() else {
            bad.push(BadShard { shard: Some(shard), path: plan.shard_path(shard), defect: ShardDefect::Missing });
            return None;
        };
        if let Some(other) = paths.pop() {
            bad.push(BadShard { shard: Some(shard), path, defect: ShardDefect::Twice { other } });
            return None;
        }
        Some(path)
    };
    (0..plan.shards()).map(&mut one).collect()
}

/// Checks a shard and its references. What is wrong with the shard is no error yet: all shards are looked at.
fn check_one(plan: &Plan, shard: u32, path: &Path, cancel: &AtomicBool) -> Result<Result<(), ShardDefect>, PlanError> {
    check(cancel)?;
    plan.check_file(&plan.references_path(shard), &plan.manifest.shards[shard as usize].file)?;
    Ok(check_shard(path, &ShardHeader::of(plan, shard), |_| check(cancel))?)
}
