//! The attention that a question gives to memories, against a computation from its definition, number by number.

use std::path::PathBuf;

use mempack_model::{DeviceChoice, EMPTY_SLOT, LoadOptions, Memory, Model, Precision, Slot, TokensPerHead, prompt_tokens};
use safetensors::SafeTensors;

const QUESTION: &str = "What is the usual dose of Nutepril against gout?";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/tiny")
}

/// The tiny model, with another number of tokens a head, or other layers.
fn tiny(tokens_per_head: TokensPerHead, first_memory_layer: u32, num_memory_layers: u32) -> Model {
    mempack_model::set_threads(1);
    let options = LoadOptions { precision: Precision::F32, device: DeviceChoice::Cpu, ..LoadOptions::default() };
    let model = Model::load(&folder(), &options).unwrap();
    let memory = model.memory().clone();
    model.with_memory(mempack_model::MemoryConfig { tokens_per_head, first_memory_layer, num_memory_layers, ..memory }).unwrap()
}

/// Twenty memories of 1 to 39 tokens.
fn memories(model: &Model) -> Vec<Memory> {
    let ids = |n: u32| (0..1 + 2 * n).map(|i| 20 + (n * 97 + i * 31) % 1400).collect::<Vec<u32>>();
    (0..20).map(|n| model.write(&[&ids(n)]).unwrap().remove(0)).collect()
}

fn slots(memories: &[Memory]) -> Vec<Slot<'_>> {
    memories.iter().enumerate().map(|(n, memory)| Slot { memory, similarity: 0.6 - 0.01 * ((n * 7) % 20) as f32 }).collect()
}

/// The weights of the tiny model.
struct Weights(Vec<u8>);

