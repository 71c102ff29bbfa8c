//! Any bytes as a manifest.

use mempack_format::{Digest, Manifest, Pack};
use mempack_hostile::Parts;
use mempack_hostile::script::GOLDEN;

/// Puts `bytes` into the golden pack as its manifest. If that opens, what was read is written, by SPEC 5 alone, as exactly these bytes.
pub fn manifest(bytes: &[u8]) {
    let mut parts = Parts::of(GOLDEN);
    *parts.edit("MANIFEST") = bytes.to_vec();
    let file = parts.assemble();
    match Pack::open(&file[..]) {
        Ok(pack) => assert!(encode(pack.manifest()) == bytes, "a manifest that is not in its canonical form was read"),
        Err(error) => assert!(error.to_string().len() > 20, "{error:?} does not say what is wrong"),
    }
}

/// SPEC 5, word for word.
fn encode(manifest: &Manifest) -> Vec<u8> {
    let mut out = Out(Vec::new());
    let (model, embedder, counts) = (&manifest.model, &manifest.embedder, &manifest.counts);
    out.string(&manifest.generator);
    out.string(&model.name);
    out.digest(model.weights);
    out.option(model.adapter.is_some());
    model.adapter.into_iter().for_each(|digest| out.digest(digest));
    out.digest(model.config);
    out.digest(model.tokenizer);
    out.ints([model.layers, model.first_memory_layer, model.query_heads]);
    out.ints([model.shape.layers, model.shape.heads, model.shape.tokens, model.shape.head_dim]);
    out.0.extend(model.rope_base.to_le_bytes());
    out.int(model.prefix_ids.len() as u64);
    out.ints(model.prefix_ids.iter().copied());
    out.int(model.reference_length.into());
    out.string(&model.reference_template);
    out.string(&model.selection);
    out.string(&manifest.precision);
    out.string(&embedder.name);
    out.digest(embedder.digest);
    out.int(embedder.dim.into());
    out.string(&embedder.metric);
    out.int(embedder.max_tokens.into());
    out.string(&manifest.codec);
    out.ints([counts.documents, counts.references]);
    out.ints([counts.origins, counts.tokens, counts.text_bytes]);
    out.option(manifest.graph.is_some());
    manifest.graph.into_iter().for_each(|graph| out.ints([graph.m, graph.ef_construction]));
    out.0
}

struct Out(Vec<u8>);

impl Out {
    fn int(&mut self, value: u64) {
        let (marker, width) = match value {
            0..=250 => return self.0.push(value as u8),
            251..=0xFFFF => (251, 2),
            0x1_0000..=0xFFFF_FFFF => (252, 4),
            _ => (253, 8),
        };
        self.0.push(marker);
        self.0.extend(&value.to_le_bytes()[..width]);
    }

    fn ints<N: Into<u64>>(&mut self, values: impl IntoIterator<Item = N>) {
        values.into_iter().for_each(|value| self.int(value.into()));
    }

    fn string(&mut self, value: &str) {
        self.int(value.len() as u64);
        self.0.extend(value.as_bytes());
    }

    fn digest(&mut self, value: Digest) {
        self.0.extend(value.0);
    }

    fn option(&mut self, there: bool) {
        self.0.push(there.into());
    }
}
