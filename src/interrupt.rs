//! Ctrl-C: the first asks the work to stop and clean up, the second ends the process at once.

use std::sync::atomic::{AtomicBool, Ordering};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Starts listening for SIGINT and SIGTERM. The first sets the flag.
pub fn flag() -> &'static AtomicBool {
    // On a second call a handler exists already.
    let _ = ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        eprintln!("mempack: stopping; press Ctrl-C again to stop at once");
    });
    &INTERRUPTED
}
