//! Where a reference comes from.

use mempack_format::Document as FormatDocument;
use mempack_runtime::{Place as RuntimePlace, ResolvedHit};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::json;

/// A place of a reference's text in a document of the corpus.
#[pyclass(frozen, module = "mempack", get_all)]
pub struct Place {
    /// The document's id.
    document: String,
    /// The document's title.
    title: String,
    /// The first byte of the place in the document's text (UTF-8).
    start: u64,
    /// The byte behind the last.
    end: u64,
    /// Where it stands in the document, as a citation says it.
    location: String,
}

#[pymethods]
impl Place {
    fn __repr__(&self) -> String {
        format!("Place(document={:?}, start={}, end={})", self.document, self.start, self.end)
    }
}

/// The document of a reference, and where the reference is in it.
#[pyclass(frozen, module = "mempack", get_all)]
pub struct Document {
    id: String,
    title: String,
    source: String,
    license: String,
    version: String,
    date: String,
    /// The first byte of the reference's text in the document's text (UTF-8).
    start: u64,
    /// The byte behind the last.
    end: u64,
    /// Where it stands in the document, as a citation says it.
    location: String,
    /// The headings that it stands below, the outermost first.
    headings: Vec<String>,
    metadata: Py<PyDict>,
    /// Other places of the same text, at most 32.
    further: Vec<Py<Place>>,
}

impl Document {
    pub fn of(py: Python<'_>, record: FormatDocument, found: ResolvedHit) -> PyResult<Self> {
        let metadata = PyDict::new(py);
        for field in &found.metadata {
            metadata.set_item(&field.name, json::to_python(py, &field.to_json())?)?;
        }
        let place = |RuntimePlace { document, title, start, end, place }| {
            Py::new(py, Place { document, title, start, end, location: place.to_string() })
        };
        let further = found.further.into_iter().map(place).collect::<PyResult<_>>()?;
        let FormatDocument { id, title, source, license, version, date, .. } = record;
        let (start, end, location, headings) = (found.start, found.end, found.place.to_string(), found.place.headings);
        Ok(Self { id, title, source, license, version, date, start, end, location, headings, metadata: metadata.unbind(), further })
    }
}

#[pymethods]
impl Document {
    fn __repr__(&self) -> String {
        format!("Document(id={:?}, title={:?}, start={}, end={})", self.id, self.title, self.start, self.end)
    }
}
