//! Qwen3 and Gemma 3 (`golden/make_families.py` makes the fixtures): each part of a layer counts, and kernels compute what transformers and the
//! definition of memories compute. `parity` compares the reader.

use std::path::{Path, PathBuf};

use mempack_model::{
    Batch, Decoder, DeviceChoice, Digest, LoadOptions, Memory, Model, Precision, Prompt, ReaderOptions, Row, Slot, SlotList, StepDecoder,
    set_threads,
};
use safetensors::SafeTensors;
use serde_json::{Value, json};

const FAMILIES: [&str; 2] = ["qwen3_norms", "gemma3_windows"];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name)
}

fn options(precision: Precision) -> LoadOptions {
    set_threads(1);
    LoadOptions { precision, device: DeviceChoice::Cpu, ..LoadOptions::default() }
}

fn load(name: &str) -> Decoder {
    Decoder::load(&fixture(name).join("model"), &options(Precision::F32)).unwrap()
}

/// What a fixture's file holds under a name.
fn expected(name: &str, tensor: &str) -> Vec<f32> {
    let bytes = std::fs::read(fixture(name).join("expected.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    file.tensor(tensor).unwrap().data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

#[derive(serde::Deserialize)]
struct Cases {
    references: Vec<Vec<u32>>,
    text: Vec<u32>,
    retrieved: Vec<Vec<usize>>,
    similarity: Vec<Vec<f32>>,
}

impl Cases {
    fn of(name: &str) -> Self {
        serde_json::from_slice(&std::fs::read(fixture(name).join("cases.json")).unwrap()).unwrap()
    }

    fn memories(&self, decoder: &Decoder) -> Vec<Memory> {
        decoder.write(&self.references.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap()
    }

    fn chunks<'a>(&self, memories: &'a [Memory]) -> Vec<Vec<Slot<'a>>> {
        let slot = |(r, s): (&usize, &f32)| Slot { memory: &memories[*r], similarity: *s };
        self.retrieved.iter().zip(&self.similarity).map(|(rs, ss)| rs.iter().zip(ss).map(slot).collect()).collect()
    }
}

fn largest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, |max, d| if d.is_nan() { f32::INFINITY } else { max.max(d) })
}

fn plain(decoder: &Decoder, text: &[u32]) -> Vec<f32> {
    decoder.reader(&ReaderOptions { capacity: 1 + text.len(), prefix: false }).unwrap().prompt(text, &[], true).unwrap()
}

