//! The command line of mempack: parse, dispatch, exit code. It is a library so that other programs, such as the Python package, have it too.
// `environment` alone has any: the loader calls a part of it.
#![deny(unsafe_code)]
// Everything is printed through `terminal`, which neither panics nor lets a terminal obey what a pack says.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod cmd;
#[cfg(feature = "engine")]
mod environment;
mod failure;
#[cfg(feature = "engine")]
mod folders;
mod hints;
mod interrupt;
mod output;
mod output_file;
mod outputs;
mod progress;
mod terminal;

use std::ffi::OsString;

use clap::{Parser, Subcommand};

use failure::{Failure, Kind};

/// Compile a reference corpus into a memory pack, and let a language model decode with it.
///
/// Exit codes: 0 done; 1 the work failed, or a pack's codec loses more than the pack records; 2 usage; 3 the pack is damaged, or a
/// signature is wrong; 4 the pack and the model do not match, or no trusted key signed the pack; 5 the work is done, but standard output
/// could not be written; 130 interrupted. A reader that closes standard output early, such as `head`, is no error.
#[derive(Parser)]
#[command(name = "mempack", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print more: the digests of a mismatch, the loss of every layer
    #[arg(long, global = true)]
    verbose: bool,
}

#[derive(Subcommand)]
enum Command {
    /// List readers and embedders, and put them in place
    #[cfg(feature = "engine")]
    Models(cmd::models::Args),
    /// Turn a GGUF file into a Hugging Face folder
    #[cfg(feature = "engine")]
    Import(cmd::import::Args),
    /// Compile a corpus into a memory pack
    #[cfg(feature = "engine")]
    Build(Box<cmd::build::Args>),
    /// Plan a build whose shards are built on several machines
    #[cfg(feature = "engine")]
    Plan(Box<cmd::plan::Args>),
    /// Merge the shards of a plan into a set of search packs
    #[cfg(feature = "engine")]
    Merge(cmd::merge::Args),
    /// Show how a corpus is read and cut into references, without building a pack
    #[cfg(feature = "engine")]
    Corpus(cmd::cut::Args),
    /// Take the codebooks of a pack, so that small builds with its model need not train their own
    #[cfg(feature = "engine")]
    Codebooks(cmd::codebooks::Args),
    /// Show what is in a pack
    Inspect(cmd::inspect::Args),
    /// Write a page about a pack: sizes, codec loss, which tokens are kept, what is near what
    Report(cmd::report::Args),
    /// Check every byte of a pack, or a sample, and list all damage
    Verify(cmd::verify::Args),
    /// Repair a damaged pack from others that have the same content
    Repair(cmd::repair::Args),
    /// Show the differences between two packs
    Diff(cmd::diff::Args),
    /// Remove documents from a pack, so that nothing of them is left in it
    #[cfg(feature = "engine")]
    Revoke(cmd::revoke::Args),
    /// Make a key pair for signing packs
    Keygen(cmd::keygen::Args),
    /// Make, list and revoke the keys with which clients use a server
    #[cfg(feature = "serve")]
    ApiKeys(cmd::api_keys::Args),
    /// Sign a pack
    Sign(cmd::sign::Args),
    /// Publish a bank, a set of packs or one pack, in an object store
    #[cfg(feature = "store")]
    Push(cmd::push::Args),
    /// Fetch a bank from an object store
    #[cfg(feature = "store")]
    Pull(cmd::pull::Args),
    /// Delete from an object store what no published bank needs
    #[cfg(feature = "store")]
    Gc(cmd::gc::Args),
    /// Find the references nearest to a query
    #[cfg(feature = "engine")]
    Search(cmd::search::Args),
    /// Answer a question with memories from a pack
    #[cfg(feature = "engine")]
    Ask(cmd::ask::Args),
    /// Serve packs over HTTP, by OpenAI's interface, with citations
    #[cfg(feature = "serve")]
    Serve(Box<cmd::serve::Args>),
    /// Measure what memories are worth: on questions, multiple choice or a text
    #[cfg(feature = "engine")]
    Eval(Box<cmd::eval::Args>),
    /// Measure the loss of a pack's codec, and compare it with what the pack records
    #[cfg(feature = "engine")]
    Quality(cmd::quality::Args),
    /// Measure how fast a model decodes with memories, without, and with texts in the prompt
    #[cfg(feature = "engine")]
    Bench(cmd::bench::Args),
    /// Teach a model to read memories
    #[cfg(feature = "engine")]
    Train(cmd::train::Args),
    /// Measure how many tokens of a reference each head of a model should keep
    #[cfg(feature = "engine")]
    Budget(cmd::budget::Args),
    /// Make a corpus with questions, to train and test readers
    MakeQuestions(cmd::make_questions::Args),
    /// Read the files that standard input asks for
    #[cfg(feature = "engine")]
    #[command(hide = true)]
    ReadFiles(cmd::files::WorkerArgs),
    /// Write a completion script for a shell
    Completions(cmd::completions::Args),
}

