//! A decoder in the form that the kernels of `mempack-kernels` compute with: its weights are borrowed, not copied.

use std::slice;
use std::sync::Arc;

use mempack_kernels as kernels;
use mempack_kernels::{CacheKind, Cpu, Held, Inputs, Matrix, Pool};
use tch::{Device, Kind, TchError, Tensor};

use crate::decoder::Decoder;
use crate::device::threads;
use crate::family::GateActivation;
use crate::layer::Linear;
use crate::norm::RmsNorm;
use crate::{ComputeError, Precision};

/// Max positions for which rotations are computed. A sequence that needs more is decoded by libtorch.
const MAX_POSITIONS: u32 = 1 << 15;

/// A decoder for steps on the CPU. It shares the weights of the [`Decoder`] that it is made of.
#[derive(Clone)]
pub(crate) struct KernelDecoder {
    pub model: Arc<kernels::Model>,
    pub cpu: Cpu,
    pub pool: Arc<Pool>,
    pub inputs: Inputs,
    pub cache: CacheKind,
    /// Positions for which there are rotations.
    pub positions: usize,
}

impl Decoder {
    /// The decoder on kernels, with as many threads of its own as libtorch uses; `None` if it is on a GPU or an adapter of it is in training.
    pub(crate) fn on_kernels(&self) -> Result<Option<KernelDecoder>, ComputeError> {
        let in_training = self.layers.iter().flat_map(|layer| layer.linears()).flat_map(|l| &l.parts).any(|part| part.low_rank.is_some());
        if self.device != Device::Cpu || in_training {
            return if self.precision == Precision::Int8 { Err(ComputeError::Int8) } else { Ok(None) };
        }
        let _guard = tch::no_grad_guard();
        let (inputs, cache) = match self.precision {
            Precision::F32 => (Inputs::Exact, CacheKind::F32),
            Precision::Bf16 | Precision::Int8 => (Inputs::Bf16, CacheKind::Bf16),
        };
        let pool = Arc::new(Pool::new(threads()).map_err(ComputeError::Threads)?);
        let positions = self.config.max_positions.unwrap_or(MAX_POSITIONS).min(MAX_POSITIONS);
        let model = match self.on_kernels.get() {
            Some(model) => Arc::clone(model),
            None => {
                let model = self.kernel_model(positions)?;
                let model = Arc::new(if self.precision == Precision::Int8 { model.to_int8(threads())? } else { model });
                // Another thread may have made the same.
                Arc::clone(self.on_kernels.get_or_init(|| model))
            }
        };
        Ok(Some(KernelDecoder { model, cpu: Cpu::from_env()?, pool, inputs, cache, positions: positions as usize }))
    }

    fn kernel_model(&self, positions: u32) -> Result<kernels::Model, ComputeError> {
        let (c, memory_layers, heads) = (&self.config, self.memory_layers(), self.config.heads as usize);
        let rotation = |(cos, sin)| kernels::Rotation { cos, sin };
        let mut layers = Vec::with_capacity(self.layers.len());
        for (number, layer) in self.layers.iter().enumerate() {
            let [qkv, output, gate_up, down] = layer.linears();
            let kept = match number.checked_sub(memory_layers.start).filter(|_| memory_layers.contains(&number)) {
                Some(layer) => (0..heads).map(|head| self.shape().slots_of(layer * heads + head).len()).collect(),
                None => Vec::new(),
            };
            layers.push(kernels::Layer {
                attention_norm: norm(&layer.attention_norm)?,
                qkv: linear(qkv)?,
                query_key_norms: match &layer.query_key_norms {
                    Some([queries, keys]) => Some([norm(queries)?, norm(keys)?]),
                    None => None,
                },
                output: linear(output)?,
                after_attention: layer.after_attention.as_ref().map(norm).transpose()?,
                mlp_norm: norm(&layer.mlp_norm)?,
                gate_up: linear(gate_up)?,
                down: linear(down)?,
                after_mlp: layer.after_mlp.as_ref().map(norm).transpose()?,
                rotation: layer.rotation,
                window: layer.window.map(|window| window as usize),
                kept,
            });
        }
        let activation = match c.activation {
            GateActivation::Silu => kernels::Activation::Silu,
            GateActivation::GeluTanh => kernels::Activation::GeluTanh,
        };
        Ok(kernels::Model {
            query_heads: c.query_heads as usize,
            heads,
            head_dim: c.head_dim as usize,
            // The norm of queries has the factor by which a family differs.
            attention_scale: 1.0 / (c.head_dim as f32).sqrt(),
            activation,
            embedding: matrix(&self.embedding)?,
            embedding_scale: self.embedding_scale().map_or(1.0, |scale| scale as f32),
            layers,
            final_norm: norm(&self.final_norm)?,
            head: kernels::Linear { matrix: matrix(&self.head)?, bias: None },
            rotations: self.ropes.iter().map(|rope| rotation(rope.tables(0..positions))).collect(),
        })
    }
}

