//! Which references a codec is trained on, and which are held out to measure it.
//!
//! Both are selected by their keys. Keys are digests, so the selection is as good as random, and depends on nothing but the
//! references.

use std::collections::VecDeque;

use mempack_format::Digest;

/// Maximum number of references held out.
pub(crate) const MAX_HELD_OUT: usize = mempack_model::MAX_PROBES;
/// One reference in so many is held out, up to the maximum.
const HELD_OUT_SHARE: u64 = 8;

/// Fewer references are encoded with the codebooks that come with the model, if there are any. Training would take longer than writing the
/// memories, and learn from few of them.
pub const CODEBOOKS_BELOW: u64 = 2000;

/// What the selected references are for.
#[derive(Clone, Copy)]
pub(crate) enum Purpose<'a> {
    /// Nothing is selected: the codec is lossless.
    Lossless,
    /// A codec of this build is measured, and trained on at most `max_train` references: on none of fewer than [`CODEBOOKS_BELOW`] if there
    /// are `codebooks` for these.
    NewCodec { max_train: usize, codebooks: bool },
    /// A codec of the previous pack is measured, on references that the pack knows and on new ones.
    KeptCodec { known: &'a dyn Fn(&Digest) -> bool },
}

/// Names of selected references, ascending in the lists for the codec.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    /// Those with the smallest keys, to train on.
    pub train: Vec<u64>,
    /// Those with the largest keys, to measure on.
    pub held_out: Vec<u64>,
    /// Those with the smallest keys, to train centroids on, in the order of their keys.
    pub routed: Vec<u64>,
}

/// Number of references that a codec is trained on, if there are `count` and `max_train` are allowed, and number of those held out. No
/// reference is both, unless there is only one.
pub(crate) fn split(count: u64, max_train: usize) -> (usize, usize) {
    let held_out = (count / HELD_OUT_SHARE).clamp(1, MAX_HELD_OUT as u64).min(count);
    let train = (count - held_out).max(1).min(count);
    (max_train.min(usize::try_from(train).unwrap_or(usize::MAX)), held_out as usize)
}

/// Selects from references that are added in the order of their keys.
pub(crate) struct Selector<'a> {
    purpose: Purpose<'a>,
    max_routed: usize,
    routed: Vec<u64>,
    smallest: Vec<u64>,
    /// The largest of all; for a kept codec the largest of the known references and of the new ones.
    largest: [VecDeque<u64>; 2],
}

impl<'a> Selector<'a> {
    /// For a codec, and at most `max_routed` references for centroids.
    pub fn new(purpose: Purpose<'a>, max_routed: usize) -> Self {
        Self { purpose, max_routed, routed: Vec::new(), smallest: Vec::new(), largest: Default::default() }
    }

    pub fn add(&mut self, key: &Digest, name: u64) {
        if self.routed.len() < self.max_routed {
            self.routed.push(name);
        }
        let kind = match self.purpose {
            Purpose::Lossless => return,
            Purpose::NewCodec { max_train, .. } => {
                if self.smallest.len() < max_train {
                    self.smallest.push(name);
                }
                0
            }
            Purpose::KeptCodec { known } => usize::from(!known(key)),
        };
        let largest = &mut self.largest[kind];
        largest.push_back(name);
        if largest.len() > MAX_HELD_OUT {
            largest.pop_front();
        }
    }

    /// The selection, after all `count` references were added.
    pub fn finish(self, count: u64) -> Selection {
        let Self { purpose, routed, smallest: mut train, largest, .. } = self;
        let mut held_out: Vec<u64> = largest.into_iter().flatten().collect();
        if let Purpose::NewCodec { max_train, codebooks } = purpose {
            let nothing = codebooks && count < CODEBOOKS_BELOW;
            let (trained, measured) = split(count, if nothing { 0 } else { max_train });
            train.truncate(trained);
            held_out.drain(..held_out.len().saturating_sub(measured));
        }
        train.sort_unstable();
        held_out.sort_unstable();
        Selection { train, held_out, routed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_on_is_not_trained_on() {
        assert_eq!(split(0, 10), (0, 0));
        assert_eq!(split(1, 10), (1, 1));
        assert_eq!(split(2, 10), (1, 1));
        assert_eq!(split(15, 10), (10, 1));
        assert_eq!(split(16, 1024), (14, 2));
        assert_eq!(split(72, 1024), (63, 9));
        assert_eq!(split(100_000, 1024), (1024, 64));
        assert_eq!(split(100_000, 0), (0, 64));
        for count in 2..2000 {
            let (train, held) = split(count, 1024);
            assert!(train >= 1 && held >= 1 && (train + held) as u64 <= count, "{count}");
        }
    }

    #[test]
    fn small_builds_train_nothing_if_there_are_codebooks() {
        let select = |count: u64, codebooks| {
            let mut selector = Selector::new(Purpose::NewCodec { max_train: 100, codebooks }, 0);
            (0..count).for_each(|name| selector.add(&Digest([0; 32]), name));
            let Selection { train, held_out, .. } = selector.finish(count);
            (train.len(), held_out.len())
        };
        for (count, held_out) in [(1, 1), (80, 10), (CODEBOOKS_BELOW - 1, MAX_HELD_OUT)] {
            assert_eq!(select(count, true), (0, held_out), "{count}");
            assert!(select(count, false).0 > 0, "{count}");
        }
        assert_eq!(select(CODEBOOKS_BELOW, true), (100, MAX_HELD_OUT));
    }
}
