//! Kernels.
mod attention;
mod cpu;
mod error;
mod int8;
mod matrix;
mod number;
mod pool;
mod product;
mod shared;
mod simd;
mod small;
mod step;

pub use cpu::{Cpu, PATH_VARIABLE, Path, PathError};
pub use error::KernelError;
pub use matrix::{Held, Matrix, WeightKind};
pub use number::{from_bf16, to_bf16};
pub use pool::Pool;
pub use product::{Inputs, Product};
pub use small::{Activation, arg_max, top};
pub use step::{CacheKind, Layer, Linear, Logits, Memory, Model, Norm, Piece, Rotation, Sequence, SequenceOptions, Step};
