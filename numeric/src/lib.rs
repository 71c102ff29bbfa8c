//! Numbers that are the same, bit for bit, on every machine: a random generator and inner products.
//!
//! Packs, generated questions and training runs are reproducible because every random draw comes from an [`Rng`] with an explicit
//! seed, and because inner products add in an order that does not depend on the instruction set, or are of integers and exact.
//!
//! ```
//! use mempack_numeric::{Rng, dot};
//!
//! let mut rng = Rng::from_seed(7);
//! let mut order: Vec<u32> = (0..5).collect();
//! rng.shuffle(&mut order);
//! assert_eq!(order.len(), 5);
//!
//! assert_eq!(dot(&[1.0, 2.0], &[3.0, 4.0]), 11.0);
//! ```

mod dot;
mod int8;
mod prefetch;
mod rng;

pub use dot::{LANES, dot, dot_with, lane_sums};
pub use int8::Int8Query;
pub use prefetch::prefetch;
pub use rng::Rng;
