//! multilingual-e5-small, as `mempack models get e5` puts it in place, against what it should say.
//!
//! `tests/fixtures/me5s/expected.json` has ids and embeddings of texts with their prompts, computed by PyTorch in f32 from the same
//! weights.

use std::path::{Path, PathBuf};

use mempack_model::{DeviceChoice, EmbedAs, Embedder, LoadOptions, Precision};
use serde_json::Value;

#[test]
fn e5_gives_the_values_of_pytorch() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = std::env::var_os("MEMPACK_E5").map_or_else(|| root.join("models/multilingual-e5-small"), PathBuf::from);
    let put = "`mempack models get e5` puts it there; MEMPACK_E5 names another folder";
    assert!(folder.join("model.safetensors").is_file(), "{}: multilingual-e5-small is not in place; {put}", folder.display());
    mempack_model::set_threads(1);
    let options = LoadOptions { precision: Precision::F32, device: DeviceChoice::Cpu, ..LoadOptions::default() };
    let embedder = Embedder::load(&folder, &options).unwrap();
    assert_eq!((embedder.dim(), embedder.identity().max_tokens), (384, 512));
    let expected = std::fs::read(root.join("tests/fixtures/me5s/expected.json")).unwrap();
    let expected: Value = serde_json::from_slice(&expected).unwrap();
    let (mut farthest, mut texts) = (0.0_f32, 0);
    for case in expected["texts"].as_array().unwrap() {
        let whole = case["text"].as_str().unwrap();
        let (embed_as, text) = match whole.split_once(": ") {
            Some(("query", text)) => (EmbedAs::Query, text),
            Some(("passage", text)) => (EmbedAs::Passage, text),
            _ => panic!("{whole} has no prompt"),
        };
        let ids: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
        assert_eq!(embedder.tokens(embed_as, text).unwrap(), ids, "{whole}");
        let embedding: Vec<f32> = serde_json::from_value(case["embedding"].clone()).unwrap();
        let found = embedder.embed(embed_as, &[text]).unwrap();
        assert_eq!(found.len(), embedding.len());
        farthest = found.iter().zip(&embedding).map(|(a, b)| (a - b).abs()).fold(farthest, f32::max);
        texts += 1;
    }
    println!("multilingual-e5-small: farthest {farthest:.1e} over {texts} texts");
    assert!(texts >= 6 && farthest < 1e-4, "{farthest}");
}
