//! What the section `QUALITY` holds: how much the codec loses, and how much of that changes the model's predictions (SPEC 5.1).

use crate::constants::{MAX_LAYERS_OR_HEADS, MAX_MANIFEST_BYTES, MAX_REFERENCES};
use crate::{EMPTY_SLOT, ManifestError, Memory, MemoryShape, manifest};

// The most layers that a model may have fit into the section.
const _: () = assert!(MAX_MANIFEST_BYTES > 16 * MAX_LAYERS_OR_HEADS as u64 + 64);

/// What the codec loses, as measured by the pack's writer. A pack with a lossless codec has no such section.
#[derive(Clone, Debug, PartialEq, bincode::Encode, bincode::Decode)]
pub struct Quality {
    /// Memories that it was measured on.
    pub memories: u32,
    /// The loss of each memory layer, `[layers]`.
    pub layers: Vec<Loss>,
    /// The change of the model's predictions, if it was measured.
    pub divergence: Option<Divergence>,
}

/// The relative squared error of keys and of values: squared error over the variance about the mean. 0 is lossless; 1 is as bad as the
/// mean of all vectors of a head in place of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, bincode::Encode, bincode::Decode)]
pub struct Loss {
    /// Of the keys.
    pub keys: f64,
    /// Of the values.
    pub values: f64,
}

/// How much next-token distributions differ when memories go through the codec.
#[derive(Clone, Copy, Debug, PartialEq, bincode::Encode, bincode::Decode)]
pub struct Divergence {
    /// Kullback-Leibler divergence KL(p || q) in nats, the mean over tokens: p with memories as computed, q with memories through the
    /// codec.
    pub nats: f64,
    /// Tokens predicted.
    pub tokens: u64,
}

impl Quality {
    /// Checks every number (SPEC 5.1).
    pub(crate) fn check(&self, shape: &MemoryShape) -> Result<(), ManifestError> {
        manifest::between("memories of the quality", self.memories.into(), 1, MAX_REFERENCES.into())?;
        let layers = u64::from(shape.layers);
        manifest::between("layers of the quality", self.layers.len() as u64, layers, layers)?;
        for loss in &self.layers {
            share("loss of keys", loss.keys)?;
            share("loss of values", loss.values)?;
        }
        if let Some(divergence) = self.divergence {
            share("divergence", divergence.nats)?;
            manifest::between("tokens of the divergence", divergence.tokens, 1, u64::MAX)?;
        }
        Ok(())
    }
}

/// The wire form of SPEC 5.1.
pub(crate) fn encode(quality: &Quality) -> Result<Vec<u8>, ManifestError> {
    manifest::to_wire(quality)
}

/// From the wire form: canonical, all bytes used, every number within its bounds.
pub(crate) fn decode(bytes: &[u8], shape: &MemoryShape) -> Result<Quality, ManifestError> {
    let quality: Quality = manifest::from_wire(bytes)?;
    quality.check(shape)?;
    Ok(quality)
}

fn share(field: &'static str, found: f64) -> Result<(), ManifestError> {
    // Negative zero is refused: one number has one form.
    let fits = found.is_finite() && !found.is_sign_negative();
    if fits { Ok(()) } else { Err(manifest::field(field, "a number that is finite and not negative", found)) }
}

/// Measures what a codec loses of memories. This is the one definition of the losses in `QUALITY`.
///
/// Tokens are matched by position. Tokens that only one of the two memories has are counted apart ([`matched`](Self::matched)), not as loss.
#[derive(Clone, Debug, PartialEq)]
pub struct Distortion {
    shape: MemoryShape,
    memories: u32,
    /// Filled slots of memories, and how many of their tokens the decoded memories have too.
    slots: [u64; 2],
    /// `[layers * heads]`: of keys, and of values.
    heads: Vec<[Sums; 2]>,
}

