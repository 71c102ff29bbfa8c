//! Several packs of one model.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mempack_format::PublicKey;
use mempack_runtime::{Hit as RuntimeHit, MappedPack, Mounts as RuntimeMounts, OnDamage, PackReference, PackSet, ResolvedHit, cite};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping, PyString};

use crate::document::Document;
use crate::errors;
use crate::identity::{EmbedderIdentity, ModelIdentity};
use crate::input::Vectors;
use crate::opened::{Opened, selecting};
use crate::pack::Pack;
use crate::search::{Found, How, Texts, nearest, ranked};

/// A reference that was found in one of several packs.
#[pyclass(frozen, module = "mempack")]
pub struct Hit {
    #[pyo3(get)]
    pack: Py<Pack>,
    /// The name under which the pack is mounted.
    #[pyo3(get)]
    name: String,
    #[pyo3(get)]
    reference: u32,
    #[pyo3(get)]
    score: f32,
    /// Keeps the filter that it was found by.
    found: RuntimeHit<PackReference>,
}

#[pymethods]
impl Hit {
    /// The text of the reference.
    fn text(&self) -> PyResult<String> {
        Ok(self.cited()?.text)
    }

    /// The document of the reference, the first that the filter of the search admits, and where the reference is in it.
    fn document(&self, py: Python<'_>) -> PyResult<Document> {
        let (pack, found) = (self.found.reference.pack.pack(), self.cited()?);
        let failed = |error| errors::read(pack.path(), error);
        for origin in pack.origins(self.reference).map_err(failed)? {
            let record = pack.document(origin.document).map_err(failed)?;
            if (&record.id, origin.start, origin.end) == (&found.document, found.start, found.end) {
                return Document::of(py, record, found);
            }
        }
        // Another process has overwritten the file since it was cited.
        Err(errors::MempackError::new_err(format!(
            "{}: the place of reference {} has changed; open the pack again",
            pack.path().display(),
            self.reference
        )))
    }

    fn __repr__(&self) -> String {
        format!("Hit(name={:?}, reference={}, score={})", self.name, self.reference, self.score)
    }
}

/// Packs of one model and one embedder, searched with one ranking. They may be replaced while others search.
#[pyclass(frozen, module = "mempack")]
pub struct Mounts {
    mounts: RuntimeMounts,
    /// The packs as Python knows them: what was given, or made of a path.
    known: Mutex<Vec<Py<Pack>>>,
}

#[pymethods]
impl Mounts {
    /// Packs by their names (a mapping), or with the names of their files (a sequence, or one). With `trusted`, files of public keys, one of these must
    /// have signed each pack.
    #[new]
    #[pyo3(signature = (packs, *, trusted=Vec::new()))]
    fn new(packs: &Bound<'_, PyAny>, trusted: Vec<PathBuf>) -> PyResult<Self> {
        let given = given(packs)?;
        let mut given = given.into_iter();
        let Some((name, first)) = given.next() else {
            return Err(PyValueError::new_err("packs are empty; a set begins with at least one"));
        };
        let keys = trusted
            .iter()
            .map(|path| PublicKey::read(path).map_err(|error| errors::with_path(errors::SignatureError::new_err(error.to_string()), path)));
        let keys = keys.collect::<PyResult<Vec<_>>>()?;
        let mounts = RuntimeMounts::new(name, first.get().mapped()?).demanding(keys).map_err(errors::mount)?;
        let set = Self { mounts, known: Mutex::new(vec![first]) };
        for (name, pack) in given {
            set.mounts.mount(name, pack.get().mapped()?).map_err(errors::mount)?;
            set.remember(pack);
        }
        Ok(set)
    }

    fn __len__(&self) -> usize {
        self.mounts.packs().packs().len()
    }

    fn __repr__(&self) -> String {
        let names: Vec<String> = self.mounts.packs().packs().iter().map(|mounted| format!("{:?}", mounted.name())).collect();
        format!("Mounts([{}])", names.join(", "))
    }

