//! Environment variables that libtorch reads when it is loaded, before `main`.

use std::convert::Infallible;
use std::env;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// The settings of this program. What the user has set stays.
const SETTINGS: [(&str, &str); 3] = [
    // Idle threads of libgomp sleep. Spinning threads slow others down on a busy machine.
    ("OMP_WAIT_POLICY", "passive"),
    // Texts have many lengths, and oneDNN caches a compiled product for each size: 1,024 of them take 0.5 GB.
    ("LRU_CACHE_CAPACITY", "16"),
    ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16"),
];

/// Restarts the program in place if a setting is missing. Returns if all are set, or if the restart fails.
pub fn settle() {
    if SETTINGS.iter().any(|(name, _)| env::var_os(name).is_none()) {
        // Without the settings the program works too, only slower.
        let _ = restart();
    }
}

fn restart() -> io::Result<Infallible> {
    let missing = SETTINGS.iter().filter(|(name, _)| env::var_os(name).is_none());
    Err(Command::new(env::current_exe()?).args(env::args_os().skip(1)).envs(missing.copied()).exec())
}
