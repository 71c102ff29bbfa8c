//! A mapped pack that survives a fork.

use std::mem;
use std::path::PathBuf;
use std::process;
use std::sync::{Arc, Mutex, PoisonError};

use mempack_format::PackId;
use mempack_runtime::{Expression, MappedPack, Mounted, PackSet};
use pyo3::prelude::*;

use crate::errors;

/// A pack that is mapped. A process that was forked maps it again: a thread of the other process may have held a lock of the mapping.
pub struct Opened {
    path: PathBuf,
    id: PackId,
    // Held for moments and with the GIL, so no other thread has it when a process is forked.
    state: Mutex<State>,
}

struct State {
    process: u32,
    pack: Arc<MappedPack>,
    all: PackSet,
    /// What the last filter admits.
    selected: Option<(String, PackSet)>,
}

impl State {
    fn of(pack: Arc<MappedPack>) -> Self {
        let all = PackSet::of(vec![Arc::new(Mounted::of(Arc::clone(&pack)))]);
        Self { process: process::id(), pack, all, selected: None }
    }
}

impl Opened {
    pub fn open(path: PathBuf) -> PyResult<Self> {
        Ok(Self::of(Arc::new(MappedPack::open(path).map_err(errors::map)?)))
    }

    pub fn of(pack: Arc<MappedPack>) -> Self {
        Self { path: pack.path().to_owned(), id: pack.id(), state: Mutex::new(State::of(pack)) }
    }

    /// The mapping of this process.
    pub fn pack(&self) -> PyResult<Arc<MappedPack>> {
        self.with(|state| Ok(Arc::clone(&state.pack)))
    }

    /// The pack as a set, of which only what `filter` admits is found.
    pub fn set(&self, filter: Option<&str>) -> PyResult<PackSet> {
        self.with(|state| {
            let Some(filter) = filter else { return Ok(state.all.clone()) };
            if let Some((_, set)) = state.selected.as_ref().filter(|(last, _)| last == filter) {
                return Ok(set.clone());
            }
            let set = selecting(&state.all, filter)?;
            state.selected = Some((filter.to_owned(), set.clone()));
            Ok(set)
        })
    }

    fn with<T>(&self, read: impl FnOnce(&mut State) -> PyResult<T>) -> PyResult<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.process != process::id() {
            let pack = MappedPack::open(&self.path).map_err(errors::map)?;
            if pack.id() != self.id {
                let (path, id, found) = (self.path.display(), self.id, pack.id());
                let message =
                    format!("{path}: the process was forked, and the file is another pack by now ({found}, not {id}); open it again");
                return Err(errors::with_path(errors::PackOpenError::new_err(message), &self.path));
            }
            // Dropping it could wait for a lock that nobody in this process holds.
            mem::forget(mem::replace(&mut *state, State::of(Arc::new(pack))));
        }
        read(&mut state)
    }
}

/// What a filter admits of packs.
pub fn selecting(packs: &PackSet, filter: &str) -> PyResult<PackSet> {
    let expression = Expression::parse(filter).map_err(|error| errors::filter(&error))?;
    packs.selecting(&expression).map_err(errors::select)
}
