//! Memories as arrays.

use std::sync::{Mutex, PoisonError};

use half::f16;
use half::slice::HalfFloatSliceExt as _;
use mempack_format::{EMPTY_SLOT, Memory, MemoryShape};
use mempack_runtime::{MappedPack, MemoryCache};
use numpy::{Element, PyArray1, PyArrayDyn, PyArrayMethods as _, PyReadwriteArrayDyn, PyUntypedArrayMethods as _};
use pyo3::exceptions::{PyMemoryError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::input::Float;
use crate::{errors, work};

/// Decoded memories of references. Keys are those before the rotary embedding. Unpacks as `keys, values, positions, counts`.
#[pyclass(frozen, module = "mempack", get_all)]
pub struct Memories {
    /// `[references, layers, heads, tokens, head_dim]`; zero in empty slots.
    keys: Py<PyAny>,
    /// As `keys`.
    values: Py<PyAny>,
    /// `[references, layers, heads, tokens]`, int16: index of the token in its reference; -1 in empty slots.
    positions: Py<PyAny>,
    /// `[references, layers, heads]`, uint8: slots that are not empty.
    counts: Py<PyAny>,
}

#[pymethods]
impl Memories {
    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        PyTuple::new(py, [&self.keys, &self.values, &self.positions, &self.counts])?.call_method0("__iter__")
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        self.counts.bind(py).len()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let keys = self.keys.bind(py);
        Ok(format!("Memories(keys={}{})", keys.getattr("dtype")?, keys.getattr("shape")?))
    }
}

/// A number that memories are made of.
trait Number: Element + Copy + Default {
    fn put(from: &[f32], into: &mut [Self]);
}

impl Number for f32 {
    fn put(from: &[f32], into: &mut [Self]) {
        into.copy_from_slice(from);
    }
}

impl Number for f16 {
    fn put(from: &[f32], into: &mut [Self]) {
        into.convert_from_f32_slice(from);
    }
}

/// Decodes memories, in `out` (keys, values) or in new arrays.
pub fn decode(
    py: Python<'_>,
    pack: &MappedPack,
    references: &[u32],
    float: Float,
    out: Option<(Bound<'_, PyAny>, Bound<'_, PyAny>)>,
    threads: usize,
) -> PyResult<Memories> {
    match float {
        Float::Single => decode_as::<f32>(py, pack, references, out, threads),
        Float::Half => decode_as::<f16>(py, pack, references, out, threads),
    }
}

fn decode_as<T: Number>(
    py: Python<'_>,
    pack: &MappedPack,
    references: &[u32],
    out: Option<(Bound<'_, PyAny>, Bound<'_, PyAny>)>,
    threads: usize,
) -> PyResult<Memories> {
    let shape = &pack.manifest().model.shape;
    let sizes = Sizes::of(shape, references.len());
    let slots = references.len() * sizes.slots;
    let (mut positions, mut counts) = (filled(slots, -1i16)?, filled(references.len() * sizes.heads, 0u8)?);
    let (keys, values) = match out {
        Some(given) => given,
        // numpy asks the system for huge pages, without which most of the time goes into fresh pages.
        None => (empty::<T>(py, &sizes)?, empty::<T>(py, &sizes)?),
    };
    if keys.is(&values) {
        return Err(PyValueError::new_err("out has the same array for keys and for values"));
    }
    let (keys, values) = (writable::<T>("keys", &keys, &sizes)?, writable::<T>("values", &values, &sizes)?);
    let (mut into_keys, mut into_values) = (exclusive("keys", &keys)?, exclusive("values", &values)?);
    let parts =
        Parts { keys: into_keys.as_slice_mut()?, values: into_values.as_slice_mut()?, positions: &mut positions, counts: &mut counts };
    fill(py, pack, references, &sizes, parts, threads)?;
    let (keys, values) = (keys.clone().into_any().unbind(), values.clone().into_any().unbind());
    let [count, layers, heads, tokens, _] = sizes.dims();
    let positions = PyArray1::from_vec(py, positions).reshape([count, layers, heads, tokens])?.into_any().unbind();
    let counts = PyArray1::from_vec(py, counts).reshape([count, layers, heads])?.into_any().unbind();
    Ok(Memories { keys, values, positions, counts })
}

/// Sizes of the arrays.
struct Sizes {
    count: usize,
    layers: usize,
    /// All heads of all layers.
    heads: usize,
    tokens: usize,
    head_dim: usize,
    /// Slots of one reference, those included that no head fills.
    slots: usize,
}

impl Sizes {
    fn of(shape: &MemoryShape, count: usize) -> Self {
        let (layers, heads, tokens) = (shape.layers as usize, shape.all_heads(), shape.tokens as usize);
        Self { count, layers, heads, tokens, head_dim: shape.head_dim as usize, slots: heads * tokens }
    }

    fn dims(&self) -> [usize; 5] {
        [self.count, self.layers, self.heads / self.layers.max(1), self.tokens, self.head_dim]
    }
}

