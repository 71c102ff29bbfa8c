//! What a run and its model must agree on, and what the saved model says of its training.

mod common;

use common::{Bench, run};

const QUESTIONS: &str = "kind = \"questions\"\npool = 4\nreads = [1, 2]\nquestions = 1\nwrite = { keep = [[0, 8]] }\n";
const ASKED: &str = "[[stage.learn.ask.sources]]\ncorpora = [\"fiction/corpus.jsonl\"]\nquestions = [\"fiction/questions.jsonl\"]";

fn config(bench: &Bench, name: &str, learn: &str) -> mempack_trainer::TrainConfig {
    bench.config(name, &format!("MODEL\nmemory = \"memory.json\"\nADAPTER\n[[stage]]\nsteps = 1\nbatch = 2\n[stage.learn]\n{learn}"))
}

/// The tiny model has 2048 positions. Its prefix, the memories and the BOS take some of them.
#[test]
fn sequences_beyond_the_context_are_refused_before_the_first_step() {
    let bench = Bench::new();
    bench.memory_with_context_template();
    let corpora = "corpora = [\"fiction/corpus.jsonl\"]\n";
    let cases = [
        ("text", format!("kind = \"text\"\n{corpora}length = LENGTH\n"), "length"),
        (
            "continual",
            format!("kind = \"continual\"\n{corpora}references = [\"fiction/corpus.jsonl\"]\nlength = LENGTH\nwrite = {{}}\n"),
            "length",
        ),
        ("copy", "kind = \"copy\"\nlength = LENGTH\n".to_owned(), "length"),
        ("questions", format!("{QUESTIONS}length = LENGTH\nQUESTIONS\n"), "length"),
        (
            "distil",
            format!("kind = \"distil\"\n[stage.learn.ask]\n{}length = LENGTH\n{ASKED}\n", QUESTIONS.replace("kind = \"questions\"\n", "")),
            "ask.length",
        ),
    ];
    for (name, learn, field) in cases {
        for length in [1920, 4000] {
            let refused = config(&bench, name, &learn.replace("LENGTH", &length.to_string()));
            let error = run(&refused, None).0.unwrap_err().to_string();
            for words in [format!("`stage 0: {field}`"), format!("found {length}"), "2048 positions".into(), "at most 19".into()] {
                assert!(error.contains(&words), "{name}: {error}");
            }
            assert!(!refused.output.join("log.jsonl").exists(), "{name}: no step was done");
        }
    }
    // The longest that fits is no error of the length.
    let longest = config(&bench, "longest", &format!("{QUESTIONS}length = 1900\nQUESTIONS\n"));
    run(&longest, None).0.unwrap();
}

#[test]
fn the_saved_model_says_what_it_learnt_to_say() {
    let bench = Bench::new();
    bench.memory_with_context_template();
    let unanswerable = "{\"id\": \"n\", \"question\": \"Who?\", \"answers\": [], \"gold_ids\": [], \"answerable\": false}\n";
    std::fs::write(bench.output("none.jsonl"), unanswerable).unwrap();
    let more = "[[stage.learn.sources]]\ncorpora = [\"fiction/corpus.jsonl\"]\nquestions = [\"none.jsonl\"]";
    let own = "no_answer = \"no reference says\"";
    for (name, fields, sources, expected) in [
        ("default", "withheld = 0.5", "", Some("The references do not tell.")),
        ("own", &*format!("withheld = 0.5\n{own}"), "", Some("No reference says.")),
        ("of questions", own, more, Some("No reference says.")),
        ("not taught", own, "", None),
    ] {
        let config = config(&bench, name, &format!("{QUESTIONS}length = 96\n{fields}\nQUESTIONS\n{sources}\n"));
        let folder = run(&config, None).0.unwrap().folder;
        let block: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.join("memory.json")).unwrap()).unwrap();
        assert_eq!(block["no_answer"].as_str(), expected, "{name}");
        // The block can be read again.
        let base = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/tiny");
        let options = mempack_model::LoadOptions { base: Some(base), ..Default::default() };
        mempack_model::Model::load(&folder, &options).unwrap();
    }
}
