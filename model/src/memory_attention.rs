//! The share of attention that a token gives to each memory.

use tch::{Kind, TchError, Tensor};

use crate::attention::{Mask, shares};

/// Adds up the attention of one token over heads.
#[derive(Default)]
pub(crate) struct MemoryAttention {
    /// The sums over query heads of the shares that memories get, `[memories]` each.
    sums: Vec<Tensor>,
    query_heads: i64,
}

impl MemoryAttention {
    /// Adds heads with the inputs of [`attention`](crate::attention::attention). The first `memory_tokens` columns of the keys are memories of
    /// `tokens` tokens each, and every row of the queries is a query head of the token.
    pub fn add(&mut self, q: &Tensor, k: &Tensor, mask: Mask<'_>, memory_tokens: i64, tokens: i64) -> Result<(), TchError> {
        let shares = shares(q, k, mask)?;
        let columns = k.size4()?.2;
        self.query_heads += shares.numel() as i64 / columns;
        let memories = memory_tokens / tokens.max(1);
        let of_memories = shares.f_narrow(-1, 0, memory_tokens)?.f_reshape([-1, memories, tokens])?;
        self.sums.push(of_memories.f_sum_dim_intlist([0i64, 2].as_slice(), false, Kind::Float)?);
        Ok(())
    }

    /// The mean of each memory over the query heads that were added, 0 to 1; none if there are none.
    pub fn means(&self) -> Result<Vec<f32>, TchError> {
        if self.sums.is_empty() {
            return Ok(Vec::new());
        }
        let sums = Tensor::f_stack(&self.sums, 0)?.f_sum_dim_intlist([0i64].as_slice(), false, Kind::Float)?;
        let sums = Vec::<f32>::try_from(sums)?;
        Ok(sums.into_iter().map(|sum| (sum / self.query_heads as f32).clamp(0.0, 1.0)).collect())
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
        assert!(attention.means().unwrap().is_empty());
        attention.add(&q, &k, Mask::None, 2, 1).unwrap();
        let last = 2.0 / (2.0 + 1f32.exp());
        let expected = (3.0 * 2.0 / 3.0 + last) / 4.0;
        let found = attention.means().unwrap();
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|share| (share - expected / 2.0).abs() < 1e-6), "{found:?}");
        // A bias that hides the memories; the mean goes over all eight query heads.
        let bias = Tensor::from_slice(&[f32::NEG_INFINITY, f32::NEG_INFINITY, 0.0]).view([1, 1, 1, 3]);
        attention.add(&q, &k, Mask::Bias(&bias), 2, 1).unwrap();
        assert!(attention.means().unwrap().iter().all(|share| (share - expected / 4.0).abs() < 1e-6));
        // Two tokens of one memory.
        let mut together = MemoryAttention::default();
        together.add(&q, &k, Mask::None, 2, 2).unwrap();
        let found = together.means().unwrap();
        assert!(found.len() == 1 && (found[0] - expected).abs() < 1e-6, "{found:?}");
    }
}
