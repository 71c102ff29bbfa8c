//! Ctrl-C: the first asks the work to stop and clean up, the second ends the process at once.

use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock};
use std::thread;

use crate::terminal::errln;

static INTERRUPTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(|| {
    let flag = Arc::new(AtomicBool::new(false));
    if let Err(error) = listen(&flag) {
        errln!("mempack: Ctrl-C will end the program without cleaning up: {error}");
    }
    flag
});

/// Starts listening for SIGINT, SIGTERM and SIGHUP. The first sets the flag.
pub fn flag() -> &'static AtomicBool {
    &INTERRUPTED
}

/// The same flag, to share.
pub fn shared() -> Arc<AtomicBool> {
    Arc::clone(&INTERRUPTED)
}

#[cfg(unix)]
fn listen(flag: &Arc<AtomicBool>) -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::flag;
    use signal_hook::iterator::Signals;
    const SIGNALS: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];
    for signal in SIGNALS {
        // In the handler itself, in this order: no thread and no destructor delays the end that the second signal asks for.
        flag::register_conditional_shutdown(signal, 130, Arc::clone(flag))?;
        flag::register(signal, Arc::clone(flag))?;
    }
    let mut signals = Signals::new(SIGNALS)?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        if signals.forever().next().is_some() {
            errln!("mempack: stopping; press Ctrl-C again to stop at once");
        }
    })?;
    Ok(())
}

/// Elsewhere the system ends the program. What it has written is the same as after a crash.
#[cfg(not(unix))]
fn listen(_: &Arc<AtomicBool>) -> io::Result<()> {
    Ok(())
}
