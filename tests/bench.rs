//! `mempack bench`, through the real binary, with the quick model.

use std::fs;

use serde_json::{Value, json};

mod common;
use common::{Bench, Ran, object, run, tiny};

fn corpus() -> String {
    let text = |i: usize| format!("The lease of house {i} ends after {} years, and the tenant keeps the garden until then.", 2 + i);
    (0..12).map(|i| format!("{}\n", json!({"id": format!("lease-{i}"), "title": "Lease", "text": text(i)}))).collect()
}

fn bench(args: &[&str], more: &[&str]) -> Ran {
    let model = tiny();
    run(["bench", "--model", &model.to_string_lossy(), "--tokens", "3", "--rounds", "2"].iter().chain(args).chain(more))
}

#[test]
fn every_case_has_its_figures_and_a_bar() {
    let work = Bench::new();
    let (exact, lossy) = (work.pack("exact", &corpus(), &["--codec", "bf16"]), work.pack("lossy", &corpus(), &["--codec", "SQ8"]));
    let figure = work.path("speed.svg");
    let varied = ["--batch", "2", "--memories", "1,7", "--input", "8"];
    let report = object(&bench(&[&exact, &lossy], &[&varied[..], &["--json", "--figure", &figure]].concat()).ok());
    let rows = report["rows"].as_array().expect("rows");
    let name = |row: &Value| format!("{} {} {} {}", row["pack"], row["reads"].as_str().expect("a text"), row["batch"], row["input"]);
    let names: Vec<String> = rows.iter().map(name).collect();
    let first = [
        "0 5 memories 1 64",
        "0 nothing 1 64",
        "0 5 texts 1 64",
        "0 5 memories 2 64",
        "0 nothing 2 64",
        "0 5 texts 2 64",
        "0 1 memory 1 64",
        "0 7 memories 1 64",
        "0 5 memories 1 8",
        "0 nothing 1 8",
        "0 5 texts 1 8",
    ];
    let second = ["1 5 memories 1 64", "1 5 memories 2 64", "1 1 memory 1 64", "1 7 memories 1 64", "1 5 memories 1 8"];
    assert_eq!(names, [&first[..], &second].concat());
    for row in rows {
        for figure in ["tokens_per_second", "decoding_tokens_per_second", "first_token_ms"] {
            let [min, median, max] = ["min", "median", "max"].map(|end| row[figure][end].as_f64().expect("a number"));
            assert!(0.0 < min && min <= median && median <= max, "{row}");
        }
        let parts: Vec<f64> = row["parts_ms"].as_array().expect("parts").iter().map(|part| part.as_f64().expect("a number")).collect();
        let (searches, loads) = (row["reads"] != "nothing", row["reads"].as_str().expect("a text").contains("memor"));
        assert_eq!(parts.iter().map(|part| *part > 0.0).collect::<Vec<_>>(), [searches, loads, true, true], "{row}");
    }
    let svg = fs::read_to_string(&figure).expect("the figure");
    assert!(svg.starts_with("<svg ") && svg.contains("7 memories of pack 2, batch 1, input 64") && svg.contains("generation"), "{svg}");

    // Questions of a file take the place of texts.
    let questions = work.file("questions.jsonl", "{\"id\": 1, \"question\": \"When does the lease of house 3 end?\"}\n");
    let table = bench(&[&lossy, "--questions", &questions], &["--batch", "1", "--memories", "2"]).ok();
    assert!(table.contains("2 memories") && table.contains("retrieval") && table.contains("lossy.mpk, SQ8"), "{table}");

    // The last turn of a conversation.
    let varied = ["--batch", "1", "--memories", "5", "--input", "64", "--turns", "3"];
    let report = object(&bench(&[&lossy], &[&varied[..], &["--json"]].concat()).ok());
    assert_eq!((&report["turns"], report["rows"].as_array().expect("rows").len()), (&json!(3), 3));
    assert!(bench(&[&lossy], &varied).ok().contains("the last of 3 turns of a conversation"));
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let work = Bench::new();
    let pack = work.pack("corpus", &corpus(), &["--codec", "SQ8"]);
    for (option, value, words) in [("--batch", "0", "batch is 0"), ("--memories", "0,3", "memories is 0"), ("--input", "5000", "1 to 4096")]
    {
        bench(&[&pack, option, value], &[]).fails(2, &[words]);
    }
    bench(&[&pack, "--input", "4000"], &["--batch", "1", "--memories", "1"]).fails(1, &["ask a shorter question"]);
    bench(&[&pack, "--figure", &pack], &[]).fails(2, &["--figure"]);
    let questions = work.file("questions.jsonl", "{\"id\": 1, \"question\": \"Who?\"}\n");
    bench(&[&pack, "--questions", &questions, "--input", "8"], &[]).fails(2, &["--input"]);
    bench(&[], &[]).fails(2, &["PACKS"]);
}
