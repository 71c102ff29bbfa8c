//! `mempack completions`: a completion script on standard output.

use std::io;

use clap::CommandFactory;

use crate::failure::Failure;

#[derive(clap::Args)]
pub struct Args {
    /// The shell to write for
    shell: clap_complete::Shell,
}

pub fn run<C: CommandFactory>(args: Args) -> Result<(), Failure> {
    clap_complete::generate(args.shell, &mut C::command(), "mempack", &mut io::stdout());
    Ok(())
}
