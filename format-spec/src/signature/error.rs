//! What goes wrong with keys and signatures.

use std::io;
use std::path::PathBuf;

use ed25519_dalek::pkcs8;
use thiserror::Error;

use super::KeyId;
use crate::constants::MAX_SIGNATURES;
use crate::{OpenError, WriteError};

/// What is wrong with the form of a trailer (SPEC 17).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TrailerError {
    /// It ends too early.
    #[error("they are cut short: {found} bytes of {expected}")]
    CutShort {
        /// Bytes there must be.
        expected: u64,
        /// Bytes there are.
        found: u64,
    },
    /// Something follows it.
    #[error("they have {expected} bytes, and {found} bytes follow the pack")]
    TooLong {
        /// Bytes there must be.
        expected: u64,
        /// Bytes there are.
        found: u64,
    },
    /// No signature, or too many.
    #[error("there are {found} of them, expected 1 to {MAX_SIGNATURES}")]
    Count {
        /// How many it says there are.
        found: u32,
    },
    /// Reserved bytes that are not zero.
    #[error("reserved bytes are {found}, expected 0")]
    Reserved {
        /// Their value.
        found: u32,
    },
    /// One signer twice.
    #[error("key {signer} is listed twice")]
    Repeated {
        /// The signer.
        signer: KeyId,
    },
    /// The signers' keys do not ascend.
    #[error("entry {entry} is not behind the one before it in the order of keys")]
    Order {
        /// Number of the entry, from 0.
        entry: u32,
    },
}

/// What is wrong with a key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyDefect {
    /// Not a private key in a supported form.
    #[error("no unencrypted ed25519 private key in PKCS#8 PEM form: {0}; `openssl genpkey -algorithm ed25519` makes one")]
    Private(#[source] pkcs8::Error),
    /// Not a public key in a supported form.
    #[error("no ed25519 public key in PEM form: {0}; `openssl pkey -pubout` writes that of a private key")]
    Public(#[source] pkcs8::spki::Error),
    /// The bytes are not a point of the curve.
    #[error("no point of the curve; copy the key again")]
    NotAPoint,
    /// A key of small order, for which anyone can make signatures.
    #[error("a key of small order, whose signatures prove nothing; use a key that was made as keys are")]
    Weak,
    /// More than a key file has.
    #[error("longer than {limit} bytes, which no key is; name the file of a key")]
    TooLong {
        /// The most that is read.
        limit: u64,
    },
    /// Not text.
    #[error("not text, as a PEM file is; name the file of a key")]
    NotText,
}

/// Why a key was not made, read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The operating system refused.
    #[error("cannot {action} {}: {source}; check the path and its permissions", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A file is there already.
    #[error("{} is there already, and keys are not overwritten; name another file", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file does not hold a key of this kind.
    #[error("{}: {source}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: KeyDefect,
    },
    /// The system gave no random bytes.
    #[error("the system gives no random bytes for a key: {0}")]
    Random(#[source] getrandom::Error),
    /// The key could not be put into its form.
    #[error("the key cannot be encoded: {0}")]
    Encode(#[source] pkcs8::Error),
}

/// Why a pack does not count as signed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// It has no signatures.
    #[error("the pack is not signed; get it from someone who signs it, or sign it")]
    Unsigned,
    /// Only keys that are not trusted signed it.
    #[error(
        "the pack is signed by {} only, none of them trusted; trust one of them, or get a pack that a trusted key signed",
        list(signers)
    )]
    Untrusted {
        /// Their key ids.
        signers: Vec<KeyId>,
    },
    /// A signature is not one of this pack by that key.
    #[error("the signature of key {signer} is wrong: it is of another pack, or was changed; get the pack again from where it was signed")]
    Wrong {
        /// The key it claims to be of.
        signer: KeyId,
    },
}

impl SignatureError {
    /// Whether a signature is wrong, rather than missing.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Wrong { .. })
    }
}

fn list(signers: &[KeyId]) -> String {
    signers.iter().map(KeyId::to_string).collect::<Vec<_>>().join(", ")
}

/// Why a pack was not signed. The file at the target is unchanged.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SignError {
    /// The operating system refused.
    #[error("cannot {action} {}: {source}; check the path, its permissions and the room on the disk", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not a pack that can be read.
    #[error("{}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: OpenError,
    },
    /// There is no room for another signature.
    #[error("{} has {MAX_SIGNATURES} signatures of other keys, the most there may be; sign a copy that has fewer", path.display())]
    Full {
        /// The pack.
        path: PathBuf,
    },
    /// The signed pack was not put in its place.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The caller ended it.
    #[error("interrupted; nothing was written")]
    Interrupted,
}
