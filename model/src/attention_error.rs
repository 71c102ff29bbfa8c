//! The error of attention to memories that were encoded and decoded by a codec.

use tch::{Kind, TchError, Tensor};

use crate::attention::{Mask, attention};
use crate::reader::AttentionInputs;
use crate::{ComputeError, Model, ReaderOptions, Slot};

/// A sum of squared errors, and the sum of squares of the exact values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RelativeError {
    /// Sum of squared errors.
    pub lost: f64,
    /// Sum of squares of the exact values.
    pub squares: f64,
}

impl RelativeError {
    /// Squared errors over squares; 0 if both sums are 0.
    pub fn value(&self) -> f64 {
        if self.squares == 0.0 { self.lost } else { self.lost / self.squares }
    }

    /// Adds the sums of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.lost += other.lost;
        self.squares += other.squares;
    }

    fn add(&mut self, exact: &Tensor, lossy: &Tensor) -> Result<(), TchError> {
        let sum = |x: &Tensor| f64::try_from(x.f_square()?.f_sum(Kind::Double)?);
        self.merge(&Self { lost: sum(&lossy.f_sub(exact)?)?, squares: sum(exact)? });
        Ok(())
    }
}

/// The errors of attention at one memory layer, over all queries of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AttentionError {
    /// Of the scaled scores of memory tokens without similarity bias, less their mean for each query, which the softmax ignores.
    pub scores: RelativeError,
    /// Of attention's output if the softmax is over memory tokens alone, similarity bias included.
    pub outputs: RelativeError,
    /// As `outputs`, with exact values.
    pub outputs_keys: RelativeError,
    /// As `outputs`, with exact keys.
    pub outputs_values: RelativeError,
    /// Of attention's output in the model: over memories, prefix and context, of which the latter two are exact.
    pub whole: RelativeError,
}

impl AttentionError {
    /// Adds the sums of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.scores.merge(&other.scores);
        self.outputs.merge(&other.outputs);
        self.outputs_keys.merge(&other.outputs_keys);
        self.outputs_values.merge(&other.outputs_values);
        self.whole.merge(&other.whole);
    }

    /// Adds the errors of attention to `lossy_keys` and `lossy_values`, `[1, heads, memory tokens, head_dim]`, rotated, instead of the
    /// memories in `attended`.
    fn add(&mut self, attended: &AttentionInputs<'_>, lossy_keys: &Tensor, lossy_values: &Tensor) -> Result<(), TchError> {
        let float = |x: &Tensor| x.f_to_kind(Kind::Float);
        let (q, k, v, bias) = (float(&attended.queries)?, float(attended.keys)?, float(attended.values)?, float(&attended.bias)?);
        let (lossy_k, lossy_v) = (float(lossy_keys)?, float(lossy_values)?);
        let memory_tokens = lossy_k.size()[2];
        let of_memories = |x: &Tensor| x.f_narrow(2, 0, memory_tokens);
        let (memory_k, memory_v, memory_bias) = (of_memories(&k)?, of_memories(&v)?, bias.f_narrow(3, 0, memory_tokens)?);

        // Empty slots have no scores.
        let held = memory_bias.f_select(2, 0)?.f_flatten(0, -1)?.f_isfinite()?.f_nonzero()?.f_flatten(0, -1)?;
        let scores = |k: &Tensor| centred_scores(&q, &k.f_index_select(2, &held)?);
        self.scores.add(&scores(&memory_k)?, &scores(&lossy_k)?)?;

        let output = |k: &Tensor, v: &Tensor| attention(&q, k, v, Mask::Bias(&memory_bias));
        let exact = output(&memory_k, &memory_v)?;
        self.outputs.add(&exact, &output(&lossy_k, &lossy_v)?)?;
        self.outputs_keys.add(&exact, &output(&lossy_k, &memory_v)?)?;
        self.outputs_values.add(&exact, &output(&memory_k, &lossy_v)?)?;

        let own = |x: &Tensor| x.f_narrow(2, memory_tokens, x.size()[2] - memory_tokens);
        let whole = |k: &Tensor, v: &Tensor| attention(&q, k, v, Mask::Bias(&bias));
        let lossy = whole(&Tensor::f_cat(&[lossy_k, own(&k)?], 2)?, &Tensor::f_cat(&[lossy_v, own(&v)?], 2)?)?;
        self.whole.add(&whole(&k, &v)?, &lossy)
    }
}