/// A vector of `length` equal values, if there is memory for it.
fn filled<T: Clone>(length: usize, value: T) -> PyResult<Vec<T>> {
    let mut vector = Vec::new();
    let bytes = length.saturating_mul(size_of::<T>());
    vector
        .try_reserve_exact(length)
        .map_err(|_| PyMemoryError::new_err(format!("no memory for {bytes} bytes; ask for fewer references at once")))?;
    vector.resize(length, value);
    Ok(vector)
}

/// A new array for keys or values, if there is memory for it.
fn empty<'py, T: Number>(py: Python<'py>, sizes: &Sizes) -> PyResult<Bound<'py, PyAny>> {
    py.import("numpy")?.call_method1("empty", (sizes.dims(), T::get_dtype(py)))
}

/// An array of `out`, which must be what a new one would be.
fn writable<'py, T: Number>(name: &str, given: &Bound<'py, PyAny>, sizes: &Sizes) -> PyResult<Bound<'py, PyArrayDyn<T>>> {
    let array = given.cast::<PyArrayDyn<T>>().map_err(|_| {
        let wanted = if size_of::<T>() == 2 { "float16" } else { "float32" };
        let found = given.getattr("dtype").map_or_else(|_| given.get_type().to_string(), |dtype| dtype.to_string());
        PyTypeError::new_err(format!("the array for {name} is {found}; an array of {wanted}, as dtype says, is expected"))
    })?;
    if array.shape() != sizes.dims() {
        return Err(PyValueError::new_err(format!("the array for {name} has shape {:?}, {:?} is expected", array.shape(), sizes.dims())));
    }
    if !array.is_c_contiguous() {
        return Err(PyValueError::new_err(format!("the array for {name} is not C-contiguous; make one with numpy.empty")));
    }
    Ok(array.clone())
}

fn exclusive<'py, T: Number>(name: &str, array: &Bound<'py, PyArrayDyn<T>>) -> PyResult<PyReadwriteArrayDyn<'py, T>> {
    array.try_readwrite().map_err(|error| PyValueError::new_err(format!("the array for {name} cannot be written: {error}")))
}

/// Where memories go.
struct Parts<'a, T> {
    keys: &'a mut [T],
    values: &'a mut [T],
    positions: &'a mut [i16],
    counts: &'a mut [u8],
}

fn fill<T: Number>(
    py: Python<'_>,
    pack: &MappedPack,
    references: &[u32],
    sizes: &Sizes,
    parts: Parts<'_, T>,
    threads: usize,
) -> PyResult<()> {
    let floats = (sizes.slots * sizes.head_dim).max(1);
    let (keys, values) = (parts.keys.chunks_mut(floats), parts.values.chunks_mut(floats));
    let (positions, counts) = (parts.positions.chunks_mut(sizes.slots.max(1)), parts.counts.chunks_mut(sizes.heads.max(1)));
    let part = |(((keys, values), positions), counts)| Mutex::new(Parts { keys, values, positions, counts });
    let places: Vec<Mutex<Parts<'_, T>>> = keys.zip(values).zip(positions).zip(counts).map(part).collect();
    // Nothing is kept: the arrays are.
    let cache = MemoryCache::new(0);
    work::each(py, references.len(), threads, |index| {
        let (Some(reference), Some(place)) = (references.get(index), places.get(index)) else { return Ok(()) };
        let memory = cache.get(pack, *reference).map_err(errors::fetch)?;
        put(&memory, sizes, &mut place.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    })
    .map(drop)
}

/// Copies a memory, whose heads have as many slots as they keep, into slots of which each head has as many as the largest.
fn put<T: Number>(memory: &Memory, sizes: &Sizes, into: &mut Parts<'_, T>) {
    let Sizes { tokens, head_dim, .. } = *sizes;
    for (head, slots) in memory.shape.slots_of_heads().enumerate() {
        let (from, width) = (slots.start * head_dim..slots.end * head_dim, slots.len());
        let at = head * tokens;
        let to = at * head_dim..(at + width) * head_dim;
        if let (Some(from), Some(to)) = (memory.keys.get(from.clone()), into.keys.get_mut(to.clone())) {
            T::put(from, to);
        }
        if let (Some(from), Some(to)) = (memory.values.get(from), into.values.get_mut(to)) {
            T::put(from, to);
        }
        let kept = memory.positions.get(slots).unwrap_or_default();
        let mut count = 0;
        for (from, to) in kept.iter().zip(into.positions.get_mut(at..at + width).unwrap_or_default()) {
            let is_empty = *from == EMPTY_SLOT;
            *to = if is_empty { -1 } else { i16::from(*from) };
            count += u8::from(!is_empty);
        }
        if let Some(of_head) = into.counts.get_mut(head) {
            *of_head = count;
        }
    }
    // A given buffer may have had anything in the slots that no head fills.
    for (head, slots) in memory.shape.slots_of_heads().enumerate() {
        let empty = (head * tokens + slots.len()) * head_dim..(head + 1) * tokens * head_dim;
        into.keys.get_mut(empty.clone()).unwrap_or_default().fill(T::default());
        into.values.get_mut(empty).unwrap_or_default().fill(T::default());
    }
}
