//! All keys of a file: reading, changing, writing.

use std::path::Path;

use jiff::Timestamp;

use crate::error::{Defect, KeysError};
use crate::file::{self, Contents, Locked, Stamp, Warning};
use crate::form;
use crate::key::{Key, NewKey, PackScope};
use crate::names::pack_name;
use crate::secret::Secret;
use crate::time::now;

/// The keys of a file, in its order.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    keys: Vec<Key>,
    warnings: Vec<Warning>,
    /// The digest of the file that they were read from; none if there was no file.
    source: Option<blake3::Hash>,
}

impl Keys {
    /// No keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// The keys of a file.
    ///
    /// # Errors
    /// [`KeysError::Io`] if the file cannot be read, [`KeysError::Malformed`] with line and field if it is no file of keys.
    pub fn read(path: &Path) -> Result<Self, KeysError> {
        Self::read_stamped(path).map(|(keys, _)| keys)
    }

    pub(crate) fn read_stamped(path: &Path) -> Result<(Self, Stamp), KeysError> {
        let contents = file::read(path)?;
        let stamp = contents.stamp.clone();
        Self::of(path, contents).map(|keys| (keys, stamp))
    }

    /// The digest of the file's bytes.
    pub(crate) fn digest(&self) -> Option<blake3::Hash> {
        self.source
    }

    /// The keys in the bytes of a file. `path` is for errors alone.
    ///
    /// # Errors
    /// [`KeysError::Malformed`] with line and field if it is no file of keys.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, KeysError> {
        let wrong = |line, field, defect| KeysError::Malformed { path: path.to_owned(), line, field, defect };
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            wrong(1 + before.iter().filter(|&&byte| byte == b'\n').count(), None, Box::new(Defect::NotText))
        })?;
        let keys = form::parse(text).map_err(|placed| wrong(placed.line, placed.field, placed.defect))?;
        Ok(Self { keys, warnings: Vec::new(), source: None })
    }

    fn of(path: &Path, contents: Contents) -> Result<Self, KeysError> {
        let source = Some(blake3::hash(&contents.bytes));
        Ok(Self { warnings: contents.warnings, source, ..Self::parse(path, &contents.bytes)? })
    }

    /// The keys in TOML, as [`Keys::write`] writes them.
    ///
    /// # Errors
    /// If they have no form in TOML.
    pub fn compose(&self) -> Result<String, KeysError> {
        Ok(form::compose(&self.keys)?)
    }

    /// All keys, also those that are revoked or have expired.
    pub fn list(&self) -> &[Key] {
        &self.keys
    }

    /// What is dangerous about the file that they were read from.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Adds a key, and returns its secret, which is nowhere else.
    ///
    /// # Errors
    /// If there is a key of this name, even a revoked one; if it would expire at once or names a pack that cannot be; or without random
    /// numbers.
    pub fn add(&mut self, new: NewKey) -> Result<Secret, KeysError> {
        let NewKey { name, packs, quota, filter, admin, expires } = new;
        if let Some(key) = self.keys.iter().find(|key| key.name == name) {
            return Err(KeysError::Exists { name, revoked: key.revoked.is_some() });
        }
        let created = now();
        check_expiry(expires, created)?;
        if let PackScope::Named(packs) = &packs {
            packs.iter().try_for_each(|pack| pack_name(pack).map(drop))?;
        }
        let secret = Secret::generate().map_err(KeysError::Random)?;
        self.keys.push(Key { name, hash: secret.hash(), packs, quota, filter, admin, created, expires, revoked: None });
        Ok(secret)
    }

    /// Revokes a key, and returns since when it is revoked: a second time changes nothing. The key stays in the file, so that logs can tell
    /// who still uses it.
    ///
    /// # Errors
    /// If there is no such key.
    pub fn revoke(&mut self, name: &str) -> Result<Timestamp, KeysError> {
        let key = self.find(name)?;
        Ok(*key.revoked.get_or_insert_with(now))
    }

    /// Gives a key another secret, which it returns, and with `expires` another date. The old secret is refused from then on.
    ///
    /// # Errors
    /// If there is no such key, it is revoked, it has expired or would at once, or without random numbers.
    pub fn rotate(&mut self, name: &str, expires: Option<Timestamp>) -> Result<Secret, KeysError> {
        let now = now();
        let key = self.find(name)?;
        if key.revoked.is_some() {
            return Err(KeysError::Revoked { name: key.name.clone() });
        }
        check_expiry(expires, now)?;
        match key.expires {
            Some(at) if at <= now && expires.is_none() => return Err(KeysError::Expired { name: key.name.clone(), at }),
            _ => {}
        }
        let secret = Secret::generate().map_err(KeysError::Random)?;
        key.hash = secret.hash();
        key.expires = expires.or(key.expires);
        Ok(secret)
    }

    fn find(&mut self, name: &str) -> Result<&mut Key, KeysError> {
        let names = || self.keys.iter().map(|key| key.name.clone()).collect();
        match self.keys.iter().position(|key| key.name.as_str() == name) {
            Some(at) => Ok(&mut self.keys[at]),
            None => Err(KeysError::NoKey { name: name.to_owned(), names: names() }),
        }
    }

    /// Writes the file: all of it or nothing, with mode 600.
    ///
    /// # Errors
    /// [`KeysError::Changed`] if the file is not what these keys were read from; [`KeysError::Locked`] and [`KeysError::Io`] if it cannot be
    /// written.
    pub fn write(&mut self, path: &Path) -> Result<(), KeysError> {
        let file = Locked::new(path)?;
        let there = file.read()?.map(|contents| blake3::hash(&contents.bytes));
        if there != self.source {
            return Err(KeysError::Changed { path: path.to_owned() });
        }
        self.replace(&file)
    }

    fn replace(&mut self, file: &Locked) -> Result<(), KeysError> {
        let text = self.compose()?;
        file.write(text.as_bytes())?;
        self.source = Some(blake3::hash(text.as_bytes()));
        Ok(())
    }

    /// Reads a file, changes its keys and writes it, while no other process does. Nothing is written if `change` fails. Returns what `change`
    /// returned, and the keys.
    ///
    /// # Errors
    /// As [`Keys::read`] and [`Keys::write`], and those of `change`.
    pub fn update<T>(path: &Path, change: impl FnOnce(&mut Self) -> Result<T, KeysError>) -> Result<(T, Self), KeysError> {
        // A folder or file that is not there is said before a lock is made beside it.
        file::read(path)?;
        Self::change(path, change)
    }

    /// The same, beginning without keys if there is no file.
    ///
    /// # Errors
    /// As [`Keys::update`].
    pub fn create_or_update<T>(path: &Path, change: impl FnOnce(&mut Self) -> Result<T, KeysError>) -> Result<(T, Self), KeysError> {
        Self::change(path, change)
    }

    fn change<T>(path: &Path, change: impl FnOnce(&mut Self) -> Result<T, KeysError>) -> Result<(T, Self), KeysError> {
        let file = Locked::new(path)?;
        let mut keys = file.read()?.map_or_else(|| Ok(Self::new()), |contents| Self::of(path, contents))?;
        let result = change(&mut keys)?;
        keys.replace(&file)?;
        Ok((result, keys))
    }
}

fn check_expiry(expires: Option<Timestamp>, now: Timestamp) -> Result<(), KeysError> {
    match expires {
        Some(at) if at <= now => Err(KeysError::ExpiresEarly { at, now }),
        _ => Ok(()),
    }
}
