//! Checks of what callers give: arrays of vectors, numbers of references, types of numbers.

use numpy::{PyArrayDyn, PyArrayMethods as _};
use pyo3::exceptions::{PyIndexError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// How far the length of a vector may be from 1.
const TOLERANCE: f32 = 0.01;

/// Vectors of length 1.
pub struct Vectors {
    /// Whether one was given, `[dim]`, and not `[n, dim]`.
    pub single: bool,
    dim: usize,
    data: Vec<f32>,
}

impl Vectors {
    /// Checks vectors `[n, dim]` or `[dim]` of float32 or float64.
    pub fn of(given: &Bound<'_, PyAny>, dim: usize) -> PyResult<Self> {
        let py = given.py();
        let numpy = py.import("numpy")?;
        let array = numpy.call_method1("asarray", (given,))?;
        let (kind, shape): (String, Vec<usize>) = (array.getattr("dtype")?.getattr("kind")?.extract()?, array.getattr("shape")?.extract()?);
        if kind != "f" {
            let found = array.getattr("dtype")?;
            return Err(PyTypeError::new_err(format!(
                "vectors are an array of {found}; float32 is expected, and float16 and float64 are converted"
            )));
        }
        let single = match shape.as_slice() {
            [found] if *found == dim => true,
            [_, found] if *found == dim => false,
            found => {
                return Err(PyValueError::new_err(format!(
                    "vectors have shape {found:?}; [n, {dim}] or [{dim}] is expected: embed the texts with the embedder of the pack"
                )));
            }
        };
        let options = PyDict::new(py);
        options.set_item("dtype", "float32")?;
        let array = numpy.call_method("ascontiguousarray", (array,), Some(&options))?;
        let data = array.cast::<PyArrayDyn<f32>>()?.readonly().as_slice()?.to_vec();
        for (row, vector) in data.chunks_exact(dim.max(1)).enumerate() {
            let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
            if !length.is_finite() || (length - 1.0).abs() > TOLERANCE {
                return Err(PyValueError::new_err(format!(
                    "vector {row} has length {length}; divide it by its length, so that similarities are cosines"
                )));
            }
        }
        Ok(Self { single, dim, data })
    }

    /// `count` vectors of zeros, which are near nothing.
    pub fn zeros(count: usize, dim: usize, single: bool) -> Self {
        Self { single, dim, data: vec![0.0; count * dim] }
    }

    pub fn len(&self) -> usize {
        self.data.len() / self.dim.max(1)
    }

    pub fn get(&self, row: usize) -> &[f32] {
        self.data.get(row * self.dim..(row + 1) * self.dim).unwrap_or_default()
    }
}

/// Numbers of references: one, a sequence, or an array `[n]` of integers, each below `count`.
pub fn references(given: &Bound<'_, PyAny>, count: u32) -> PyResult<Vec<u32>> {
    let numpy = given.py().import("numpy")?;
    let array = numpy.call_method1("asarray", (given,))?;
    let (kind, shape): (String, Vec<usize>) = (array.getattr("dtype")?.getattr("kind")?.extract()?, array.getattr("shape")?.extract()?);
    // An empty list is an array of floats.
    let is_empty = shape == [0];
    if !is_empty && kind != "i" && kind != "u" {
        return Err(PyTypeError::new_err(format!("references are an array of {}; integers are expected", array.getattr("dtype")?)));
    }
    if shape.len() > 1 {
        return Err(PyValueError::new_err(format!("references have shape {shape:?}; one number, or [n], is expected")));
    }
    let flat: Vec<Bound<'_, PyAny>> = array.call_method0("ravel")?.call_method0("tolist")?.extract()?;
    if is_empty {
        return Ok(Vec::new());
    }
    flat.iter().map(|number| reference(number, count)).collect()
}

/// The number of a reference, below `count`.
pub fn reference(given: &Bound<'_, PyAny>, count: u32) -> PyResult<u32> {
    // Any integer of Python and numpy, however large; a float is none.
    let number = given.call_method0("__index__").map_err(|_| PyTypeError::new_err(format!("reference {given} is no integer")))?;
    match number.extract::<u32>() {
        Ok(reference) if reference < count => Ok(reference),
        _ => Err(PyIndexError::new_err(format!("reference {number} does not exist: the pack has {count}, numbered from 0"))),
    }
}

/// Hits that are wanted for each query.
pub fn hits(k: i64) -> PyResult<usize> {
    match usize::try_from(k) {
        Ok(k @ 1..=1_000_000) => Ok(k),
        _ => Err(PyValueError::new_err(format!("k is {k}; 1 to 1,000,000 are possible"))),
    }
}

/// A type of the numbers of keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Float {
    Single,
    Half,
}

impl Float {
    /// What `numpy.dtype` makes of a type.
    pub fn of(given: &Bound<'_, PyAny>) -> PyResult<Self> {
        let name: String = given.py().import("numpy")?.call_method1("dtype", (given,))?.getattr("name")?.extract()?;
        match name.as_str() {
            "float32" => Ok(Self::Single),
            "float16" => Ok(Self::Half),
            other => Err(PyTypeError::new_err(format!("memories of dtype {other} are not made; float32 or float16 is expected"))),
        }
    }
}
