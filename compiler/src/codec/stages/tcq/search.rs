//! The Viterbi search for the best path through a trellis, for eight vectors at a time.

use pulp::{Arch, NullaryFnOnce};

use super::allotment::Run;

/// Vectors whose paths are searched at once.
pub(super) const LANES: usize = 8;
/// Bits on both sides of the beginning of the circle that are searched to find the state there: about three windows.
const AROUND: usize = 30;
/// More than any path costs.
const FAR: f32 = 1e30;

type Lanes = [f32; LANES];

/// The buffers of a search over eight vectors, and the vectors.
pub(super) struct Search<'a> {
    dim: usize,
    window: u32,
    runs: &'a [Run],
    /// `[2^window, width]` of each run.
    tables: &'a [Vec<f32>],
    /// Runs before and behind the beginning of the circle that are searched to find the state there.
    around: [usize; 2],
    /// The numbers of each dimension.
    inputs: Vec<Lanes>,
    /// The least cost of a path to each state, before and after a step.
    costs: Vec<Lanes>,
    next: Vec<Lanes>,
    /// The least cost of the states that lead to the same ones, by their common bits.
    leads: Vec<Lanes>,
    /// Which of those states it was, for each step taken.
    from: Vec<[u8; LANES]>,
}

/// Where a path begins and ends.
#[derive(Clone, Copy)]
enum Ends {
    Free,
    /// In the same state, one of each lane.
    Both([u16; LANES]),
}

impl<'a> Search<'a> {
    /// A search over vectors of `dim` dimensions, of which `runs` with their `tables` code the first.
    pub(super) fn new(dim: usize, window: u32, runs: &'a [Run], tables: &'a [Vec<f32>]) -> Self {
        let states = vec![[0.0; LANES]; 1 << window];
        let inputs = vec![[0.0; LANES]; runs.last().map_or(0, |run| run.first + run.width)];
        let before = within_bits(runs.iter().rev()).min(runs.len().div_ceil(2));
        let around = [before, within_bits(runs.iter()).min(runs.len() - before)];
        Self { dim, window, runs, tables, around, inputs, costs: states.clone(), next: states.clone(), leads: states, from: Vec::new() }
    }

    /// Loads vectors, at most [`LANES`]; lanes without a vector do not matter.
    pub(super) fn load(&mut self, vectors: &[f32]) {
        for (lane, vector) in vectors.chunks_exact(self.dim).enumerate() {
            self.inputs.iter_mut().zip(vector).for_each(|(inputs, x)| inputs[lane] = *x);
        }
    }

    /// Finds paths that end in the state they begin in, and writes their states, `[vectors, runs]`. A search over the runs around the
    /// beginning gives that state, a second one the path.
    pub(super) fn circle(&mut self, states: &mut [u16]) {
        let count = self.runs.len();
        let [before, behind] = self.around;
        let paths = self.best(count - before, before + behind, Ends::Free);
        let paths = self.best(0, count, Ends::Both(paths[before - 1]));
        for (lane, states) in states.chunks_exact_mut(count).enumerate() {
            states.iter_mut().zip(&paths).for_each(|(state, path)| *state = path[lane]);
        }
    }

    /// The states of the best paths over `count` runs of the circle from run `first` on: `[count]` of each lane.
    fn best(&mut self, first: usize, count: usize, ends: Ends) -> Vec<[u16; LANES]> {
        let all = self.runs.len();
        let runs = (first..first + count).map(|run| run % all);
        match ends {
            Ends::Free => self.costs.fill([0.0; LANES]),
            Ends::Both(states) => {
                self.costs.fill([FAR; LANES]);
                states.iter().enumerate().for_each(|(lane, state)| self.costs[usize::from(*state)][lane] = 0.0);
            }
        }
        self.from.clear();
        let (arch, mut starts) = (Arch::new(), Vec::with_capacity(count));
        for run in runs.clone() {
            starts.push(self.from.len());
            let (run, table) = (&self.runs[run], &self.tables[run]);
            self.from.resize(self.from.len() + ((1usize << self.window) >> run.bits), [0; LANES]);
            arch.dispatch(Step {
                run,
                table,
                inputs: &self.inputs[run.first..run.first + run.width],
                costs: &self.costs,
                next: &mut self.next,
                leads: &mut self.leads,
                from: &mut self.from[starts[starts.len() - 1]..],
            });
            std::mem::swap(&mut self.costs, &mut self.next);
        }
        let mut states = match ends {
            Ends::Free => self.cheapest(),
            Ends::Both(states) => states,
        };
        let mut paths = vec![[0; LANES]; count];
        for ((path, run), &start) in paths.iter_mut().zip(runs).zip(&starts).rev() {
            *path = states;
            let bits = self.runs[run].bits;
            let common = (1u32 << (self.window - u32::from(bits))) - 1;
            for (lane, state) in states.iter_mut().enumerate() {
                let lead = u32::from(*state) & common;
                *state = (lead << bits) as u16 | u16::from(self.from[start + lead as usize][lane]);
            }
        }
        paths
    }

