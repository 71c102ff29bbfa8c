//! Trained weights are saved and loaded again in the layouts of other programs.

use std::path::Path;

use serde_json::Value;
use tch::Kind;

use super::support::{Case, MODELS, fill_b, folder, keeping, largest, load, lost, new_adapter, options};
use crate::training::{AdamW, AdamWConfig, AdapterOptions, Learning, SaveError, Trainee};
use crate::{LoadOptions, Model, Precision, ReaderOptions};

/// Logits of the case's text without memories.
fn plain(model: &Model, case: &Case) -> Vec<f32> {
    let text = &case.text[..40];
    let mut reader = model.reader(&ReaderOptions { capacity: 1 + text.len(), prefix: false }).unwrap();
    reader.prompt(text, &[], true).unwrap()
}

/// Trains for some steps.
fn train(trainee: &mut Trainee, case: &Case) {
    let mut optimizer = AdamW::new(AdamWConfig::default(), trainee).unwrap();
    for _ in 0..3 {
        lost(trainee, case, &keeping(8)).backward(0.01).unwrap();
        optimizer.step(trainee, 1e-2).unwrap();
    }
}

/// Loads a saved folder in f32, an adapter over `base`.
fn again(saved: &Path, base: &Path) -> Model {
    Model::load(saved, &LoadOptions { base: Some(base.to_owned()), ..options(Precision::F32) }).unwrap()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn logits_are_those_of_the_trainee() {
    for name in MODELS {
        for learning in [Learning::Everything, new_adapter(4)] {
            let (dir, case) = (folder(name), Case::read(name));
            let mut trainee = load(dir.path(), &learning);
            let begun = plain(trainee.model(), &case);
            assert_eq!(begun, plain(&again(dir.path(), dir.path()), &case), "{name}: nothing has been learnt yet");
            train(&mut trainee, &case);
            let learnt = plain(trainee.model(), &case);
            let change = largest(&learnt, &begun);
            for (precision, folder) in [(Precision::F32, "full"), (Precision::Bf16, "half")] {
                let saved = dir.path().join(folder);
                trainee.save(&saved, precision).unwrap();
                let off = largest(&plain(&again(&saved, dir.path()), &case), &learnt);
                println!("{name} {precision}: training moved logits by {change:.1e}, saving by {off:.1e}");
                assert!(change > 0.1 && off < if precision == Precision::F32 { 1e-4 } else { 0.1 * change }, "{name}: {off} of {change}");
            }
        }
    }
}

#[test]
fn a_model_is_a_folder_like_the_one_it_came_from() {
    for (name, tied, biased) in [("llama_gqa", false, false), ("llama_mha", true, false), ("qwen2_bias", true, true)] {
        let dir = folder(name);
        let trainee = load(dir.path(), &Learning::Everything);
        let saved = dir.path().join("saved");
        trainee.save(&saved, Precision::F32).unwrap();
        let tensors = |folder: &Path| {
            let mut tensors = tch::Tensor::read_safetensors(folder.join("model.safetensors")).unwrap();
            tensors.sort_by(|a, b| a.0.cmp(&b.0));
            tensors
        };
        let (ours, theirs) = (tensors(&saved), tensors(dir.path()));
        let names = |tensors: &[(String, tch::Tensor)]| tensors.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&ours), names(&theirs), "{name}");
        assert_eq!(ours.iter().any(|(tensor, _)| tensor == "lm_head.weight"), !tied, "{name}");
        assert_eq!(ours.iter().any(|(tensor, _)| tensor.ends_with("q_proj.bias")), biased, "{name}");
        assert!(ours.iter().zip(&theirs).all(|((_, a), (_, b))| a.equal(b)), "{name}: nothing was learnt");
        let (ours, theirs) = (json(&saved.join("config.json")), json(&dir.path().join("config.json")));
        for (field, value) in theirs.as_object().unwrap().iter().filter(|(field, _)| *field != "memory") {
            assert_eq!(&ours[field], value, "{name}: {field}");
        }
        for (field, value) in theirs["memory"].as_object().unwrap() {
            assert_eq!(&ours["memory"][field], value, "{name}: memory.{field}");
        }
        assert_eq!(std::fs::read(saved.join("tokenizer.json")).unwrap(), std::fs::read(dir.path().join("tokenizer.json")).unwrap());
        let half = dir.path().join("half");
        trainee.save(&half, Precision::Bf16).unwrap();
        // Only one of the two fields for the type is written.
        let config = json(&half.join("config.json"));
        let dtypes: Vec<_> = ["dtype", "torch_dtype"].iter().filter_map(|field| config[field].as_str()).collect();
        assert_eq!(dtypes, ["bfloat16"], "{name}");
        assert!(tensors(&half).iter().all(|(_, tensor)| tensor.kind() == Kind::BFloat16));
    }
}

