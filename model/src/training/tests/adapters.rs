//! Which weights an adapter changes, and what it refuses.

use tch::Tensor;

use super::support::{fill_b, folder, load, new_adapter, options};
use crate::training::{AdapterOptions, Learning, Trainee};
use crate::{LoadOptions, Precision};

fn wanted(rank: u32, targets: &[&str]) -> Learning {
    Learning::Adapter(AdapterOptions { rank, alpha: 1.0, targets: targets.iter().map(|t| t.to_string()).collect(), seed: 7 })
}

fn names(trainee: &Trainee) -> Vec<&str> {
    trainee.parameters.iter().map(|p| p.name.as_str()).collect()
}

#[test]
fn only_what_is_named_learns() {
    let dir = folder("llama_mha");
    let trainee = load(dir.path(), &wanted(2, &["k_proj", "up_proj"]));
    let found = names(&trainee);
    assert_eq!(found.len(), 3 * 2 * 2, "three layers, two projections, A and B");
    assert!(found.iter().all(|name| name.contains("k_proj.lora_") || name.contains("up_proj.lora_")), "{found:?}");
    assert_eq!(trainee.learnt(), 3 * 2 * (32 + 32 + 32 + 48));
    let all = load(dir.path(), &wanted(2, &[]));
    assert_eq!(all.parameters.len(), 3 * 7 * 2);
}

#[test]
fn one_seed_gives_one_adapter() {
    let dir = folder("llama_mha");
    let [first, second] = [(); 2].map(|()| load(dir.path(), &wanted(2, &[])));
    let other = load(dir.path(), &Learning::Adapter(AdapterOptions { rank: 2, alpha: 1.0, targets: Vec::new(), seed: 8 }));
    let equal = |a: &Trainee, b: &Trainee| a.parameters.iter().zip(&b.parameters).filter(|(a, b)| a.master.equal(&b.master)).count();
    assert_eq!(equal(&first, &second), first.parameters.len());
    // B begins with zeros in both.
    assert_eq!(equal(&first, &other), first.parameters.len() / 2);
}

#[test]
fn what_cannot_be_adapted_is_refused() {
    let dir = folder("llama_mha");
    let refusal = |learning| Trainee::load(dir.path(), &options(Precision::F32), &learning).err().expect("a refusal").to_string();
    assert!(refusal(wanted(0, &[])).contains("`rank`: expected at least 1, found 0"));
    let unknown = refusal(wanted(2, &["q_proj", "kv_proj"]));
    assert!(unknown.contains("`targets`") && unknown.contains("found kv_proj"), "{unknown}");
}

/// An adapter of some layers says which, so that it is whole when it is loaded again.
#[test]
fn an_adapter_of_some_layers_goes_on() {
    let dir = folder("llama_mha");
    let mut trainee = load(dir.path(), &wanted(2, &["q_proj", "up_proj"]));
    fill_b(&mut trainee, 0.1);
    let adapter = dir.path().join("adapter");
    trainee.save(&adapter, Precision::F32).unwrap();
    let targets = |folder: &std::path::Path| -> serde_json::Value {
        let text = std::fs::read(folder.join("adapter_config.json")).unwrap();
        serde_json::from_slice::<serde_json::Value>(&text).unwrap()["target_modules"].clone()
    };
    assert_eq!(targets(&adapter), serde_json::json!(["q_proj", "up_proj"]));
    // Without the pair of one layer, which the configuration excludes.
    let (weights, config) = (adapter.join("adapter_model.safetensors"), adapter.join("adapter_config.json"));
    let kept: Vec<_> = Tensor::read_safetensors(&weights).unwrap().into_iter().filter(|(name, _)| !name.contains("layers.0.mlp")).collect();
    super::super::save::write_tensors(&weights, &kept).unwrap();
    let base = LoadOptions { base: Some(dir.path().to_owned()), ..options(Precision::F32) };
    let error = Trainee::load(&adapter, &base, &new_adapter(2)).err().unwrap().to_string();
    assert!(error.contains("layers.0.mlp.up_proj") && error.contains("1 of the 6 modules"), "{error}");
    let mut object: serde_json::Value = serde_json::from_slice(&std::fs::read(&config).unwrap()).unwrap();
    object["exclude_modules"] = serde_json::json!(["layers.0.mlp.up_proj"]);
    std::fs::write(&config, object.to_string()).unwrap();
    let again = dir.path().join("again");
    Trainee::load(&adapter, &base, &new_adapter(2)).unwrap().save(&again, Precision::F32).unwrap();
    assert_eq!(targets(&again), serde_json::json!(["model.layers.1.mlp.up_proj", "model.layers.2.mlp.up_proj", "q_proj"]));
    assert_eq!(Trainee::load(&again, &base, &new_adapter(2)).unwrap().parameters.len(), 10);
}

#[test]
fn an_adapter_with_more_than_learns_is_refused() {
    let dir = folder("llama_mha");
    let mut trainee = load(dir.path(), &new_adapter(2));
    fill_b(&mut trainee, 0.1);
    let adapter = dir.path().join("adapter");
    trainee.save(&adapter, Precision::F32).unwrap();
    let base = LoadOptions { base: Some(dir.path().to_owned()), ..options(Precision::F32) };
    let go_on = |learning| Trainee::load(&adapter, &base, &learning).map(|trainee| trainee.parameters.len());
    assert_eq!(go_on(new_adapter(2)).unwrap(), 3 * 7 * 2);
    assert!(
        go_on(new_adapter(3))
            .unwrap_err()
            .to_string()
            .contains("`rank`: expected 2, the rank of the adapter that is trained further, found 3")
    );
    // A pair for the embedding would be lost by going on; one for a layer that is not there belongs to another base.
    let path = adapter.join("adapter_model.safetensors");
    for module in ["model.embed_tokens", "model.layers.9.self_attn.q_proj"] {
        let whole = Tensor::read_safetensors(&path).unwrap();
        let pair = ["lora_A", "lora_B"].map(|part| format!("base_model.model.{module}.{part}.weight"));
        let added = [
            (pair[0].clone(), Tensor::ones([2, 32], tch::kind::FLOAT_CPU)),
            (pair[1].clone(), Tensor::ones([97, 2], tch::kind::FLOAT_CPU)),
        ];
        let tensors: Vec<_> = whole.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).chain(added).collect();
        super::super::save::write_tensors(&path, &tensors).unwrap();
        let error = go_on(new_adapter(2)).unwrap_err().to_string();
        assert!(error.contains(module) && error.contains("adapter_model.safetensors"), "{error}");
        super::super::save::write_tensors(&path, &whole).unwrap();
    }
}