    /// The state of each lane with the least cost.
    fn cheapest(&self) -> [u16; LANES] {
        std::array::from_fn(|lane| {
            let cost = |state: &usize| self.costs[*state][lane];
            (0..self.costs.len()).min_by(|a, b| cost(a).total_cmp(&cost(b))).unwrap_or(0) as u16
        })
    }
}

/// Runs whose bits begin within [`AROUND`] bits.
fn within_bits<'a>(runs: impl Iterator<Item = &'a Run>) -> usize {
    let begins = runs.scan(0, |bits, run| Some(std::mem::replace(bits, *bits + usize::from(run.bits))));
    begins.take_while(|begin| *begin < AROUND).count()
}

/// A step of all lanes over one run, compiled for what the processor has.
struct Step<'a> {
    run: &'a Run,
    table: &'a [f32],
    inputs: &'a [Lanes],
    costs: &'a [Lanes],
    next: &'a mut [Lanes],
    leads: &'a mut [Lanes],
    from: &'a mut [[u8; LANES]],
}

impl NullaryFnOnce for Step<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        // Of the states that lead to the same ones, the cheapest is kept. Its number replaces the lowest bits of its cost, so that one
        // comparison carries both. Costs are not negative, and change by at most one part in 2^15.
        let number = (1u32 << self.run.bits) - 1;
        let leading = self.costs.chunks_exact(1 << self.run.bits);
        for ((costs, lead), from) in leading.zip(self.leads.iter_mut()).zip(self.from) {
            let mut best = [f32::INFINITY; LANES];
            for (index, costs) in costs.iter().enumerate() {
                for (best, cost) in best.iter_mut().zip(costs) {
                    let cost = f32::from_bits(cost.to_bits() & !number | index as u32);
                    *best = if cost < *best { cost } else { *best };
                }
            }
            *lead = best;
            from.iter_mut().zip(&best).for_each(|(from, best)| *from = (best.to_bits() & number) as u8);
        }
        let leads = &self.leads[..self.costs.len() >> self.run.bits];
        for (next, table) in self.next.chunks_exact_mut(leads.len()).zip(self.table.chunks_exact(leads.len() * self.run.width)) {
            match self.inputs {
                [x] => {
                    for ((next, lead), &row) in next.iter_mut().zip(leads).zip(table) {
                        for ((next, lead), x) in next.iter_mut().zip(lead).zip(x) {
                            let off = x - row;
                            *next = lead + off * off;
                        }
                    }
                }
                [x, y] => {
                    for ((next, lead), row) in next.iter_mut().zip(leads).zip(table.as_chunks::<2>().0) {
                        for (((next, lead), x), y) in next.iter_mut().zip(lead).zip(x).zip(y) {
                            let off = [x - row[0], y - row[1]];
                            *next = lead + (off[0] * off[0] + off[1] * off[1]);
                        }
                    }
                }
                inputs => {
                    for ((next, lead), row) in next.iter_mut().zip(leads).zip(table.chunks_exact(inputs.len())) {
                        *next = *lead;
                        for (x, &row) in inputs.iter().zip(row) {
                            next.iter_mut().zip(x).for_each(|(next, x)| *next += (x - row) * (x - row));
                        }
                    }
                }
            }
        }
    }
}
