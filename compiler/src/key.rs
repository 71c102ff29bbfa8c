//! Keys of references, which are equal exactly if the memories are equal.

use mempack_format::{Digest, ModelIdentity};

/// Names what is hashed; it changes when that does.
const DOMAIN: &[u8] = b"mempack reference key, version 1\0";

/// Hashes token ids to keys, for one model at one precision.
///
/// A key covers what a memory depends on: weights, adapter, architecture, memory layers, tokens kept and how they are chosen,
/// prefix, precision and token ids. It does not cover tokenizer, template and title, which act through the ids, nor the reference length,
/// which only limits them.
pub(crate) struct Keys {
    begun: blake3::Hasher,
}

impl Keys {
    pub fn new(model: &ModelIdentity, precision: &str) -> Self {
        let mut begun = blake3::Hasher::new();
        begun.update(DOMAIN);
        begun.update(&model.weights.0);
        // The presence byte keeps "no adapter" apart from any digest.
        match &model.adapter {
            None => begun.update(&[0]),
            Some(adapter) => begun.update(&[1]).update(&adapter.0),
        };
        begun.update(&model.config.0);
        let shape = &model.shape;
        let numbers = [model.layers, model.first_memory_layer, model.query_heads, shape.layers, shape.heads, shape.tokens, shape.head_dim];
        for number in numbers {
            begun.update(&number.to_le_bytes());
        }
        begun.update(&model.rope_base.to_bits().to_le_bytes());
        for word in [model.selection.as_str(), precision] {
            begun.update(&(word.len() as u32).to_le_bytes()).update(word.as_bytes());
        }
        if let Some(budget) = shape.budget() {
            begun.update(b"head budget").update(&budget);
        }
        update_ids(&mut begun, &model.prefix_ids);
        Self { begun }
    }

    /// Digest of all that a memory depends on except its reference and the batch it is written in.
    pub fn identity(&self) -> Digest {
        self.begun.finalize().into()
    }

    /// The key of a reference with these ids.
    pub fn key(&self, ids: &[u32]) -> Digest {
        let mut hasher = self.begun.clone();
        update_ids(&mut hasher, ids);
        hasher.finalize().into()
    }
}

fn update_ids(hasher: &mut blake3::Hasher, ids: &[u32]) {
    hasher.update(&(ids.len() as u32).to_le_bytes());
    let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
    hasher.update(&bytes);
}

#[cfg(test)]
mod tests {
    use mempack_format::MemoryShape;

    use super::*;

    fn identity() -> ModelIdentity {
        ModelIdentity {
            name: "x".into(),
            weights: Digest::of(b"w"),
            adapter: None,
            config: Digest::of(b"c"),
            tokenizer: Digest::of(b"t"),
            layers: 4,
            first_memory_layer: 1,
            query_heads: 4,
            shape: MemoryShape::new(2, 2, 8, 16),
            rope_base: 10_000.0,
            prefix_ids: vec![1, 3],
            reference_length: 128,
            reference_template: "{text}".into(),
            selection: "attention-sum-pre-rope-v1".into(),
        }
    }

    #[test]
    fn a_key_is_of_what_the_memory_depends_on() {
        let key = |identity: &ModelIdentity| Keys::new(identity, "f32").key(&[5, 6]);
        let base = identity();
        let changed: [fn(&mut ModelIdentity); 7] = [
            |identity| identity.weights = Digest::of(b"other"),
            |identity| identity.adapter = Some(Digest::of(b"a")),
            |identity| identity.config = Digest::of(b"other"),
            |identity| identity.first_memory_layer = 2,
            |identity| identity.shape.tokens = 4,
            |identity| identity.prefix_ids = vec![1],
            |identity| identity.selection = "other".into(),
        ];
        for change in changed {
            let mut other = identity();
            change(&mut other);
            assert_ne!(key(&base), key(&other));
        }
        let same: [fn(&mut ModelIdentity); 4] = [
            |identity| identity.name = "y".into(),
            |identity| identity.tokenizer = Digest::of(b"other"),
            |identity| identity.reference_length = 64,
            |identity| identity.reference_template = " {text}".into(),
        ];
        for change in same {
            let mut other = identity();
            change(&mut other);
            assert_eq!(key(&base), key(&other));
        }
        let keys = Keys::new(&base, "f32");
        assert_ne!(keys.key(&[5, 6]), Keys::new(&base, "bf16").key(&[5, 6]));
        assert_ne!(keys.key(&[5, 6]), keys.key(&[5]));
    }
}
