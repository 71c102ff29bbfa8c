//! Trellis codes: the path through a trellis whose rows come nearest to a vector, by the Viterbi algorithm.
//!
//! A state is a window of the code (SPEC.md, 9.2). The step of a run of dimensions drops the lowest bits of the state, as many as are new,
//! and puts the new ones above the rest; so `2^bits` states lead to each state, and it costs nothing more to have a window of bits than
//! a look-up. Tables are trained by Lloyd's iteration over whole paths, as in "Trellis coded quantization" (Marcellin and Fischer 1990)
//! with tables at random as in "random permutation" codes (Mao and Gray 2010).

use mempack_numeric::Rng;
use pulp::{Arch, NullaryFnOnce};

use super::{
    TrainError,
    allotment::{self, Run},
    packing::pack,
    threads,
};

/// Vectors whose paths are sought at once.
const LANES: usize = 8;
/// Vectors of a block, the unit of work of a thread.
const BLOCK: usize = 1024;
/// Iterations of training; the error of unseen vectors falls by less than 0.5% with twice as many.
const ITERATIONS: usize = 8;
/// Bits on both sides of the beginning of the circle that are searched to find the state there; three windows do.
const AROUND: usize = 30;
/// A cost that no path has.
const FAR: f32 = 1e30;

type Lanes = [f32; LANES];

/// What codes vectors in a basis in which their dimensions can be coded one after the other.
///
/// Dimensions behind the last run that has bits are a run without any, whose table is zero: no code says anything of them.
pub(super) struct Trellis {
    dim: usize,
    window: u32,
    /// Those before it.
    runs: Vec<Run>,
    /// `[2^window, width]` of each run.
    tables: Vec<Vec<f32>>,
}