/// Sums over the vectors of one head.
#[derive(Clone, Debug, Default, PartialEq)]
struct Sums {
    count: u64,
    /// Of squared errors.
    lost: f64,
    /// Of squared lengths.
    squares: f64,
    /// Of the vectors, `[head_dim]`.
    sum: Vec<f64>,
}

impl Sums {
    fn add(&mut self, vector: &[f32], decoded: &[f32]) {
        self.count += 1;
        self.sum.resize(vector.len(), 0.0);
        for ((x, y), sum) in vector.iter().zip(decoded).zip(&mut self.sum) {
            let (x, y) = (f64::from(*x), f64::from(*y));
            self.lost += (x - y) * (x - y);
            self.squares += x * x;
            *sum += x;
        }
    }

    fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.lost += other.lost;
        self.squares += other.squares;
        self.sum.resize(other.sum.len().max(self.sum.len()), 0.0);
        self.sum.iter_mut().zip(&other.sum).for_each(|(sum, more)| *sum += more);
    }

    /// Sum of squared distances from the mean.
    fn variance(&self) -> f64 {
        let mean = self.sum.iter().map(|sum| sum * sum).sum::<f64>() / self.count.max(1) as f64;
        (self.squares - mean).max(0.0)
    }
}

impl Distortion {
    /// An empty measurement.
    pub fn new(shape: MemoryShape) -> Self {
        let heads = shape.all_heads();
        Self { shape, memories: 0, slots: [0; 2], heads: vec![Default::default(); heads] }
    }

    /// Adds a memory as it was computed and as the codec decodes it. Memories of another shape are ignored.
    pub fn add(&mut self, memory: &Memory, decoded: &Memory) {
        if memory.shape != self.shape || decoded.shape != self.shape {
            return;
        }
        self.memories += 1;
        let dim = self.shape.head_dim as usize;
        for (head, slots) in self.heads.iter_mut().zip(self.shape.slots_of_heads()) {
            let first = slots.start;
            let [ours, theirs] = [memory, decoded].map(|of| of.positions.get(slots.clone()).unwrap_or_default());
            for (slot, position) in (first..).zip(ours).filter(|(_, position)| **position != EMPTY_SLOT) {
                self.slots[0] += 1;
                let Some(other) = theirs.iter().position(|other| other == position) else { continue };
                self.slots[1] += 1;
                for (sums, (vectors, decoded)) in head.iter_mut().zip([(&memory.keys, &decoded.keys), (&memory.values, &decoded.values)]) {
                    let vector = |of: &Vec<f32>, slot: usize| slot * dim..((slot + 1) * dim).min(of.len());
                    let pair = (vectors.get(vector(vectors, slot)), decoded.get(vector(decoded, first + other)));
                    if let (Some(vector), Some(decoded)) = pair {
                        sums.add(vector, decoded);
                    }
                }
            }
        }
    }

    /// Adds everything that another measurement of the same shape has seen.
    pub fn merge(&mut self, other: &Self) {
        self.memories += other.memories;
        self.slots.iter_mut().zip(other.slots).for_each(|(slots, more)| *slots += more);
        let pairs = self.heads.iter_mut().flatten().zip(other.heads.iter().flatten());
        pairs.for_each(|(sums, more)| sums.merge(more));
    }

    /// Memories seen.
    pub fn memories(&self) -> u32 {
        self.memories
    }

    /// Share of the tokens of memories that the decoded ones have too, 1 without any.
    pub fn matched(&self) -> f64 {
        let [all, matched] = self.slots;
        if all == 0 { 1.0 } else { matched as f64 / all as f64 }
    }

    /// The loss of each layer, `[layers]`: sums over its heads, each head with its own mean.
    pub fn layers(&self) -> Vec<Loss> {
        self.heads.chunks_exact((self.shape.heads as usize).max(1)).map(loss).collect()
    }

    /// The loss of all layers together.
    pub fn whole(&self) -> Loss {
        loss(&self.heads)
    }

