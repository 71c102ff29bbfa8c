//! What the measurements of `mempack eval` share: the file of details, an interruption, and the failure that ended one.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use mempack_evaluation::EvaluateError;
use mempack_runtime::SessionError;
use serde::Serialize;

use crate::failure::{Failure, Kind};
use crate::hints;
use crate::output_file::{NewFile, OutputFile};
use crate::progress::Progress;
use crate::terminal::{self, errln, out};

/// A measurement under way.
pub struct Measuring {
    pub interrupted: &'static AtomicBool,
    pub progress: Progress,
    pub json: bool,
}

impl Measuring {
    /// Whether to continue after a question.
    pub fn proceed(&self, written: ControlFlow<()>) -> ControlFlow<()> {
        if self.interrupted.load(Ordering::SeqCst) { ControlFlow::Break(()) } else { written }
    }

    /// The report, or the failure that ended the measurement.
    pub fn finish<T>(&self, details: Details, report: Result<T, EvaluateError>) -> Result<T, Failure> {
        self.progress.end();
        details.finish(report.is_ok())?;
        report.map_err(|error| {
            let kind = match &error {
                EvaluateError::Interrupted => Kind::Interrupted,
                EvaluateError::Mismatch(_) => Kind::Mismatch,
                EvaluateError::Option { .. } | EvaluateError::Mode { .. } | EvaluateError::Session(SessionError::Option(_)) => Kind::Usage,
                error if error.is_damage() => Kind::Damaged,
                _ => Kind::Work,
            };
            let (hint, details) = (hints::evaluation(&error), hints::evaluation_details(&error));
            Failure::new(kind, error).with_hint(hint).with_details(details)
        })
    }

    pub fn print(&self, report: &(impl Serialize + std::fmt::Display)) -> Result<(), Failure> {
        if self.json {
            terminal::print_json(&serde_json::to_string(report)?);
        } else {
            out!("{report}");
        }
        Ok(())
    }
}

/// The file of `--details`, written line by line beside its place, so that an evaluation that ends early leaves its results.
pub struct Details {
    file: Option<NewFile>,
    failed: Option<io::Error>,
}

impl Details {
    pub fn create(file: Option<OutputFile>) -> Result<Self, Failure> {
        Ok(Self { file: file.map(OutputFile::begin).transpose()?, failed: None })
    }

    /// Writes a line. Returns `Break` if that fails.
    pub fn write(&mut self, row: &impl Serialize) -> ControlFlow<()> {
        let Some(file) = &mut self.file else { return ControlFlow::Continue(()) };
        let line = serde_json::to_string(row).map_err(io::Error::from).and_then(|line| writeln!(file, "{line}"));
        match line {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.failed = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    /// Renames the file if the evaluation is `complete`; otherwise says where its lines are.
    pub fn finish(self, complete: bool) -> Result<(), Failure> {
        match (self.file, self.failed) {
            (Some(file), Some(error)) => Err(Failure::new(Kind::Work, format!("{}: {error}", file.part().display()))),
            (Some(file), None) if complete => file.finish(),
            (Some(file), None) => {
                errln!("mempack: the details so far are in {}", file.part().display());
                Ok(())
            }
            (None, _) => Ok(()),
        }
    }
}
