//! `mempack completions`: a completion script on standard output.

use clap::CommandFactory;

use crate::failure::Failure;
use crate::terminal;

#[derive(clap::Args)]
pub struct Args {
    /// The shell to write for
    shell: clap_complete::Shell,
}

pub fn run<C: CommandFactory>(args: Args) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut C::command(), "mempack", &mut script);
    terminal::print_raw(&script);
    Ok(())
}
