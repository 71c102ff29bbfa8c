//! Verification, comparison, repair and signatures.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use mempack_format::{PrivateKey, Repair, RepairError, Sample, Scope, SignError, VerifyEvent, sign_file};
use mempack_runtime::{DiffError, MappedBytes, MappedPack, RepairFileError, Side, diff, write_repaired};
use pyo3::exceptions::{PyKeyboardInterrupt, PyValueError};
use pyo3::prelude::*;
use serde_json::Value;

use crate::errors;
use crate::work::Watch;

/// Asks Python whether it was interrupted, and keeps the exception.
struct Interruption {
    watch: Watch,
    raised: Option<PyErr>,
}

impl Interruption {
    fn new() -> Self {
        Self { watch: Watch::new(), raised: None }
    }

    fn look(&mut self) -> ControlFlow<()> {
        match self.watch.look() {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.raised = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    fn error(self) -> PyErr {
        self.raised.unwrap_or_else(|| PyKeyboardInterrupt::new_err(()))
    }
}

pub fn verify(py: Python<'_>, pack: &MappedPack, sample: Option<f64>, seed: u64) -> PyResult<()> {
    let scope = match sample {
        None => Scope::Whole,
        Some(share) => Scope::Sample(
            Sample::new(share, seed)
                .ok_or_else(|| PyValueError::new_err(format!("sample is {share}; a share above 0 and at most 1 is expected")))?,
        ),
    };
    py.detach(|| {
        let (mut first, mut interruption) = (None, Interruption::new());
        let ended = pack.survey(scope, &mut |event| match event {
            VerifyEvent::Progress(_) => interruption.look(),
            VerifyEvent::Damage(damage) => {
                first = Some(damage);
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        });
        match (first, ended) {
            (Some(damage), _) => Err(errors::damaged(pack.path(), &damage)),
            (None, Ok(_)) => Ok(()),
            (None, Err(_)) => Err(interruption.error()),
        }
    })
}

/// The summary of a comparison, with all changes.
pub fn compare(old: &MappedPack, new: &MappedPack) -> PyResult<Value> {
    let failed = |error: DiffError| errors::read(if error.side == Side::Old { old.path() } else { new.path() }, error.source);
    let mut changes = Vec::new();
    let report = diff(old, new, &mut |change| changes.push(change)).map_err(failed)?;
    let mut all = report.to_json(old, new);
    let changes = changes.iter().map(|change| change.to_json(old, new)).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    if let Some(fields) = all.as_object_mut() {
        fields.insert("changes".into(), changes.into());
    }
    Ok(all)
}

pub fn repair(py: Python<'_>, pack: &Path, donors: &[PathBuf], out: Option<&Path>) -> PyResult<usize> {
    // A file may be named in several ways.
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let target = out.filter(|out| real(out) != real(pack));
    py.detach(|| {
        let mut interruption = Interruption::new();
        let damaged = MappedBytes::open(pack).map_err(errors::map)?;
        let mapped = donors.iter().map(MappedBytes::open).collect::<Result<Vec<_>, _>>().map_err(errors::map)?;
        let mapped: Vec<&[u8]> = mapped.iter().map(AsRef::as_ref).collect();
        let planned = match Repair::plan(damaged.as_ref(), &mapped, &mut |_| interruption.look()) {
            Ok(planned) => planned,
            Err(RepairError::Interrupted(_)) => return Err(interruption.error()),
            Err(error) => {
                let at_fault = match &error {
                    RepairError::Donor { donor, .. } => donors.get(*donor).map_or(pack, PathBuf::as_path),
                    _ => pack,
                };
                return Err(errors::with_path(errors::RepairError::new_err(format!("{}: {error}", at_fault.display())), at_fault));
            }
        };
        let mended = planned.mended().len();
        if mended == 0 && target.is_none() {
            return Ok(0);
        }
        match write_repaired(&planned, pack, target, &mut |_, _, _| interruption.look()) {
            Ok(()) => Ok(mended),
            Err(RepairFileError::Interrupted) => Err(interruption.error()),
            Err(error) => {
                let message = error.to_string();
                Err(match error {
                    RepairFileError::Io { path, source, .. } => errors::io(&path, &source, message),
                    _ => errors::with_path(errors::RepairError::new_err(message), pack),
                })
            }
        }
    })
}

pub fn sign(py: Python<'_>, pack: &Path, key: &Path) -> PyResult<String> {
    let key = PrivateKey::read(key).map_err(|error| errors::with_path(errors::SignatureError::new_err(error.to_string()), key))?;
    py.detach(|| {
        let mut interruption = Interruption::new();
        let signed = sign_file(pack, &key, pack, &mut |_, _| interruption.look());
        signed.map(|_| key.public().id().to_string()).map_err(|error| {
            let message = error.to_string();
            match error {
                SignError::Interrupted => interruption.error(),
                SignError::Io { path, source, .. } => errors::io(&path, &source, message),
                SignError::Open { path, source } => errors::open(&path, &source, message),
                _ => errors::with_path(errors::SignatureError::new_err(message), pack),
            }
        })
    })
}
