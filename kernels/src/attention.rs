//! Attention of one token to memories and context.

use crate::product::Tile;
use crate::simd::{Element, Kernel, Simd};

/// Query heads that are computed together.
pub(crate) const TOGETHER: usize = 4;

/// Keys and values that follow one another in memory.
#[derive(Clone, Copy)]
pub(crate) struct Segment<'a, T> {
    /// `[tokens, head_dim]`, rotated.
    pub keys: &'a [T],
    /// `[tokens, head_dim]`.
    pub values: &'a [T],
    /// Added to the scaled scores.
    pub bias: f32,
}

/// Attention of query heads that share a key-value head. The result of a query head does not depend on the others.
///
/// First all scores, then their softmax, then the sum of values: scores of a few hundred tokens stay in the nearest cache, and each pass has a fixed
/// order.
pub(crate) struct Attend<'a, T, I> {
    /// `[heads, head_dim]`, rotated; at most [`TOGETHER`] heads.
    pub queries: &'a [f32],
    pub head_dim: usize,
    /// What scores are multiplied by.
    pub scale: f32,
    /// What is attended to, the memories first. Gone through twice.
    pub segments: I,
    /// How many of the first segments are memories.
    pub memories: usize,
    /// Memory for `heads * tokens` scores.
    pub scores: &'a mut [f32],
    /// `[heads, head_dim]`.
    pub to: &'a mut [f32],
    /// The share of attention that each memory gets, `[heads, stride]`.
    pub shares: Option<(&'a mut [f32], usize)>,
    pub kind: std::marker::PhantomData<T>,
}

impl<'a, T: Element, I: Iterator<Item = Segment<'a, T>> + Clone> Kernel for Attend<'a, T, I> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let dim = self.head_dim;
        let heads = self.queries.len() / dim;
        let tokens: usize = self.segments.clone().map(|segment| segment.keys.len() / dim).sum();
        let scores = &mut self.scores[..heads * tokens];
        let mut at = 0;
        for Segment { keys, bias, .. } in self.segments.clone() {
            let mut first = at;
            for weights in keys.chunks(4 * dim) {
                let count = weights.len() / dim;
                let write = |head: usize, products: &[f32]| {
                    let scores = &mut scores[head * tokens + first..][..count];
                    scores.iter_mut().zip(products).for_each(|(score, product)| *score = product * self.scale + bias);
                };
                match heads {
                    1 => Tile::<T, _, 4, 1> { weights, columns: dim, x: self.queries, write }.run(s),
                    2 => Tile::<T, _, 4, 2> { weights, columns: dim, x: self.queries, write }.run(s),
                    3 => Tile::<T, _, 4, 3> { weights, columns: dim, x: self.queries, write }.run(s),
                    _ => Tile::<T, _, 4, 4> { weights, columns: dim, x: self.queries, write }.run(s),
                }
                first += count;
            }
            at = first;
        }
        for scores in scores.chunks_exact_mut(tokens.max(1)) {
            softmax(s, scores);
        }
        if let Some((shares, stride)) = self.shares {
            for (scores, shares) in scores.chunks_exact(tokens.max(1)).zip(shares.chunks_exact_mut(stride)) {
                let mut at = 0;
                for (segment, share) in self.segments.clone().take(self.memories).zip(shares) {
                    let count = segment.keys.len() / dim;
                    *share = sum(s, &scores[at..at + count]);
                    at += count;
                }
            }
        }
        match heads {
            1 => values::<S, T, 1>(s, scores, tokens, dim, &self.segments, self.to),
            2 => values::<S, T, 2>(s, scores, tokens, dim, &self.segments, self.to),
            3 => values::<S, T, 3>(s, scores, tokens, dim, &self.segments, self.to),
            _ => values::<S, T, 4>(s, scores, tokens, dim, &self.segments, self.to),
        }
    }
}

/// Replaces scores by their softmax.
#[inline(always)]
fn softmax<S: Simd>(s: S, scores: &mut [f32]) {
    let largest = scores.iter().fold(f32::NEG_INFINITY, |largest, x| if *x > largest { *x } else { largest });
    let minus = s.splat(-largest);
    for part in scores.chunks_mut(S::LANES) {
        let shifted = s.add(s.load_part(part), minus);
        s.store_part(s.exp(shifted), part);
    }
    let inverse = s.splat(sum(s, scores).recip());
    for part in scores.chunks_mut(S::LANES) {
        s.store_part(s.mul(s.load_part(part), inverse), part);
    }
}

/// The sum of numbers.
#[inline(always)]
fn sum<S: Simd>(s: S, numbers: &[f32]) -> f32 {
    s.sum(numbers.chunks(S::LANES).fold(s.splat(0.0), |sum, part| s.add(sum, s.load_part(part))))
}

/// The sums of values, weighted by `shares`, `[H, tokens]`, for each of `H` heads.
#[inline(always)]
fn values<'a, S: Simd, T: Element, const H: usize>(
    s: S,
    shares: &[f32],
    tokens: usize,
    dim: usize,
    segments: &(impl Iterator<Item = Segment<'a, T>> + Clone),
    to: &mut [f32],
) {
    let wide = 4 * S::LANES;
    let whole = dim - dim % wide;
    for start in (0..whole).step_by(wide) {
        let mut sums = [[s.splat(0.0); 4]; H];
        let mut at = 0;
        for segment in segments.clone() {
            for row in segment.values.chunks_exact(dim) {
                let row = &row[start..start + wide];
                let row: [S::F; 4] = std::array::from_fn(|i| T::load(s, &row[i * S::LANES..(i + 1) * S::LANES]));
                for (head, sums) in sums.iter_mut().enumerate() {
                    let share = s.splat(shares[head * tokens + at]);
                    for (sum, x) in sums.iter_mut().zip(row) {
                        *sum = s.fma(share, x, *sum);
                    }
                }
                at += 1;
            }
        }
        for (head, sums) in sums.iter().enumerate() {
            let to = &mut to[head * dim + start..][..wide];
            to.chunks_exact_mut(S::LANES).zip(sums).for_each(|(to, sum)| s.store(*sum, to));
        }
    }
    for start in (whole..dim).step_by(S::LANES) {
        let end = dim.min(start + S::LANES);
        let mut sums = [s.splat(0.0); H];
        let mut at = 0;
        for segment in segments.clone() {
            for row in segment.values.chunks_exact(dim) {
                let row = T::load_part(s, &row[start..end]);
                for (head, sum) in sums.iter_mut().enumerate() {
                    *sum = s.fma(s.splat(shares[head * tokens + at]), row, *sum);
                }
                at += 1;
            }
        }
        for (head, sum) in sums.into_iter().enumerate() {
            s.store_part(sum, &mut to[head * dim + start..head * dim + end]);
        }
    }
}
