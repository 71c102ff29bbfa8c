//! The packs that requests may read.

use std::sync::{Arc, Mutex, PoisonError};

use mempack_filter::Expression;
use mempack_keys::Access;
use mempack_runtime::{Mounts, PackSet};

use crate::error::ApiError;

/// Sets of packs that are remembered.
const REMEMBERED: usize = 64;

/// The mounted packs, and the parts of them that keys and requests read.
pub struct Catalog {
    mounts: Arc<Mounts>,
    sets: Mutex<Vec<Remembered>>,
}

/// A part of the mounted packs. Requests that read the same part get the same set, so that what they recall is remembered.
struct Remembered {
    /// All packs that were mounted.
    all: Arc<PackSet>,
    names: Vec<String>,
    filter: Option<Expression>,
    part: Arc<PackSet>,
}

impl Catalog {
    /// The packs of `mounts`.
    pub fn new(mounts: Arc<Mounts>) -> Self {
        Self { mounts, sets: Mutex::default() }
    }

    /// The mounted packs.
    pub fn mounts(&self) -> &Arc<Mounts> {
        &self.mounts
    }

    /// The packs that a key may read, without its filter.
    pub fn visible(&self, access: &Access) -> Arc<PackSet> {
        let all = self.mounts.packs();
        let names = names(&all, |name| access.may_read(name));
        // Without a filter nothing can fail.
        self.part(&all, names, None).unwrap_or_default()
    }

    /// What a request reads: of the packs that its key may read those that it names, or all; of these the documents that both filters admit.
    ///
    /// # Errors
    /// A pack that is not mounted or not to be read, no pack at all, a filter that does not fit the packs.
    pub fn reading(&self, access: &Access, wanted: Option<&[String]>, filter: Option<&Expression>) -> Result<Arc<PackSet>, ApiError> {
        let all = self.mounts.packs();
        let may_read = |name: &str| access.may_read(name) && all.get(name).is_some();
        if let Some(other) = wanted.unwrap_or_default().iter().find(|name| !may_read(name)) {
            let message = format!("no pack `{other}` is among those that this key may read; `GET /packs` lists them");
            return Err(ApiError { param: Some("packs".into()), ..ApiError::not_found("pack_not_found", message) });
        }
        let names = names(&all, |name| may_read(name) && wanted.is_none_or(|wanted| wanted.iter().any(|other| other == name)));
        if names.is_empty() {
            return Err(ApiError::not_found(
                "no_packs",
                "no pack is mounted that this key may read; `memories`: false answers without any",
            ));
        }
        self.part(&all, names, access.narrow(filter.cloned()))
    }

    fn part(&self, all: &Arc<PackSet>, names: Vec<String>, filter: Option<Expression>) -> Result<Arc<PackSet>, ApiError> {
        if filter.is_none() && names.len() == all.packs().len() {
            return Ok(Arc::clone(all));
        }
        {
            let mut sets = self.lock();
            // Packs that have left are not kept mapped.
            sets.retain(|set| Arc::ptr_eq(&set.all, all));
            if let Some(at) = sets.iter().position(|set| set.names == names && set.filter == filter) {
                let set = sets.remove(at);
                let part = Arc::clone(&set.part);
                sets.push(set);
                return Ok(part);
            }
        }
        let part = all.only(|mounted| names.iter().any(|other| other == mounted.name()));
        let part = match &filter {
            // Fields of packs that are not in the part are unknown to it, so an error cannot tell of them.
            Some(filter) => part.selecting(filter).map_err(|error| {
                if error.is_damage() {
                    tracing::error!(%error, "a filter cannot be applied");
                    return ApiError::damaged();
                }
                ApiError::field("where", message(&error))
            })?,
            None => part,
        };
        let part = Arc::new(part);
        let mut sets = self.lock();
        if sets.len() == REMEMBERED {
            sets.remove(0);
        }
        sets.push(Remembered { all: Arc::clone(all), names, filter, part: Arc::clone(&part) });
        Ok(part)
    }

    /// Forgets the parts of packs that are no longer mounted, so that these are unmapped.
    pub fn forget_unmounted(&self) {
        let all = self.mounts.packs();
        self.lock().retain(|set| Arc::ptr_eq(&set.all, &all));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Remembered>> {
        self.sets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn names(packs: &PackSet, may_read: impl Fn(&str) -> bool) -> Vec<String> {
    packs.packs().iter().map(|mounted| mounted.name()).filter(|name| may_read(name)).map(str::to_owned).collect()
}

/// What does not fit, without the path of a pack.
fn message(error: &mempack_runtime::SelectError) -> String {
    use mempack_runtime::SelectError;
    match error {
        SelectError::Pack { source, .. } | SelectError::Names(source) => source.to_string(),
        _ => "the filter does not fit the packs".to_owned(),
    }
}
