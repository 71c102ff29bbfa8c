//! Trellis codes: the path through a trellis whose rows come nearest to a vector, found by the Viterbi algorithm.
//!
//! A state is a window of the code (SPEC.md, 9.2). The step of a run of dimensions drops the lowest bits of the state, as many as are new,
//! and puts the new ones above the rest. So `2^bits` states lead to each state, and a window of bits costs no more than a look-up. Lloyd's
//! iteration over whole paths trains the tables, as in "Trellis coded quantization" (Marcellin and Fischer 1990); it starts from random
//! tables, as in "random permutation" codes (Mao and Gray 2010).

use mempack_numeric::Rng;

use super::{
    allotment::{self, Run},
    search::{LANES, Search},
};
use crate::codec::{CodecTrainError, packing::pack, threads};

/// Vectors of a block, the unit of work of a thread.
const BLOCK: usize = 1024;
/// Iterations of training; the error of unseen vectors falls by less than 0.5% with twice as many.
const ITERATIONS: usize = 8;

/// A trellis with its tables. It codes vectors in a basis in which their dimensions can be coded one after another.
///
/// The dimensions behind the last run that has bits make a run without bits, whose table is zero: they are not coded.
pub(super) struct Trellis {
    dim: usize,
    window: u32,
    /// The runs that are coded.
    runs: Vec<Run>,
    /// `[2^window, width]` of each run.
    tables: Vec<Vec<f32>>,
}

impl Trellis {
    /// The trellis of a group's parameters: an allotment in the form of the format, and the tables of all runs in order.
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

    /// Trains tables on `vectors`, `[n, dim]`, whose dimensions have these variances, for codes of `bytes` bytes.
    pub(super) fn train(
        vectors: &[f32],
        variances: &[f64],
        (bytes, window): (u16, u8),
        threads: usize,
        random: &mut Rng,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<Self, CodecTrainError> {
        let dim = variances.len();
        let mut runs = allotment::allot(variances, 8 * usize::from(bytes), window);
        runs.truncate(runs.iter().rposition(|run| run.bits > 0).map_or(0, |last| last + 1));
        let tables = runs.iter().map(|run| first_table(vectors, dim, run, window, random)).collect();
        let mut trellis = Self { dim, window: window.into(), runs, tables };
        for _ in 0..ITERATIONS {
            if stop() {
                return Err(CodecTrainError::Interrupted);
            }
            let states = trellis.states(vectors, threads);
            trellis.move_rows(vectors, &states);
        }
        Ok(trellis)
    }

    /// The allotment in the form of the format.
    pub(super) fn allotment(&self) -> Vec<u8> {
        let mut bytes = vec![mempack_format::CONTINUED; self.dim];
        self.runs.iter().for_each(|run| bytes[run.first] = run.bits);
        bytes.iter_mut().skip(self.coded()).take(1).for_each(|bits| *bits = 0);
        bytes
    }

    /// Dimensions that are coded.
    fn coded(&self) -> usize {
        self.runs.last().map_or(0, |run| run.first + run.width)
    }

    /// The tables in the order of the format.
    pub(super) fn into_tables(self) -> impl Iterator<Item = f32> {
        let zeros = (self.dim - self.coded()) << self.window;
        self.tables.into_iter().flatten().chain(std::iter::repeat_n(0.0, zeros))
    }

    /// The codes, `[n, bytes]`, of `vectors`, `[n, dim]`.
    pub(super) fn encode(&self, vectors: &[f32]) -> Vec<u8> {
        let bits: Vec<u32> = self.runs.iter().map(|run| run.bits.into()).collect();
        // The new bits are the highest of a state; a run without bits has none.
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
            let mut search = Search::new(self.dim, self.window, &self.runs, &self.tables);
            for (states, vectors) in states.chunks_mut(LANES * runs).zip(vectors.chunks(LANES * self.dim)) {
                search.load(vectors);
                search.circle(states);
            }
        });
        states
    }

    /// Moves each row to the mean of the numbers that it stands for; a row that no vector uses stays as it is.
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

/// The table that training starts with: for one dimension quantiles in random order, for several the dimensions of random vectors.
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

#[cfg(test)]
mod tests {
    use mempack_numeric::Rng;
    use proptest::prelude::*;

    use super::*;

    fn noise(count: usize, seed: u64) -> Vec<f32> {
        let mut random = Rng::for_task(seed, 0);
        (0..count).map(|_| random.below(1 << 20) as f32 / (1 << 19) as f32 - 1.0).collect()
    }

    /// A trellis of so many dimensions of falling width.
    fn trained(dim: usize, bytes: u16, window: u8, threads: usize) -> (Trellis, Vec<f32>, Vec<f64>) {
        let mut vectors = noise(dim * 3000, 1);
        vectors.iter_mut().enumerate().for_each(|(i, x)| *x /= (1 + i % dim) as f32);
        let variances = crate::codec::linear::variances(&vectors, dim);
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
        // The state at the beginning is found on its own, so it is not always the best one.
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
        let variances = crate::codec::linear::variances(&vectors, 10);
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
        assert!(matches!(refused, Err(CodecTrainError::Interrupted)));
    }
}
