//! Distances as matrix products, and the search for the smallest.

use ndarray::{ArrayView2, ArrayViewMut2, linalg::general_mat_mul};

/// Centroids, `[rows, width]`, with precomputed terms of distances.
pub(super) struct Codebook {
    width: usize,
    centroids: Vec<f32>,
    /// Half the squared length of each.
    half_norms: Vec<f32>,
}

impl Codebook {
    pub(super) fn new(centroids: Vec<f32>, width: usize) -> Self {
        let half_norms = centroids.chunks_exact(width).map(|row| row.iter().map(|x| x * x).sum::<f32>() * 0.5).collect();
        Self { width, centroids, half_norms }
    }

    pub(super) fn len(&self) -> usize {
        self.half_norms.len()
    }

    pub(super) fn row(&self, index: usize) -> &[f32] {
        &self.centroids[index * self.width..(index + 1) * self.width]
    }

    pub(super) fn into_centroids(self) -> Vec<f32> {
        self.centroids
    }

    /// For each vector v of `vectors`, `[n, width]`, and each centroid c: `base[v] + |c|^2 / 2 - v . c`, which is
    /// half of |v - c|^2 without the term that depends on the vector alone. Writes `[n, rows]` to `scores`.
    pub(super) fn scores(&self, vectors: ArrayView2<'_, f32>, base: &[f32], scores: &mut [f32]) {
        let rows = self.len();
        for (scores, base) in scores.chunks_exact_mut(rows).zip(base) {
            scores.iter_mut().zip(&self.half_norms).for_each(|(score, norm)| *score = base + norm);
        }
        let centroids = view(&self.centroids, self.width);
        let mut scores = ArrayViewMut2::from_shape((vectors.nrows(), rows), scores).expect("a score for each pair");
        general_mat_mul(-1.0, &vectors, &centroids.t(), 1.0, &mut scores);
    }
}

/// `[n, width]` over a slice of whole vectors.
pub(super) fn view(vectors: &[f32], width: usize) -> ArrayView2<'_, f32> {
    ArrayView2::from_shape((vectors.len() / width, width), vectors).expect("whole vectors")
}

/// The smallest `count` of `scores` with their indices, in ascending order; of equal scores the first.
pub(super) fn smallest(scores: &[f32], count: usize, best: &mut Vec<(f32, usize)>) {
    const LANES: usize = 16;
    best.clear();
    let (chunks, rest) = scores.as_chunks::<LANES>();
    for (i, chunk) in chunks.iter().enumerate() {
        // The plain comparison is one vector instruction; `f32::min` has to treat NaN as well.
        let mut low = [f32::INFINITY; 4];
        for four in chunk.as_chunks::<4>().0 {
            low.iter_mut().zip(four).for_each(|(low, &score)| *low = if score < *low { score } else { *low });
        }
        let worst = if best.len() < count { f32::INFINITY } else { best[count - 1].0 };
        if best.len() < count || low.iter().any(|low| *low < worst) {
            insert(chunk, i * LANES, count, best);
        }
    }
    insert(rest, chunks.len() * LANES, count, best);
}

fn insert(scores: &[f32], first: usize, count: usize, best: &mut Vec<(f32, usize)>) {
    for (i, &score) in scores.iter().enumerate() {
        if best.len() < count || score < best[count - 1].0 {
            best.truncate(count - 1);
            let place = best.partition_point(|(other, _)| *other <= score);
            best.insert(place, (score, first + i));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_smallest_are_those_a_sort_puts_first(scores in prop::collection::vec(0u8..40, 1..200), count in 1usize..9) {
            let scores: Vec<f32> = scores.into_iter().map(f32::from).collect();
            let mut sorted: Vec<(f32, usize)> = scores.iter().copied().zip(0..).collect();
            sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
            sorted.truncate(count);
            let mut best = Vec::new();
            smallest(&scores, count, &mut best);
            prop_assert_eq!(best, sorted);
        }
    }
}
