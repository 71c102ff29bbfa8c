//! Searches of many queries.

use mempack_runtime::{DEFAULT_EF, Hit, Method, OnDamage, PackReference, PackSet, Ranking};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::input::{Vectors, hits};
use crate::{errors, work};

/// Hits of each query.
pub type Found = Vec<Vec<Hit<PackReference>>>;

/// How to search, as callers say it.
pub struct How {
    k: usize,
    method: Method,
    threads: usize,
}

impl How {
    pub fn of(k: i64, exact: bool, ef: Option<i64>, threads: Option<i64>) -> PyResult<Self> {
        let ef = match ef {
            None => DEFAULT_EF,
            Some(ef) => match usize::try_from(ef) {
                Ok(ef @ 1..=1_000_000) => ef,
                _ => return Err(PyValueError::new_err(format!("ef is {ef}; 1 to 1,000,000 are possible"))),
            },
        };
        let method = if exact { Method::Exact } else { Method::Graph { ef } };
        Ok(Self { k: hits(k)?, method, threads: work::threads(threads)? })
    }

    pub fn k(&self) -> usize {
        self.k
    }
}

/// The references nearest to each vector.
pub fn nearest(py: Python<'_>, packs: &PackSet, vectors: &Vectors, how: &How) -> PyResult<Found> {
    work::each(py, vectors.len(), how.threads, |row| {
        packs.nearest(vectors.get(row), how.k, how.method, OnDamage::Fail).map_err(errors::search)
    })
}

/// Texts that query, with or without their vectors.
pub struct Texts {
    pub single: bool,
    texts: Vec<String>,
    vectors: Vectors,
    ranking: Ranking,
}

impl Texts {
    pub fn of(
        texts: &Bound<'_, PyAny>,
        vectors: Option<&Bound<'_, PyAny>>,
        ranking: Option<&str>,
        packs: &PackSet,
        dim: usize,
    ) -> PyResult<Self> {
        let single = texts.is_instance_of::<PyString>();
        let texts: Vec<String> = if single {
            vec![texts.extract()?]
        } else {
            let found = texts.get_type();
            texts.extract().map_err(|_| PyTypeError::new_err(format!("texts are {found}; a str or a sequence of str is expected")))?
        };
        let ranking = match (ranking, vectors) {
            (None, None) | (Some("lexical"), _) => Ranking::Lexical,
            (None | Some("hybrid"), Some(_)) => Ranking::Hybrid,
            (Some("dense"), Some(_)) => Ranking::Dense,
            (Some(name @ ("dense" | "hybrid")), None) => {
                return Err(PyValueError::new_err(format!("ranking {name:?} needs vectors of the texts")));
            }
            (Some(other), _) => {
                return Err(PyValueError::new_err(format!("ranking is {other:?}; \"dense\", \"lexical\" or \"hybrid\" is expected")));
            }
        };
        if ranking == Ranking::Lexical {
            for mounted in packs.packs() {
                if !mounted.has_terms().map_err(errors::search)? {
                    let path = mounted.pack().path().display();
                    return Err(PyValueError::new_err(format!(
                        "{path} has no index of words; give vectors, or write one with `mempack build --from`"
                    )));
                }
            }
        }
        let vectors = match vectors {
            Some(vectors) => Vectors::of(vectors, dim)?,
            None => Vectors::zeros(texts.len(), dim, single),
        };
        if vectors.len() != texts.len() {
            return Err(PyValueError::new_err(format!(
                "there are {} texts and {} vectors; each text needs one",
                texts.len(),
                vectors.len()
            )));
        }
        Ok(Self { single, texts, vectors, ranking })
    }
}

/// The references that are best for each text.
pub fn ranked(py: Python<'_>, packs: &PackSet, texts: &Texts, how: &How) -> PyResult<Found> {
    work::each(py, texts.texts.len(), how.threads, |row| {
        let text = texts.texts.get(row).map_or("", String::as_str);
        let found = packs.ranked(texts.vectors.get(row), text, how.k, texts.ranking, how.method, OnDamage::Fail).map_err(errors::search)?;
        // A text none of whose words are in the packs is searched by its vector, which is only zeros here: nothing is found by words.
        let found = if texts.ranking == Ranking::Lexical { found.into_iter().filter(|hit| hit.similarity > 0.0).collect() } else { found };
        Ok(found)
    })
}