impl Trellis {
    /// The trellis of a group's parameters: an allotment as the format writes it, and the tables behind one another.
    pub(super) fn new(allotment: &[u8], window: u8, tables: &[f32]) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        for (first, &bits) in allotment.iter().enumerate() {
            match runs.last_mut() {
                Some(run) if bits == mempack_format::CONTINUED => run.width += 1,
                _ => runs.push(Run { first, width: 1, bits }),
            }
        }
        let mut rest = tables;
        let mut tables: Vec<Vec<f32>> =
            runs.iter().map(|run| rest.split_off(..run.width << window).expect("tables of all runs").to_vec()).collect();
        while runs.last().is_some_and(|run| run.bits == 0) && tables.last().is_some_and(|table| table.iter().all(|x| *x == 0.0)) {
            runs.pop();
            tables.pop();
        }
        Self { dim: allotment.len(), window: window.into(), runs, tables }
    }

    /// Trains tables on `vectors`, `[n, dim]`, whose variances are `variances`, for codes of `bytes` bytes.
    pub(super) fn train(
        vectors: &[f32],
        variances: &[f64],
        (bytes, window): (u16, u8),
        threads: usize,
        random: &mut Rng,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<Self, TrainError> {
        let dim = variances.len();
        let mut runs = allotment::allot(variances, 8 * usize::from(bytes), window);
        runs.truncate(runs.iter().rposition(|run| run.bits > 0).map_or(0, |last| last + 1));
        let tables = runs.iter().map(|run| first_table(vectors, dim, run, window, random)).collect();
        let mut trellis = Self { dim, window: window.into(), runs, tables };
        for _ in 0..ITERATIONS {
            if stop() {
                return Err(TrainError::Interrupted);
            }
            let states = trellis.states(vectors, threads);
            trellis.move_rows(vectors, &states);
        }
        Ok(trellis)
    }

    /// The allotment as the format writes it.
    pub(super) fn allotment(&self) -> Vec<u8> {
        let mut bytes = vec![mempack_format::CONTINUED; self.dim];
        self.runs.iter().for_each(|run| bytes[run.first] = run.bits);
        bytes.iter_mut().skip(self.coded()).take(1).for_each(|bits| *bits = 0);
        bytes
    }

    /// Dimensions of the runs.
    fn coded(&self) -> usize {
        self.runs.last().map_or(0, |run| run.first + run.width)
    }

    pub(super) fn into_tables(self) -> impl Iterator<Item = f32> {
        let zeros = (self.dim - self.coded()) << self.window;
        self.tables.into_iter().flatten().chain(std::iter::repeat_n(0.0, zeros))
    }

    /// The codes, `[n, bytes]`, of `vectors`, `[n, dim]`.
    pub(super) fn encode(&self, vectors: &[f32]) -> Vec<u8> {
        let bits: Vec<u32> = self.runs.iter().map(|run| run.bits.into()).collect();
        // What is new of a state stands above the rest of it; of a run without bits that is nothing.
        let mut codes = self.states(vectors, 1);
        for codes in codes.chunks_exact_mut(bits.len()) {
            codes.iter_mut().zip(&bits).for_each(|(code, bits)| *code >>= self.window - bits);
        }
        pack(&codes, &bits, bits.iter().sum::<u32>().div_ceil(8) as usize)
    }

    /// The states, `[n, runs]`, of the codes of `vectors`.
    fn states(&self, vectors: &[f32], threads: usize) -> Vec<u16> {
        let runs = self.runs.len();
        let mut states = vec![0; vectors.len() / self.dim * runs];
        let blocks = states.chunks_mut(BLOCK * runs).zip(vectors.chunks(BLOCK * self.dim));
        threads::for_each(threads, blocks, |(states, vectors)| {
            let mut search = Search::new(self);
            for (states, vectors) in states.chunks_mut(LANES * runs).zip(vectors.chunks(LANES * self.dim)) {
                search.turn(vectors);
                search.circle(states);
            }
        });
        states
    }

    /// Each row becomes the mean of what it stands for; a row that stands for nothing stays.
    fn move_rows(&mut self, vectors: &[f32], states: &[u16]) {
        for (index, (run, table)) in self.runs.iter().zip(&mut self.tables).enumerate() {
            let (mut sums, mut counts) = (vec![0f64; table.len()], vec![0u32; 1 << self.window]);
            for (vector, states) in vectors.chunks_exact(self.dim).zip(states.chunks_exact(self.runs.len())) {
                let state = usize::from(states[index]);
                counts[state] += 1;
                let sums = &mut sums[state * run.width..(state + 1) * run.width];
                sums.iter_mut().zip(&vector[run.first..]).for_each(|(sum, x)| *sum += f64::from(*x));
            }
            for ((row, sums), &count) in table.chunks_exact_mut(run.width).zip(sums.chunks_exact(run.width)).zip(&counts) {
                if count > 0 {
                    row.iter_mut().zip(sums).for_each(|(x, sum)| *x = (sum / f64::from(count)) as f32);
                }
            }
        }
    }
}

/// A table to begin with: of one dimension quantiles in random order, of several those dimensions of vectors at random.
fn first_table(vectors: &[f32], dim: usize, run: &Run, window: u8, random: &mut Rng) -> Vec<f32> {
    let (rows, count) = (1usize << window, vectors.len() / dim);
    if count == 0 {
        return vec![0.0; rows * run.width];
    }
    if run.width > 1 {
        let row = |_| {
            let vector = random.below(count) * dim + run.first;
            &vectors[vector..vector + run.width]
        };
        return (0..rows).flat_map(row).copied().collect();
    }
    let mut numbers: Vec<f32> = vectors.iter().skip(run.first).step_by(dim).copied().collect();
    numbers.sort_by(f32::total_cmp);
    random.distinct(rows, rows).into_iter().map(|row| numbers[(2 * row + 1) * count / (2 * rows)]).collect()
}

