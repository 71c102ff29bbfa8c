//! Models that are not what they seem: honoured or refused by name, through the program.
#![cfg(feature = "engine")]

mod common;

use std::fs;
use std::path::Path;

use common::{Bench, build_args, run, tiny};
use serde_json::{Value, json};

/// A copy of the quick model in `name`, with its config.json and tokenizer.json changed.
fn model(bench: &Bench, name: &str, change: impl FnOnce(&mut Value, &mut Value)) -> String {
    let folder = bench.path(name);
    fs::create_dir(&folder).expect("writable");
    fs::copy(tiny().join("model.safetensors"), format!("{folder}/model.safetensors")).expect("the quick model is there");
    let read = |file: &str| -> Value { serde_json::from_slice(&fs::read(tiny().join(file)).expect("there")).expect("JSON") };
    let (mut config, mut tokenizer) = (read("config.json"), read("tokenizer.json"));
    change(&mut config, &mut tokenizer);
    fs::write(format!("{folder}/config.json"), config.to_string()).expect("writable");
    fs::write(format!("{folder}/tokenizer.json"), tokenizer.to_string()).expect("writable");
    folder
}

fn build(corpus: &str, model: &str, pack: &str) -> Vec<String> {
    let mut args = build_args(corpus, pack, &["--codec", "SQ8"]);
    let place = args.iter().position(|arg| arg == "--model").expect("a model is named");
    args[place + 1] = model.to_owned();
    args
}

#[test]
fn a_folder_that_is_no_model() {
    let bench = Bench::new();
    let (corpus, pack) = (bench.file("a.txt", "A notice of a month."), bench.path("p.mpk"));
    let lfs = model(&bench, "lfs", |_, _| ());
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 269060544\n";
    fs::write(format!("{lfs}/model.safetensors"), pointer).expect("writable");
    run(build(&corpus, &lfs, &pack)).fails(1, &["model.safetensors", "git-LFS pointer", "git lfs pull"]);
    let gguf = bench.file("m.gguf", b"GGUF\x03\0\0\0");
    run(build(&corpus, &gguf, &pack)).fails(1, &["m.gguf", "a GGUF file", "import it"]);
    run(build(&corpus, &corpus, &pack)).fails(1, &["a.txt", "expected a folder", "a file"]);
    let file = tiny().join("config.json").display().to_string();
    run(build(&corpus, &file, &pack)).fails(1, &["config.json", "name the folder it is in", "tiny"]);
    assert!(!Path::new(&pack).exists());
}

#[test]
fn a_model_other_than_its_files_say() {
    let bench = Bench::new();
    let (corpus, pack) = (bench.file("a.txt", "A notice of a month."), bench.path("p.mpk"));
    for (number, (field, value)) in [
        ("rope_parameters", json!({"rope_theta": 500000.0, "rope_type": "default"})),
        ("rope_scaling", json!({"factor": 4.0})),
        ("partial_rotary_factor", json!(0.5)),
        ("quantization_config", json!({"quant_method": "fp8"})),
        ("something_new", json!(2)),
    ]
    .into_iter()
    .enumerate()
    {
        let model = model(&bench, &format!("m{number}"), |config, _| config[field] = value);
        run(build(&corpus, &model, &pack)).fails(1, &["config.json", field]);
    }
}

/// The names of control tokens in a question are as many tokens whether or not tokenizer.json marks them as special.
#[test]
fn a_question_holds_no_control_tokens() {
    let bench = Bench::new();
    let corpus = bench.file("a.txt", "A notice of a month.");
    let tokens = |name: &str, special: bool| {
        let model = model(&bench, name, |_, tokenizer| {
            for token in tokenizer["added_tokens"].as_array_mut().expect("a list") {
                token["special"] = special.into();
            }
        });
        let pack = bench.path(&format!("{name}.mpk"));
        run(build(&corpus, &model, &pack)).ok();
        let answer = run(["ask", &pack, "Dose</s></s></s></s>", "--model", &model, "--json"]).ok();
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        answer["prompt_tokens"].as_u64().expect("a number")
    };
    assert_eq!(tokens("special", true), tokens("plain", false));
}

/// An answer ends at tokens that only generation_config.json names: here all of them.
#[test]
fn an_answer_ends_where_generation_config_says() {
    let bench = Bench::new();
    let corpus = bench.file("a.txt", "The notice period of a lease is three months.");
    let answer = |name: &str, eos: &[u32]| -> Value {
        let model = model(&bench, name, |_, _| ());
        fs::write(format!("{model}/generation_config.json"), json!({"eos_token_id": eos}).to_string()).expect("writable");
        let pack = bench.path(&format!("{name}.mpk"));
        run(build(&corpus, &model, &pack)).ok();
        let answer = run(["ask", &pack, "notice?", "--model", &model, "--json", "--max-tokens", "8"]).ok();
        serde_json::from_str(&answer).expect("JSON")
    };
    let whole = answer("one", &[2]);
    assert!(whole["tokens"].as_u64() > Some(0), "{whole}");
    let all = answer("all", &(2..1536).collect::<Vec<u32>>());
    assert_eq!((&all["tokens"], &all["stop"]), (&json!(0), &json!("end of text")), "{all}");
}
