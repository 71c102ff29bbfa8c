//! Ctrl-C: the first asks the work to stop and clean up, a second one ends the process at once.

use std::sync::atomic::{AtomicBool, Ordering};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Listen for SIGINT and SIGTERM from now on; the flag is set by the first.
pub fn flag() -> &'static AtomicBool {
    // A handler that is there already (a second call) listens as well.
    let _ = ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        eprintln!("mempack: stopping; press Ctrl-C again to stop at once");
    });
    &INTERRUPTED
}
