//! Gradients with respect to memories against finite differences, and the divergence that they predict against the measured one.

use tch::{Device, Kind, Tensor};

use super::support::{Case, MODELS, folder, folder_with_budget, load};
use crate::training::Learning;
use crate::{Memory, Model, ReaderOptions, Sensitivity, Slot, divergence, gradients};

/// A text of the case, the memories that it reads, and their similarities.
struct Read {
    text: Vec<u32>,
    memories: Vec<Memory>,
    similarities: Vec<f32>,
}

impl Read {
    /// The texts that begin at some tokens of the case, each with what one of its chunks reads.
    fn of(model: &Model, case: &Case) -> Vec<Self> {
        let memories = model.write(&case.references()).unwrap();
        let chunks = case.chunks();
        let reads = (0..12).map(|at| {
            let chunk = &chunks[at % chunks.len()];
            let (memories, similarities) = chunk.iter().map(|(reference, s)| (memories[*reference].clone(), *s)).unzip();
            Self { text: case.text.iter().copied().cycle().skip(5 * at).take(30).collect(), memories, similarities }
        });
        reads.filter(|read| !read.memories.is_empty()).collect()
    }

    fn slots<'a>(&self, memories: &'a [Memory]) -> Vec<Slot<'a>> {
        memories.iter().zip(&self.similarities).map(|(memory, similarity)| Slot { memory, similarity: *similarity }).collect()
    }

    /// These memories moved along `keys` and `values`, `[layers * heads, tokens, head_dim]`.
    fn moved(&self, keys: &[f32], values: &[f32], step: f32) -> Vec<Memory> {
        let mut memories = self.memories.clone();
        let (count, shape) = (memories.len(), memories[0].shape.clone());
        for slots in shape.slots_of_heads().filter(|slots| !slots.is_empty()) {
            let dim = shape.head_dim as usize;
            let (first, width) = (slots.start * dim, slots.len() * dim);
            let of_head = |x: &[f32]| x[count * first..count * (first + width)].to_vec();
            let (keys, values) = (of_head(keys), of_head(values));
            for (memory, (keys, values)) in memories.iter_mut().zip(keys.chunks(width).zip(values.chunks(width))) {
                let add = |x: &mut [f32], by: &[f32]| x.iter_mut().zip(by).for_each(|(x, by)| *x += step * by);
                add(&mut memory.keys[first..first + width], keys);
                add(&mut memory.values[first..first + width], values);
            }
        }
        memories
    }

    /// The negative log-likelihood of `tokens`, one for each token of the text.
    fn lost(&self, model: &Model, memories: &[Memory], tokens: &[i64]) -> f64 {
        let mut reader = model.reader(&ReaderOptions { capacity: 64, prefix: true }).unwrap();
        let logits = reader.prompt(&self.text, &[self.slots(memories)], true).unwrap();
        let logits = Tensor::from_slice(&logits).view([1 + self.text.len() as i64, -1]).narrow(0, 0, tokens.len() as i64);
        let rows = logits.to_kind(Kind::Double).log_softmax(-1, None::<Kind>);
        -rows.gather(1, &Tensor::from_slice(tokens).unsqueeze(-1), false).sum(Kind::Double).double_value(&[])
    }
}

#[test]
fn gradients_of_memories_are_those_of_differences() {
    for name in MODELS {
        let dir = folder(name);
        let trainee = load(dir.path(), &Learning::Everything);
        let model = trainee.model();
        let read = Read::of(model, &Case::read(name)).swap_remove(0);
        let tokens: Vec<i64> = (0..read.text.len() as i64).map(|token| (5 * token + 1) % i64::from(model.config().vocabulary)).collect();
        let reader = model.reader(&ReaderOptions { capacity: 64, prefix: true }).unwrap();
        let (keys, values) = reader.gradients(&read.text, &read.slots(&read.memories), |_| Ok(Tensor::from_slice(&tokens))).unwrap();
        for (part, of_keys) in [(&keys, true), (&values, false)] {
            let norm = part.norm().double_value(&[]);
            let along: Vec<f32> = Vec::try_from((part / norm).to_device(Device::Cpu).reshape([-1])).unwrap();
            let nothing = vec![0.0; along.len()];
            let (k, v) = if of_keys { (&along, &nothing) } else { (&nothing, &along) };
            let step = 0.02;
            let [ahead, behind] = [step, -step].map(|step| read.lost(model, &read.moved(k, v, step), &tokens));
            let found = (ahead - behind) / (2.0 * f64::from(step));
            println!("{name}: {found:.5} by differences, {norm:.5} by the gradient");
            assert!(norm > 1e-3 && (found / norm - 1.0).abs() < 0.02, "{name}: {found} {norm}");
        }
    }
}

#[test]
fn moments_foretell_the_divergence() {
    for (name, dir) in MODELS.iter().flat_map(|name| [(name, folder(name)), (name, folder_with_budget(name))]) {
        let trainee = load(dir.path(), &Learning::Everything);
        let model = trainee.model();
        let shape = model.decoder().shape();
        let reads = Read::of(model, &Case::read(name));
        let mut sensitivity = Sensitivity::new(shape.clone());
        for read in &reads {
            sensitivity.add(&gradients(model, &read.text, &read.slots(&read.memories)).unwrap());
        }
        assert_eq!(sensitivity.vectors(), reads.iter().map(|read| (read.memories.len() * shape.slots()) as u64).sum::<u64>());
        tch::manual_seed(17);
        let (mut predicted, mut found) = (0.0, 0.0);
        for read in reads.iter().cycle().take(3 * reads.len()) {
            let floats = (read.memories.len() * shape.floats()) as i64;
            let error = |size: f64| -> Vec<f32> { Vec::try_from(Tensor::randn([floats], tch::kind::FLOAT_CPU) * size).unwrap() };
            let other = read.moved(&error(0.01), &error(0.01), 1.0);
            predicted += read.memories.iter().zip(&other).map(|(memory, other)| sensitivity.nats(memory, other)).sum::<f64>();
            found += divergence(model, &read.text, &read.slots(&read.memories), &read.slots(&other)).unwrap();
        }
        println!("{name}: {predicted:.5} nats predicted, {found:.5} found");
        assert!((0.6..1.6).contains(&(found / predicted)), "{name}: {found} {predicted}");
        // Of layers by themselves, as of all.
        let of_layer = |memory: &Memory, layer: u32| {
            let heads = (layer * shape.heads) as usize..((layer + 1) * shape.heads) as usize;
            let (slots, dim) = (shape.slots_of_run(heads), shape.head_dim as usize);
            let part = |x: &[f32]| x[slots.start * dim..slots.end * dim].to_vec();
            Memory {
                shape: shape.of_layers(layer..layer + 1),
                positions: Vec::new(),
                keys: part(&memory.keys),
                values: part(&memory.values),
            }
        };
        let (memory, other) = (&reads[0].memories[0], &reads[0].memories[1]);
        let nats = |layer| sensitivity.of_layers(layer..layer + 1).nats(&of_layer(memory, layer), &of_layer(other, layer));
        let (sum, whole) = ((0..shape.layers).map(nats).sum::<f64>(), sensitivity.nats(memory, other));
        assert!(whole > 0.0 && (sum / whole - 1.0).abs() < 1e-9, "{name}: {sum} {whole}");
    }
}
