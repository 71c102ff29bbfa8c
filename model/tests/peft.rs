//! An adapter that our training wrote, and the logits that transformers and peft compute with it (`scripts/check_peft.py` says how
//! both were made): what peft reads is what we write.

use std::path::{Path, PathBuf};

use mempack_model::training::{AdapterOptions, Learning, Trainee};
use mempack_model::{DeviceChoice, LoadOptions, Model, Precision, ReaderOptions, set_threads};
use safetensors::SafeTensors;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn options() -> LoadOptions {
    set_threads(1);
    let base = Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/tiny"));
    LoadOptions { precision: Precision::F32, device: DeviceChoice::Cpu, base, ..LoadOptions::default() }
}

/// Ids, BOS first, and their logits.
fn of_peft() -> (Vec<u32>, Vec<f32>) {
    let bytes = std::fs::read(golden("tiny-adapter-logits.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let ids = file.tensor("ids").unwrap().data().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as u32).collect();
    let logits = file.tensor("logits").unwrap().data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    (ids, logits)
}

fn plain(model: &Model, ids: &[u32]) -> Vec<f32> {
    assert_eq!(model.config().bos, ids[0]);
    let mut reader = model.reader(&ReaderOptions { capacity: ids.len(), prefix: false }).unwrap();
    reader.prompt(&ids[1..], &[], true).unwrap()
}

fn largest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, |max, d| if d.is_nan() { f32::INFINITY } else { max.max(d) })
}

/// The golden adapter, loaded for further training.
fn going_on() -> Trainee {
    let learning = Learning::Adapter(AdapterOptions { rank: 2, alpha: 1.0, targets: Vec::new(), seed: 0 });
    Trainee::load(&golden("tiny-adapter"), &options(), &learning).unwrap()
}

#[test]
fn logits_are_those_of_peft() {
    let (ids, expected) = of_peft();
    let merged = Model::load(&golden("tiny-adapter"), &options()).unwrap();
    let base = Model::load_base(&golden("tiny-adapter"), &options()).unwrap().unwrap();
    let (off, change) = (largest(&plain(&merged, &ids), &expected), largest(&plain(&base, &ids), &expected));
    let beside = largest(&plain(going_on().model(), &ids), &expected);
    println!("{} ids: from peft {off:.1e} merged, {beside:.1e} beside the base; the adapter changes logits by {change:.3}", ids.len());
    assert!(off < 1e-3 && beside < 1e-3 && change > 0.1);
}

#[test]
fn what_is_written_is_what_peft_read() {
    let dir = tempfile::tempdir().unwrap();
    let saved = dir.path().join("again");
    going_on().save(&saved, Precision::Bf16).unwrap();
    for file in ["adapter_config.json", "adapter_model.safetensors", "memory.json"] {
        assert!(std::fs::read(saved.join(file)).unwrap() == std::fs::read(golden("tiny-adapter").join(file)).unwrap(), "{file}");
    }
}
