//! Keys, in the files that OpenSSL makes: PKCS#8 and SubjectPublicKeyInfo in PEM form (RFC 8410, RFC 7468).

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, KeypairBytes};
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};

use super::{KeyDefect, KeyError, KeyId, Signature, SignedId, message};

/// Most bytes of a key file; OpenSSL's have about 120.
const MAX_KEY_FILE: u64 = 16 << 10;

/// A key that checks signatures: a point of the curve that is not of small order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PublicKey").field(&self.id()).finish()
    }
}

impl PublicKey {
    /// The key of these 32 bytes (RFC 8032).
    ///
    /// # Errors
    /// If they are not a point of the curve, or one of small order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyDefect> {
        VerifyingKey::from_bytes(bytes).map_err(|_| KeyDefect::NotAPoint).and_then(Self::strong)
    }

    /// The key in a PEM text (`BEGIN PUBLIC KEY`).
    ///
    /// # Errors
    /// If the text holds no ed25519 public key, or one of small order.
    pub fn from_pem(pem: &str) -> Result<Self, KeyDefect> {
        VerifyingKey::from_public_key_pem(pem).map_err(KeyDefect::Public).and_then(Self::strong)
    }

    /// The key in a PEM file.
    ///
    /// # Errors
    /// If the file cannot be read; otherwise as [`PublicKey::from_pem`].
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        read_text(path)?.and_then(|pem| Self::from_pem(&pem)).map_err(malformed(path))
    }

    fn strong(key: VerifyingKey) -> Result<Self, KeyDefect> {
        if key.is_weak() { Err(KeyDefect::Weak) } else { Ok(Self(key)) }
    }

    /// Its 32 bytes.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// Its key id.
    pub fn id(&self) -> KeyId {
        KeyId::of(self.0.as_bytes())
    }

    /// Whether `signature` is one of `message` by this key. The rules are strict: no second signature can be derived from a valid one.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.0.verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature)).is_ok()
    }
}

/// A key that signs. Its memory is wiped when it is dropped.
pub struct PrivateKey(SigningKey);

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PrivateKey").field(&self.public().id()).finish()
    }
}

impl PrivateKey {
    /// A new key, from the system's random bytes.
    ///
    /// # Errors
    /// If the system gives none.
    pub fn generate() -> Result<Self, KeyError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(KeyError::Random)?;
        Ok(Self::from_bytes(&seed))
    }

    /// The key of these 32 bytes (RFC 8032).
    pub fn from_bytes(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The key in a PEM text (`BEGIN PRIVATE KEY`).
    ///
    /// # Errors
    /// If the text holds no ed25519 private key, or an encrypted one.
    pub fn from_pem(pem: &str) -> Result<Self, KeyDefect> {
        SigningKey::from_pkcs8_pem(pem).map(Self).map_err(KeyDefect::Private)
    }

    /// The key in a PEM file.
    ///
    /// # Errors
    /// If the file cannot be read; otherwise as [`PrivateKey::from_pem`].
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        read_text(path)?.and_then(|pem| Self::from_pem(&pem)).map_err(malformed(path))
    }

    /// The key that checks its signatures.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Its signature of the pack or set `id`; always the same.
    pub fn sign<I: SignedId>(&self, id: I) -> Signature {
        Signature::new(self.public().to_bytes(), self.0.sign(&message(id)).to_bytes())
    }

    /// Writes the key to `path`, readable by its owner alone, and the public key to `path` with `.pub` behind it, which it returns.
    ///
    /// # Errors
    /// If one of the two files exists already, or cannot be written. Neither is then left behind.
    pub fn write(&self, path: &Path) -> Result<PathBuf, KeyError> {
        let mut public = path.as_os_str().to_owned();
        public.push(".pub");
        let public = PathBuf::from(public);
        // Without the public key behind it: OpenSSL 3.0 reads only the first version of PKCS#8.
        let pair = KeypairBytes { secret_key: self.0.to_bytes(), public_key: None };
        let private_pem = pair.to_pkcs8_pem(LineEnding::LF).map_err(KeyError::Encode)?;
        let public_pem = self.public().0.to_public_key_pem(LineEnding::LF).map_err(|error| KeyError::Encode(error.into()))?;
        create(path, 0o600, private_pem.as_bytes())?;
        if let Err(error) = create(&public, 0o644, public_pem.as_bytes()) {
            // This call created it.
            let _ = fs::remove_file(path);
            return Err(error);
        }
        Ok(public)
    }
}

fn malformed(path: &Path) -> impl FnOnce(KeyDefect) -> KeyError + '_ {
    move |source| KeyError::Malformed { path: path.to_owned(), source }
}

/// The text of a file that may be a key.
fn read_text(path: &Path) -> Result<Result<String, KeyDefect>, KeyError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_KEY_FILE + 1).read_to_end(&mut bytes));
    read.map_err(|source| KeyError::Io { path: path.to_owned(), action: "read", source })?;
    if bytes.len() as u64 > MAX_KEY_FILE {
        return Ok(Err(KeyDefect::TooLong { limit: MAX_KEY_FILE }));
    }
    Ok(String::from_utf8(bytes).map_err(|_| KeyDefect::NotText))
}

/// Writes a new file with these permissions, and syncs it. Does not overwrite a file.
fn create(path: &Path, mode: u32, contents: &[u8]) -> Result<(), KeyError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let failed = |source: std::io::Error| match source.kind() {
        ErrorKind::AlreadyExists => KeyError::Exists { path: path.to_owned() },
        _ => KeyError::Io { path: path.to_owned(), action: "write", source },
    };
    let mut file = options.open(path).map_err(failed)?;
    file.write_all(contents).and_then(|()| file.sync_all()).map_err(|source| {
        // Do not leave half a key behind.
        let _ = fs::remove_file(path);
        KeyError::Io { path: path.to_owned(), action: "write", source }
    })
}