/// Logits after each token from number `start` of `text` on, by the kernels: a prompt, then steps.
fn on_kernels(decoder: &Decoder, text: &[u32], start: usize, prefix: bool, chunks: &[Vec<Slot<'_>>]) -> Vec<f32> {
    let interval = decoder.memory().retrieval_interval as usize;
    let mut batch = Batch::new(&StepDecoder::new(decoder).unwrap(), usize::MAX, 1).unwrap();
    let lists = (0..).zip(chunks).map(|(number, slots)| SlotList { slots: slots.clone(), key: Digest([number; 32]) });
    let chunks: Vec<SlotList<'_>> = lists.collect();
    let begun = chunks.len().min(start.saturating_sub(1) / interval + 1);
    let prompt = Prompt { text: &text[..start], chunks: &chunks[..begun] };
    let mut sequence = batch.open(&ReaderOptions { capacity: 1 + text.len(), prefix }, &prompt).unwrap();
    batch.prompt(&mut sequence, &prompt).unwrap();
    let mut logits = sequence.logits().to_vec();
    for (number, token) in text.iter().enumerate().skip(start) {
        if number > 0 && number % interval == 0 && number / interval < chunks.len() {
            batch.set_memories(&mut sequence, &chunks[number / interval]).unwrap();
        }
        let mut row = [Row::new(&mut sequence, *token)];
        batch.step(&mut row);
        row.into_iter().for_each(|row| row.outcome.unwrap());
        logits.extend(sequence.logits());
    }
    logits
}

/// The prompt ends at the start, within the window, past it, at the border of a chunk.
const STARTS: [usize; 5] = [0, 3, 11, 16, 39];

#[test]
fn kernels_compute_what_transformers_computes() {
    for name in FAMILIES {
        let (decoder, cases, golden) = (load(name), Cases::of(name), expected(name, "plain.logits"));
        let vocabulary = decoder.config().vocabulary as usize;
        let mut off = 0f32;
        for start in STARTS {
            off = off.max(largest(&on_kernels(&decoder, &cases.text, start, false, &[]), &golden[start * vocabulary..]));
        }
        let half = Decoder::load(&fixture(name).join("model"), &options(Precision::Bf16)).unwrap();
        let half = largest(&on_kernels(&half, &cases.text, 11, false, &[]), &golden[11 * vocabulary..]);
        let size = golden.iter().fold(0f32, |max, x| max.max(x.abs()));
        let torch = largest(&plain(&decoder, &cases.text), &golden);
        println!("{name}: from transformers: kernels {off:.1e}, libtorch {torch:.1e}, kernels in bf16 {half:.1e}; logits up to {size:.1}");
        assert!(off < 5e-5 && torch < 5e-5 && half < 0.1 * size, "{name}: {off} {torch} {half}");
    }
}

#[test]
fn kernels_read_memories_by_the_definition() {
    for name in FAMILIES {
        let (decoder, cases) = (load(name), Cases::of(name));
        let memories = cases.memories(&decoder);
        let chunks = cases.chunks(&memories);
        let vocabulary = decoder.config().vocabulary as usize;
        for (tensor, chunks) in [("read.logits_biased", &chunks[..]), ("read.logits_no_memory", &[])] {
            let golden = expected(name, tensor);
            let of = |start: &usize| largest(&on_kernels(&decoder, &cases.text, *start, true, chunks), &golden[start * vocabulary..]);
            let off = STARTS.iter().map(of).fold(0.0, f32::max);
            println!("{name}: {tensor}: kernels {off:.1e} from the definition");
            assert!(off < 5e-5, "{name} {tensor}: {off}");
        }
    }
}

/// A prompt of many passes.
#[test]
fn kernels_go_on_from_a_long_prompt() {
    for name in FAMILIES {
        let (decoder, cases) = (load(name), Cases::of(name));
        let memories = cases.memories(&decoder);
        let chunks = cases.chunks(&memories);
        let text: Vec<u32> = cases.text.iter().copied().cycle().take(900).collect();
        let options = ReaderOptions { capacity: 901, prefix: true };
        let mut reader = decoder.reader(&options).unwrap();
        let mut expected = reader.prompt(&text[..880], &chunks, false).unwrap();
        text[880..].iter().for_each(|token| expected.extend(reader.step(*token).unwrap()));
        let found = on_kernels(&decoder, &text, 880, true, &chunks);
        let off = largest(&found, &expected);
        println!("{name}: {off:.1e} after a prompt of 880");
        assert!(off < 1e-4, "{name}: {off}");
    }
}

/// A model's files, changed, in a folder of their own.
fn changed(name: &str, change: impl FnOnce(&mut Value)) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let model = fixture(name).join("model");
    std::fs::copy(model.join("model.safetensors"), dir.path().join("model.safetensors")).unwrap();
    let mut config: Value = serde_json::from_slice(&std::fs::read(model.join("config.json")).unwrap()).unwrap();
    change(&mut config);
    std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    dir
}