/// Room for a search of eight vectors, and the vectors.
struct Search<'a> {
    trellis: &'a Trellis,
    /// Runs before and behind the beginning of the circle that are searched to find the state there.
    around: [usize; 2],
    /// The numbers of each dimension.
    inputs: Vec<Lanes>,
    /// The least cost of a path to each state, before and after a step.
    costs: Vec<Lanes>,
    next: Vec<Lanes>,
    /// The least cost of the states that lead to the same ones, by their common bits.
    leads: Vec<Lanes>,
    /// Which of those states it was, of each step taken.
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
    fn new(trellis: &'a Trellis) -> Self {
        let states = vec![[0.0; LANES]; 1 << trellis.window];
        let inputs = vec![[0.0; LANES]; trellis.coded()];
        let runs = &trellis.runs;
        let before = within_bits(runs.iter().rev()).min(runs.len().div_ceil(2));
        let around = [before, within_bits(runs.iter()).min(runs.len() - before)];
        Self { trellis, around, inputs, costs: states.clone(), next: states.clone(), leads: states, from: Vec::new() }
    }

    /// Takes vectors, at most [`LANES`]; the lanes that are left do not matter.
    fn turn(&mut self, vectors: &[f32]) {
        for (lane, vector) in vectors.chunks_exact(self.trellis.dim).enumerate() {
            self.inputs.iter_mut().zip(vector).for_each(|(inputs, x)| inputs[lane] = *x);
        }
    }

    /// Finds paths that end in the state they begin in: first the state, from the runs before and behind that place by themselves,
    /// then the path. Writes the states, `[vectors, runs]`.
    fn circle(&mut self, states: &mut [u16]) {
        let count = self.trellis.runs.len();
        let [before, behind] = self.around;
        let paths = self.best(count - before, before + behind, Ends::Free);
        let paths = self.best(0, count, Ends::Both(paths[before - 1]));
        for (lane, states) in states.chunks_exact_mut(count).enumerate() {
            states.iter_mut().zip(&paths).for_each(|(state, path)| *state = path[lane]);
        }
    }

    /// The states of the best paths over so many runs of the circle: `[runs]` of each lane.
    fn best(&mut self, first: usize, count: usize, ends: Ends) -> Vec<[u16; LANES]> {
        let all = self.trellis.runs.len();
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
            let (run, table) = (&self.trellis.runs[run], &self.trellis.tables[run]);
            self.from.resize(self.from.len() + ((1usize << self.trellis.window) >> run.bits), [0; LANES]);
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
            let bits = self.trellis.runs[run].bits;
            let common = (1u32 << (self.trellis.window - u32::from(bits))) - 1;
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
        // Of the states that lead to the same ones the cheapest is kept. Its number takes the place of the lowest bits of its cost,
        // so that one comparison carries both; costs are not negative, and lose one part in 2^15 at most.
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

#[cfg(test)]
mod tests {
    use super::*;
    use mempack_numeric::Rng;
    use proptest::prelude::*;

    fn noise(count: usize, seed: u64) -> Vec<f32> {
        let mut random = Rng::for_task(seed, 0);
        (0..count).map(|_| random.below(1 << 20) as f32 / (1 << 19) as f32 - 1.0).collect()
    }

    /// A trellis of so many dimensions of falling width.
    fn trained(dim: usize, bytes: u16, window: u8, threads: usize) -> (Trellis, Vec<f32>, Vec<f64>) {
        let mut vectors = noise(dim * 3000, 1);
        vectors.iter_mut().enumerate().for_each(|(i, x)| *x /= (1 + i % dim) as f32);
        let variances = super::super::linear::variances(&vectors, dim);
        let trellis = Trellis::train(&vectors, &variances, (bytes, window), threads, &mut Rng::for_task(7, 3), &|| false).unwrap();
        (trellis, vectors, variances)
    }

    /// The squared error of the path with these new bits, by the definition of a state.
    fn error(trellis: &Trellis, vector: &[f32], code: &[bool]) -> f64 {
        let (mut end, mut sum) = (0, 0.0);
        for (run, table) in trellis.runs.iter().zip(&trellis.tables) {
            end += usize::from(run.bits);
            let window = trellis.window as usize;
            let state: usize = (0..window).map(|i| usize::from(code[(end + code.len() - window + i) % code.len()]) << i).sum();
            let row = &table[state * run.width..(state + 1) * run.width];
            sum += vector[run.first..].iter().zip(row).map(|(x, y)| f64::from(x - y).powi(2)).sum::<f64>();
        }
        sum + vector[trellis.coded()..].iter().map(|x| f64::from(*x).powi(2)).sum::<f64>()
    }

    fn bits(code: &[u8]) -> Vec<bool> {
        (0..8 * code.len()).map(|i| code[i / 8] >> (i % 8) & 1 == 1).collect()
    }

    #[test]
    fn the_path_found_is_nearly_the_best_there_is() {
        let (trellis, vectors, _) = trained(6, 2, 5, 1);
        let codes = trellis.encode(&vectors[..6 * 100]);
        let (mut found, mut least, mut exact) = (0.0, 0.0, 0);
        for (vector, code) in vectors.chunks_exact(6).zip(codes.chunks_exact(2)) {
            let all = (0..=u16::MAX).map(|code| error(&trellis, vector, &bits(&code.to_le_bytes())));
            let (ours, best) = (error(&trellis, vector, &bits(code)), all.fold(f64::INFINITY, f64::min));
            assert!(ours >= best);
            (found, least, exact) = (found + ours, least + best, exact + usize::from(ours < 1.001 * best + 1e-9));
        }
        // The state at the seam is found by itself, which is not always the best.
        assert!(found < 1.1 * least && exact > 75, "{found} {least} {exact}");
    }

    #[test]
    fn an_allotment_gives_back_the_trellis() {
        let (trellis, vectors, _) = trained(12, 3, 6, 1);
        let (allotment, codes) = (trellis.allotment(), trellis.encode(&vectors));
        let tables: Vec<f32> = trellis.into_tables().collect();
        assert_eq!(Trellis::new(&allotment, 6, &tables).encode(&vectors), codes);
    }

    #[test]
    fn dimensions_that_get_no_bits_have_zeros() {
        let mut vectors = noise(10 * 2000, 5);
        vectors.iter_mut().enumerate().for_each(|(i, x)| *x *= if i % 10 < 4 { 1.0 } else { 1e-3 });
        let variances = super::super::linear::variances(&vectors, 10);
        let trellis = Trellis::train(&vectors, &variances, (1, 4), 1, &mut Rng::for_task(7, 3), &|| false).unwrap();
        let (allotment, codes) = (trellis.allotment(), trellis.encode(&vectors));
        let silent = allotment.iter().rposition(|bits| *bits != mempack_format::CONTINUED).unwrap();
        assert!(silent >= 4 && allotment[silent] == 0, "{allotment:?}");
        let tables: Vec<f32> = trellis.into_tables().collect();
        assert_eq!(tables.len(), 10 << 4);
        assert!(tables[silent << 4..].iter().all(|x| *x == 0.0) && tables[..silent << 4].iter().any(|x| *x != 0.0));
        assert_eq!(Trellis::new(&allotment, 4, &tables).encode(&vectors), codes);
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        let tables = |threads| trained(8, 2, 5, threads).0.into_tables().collect::<Vec<f32>>();
        assert_eq!(tables(1), tables(3));
    }

    #[test]
    fn longer_windows_and_longer_codes_leave_less() {
        let left = |bytes, window| {
            let (trellis, vectors, variances) = trained(16, bytes, window, 1);
            let codes = trellis.encode(&vectors);
            let codes = codes.chunks_exact(bytes.into()).map(bits);
            let sum: f64 = vectors.chunks_exact(16).zip(codes).map(|(vector, code)| error(&trellis, vector, &code)).sum();
            sum / (3000.0 * variances.iter().sum::<f64>())
        };
        let errors = [left(3, 3), left(3, 6), left(3, 8), left(6, 8)];
        assert!(errors.windows(2).all(|pair| pair[1] < pair[0]), "{errors:?}");
        assert!(errors[3] < 0.06, "{errors:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn any_numbers_have_a_code(numbers in prop::collection::vec(-1e9f32..1e9, 24..25)) {
            let (trellis, ..) = trained(12, 3, 4, 1);
            prop_assert_eq!(trellis.encode(&numbers).len(), 6);
        }
    }

    #[test]
    fn an_interruption_ends_the_training() {
        let refused = Trellis::train(&noise(400, 6), &[1.0; 4], (2, 4), 1, &mut Rng::for_task(0, 0), &|| true);
        assert!(matches!(refused, Err(TrainError::Interrupted)));
    }
}
