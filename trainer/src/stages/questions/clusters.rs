//! Questions in clusters: those that read the same references are asked together, so that what a part writes is read many times.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use mempack_model::Model;
use mempack_numeric::Rng;
use mempack_retrieval::Hit;

use super::source::SourceData;
use crate::TrainError;
use crate::references::Pool;
use crate::stages::TrainingBatch;

/// References beyond those that a sequence reads, in case some of the nearest ones answer a question whose reference is withheld.
const SPARE: usize = 4;

/// Questions that are compared for a place in a cluster.
const CANDIDATES: usize = 256;

/// A source's questions, planned round by round: each question is asked once a round.
pub(super) struct Clusters {
    /// The nearest references of each question, most similar first.
    hits: Vec<Vec<Hit<usize>>>,
    /// The questions that may read each reference.
    readers: Vec<Vec<usize>>,
    /// The numbers of the first sequences after each planned round.
    ends: Vec<u64>,
    /// The number of a round, and its sequences: the questions that each asks.
    round: (usize, Vec<Vec<usize>>),
}

impl Clusters {
    /// Retrieves for all questions of a source with `threads` threads.
    pub fn new(source: &SourceData, threads: usize) -> Self {
        let count = max_reads(source) + SPARE;
        let share = source.items.len().div_ceil(threads.max(1)).max(1);
        let numbers: Vec<usize> = (0..source.items.len()).collect();
        let hits = std::thread::scope(|scope| {
            let retrieve = |numbers: &'_ [usize]| {
                let numbers = numbers.to_vec();
                scope.spawn(move || numbers.into_iter().map(|n| source.references.nearest(source.query(n), count)).collect::<Vec<_>>())
            };
            let threads: Vec<_> = numbers.chunks(share).map(retrieve).collect();
            // A panic of a thread goes on here.
            threads.into_iter().flat_map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        });
        let mut clusters =
            Self { hits, readers: vec![Vec::new(); source.references.items.len()], ends: Vec::new(), round: (0, Vec::new()) };
        for question in numbers {
            for reference in clusters.may_read(source, question) {
                clusters.readers[reference].push(question);
            }
        }
        clusters.plan(source, 0);
        clusters
    }

    /// Sequences of the first `rounds` rounds, or of so many of them that there are `enough`.
    pub fn sequences(&mut self, source: &SourceData, rounds: u64, enough: u64) -> u64 {
        while (self.ends.len() as u64) < rounds && self.ends.last().is_none_or(|end| *end < enough) {
            self.plan(source, self.ends.len());
        }
        self.ends.last().copied().unwrap_or_default()
    }

    /// The batch of the sequences from `first` on, counted over all rounds.
    pub fn batch(&mut self, source: &SourceData, model: &Model, first: u64, sequences: usize) -> Result<TrainingBatch, TrainError> {
        let mut batch = TrainingBatch::default();
        let mut pool = Pool::default();
        for number in first..first + sequences as u64 {
            let mut rng = Rng::for_stream(source.seed ^ 0x5EED_C105, number);
            let turns = self.turns(source, number);
            let Some(&chosen) = turns.first() else { continue };
            let gold = source.items[chosen].gold;
            let withheld = gold.is_some() && source.config.withheld > 0.0 && rng.chance(source.config.withheld);
            let count = rng.pick(&source.config.reads).copied().unwrap_or(1);
            let mut chunk = Vec::with_capacity(count);
            for (reference, similarity) in self.reads(source, model, chosen, count, withheld) {
                if pool.contains(reference) || pool.len() < source.config.pool || gold == Some(reference) {
                    chunk.push((pool.place(reference), similarity));
                }
            }
            let turns = if withheld { &turns[..1] } else { &turns };
            source.push(model, &mut batch, turns, withheld, chunk)?;
        }
        batch.references = pool.ids(&source.references.items);
        Ok(batch)
    }

    /// The references that a question reads of all of its source, most similar first, with their similarities: the nearest ones, as many as
    /// their similarities justify. The one that answers it is among them, unless it is withheld with all that contain the answer.
    fn reads(&self, source: &SourceData, model: &Model, question: usize, count: usize, withheld: bool) -> Vec<(usize, f32)> {
        let gold = source.items[question].gold;
        let hits = self.hits[question].iter().map(|hit| (hit.reference, hit.similarity));
        if withheld {
            let open: Vec<_> = hits.filter(|(r, _)| source.may_be_read_instead(question, *r)).take(count).collect();
            let count = model.memory().justified(open.iter().map(|(_, similarity)| *similarity));
            return open.into_iter().take(count).collect();
        }
        source.references.with_gold(model, source.query(question), hits, gold, count)
    }

    /// The questions that the sequence of this number asks.
    fn turns(&mut self, source: &SourceData, number: u64) -> Vec<usize> {
        while self.ends.last().is_none_or(|end| *end <= number) {
            self.plan(source, self.ends.len());
        }
        let round = self.ends.partition_point(|end| *end <= number);
        if self.round.0 != round {
            self.plan(source, round);
        }
        let start = round.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.round.1[(number - start) as usize].clone()
    }

    /// The references that a question reads at most: the nearest ones, among them the one that answers it.
    fn may_read(&self, source: &SourceData, question: usize) -> Vec<usize> {
        let gold = source.items[question].gold;
        let near = self.hits[question].iter().map(|hit| hit.reference).filter(|reference| Some(*reference) != gold);
        gold.into_iter().chain(near).take(max_reads(source)).collect()
    }

    /// Plans a round: each question is followed by questions that read the same references, and a sequence may go on with questions about its
    /// own reference. Every question comes once.
    fn plan(&mut self, source: &SourceData, round: usize) {
        let mut rng = Rng::for_stream(source.seed, round as u64);
        let mut order: Vec<usize> = (0..source.items.len()).collect();
        rng.shuffle(&mut order);
        let mut asked = vec![false; order.len()];
        let mut sequences = Vec::new();
        for first in order {
            if asked[first] {
                continue;
            }
            for question in self.cluster(source, first, &asked, &mut rng) {
                if std::mem::replace(&mut asked[question], true) {
                    continue;
                }
                let about = source.items[question].gold.map(|gold| source.about[gold].as_slice()).unwrap_or_default();
                let mut others: Vec<usize> = about.iter().filter(|other| !asked[**other]).copied().collect();
                rng.shuffle(&mut others);
                others.truncate(source.config.questions - 1);
                others.iter().for_each(|other| asked[*other] = true);
                sequences.push([vec![question], others].concat());
            }
        }
        if self.ends.len() == round {
            self.ends.push(self.ends.last().copied().unwrap_or_default() + sequences.len() as u64);
        }
        self.round = (round, sequences);
    }

    /// A question, and those that share the most references with it and with those already chosen, none of which has been asked.
    fn cluster(&self, source: &SourceData, first: usize, asked: &[bool], rng: &mut Rng) -> Vec<usize> {
        let mut pool: BTreeSet<usize> = self.may_read(source, first).into_iter().collect();
        let mut open: Vec<usize> = pool.iter().flat_map(|reference| &self.readers[*reference]).copied().collect();
        open.sort_unstable();
        open.dedup();
        open.retain(|question| *question != first && !asked[*question]);
        rng.shuffle(&mut open);
        open.truncate(CANDIDATES);
        let mut open: Vec<(usize, Vec<usize>)> = open.into_iter().map(|question| (question, self.may_read(source, question))).collect();
        let mut cluster = vec![first];
        while cluster.len() <= source.config.clusters {
            let shared = |(place, (_, reads)): (usize, &(usize, Vec<usize>))| {
                (reads.iter().filter(|reference| pool.contains(reference)).count(), Reverse(place))
            };
            // Of equals, the first in the shuffled order.
            let Some((_, Reverse(best))) = open.iter().enumerate().map(shared).max() else { break };
            let (question, reads) = open.remove(best);
            pool.extend(reads);
            cluster.push(question);
        }
        cluster
    }
}

/// The most references that a sequence reads.
fn max_reads(source: &SourceData) -> usize {
    source.config.reads.iter().copied().max().unwrap_or(1)
}
