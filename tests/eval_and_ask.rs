//! `mempack eval` measures the program that `mempack ask` is: the same questions get the same answers.
#![cfg(feature = "engine")]

mod common;

use std::fs;

use common::{Bench, build_args, json_lines, root, run, tiny};

/// Questions of each sample pack, evenly spaced. `MEMPACK_QUESTIONS` asks more.
const QUESTIONS: usize = 12;
const MAX_TOKENS: &str = "24";

#[test]
fn eval_and_ask_give_the_same_answers() {
    let limit = std::env::var("MEMPACK_QUESTIONS").map_or(QUESTIONS, |number| number.parse().expect("a number"));
    let tiny = tiny();
    let model = tiny.to_string_lossy();
    let (mut asked, mut several_chunks) = (0, 0);
    for domain in ["legal", "medical"] {
        let bench = Bench::new();
        let folder = root().join("kb-samples").join(domain);
        let pack = bench.path("sample.mpk");
        run(build_args(&folder.join("corpus.jsonl").to_string_lossy(), &pack, &["--codec", "SQ8"])).ok();
        // Greedy, the pack's own memories, no overlap filter; k, precision and length are the same for both.
        let (questions, details) = (folder.join("questions.jsonl"), bench.path("details.jsonl"));
        let limit = limit.to_string();
        let shared = ["--model", &model, "--precision", "f32", "--threads", "1", "-k", "5", "--max-tokens", MAX_TOKENS];
        let mut eval = vec!["eval", questions.to_str().expect("UTF-8"), "--pack", &pack, "--limit", &limit, "--details", &details];
        eval.extend(["--modes", "memory_quantized", "--overlap", "1", "--json"]);
        run(eval.iter().chain(&shared)).ok();
        for row in json_lines(&fs::read_to_string(&details).expect("details")) {
            let question = row["question"].as_str().expect("a question");
            let answer = json_lines(&run(["ask", &pack, question, "--json"].iter().chain(&shared)).ok()).remove(0);
            let Some(outcome) = row["outcomes"].get(0) else { continue };
            assert_eq!(outcome["answer"], answer["answer"], "{domain}: {question}");
            assert_eq!((&outcome["prompt_tokens"], &outcome["answer_tokens"]), (&answer["prompt_tokens"], &answer["tokens"]));
            asked += 1;
            several_chunks += usize::from(answer["chunks"].as_array().map(Vec::len) > Some(1));
        }
    }
    println!("{asked} questions, {several_chunks} of several chunks: the same answers");
    assert!(asked >= QUESTIONS && several_chunks > 0, "{asked} answers, {several_chunks} of several chunks: nothing is compared");
}