/// The scaled scores of keys, `[1, heads, tokens, head_dim]`, less their mean for each query.
fn centred_scores(q: &Tensor, k: &Tensor) -> Result<Tensor, TchError> {
    let (heads, dim) = (k.size()[1], k.size()[3]);
    let scores = q.f_reshape([1, heads, -1, dim])?.f_matmul(&k.f_transpose(-1, -2)?)?.f_mul_scalar((dim as f64).sqrt().recip())?;
    scores.f_sub(&scores.f_mean_dim([-1i64].as_slice(), true, None)?)
}

/// The errors of attention to `lossy` instead of `exact` memories, which must have the same tokens and similarities: one for each memory
/// layer, at the queries of `text` while the model reads the exact memories. Takes one pass of the model.
///
/// # Errors
/// Those of [`Reader::prompt`](crate::Reader::prompt).
pub fn attention_error(model: &Model, text: &[u32], exact: &[Slot<'_>], lossy: &[Slot<'_>]) -> Result<Vec<AttentionError>, ComputeError> {
    let mut reader = model.reader(&ReaderOptions { capacity: 1 + text.len(), prefix: true })?;
    let loaded = reader.load(lossy)?;
    let mut errors = vec![AttentionError::default(); model.memory().num_memory_layers as usize];
    let mut observer = |attended: AttentionInputs<'_>| {
        let of_heads = |x: &Tensor| attended.span.of_slots(x, loaded.memories);
        errors[attended.layer].add(&attended, &of_heads(&loaded.keys)?, &of_heads(&loaded.values)?)
    };
    reader.observed_prompt(text, &[exact.to_vec()], false, Some(&mut observer))?;
    Ok(errors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head_spans::HeadSpan;

    const DIM: usize = 4;
    /// Memory tokens, of which the last slot is empty.
    const MEMORY_TOKENS: usize = 3;
    const COLUMNS: usize = 5;
    const BIAS: [f32; COLUMNS] = [0.0, -0.5, f32::NEG_INFINITY, 0.0, 0.0];

    fn numbers(count: usize, seed: f32) -> Vec<f32> {
        (0..count).map(|i| (seed + 1.7 * i as f32).sin()).collect()
    }

    fn tensor(numbers: &[f32], heads: i64) -> Tensor {
        Tensor::from_slice(numbers).view([1, heads, -1, DIM as i64])
    }

    /// The output of attention to the first columns of a head, and the scores less their mean.
    fn slow(q: &[f32], k: &[f32], v: &[f32], columns: usize) -> (Vec<f64>, Vec<f64>) {
        let rows = |x: &[f32]| x.chunks(DIM).take(columns).map(<[f32]>::to_vec).collect::<Vec<_>>();
        let score = |k: &Vec<f32>| q.iter().zip(k).map(|(a, b)| f64::from(a * b)).sum::<f64>() / (DIM as f64).sqrt();
        let held: Vec<usize> = (0..columns).filter(|c| BIAS[*c].is_finite()).collect();
        let scores: Vec<f64> = rows(k).iter().map(score).collect();
        let mean = held.iter().map(|c| scores[*c]).sum::<f64>() / held.len() as f64;
        let weight = |c: &usize| (scores[*c] + f64::from(BIAS[*c])).exp();
        let total: f64 = held.iter().map(weight).sum();
        let output = (0..DIM).map(|d| held.iter().map(|c| weight(c) / total * f64::from(rows(v)[*c][d])).sum());
        (output.collect(), held.iter().map(|c| scores[*c] - mean).collect())
    }

    #[test]
    fn errors_are_those_of_plain_loops() {
        // Two heads, two query heads each, three queries.
        let (heads, group, queries) = (2, 2, 3);
        let q = numbers(heads * group * queries * DIM, 0.3);
        let [k, v] = [1.1, 2.2].map(|seed| numbers(heads * COLUMNS * DIM, seed));
        let noise = |x: &[f32]| x.iter().enumerate().map(|(i, x)| x + 0.4 * (2.3 * i as f32).cos()).collect::<Vec<f32>>();
        let in_memory = |x: &[f32]| x.chunks(COLUMNS * DIM).flat_map(|head| &head[..MEMORY_TOKENS * DIM]).copied().collect::<Vec<f32>>();
        let [noisy_k, noisy_v] = [noise(&k), noise(&v)];
        // Prefix and context stay exact.
        let lossy = |x: &[f32], noisy: &[f32]| {
            let columns = x.chunks(DIM).zip(noisy.chunks(DIM)).enumerate();
            columns.flat_map(|(i, (x, noisy))| if i % COLUMNS < MEMORY_TOKENS { noisy } else { x }).copied().collect::<Vec<f32>>()
        };
        let [lossy_k, lossy_v] = [lossy(&k, &noisy_k), lossy(&v, &noisy_v)];

        let mut expected = AttentionError::default();
        for (i, q) in q.chunks(DIM).enumerate() {
            let head = i / (group * queries);
            let of = |x: &[f32]| x[head * COLUMNS * DIM..(head + 1) * COLUMNS * DIM].to_vec();
            let take = |k: &[f32], v: &[f32], columns| slow(q, &of(k), &of(v), columns);
            let add = |error: &mut RelativeError, exact: &[f64], lossy: &[f64]| {
                error.lost += exact.iter().zip(lossy).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
                error.squares += exact.iter().map(|a| a * a).sum::<f64>();
            };
            let exact = take(&k, &v, MEMORY_TOKENS);
            let both = take(&lossy_k, &lossy_v, MEMORY_TOKENS);
            add(&mut expected.scores, &exact.1, &both.1);
            add(&mut expected.outputs, &exact.0, &both.0);
            add(&mut expected.outputs_keys, &exact.0, &take(&lossy_k, &v, MEMORY_TOKENS).0);
            add(&mut expected.outputs_values, &exact.0, &take(&k, &lossy_v, MEMORY_TOKENS).0);
            add(&mut expected.whole, &take(&k, &v, COLUMNS).0, &take(&lossy_k, &lossy_v, COLUMNS).0);
        }

        let (keys, values) = (tensor(&k, heads as i64), tensor(&v, heads as i64));
        let attended = AttentionInputs {
            layer: 0,
            span: HeadSpan { first: 0, heads: heads as i64, tokens: MEMORY_TOKENS as i64, slot: 0 },
            queries: tensor(&q, (heads * group) as i64),
            keys: &keys,
            values: &values,
            bias: Tensor::from_slice(&BIAS).view([1, 1, 1, -1]).expand([1, 1, queries as i64, -1], false),
        };
        let of = |k: &[f32], v: &[f32]| {
            let mut found = AttentionError::default();
            let [k, v] = [k, v].map(|x| tensor(&in_memory(x), heads as i64));
            found.add(&attended, &k, &v).unwrap();
            found
        };
        let parts = |e: &AttentionError| [e.scores, e.outputs, e.outputs_keys, e.outputs_values, e.whole];
        for (found, expected) in parts(&of(&lossy_k, &lossy_v)).iter().zip(parts(&expected)) {
            assert!(expected.value() > 1e-3, "{expected:?}");
            assert!((found.lost / expected.lost - 1.0).abs() < 1e-4, "{found:?} {expected:?}");
            assert!((found.squares / expected.squares - 1.0).abs() < 1e-4, "{found:?} {expected:?}");
        }
        assert!(parts(&of(&k, &v)).iter().all(|error| error.value() == 0.0));
    }
}
