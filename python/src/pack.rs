//! One pack.

use std::path::PathBuf;

use mempack_runtime::{Hit, MappedPack};
use numpy::{PyArray1, PyArray2, PyArrayMethods as _};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::document::Document;
use crate::identity::{EmbedderIdentity, ModelIdentity};
use crate::input::{Float, Vectors, reference, references};
use crate::memory::{Memories, decode};
use crate::opened::Opened;
use crate::search::{Found, How, Texts, nearest, ranked};
use crate::{errors, json, trust, work};

/// A memory pack, mapped into memory. Opening costs the same for every size. Everything read is compared with its digest first.
#[pyclass(frozen, module = "mempack")]
pub struct Pack {
    opened: Opened,
}

impl Pack {
    pub fn of(opened: Opened) -> Self {
        Self { opened }
    }

    pub fn mapped(&self) -> PyResult<std::sync::Arc<MappedPack>> {
        self.opened.pack()
    }
}

#[pymethods]
impl Pack {
    /// Opens the pack at `path`.
    #[new]
    fn new(path: PathBuf) -> PyResult<Self> {
        Ok(Self { opened: Opened::open(path)? })
    }

    /// References.
    fn __len__(&self) -> PyResult<usize> {
        Ok(self.mapped()?.manifest().counts.references as usize)
    }

    fn __repr__(&self) -> PyResult<String> {
        let pack = self.mapped()?;
        let counts = &pack.manifest().counts;
        Ok(format!(
            "Pack({:?}, {} references of {} documents, {} MiB, codec {}, model {:?})",
            pack.path().display().to_string(),
            counts.references,
            counts.documents,
            pack.bytes() >> 20,
            pack.manifest().codec,
            pack.manifest().model.name
        ))
    }

    /// The pack as a table, for notebooks.
    fn _repr_html_(&self) -> PyResult<String> {
        let pack = self.mapped()?;
        let manifest = pack.manifest();
        let (counts, shape) = (&manifest.counts, &manifest.model.shape);
        let rows = [
            ("pack", pack.path().display().to_string()),
            ("id", pack.id().to_string()),
            ("bytes", pack.bytes().to_string()),
            ("references", counts.references.to_string()),
            ("documents", counts.documents.to_string()),
            ("codec", manifest.codec.to_string()),
            ("model", manifest.model.name.clone()),
            (
                "memories",
                format!(
                    "{} layers from {}, {} heads, at most {} tokens a head",
                    shape.layers, manifest.model.first_memory_layer, shape.heads, shape.tokens
                ),
            ),
            ("embedder", format!("{}, {} dimensions", manifest.embedder.name, manifest.embedder.dim)),
            ("signed by", self.signed_by()?.join(", ")),
        ];
        let row = |(name, value): &(&str, String)| format!("<tr><th scope=\"row\">{name}</th><td>{}</td></tr>", escaped(value));
        Ok(format!("<table>{}</table>", rows.iter().map(row).collect::<String>()))
    }