impl Weights {
    /// The tensor's rows.
    fn rows(&self, name: &str) -> Vec<Vec<f64>> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = file.tensor(name).unwrap();
        let values: Vec<f64> = tensor.data().chunks(2).map(|b| half::bf16::from_le_bytes([b[0], b[1]]).to_f64()).collect();
        values.chunks(*tensor.shape().last().unwrap()).map(<[f64]>::to_vec).collect()
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn apply(rows: &[Vec<f64>], x: &[f64]) -> Vec<f64> {
    rows.iter().map(|row| dot(row, x)).collect()
}

fn norm(weight: &[f64], x: &[f64]) -> Vec<f64> {
    let scale = (dot(x, x) / x.len() as f64 + 1e-5).sqrt().recip();
    x.iter().zip(weight).map(|(x, w)| x * scale * w).collect()
}

/// Rotates a head to a position.
fn rotate(head: &[f64], position: usize) -> Vec<f64> {
    let half = head.len() / 2;
    let angle = |i: usize| position as f64 * 10000f64.powf(-((i % half) as f64) / half as f64);
    let turned = |i: usize| if i < half { -head[i + half] } else { head[i - half] };
    (0..head.len()).map(|i| head[i] * angle(i).cos() + turned(i) * angle(i).sin()).collect()
}

fn softmax(scores: &[f64]) -> Vec<f64> {
    let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = scores.iter().map(|score| (score - most).exp()).sum();
    scores.iter().map(|score| (score - most).exp() / sum).collect()
}

/// The scores by the definition, with all attention that memory layers `layers` give, in loops over single heads and tokens.
fn expected(model: &Model, question: &str, slots: &[Slot<'_>], layers: std::ops::Range<usize>) -> Vec<f64> {
    let weights = Weights(std::fs::read(folder().join("model.safetensors")).unwrap());
    let (config, memory) = (model.config(), model.memory());
    let (heads, group, dim) = (config.heads as usize, (config.query_heads / config.heads) as usize, config.head_dim as usize);
    let prompt = prompt_tokens(model, question).unwrap();
    let prefix = memory.reference_prefix_ids.len();
    let asked = prefix + 1 + prompt.question.start..prefix + 1 + prompt.question.end.min(prompt.question.start + 128);
    let ids: Vec<u32> = memory.reference_prefix_ids.iter().chain([&config.bos]).chain(&prompt.ids).copied().take(asked.end).collect();
    let position = |i: usize| if i < prefix { i } else { i + memory.reference_length as usize };
    let embedding = weights.rows("model.embed_tokens.weight");
    let mut x: Vec<Vec<f64>> = ids.iter().map(|id| embedding[*id as usize].clone()).collect();
    let best = slots.iter().map(|slot| f64::from(slot.similarity)).fold(f64::NEG_INFINITY, f64::max);
    let (mut scores, mut all) = (vec![0.0; slots.len()], 0.0);
    for number in 0..layers.end {
        let part = |name: &str| weights.rows(&format!("model.layers.{number}.{name}.weight"));
        let input: Vec<Vec<f64>> = x.iter().map(|x| norm(&part("input_layernorm")[0], x)).collect();
        let of = |name: &str| -> Vec<Vec<f64>> {
            let rows = part(name);
            input.iter().map(|x| apply(&rows, x)).collect()
        };
        let (q, k, v) = (of("self_attn.q_proj"), of("self_attn.k_proj"), of("self_attn.v_proj"));
        let mut attended = vec![vec![0.0; heads * group * dim]; ids.len()];
        for head in 0..heads * group {
            let own = head / group * dim..(head / group + 1) * dim;
            for token in 0..ids.len() {
                let query = rotate(&q[token][head * dim..(head + 1) * dim], position(token));
                let scale = (dim as f64).sqrt();
                let context: Vec<f64> = (0..=token).map(|t| dot(&query, &rotate(&k[t][own.clone()], position(t))) / scale).collect();
                for (share, t) in softmax(&context).iter().zip(0..) {
                    for i in 0..dim {
                        attended[token][head * dim + i] += share * v[t][own.start + i];
                    }
                }
                if !layers.contains(&number) || !asked.contains(&token) {
                    continue;
                }
                let layer = number - memory.first_memory_layer as usize;
                let kept = model.decoder().shape().slots_of(layer * heads + head / group);
                let weight = (kept.len() * kept.len()) as f64;
                all += weight / asked.len() as f64;
                let (mut columns, mut owners) = (context, vec![None; token + 1]);
                for (owner, slot) in slots.iter().enumerate() {
                    for place in kept.clone().filter(|place| slot.memory.positions[*place] != EMPTY_SLOT) {
                        let key: Vec<f64> = slot.memory.keys[place * dim..(place + 1) * dim].iter().map(|x| f64::from(*x)).collect();
                        let key = rotate(&key, prefix + usize::from(slot.memory.positions[place]));
                        columns.push(dot(&query, &key) / scale + 20.0 * (f64::from(slot.similarity) - best));
                        owners.push(Some(owner));
                    }
                }
                for (share, owner) in softmax(&columns).iter().zip(owners) {
                    if let Some(owner) = owner {
                        scores[owner] += weight * share / asked.len() as f64;
                    }
                }
            }
        }
        let (output, gate, up, down) = (part("self_attn.o_proj"), part("mlp.gate_proj"), part("mlp.up_proj"), part("mlp.down_proj"));
        for (x, attended) in x.iter_mut().zip(&attended) {
            x.iter_mut().zip(apply(&output, attended)).for_each(|(x, y)| *x += y);
            let inner = norm(&part("post_attention_layernorm")[0], x);
            let gated = apply(&gate, &inner).into_iter().zip(apply(&up, &inner)).map(|(g, u)| g / (1.0 + (-g).exp()) * u);
            let gated: Vec<f64> = gated.collect();
            x.iter_mut().zip(apply(&down, &gated)).for_each(|(x, y)| *x += y);
        }
    }
    scores.iter().map(|score| score / all).collect()
}

fn farthest(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max)
}

#[test]
fn scores_are_those_of_the_definition() {
    // Seven layers: two thirds are layers 0 to 3. Heads that keep none, also whole layers; memory layers that begin later, and those that are all late.
    let budget = vec![vec![8, 0, 2], vec![0, 0, 0], vec![3, 12, 3], vec![0, 0, 0], vec![9, 9, 9]];
    let cases = [
        (TokensPerHead::Uniform(8), 0, 5, 0..4),
        (TokensPerHead::Budget(budget), 0, 5, 0..3),
        (TokensPerHead::Uniform(4), 2, 3, 2..4),
        (TokensPerHead::Uniform(4), 5, 2, 5..7),
    ];
    for (tokens, first, count, layers) in cases {
        let model = tiny(tokens, first, count);
        let memories = memories(&model);
        let slots = slots(&memories);
        let found = model.memory_scores(QUESTION, &slots).unwrap();
        let distance = farthest(&found, &expected(&model, QUESTION, &slots, layers.clone()));
        let (least, most) = found.iter().fold((f32::INFINITY, 0f32), |(least, most), x| (least.min(*x), most.max(*x)));
        println!("layers {layers:?}: farthest {distance:.1e}, scores {least:.4} to {most:.4}");
        assert!(distance < 1e-4 && distance < 1e-3 * f64::from(most), "layers {layers:?}: {distance}");
        assert!(least > 0.0 && most > 1.2 * least && found.iter().sum::<f32>() < 1.0, "scores tell memories apart: {found:?}");
    }
}

#[test]
fn a_batch_gives_what_one_by_one_gives() {
    let model = tiny(TokensPerHead::Uniform(8), 0, 5);
    let memories = memories(&model);
    let slots = slots(&memories);
    // One at a time, each memory takes its share beside the context alone, by the definition and in the batch's tensors.
    for slot in [slots[0], slots[9], slots[19]] {
        let alone = model.memory_scores(QUESTION, &[slot]).unwrap();
        let distance = farthest(&alone, &expected(&model, QUESTION, &[slot], 0..4));
        assert!(distance < 1e-5, "{distance}");
    }
    // The order of the batch does not matter, nor how many there are beyond those that a chunk reads.
    let forwards = model.memory_scores(QUESTION, &slots).unwrap();
    let reversed: Vec<Slot<'_>> = slots.iter().rev().copied().collect();
    let backwards: Vec<f64> = model.memory_scores(QUESTION, &reversed).unwrap().into_iter().rev().map(f64::from).collect();
    assert!(farthest(&forwards, &backwards) < 1e-6);
    // Copies of a batch share its attention, each as much as the other.
    let twice = model.memory_scores(QUESTION, &[&slots[..], &slots[..]].concat()).unwrap();
    assert!(farthest(&twice[..20], &twice[20..].iter().map(|x| f64::from(*x)).collect::<Vec<_>>()) < 1e-6);
    assert!(twice.iter().zip(&forwards).all(|(twice, once)| twice < once));
}

#[test]
fn unusual_questions_and_memories() {
    let model = tiny(TokensPerHead::Uniform(8), 0, 5);
    let memories = memories(&model);
    let slots = slots(&memories);
    assert!(model.memory_scores(QUESTION, &[]).unwrap().is_empty());
    assert_eq!(model.memory_scores("", &slots).unwrap(), [0.0; 20]);
    // No more than the first 128 tokens are looked at.
    let long = "dose against gout ".repeat(400);
    let found = model.memory_scores(&long, &slots).unwrap();
    assert_eq!(found, model.memory_scores(&long[..long.len() / 2], &slots).unwrap());
    assert!(farthest(&found, &expected(&model, &long, &slots, 0..4)) < 1e-4);
    for question in ["?", "</s>", "阿司匹林", "\u{0}\u{feff}"] {
        assert!(model.memory_scores(question, &slots).unwrap().iter().all(|score| (0.0..=1.0).contains(score)), "{question:?}");
    }
    // Memories of another shape, and damaged ones.
    let other = tiny(TokensPerHead::Uniform(4), 0, 5);
    let refused = other.memory_scores(QUESTION, &slots).unwrap_err().to_string();
    assert!(refused.contains("shape") || refused.contains('8'), "{refused}");
    let mut damaged = memories[19].clone();
    damaged.positions[0] = 200;
    assert!(model.memory_scores(QUESTION, &[Slot { memory: &damaged, similarity: 0.5 }]).is_err());
}
