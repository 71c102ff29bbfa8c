//! Which embeddings belong to which search pack: centroids by spherical k-means, several a pack.

use mempack_numeric::{Rng, dot};

use crate::BuildError;
use crate::codec::threads;

/// Most centroids of a search pack.
pub(super) const CENTROIDS_PER_PACK: usize = 16;
/// Fewest references of the sample for each centroid, unless there are more packs.
const REFERENCES_PER_CENTROID: usize = 8;
/// Iterations of k-means; few embeddings move after these.
const ITERATIONS: usize = 12;
/// Embeddings that a thread takes at once.
const BLOCK: usize = 64;
const SEED: u64 = 0;

/// The centroids of a plan.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Centroids {
    dim: usize,
    /// The pack of each centroid, ascending from 0; each pack has at least one.
    owners: Vec<u32>,
    /// Unit vectors, `[owners, dim]`.
    rows: Vec<f32>,
}

impl Centroids {
    /// Trains centroids on embeddings, `[n, dim]`, for `packs` packs, at most `n`. Centroids near one another belong to the same pack, and all packs
    /// have about as many of the embeddings. The result does not depend on the number of threads.
    pub fn train(embeddings: &[f32], dim: usize, packs: u32, threads: usize, stop: &(dyn Fn() -> bool + Sync)) -> Result<Self, BuildError> {
        let count = embeddings.len() / dim;
        let packs = packs as usize;
        let wanted = (count / REFERENCES_PER_CENTROID).max(packs).min(CENTROIDS_PER_PACK * packs);
        let seeds = Rng::for_task(SEED, 0).distinct(count, wanted.min(count));
        let mut rows: Vec<f32> = seeds.iter().flat_map(|seed| row(embeddings, dim, *seed)).copied().collect();
        let mut nearest = Vec::new();
        for _ in 0..ITERATIONS {
            if stop() {
                return Err(BuildError::Interrupted);
            }
            let before = std::mem::replace(&mut nearest, assign(&rows, embeddings, dim, threads));
            if before.iter().map(|near| near.0).eq(nearest.iter().map(|near: &(usize, f32)| near.0)) {
                break;
            }
            move_to_means(&mut rows, embeddings, dim, &nearest);
        }
        let mut sizes = vec![0; rows.len() / dim];
        assign(&rows, embeddings, dim, threads).iter().for_each(|(near, _)| sizes[*near] += 1);
        let mut owners = vec![0; sizes.len()];
        divide(&rows, dim, &sizes, (0..sizes.len()).collect(), 0..packs, &mut owners);
        let mut order: Vec<usize> = (0..owners.len()).collect();
        order.sort_by_key(|at| owners[*at]);
        let sorted = order.iter().flat_map(|at| row(&rows, dim, *at)).copied().collect();
        Ok(Self { dim, owners: order.iter().map(|at| owners[*at]).collect(), rows: sorted })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.owners.len()
    }

    /// Dimensions of an embedding.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The pack of a centroid.
    pub fn owner(&self, centroid: usize) -> u32 {
        self.owners[centroid]
    }

    /// A centroid, a unit vector.
    pub fn row(&self, centroid: usize) -> &[f32] {
        row(&self.rows, self.dim, centroid)
    }

    /// The nearest centroid of an embedding whose pack `has_room`; of equals the first.
    pub fn nearest(&self, embedding: &[f32], has_room: impl Fn(u32) -> bool) -> Option<usize> {
        let open = (0..self.len()).filter(|centroid| has_room(self.owner(*centroid)));
        let similar = open.map(|centroid| (centroid, dot(self.row(centroid), embedding)));
        similar.reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(centroid, _)| centroid)
    }

    /// The bytes of their file: `u32` dimensions, `u32` centroids, the owners (`u32` each), the vectors (`f32`).
    pub fn to_bytes(&self) -> Vec<u8> {
        let numbers = [self.dim as u32, self.len() as u32].into_iter().chain(self.owners.iter().copied());
        numbers.flat_map(u32::to_le_bytes).chain(self.rows.iter().flat_map(|x| x.to_le_bytes())).collect()
    }

    /// The inverse of [`to_bytes`](Self::to_bytes), for embeddings of `dim` dimensions and `packs` packs.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn read(bytes: &[u8], dim: u32, packs: u32) -> Result<Self, String> {
        let words = bytes.as_chunks::<4>();
        let mut numbers = words.0.iter();
        let mut next = || numbers.next().map(|word| u32::from_le_bytes(*word)).unwrap_or_default();
        let (found, count) = (next(), next() as usize);
        let expected = (count as u64).checked_mul(u64::from(dim) + 1).map(|words| 4 * (words + 2));
        if found != dim || expected != Some(bytes.len() as u64) {
            return Err(format!("it has {} bytes and {found} dimensions, expected {count} centroids of {dim}", bytes.len()));
        }
        let owners: Vec<u32> = (0..count).map(|_| next()).collect();
        let rows: Vec<f32> = numbers.map(|word| f32::from_le_bytes(*word)).collect();
        let last = packs.saturating_sub(1);
        let ascend = owners.windows(2).all(|pair| pair[0] == pair[1] || pair[0].checked_add(1) == Some(pair[1]));
        if owners.first() != Some(&0) || owners.last() != Some(&last) || !ascend {
            return Err(format!("its centroids do not belong to the packs 0 to {last}"));
        }
        let is_unit = |row: &[f32]| (dot(row, row) - 1.0).abs() < 1e-3;
        if !rows.chunks_exact(dim.max(1) as usize).all(is_unit) {
            return Err("a centroid is no unit vector".to_owned());
        }
        Ok(Self { dim: dim as usize, owners, rows })
    }
}

