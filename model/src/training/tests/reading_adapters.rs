//! Reading adapters: what they change, what they leave to the bit, and what is refused.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tch::Tensor;

use super::gradients::check_gradients;
use super::support::{
    Case, MODELS, fill_b, folder, folder_with_budget, keeping, largest, load, lost, new_adapter, new_reading_adapter, options,
};
use crate::training::save::write_tensors;
use crate::training::{Learning, Trainee};
use crate::{Decoder, LoadOptions, Memory, Model, Precision, ReaderOptions, Slot};

const TARGETS: [&str; 2] = ["v_proj", "down_proj"];

/// A writer: the model of a fixture, or an adapter on it. The adapter's folder has another name than its own base's.
struct Writer {
    dir: tempfile::TempDir,
    folder: PathBuf,
}

impl Writer {
    fn new(dir: tempfile::TempDir, adapted: bool) -> Self {
        let mut folder = dir.path().to_owned();
        if adapted {
            let mut trainee = load(dir.path(), &new_adapter(2));
            fill_b(&mut trainee, 0.1);
            folder = dir.path().join("writer");
            trainee.save(&folder, Precision::F32).unwrap();
        }
        Self { dir, folder }
    }

    /// The base is named where the writer is an adapter, which does not know its base's folder.
    fn options(&self) -> LoadOptions {
        let base = (self.folder != self.dir.path()).then(|| self.dir.path().to_owned());
        LoadOptions { base, ..options(Precision::F32) }
    }

    fn model(&self) -> Model {
        Model::load(&self.folder, &self.options()).unwrap()
    }

