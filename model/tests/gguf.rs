//! The tokenizer that `mempack import` makes from SmolLM2's GGUF file. Its tensors are compared in the parity test, and the
//! import of small files with its refusals beside the code.

use std::path::{Path, PathBuf};

#[test]
fn smollm2_tokens_are_those_of_transformers() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let base = std::env::var_os("MEMPACK_BASE").map_or_else(|| root.join("models/SmolLM2-135M-Instruct"), PathBuf::from);
    let path = base.join("tokenizer.json");
    assert!(path.is_file(), "{}: the default model's base is not in place; `make` puts it there", path.display());
    let tokenizer = tokenizers::Tokenizer::from_file(&path).unwrap();
    let golden: serde_json::Value = serde_json::from_str(include_str!("golden/smollm-tokens.json")).unwrap();
    let cases = golden.as_array().unwrap();
    for case in cases {
        let text = case["text"].as_str().unwrap();
        let ids: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
        let encoding = tokenizer.encode(text, false).unwrap();
        assert_eq!(encoding.get_ids(), ids, "{text:?}");
        // Every byte has a token: nothing is lost on the way.
        assert_eq!(tokenizer.decode(&ids, false).unwrap(), text);
    }
    println!("SmolLM2: ids of {} texts equal", cases.len());
}
