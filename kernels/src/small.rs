//! The small operations between products.

use crate::simd::{Kernel, Simd};

/// The activation of the gate in the feed-forward part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x * sigmoid(x)`.
    Silu,
    /// GELU in its tanh approximation.
    GeluTanh,
}

/// The root-mean-square norm (arXiv 1910.07467) of rows: `x / sqrt(mean(x^2) + eps) * weight`.
pub(crate) struct RmsNorm<'a> {
    /// `[columns]`.
    pub weight: &'a [f32],
    pub eps: f32,
    /// `[rows, columns]`.
    pub x: &'a [f32],
    /// `[rows, columns]`.
    pub to: &'a mut [f32],
    /// Whether the result is added to what `to` holds.
    pub add: bool,
}

impl Kernel for RmsNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let columns = self.weight.len();
        for (x, to) in self.x.chunks_exact(columns).zip(self.to.chunks_exact_mut(columns)) {
            let scale = norm_scale(s, x, self.eps);
            for ((x, weight), to) in x.chunks(S::LANES).zip(self.weight.chunks(S::LANES)).zip(to.chunks_mut(S::LANES)) {
                let y = s.mul(s.mul(s.load_part(x), scale), s.load_part(weight));
                s.store_part(if self.add { s.add(s.load_part(to), y) } else { y }, to);
            }
        }
    }
}

/// [`RmsNorm`] of one row, in its place.
pub(crate) struct NormInPlace<'a> {
    /// `[columns]`.
    pub weight: &'a [f32],
    pub eps: f32,
    /// `[columns]`.
    pub x: &'a mut [f32],
}

impl Kernel for NormInPlace<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let scale = norm_scale(s, self.x, self.eps);
        for (x, weight) in self.x.chunks_mut(S::LANES).zip(self.weight.chunks(S::LANES)) {
            s.store_part(s.mul(s.mul(s.load_part(x), scale), s.load_part(weight)), x);
        }
    }
}

/// `1 / sqrt(mean(x^2) + eps)` in all lanes.
#[inline(always)]
fn norm_scale<S: Simd>(s: S, x: &[f32], eps: f32) -> S::F {
    let squares = x.chunks(S::LANES).fold(s.splat(0.0), |sum, part| {
        let part = s.load_part(part);
        s.fma(part, part, sum)
    });
    s.splat((s.sum(squares) / x.len() as f32 + eps).sqrt().recip())
}

/// Rotates a head (RoPE, arXiv 2104.09864): dimension `i` with dimension `i + head_dim / 2`.
pub(crate) struct Rotate<'a> {
    /// `[head_dim]`.
    pub x: &'a mut [f32],
    /// `[head_dim / 2]`.
    pub cos: &'a [f32],
    /// `[head_dim / 2]`.
    pub sin: &'a [f32],
}

impl Kernel for Rotate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (low, high) = self.x.split_at_mut(self.cos.len());
        let angles = self.cos.chunks(S::LANES).zip(self.sin.chunks(S::LANES));
        for ((low, high), (cos, sin)) in low.chunks_mut(S::LANES).zip(high.chunks_mut(S::LANES)).zip(angles) {
            let (a, b, cos, sin) = (s.load_part(low), s.load_part(high), s.load_part(cos), s.load_part(sin));
            let minus = s.mul(sin, s.splat(-1.0));
            s.store_part(s.fma(b, minus, s.mul(a, cos)), low);
            s.store_part(s.fma(a, sin, s.mul(b, cos)), high);
        }
    }
}

/// `to = activation(gate) * up`, number by number.
pub(crate) struct Gate<'a> {
    pub activation: Activation,
    pub gate: &'a [f32],
    pub up: &'a [f32],
    pub to: &'a mut [f32],
}

