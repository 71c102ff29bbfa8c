//! Which panics are faults.

use std::collections::BTreeSet;
use std::panic;
use std::sync::{Mutex, PoisonError};

/// Has the panics of our code end the process, and those of other crates unwind.
///
/// libFuzzer's hook ends the process at each panic, before it unwinds. That is right for ours, also where a guard (`catch_unwind`) would
/// take it for one of the parser that it guards. But a panic of another crate below a guard is a failure of the file in a build, so it
/// is no fault here, and has to unwind. Below no guard it unwinds up to libFuzzer, which then ends the process. What tells them apart is the source
/// file: those of other crates are in the registry of cargo. What the standard library reports as its own, as a comparison without an order, may be
/// due to us and ends the process.
///
/// Call it after libFuzzer has set its hook: in the `init` of `fuzz_target`. Each place of another crate that panics is named once on standard error.
pub fn abort_on_own_panics() {
    static SEEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let abort = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let place = info.location().filter(|place| place.file().replace('\\', "/").contains("/registry/src/"));
        match place {
            None => abort(info),
            Some(place) => {
                if SEEN.lock().unwrap_or_else(PoisonError::into_inner).insert(place.to_string()) {
                    let said = info.payload_as_str().unwrap_or_default();
                    eprintln!("another crate panics, at {place}: {said}");
                }
            }
        }
    }));
}
