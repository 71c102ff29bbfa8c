//! Vectors of `f32`: one interface, and its implementation for each path.
//!
//! A kernel is generic code over [`Simd`], inlined into a function that is compiled for the path's instructions. The methods of a token
//! may use these instructions because the token exists only on processors that have them.

mod scalar;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use scalar::Scalar;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512, sums_of_wide};

/// Code that is compiled once for each path.
pub(crate) trait Kernel {
    type Output;

    /// Runs it. Must be `#[inline(always)]`, as must be everything generic that it calls.
    fn run<S: Simd>(self, s: S) -> Self::Output;
}

/// The operations of a path on vectors of [`LANES`](Self::LANES) numbers.
pub(crate) trait Simd: Copy {
    type F: Copy;

    const LANES: usize;

    fn splat(self, x: f32) -> Self::F;

    /// The first numbers of `x`, which must have as many as there are lanes.
    fn load(self, x: &[f32]) -> Self::F;

    /// The numbers of `x`, at most as many as there are lanes, then zeros.
    fn load_part(self, x: &[f32]) -> Self::F;

    /// [`load`](Self::load) of bf16.
    fn load_bf16(self, x: &[u16]) -> Self::F;

    /// [`load_part`](Self::load_part) of bf16.
    fn load_bf16_part(self, x: &[u16]) -> Self::F;

    /// Writes all lanes to the first numbers of `to`.
    fn store(self, x: Self::F, to: &mut [f32]);

    /// Writes as many lanes as `to` has numbers.
    fn store_part(self, x: Self::F, to: &mut [f32]);

    fn add(self, a: Self::F, b: Self::F) -> Self::F;

    fn mul(self, a: Self::F, b: Self::F) -> Self::F;

    fn div(self, a: Self::F, b: Self::F) -> Self::F;

    /// `a * b + c`; rounded once except on the scalar path.
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;

    /// The larger one; `b` if one of them is a NaN.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;

    /// The smaller one; `b` if one of them is a NaN.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;

    /// The nearest integers.
    fn round(self, x: Self::F) -> Self::F;

    /// `2^n` of integers -126 to 127.
    fn power_of_two(self, n: Self::F) -> Self::F;

    /// The sums of the lanes of four vectors, each added in the same order.
    fn sum4(self, x: [Self::F; 4]) -> [f32; 4];

    /// The sum of the lanes, in the order of [`sum4`](Self::sum4).
    #[inline(always)]
    fn sum(self, x: Self::F) -> f32 {
        let zero = self.splat(0.0);
        self.sum4([x, zero, zero, zero])[0]
    }

    /// `e^x` to 2e-7 of it, for `x` clamped to -87.3 to 88.
    #[inline(always)]
    fn exp(self, x: Self::F) -> Self::F {
        let s = |x: f32| self.splat(x);
        // With the constant first, a NaN stays one.
        let x = self.min(s(88.0), self.max(s(-87.3), x));
        let n = self.round(self.mul(x, s(std::f32::consts::LOG2_E)));
        // ln 2 in two parts: the first has few bits, so that its products with n are exact.
        let r = self.fma(n, s(-0.693_359_4), x);
        let r = self.fma(n, s(2.121_944_4e-4), r);
        // The Taylor series: |r| <= ln 2 / 2, so the first term left out is below 1.2e-7.
        let terms = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
        let series = terms[1..].iter().fold(s(terms[0]), |sum, term| self.fma(sum, r, s(*term)));
        self.mul(series, self.power_of_two(n))
    }
}

/// A number of weights or caches.
pub(crate) trait Element: Copy + Default + Send + Sync + 'static {
    fn load<S: Simd>(s: S, x: &[Self]) -> S::F;

    fn load_part<S: Simd>(s: S, x: &[Self]) -> S::F;

    fn from_f32(x: f32) -> Self;
}

impl Element for f32 {
    #[inline(always)]
    fn load<S: Simd>(s: S, x: &[Self]) -> S::F {
        s.load(x)
    }

    #[inline(always)]
    fn load_part<S: Simd>(s: S, x: &[Self]) -> S::F {
        s.load_part(x)
    }

    #[inline(always)]
    fn from_f32(x: f32) -> Self {
        x
    }
}

/// A bf16.
impl Element for u16 {
    #[inline(always)]
    fn load<S: Simd>(s: S, x: &[Self]) -> S::F {
        s.load_bf16(x)
    }

    #[inline(always)]
    fn load_part<S: Simd>(s: S, x: &[Self]) -> S::F {
        s.load_bf16_part(x)
    }

    #[inline(always)]
    fn from_f32(x: f32) -> Self {
        crate::number::to_bf16(x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cpu;

    /// Every operation on numbers of all kinds: exponentials, sums of four vectors, and the stored lanes of partial loads.
    struct All<'a>(&'a [f32]);

    impl Kernel for All<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            for part in self.0.chunks(S::LANES) {
                let mut exp = vec![0.0; part.len()];
                s.store_part(s.exp(s.load_part(part)), &mut exp);
                for (x, found) in part.iter().zip(exp) {
                    let expected = f64::from(x.clamp(-87.3, 88.0)).exp();
                    assert!(x.is_nan() && found.is_nan() || (f64::from(found) / expected - 1.0).abs() < 4e-7, "{x}: {found}, {expected}");
                }
                let bf16: Vec<u16> = part.iter().map(|x| crate::number::to_bf16(*x)).collect();
                let mut back = vec![0.0; part.len()];
                s.store_part(s.load_bf16_part(&bf16), &mut back);
                assert!(back.iter().zip(&bf16).all(|(x, b)| x.is_nan() || crate::number::to_bf16(*x) == *b));
            }
            let numbers: Vec<f32> = (0..4 * S::LANES).map(|i| i as f32).collect();
            let vectors: [S::F; 4] = std::array::from_fn(|i| s.load(&numbers[i * S::LANES..]));
            let sums = s.sum4(vectors);
            for (i, sum) in sums.iter().enumerate() {
                assert_eq!(*sum, numbers[i * S::LANES..][..S::LANES].iter().sum::<f32>());
                assert_eq!(s.sum(vectors[i]), *sum);
            }
        }
    }

    #[test]
    fn operations_of_every_path() {
        let mut numbers = vec![0.0, -0.0, 1.0, f32::NAN, 88.0, -87.3, 1e-30, f32::INFINITY, f32::NEG_INFINITY];
        numbers.extend((-8800..8800).map(|i| i as f32 / 101.0));
        for cpu in Cpu::all() {
            cpu.run(All(&numbers));
        }
    }
}
