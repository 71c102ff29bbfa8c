//! Decoding steps of a language model on the CPU, by kernels written for them, over plain memory.
//!
//! A [`Step`] takes the weights of a decoder as slices ([`Model`]) and advances a batch of [`Sequence`]s, each with its own context, memories and
//! position, by one token or by several. Nothing is allocated for a token. The result of a token is the same to the bit whatever the
//! other sequences of the batch, the division of its text into pieces, and the number of threads; it does depend on the [`Path`].
//!
//! All activations are `f32`. Products take weights in f32, bf16 or 8 bits ([`WeightKind`]); with bf16 weights, [`Inputs`] says whether
//! the inputs of products are rounded to bf16.
//!
//! ```
//! use std::sync::Arc;
//! use mempack_kernels::{Cpu, Inputs, Matrix, Pool, Product};
//!
//! let weights = Matrix::f32(Arc::new(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), 2, 3)?;
//! let pool = Pool::new(2)?;
//! let mut y = [0.0; 2];
//! Product::new(Cpu::from_env()?, Inputs::Exact, 1, 3).run(&pool, &weights, &[1.0, 0.0, -1.0], None, false, &mut y)?;
//! assert_eq!(y, [-2.0, -2.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod attention;
mod cpu;
mod error;
mod fill;
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
pub use fill::{Filled, LowRank, Stored, fill};
pub use matrix::{Held, Matrix, WeightKind};
pub use number::{from_bf16, to_bf16};
pub use pool::Pool;
pub use product::{Inputs, Product};
pub use small::{Activation, arg_max, top};
pub use step::{CacheKind, Computed, Layer, Linear, Logits, Memory, Model, Norm, Piece, Rotation, Sequence, SequenceOptions, Step};