    /// Opens the file of the same path again, in another process for example.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, (String,))> {
        Ok((slf.get_type().into_any(), (slf.get().path()?,)))
    }

    /// The path that it was opened with.
    #[getter]
    fn path(&self) -> PyResult<String> {
        Ok(self.mapped()?.path().display().to_string())
    }

    /// The file's name without its extension.
    #[getter]
    fn name(&self) -> PyResult<String> {
        Ok(self.mapped()?.stem())
    }

    /// The id: a digest of all its bytes, in hexadecimal.
    #[getter]
    fn id(&self) -> PyResult<String> {
        Ok(self.mapped()?.id().to_string())
    }

    /// Bytes of the file.
    #[getter]
    fn bytes(&self) -> PyResult<u64> {
        Ok(self.mapped()?.bytes())
    }

    /// Documents.
    #[getter]
    fn documents(&self) -> PyResult<u32> {
        Ok(self.mapped()?.manifest().counts.documents)
    }

    /// What its memories depend on in the model that wrote them.
    #[getter]
    fn identity(&self, py: Python<'_>) -> PyResult<ModelIdentity> {
        ModelIdentity::of(py, &self.mapped()?.manifest().model)
    }

    /// What its embeddings depend on in the embedder.
    #[getter]
    fn embedder(&self) -> PyResult<EmbedderIdentity> {
        Ok(EmbedderIdentity::of(&self.mapped()?.manifest().embedder))
    }

    /// The codec of its memories, by name.
    #[getter]
    fn codec(&self) -> PyResult<String> {
        Ok(self.mapped()?.manifest().codec.to_string())
    }

    /// What the codec loses; None if the pack does not say.
    #[getter]
    fn quality(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.mapped()?.quality() {
            Some(quality) => json::to_python(py, &mempack_runtime::quality_json(quality)),
            None => Ok(py.None()),
        }
    }

    /// Bytes of each section, by its name.
    #[getter]
    fn sections<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let sections = PyDict::new(py);
        for section in self.mapped()?.sections() {
            sections.set_item(section.tag.to_string(), section.length)?;
        }
        Ok(sections)
    }

    /// Fields of its documents, for filters.
    #[getter]
    fn fields(&self) -> PyResult<Vec<String>> {
        self.opened.set(None)?.fields().map_err(errors::select)
    }

    /// Ids of the keys whose signatures are right.
    #[getter]
    fn signed_by(&self) -> PyResult<Vec<String>> {
        let pack = self.mapped()?;
        Ok(pack
            .signatures()
            .iter()
            .filter(|signature| signature.check(pack.id()).is_ok())
            .map(|signature| signature.key_id().to_string())
            .collect())
    }

    /// The references nearest to each vector, best first.
    ///
    /// `vectors`: `[n, dim]` or `[dim]`, of length 1. Returns ids (int64) and cosines (float32), both `[n, k]` or `[k]`; places without a hit are -1 and
    /// -inf. Through the graph, with a candidate list of `ef`, or `exact`. `where` is a filter over the fields of documents.
    #[pyo3(signature = (vectors, k=5, *, exact=false, ef=None, r#where=None, threads=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments")]
    fn search<'py>(
        &self,
        py: Python<'py>,
        vectors: &Bound<'py, PyAny>,
        k: i64,
        exact: bool,
        ef: Option<i64>,
        r#where: Option<&str>,
        threads: Option<i64>,
    ) -> PyResult<(Py<PyAny>, Py<PyAny>)> {
        let how = How::of(k, exact, ef, threads)?;
        let vectors = Vectors::of(vectors, self.mapped()?.manifest().embedder.dim as usize)?;
        let found = nearest(py, &self.opened.set(r#where)?, &vectors, &how)?;
        arrays(py, found, how.k(), vectors.single)
    }

    /// The references that share most terms with each text (BM25), or, with vectors of the texts, are best by terms and vectors together.
    ///
    /// `ranking` is "lexical" without vectors and "hybrid" with them. Returns as `search` does; scores are those of the ranking.
    #[pyo3(signature = (texts, vectors=None, k=5, *, ranking=None, exact=false, r#where=None, threads=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments")]
    fn search_text<'py>(
        &self,
        py: Python<'py>,
        texts: &Bound<'py, PyAny>,
        vectors: Option<&Bound<'py, PyAny>>,
        k: i64,
        ranking: Option<&str>,
        exact: bool,
        r#where: Option<&str>,
        threads: Option<i64>,
    ) -> PyResult<(Py<PyAny>, Py<PyAny>)> {
        let how = How::of(k, exact, None, threads)?;
        let set = self.opened.set(r#where)?;
        let texts = Texts::of(texts, vectors, ranking, &set, self.mapped()?.manifest().embedder.dim as usize)?;
        let found = ranked(py, &set, &texts, &how)?;
        arrays(py, found, how.k(), texts.single)
    }

    /// The text of a reference.
    fn text(&self, reference: &Bound<'_, PyAny>) -> PyResult<String> {
        let pack = self.mapped()?;
        let number = self.number(&pack, reference)?;
        Ok(pack.describe(&Hit { reference: number, similarity: 0.0 }).map_err(|error| errors::read(pack.path(), error))?.text)
    }

    /// The document of a reference, the first if several have its text, and where the reference is in it.
    fn document(&self, py: Python<'_>, reference: &Bound<'_, PyAny>) -> PyResult<Document> {
        let pack = self.mapped()?;
        let number = self.number(&pack, reference)?;
        let failed = |error| errors::read(pack.path(), error);
        let found = pack.describe(&Hit { reference: number, similarity: 0.0 }).map_err(failed)?;
        let first = pack.origins(number).map_err(failed)?.next();
        let record = first.map(|origin| pack.document(origin.document)).transpose().map_err(failed)?;
        Document::of(py, record.unwrap_or_default(), found)
    }

    /// `[n, dim]`, float32: the unit vectors of references.
    fn embeddings<'py>(&self, py: Python<'py>, references: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let pack = self.mapped()?;
        let numbers = self::references(references, pack.manifest().counts.references)?;
        let dim = pack.manifest().embedder.dim as usize;
        let rows = work::each(py, numbers.len(), 1, |index| {
            let number = numbers.get(index).copied().unwrap_or_default();
            let vector = pack.embedding(number).map_err(|error| errors::read(pack.path(), error))?;
            Ok(vector.iter().map(|x| x.get()).collect::<Vec<f32>>())
        })?;
        PyArray1::from_vec(py, rows.concat()).reshape([numbers.len(), dim])
    }

    /// The memories of references, decoded in parallel.
    ///
    /// `dtype` is float32 or float16. `out` has arrays for keys and values, of the right shape and of `dtype`, which are filled and returned.
    #[pyo3(signature = (references, *, dtype=None, out=None, threads=None))]
    fn memory<'py>(
        &self,
        py: Python<'py>,
        references: &Bound<'py, PyAny>,
        dtype: Option<&Bound<'py, PyAny>>,
        out: Option<&Bound<'py, PyAny>>,
        threads: Option<i64>,
    ) -> PyResult<Memories> {
        let pack = self.mapped()?;
        let numbers = self::references(references, pack.manifest().counts.references)?;
        let float = dtype.map_or(Ok(Float::Single), Float::of)?;
        let expected = || PyTypeError::new_err("out is no pair of arrays (keys, values)");
        let out = out.map(|out| out.extract::<(Bound<'py, PyAny>, Bound<'py, PyAny>)>().map_err(|_| expected())).transpose()?;
        decode(py, &pack, &numbers, float, out, work::threads(threads)?)
    }

    /// Compares every byte with its digest, or those of a share of memories, embeddings and texts. Raises `DamageError` for the first damage.
    #[pyo3(signature = (sample=None, seed=0))]
    fn verify(&self, py: Python<'_>, sample: Option<f64>, seed: u64) -> PyResult<()> {
        trust::verify(py, &*self.mapped()?, sample, seed)
    }

    /// What `newer` has that this pack has not, and the reverse: what `mempack diff --json` prints, with the changes as a list.
    fn diff(&self, py: Python<'_>, newer: &Self) -> PyResult<Py<PyAny>> {
        let (old, new) = (self.mapped()?, newer.mapped()?);
        let differences = py.detach(|| trust::compare(&old, &new))?;
        json::to_python(py, &differences)
    }

    /// Writes this pack, with what is damaged taken from `donors`, to `out`, or in place of its file. Returns how many parts were damaged. An open pack keeps
    /// what it has mapped: open the file again.
    #[pyo3(signature = (donors, out=None))]
    fn repair(&self, py: Python<'_>, donors: Vec<PathBuf>, out: Option<PathBuf>) -> PyResult<usize> {
        if donors.is_empty() {
            return Err(PyValueError::new_err("donors are empty; name packs to take undamaged parts from"));
        }
        trust::repair(py, self.mapped()?.path(), &donors, out.as_deref())
    }

    /// Adds a signature to the file, by the private key in a PEM file. Returns the key's id. An open pack does not see it.
    fn sign(&self, py: Python<'_>, key: PathBuf) -> PyResult<String> {
        trust::sign(py, self.mapped()?.path(), &key)
    }
}

impl Pack {
    fn number(&self, pack: &MappedPack, given: &Bound<'_, PyAny>) -> PyResult<u32> {
        reference(given, pack.manifest().counts.references)
    }
}

/// A text as HTML shows it.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Ids `[n, k]` and scores `[n, k]`; `[k]` for a single query.
fn arrays(py: Python<'_>, found: Found, k: usize, single: bool) -> PyResult<(Py<PyAny>, Py<PyAny>)> {
    let rows = found.len();
    let (mut ids, mut scores) = (Vec::with_capacity(rows * k), Vec::with_capacity(rows * k));
    for (row, hits) in found.into_iter().enumerate() {
        for hit in hits {
            ids.push(i64::from(hit.reference.number));
            scores.push(hit.similarity);
        }
        ids.resize((row + 1) * k, -1);
        scores.resize((row + 1) * k, f32::NEG_INFINITY);
    }
    let shape = if single { vec![k] } else { vec![rows, k] };
    let ids = PyArray1::from_vec(py, ids).reshape(shape.clone())?.into_any().unbind();
    Ok((ids, PyArray1::from_vec(py, scores).reshape(shape)?.into_any().unbind()))
}
