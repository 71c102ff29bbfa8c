//! Verification of a sample: fast enough to run daily, and reproducible.

use super::Verifier;
use crate::constants::PAGE_BYTES;
use crate::error::Interrupted;
use crate::text::Inflater;
use crate::{LeafKind, Pack};

/// Which memories, embeddings and text blocks to read: the same share of each kind. The choice depends on the seed alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    share: f64,
    seed: u64,
}

impl Sample {
    /// A share of everything, above 0 and at most 1, and at least one of each kind; `None` for another share. With a new seed each day,
    /// nearly everything is read after some time.
    pub fn new(share: f64, seed: u64) -> Option<Self> {
        (share > 0.0 && share <= 1.0).then_some(Self { share, seed })
    }

    /// How many of `count` are chosen.
    fn size(&self, count: u64) -> u64 {
        ((self.share * count as f64).ceil() as u64).clamp(count.min(1), count)
    }

    /// The numbers chosen of `0..count`, ascending: one from each of equal parts of the section.
    pub(crate) fn chosen(self, kind: LeafKind, count: u64) -> impl Iterator<Item = u64> {
        let size = self.size(count);
        // 128 bits, as a product could overflow 64.
        let edge = move |part: u64| ((u128::from(part) * u128::from(count)) / u128::from(size.max(1))) as u64;
        (0..size).map(move |part| {
            let (start, end) = (edge(part), edge(part + 1));
            start + self.draw(kind, part) % (end - start).max(1)
        })
    }

    /// A number that depends on seed, kind and part.
    fn draw(&self, kind: LeafKind, part: u64) -> u64 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"mempack verification sample");
        hasher.update(&self.seed.to_le_bytes());
        hasher.update(&[kind as u8]);
        hasher.update(&part.to_le_bytes());
        let [a, b, c, d, e, f, g, h, ..] = *hasher.finalize().as_bytes();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// About how many bytes of a pack will be read.
    pub(super) fn bytes<D: AsRef<[u8]>>(&self, pack: &Pack<D>) -> u64 {
        let (layout, counts) = (pack.layout(), pack.manifest().counts);
        let references = self.size(counts.references.into());
        let rows = references.saturating_mul(pack.record_bytes().saturating_add(pack.embedding_bytes()));
        let text = (self.share * layout.text.length as f64) as u64;
        (PAGE_BYTES + layout.manifest.length).saturating_add(layout.leaves.length).saturating_add(rows).saturating_add(text)
    }
}

impl<D: AsRef<[u8]>> Verifier<'_, D> {
    /// Checks the manifest, the leaves, and the memories, embeddings and text blocks of the sample, each against its leaf and for
    /// everything that does not depend on others. Codes are not decoded: that needs all of the codec's tables, and codes that fit their
    /// leaf are those that the writer wrote.
    pub(super) fn sample(&mut self, sample: Sample) -> Result<(), Interrupted> {
        let layout = *self.pack.layout();
        let counts = self.pack.manifest().counts;
        self.report.read = PAGE_BYTES + layout.manifest.length + layout.leaves.length;
        self.section(&layout.manifest)?;
        self.leaves_whole = self.section(&layout.leaves)?;
        let section = &layout.memories;
        let stride = self.pack.record_bytes();
        for number in sample.chosen(LeafKind::Memory, counts.references.into()) {
            let at = number * stride;
            let record = self.pack.slice(section, at, stride);
            let checked = record.and_then(|record| self.positions(section, number as u32, at, record));
            self.checked(checked)?;
            self.report.memories += 1;
            self.read(section, stride)?;
        }
        let section = &layout.embeddings;
        let stride = self.pack.embedding_bytes();
        for number in sample.chosen(LeafKind::Embedding, counts.references.into()) {
            let at = number * stride;
            let checked = self.pack.slice(section, at, stride).and_then(|row| self.embedding(section, number as u32, at, row));
            self.checked(checked)?;
            self.report.embeddings += 1;
            self.read(section, stride)?;
        }
        let section = &layout.text;
        let mut inflater = Inflater::new();
        for block in sample.chosen(LeafKind::TextBlock, counts.text_blocks()) {
            let frame = self.pack.unchecked_frame(block);
            let length = frame.as_ref().map_or(0, |(_, frame)| frame.len() as u64);
            let checked = frame.and_then(|(start, frame)| self.block(&mut inflater, block, start, frame).map(|_| ()));
            self.checked(checked)?;
            self.report.text_blocks += 1;
            self.read(section, length)?;
        }
        Ok(())
    }

    /// Counts bytes of the sample.
    fn read(&mut self, section: &crate::Section, bytes: u64) -> Result<(), Interrupted> {
        self.report.read += bytes;
        self.advance(section, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(share: f64, seed: u64, count: u64) -> Vec<u64> {
        Sample::new(share, seed).unwrap().chosen(LeafKind::Memory, count).collect()
    }

    #[test]
    fn a_seed_decides_and_the_share_is_kept() {
        for (share, count, expected) in [(0.05, 1000, 50), (0.05, 7, 1), (1.0, 9, 9), (1e-9, 5, 1), (0.5, 0, 0), (0.33, 10, 4)] {
            let numbers = chosen(share, 7, count);
            assert_eq!(numbers.len(), expected, "{share} of {count}");
            assert!(numbers.is_sorted_by(|a, b| a < b) && numbers.iter().all(|number| *number < count));
            assert_eq!(numbers, chosen(share, 7, count));
        }
        assert_ne!(chosen(0.05, 7, 1000), chosen(0.05, 8, 1000));
        let embeddings: Vec<u64> = Sample::new(0.05, 7).unwrap().chosen(LeafKind::Embedding, 1000).collect();
        assert_ne!(chosen(0.05, 7, 1000), embeddings, "kinds are chosen independently");
        assert_eq!(chosen(1.0, 3, 1000), (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn every_number_is_chosen_in_turn() {
        // 5 % of 100: a number is missed by 200 seeds with probability 0.95^200, below 4e-5.
        let seen: std::collections::HashSet<u64> = (0..200).flat_map(|seed| chosen(0.05, seed, 100)).collect();
        assert_eq!(seen.len(), 100);
    }

    #[test]
    fn shares_that_are_none() {
        for share in [0.0, -0.1, 1.01, f64::NAN, f64::INFINITY] {
            assert_eq!(Sample::new(share, 0), None);
        }
    }
}