    /// A reading adapter that changes something, in training and in a folder.
    fn read(&self, targets: &[&str]) -> (Trainee, PathBuf) {
        let mut trainee = Trainee::load(&self.folder, &self.options(), &new_reading_adapter(2, targets)).unwrap();
        fill_b(&mut trainee, 0.1);
        let reader = self.dir.path().join("runs/reader");
        std::fs::create_dir_all(self.dir.path().join("runs")).unwrap();
        trainee.save(&reader, Precision::F32).unwrap();
        (trainee, reader)
    }
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn edit(path: &Path, edit: impl FnOnce(&mut Value)) {
    let mut value = read(path);
    edit(&mut value);
    std::fs::write(path, value.to_string()).unwrap();
}

/// Logits of the case's text, which reads the first of `memories`.
fn logits(model: &Model, memories: &[Memory], case: &Case) -> Vec<f32> {
    let slots = memories.iter().take(3).map(|memory| Slot { memory, similarity: 0.5 }).collect();
    let mut reader = model.reader(&ReaderOptions { capacity: 1 + case.text.len(), prefix: true }).unwrap();
    reader.prompt(&case.text, &[slots], true).unwrap()
}

#[test]
fn writing_is_the_writers_to_the_bit_and_reading_changes() {
    for name in MODELS {
        for adapted in [false, true] {
            let what = format!("{name}, adapted {adapted}");
            let writer = Writer::new(if adapted { folder_with_budget(name) } else { folder(name) }, adapted);
            let (plain, case) = (writer.model(), Case::short(name));
            let expected = plain.write(&case.references()).unwrap();
            let (trainee, folder) = writer.read(&TARGETS);
            let model = Model::load(&folder, &writer.options()).unwrap();
            assert_eq!((plain.identity(), plain.identity()), (model.identity(), trainee.model().identity()), "{what}");
            for model in [trainee.model(), &model, &model.share(), model.writer()] {
                assert!(model.write(&case.references()).unwrap() == expected, "{what}: other memories");
            }
            let [before, learnt, loaded] = [&plain, trainee.model(), &model].map(|model| logits(model, &expected, &case));
            assert!(before == logits(model.writer(), &expected, &case), "{what}: the writer reads otherwise");
            let (moved, off) = (largest(&before, &learnt), largest(&learnt, &loaded));
            println!("{what}: reading moved logits by {moved:.1e}, merging by {off:.1e}");
            assert!(moved > 1e-2 && off < 1e-4, "{what}: {moved} {off}");
            // In training too, whatever the adapter is.
            let write = crate::training::WriteOptions { keep: None, ..keeping(8) };
            let untrained = Trainee::load(&writer.folder, &writer.options(), &new_reading_adapter(2, &TARGETS)).unwrap();
            let [changed, untrained] = [&trainee, &untrained].map(|trainee| trainee.write(&case.references(), &write).unwrap());
            for (a, b) in changed.layers.iter().flatten().zip(untrained.layers.iter().flatten()) {
                assert!(a.keys.equal(&b.keys) && a.values.equal(&b.values) && !a.values.requires_grad(), "{what}");
            }
            // Packs do not know the reader; programs do.
            let adapter = model.reading_adapter().unwrap();
            assert_eq!((adapter.name.as_str(), plain.reading_adapter()), ("reader", None));
            assert!(Some(adapter.digest) != plain.identity().adapter);
        }
    }
}

#[test]
fn weights_that_the_reader_does_not_change_are_shared() {
    let writer = Writer::new(folder("llama_gqa"), true);
    for (targets, precision) in [(&["down_proj"][..], Precision::F32), (&["k_proj", "gate_proj"], Precision::Bf16)] {
        let (_, folder) = writer.read(targets);
        let model = Model::load(&folder, &LoadOptions { precision, ..writer.options() }).unwrap();
        let (reads, writes) = (model.decoder(), model.writer().decoder());
        let twice = |(a, b): (&Tensor, &Tensor)| if a.data_ptr() == b.data_ptr() { 0 } else { a.numel() * a.kind().elt_size_in_bytes() };
        let linears = |decoder: &'_ Decoder| -> Vec<Tensor> {
            decoder.layers.iter().flat_map(|layer| layer.linears()).map(|linear| linear.weight.shallow_clone()).collect()
        };
        let (own, writers) = (linears(reads), linears(writes));
        let bytes: usize = own.iter().zip(&writers).map(twice).sum();
        let others =
            [(&reads.embedding, &writes.embedding), (&reads.head, &writes.head), (&reads.final_norm.weight, &writes.final_norm.weight)];
        assert_eq!(others.into_iter().map(twice).sum::<usize>(), 0);
        let changed = own.iter().zip(&writers).filter(|pair| twice(*pair) > 0).count();
        assert_eq!((changed, bytes as u64), (reads.layers.len() * targets.len(), model.reading_adapter().unwrap().extra_bytes));
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[test]
fn gradients_through_reading_alone() {
    for name in MODELS {
        let writer = Writer::new(folder(name), name == MODELS[0]);
        let case = Case::short(name);
        let mut trainee = Trainee::load(&writer.folder, &writer.options(), &new_reading_adapter(2, &[])).unwrap();
        fill_b(&mut trainee, 0.1);
        let write = keeping(8);
        lost(&trainee, &case, &write).backward(1.0).unwrap();
        let value = |trainee: &Trainee| lost(trainee, &case, &write).sum().unwrap();
        check_gradients(name, &mut trainee, &case, &write, &value);
    }
}

#[test]
fn a_reading_adapter_is_trained_further() {
    let writer = Writer::new(folder("llama_mha"), true);
    let (first, folder) = writer.read(&TARGETS);
    // With its targets, and from its weights.
    let again = Trainee::load(&folder, &writer.options(), &new_reading_adapter(2, &[])).unwrap();
    assert_eq!(again.learnt(), first.learnt());
    assert!(again.parameters.iter().zip(&first.parameters).all(|(a, b)| a.name == b.name && a.master.equal(&b.master)));
    let second = writer.dir.path().join("second");
    again.save(&second, Precision::F32).unwrap();
    let [a, b] = [&folder, &second].map(|folder| (read(&folder.join("memory.json")), read(&folder.join("adapter_config.json"))));
    assert_eq!((&a.0, a.1["base_model_name_or_path"].as_str()), (&b.0, Some("../../writer")));
    assert_eq!(b.1["base_model_name_or_path"], "../writer");
    let digests = [folder, second].map(|folder| Model::load(&folder, &writer.options()).unwrap().reading_adapter().unwrap().digest);
    assert_eq!(digests[0], digests[1]);
}

/// Fields of the reader's own, and those that memories depend on.
#[test]
fn the_block_may_change_what_concerns_reading_alone() {
    let writer = Writer::new(folder("llama_mha"), false);
    edit(&writer.folder.join("config.json"), |config| {
        config["memory"]["similarity_margin"] = json!(0.5);
        config["memory"]["no_answer"] = json!("w5");
    });
    let plain = writer.model();
    let (_, folder) = writer.read(&TARGETS);
    let path = folder.join("memory.json");
    let written = read(&path);
    assert_eq!((&written["reads_only"], &written["writer"]["adapter"]), (&json!(true), &Value::Null));
    assert_eq!(written["writer"]["weights"], plain.identity().weights.to_string());
    let model = || Model::load(&folder, &writer.options());
    assert_eq!(model().unwrap().memory(), plain.memory());
    // Only some fields; null stands for the default.
    let head = json!({"reads_only": true, "writer": written["writer"].clone()});
    let with = |field: &str, value: Value| {
        let mut whole = head.clone();
        whole[field] = value;
        std::fs::write(&path, whole.to_string()).unwrap();
    };
    for (field, value) in [
        ("memories_per_chunk", json!(3)),
        ("retrieval_interval", json!(32)),
        ("prompt_template", json!("w1 {question} w2")),
        ("context_template", json!("{text} {question}")),
        ("stop_ids", json!([7])),
        ("stop", json!(["w3"])),
        ("similarity_bias", json!(2.0)),
        ("similarity_margin", Value::Null),
        ("answer_threshold", json!(-0.5)),
        ("no_answer", json!("w9 w9")),
    ] {
        with(field, value.clone());
        let model = model().unwrap();
        assert_ne!(model.memory(), plain.memory(), "{field}");
        assert_eq!(model.memory().to_whole_json()[field], value, "{field}");
        assert_eq!((model.writer().memory(), model.identity()), (plain.memory(), plain.identity()), "{field}");
        // Nor do settings of an evaluation change how the writer reads.
        let more = model.with_memory(crate::MemoryConfig { tokens_per_head: 2.into(), ..model.memory().clone() }).unwrap();
        assert_eq!(more.writer().memory(), &crate::MemoryConfig { tokens_per_head: 2.into(), ..plain.memory().clone() }, "{field}");
        assert_eq!((more.identity(), more.identity().shape.tokens), (more.writer().identity(), 2), "{field}");
    }
    for (field, value) in [
        ("first_memory_layer", json!(0)),
        ("num_memory_layers", json!(1)),
        ("tokens_per_head", json!(7)),
        ("reference_length", json!(100)),
        ("reference_prefix_ids", json!([4, 5, 6])),
        ("reference_template", json!("w1 {text}")),
        ("reference_template", json!("no mark")),
        ("prompt_template", json!("no mark")),
        ("something_new", json!(0.5)),
        ("writer", Value::Null),
        ("reads_only", json!("yes")),
    ] {
        with(field, value.clone());
        let error = model().err().unwrap_or_else(|| panic!("{field} {value} is accepted")).to_string();
        assert!(error.contains("memory.json") && error.contains(&format!("`{field}`")), "{error}");
    }
    // A block that the caller gives is held to the same.
    with("stop", json!(["w3"]));
    let block = writer.dir.path().join("block.json");
    let given = LoadOptions { memory: Some(block.clone()), ..writer.options() };
    std::fs::write(&block, r#"{"tokens_per_head": 1}"#).unwrap();
    for folder in [&folder, &writer.folder] {
        let error = Trainee::load(folder, &given, &new_reading_adapter(2, &[])).err().unwrap().to_string();
        assert!(error.contains("block.json") && error.contains("`tokens_per_head`: expected 4, as the writer has it"), "{error}");
    }
}

#[test]
fn another_writer_is_refused() {
    let writer = Writer::new(folder("llama_mha"), true);
    let (_, reader) = writer.read(&TARGETS);
    let (digest, adapter) = (writer.model().identity().weights.to_string(), writer.model().identity().adapter.unwrap().to_string());
    let load = |options: &LoadOptions| Model::load(&reader, options).err().expect("a refusal").to_string();
    let other = |name: &str, targets: &[&str]| {
        edit(&reader.join("adapter_config.json"), |config| config["base_model_name_or_path"] = name.into());
        let error = load(&writer.options());
        targets.iter().for_each(|part| assert!(error.contains(part), "{error}"));
    };
    // The base without its adapter; another adapter; a base with other weights; none; itself.
    other("../..", &["memory.json", "`writer.adapter`", &adapter, "none"]);
    let mut trainee = load_adapter(&writer);
    fill_b(&mut trainee, 0.2);
    trainee.save(&writer.dir.path().join("other"), Precision::F32).unwrap();
    other("../../other", &["`writer.adapter`", &adapter, "train the reading adapter on this one"]);
    other("../../nothing", &["the reading adapter's writer `../../nothing` is not found", "base_model_name_or_path"]);
    other("../reader", &["`reads_only`", "writes memories too"]);
    edit(&reader.join("adapter_config.json"), |config| config["base_model_name_or_path"] = "../../writer".into());
    let base = folder("llama_gqa");
    let second = folder("llama_mha");
    let path = second.path().join("model.safetensors");
    let mut tensors = Tensor::read_safetensors(&path).unwrap();
    tensors[0].1 = &tensors[0].1 * 1.5;
    write_tensors(&path, &tensors).unwrap();
    let error = load(&LoadOptions { base: Some(second.path().to_owned()), ..options(Precision::F32) });
    assert!(error.contains("`writer.weights`") && error.contains(&digest), "{error}");
    load(&LoadOptions { base: Some(base.path().to_owned()), ..options(Precision::F32) });
}

fn load_adapter(writer: &Writer) -> Trainee {
    Trainee::load(writer.dir.path(), &options(Precision::F32), &new_adapter(2)).unwrap()
}

/// It writes nothing, so it stands for no model that does.
#[test]
fn a_reading_adapter_is_no_model_alone() {
    let writer = Writer::new(folder("llama_mha"), true);
    let (trainee, reader) = writer.read(&TARGETS);
    let refused = |error: Option<crate::LoadError>| {
        let error = error.expect("a refusal").to_string();
        assert!(error.contains("memory.json") && error.contains("`reads_only`") && error.contains("name the writer"), "{error}");
    };
    refused(Decoder::load(&reader, &writer.options()).err());
    for learning in [Learning::Everything, new_adapter(2)] {
        refused(Trainee::load(&reader, &writer.options(), &learning).err());
    }
    let case = Case::short("llama_mha");
    let error = trainee.model().decoder().write(&case.references()).err().unwrap().to_string();
    assert!(error.contains("reading adapter"), "{error}");
    // The base without any adapter, with the block of the reader.
    edit(&reader.join("memory.json"), |block| block["stop"] = json!(["w3"]));
    let base = Model::load_base(&reader, &writer.options()).unwrap().unwrap();
    assert_eq!((base.identity().adapter, &base.memory().stop[..]), (None, &["w3".to_owned()][..]));
    let plain = Model::load(writer.dir.path(), &options(Precision::F32)).unwrap();
    let [a, b] = [&base, &plain].map(|model| logits(model, &[], &case));
    assert!(a == b);
}

#[test]
fn a_reading_adapter_changes_projections_alone_and_has_its_writers_tokenizer() {
    let writer = Writer::new(folder("llama_mha"), false);
    let (_, reader) = writer.read(&TARGETS);
    let load = || Model::load(&reader, &writer.options());
    let path = reader.join("adapter_model.safetensors");
    let whole = Tensor::read_safetensors(&path).unwrap();
    for module in ["model.embed_tokens", "model.layers.9.self_attn.q_proj"] {
        let pair = ["lora_A", "lora_B"].map(|part| format!("base_model.model.{module}.{part}.weight"));
        let numbers = [[2, 32], [97, 2]].map(|shape| Tensor::ones(shape, tch::kind::FLOAT_CPU));
        let added = pair.into_iter().zip(numbers);
        let tensors: Vec<_> = whole.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).chain(added).collect();
        write_tensors(&path, &tensors).unwrap();
        let error = load().err().expect("a refusal").to_string();
        assert!(error.contains(module) && error.contains("changes of the layers' projections alone"), "{error}");
    }
    write_tensors(&path, &whole[1..]).unwrap();
    assert!(load().err().expect("a refusal").to_string().contains("lora_"));
    write_tensors(&path, &whole).unwrap();
    // Tools save the tokenizer beside an adapter.
    let tokenizer = std::fs::read_to_string(writer.folder.join("tokenizer.json")).unwrap();
    std::fs::write(reader.join("tokenizer.json"), &tokenizer).unwrap();
    load().unwrap();
    std::fs::write(reader.join("tokenizer.json"), tokenizer + "\n").unwrap();
    let error = load().err().expect("a refusal").to_string();
    assert!(error.contains("tokenizer.json") && error.contains("the writer's tokenizer"), "{error}");
}

/// A token that has a role in the reader's prompt alone is text in a reference, as for the writer, and no token in a question.
#[test]
fn references_are_encoded_as_by_the_writer() {
    let writer = Writer::new(folder("llama_mha"), false);
    let path = writer.folder.join("tokenizer.json");
    edit(&path, |tokenizer| {
        tokenizer["model"]["vocab"].as_object_mut().unwrap().remove("w50");
        tokenizer["model"]["vocab"]["<ask>"] = json!(50);
        let flags = json!({"id": 50, "content": "<ask>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": false});
        tokenizer["added_tokens"] = json!([flags]);
    });
    let plain = writer.model();
    assert_eq!(crate::reference_tokens(&plain, "<ask>").unwrap(), [50]);
    let (_, reader) = writer.read(&TARGETS);
    edit(&reader.join("memory.json"), |block| block["prompt_template"] = json!("<ask>{question}"));
    let model = Model::load(&reader, &writer.options()).unwrap();
    let prompt = crate::prompt_tokens(&model, "<ask>").unwrap();
    assert!(prompt.ids[0] == 50 && !prompt.ids[prompt.question].contains(&50), "{:?}", prompt.ids);
    for model in [&model, model.writer()] {
        assert_eq!(crate::reference_tokens(model, "<ask>").unwrap(), [50]);
        let composer = crate::Composer::new(model).unwrap();
        assert_eq!(composer.compose(&composer.lead("").unwrap(), "<ask>").unwrap().ids, [50]);
    }
}
