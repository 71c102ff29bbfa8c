//! Looks at the files that may change while the service runs: the keys, and the folder of packs. Each has a thread, because a large pack takes long to check,
//! and a key that is revoked must not be obeyed meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{io, thread};

use mempack_runtime::PackSet;
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::state::State;

/// How often files are looked at although nothing tells of a change: not every file system does.
const EVERY: Duration = Duration::from_secs(1);

/// The threads that look, until this is dropped.
pub struct Watching {
    _watcher: Option<RecommendedWatcher>,
    _keys: Repeating,
    _packs: Repeating,
}

impl Watching {
    /// Starts the threads. When the folder has been looked at once, questions are answered, and `ready` is called.
    ///
    /// # Errors
    /// A thread that cannot be started.
    pub fn start(state: &Arc<State>, ready: impl FnOnce(&PackSet) + Send + 'static) -> io::Result<Self> {
        let of_keys = Arc::clone(state);
        let keys = Repeating::start("mempack-keys", move || of_keys.who.reload())?;
        let (of_packs, mut ready) = (Arc::clone(state), Some(ready));
        let packs = Repeating::start("mempack-packs", move || {
            if of_packs.engine.is_draining() {
                return;
            }
            look(&of_packs);
            if let Some(ready) = ready.take() {
                of_packs.ready.store(true, Ordering::Release);
                ready(&of_packs.catalog.mounts().packs());
            }
        })?;
        let wake = packs.wake.clone();
        let watcher = state.shelf.folder().zip(wake).and_then(|(folder, wake)| {
            let woke = move |_: notify::Result<notify::Event>| {
                // Without a thread there is nobody to wake.
                let _ = wake.send(());
            };
            let watch = || -> notify::Result<RecommendedWatcher> {
                let mut watcher = notify::recommended_watcher(woke)?;
                watcher.watch(folder, RecursiveMode::NonRecursive)?;
                Ok(watcher)
            };
            watch().inspect_err(|error| tracing::warn!(%error, "the folder of packs is looked at every second")).ok()
        });
        Ok(Self { _watcher: watcher, _keys: keys, _packs: packs })
    }
}

/// A thread that does something at once, then every second and when it is woken.
struct Repeating {
    wake: Option<Sender<()>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Repeating {
    fn start(name: &str, mut work: impl FnMut() + Send + 'static) -> io::Result<Self> {
        let (wake, woken) = channel();
        let ended = Arc::<AtomicBool>::default();
        let ends = Arc::clone(&ended);
        let thread = thread::Builder::new().name(name.into()).spawn(move || {
            while !ends.load(Ordering::Acquire) {
                work();
                match woken.recv_timeout(EVERY) {
                    Err(RecvTimeoutError::Disconnected) => return,
                    // Changes come in groups.
                    Ok(()) => while woken.try_recv().is_ok() {},
                    Err(RecvTimeoutError::Timeout) => {}
                }
            }
        })?;
        Ok(Self { wake: Some(wake), ended, thread: Some(thread) })
    }
}

impl Drop for Repeating {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        if let Some(wake) = self.wake.take() {
            let _ = wake.send(());
        }
        if let Some(thread) = self.thread.take() {
            // A panic of the thread is in the log.
            let _ = thread.join();
        }
    }
}

fn look(state: &State) {
    let looked = state.shelf.look();
    for name in &looked.changed {
        let packs = state.catalog.mounts().packs();
        match packs.get(name) {
            Some(mounted) => tracing::info!(pack = name, id = %mounted.id(), "mounted"),
            None => tracing::info!(pack = name, "unmounted"),
        }
    }
    for (name, error) in &looked.refused {
        tracing::error!(pack = name, %error, "not mounted");
    }
    if !looked.changed.is_empty() {
        state.catalog.forget_unmounted();
    }
}
