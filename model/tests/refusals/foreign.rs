//! Files and folders that are something else than a model, and how the error says so.

use std::path::Path;

use mempack_model::{DeviceChoice, Embedder, LoadOptions, Model, Precision};

use crate::support::{Folder, assert_names, fixtures, load};

const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22e\nsize 269060544\n";
const PAGE: &[u8] = b"<!DOCTYPE html>\n<html><title>Sign in</title></html>";

fn options() -> LoadOptions {
    LoadOptions { precision: Precision::F32, device: DeviceChoice::Cpu, ..LoadOptions::default() }
}

/// A copy of the tiny model, which has a tokenizer.
fn tiny() -> Folder {
    let folder = Folder::new();
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        std::fs::copy(fixtures().join("tiny").join(name), folder.file(name)).unwrap();
    }
    folder
}

fn refusal(folder: &Path) -> String {
    mempack_model::set_threads(1);
    Model::load(folder, &options()).err().expect("a refusal").to_string()
}

#[test]
fn any_file_of_a_model_may_be_something_else() {
    for name in
        ["config.json", "model.safetensors", "tokenizer.json", "generation_config.json", "tokenizer_config.json", "special_tokens_map.json"]
    {
        for (bytes, words) in [
            (POINTER, &["git-LFS pointer", "git lfs pull"][..]),
            (PAGE, &["a web page", "fetch the file again"]),
            (b"Entry not found", &["the message of a web server"]),
            (b"\x1f\x8b\x08\0\0\0", &["a gzip archive", "unpack it"]),
            (b"PK\x03\x04\x14\0", &["a zip archive"]),
            (b"GGUF\x03\0\0\0", &["a GGUF file", "import"]),
            (b"\x80\x02}q\0.", &["pickle", "safetensors"]),
            (b"\x89MPK\r\n\x1a\n", &["a memory pack"]),
            (b"\xff\xfe{\0}\0", &["UTF-16"]),
        ] {
            let folder = tiny();
            std::fs::write(folder.file(name), bytes).unwrap();
            assert_names(&refusal(folder.dir.path()), &[&[name], words].concat());
        }
    }
    for name in ["config.json", "tokenizer.json"] {
        let folder = tiny();
        std::fs::copy(folder.file("model.safetensors"), folder.file(name)).unwrap();
        assert_names(&refusal(folder.dir.path()), &[name, "a safetensors file"]);
    }
}

#[test]
fn shards_and_adapters_may_be_something_else() {
    let folder = Folder::new();
    std::fs::rename(folder.file("model.safetensors"), folder.file("model-00001-of-00001.safetensors")).unwrap();
    std::fs::write(folder.file("model.safetensors.index.json"), POINTER).unwrap();
    assert_names(&folder.refusal(), &["model.safetensors.index.json", "git-LFS pointer"]);
    let map = r#"{"weight_map": {"model.norm.weight": "model-00001-of-00001.safetensors"}}"#;
    std::fs::write(folder.file("model.safetensors.index.json"), map).unwrap();
    std::fs::write(folder.file("model-00001-of-00001.safetensors"), POINTER).unwrap();
    assert_names(&folder.refusal(), &["model-00001-of-00001.safetensors", "git-LFS pointer"]);
    let base = Folder::new();
    let adapter = tempfile::tempdir().unwrap();
    let refusal = || load(adapter.path(), Some(base.dir.path())).err().unwrap().to_string();
    let config = r#"{"peft_type": "LORA", "base_model_name_or_path": "x", "r": 2, "lora_alpha": 3}"#;
    std::fs::write(adapter.path().join("adapter_config.json"), config).unwrap();
    std::fs::write(adapter.path().join("adapter_model.bin"), b"PK\x03\x04").unwrap();
    assert_names(&refusal(), &["adapter_model.bin alone", "safetensors"]);
    std::fs::write(adapter.path().join("adapter_model.safetensors"), POINTER).unwrap();
    assert_names(&refusal(), &["adapter_model.safetensors", "git-LFS pointer"]);
    std::fs::write(adapter.path().join("adapter_config.json"), POINTER).unwrap();
    assert_names(&refusal(), &["adapter_config.json", "git-LFS pointer"]);
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    let folder = tiny();
    let identity = Model::load(folder.dir.path(), &options()).unwrap().identity().clone();
    for name in ["config.json", "tokenizer.json"] {
        let bytes = std::fs::read(folder.file(name)).unwrap();
        std::fs::write(folder.file(name), [b"\xef\xbb\xbf", bytes.as_slice()].concat()).unwrap();
    }
    let marked = Model::load(folder.dir.path(), &options()).unwrap().identity().clone();
    assert_eq!((marked.config, marked.tokenizer), (identity.config, identity.tokenizer));
}

#[test]
fn a_file_in_place_of_a_folder() {
    let folder = tiny();
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        let error = refusal(&folder.file(name));
        assert_names(
            &error,
            &[name, "expected a folder, found a file", "name the folder it is in", &folder.dir.path().display().to_string()],
        );
    }
    let other = folder.file("other");
    for (bytes, words) in [
        (&b"GGUF\x03\0\0\0"[..], &["a GGUF file", "import it"][..]),
        (b"\x89MPK\r\n\x1a\n", &["a memory pack", "name the folder of a model"]),
        (POINTER, &["git-LFS pointer"]),
    ] {
        std::fs::write(&other, bytes).unwrap();
        assert_names(&refusal(&other), words);
        assert_names(&Embedder::load(&other, &options()).err().unwrap().to_string(), words);
    }
}

#[test]
fn folders_that_hold_something_else() {
    let outer = tempfile::tempdir().unwrap();
    assert_names(&refusal(outer.path()), &["an empty folder", "config.json", "model.safetensors"]);
    std::fs::write(outer.path().join("model.gguf"), b"GGUF").unwrap();
    assert_names(&refusal(outer.path()), &["model.gguf", "import that GGUF file"]);
    std::fs::remove_file(outer.path().join("model.gguf")).unwrap();
    let inner = outer.path().join("snapshots/0123");
    std::fs::create_dir_all(&inner).unwrap();
    std::fs::write(inner.join("config.json"), "{}").unwrap();
    assert_names(&refusal(outer.path()), &["the hub's cache", "snapshots/0123"]);
    std::fs::rename(&inner, outer.path().join("whole")).unwrap();
    assert_names(&refusal(outer.path()), &["name the folder in it", "whole"]);
}

#[test]
fn weights_in_other_formats() {
    for (name, words) in [
        ("pytorch_model.bin", "convert the weights to safetensors"),
        ("pytorch_model-00001-of-00002.bin", "convert the weights to safetensors"),
        ("consolidated.00.pth", "convert the weights to safetensors"),
        ("model.gguf", "import that GGUF file"),
        ("tf_model.h5", "convert the weights to safetensors"),
        ("consolidated.safetensors", "rename it"),
    ] {
        let folder = Folder::new();
        std::fs::rename(folder.file("model.safetensors"), folder.file(name)).unwrap();
        assert_names(&folder.refusal(), &[name, "expected model.safetensors", words]);
    }
}