fn row(rows: &[f32], dim: usize, at: usize) -> &[f32] {
    &rows[at * dim..(at + 1) * dim]
}

/// The nearest centroid of each embedding, with its similarity.
fn assign(rows: &[f32], embeddings: &[f32], dim: usize, threads: usize) -> Vec<(usize, f32)> {
    let mut nearest = vec![(0, 0.0); embeddings.len() / dim];
    let blocks = nearest.chunks_mut(BLOCK).zip(embeddings.chunks(BLOCK * dim));
    threads::for_each(threads, blocks, |(nearest, embeddings)| {
        for (near, embedding) in nearest.iter_mut().zip(embeddings.chunks_exact(dim)) {
            let similar = rows.chunks_exact(dim).map(|row| dot(row, embedding)).enumerate();
            *near = similar.reduce(|best, next| if next.1 > best.1 { next } else { best }).unwrap_or_default();
        }
    });
    nearest
}

/// Moves each centroid to the direction of the mean of its embeddings, and one without any to the embedding that is farthest from its own centroid.
fn move_to_means(rows: &mut [f32], embeddings: &[f32], dim: usize, nearest: &[(usize, f32)]) {
    let mut sums = vec![0f64; rows.len()];
    let mut sizes = vec![0usize; rows.len() / dim];
    for (&(near, _), embedding) in nearest.iter().zip(embeddings.chunks_exact(dim)) {
        sizes[near] += 1;
        add(&mut sums[near * dim..(near + 1) * dim], embedding);
    }
    let mut far: Vec<usize> = (0..nearest.len()).collect();
    far.sort_by(|a, b| nearest[*a].1.total_cmp(&nearest[*b].1).then(a.cmp(b)));
    let mut far = far.into_iter().cycle();
    for (centroid, target) in rows.chunks_exact_mut(dim).enumerate() {
        match direction(&sums[centroid * dim..(centroid + 1) * dim]) {
            Some(mean) => target.copy_from_slice(&mean),
            None => target.copy_from_slice(row(embeddings, dim, far.next().unwrap_or_default())),
        }
    }
}

/// Adds a vector to sums.
pub(super) fn add(sums: &mut [f64], vector: &[f32]) {
    sums.iter_mut().zip(vector).for_each(|(sum, x)| *sum += f64::from(*x));
}

/// The unit vector in the direction of a sum; `None` for a sum that has none.
pub(super) fn direction(sums: &[f64]) -> Option<Vec<f32>> {
    let length = sums.iter().map(|sum| sum * sum).sum::<f64>().sqrt();
    (length > 1e-6).then(|| sums.iter().map(|sum| (sum / length) as f32).collect())
}

/// Gives `centroids`, at least as many as `packs`, to the packs: halves of near ones go to halves of the packs, with shares of the embeddings in
/// proportion.
fn divide(rows: &[f32], dim: usize, sizes: &[usize], mut centroids: Vec<usize>, packs: std::ops::Range<usize>, owners: &mut [u32]) {
    if packs.len() <= 1 {
        centroids.iter().for_each(|centroid| owners[*centroid] = packs.start as u32);
        return;
    }
    let middle = packs.start + packs.len() / 2;
    let (left, right) = (middle - packs.start, packs.end - middle);
    // The line between two centroids that are far apart; along it the centroids are in order.
    let farthest = |from: &[f32]| {
        let similar = centroids.iter().map(|centroid| (*centroid, dot(from, row(rows, dim, *centroid))));
        similar.reduce(|best, next| if next.1 < best.1 { next } else { best }).map_or(0, |(centroid, _)| centroid)
    };
    let one = farthest(row(rows, dim, centroids[0]));
    let other = farthest(row(rows, dim, one));
    let along = |centroid: usize| dot(row(rows, dim, centroid), row(rows, dim, one)) - dot(row(rows, dim, centroid), row(rows, dim, other));
    centroids.sort_by(|a, b| along(*b).total_cmp(&along(*a)).then(a.cmp(b)));
    let total: usize = centroids.iter().map(|centroid| sizes[*centroid]).sum();
    // The cut at which the left half is nearest to its share; each pack needs a centroid.
    let (mut sum, mut best, mut error) = (0, left, usize::MAX);
    for (at, centroid) in centroids.iter().enumerate().take(centroids.len() - right) {
        sum += sizes[*centroid];
        let off = (sum * packs.len()).abs_diff(total * left);
        if at + 1 >= left && off < error {
            (best, error) = (at + 1, off);
        }
    }
    let rest = centroids.split_off(best);
    divide(rows, dim, sizes, centroids, packs.start..middle, owners);
    divide(rows, dim, sizes, rest, middle..packs.end, owners);
}

