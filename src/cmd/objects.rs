//! What the commands that work with object stores share.

use std::error::Error;

use mempack_store::{ConnectOptions, Stage, Store, StoreError, Watch, connect};

use crate::failure::{Failure, Kind};
use crate::interrupt;
use crate::progress::Progress;

/// Shows progress, and ends the reading of files when the user wants to stop.
pub struct Watcher(Progress);

impl Watcher {
    pub fn new() -> Self {
        // So that Ctrl-C is listened to from the beginning.
        interrupt::flag();
        Self(Progress::new())
    }

    /// Ends the stage that is shown.
    pub fn end(&self) {
        self.0.end();
    }
}

impl Watch for Watcher {
    fn begin(&self, stage: Stage, total: u64) {
        let (name, unit) = match stage {
            Stage::Reading => ("reading", "bytes"),
            Stage::Looking => ("looking", "objects"),
            Stage::Sending => ("sending", "bytes"),
            Stage::Fetching => ("fetching", "bytes"),
            Stage::Verifying => ("verifying", "bytes"),
            Stage::Deleting => ("deleting", "objects"),
            _ => ("working", "units"),
        };
        self.0.begin(name, unit, Some(total));
    }

    fn advance(&self, units: u64) {
        self.0.advance(units, 0);
    }

    fn is_cancelled(&self) -> bool {
        interrupt::flag().load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// The store at an address, with the settings that the environment has.
pub fn open(address: &str, allow_unconditional: bool) -> Result<Store, Failure> {
    let options = ConnectOptions { allow_unconditional, ..ConnectOptions::from_environment() };
    connect(address, &options).map_err(failed)
}

/// Runs work with a store until it ends or the user stops it.
pub fn run<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, Failure> {
    mempack_store::run(interrupt::flag(), work).map_err(failed)
}

/// A failure with the exit code of its kind.
pub fn failed(error: impl Into<StoreError>) -> Failure {
    let error = error.into();
    let kind = match &error {
        error if error.is_damage() => Kind::Damaged,
        StoreError::Interrupted => Kind::Interrupted,
        StoreError::Url { .. } | StoreError::Name { .. } | StoreError::WhichName { .. } | StoreError::WhichEdition { .. } => Kind::Usage,
        _ => Kind::Work,
    };
    let credentials = matches!(error, StoreError::Denied { .. }) || unsigned(&error);
    let hint = "credentials and settings come from the environment: AWS_ACCESS_KEY_ID, AWS_REGION, AWS_ENDPOINT, GOOGLE_APPLICATION_CREDENTIALS, \
                AZURE_STORAGE_ACCOUNT_NAME and others; docs/stores.md lists them";
    Failure::new(kind, error).with_hint(credentials.then_some(hint))
}

/// Whether a request failed because no credentials were found.
fn unsigned(error: &StoreError) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if ["credential", "169.254.169.254", "metadata.google"].iter().any(|word| error.to_string().contains(word)) {
            return true;
        }
        cause = error.source();
    }
    false
}
