//! `mempack keygen`: a pair of keys to sign packs with.

use std::path::PathBuf;

use mempack_format::PrivateKey;

use crate::failure::Failure;

/// The private key goes to KEY, readable by you alone and not encrypted, the public key to KEY.pub. Both are ed25519 keys in the PEM
/// files that `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout` make. Files that are there are not overwritten.
#[derive(clap::Args)]
pub struct Args {
    /// The file of the private key; the public key's has .pub behind it
    #[arg(short, long, value_name = "KEY")]
    output: PathBuf,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let key = PrivateKey::generate()?;
    let public = key.write(&args.output)?;
    println!("{}: private key, keep it to yourself", args.output.display());
    println!("{}: public key {}, give it to those who verify", public.display(), key.public().id());
    Ok(())
}
