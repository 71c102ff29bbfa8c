//! Signatures: who vouches for a pack (SPEC 17).
//!
//! They stand behind the pack in the same file, outside of every digest, so that a pack keeps its id when it is signed. What is signed is
//! the id, and through it every byte (SPEC 4): a signature says who vouches for these bytes, a verification that they are these.

mod error;
mod file;
mod keys;
pub(crate) mod trailer;

use std::fmt;

pub use error::{KeyDefect, KeyError, SignError, SignatureError, TrailerError};
pub use file::{SignReport, sign_file};
pub use keys::{PrivateKey, PublicKey};

use crate::{Pack, PackId};

/// What a signature is of, before the id: a key that also signs other things signs nothing else that begins so.
const DOMAIN: &[u8] = b"mempack pack signature, version 1\0";

/// The message that is signed for a pack: domain and id.
fn message(id: PackId) -> Vec<u8> {
    [DOMAIN, &id.0.0].concat()
}

/// The first 8 bytes of a public key, written as 16 hexadecimal digits: names a key to people. Trust is decided by whole keys.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 8]);

impl KeyId {
    /// The id of the public key of these bytes, which need not be one.
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

/// A signature as it stands in a file: a claim, until [`Signature::check`] has looked at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    signer: [u8; 32],
    bytes: [u8; 64],
}

impl Signature {
    fn new(signer: [u8; 32], bytes: [u8; 64]) -> Self {
        Self { signer, bytes }
    }

    /// The public key of the signer, as it stands in the file.
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

    /// Whether it is a signature of the pack `id`: the key that made it.
    ///
    /// # Errors
    /// If the signer is no key, or one of small order, or the signature is not one of this pack by it.
    pub fn check(&self, id: PackId) -> Result<PublicKey, SignatureError> {
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
    /// Signatures of other keys are not looked at: whoever can write the file can add one.
    ///
    /// # Errors
    /// If the pack is not signed, or by other keys only, or the signature of a trusted key is wrong, even if others are right.
    pub fn signed_by(&self, trusted: &[PublicKey]) -> Result<Vec<PublicKey>, SignatureError> {
        let signatures = self.signatures();
        if signatures.is_empty() {
            return Err(SignatureError::Unsigned);
        }
        let mut signed = Vec::new();
        for key in trusted {
            if let Some(signature) = signatures.iter().find(|signature| signature.signer() == key.to_bytes()) {
                signed.push(signature.check(self.id())?);
            }
        }
        if signed.is_empty() {
            return Err(SignatureError::Untrusted { signers: signatures.iter().map(Signature::key_id).collect() });
        }
        Ok(signed)
    }
}

#[cfg(test)]
mod tests;
