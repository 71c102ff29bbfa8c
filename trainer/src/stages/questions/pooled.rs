//! Questions around a pool: the first of a part fill it, the others ask about what is in it.

use std::collections::BTreeSet;

use mempack_model::Model;
use mempack_numeric::Rng;

use super::source::SourceData;
use crate::TrainError;
use crate::order::ShuffledOrder;
use crate::stages::{Part, TrainingBatch};

/// The order in which a source's questions begin sequences.
pub(super) struct Pooled {
    order: ShuffledOrder,
}

impl Pooled {
    pub fn new(source: &SourceData) -> Self {
        Self { order: ShuffledOrder::new(source.seed, source.items.len()) }
    }

    /// The first questions add their references, and those that retrieval confuses with them, to the pool until it is full. The other
    /// questions ask about references of the pool.
    pub fn batch(&mut self, source: &SourceData, model: &Model, part: Part) -> Result<TrainingBatch, TrainError> {
        let numbers = part.sequence_numbers();
        let mut rng = Rng::for_stream(source.seed ^ 0x5EED, numbers.start);
        let max_reads = source.config.reads.iter().copied().max().unwrap_or(1);
        let mut pool: Vec<usize> = Vec::new();
        let mut asked = BTreeSet::new();
        let mut batch = TrainingBatch::default();
        for number in numbers {
            let next = self.order.at(number);
            let chosen = if pool.len() < source.config.pool { next } else { about_pool(source, &pool, &asked, &mut rng).unwrap_or(next) };
            asked.insert(chosen);
            let query = source.query(chosen);
            let gold = source.items[chosen].gold;
            if gold.is_none_or(|gold| !pool.contains(&gold)) {
                let near = source.references.nearest(query, max_reads).into_iter().map(|hit| hit.reference);
                for reference in gold.into_iter().chain(near).take(max_reads) {
                    if !pool.contains(&reference) {
                        pool.push(reference);
                    }
                }
            }
            let reads = rng.pick(&source.config.reads).copied().unwrap_or(max_reads);
            let withheld = gold.is_some() && source.config.withheld > 0.0 && rng.chance(source.config.withheld);
            let chunk = nearest_in_pool(source, model, chosen, withheld, &pool, reads);
            let turns = if withheld { vec![chosen] } else { turns(source, chosen, gold, &mut rng) };
            source.push(model, &mut batch, &turns, withheld, chunk)?;
        }
        batch.references = pool.iter().map(|r| source.references.items[*r].ids.clone()).collect();
        Ok(batch)
    }
}

/// A question about a reference of the pool that has not been asked in this batch.
fn about_pool(source: &SourceData, pool: &[usize], asked: &BTreeSet<usize>, rng: &mut Rng) -> Option<usize> {
    let open: Vec<usize> = pool.iter().flat_map(|r| &source.about[*r]).filter(|q| !asked.contains(q)).copied().collect();
    rng.pick(&open).copied()
}

/// The references that a sequence reads, as places in the pool with similarities, most similar first: the nearest ones, as many as
/// their similarities justify, including the gold one unless it is withheld.
fn nearest_in_pool(source: &SourceData, model: &Model, question: usize, withheld: bool, pool: &[usize], count: usize) -> Vec<(usize, f32)> {
    let (query, gold) = (source.query(question), source.items[question].gold);
    let open = pool.iter().enumerate().filter(|(_, reference)| !withheld || source.may_be_read_instead(question, **reference));
    let mut near: Vec<_> = open.map(|(place, r)| (place, source.references.similarity(query, *r))).collect();
    near.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let count = model.memory().justified(near.iter().take(count).map(|(_, similarity)| *similarity));
    if let Some(at) = gold.and_then(|gold| near.iter().position(|(place, _)| pool[*place] == gold)).filter(|at| *at >= count) {
        near.swap(at, count - 1);
    }
    near.truncate(count);
    near
}

/// The questions of a sequence: the chosen one, then others about the same reference.
fn turns(source: &SourceData, chosen: usize, gold: Option<usize>, rng: &mut Rng) -> Vec<usize> {
    let mut others: Vec<usize> = gold.map(|gold| source.about[gold].clone()).unwrap_or_default();
    others.retain(|other| *other != chosen);
    rng.shuffle(&mut others);
    others.truncate(source.config.questions - 1);
    others.insert(0, chosen);
    others
}
