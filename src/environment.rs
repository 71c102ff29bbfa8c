//! What libtorch reads from the environment when it is loaded, which is before `main`.

use std::convert::Infallible;
use std::env;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Settings that this program is better with. What the user has set stays.
const SETTINGS: [(&str, &str); 3] = [
    // Idle threads of libgomp sleep: spinning ones slow the others down on a busy machine.
    ("OMP_WAIT_POLICY", "passive"),
    // Texts have all lengths, and oneDNN keeps what it compiled for each size of a product: 1,024 of them take 0.5 GB.
    ("LRU_CACHE_CAPACITY", "16"),
    ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16"),
];

/// Starts the program once more, in its own place, if a setting is missing; returns if all are there or that fails.
pub fn settle() {
    if SETTINGS.iter().any(|(name, _)| env::var_os(name).is_none()) {
        // A program that cannot find itself works all the same, only less well.
        let _ = restart();
    }
}

fn restart() -> io::Result<Infallible> {
    let missing = SETTINGS.iter().filter(|(name, _)| env::var_os(name).is_none());
    Err(Command::new(env::current_exe()?).args(env::args_os().skip(1)).envs(missing.copied()).exec())
}
