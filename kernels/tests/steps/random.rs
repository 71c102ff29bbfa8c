//! Random numbers with a seed (SplitMix64).

use mempack_kernels::{from_bf16, to_bf16};

pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// Numbers between `-size` and `size` that bf16 holds.
    pub fn bf16s(&mut self, count: usize, size: f64) -> Vec<f64> {
        let mut number = || (self.next() >> 11) as f64 / (1u64 << 52) as f64 - 1.0;
        (0..count).map(|_| f64::from(from_bf16(to_bf16((number() * size) as f32)))).collect()
    }
}