fn norm(norm: &RmsNorm) -> Result<kernels::Norm, TchError> {
    Ok(kernels::Norm { weight: numbers(&norm.multiplier()?)?, eps: norm.eps() as f32 })
}

fn linear(linear: &Linear) -> Result<kernels::Linear, ComputeError> {
    Ok(kernels::Linear { matrix: matrix(&linear.weight)?, bias: linear.bias.as_ref().map(numbers).transpose()? })
}

/// The numbers of a vector, in f32.
fn numbers(tensor: &Tensor) -> Result<Vec<f32>, TchError> {
    Vec::try_from(tensor.f_to_kind(Kind::Float)?)
}

/// A matrix that borrows the numbers of a tensor `[rows, columns]` on the CPU.
fn matrix(tensor: &Tensor) -> Result<Matrix, ComputeError> {
    let tensor = tensor.f_detach()?.f_contiguous()?;
    let (rows, columns) = tensor.size2()?;
    let (rows, columns) = (rows as usize, columns as usize);
    Ok(match tensor.kind() {
        Kind::BFloat16 => Matrix::bf16(Numbers::<u16>::of(tensor)?, rows, columns)?,
        _ => Matrix::f32(Numbers::<f32>::of(tensor.f_to_kind(Kind::Float)?)?, rows, columns)?,
    })
}

/// The numbers of a tensor, borrowed.
struct Numbers<T> {
    pointer: *const T,
    length: usize,
    /// Keeps the numbers where they are.
    _tensor: Tensor,
}

// SAFETY: The numbers are only read, and the tensor is only dropped, which libtorch allows on any thread.
unsafe impl<T: Send> Send for Numbers<T> {}
// SAFETY: As above.
unsafe impl<T: Sync> Sync for Numbers<T> {}

impl<T: Send + Sync + 'static> Numbers<T> {
    /// The numbers of a contiguous tensor on the CPU whose elements have the size of `T`.
    fn of(tensor: Tensor) -> Result<Held<T>, TchError> {
        let usable = tensor.device() == Device::Cpu && tensor.is_contiguous() && tensor.kind().elt_size_in_bytes() == size_of::<T>();
        assert!(usable, "a contiguous tensor on the CPU of numbers of {} bytes", size_of::<T>());
        let (pointer, length) = (tensor.data_ptr().cast_const().cast::<T>(), tensor.numel());
        Ok(Arc::new(Self { pointer, length, _tensor: tensor }))
    }
}

impl<T> AsRef<[T]> for Numbers<T> {
    fn as_ref(&self) -> &[T] {
        if self.length == 0 {
            return &[];
        }
        // SAFETY: The tensor is contiguous, on the CPU, has `length` numbers of this size, aligned as libtorch aligns all tensors, and lives as long
        // as `self`. Nothing changes a decoder's weights while it computes.
        unsafe { slice::from_raw_parts(self.pointer, self.length) }
    }
}
