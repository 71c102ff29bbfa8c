//! Exceptions, each with fields that say what is wrong where.

use std::path::Path;

use mempack_format::{Damage, Difference, OpenError, ReadError};
use mempack_report::ReportError;
use mempack_runtime::{
    CiteError, FetchError, FilterError as ExpressionError, MapError, MountError as RuntimeMountError, NotSigned, PackSearchError,
    SearchError, SelectError,
};
use pyo3::exceptions::{PyException, PyFileNotFoundError, PyIndexError, PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::{IntoPyObject, create_exception};

create_exception!(mempack, MempackError, PyException, "What every error of this package is.");
create_exception!(
    mempack,
    PackOpenError,
    MempackError,
    "A file that is no pack, or a pack of another version of the format. Fields: `path`."
);
create_exception!(mempack, DamageError, MempackError, "A pack whose bytes are not what was written. Fields: `path`, `section`, `offset`.");
create_exception!(mempack, MismatchError, MempackError, "A pack of another model or embedder. Fields: `path`, `differences`.");
create_exception!(
    mempack,
    FilterError,
    MempackError,
    "A filter that cannot be read, or does not fit the fields of a pack. Fields: `expression`."
);
create_exception!(mempack, MountError, MempackError, "A name that is taken, or that no mounted pack has. Fields: `name`.");
create_exception!(mempack, SignatureError, MempackError, "A signature that is missing or wrong, or a file that is no key. Fields: `path`.");
create_exception!(mempack, RepairError, MempackError, "A pack that the donors cannot repair. Fields: `path`.");

pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    for (name, kind) in [
        ("MempackError", py.get_type::<MempackError>()),
        ("PackOpenError", py.get_type::<PackOpenError>()),
        ("DamageError", py.get_type::<DamageError>()),
        ("MismatchError", py.get_type::<MismatchError>()),
        ("FilterError", py.get_type::<FilterError>()),
        ("MountError", py.get_type::<MountError>()),
        ("SignatureError", py.get_type::<SignatureError>()),
        ("RepairError", py.get_type::<RepairError>()),
    ] {
        module.add(name, kind)?;
    }
    Ok(())
}

/// An exception with a field.
pub fn with<'py, V: IntoPyObject<'py>>(py: Python<'py>, error: PyErr, field: &str, value: V) -> PyErr {
    match error.value(py).setattr(field, value) {
        Ok(()) => error,
        Err(other) => other,
    }
}

pub fn with_path(error: PyErr, path: &Path) -> PyErr {
    Python::attach(|py| with(py, error, "path", path.display().to_string()))
}

/// Damage, with its place.
pub fn damaged(path: &Path, damage: &Damage) -> PyErr {
    Python::attach(|py| {
        let error = DamageError::new_err(format!("{}: {damage}", path.display()));
        let error = with(py, error, "path", path.display().to_string());
        let error = with(py, error, "section", damage.section.to_string());
        with(py, error, "offset", damage.offset)
    })
}

/// Damage without a place of its own: of a header, for example.
fn damaged_somewhere(path: &Path, message: String) -> PyErr {
    Python::attach(|py| {
        let error = with(py, DamageError::new_err(message), "path", path.display().to_string());
        let error = with(py, error, "section", py.None());
        with(py, error, "offset", py.None())
    })
}

pub fn read(path: &Path, error: ReadError) -> PyErr {
    match &error {
        ReadError::Damaged(damage) => damaged(path, damage),
        ReadError::OutOfRange { .. } => PyIndexError::new_err(error.to_string()),
        _ => MempackError::new_err(format!("{}: {error}", path.display())),
    }
}

pub fn map(error: MapError) -> PyErr {
    let message = error.to_string();
    match error {
        MapError::Io { path, source } => io(&path, &source, message),
        MapError::Open { path, source } => open(&path, &source, message),
        _ => MempackError::new_err(message),
    }
}

pub fn open(path: &Path, source: &OpenError, message: String) -> PyErr {
    if source.is_damage() { damaged_somewhere(path, message) } else { with_path(PackOpenError::new_err(message), path) }
}

pub fn io(path: &Path, source: &std::io::Error, message: String) -> PyErr {
    let (number, path) = (source.raw_os_error(), path.display().to_string());
    match (source.kind(), number) {
        (std::io::ErrorKind::NotFound, Some(number)) => PyFileNotFoundError::new_err((number, message, path)),
        (_, Some(number)) => PyOSError::new_err((number, message, path)),
        _ => PyOSError::new_err(message),
    }
}

pub fn fetch(error: FetchError) -> PyErr {
    read(&error.path, *error.source)
}

pub fn cite(error: CiteError) -> PyErr {
    read(&error.path, *error.source)
}

/// Why no page about a pack was made.
pub fn report(error: ReportError) -> PyErr {
    let message = error.to_string();
    match error {
        ReportError::Read { path, source } => read(&path, *source),
        ReportError::Fetch(error) => fetch(error),
        ReportError::Search { path, source, .. } => search(PackSearchError { path, source }),
        ReportError::OtherTokenizer { path, expected, found, .. } => {
            let difference = Difference { field: "tokenizer", pack: expected.to_string(), model: found.to_string() };
            mismatch(Some(&path), message, vec![difference])
        }
        _ => PyValueError::new_err(message),
    }
}

pub fn search(error: PackSearchError) -> PyErr {
    match *error.source {
        SearchError::Read(source) => read(&error.path, source),
        other => PyValueError::new_err(other.to_string()),
    }
}

pub fn filter(error: &ExpressionError) -> PyErr {
    let raised = FilterError::new_err(error.to_string());
    Python::attach(|py| with(py, raised, "expression", error.expression.clone()))
}

pub fn select(error: SelectError) -> PyErr {
    let message = error.to_string();
    match error {
        SelectError::Read { path, source } => read(&path, source),
        SelectError::Names(source) | SelectError::Pack { source, .. } => {
            let raised = FilterError::new_err(message);
            Python::attach(|py| with(py, raised, "expression", source.expression.clone()))
        }
        _ => MempackError::new_err(message),
    }
}

/// Identities that differ: `pack` is the value of the pack.
pub fn mismatch(path: Option<&Path>, message: String, differences: Vec<Difference>) -> PyErr {
    let fields: Vec<(String, String, String)> = differences.into_iter().map(|one| (one.field.to_owned(), one.pack, one.model)).collect();
    Python::attach(|py| {
        let error = with(py, MismatchError::new_err(message), "path", path.map(|path| path.display().to_string()));
        with(py, error, "differences", fields)
    })
}

pub fn not_signed(error: &NotSigned) -> PyErr {
    with_path(SignatureError::new_err(error.to_string()), &error.path)
}

pub fn mount(error: RuntimeMountError) -> PyErr {
    let message = error.to_string();
    let named = |name: String, message| Python::attach(|py| with(py, MountError::new_err(message), "name", name));
    match error {
        RuntimeMountError::Mismatch { path, differences, .. } => mismatch(Some(&path), message, differences),
        RuntimeMountError::NotSigned(error) => not_signed(&error),
        RuntimeMountError::Filter(error) => select(error),
        RuntimeMountError::NameTaken { name, .. } | RuntimeMountError::NotMounted { name, .. } | RuntimeMountError::Last { name } => {
            named(name, message)
        }
        _ => MempackError::new_err(message),
    }
}
