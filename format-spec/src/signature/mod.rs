//! Signatures: who vouches for a pack (SPEC 17).
//!
//! Signatures are appended to the file, outside of every digest, so that signing does not change the pack's id. A signature covers the id,
//! and through it every byte (SPEC 4). It says who vouches for these bytes; a verification says that the file still has them.

mod error;
mod file;
mod keys;
pub(crate) mod trailer;

use std::fmt;

pub use error::{KeyDefect, KeyError, SignError, SignatureError, TrailerError};
pub use file::{SignReport, sign_file};
pub use keys::{PrivateKey, PublicKey};

use crate::{Digest, Pack, PackId};

/// What is signed by its id: a pack, or a set of packs.
pub trait SignedId: Copy {
    /// Domain separation: the message before the id, so that a key's other signatures cannot be mistaken for one of this kind.
    const DOMAIN: &'static [u8];

    /// The id.
    fn digest(&self) -> Digest;
}

impl SignedId for PackId {
    const DOMAIN: &'static [u8] = b"mempack pack signature, version 1\0";

    fn digest(&self) -> Digest {
        self.0
    }
}

/// The message that is signed: domain and id.
fn message<I: SignedId>(id: I) -> Vec<u8> {
    [I::DOMAIN, &id.digest().0].concat()
}

/// The first 8 bytes of a public key, written as 16 hexadecimal digits, to name a key to people. Trust is decided by whole keys.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 8]);

impl KeyId {
    /// The id of these 32 bytes, which need not be a valid public key.
    fn of(key: &[u8; 32]) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = *key;
        Self([a, b, c, d, e, f, g, h])
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A signature as read from a file, unchecked: see [`Signature::check`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    signer: [u8; 32],
    bytes: [u8; 64],
}

impl Signature {
    fn new(signer: [u8; 32], bytes: [u8; 64]) -> Self {
        Self { signer, bytes }
    }

    /// The public key of the signer, as read from the file.
    pub fn signer(&self) -> [u8; 32] {
        self.signer
    }

    /// The signer's key id.
    pub fn key_id(&self) -> KeyId {
        KeyId::of(&self.signer)
    }

    /// The ed25519 signature (RFC 8032).
    pub fn bytes(&self) -> &[u8; 64] {
        &self.bytes
    }

    /// Checks that it is a signature of the pack or set `id`, and returns the key that made it.
    ///
    /// # Errors
    /// If the signer is not a valid key or has small order, or the signature is not one of this id by this key.
    pub fn check<I: SignedId>(&self, id: I) -> Result<PublicKey, SignatureError> {
        let wrong = SignatureError::Wrong { signer: self.key_id() };
        match PublicKey::from_bytes(&self.signer) {
            Ok(key) if key.verifies(&message(id), &self.bytes) => Ok(key),
            _ => Err(wrong),
        }
    }
}

impl<D: AsRef<[u8]>> Pack<D> {
    /// The keys of `trusted` that signed the pack, at least one, in the order of `trusted`.
    ///
    /// Signatures of other keys are ignored: anyone who can write the file can add one.
    ///
    /// # Errors
    /// If the pack is not signed, or by other keys only, or the signature of a trusted key is wrong, even if others are right.
    pub fn signed_by(&self, trusted: &[PublicKey]) -> Result<Vec<PublicKey>, SignatureError> {
        signed_by(self.signatures(), self.id(), trusted)
    }
}

/// The keys of `trusted` that signed `id`, at least one, in the order of `trusted`.
pub(crate) fn signed_by<I: SignedId>(signatures: &[Signature], id: I, trusted: &[PublicKey]) -> Result<Vec<PublicKey>, SignatureError> {
    if signatures.is_empty() {
        return Err(SignatureError::Unsigned);
    }
    let mut signed = Vec::new();
    for key in trusted {
        if let Some(signature) = signatures.iter().find(|signature| signature.signer() == key.to_bytes()) {
            signed.push(signature.check(id)?);
        }
    }
    if signed.is_empty() {
        return Err(SignatureError::Untrusted { signers: signatures.iter().map(Signature::key_id).collect() });
    }
    Ok(signed)
}

#[cfg(test)]
mod tests;
