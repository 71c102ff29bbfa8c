//! K-means by Lloyd's iteration, with assignments as matrix products.

use mempack_numeric::Rng;

use super::{
    CodecTrainError,
    matrix::{Codebook, smallest, view},
    threads,
};

/// Most iterations; after these the error of real keys and values falls by less than a thousandth per iteration.
const ITERATIONS: usize = 12;
/// Scores that a block computes at once, which stay in a core's cache. Blocks do not depend on the number of threads.
const BLOCK_SCORES: usize = 1 << 16;

/// Trains `rows` centroids of `vectors`, `[n, width]`. With fewer vectors than rows, some centroids are equal.
pub(super) fn train(
    vectors: &[f32],
    width: usize,
    rows: usize,
    threads: usize,
    random: &mut Rng,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Codebook, CodecTrainError> {
    let count = vectors.len() / width;
    if count == 0 {
        return Ok(Codebook::new(vec![0.0; rows * width], width));
    }
    let seeds = random.distinct(count, rows);
    let centroids = (0..rows).flat_map(|row| vector(vectors, width, seeds[row % seeds.len()])).copied().collect();
    let mut codebook = Codebook::new(centroids, width);
    let mut before = Vec::new();
    for _ in 0..ITERATIONS {
        if stop() {
            return Err(CodecTrainError::Interrupted);
        }
        let nearest = assign(&codebook, vectors, width, threads);
        if nearest.iter().map(|near| near.0).eq(before.iter().copied()) {
            break;
        }
        codebook = Codebook::new(means(&codebook, vectors, width, &nearest), width);
        before = nearest.into_iter().map(|near| near.0).collect();
    }
    Ok(codebook)
}

/// The nearest centroid of each vector, with half their squared distance, without the term that depends on the vector alone.
pub(super) fn assign(codebook: &Codebook, vectors: &[f32], width: usize, threads: usize) -> Vec<(usize, f32)> {
    let block = (BLOCK_SCORES / codebook.len()).max(8);
    let mut nearest = vec![(0, 0.0); vectors.len() / width];
    let blocks = nearest.chunks_mut(block).zip(vectors.chunks(block * width));
    threads::for_each(threads, blocks, |(nearest, vectors)| {
        let mut scores = vec![0.0; nearest.len() * codebook.len()];
        let mut best = Vec::with_capacity(1);
        codebook.scores(view(vectors, width), &vec![0.0; nearest.len()], &mut scores);
        for (near, scores) in nearest.iter_mut().zip(scores.chunks_exact(codebook.len())) {
            smallest(scores, 1, &mut best);
            *near = (best[0].1, best[0].0);
        }
    });
    nearest
}

/// The mean of each centroid's vectors, summed in order. Centroids without vectors move to the vectors that are farthest from their own.
fn means(codebook: &Codebook, vectors: &[f32], width: usize, nearest: &[(usize, f32)]) -> Vec<f32> {
    let mut sums = vec![0f64; codebook.len() * width];
    let mut sizes = vec![0usize; codebook.len()];
    for (&(row, _), vector) in nearest.iter().zip(vectors.chunks_exact(width)) {
        sizes[row] += 1;
        sums[row * width..(row + 1) * width].iter_mut().zip(vector).for_each(|(sum, x)| *sum += f64::from(*x));
    }
    let mut centroids: Vec<f32> = sums.iter().enumerate().map(|(i, sum)| (sum / sizes[i / width].max(1) as f64) as f32).collect();
    let empty: Vec<usize> = (0..sizes.len()).filter(|&row| sizes[row] == 0).collect();
    if !empty.is_empty() {
        let distance = |i: usize| nearest[i].1 + 0.5 * vector(vectors, width, i).iter().map(|x| x * x).sum::<f32>();
        let mut far: Vec<(f32, usize)> = (0..nearest.len()).map(|i| (distance(i), i)).collect();
        far.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        for (&row, &(_, i)) in empty.iter().zip(far.iter().cycle()) {
            centroids[row * width..(row + 1) * width].copy_from_slice(vector(vectors, width, i));
        }
    }
    centroids
}

fn vector(vectors: &[f32], width: usize, index: usize) -> &[f32] {
    &vectors[index * width..(index + 1) * width]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(count: usize, seed: u64) -> Vec<f32> {
        let mut random = Rng::for_task(seed, 0);
        (0..count).map(|_| random.below(1 << 20) as f32 / (1 << 19) as f32 - 1.0).collect()
    }

    fn train_noise(vectors: &[f32], rows: usize, threads: usize) -> Vec<f32> {
        train(vectors, 4, rows, threads, &mut Rng::for_task(7, 3), &|| false).unwrap().into_centroids()
    }

    #[test]
    fn assignments_are_to_the_nearest_centroid() {
        let (vectors, centroids) = (noise(4 * 500, 1), noise(4 * 37, 2));
        let distance = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
        let nearest = assign(&Codebook::new(centroids.clone(), 4), &vectors, 4, 1);
        for (vector, (near, _)) in vectors.chunks_exact(4).zip(nearest) {
            let least = centroids.chunks_exact(4).map(|centroid| distance(vector, centroid)).fold(f64::INFINITY, f64::min);
            assert!(distance(vector, &centroids[4 * near..4 * near + 4]) <= least + 1e-6);
        }
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        let vectors = noise(4 * 20_000, 3);
        assert_eq!(train_noise(&vectors, 64, 1), train_noise(&vectors, 64, 3));
    }

    #[test]
    fn no_centroid_is_wasted_on_clusters_far_apart() {
        // Sixteen tight clusters: random seeds miss some, and moving unused centroids must find them.
        let vectors: Vec<f32> = noise(4 * 1600, 4).iter().enumerate().map(|(i, x)| 0.001 * x + (i / 4 % 16) as f32).collect();
        let codebook = Codebook::new(train_noise(&vectors, 48, 1), 4);
        for (i, (near, _)) in assign(&codebook, &vectors, 4, 1).into_iter().enumerate() {
            assert!((codebook.row(near)[0] - (i % 16) as f32).abs() < 0.01);
        }
    }

    #[test]
    fn fewer_vectors_than_centroids_are_met_exactly() {
        let vectors = noise(4 * 5, 5);
        let centroids = train_noise(&vectors, 16, 1);
        for vector in vectors.chunks_exact(4) {
            assert!(centroids.chunks_exact(4).any(|centroid| centroid == vector));
        }
        assert_eq!(train_noise(&[], 4, 1), [0.0; 16]);
    }

    #[test]
    fn an_interruption_ends_the_training() {
        let refused = train(&noise(400, 6), 4, 8, 1, &mut Rng::for_task(0, 0), &|| true);
        assert!(matches!(refused, Err(CodecTrainError::Interrupted)));
    }
}