impl Kernel for Gate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let v = |x: f32| s.splat(x);
        for ((gate, up), to) in self.gate.chunks(S::LANES).zip(self.up.chunks(S::LANES)).zip(self.to.chunks_mut(S::LANES)) {
            let x = s.load_part(gate);
            // Both are x / (1 + e^-z): GELU's (1 + tanh(u)) / 2 is the sigmoid of 2u.
            let minus_z = match self.activation {
                Activation::Silu => s.mul(x, v(-1.0)),
                Activation::GeluTanh => {
                    let square = s.mul(x, x);
                    s.mul(x, s.fma(square, v(-2.0 * 0.797_884_6 * 0.044_715), v(-2.0 * 0.797_884_6)))
                }
            };
            let active = s.div(x, s.add(s.exp(minus_z), v(1.0)));
            s.store_part(s.mul(active, s.load_part(up)), to);
        }
    }
}

/// The index of the largest number, the first one if there are several; NaNs are passed over. `None` if there is no number.
pub fn arg_max(logits: &[f32]) -> Option<usize> {
    /// Numbers whose largest one is found without branches.
    const CHUNK: usize = 256;
    let mut best: Option<(usize, f32)> = None;
    for (chunk, logits) in logits.chunks(CHUNK).enumerate() {
        let largest = logits.iter().fold(f32::NEG_INFINITY, |largest, x| if *x > largest { *x } else { largest });
        if best.is_none_or(|(_, before)| largest > before)
            && let Some(i) = logits.iter().position(|x| *x == largest)
        {
            best = Some((chunk * CHUNK + i, largest));
        }
    }
    best.map(|(i, _)| i)
}

/// Fills `to` with the indices of the largest numbers, the largest first; of equal ones the first. NaNs are passed over. Returns how many
/// there are, at most `to.len()`.
pub fn top(logits: &[f32], to: &mut [usize]) -> usize {
    let mut count = 0;
    for (i, x) in logits.iter().enumerate() {
        let full = count == to.len();
        if x.is_nan() || to.is_empty() || full && *x <= logits[to[count - 1]] {
            continue;
        }
        let at = to[..count].partition_point(|other| logits[*other] >= *x);
        count += usize::from(!full);
        to[at..count].rotate_right(1);
        to[at] = i;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cpu;

    #[test]
    fn the_largest_numbers() {
        let nan = f32::NAN;
        for (logits, expected) in [
            (vec![], vec![]),
            (vec![nan], vec![]),
            (vec![f32::NEG_INFINITY, nan], vec![0]),
            (vec![1.0, nan, 3.0, 3.0, -1.0, 2.0], vec![2, 3, 5, 0, 4]),
            (vec![f32::INFINITY, 1.0], vec![0, 1]),
        ] {
            assert_eq!(arg_max(&logits), expected.first().copied(), "{logits:?}");
            for n in 0..7 {
                let mut found = vec![usize::MAX; n];
                let count = top(&logits, &mut found);
                assert_eq!(found[..count], expected[..n.min(expected.len())], "{n} of {logits:?}");
            }
        }
        let long: Vec<f32> = (0..3000).map(|i| ((i * 7919) % 3001) as f32).collect();
        let mut sorted: Vec<usize> = (0..3000).collect();
        sorted.sort_by(|a, b| long[*b].total_cmp(&long[*a]));
        let mut found = [0; 50];
        assert_eq!(top(&long, &mut found), 50);
        assert_eq!(found, sorted[..50]);
        assert_eq!(arg_max(&long), Some(sorted[0]));
    }

    #[test]
    fn gates_of_extreme_numbers() {
        let gate = [0.0, -1e30, 1e30, 100.0, -100.0, 1.0, -2.5, f32::NAN, 0.1];
        for cpu in Cpu::all() {
            for activation in [Activation::Silu, Activation::GeluTanh] {
                let mut to = [0.0; 9];
                cpu.run(Gate { activation, gate: &gate, up: &[2.0; 9], to: &mut to });
                for (x, found) in gate.iter().zip(to) {
                    let x = f64::from(*x);
                    let z = match activation {
                        Activation::Silu => x,
                        Activation::GeluTanh => 2.0 * (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3)),
                    };
                    let expected = 2.0 * x / (1.0 + (-z).exp());
                    let close = (f64::from(found) - expected).abs() <= 1e-6 * expected.abs() + 1e-7;
                    assert!(
                        x.is_nan() && found.is_nan() || close || x == -1e30 && found.abs() < 1e-5,
                        "{cpu:?} {activation:?} {x}: {found}, {expected}"
                    );
                }
            }
        }
    }
}