/// The fixtures tell whether a field is obeyed.
#[test]
fn every_field_counts() {
    for (name, field, value) in [
        ("qwen3_norms", "rope_theta", json!(400.0)),
        ("qwen3_norms", "rms_norm_eps", json!(0.1)),
        ("gemma3_windows", "rope_theta", json!(1000.0)),
        ("gemma3_windows", "rope_local_base_freq", json!(5000.0)),
        ("gemma3_windows", "rope_scaling", Value::Null),
        ("gemma3_windows", "query_pre_attn_scalar", json!(12)),
        ("gemma3_windows", "sliding_window", json!(8)),
        ("gemma3_windows", "layer_types", Value::Null),
    ] {
        let dir = changed(name, |config| config[field] = value.clone());
        let decoder = Decoder::load(dir.path(), &options(Precision::F32)).unwrap();
        let (text, golden) = (Cases::of(name).text, expected(name, "plain.logits"));
        let off = largest(&plain(&decoder, &text), &golden);
        assert!(off > 0.05, "{name}: {field} of {value} moves logits by {off}");
        let kernels = on_kernels(&decoder, &text, text.len(), false, &[]);
        let last = golden.len() - kernels.len();
        assert!(largest(&kernels, &plain(&decoder, &text)[last..]) < 5e-5, "{name}: {field} on kernels");
    }
}

#[test]
fn weights_of_another_family_are_refused() {
    for (name, change, parts) in [
        // A norm that the family lacks, and one that the weights lack.
        ("qwen3_norms", json!({"model_type": "llama"}), &["model.layers.0.self_attn.k_norm.weight", "`llama`"][..]),
        ("qwen3_norms", json!({"head_dim": 8}), &["self_attn.q_norm.weight", "[8]", "[16]"]),
        (
            "gemma3_windows",
            json!({"model_type": "gemma3"}),
            &["model_type", "`gemma3`", "transformers, Gemma3ForCausalLM", "tokenizer.json"],
        ),
        (
            "gemma3_windows",
            json!({"model_type": "qwen3", "hidden_activation": null, "rope_scaling": null, "layer_types": null, "sliding_window": null,
                   "query_pre_attn_scalar": null, "rope_local_base_freq": null, "_sliding_window_pattern": null, "tie_word_embeddings": true}),
            &["model.layers.0.post_feedforward_layernorm.weight", "`qwen3`"],
        ),
    ] {
        let dir = changed(name, |config| config.as_object_mut().unwrap().extend(change.as_object().unwrap().clone()));
        let error = Decoder::load(dir.path(), &options(Precision::F32)).err().unwrap().to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
    let dir = changed("gemma3_windows", |_| ());
    let bytes = std::fs::read(dir.path().join("model.safetensors")).unwrap();
    for part in
        ["self_attn.q_norm", "self_attn.k_norm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm"]
    {
        let name = format!("model.layers.3.{part}.weight");
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let others = file.tensors().into_iter().filter(|(other, _)| *other != name);
        safetensors::serialize_to_file(others, None, &dir.path().join("model.safetensors")).unwrap();
        let error = Decoder::load(dir.path(), &options(Precision::F32)).err().unwrap().to_string();
        assert!(error.contains(&name), "{error}");
    }
}

/// How much attention a question gives to memories, where its layers have windows.
#[test]
fn memory_scores_are_those_of_the_definition() {
    for name in FAMILIES {
        let dir = changed(name, |_| ());
        let cases = Cases::of(name);
        let decoder = load(name);
        let vocabulary: serde_json::Map<String, Value> = (0..decoder.config().vocabulary).map(|id| (format!("w{id}"), json!(id))).collect();
        let tokenizer = json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
            "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null, "decoder": null,
            "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "w0"},
        });
        std::fs::write(dir.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
        let model = Model::load(dir.path(), &options(Precision::F32)).unwrap();
        let memories = cases.memories(model.decoder());
        let slot = |(number, memory)| Slot { memory, similarity: 0.6 - 0.05 * number as f32 };
        let slots: Vec<Slot<'_>> = memories.iter().enumerate().map(slot).collect();
        let question: Vec<String> = cases.text.iter().map(|id| format!("w{id}")).collect();
        let scores = model.memory_scores(&question.join(" "), &slots).unwrap();
        let off = largest(&scores, &expected(name, "scores"));
        println!("{name}: {scores:?}, {off:.1e} from the definition");
        assert!(off < 1e-5, "{name}: {off}");
    }
}
