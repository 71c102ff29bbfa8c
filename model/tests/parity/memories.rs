//! Comparing memories with golden ones.

use mempack_model::{Decoder, EMPTY_SLOT, Memory};

use crate::fixture::Expected;

/// How far written memories are from golden ones.
pub struct Distance {
    /// Slots that hold another token than the golden one.
    pub other_tokens: usize,
    pub slots: usize,
    /// Ours and golden, where the tokens are the same: keys after RoPE, values.
    pub keys: (Vec<f32>, Vec<f32>),
    pub values: (Vec<f32>, Vec<f32>),
}

pub fn compare(decoder: &Decoder, memories: &[Memory], expected: &Expected) -> Distance {
    let mut d = Distance { other_tokens: 0, slots: 0, keys: Default::default(), values: Default::default() };
    let prefix = decoder.memory().reference_prefix_ids.len();
    for (r, memory) in memories.iter().enumerate() {
        let shape = &memory.shape;
        let (heads, slots, dim) = (shape.heads as usize, shape.tokens as usize, shape.head_dim as usize);
        for layer in 0..shape.layers as usize {
            let index = &expected.integers[&format!("write.{r}.{layer}.index")];
            let (keys, values) = (expected.float(&format!("write.{r}.{layer}.key")), expected.float(&format!("write.{r}.{layer}.value")));
            let kept = index.len() / heads;
            let config = decoder.config();
            let rope = match config.sliding(decoder.memory().first_memory_layer + layer as u32) {
                Some(sliding) => [sliding.rope_base, 1.0],
                None => [config.rope_base, config.rope_factor],
            };
            for head in 0..heads {
                for slot in 0..slots {
                    let at = (layer * heads + head) * slots + slot;
                    let (key, value) = (&memory.keys[at * dim..(at + 1) * dim], &memory.values[at * dim..(at + 1) * dim]);
                    d.slots += 1;
                    if slot >= kept {
                        d.other_tokens += usize::from(memory.positions[at] != EMPTY_SLOT);
                        assert!(key.iter().chain(value).all(|x| *x == 0.0), "an empty slot is not zero");
                        continue;
                    }
                    let golden = head * kept + slot;
                    if i64::from(memory.positions[at]) != index[golden] {
                        d.other_tokens += 1;
                        continue;
                    }
                    d.keys.0.extend(rotate(key, prefix + index[golden] as usize, rope));
                    d.keys.1.extend(&keys[golden * dim..(golden + 1) * dim]);
                    d.values.0.extend(value);
                    d.values.1.extend(&values[golden * dim..(golden + 1) * dim]);
                }
            }
        }
    }
    d
}

/// RoPE of one vector, in f64 and by the book, with frequencies of this base, divided by this factor.
fn rotate(x: &[f32], position: usize, [base, factor]: [f64; 2]) -> Vec<f32> {
    let half = x.len() / 2;
    let turned = |i: usize| {
        let angle = position as f64 / factor * base.powf(-2.0 * (i % half) as f64 / x.len() as f64);
        let other = if i < half { -f64::from(x[i + half]) } else { f64::from(x[i - half]) };
        (f64::from(x[i]) * angle.cos() + other * angle.sin()) as f32
    };
    (0..x.len()).map(turned).collect()
}