/// A head is trained separately from the embedding where the configuration does not tie them, and a file with a head of its own must not
/// say that they are tied.
#[test]
fn a_head_that_learnt_by_itself_is_not_tied() {
    let (dir, case) = (folder("llama_gqa"), Case::read("llama_gqa"));
    let mut trainee = load(dir.path(), &Learning::Everything);
    train(&mut trainee, &case);
    let saved = dir.path().join("saved");
    trainee.save(&saved, Precision::F32).unwrap();
    assert_eq!(json(&saved.join("config.json"))["tie_word_embeddings"], false);
    assert!(largest(&plain(&again(&saved, dir.path()), &case), &plain(trainee.model(), &case)) < 1e-4);
    let mut config = json(&saved.join("config.json"));
    config["tie_word_embeddings"] = true.into();
    std::fs::write(saved.join("config.json"), config.to_string()).unwrap();
    let error = Trainee::load(&saved, &options(Precision::F32), &Learning::Everything).err().unwrap().to_string();
    assert!(error.contains("lm_head.weight") && error.contains("tie_word_embeddings"), "{error}");
}

#[test]
fn an_adapter_goes_on_and_is_written_as_it_was() {
    for name in MODELS {
        let (dir, case) = (folder(name), Case::read(name));
        let targets = vec!["q_proj".to_owned(), "down_proj".to_owned()];
        let wanted = Learning::Adapter(AdapterOptions { rank: 3, alpha: 5.0, targets, seed: 1 });
        let mut trainee = load(dir.path(), &wanted);
        train(&mut trainee, &case);
        let first = dir.path().join("first");
        trainee.save(&first, Precision::Bf16).unwrap();
        let base = LoadOptions { base: Some(dir.path().to_owned()), ..options(Precision::F32) };
        // The existing adapter's settings hold, not those for a new one.
        let other = Learning::Adapter(AdapterOptions { rank: 3, alpha: 77.0, targets: Vec::new(), seed: 2 });
        let went_on = Trainee::load(&first, &base, &other).unwrap();
        assert_eq!(plain(went_on.model(), &case).len(), plain(trainee.model(), &case).len());
        let off = largest(&plain(went_on.model(), &case), &plain(&again(&first, dir.path()), &case));
        assert!(off < 1e-4, "{name}: {off}");
        let second = dir.path().join("second");
        went_on.save(&second, Precision::Bf16).unwrap();
        for file in ["adapter_config.json", "adapter_model.safetensors", "memory.json"] {
            assert_eq!(std::fs::read(first.join(file)).unwrap(), std::fs::read(second.join(file)).unwrap(), "{name}: {file}");
        }
        let config = json(&first.join("adapter_config.json"));
        assert_eq!((&config["r"], &config["lora_alpha"]), (&3.into(), &5.0.into()));
        assert_eq!(config["target_modules"], serde_json::json!(["down_proj", "q_proj"]));
        assert_eq!(config["base_model_name_or_path"], dir.path().file_name().unwrap().to_str().unwrap());
    }
}

#[test]
fn an_adapter_folder_can_be_trained_whole() {
    let (dir, case) = (folder("qwen2_bias"), Case::read("qwen2_bias"));
    let mut trainee = load(dir.path(), &new_adapter(2));
    fill_b(&mut trainee, 0.1);
    let adapter = dir.path().join("adapter");
    trainee.save(&adapter, Precision::F32).unwrap();
    let base = LoadOptions { base: Some(dir.path().to_owned()), ..options(Precision::F32) };
    let whole = Trainee::load(&adapter, &base, &Learning::Everything).unwrap();
    let saved = dir.path().join("whole");
    whole.save(&saved, Precision::F32).unwrap();
    assert!(!saved.join("adapter_config.json").exists());
    let off = largest(&plain(&again(&saved, dir.path()), &case), &plain(trainee.model(), &case));
    assert!(off < 1e-4, "{off}");
}

#[test]
fn a_folder_that_is_there_is_left_alone() {
    let dir = folder("llama_mha");
    let trainee = load(dir.path(), &new_adapter(2));
    let target = dir.path().join("taken");
    std::fs::create_dir(&target).unwrap();
    let error = trainee.save(&target, Precision::F32).unwrap_err();
    assert!(matches!(&error, SaveError::Io { path, .. } if *path == target), "{error}");
    assert!(std::fs::read_dir(&target).unwrap().next().is_none());
    let left = std::fs::read_dir(dir.path()).unwrap().filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().contains(".part-"));
    assert_eq!(left.count(), 0);
}

/// Weights have the same permissions as the configuration beside them.
#[cfg(unix)]
#[test]
fn files_are_as_open_as_any() {
    use std::os::unix::fs::PermissionsExt;
    let dir = folder("llama_mha");
    let saved = dir.path().join("saved");
    load(dir.path(), &new_adapter(2)).save(&saved, Precision::F32).unwrap();
    let mode = |name: &str| std::fs::metadata(saved.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("adapter_model.safetensors"), mode("adapter_config.json"));
}