#[cfg(test)]
mod tests {
    use mempack_numeric::Rng;
    use proptest::prelude::*;

    use super::*;

    const DIM: usize = 8;

    /// Unit vectors around `clusters` directions.
    fn embeddings(count: usize, clusters: usize, seed: u64) -> Vec<f32> {
        let mut random = Rng::for_task(seed, 0);
        let mut noise = |scale: f64| (0..DIM).map(|_| scale * (random.uniform() - 0.5)).collect::<Vec<f64>>();
        let directions: Vec<Vec<f64>> = (0..clusters).map(|_| noise(1.0)).collect();
        (0..count)
            .flat_map(|at| {
                let near: Vec<f64> = directions[at % clusters].iter().zip(noise(0.1)).map(|(x, y)| x + y).collect();
                direction(&near).unwrap()
            })
            .collect()
    }

    fn train(embeddings: &[f32], packs: u32, threads: usize) -> Centroids {
        Centroids::train(embeddings, DIM, packs, threads, &|| false).unwrap()
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        let embeddings = embeddings(2000, 30, 1);
        assert_eq!(train(&embeddings, 5, 1), train(&embeddings, 5, 3));
    }

    #[test]
    fn near_embeddings_are_in_one_pack_and_packs_are_balanced() {
        let (clusters, packs) = (24, 4);
        let embeddings = embeddings(2400, clusters, 2);
        let centroids = train(&embeddings, packs, 2);
        assert_eq!(centroids.len(), 64);
        let pack_of = |at: usize| centroids.owner(centroids.nearest(row(&embeddings, DIM, at), |_| true).unwrap());
        let (mut sizes, mut split) = (vec![0; packs as usize], 0);
        for at in 0..2400 {
            sizes[pack_of(at) as usize] += 1;
            split += usize::from(pack_of(at) != pack_of(at % clusters));
        }
        assert!(sizes.iter().all(|size| (300..900).contains(size)), "{sizes:?}");
        // A cluster may lie on the border of two packs, most do not.
        assert!(split < 400, "{split}");
        // The nearest of all, by definition.
        for at in (0..2400).step_by(97) {
            let embedding = row(&embeddings, DIM, at);
            let most = (0..centroids.len()).map(|centroid| dot(centroids.row(centroid), embedding)).fold(f32::MIN, f32::max);
            assert_eq!(dot(centroids.row(centroids.nearest(embedding, |_| true).unwrap()), embedding), most);
        }
    }

    #[test]
    fn a_full_pack_gets_nothing() {
        let embeddings = embeddings(200, 9, 3);
        let centroids = train(&embeddings, 3, 1);
        for embedding in embeddings.chunks_exact(DIM) {
            let first = centroids.owner(centroids.nearest(embedding, |_| true).unwrap());
            assert_ne!(centroids.owner(centroids.nearest(embedding, |pack| pack != first).unwrap()), first);
            assert_eq!(centroids.nearest(embedding, |_| false), None);
        }
    }

    proptest! {
        #[test]
        fn each_pack_has_a_centroid_and_the_file_is_read_as_written(count in 1usize..60, clusters in 1usize..9, packs in 1u32..9, same: bool) {
            let packs = packs.min(count as u32);
            let embeddings = if same { embeddings(1, 1, 4).repeat(count) } else { embeddings(count, clusters, 5) };
            let centroids = train(&embeddings, packs, 2);
            let bytes = centroids.to_bytes();
            prop_assert_eq!(Centroids::read(&bytes, DIM as u32, packs), Ok(centroids));
            prop_assert!(Centroids::read(&bytes, DIM as u32, packs + 1).is_err());
            prop_assert!(Centroids::read(&bytes[..bytes.len() - 1], DIM as u32, packs).is_err());
        }

        #[test]
        fn any_bytes_are_centroids_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..100), dim in 0u32..5, packs in 0u32..5) {
            let _ = Centroids::read(&bytes, dim, packs);
        }
    }
}
