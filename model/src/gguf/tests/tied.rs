//! Embedding and head in one file: one matrix at two precisions, or two matrices.

use half::f16;

use super::*;

const HIDDEN: usize = 64;
const ROWS: usize = 8;
const Q5_0: u32 = 6;
const Q8_0: u32 = 8;

/// Numbers that are spread like weights, another list for each `seed`.
fn weights(seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut uniform = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..HIDDEN * ROWS).map(|_| (0..4).map(|_| uniform()).sum()).collect()
}

fn q8_0(values: &[f32]) -> Vec<u8> {
    let blocks = values.chunks(32).flat_map(|block| {
        let scale = f16::from_f32(block.iter().fold(0f32, |max, x| max.max(x.abs())) / 127.0);
        let numbers = block.iter().map(move |x| (x / scale.to_f32()).round().clamp(-127.0, 127.0) as i8 as u8);
        scale.to_le_bytes().into_iter().chain(numbers).collect::<Vec<u8>>()
    });
    blocks.collect()
}

fn q5_0(values: &[f32]) -> Vec<u8> {
    let blocks = values.chunks(32).flat_map(|block| {
        let largest = block.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap();
        let scale = f16::from_f32(largest / -16.0);
        let numbers: Vec<u8> = block.iter().map(|x| ((x / scale.to_f32()).round() + 16.0).clamp(0.0, 31.0) as u8).collect();
        let high = numbers.iter().enumerate().fold(0u32, |bits, (i, n)| bits | u32::from(n >> 4) << i);
        let low = (0..16).map(|i| (numbers[i] & 15) | (numbers[i + 16] & 15) << 4);
        [&scale.to_le_bytes()[..], &high.to_le_bytes()].concat().into_iter().chain(low).collect::<Vec<u8>>()
    });
    blocks.collect()
}

/// A model of one layer whose embedding and head have these types and bytes.
fn model(embedding: (u32, Vec<u8>), head: (u32, Vec<u8>)) -> Builder {
    let hidden = HIDDEN as u64;
    let mut b = Builder::llama();
    b.number("llama.embedding_length", HIDDEN as u32);
    for name in ["blk.0.attn_norm.weight", "blk.0.ffn_norm.weight", "output_norm.weight"] {
        b.counting(name, &[hidden]);
    }
    for (name, rows) in [("attn_q", 8), ("attn_k", 4), ("attn_v", 4), ("ffn_gate", 6), ("ffn_up", 6)] {
        b.counting(&format!("blk.0.{name}.weight"), &[hidden, rows]);
    }
    b.counting("blk.0.attn_output.weight", &[8, hidden]).counting("blk.0.ffn_down.weight", &[6, hidden]);
    b.tensor("token_embd.weight", &[hidden, ROWS as u64], embedding.0, embedding.1);
    b.tensor("output.weight", &[hidden, ROWS as u64], head.0, head.1);
    b
}

fn import(b: &Builder) -> (tempfile::TempDir, PathBuf, ImportSummary) {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (folder.path().join("model.gguf"), folder.path().join("model"));
    std::fs::write(&file, b.bytes()).unwrap();
    let summary = import_gguf(&file, &out, None, &mut |_, _| {}).unwrap();
    (folder, out, summary)
}

fn names(out: &Path) -> Vec<String> {
    let bytes = std::fs::read(out.join("model.safetensors")).unwrap();
    safetensors::SafeTensors::deserialize(&bytes).unwrap().names().iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn one_matrix_at_two_precisions_is_imported_once() {
    let matrix = weights(1);
    let precise = (Q8_0, q8_0(&matrix));
    let coarse = (Q5_0, q5_0(&matrix));
    let (_expected_folder, expected, _) = import(model(precise.clone(), precise.clone()).without("output.weight"));
    let expected = values(&expected, "model.embed_tokens.weight");
    for (b, kept, dropped) in [
        (model(coarse.clone(), precise.clone()), "output.weight", "token_embd.weight"),
        (model(precise.clone(), coarse.clone()), "token_embd.weight", "output.weight"),
    ] {
        let (_folder, out, summary) = import(&b);
        let tied = summary.tied.unwrap();
        println!("{tied}");
        assert_eq!((tied.kept.as_str(), tied.kept_type, tied.dropped.as_str(), tied.dropped_type), (kept, "Q8_0", dropped, "Q5_0"));
        assert!(tied.difference > 0.01 && tied.difference < 0.06, "{}", tied.difference);
        assert!(tied.to_string().contains(&format!("kept {kept} for both")), "{tied}");
        assert_eq!(json(out.join("config.json"))["tie_word_embeddings"], true);
        assert!(!names(&out).iter().any(|name| name == "lm_head.weight"));
        assert_eq!(values(&out, "model.embed_tokens.weight"), expected);
        assert_eq!(summary.tensors, 11);
    }
}

#[test]
fn two_matrices_stay_two() {
    let matrix = weights(1);
    let other = weights(2);
    // As far from the embedding as training of an untied head may leave it.
    let near: Vec<f32> = matrix.iter().zip(&other).map(|(x, y)| x + 0.2 * y).collect();
    for head in [other, near] {
        let (_folder, out, summary) = import(&model((Q5_0, q5_0(&matrix)), (Q8_0, q8_0(&head))));
        assert_eq!(summary.tied, None);
        assert_eq!(json(out.join("config.json"))["tie_word_embeddings"], false);
        assert!(names(&out).iter().any(|name| name == "lm_head.weight"));
        let off = values(&out, "lm_head.weight").iter().zip(&head).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
        assert!(off < 0.02, "{off}");
    }
}