    /// The contents of `QUALITY` for these memories; `None` without memories.
    pub fn quality(&self, divergence: Option<Divergence>) -> Option<Quality> {
        (self.memories > 0).then(|| Quality { memories: self.memories, layers: self.layers(), divergence })
    }
}

/// Measures what a codec loses of a sample of memories, with the sampling error: memories are dealt to groups, and the spread of a figure
/// when one group is left out is the sampling error ([`jackknife`]).
#[derive(Clone, Debug)]
pub struct SampledDistortion {
    shape: MemoryShape,
    groups: Vec<Distortion>,
    seen: usize,
}

impl SampledDistortion {
    /// Groups that memories are dealt to.
    pub const GROUPS: usize = 16;

    /// An empty measurement.
    pub fn new(shape: MemoryShape) -> Self {
        Self { groups: vec![Distortion::new(shape.clone()); Self::GROUPS], shape, seen: 0 }
    }

    /// Adds a memory as it was computed and as the codec decodes it. Memories of another shape are ignored.
    pub fn add(&mut self, memory: &Memory, decoded: &Memory) {
        let group = self.seen % self.groups.len();
        if let Some(group) = self.groups.get_mut(group) {
            group.add(memory, decoded);
        }
        self.seen += 1;
    }

    /// The whole sample.
    pub fn whole(&self) -> Distortion {
        self.merged(None)
    }

    /// The sample without one group, for each group that has a memory.
    pub fn without_one(&self) -> Vec<Distortion> {
        (0..self.groups.len().min(self.seen)).map(|group| self.merged(Some(group))).collect()
    }

    fn merged(&self, without: Option<usize>) -> Distortion {
        let mut sum = Distortion::new(self.shape.clone());
        self.groups.iter().enumerate().filter(|(group, _)| Some(*group) != without).for_each(|(_, group)| sum.merge(group));
        sum
    }
}

/// The jackknife standard error of a figure, from its values without each group of the sample (Quenouille, Tukey); `None` for fewer than
/// two groups.
pub fn jackknife(without: impl IntoIterator<Item = f64>) -> Option<f64> {
    let figures: Vec<f64> = without.into_iter().collect();
    let n = figures.len() as f64;
    let mean = figures.iter().sum::<f64>() / n;
    let spread: f64 = figures.iter().map(|figure| (figure - mean) * (figure - mean)).sum();
    (figures.len() > 1).then(|| (spread * (n - 1.0) / n).sqrt())
}

