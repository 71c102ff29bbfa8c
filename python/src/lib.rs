//! The native module of the Python package `mempack`: packs as numpy arrays. Its interface is described in `mempack/_native.pyi`.
//!
//! Everything that takes long runs without the GIL, on as many threads as the caller wants, and ends when Python is interrupted ([`work`]). Arrays that are
//! returned are copies: a pack that is changed or cut short under a mapping is an exception, and never an array whose bytes change.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod document;
mod errors;
mod identity;
mod input;
mod json;
mod memory;
mod mounts;
mod opened;
mod pack;
mod search;
mod trust;
mod work;

use std::path::PathBuf;

use mempack_report::ReportOptions;
use pyo3::prelude::*;
use pyo3::types::PyModule;

/// The native module.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    // A file that is cut short while it is read is an exception and not the end of the interpreter. If the system refuses, it is as without.
    let _ = mempack_runtime::go_on_when_cut_short();
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    errors::add_to(module)?;
    module.add_class::<identity::MemoryShape>()?;
    module.add_class::<identity::ModelIdentity>()?;
    module.add_class::<identity::EmbedderIdentity>()?;
    module.add_class::<document::Place>()?;
    module.add_class::<document::Document>()?;
    module.add_class::<memory::Memories>()?;
    module.add_class::<pack::Pack>()?;
    module.add_class::<mounts::Hit>()?;
    module.add_class::<mounts::Mounts>()?;
    module.add_function(wrap_pyfunction!(run, module)?)?;
    module.add_function(wrap_pyfunction!(report, module)?)?;
    Ok(())
}

/// One HTML page about a pack: what `mempack report` writes.
#[pyfunction]
#[pyo3(signature = (pack, tokenizer=None, *, references=20, neighbours=5, seed=0))]
fn report(
    py: Python<'_>,
    pack: &pack::Pack,
    tokenizer: Option<PathBuf>,
    references: usize,
    neighbours: usize,
    seed: u64,
) -> PyResult<String> {
    let pack = pack.mapped()?;
    let options = ReportOptions { references, neighbours, seed, tokenizer };
    py.detach(|| mempack_report::report(&pack, &options)).map_err(errors::report)
}

/// The command line of mempack without what needs a model. Returns the exit code.
#[pyfunction]
#[pyo3(name = "main")]
fn run(py: Python<'_>, arguments: Vec<std::ffi::OsString>) -> u8 {
    py.detach(|| mempack::run(std::iter::once("mempack".into()).chain(arguments)))
}
