//! Objects that change: each is replaced only if no one else has replaced it.

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::error::StoreError;
use crate::remote::{Guard, Put, Store, Versioned};

/// How long is waited for the lock of a folder. Who holds it writes one small object.
const LOCK_WAIT: Duration = Duration::from_secs(60);

/// The object that the conditions of a store are tried on.
const PROBE: &str = "probe";

impl Store {
    /// Replaces `name`, which was `before` when it was read, by `bytes`. False if it is another now.
    ///
    /// If a connection is lost and it is unknown whether the object was written, it is read again: equal bytes are taken for one's own.
    ///
    /// # Errors
    /// If it cannot be read or written, or the store does not write on a condition.
    pub async fn replace(&self, name: &str, before: Option<&Versioned>, bytes: Bytes) -> Result<bool, StoreError> {
        match self.guard() {
            Guard::Conditional => self.replace_by_version(name, before, bytes).await,
            Guard::Folder(folder) => {
                // In a task of its own, so that the lock is held until the write has ended, also if the caller does not wait for it.
                let (store, folder, name, before) = (self.clone(), folder.clone(), name.to_owned(), before.cloned());
                let task = tokio::spawn(async move {
                    let _lock = lock(&folder).await?;
                    store.replace_by_contents(&name, before.as_ref(), bytes).await
                });
                task.await.map_err(|_| StoreError::Interrupted)?
            }
            Guard::None => self.replace_by_contents(name, before, bytes).await,
        }
    }

    async fn replace_by_contents(&self, name: &str, before: Option<&Versioned>, bytes: Bytes) -> Result<bool, StoreError> {
        let most = before.map_or(0, |before| before.bytes.len()).max(bytes.len()) as u64;
        let now = match self.read(name, most).await {
            // Longer than either: it is another.
            Err(StoreError::Length { .. }) => return Ok(false),
            now => now?,
        };
        if now.as_ref().map(|now| &now.bytes) != before.map(|before| &before.bytes) {
            return Ok(now.is_some_and(|now| now.bytes == bytes));
        }
        self.write(name, bytes).await?;
        Ok(true)
    }

    async fn replace_by_version(&self, name: &str, before: Option<&Versioned>, bytes: Bytes) -> Result<bool, StoreError> {
        let most = before.map_or(0, |before| before.bytes.len()).max(bytes.len()) as u64;
        let mut attempt = 1;
        loop {
            let changed = match self.write_if(name, bytes.clone(), before.map(|before| before.version.clone())).await {
                Ok(Put::Done) => return Ok(true),
                Ok(Put::Impossible) => return Err(self.unconditional("it says that it cannot")),
                Ok(Put::Changed) => true,
                Err(StoreError::Request { .. } | StoreError::Slow { .. }) if attempt < self.requests().attempts => false,
                Err(error) => return Err(error),
            };
            // Either another writer was first, or an earlier attempt of our own arrived although its answer did not.
            let now = match self.read(name, most).await {
                Err(StoreError::Length { .. }) => return Ok(false),
                now => now?,
            };
            if now.as_ref().is_some_and(|now| now.bytes == bytes) {
                return Ok(true);
            }
            if changed || now.as_ref().map(|now| &now.version) != before.map(|before| &before.version) {
                return Ok(false);
            }
            self.pause(attempt).await;
            attempt += 1;
        }
    }

    fn unconditional(&self, reason: &'static str) -> StoreError {
        StoreError::Unconditional { url: self.url().to_owned(), reason }
    }

    /// Tries whether the store obeys conditions: some servers take them and write all the same.
    ///
    /// # Errors
    /// If it does not.
    pub async fn check_conditions(&self) -> Result<(), StoreError> {
        if *self.guard() != Guard::Conditional {
            return Ok(());
        }
        let nonce = || getrandom::u64().unwrap_or_default().to_be_bytes().map(|byte| format!("{byte:02x}")).concat();
        let text = |turn: &str| Bytes::from(format!("mempack probe {turn} {}", nonce()));
        let old = self.write(PROBE, text("1")).await?;
        self.write(PROBE, text("2")).await?;
        if old.e_tag.is_none() && old.version.is_none() {
            return Err(self.unconditional("it gives objects no versions"));
        }
        for (version, reason) in
            [(Some(old), "it replaced another version than the one named"), (None, "it replaced an object that must be absent")]
        {
            match self.write_if_again(PROBE, text("3"), version).await? {
                Put::Changed => {}
                Put::Done => return Err(self.unconditional(reason)),
                Put::Impossible => return Err(self.unconditional("it says that it cannot")),
            }
        }
        Ok(())
    }

    /// A write on a condition that is false, however often it is tried.
    async fn write_if_again(&self, name: &str, bytes: Bytes, before: Option<object_store::UpdateVersion>) -> Result<Put, StoreError> {
        let mut attempt = 1;
        loop {
            match self.write_if(name, bytes.clone(), before.clone()).await {
                Err(StoreError::Request { .. } | StoreError::Slow { .. }) if attempt < self.requests().attempts => {
                    self.pause(attempt).await;
                    attempt += 1;
                }
                put => return put,
            }
        }
    }
}

/// Locks a folder until the file is dropped or the process ends. Creates the folder.
async fn lock(folder: &Path) -> Result<File, StoreError> {
    let failed = |source| StoreError::Io { action: "lock", path: folder.to_owned(), source };
    fs::create_dir_all(folder).map_err(failed)?;
    let file = File::open(folder).map_err(failed)?;
    let started = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if started.elapsed() < LOCK_WAIT => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(TryLockError::WouldBlock) => return Err(failed(std::io::ErrorKind::TimedOut.into())),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
}
