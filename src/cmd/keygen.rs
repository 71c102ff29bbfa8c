//! `mempack keygen`: a key pair for signing packs.

use std::path::PathBuf;

use mempack_format::PrivateKey;

use crate::failure::Failure;
use crate::terminal::outln;

/// The private key goes to KEY, which only you can read and which is not encrypted; the public key goes to KEY.pub. Both are ed25519
/// keys in PEM files, as `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout` write them. Existing files are not overwritten.
#[derive(clap::Args)]
pub struct Args {
    /// The file of the private key; .pub is appended for the public key
    #[arg(short, long, value_name = "KEY")]
    output: PathBuf,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let key = PrivateKey::generate()?;
    let public = key.write(&args.output)?;
    outln!("{}: private key, keep it to yourself", args.output.display());
    outln!("{}: public key {}, give it to those who verify", public.display(), key.public().id());
    Ok(())
}