/// Runs a command and returns its exit code. `arguments` begin with the name of the program.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let Cli { command, verbose } = match Cli::try_parse_from(arguments) {
        Ok(parsed) => parsed,
        Err(error) => {
            // Help and version are errors of this kind too. If they cannot be printed, the exit code is all that can be said.
            let _ = error.print();
            return u8::try_from(error.exit_code()).unwrap_or(Kind::Usage as u8);
        }
    };
    if verbose {
        terminal::be_verbose();
    }
    #[cfg(feature = "engine")]
    environment::settle();
    // Also for clients that others make: those of spans.
    #[cfg(feature = "store")]
    mempack_store::prepare_tls();
    let result = match command {
        #[cfg(feature = "engine")]
        Command::Models(args) => cmd::models::run(args),
        #[cfg(feature = "engine")]
        Command::Import(args) => cmd::import::run(args),
        #[cfg(feature = "engine")]
        Command::Build(args) => cmd::build::run(*args),
        #[cfg(feature = "engine")]
        Command::Plan(args) => cmd::plan::run(*args),
        #[cfg(feature = "engine")]
        Command::Merge(args) => cmd::merge::run(args),
        #[cfg(feature = "engine")]
        Command::Corpus(args) => cmd::cut::run(args),
        #[cfg(feature = "engine")]
        Command::Codebooks(args) => cmd::codebooks::run(args),
        Command::Inspect(args) => cmd::inspect::run(args),
        Command::Report(args) => cmd::report::run(args),
        Command::Verify(args) => cmd::verify::run(args),
        Command::Repair(args) => cmd::repair::run(args),
        Command::Diff(args) => cmd::diff::run(args),
        #[cfg(feature = "engine")]
        Command::Revoke(args) => cmd::revoke::run(args),
        Command::Keygen(args) => cmd::keygen::run(args),
        #[cfg(feature = "serve")]
        Command::ApiKeys(args) => cmd::api_keys::run(args),
        Command::Sign(args) => cmd::sign::run(args),
        #[cfg(feature = "store")]
        Command::Push(args) => cmd::push::run(args),
        #[cfg(feature = "store")]
        Command::Pull(args) => cmd::pull::run(args),
        #[cfg(feature = "store")]
        Command::Gc(args) => cmd::gc::run(args),
        #[cfg(feature = "engine")]
        Command::Search(args) => cmd::search::run(args),
        #[cfg(feature = "engine")]
        Command::Ask(args) => cmd::ask::run(args),
        #[cfg(feature = "serve")]
        Command::Serve(args) => cmd::serve::run(*args),
        #[cfg(feature = "engine")]
        Command::Eval(args) => cmd::eval::run(*args),
        #[cfg(feature = "engine")]
        Command::Bench(args) => cmd::bench::run(args),
        #[cfg(feature = "engine")]
        Command::Quality(args) => match cmd::quality::run(args) {
            Ok(code) if code != 0 => return code,
            result => result.map(|_| ()),
        },
        #[cfg(feature = "engine")]
        Command::Train(args) => cmd::train::run(args),
        #[cfg(feature = "engine")]
        Command::Budget(args) => cmd::budget::run(args),
        Command::MakeQuestions(args) => cmd::make_questions::run(args),
        #[cfg(feature = "engine")]
        Command::ReadFiles(args) => cmd::files::run_worker(args),
        Command::Completions(args) => cmd::completions::run::<Cli>(args),
    };
    // What the command found matters more than that it was not printed.
    match result.map(|()| terminal::output_error()) {
        Ok(None) => 0,
        Ok(Some(error)) => Failure::new(Kind::Output, error).report(),
        Err(failure) => failure.report(),
    }
}
