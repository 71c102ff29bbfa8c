//! Which tokens of a reference the heads keep.

use mempack_format::{EMPTY_SLOT, Memory};

/// Shades of the map, the one for tokens that no head keeps included.
pub(crate) const LEVELS: usize = 6;

/// The tokens of a reference that the heads of its memory keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Tokens of the reference: as many as the pack says, or as its positions name if these are more.
    pub(crate) tokens: usize,
    /// The positions that each head keeps, `[layers * heads]`, layer by layer, in the order of the memory.
    pub(crate) positions: Vec<Vec<u8>>,
    /// Heads of a layer, at least 1.
    heads: usize,
    /// Heads that keep any tokens of a reference that has enough.
    holding: usize,
    /// For each token, how many heads keep it.
    counts: Vec<usize>,
}

impl Kept {
    /// What a memory keeps of a reference of `tokens` tokens.
    pub(crate) fn of(memory: &Memory, tokens: usize) -> Self {
        let of_head = |slots: std::ops::Range<usize>| -> Vec<u8> {
            memory.positions.get(slots).unwrap_or_default().iter().copied().filter(|position| *position != EMPTY_SLOT).collect()
        };
        let positions: Vec<Vec<u8>> = memory.shape.slots_of_heads().map(of_head).collect();
        let holding = memory.shape.slots_of_heads().filter(|slots| !slots.is_empty()).count();
        let named = positions.iter().flatten().map(|position| usize::from(*position) + 1).max().unwrap_or_default();
        let mut counts = vec![0; tokens.max(named)];
        for position in positions.iter().flatten() {
            if let Some(count) = counts.get_mut(usize::from(*position)) {
                *count += 1;
            }
        }
        Self { tokens: counts.len(), positions, heads: memory.shape.heads.max(1) as usize, holding, counts }
    }

    /// How many heads keep a token.
    pub(crate) fn count(&self, token: usize) -> usize {
        self.counts.get(token).copied().unwrap_or_default()
    }

    /// How many layers have a head that keeps a token.
    pub(crate) fn layers(&self, token: usize) -> usize {
        let keeps = |head: &Vec<u8>| head.iter().any(|position| usize::from(*position) == token);
        self.positions.chunks(self.heads).filter(|layer| layer.iter().any(keeps)).count()
    }

    /// Heads that keep any tokens.
    pub(crate) fn holding(&self) -> usize {
        self.holding
    }

    /// The shade of tokens that `count` heads keep, below [`LEVELS`]; 0 if none does.
    pub(crate) fn level(count: usize, holding: usize) -> usize {
        match count {
            0 => 0,
            _ if 16 * count <= holding => 1,
            _ if 8 * count <= holding => 2,
            _ if 4 * count <= holding => 3,
            _ if 2 * count <= holding => 4,
            _ => 5,
        }
    }

    /// The tokens that most heads keep, at most `most` of them: those of more heads first, then the earlier ones.
    pub(crate) fn most_kept(&self, most: usize) -> Vec<usize> {
        let mut tokens: Vec<usize> = (0..self.tokens).filter(|token| self.count(*token) > 0).collect();
        tokens.sort_by_key(|token| (std::cmp::Reverse(self.count(*token)), *token));
        tokens.truncate(most);
        tokens
    }
}

/// For each shade that can occur, the numbers of heads that it stands for: the fewest and the most.
pub(crate) fn legend(holding: usize) -> Vec<(usize, usize, usize)> {
    let mut ranges: Vec<(usize, usize, usize)> = Vec::new();
    for count in 0..=holding {
        let level = Kept::level(count, holding);
        match ranges.last_mut() {
            Some((last, _, most)) if *last == level => *most = count,
            _ => ranges.push((level, count, count)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use mempack_format::MemoryShape;

    use super::*;

    #[test]
    fn tokens_are_counted_by_head_and_layer() {
        let shape = MemoryShape::with_budget(2, 2, 1, &[2, 0, 1, 3]).unwrap();
        let memory = Memory { positions: vec![1, 4, 4, 0, 4, EMPTY_SLOT], ..Memory::empty(shape) };
        let kept = Kept::of(&memory, 3);
        assert_eq!(kept.positions, [vec![1, 4], vec![], vec![4], vec![0, 4]]);
        assert_eq!((kept.tokens, kept.holding()), (5, 3));
        assert_eq!((0..6).map(|token| kept.count(token)).collect::<Vec<_>>(), [1, 1, 0, 0, 3, 0]);
        assert_eq!((0..6).map(|token| kept.layers(token)).collect::<Vec<_>>(), [1, 1, 0, 0, 2, 0]);
        assert_eq!((kept.most_kept(2), kept.most_kept(9)), (vec![4, 0], vec![4, 0, 1]));
    }

    #[test]
    fn the_legend_has_every_count_in_its_shade() {
        for holding in [1, 2, 4, 15, 16, 72, 1000] {
            let legend = legend(holding);
            assert_eq!((legend[0], legend.last().unwrap().2), ((0, 0, 0), holding));
            for (level, fewest, most) in &legend {
                assert!((*fewest..=*most).all(|count| Kept::level(count, holding) == *level) && *level < LEVELS);
            }
            assert!(legend.windows(2).all(|pair| pair[0].2 + 1 == pair[1].1 && pair[0].0 < pair[1].0));
        }
    }
}