    /// The mounted packs by their names.
    #[getter]
    fn packs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let packs = PyDict::new(py);
        for mounted in self.mounts.packs().packs() {
            packs.set_item(mounted.name(), self.known(py, mounted.pack())?)?;
        }
        Ok(packs)
    }

    /// What the memories of all packs depend on in the model that wrote them.
    #[getter]
    fn identity(&self, py: Python<'_>) -> PyResult<ModelIdentity> {
        ModelIdentity::of(py, self.mounts.model())
    }

    /// What the embeddings of all packs depend on in the embedder.
    #[getter]
    fn embedder(&self) -> EmbedderIdentity {
        EmbedderIdentity::of(self.mounts.embedder())
    }

    /// Mounts a pack under a name that is free.
    fn mount(&self, name: String, pack: &Bound<'_, PyAny>) -> PyResult<()> {
        let pack = opened(pack)?;
        self.mounts.mount(name, pack.get().mapped()?).map_err(errors::mount)?;
        self.remember(pack);
        Ok(())
    }

    /// Mounts a pack in place of the one that has the name. Searches under way keep the old one.
    fn replace(&self, py: Python<'_>, name: &str, pack: &Bound<'_, PyAny>) -> PyResult<()> {
        let pack = opened(pack)?;
        let old = self.mounts.replace(name, pack.get().mapped()?).map_err(errors::mount)?;
        self.forget(py, &old)?;
        self.remember(pack);
        Ok(())
    }

    /// Unmounts a pack. The last cannot be.
    fn unmount(&self, py: Python<'_>, name: &str) -> PyResult<()> {
        let old = self.mounts.unmount(name).map_err(errors::mount)?;
        self.forget(py, &old)
    }

    /// The references nearest to each vector over all packs, best first: a list for each vector. See `Pack.search`.
    #[pyo3(signature = (vectors, k=5, *, exact=false, ef=None, r#where=None, threads=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments")]
    fn search(
        &self,
        py: Python<'_>,
        vectors: &Bound<'_, PyAny>,
        k: i64,
        exact: bool,
        ef: Option<i64>,
        r#where: Option<&str>,
        threads: Option<i64>,
    ) -> PyResult<Vec<Vec<Hit>>> {
        let how = How::of(k, exact, ef, threads)?;
        let vectors = Vectors::of(vectors, self.mounts.embedder().dim as usize)?;
        let found = nearest(py, &self.selected(r#where)?, &vectors, &how)?;
        self.hits(py, found)
    }

    /// The references that are best for each text over all packs: a list for each text. See `Pack.search_text`.
    #[pyo3(signature = (texts, vectors=None, k=5, *, ranking=None, exact=false, r#where=None, threads=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments")]
    fn search_text(
        &self,
        py: Python<'_>,
        texts: &Bound<'_, PyAny>,
        vectors: Option<&Bound<'_, PyAny>>,
        k: i64,
        ranking: Option<&str>,
        exact: bool,
        r#where: Option<&str>,
        threads: Option<i64>,
    ) -> PyResult<Vec<Vec<Hit>>> {
        let how = How::of(k, exact, None, threads)?;
        let set = self.selected(r#where)?;
        let texts = Texts::of(texts, vectors, ranking, &set, self.mounts.embedder().dim as usize)?;
        let found = ranked(py, &set, &texts, &how)?;
        self.hits(py, found)
    }
}

impl Hit {
    fn cited(&self) -> PyResult<ResolvedHit> {
        Ok(cite(&self.found, OnDamage::Fail).map_err(errors::cite)?.found)
    }
}

impl Mounts {
    fn selected(&self, filter: Option<&str>) -> PyResult<PackSet> {
        let all = self.mounts.packs();
        filter.map_or_else(|| Ok((*all).clone()), |filter| selecting(&all, filter))
    }

    fn hits(&self, py: Python<'_>, found: Found) -> PyResult<Vec<Vec<Hit>>> {
        let hit = |hit: RuntimeHit<PackReference>| {
            let mounted = &hit.reference.pack;
            let (pack, name) = (self.known(py, mounted.pack())?, mounted.name().to_owned());
            Ok(Hit { pack, name, reference: hit.reference.number, score: hit.similarity, found: hit })
        };
        found.into_iter().map(|hits| hits.into_iter().map(hit).collect()).collect()
    }

    /// The object of a pack; another one if the pack was unmounted meanwhile.
    fn known(&self, py: Python<'_>, pack: &Arc<MappedPack>) -> PyResult<Py<Pack>> {
        for known in self.lock().iter() {
            if Arc::ptr_eq(&known.get().mapped()?, pack) {
                return Ok(known.clone_ref(py));
            }
        }
        Py::new(py, Pack::of(Opened::of(Arc::clone(pack))))
    }

    fn remember(&self, pack: Py<Pack>) {
        self.lock().push(pack);
    }

    /// Lets go of a pack that no name has any more.
    fn forget(&self, py: Python<'_>, old: &Arc<MappedPack>) -> PyResult<()> {
        if self.mounts.packs().packs().iter().any(|mounted| Arc::ptr_eq(mounted.pack(), old)) {
            return Ok(());
        }
        let mut kept = Vec::new();
        for known in self.lock().iter() {
            if !Arc::ptr_eq(&known.get().mapped()?, old) {
                kept.push(known.clone_ref(py));
            }
        }
        *self.lock() = kept;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Py<Pack>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pack that is given as such or as a path.
fn opened(given: &Bound<'_, PyAny>) -> PyResult<Py<Pack>> {
    if let Ok(pack) = given.cast::<Pack>() {
        return Ok(pack.clone().unbind());
    }
    let path: PathBuf =
        given.extract().map_err(|_| PyTypeError::new_err(format!("a pack is {}; a Pack or a path is expected", given.get_type())))?;
    Py::new(given.py(), Pack::of(Opened::open(path)?))
}

/// Packs with their names.
fn given(packs: &Bound<'_, PyAny>) -> PyResult<Vec<(String, Py<Pack>)>> {
    if let Ok(mapping) = packs.cast::<PyMapping>() {
        let each = |item: Bound<'_, PyAny>| {
            let (name, pack): (String, Bound<'_, PyAny>) = item.extract()?;
            Ok((name, opened(&pack)?))
        };
        return mapping.items()?.iter().map(each).collect();
    }
    let named = |pack: Py<Pack>| Ok((pack.get().mapped()?.stem(), pack));
    let is_one = packs.is_instance_of::<PyString>() || packs.cast::<Pack>().is_ok() || packs.hasattr("__fspath__")?;
    if is_one {
        return Ok(vec![named(opened(packs)?)?]);
    }
    packs.try_iter()?.map(|pack| named(opened(&pack?)?)).collect()
}
