//! Which references a codec is trained on, and which are held out to measure it.
//!
//! Both are chosen by their keys: digests, so that the choice is as good as random, and depends on nothing but the references.

use std::collections::VecDeque;

use mempack_format::Digest;

/// Most references held out.
pub(crate) const HELD_OUT: usize = mempack_model::MAX_PROBES;
/// Of so many references one is held out, until there are enough.
const ONE_IN: u64 = 8;

/// What is to be chosen.
#[derive(Clone, Copy)]
pub(crate) enum Choice<'a> {
    /// None: the codec loses nothing.
    Nothing,
    /// For a codec of this build, to be trained on so many at most.
    Fresh { train: usize },
    /// For a codec that an older pack has: of what that pack knows, and of what is new.
    Kept { known: &'a dyn Fn(&Digest) -> bool },
}

/// Names of references, ascending in each list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// With the smallest keys: to train on.
    pub train: Vec<u64>,
    /// With the largest keys: to measure on.
    pub held: Vec<u64>,
}

/// How many of `count` references a codec is trained on, if `most` are allowed, and how many are held out. Nothing is both, unless
/// there is but one.
pub(crate) fn split(count: u64, most: usize) -> (usize, usize) {
    let held = (count / ONE_IN).clamp(1, HELD_OUT as u64).min(count);
    let train = (count - held).max(1).min(count);
    (most.min(usize::try_from(train).unwrap_or(usize::MAX)), held as usize)
}

/// Sees all references in the order of their keys.
pub(crate) struct Chooser<'a> {
    choice: Choice<'a>,
    smallest: Vec<u64>,
    /// Of all, or of what is known and what is new.
    largest: [VecDeque<u64>; 2],
}

impl<'a> Chooser<'a> {
    pub fn new(choice: Choice<'a>) -> Self {
        Self { choice, smallest: Vec::new(), largest: Default::default() }
    }

    pub fn see(&mut self, key: &Digest, name: u64) {
        let kind = match self.choice {
            Choice::Nothing => return,
            Choice::Fresh { train } => {
                if self.smallest.len() < train {
                    self.smallest.push(name);
                }
                0
            }
            Choice::Kept { known } => usize::from(!known(key)),
        };
        let largest = &mut self.largest[kind];
        largest.push_back(name);
        if largest.len() > HELD_OUT {
            largest.pop_front();
        }
    }

    pub fn finish(self, count: u64) -> Chosen {
        let Self { choice, smallest: mut train, largest } = self;
        let mut held: Vec<u64> = largest.into_iter().flatten().collect();
        if let Choice::Fresh { train: most } = choice {
            let (trained, measured) = split(count, most);
            train.truncate(trained);
            held.drain(..held.len().saturating_sub(measured));
        }
        train.sort_unstable();
        held.sort_unstable();
        Chosen { train, held }
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
}
