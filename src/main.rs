//! The program.

use std::process::ExitCode;

/// The exit code for a damaged pack.
const DAMAGED: u8 = 3;

fn main() -> ExitCode {
    // If the system refuses the handler, a truncated pack ends the program with SIGBUS instead of a message.
    let _ = mempack_runtime::exit_when_cut_short(DAMAGED);
    mempack::run(std::env::args_os()).into()
}