fn loss(heads: &[[Sums; 2]]) -> Loss {
    let relative = |kind: fn(&[Sums; 2]) -> &Sums| {
        let (lost, variance) = heads.iter().map(kind).fold((0.0, 0.0), |(lost, whole), sums| (lost + sums.lost, whole + sums.variance()));
        match (lost > 0.0, variance > 0.0) {
            (false, _) => 0.0,
            // Vectors that are all alike have no variance that an error could be a share of.
            (true, false) => 1.0,
            (true, true) => lost / variance,
        }
    };
    Loss { keys: relative(|[keys, _]| keys), values: relative(|[_, values]| values) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: MemoryShape = MemoryShape::new(2, 1, 2, 1);

    fn memory(positions: [u8; 4], keys: [f32; 4], values: [f32; 4]) -> Memory {
        Memory { shape: SHAPE, positions: positions.into(), keys: keys.into(), values: values.into() }
    }

    #[test]
    fn a_loss_is_the_error_over_the_variance_of_its_layer() {
        let mut distortion = Distortion::new(SHAPE);
        let whole = memory([0, 1, 0, 1], [1.0, 3.0, 5.0, 5.0], [0.0, 2.0, 4.0, 0.0]);
        distortion.add(&whole, &whole);
        assert_eq!(distortion.layers(), [Loss::default(); 2]);
        distortion.add(&whole, &memory([0, 1, 0, 1], [1.5, 3.0, 5.0, 6.0], [0.0, 2.0, 4.0, 2.0]));
        // Keys of the first layer: 1, 3, 1, 3, of variance 4; those of the second do not vary. Values of the second: 4, 0, 4, 0.
        assert_eq!(distortion.layers(), [Loss { keys: 0.25 / 4.0, values: 0.0 }, Loss { keys: 1.0, values: 4.0 / 16.0 }]);
        assert_eq!(distortion.whole(), Loss { keys: 1.25 / 4.0, values: 4.0 / 20.0 });
        let quality = distortion.quality(None).unwrap();
        assert_eq!((quality.memories, quality.layers.len()), (2, 2));
        quality.check(&SHAPE).unwrap();
        assert_eq!(Distortion::new(SHAPE).quality(None), None);
    }

    #[test]
    fn the_error_of_a_sample_is_that_of_a_mean_where_every_memory_is_a_group() {
        let exact = memory([0, 1, 0, 1], [1.0, 3.0, 5.0, 7.0], [1.0; 4]);
        let lost = |error: f32| memory([0, 1, 0, 1], [1.0, 3.0 + error, 5.0, 7.0], [1.0; 4]);
        let errors = [0.1f32, 0.5, 0.3, 0.2];
        let mut sample = SampledDistortion::new(SHAPE);
        errors.iter().for_each(|error| sample.add(&exact, &lost(*error)));
        assert_eq!((sample.whole().memories(), sample.without_one().len()), (4, 4));
        // Every memory has the same variance: 2 of either layer, that a squared error is a share of.
        let shares: Vec<f64> = errors.iter().map(|error| f64::from((3.0 + error) - 3.0).powi(2) / 4.0).collect();
        let mean = shares.iter().sum::<f64>() / 4.0;
        let variance = shares.iter().map(|share| (share - mean).powi(2)).sum::<f64>() / 3.0 / 4.0;
        let error = jackknife(sample.without_one().iter().map(|part| part.whole().keys)).unwrap();
        assert!((sample.whole().whole().keys - mean).abs() < 1e-9 && (error - variance.sqrt()).abs() < 1e-9, "{error} {variance}");
    }

    #[test]
    fn the_jackknife_of_a_mean_is_its_standard_error() {
        let values = [1.0, 4.0, 2.0, 7.0, 5.0];
        let mean: f64 = values.iter().sum::<f64>() / 5.0;
        let without = values.iter().map(|value| (5.0 * mean - value) / 4.0);
        let variance: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / 4.0;
        assert!((jackknife(without).unwrap() - (variance / 5.0).sqrt()).abs() < 1e-12);
        assert_eq!(jackknife([1.0]), None);
    }

    #[test]
    fn tokens_are_matched_by_position_and_empty_slots_are_none() {
        let ours = memory([0, 7, 3, EMPTY_SLOT], [1.0, 2.0, 3.0, 0.0], [1.0; 4]);
        let theirs = memory([5, 7, 3, EMPTY_SLOT], [9.0, 2.0, 3.0, 9.0], [1.0; 4]);
        let mut distortion = Distortion::new(SHAPE);
        distortion.add(&ours, &theirs);
        assert_eq!((distortion.matched(), distortion.whole()), (2.0 / 3.0, Loss::default()));
    }

    #[test]
    fn parts_merge_to_the_whole() {
        let whole = memory([0, 1, 0, 1], [1.0, 3.0, 5.0, 4.0], [0.0, 2.0, 4.0, 0.0]);
        let other = memory([0, 1, 0, 1], [1.5, 3.5, 4.5, 4.0], [0.5, 2.0, 4.0, 0.5]);
        let (mut both, mut first, mut second) = (Distortion::new(SHAPE), Distortion::new(SHAPE), Distortion::new(SHAPE));
        both.add(&whole, &other);
        both.add(&other, &whole);
        first.add(&whole, &other);
        second.add(&other, &whole);
        first.merge(&second);
        assert_eq!(first, both);
    }
}
