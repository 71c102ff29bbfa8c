//! The share of attention that a token gives to memories.

use tch::{Kind, TchError, Tensor};

use crate::attention::{Mask, shares};

/// Adds up the attention of one token over heads.
#[derive(Default)]
pub(crate) struct MemoryAttention {
    /// The sums over query heads of the shares that memories get.
    sums: Vec<Tensor>,
    query_heads: i64,
}

impl MemoryAttention {
    /// Adds heads with the inputs of [`attention`](crate::attention::attention). The first `memory_tokens` columns of the keys are memories,
    /// and every row of the queries is a query head of the token.
    pub fn add(&mut self, q: &Tensor, k: &Tensor, mask: Mask<'_>, memory_tokens: i64) -> Result<(), TchError> {
        let shares = shares(q, k, mask)?;
        let columns = k.size4()?.2;
        self.query_heads += shares.numel() as i64 / columns;
        self.sums.push(shares.f_narrow(-1, 0, memory_tokens)?.f_sum(Kind::Float)?);
        Ok(())
    }

    /// The mean over the query heads that were added, 0 to 1; 0 if there are none.
    pub fn mean(&self) -> Result<f32, TchError> {
        if self.sums.is_empty() {
            return Ok(0.0);
        }
        let sum = Tensor::f_stack(&self.sums, 0)?.f_sum(Kind::Float)?.f_double_value(&[])?;
        Ok((sum / self.query_heads as f64).clamp(0.0, 1.0) as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_over_query_heads() {
        // Two key-value heads with two query heads each, three columns of which two are memories.
        let q = Tensor::from_slice(&[1f32, 0.0, 0.0, 1.0]).view([1, 4, 1, 1]);
        let k = Tensor::from_slice(&[2f32, 2.0, 2.0, 0.0, 0.0, 1.0]).view([1, 2, 3, 1]);
        let mut attention = MemoryAttention::default();
        assert_eq!(attention.mean().unwrap(), 0.0);
        attention.add(&q, &k, Mask::None, 2).unwrap();
        let last = 2.0 / (2.0 + 1f32.exp());
        let expected = (3.0 * 2.0 / 3.0 + last) / 4.0;
        assert!((attention.mean().unwrap() - expected).abs() < 1e-6);
        // A bias that hides the memories; the mean goes over all eight query heads.
        let bias = Tensor::from_slice(&[f32::NEG_INFINITY, f32::NEG_INFINITY, 0.0]).view([1, 1, 1, 3]);
        attention.add(&q, &k, Mask::Bias(&bias), 2).unwrap();
        assert!((attention.mean().unwrap() - expected / 2.0).abs() < 1e-6);
    }
}
