//! The log, on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

/// Writes the log to standard error, as lines of text or as JSON. The variable `MEMPACK_LOG` chooses what is written, for example `debug`; `info`
/// without it.
pub fn log(json: bool) {
    let filter = EnvFilter::try_from_env("MEMPACK_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal()).with_target(false);
    // A second call, in a test, changes nothing.
    let _ = if json { lines.json().try_init() } else { lines.try_init() };
}

/// Puts something that an operator should hear of into the log.
pub fn tell(notice: &dyn std::fmt::Display) {
    tracing::warn!(%notice, "attention");
}
