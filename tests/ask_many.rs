//! `ask --questions`: many answers at once, through the real binary, with the quick model.

use serde_json::{Value, json};

mod common;
use common::{Bench, Ran, json_lines, run, tiny};

/// Leases with a number each, and a question about each number.
fn corpus() -> (String, Vec<String>) {
    let place = |i: usize| format!("{}{}", ["Arvo", "Belda", "Corrin", "Dessau", "Elmar"][i % 5], i);
    let document = |i: usize| json!({"id": format!("lease-{i}"), "title": "Lease", "text": format!("The lease of {} ends after {i} years.", place(i))});
    let question = |i: usize| format!("When does the lease of {} end?", place(i));
    ((0..12).map(|i| format!("{}\n", document(i))).collect(), (0..12).map(question).collect())
}

fn file(questions: &[String]) -> String {
    (0..)
        .zip(questions)
        .map(|(id, question): (u32, _)| format!("{}\n", json!({"id": id, "question": question, "answers": ["x"]})))
        .collect()
}

/// Asks with the quick model.
fn ask(args: &[&str], more: &[&str]) -> Ran {
    let model = tiny();
    run(["ask", "--model", &model.to_string_lossy()].iter().chain(args).chain(more))
}

#[test]
fn answers_are_those_of_single_questions_in_the_order_of_the_file() {
    let bench = Bench::new();
    let (corpus, questions) = corpus();
    let pack = bench.pack("corpus", &corpus, &["--codec", "SQ8"]);
    let file = bench.file("questions.jsonl", file(&questions));
    let without_cached = |mut answer: Value| {
        answer["chunks"].as_array_mut().into_iter().flatten().flat_map(|c| c["reads"].as_array_mut().into_iter().flatten()).for_each(
            |read| {
                read.as_object_mut().expect("an object").remove("cached");
            },
        );
        answer.as_object_mut().expect("an object").remove("reused_tokens");
        answer
    };
    let options = ["--json", "--max-tokens", "20"];
    let many = |more: &[&str]| json_lines(&ask(&[&[pack.as_str(), "--questions", &file][..], &options].concat(), more).ok());
    let first = many(&[]);
    assert_eq!(first.len(), questions.len());
    for (id, (answer, question)) in first.iter().zip(&questions).enumerate() {
        assert_eq!((&answer["id"], &answer["question"]), (&json!(id), &json!(question)));
        if id % 4 == 0 {
            let mut alone = json_lines(&ask(&[&pack, question], &options).ok()).remove(0);
            alone["id"] = json!(id);
            assert_eq!(without_cached(answer.clone()), without_cached(alone));
        }
    }
    let all = |answers: Vec<Value>| answers.into_iter().map(without_cached).collect::<Vec<_>>();
    assert_eq!(all(many(&["--sequences", "3"])), all(first.clone()));
    // Text has the same answers.
    let text = ask(&[&pack, "--questions", &file], &options[1..]).ok();
    for (answer, question) in first.iter().zip(&questions) {
        assert!(text.contains(question.as_str()) && text.contains(answer["answer"].as_str().expect("text")), "{text}");
    }
}

#[test]
fn a_question_that_fails_leaves_the_others() {
    let bench = Bench::new();
    let (corpus, mut questions) = corpus();
    questions.truncate(3);
    questions[1] = "dose ".repeat(3000);
    let pack = bench.pack("corpus", &corpus, &["--codec", "SQ8"]);
    let questions = bench.file("questions.jsonl", file(&questions));
    let many = ask(&[&pack, "--questions", &questions], &["--json", "--max-tokens", "4"]);
    let answers = json_lines(&many.out);
    assert_eq!(answers.iter().map(|answer| answer["id"].clone()).collect::<Vec<_>>(), [0, 1, 2].map(|id| json!(id)));
    assert!(answers[1]["error"].as_str().expect("an error").contains("ask a shorter question") && answers[2]["error"].is_null());
    many.fails(1, &["question 1", "1 of 3 questions failed"]);
    // A budget below one answer fails all of them.
    ask(&[&pack, "--questions", &questions], &["--batch-memory", "0"]).fails(1, &["budget of 0", "3 of 3 questions failed"]);
}

#[test]
fn eight_bits_are_for_answers_alone() {
    let bench = Bench::new();
    let (corpus, questions) = corpus();
    let pack = bench.pack("corpus", &corpus, &["--codec", "SQ8"]);
    let file = bench.file("questions.jsonl", file(&questions[..2]));
    let answers = json_lines(&ask(&[&pack, "--questions", &file], &["--json", "--max-tokens", "4", "--precision", "int8"]).ok());
    assert!(answers.iter().all(|answer| answer["tokens"].as_u64() > Some(0)), "{answers:?}");
    let (model, corpus, other) = (tiny(), bench.path("corpus.jsonl"), bench.path("other.mpk"));
    let model = model.to_string_lossy();
    run(["build", &corpus, "-o", &other, "--model", &model, "--precision", "int8"]).fails(2, &["int8", "bf16"]);
    let text = bench.file("text.txt", "A lease is a contract.");
    run(["eval", "--perplexity", &text, "--pack", &pack, "--model", &model, "--precision", "int8"]).fails(2, &["likelihoods", "bf16"]);
    ask(&[&pack, "Who?"], &["--precision", "int4"]).fails(2, &["f32, bf16 or int8"]);
}

#[test]
fn what_cannot_be_asked_is_refused_before_any_work() {
    let bench = Bench::new();
    let (corpus, _) = corpus();
    let pack = bench.pack("corpus", &corpus, &["--codec", "SQ8"]);
    for (name, content, words) in [
        ("empty.jsonl", "", &["empty.jsonl"][..]),
        ("blank.jsonl", "{\"id\": 7, \"question\": \" \"}\n", &["question 7 is empty"]),
        ("wrong.jsonl", "{\"id\": 7, \"question\": \"a\"}\n{\"query\": \"b\"}\n", &["wrong.jsonl, line 2", "question"]),
    ] {
        ask(&[&pack, "--questions", &bench.file(name, content)], &[]).fails(1, words);
    }
    let questions = bench.file("questions.jsonl", "{\"id\": 7, \"question\": \"Who?\"}\n");
    ask(&[&pack, "--questions", &questions], &["--sequences", "0"]).fails(2, &["sequences", "1 to 4096"]);
    ask(&[&pack, "Who?"], &["--questions", &questions]).fails(2, &["--questions"]);
    ask(&[&pack, "Who?"], &["--sequences", "3"]).fails(2, &["--sequences"]);
    ask(&[&pack], &[]).fails(2, &["QUESTION"]);
}

#[test]
fn turns_before_a_question_are_read_and_attention_is_shown() {
    let bench = Bench::new();
    let (corpus, questions) = corpus();
    let pack = bench.pack("corpus", &corpus, &["--codec", "SQ8"]);
    let conversation = |turns: usize, question: &str| {
        let turn = |question| json!({"question": question, "answer": "It ends after several years."});
        let earlier: Vec<Value> = questions.iter().take(turns).map(turn).collect();
        json!({"id": turns, "question": question, "earlier": earlier}).to_string() + "\n"
    };
    let lines: String = (0..3).map(|turns| conversation(turns, &questions[5])).collect();
    let file = bench.file("questions.jsonl", lines);
    let options = ["--json", "--attention", "--max-tokens", "12", "--sequences", "1"];
    let answers = json_lines(&ask(&[&[pack.as_str(), "--questions", &file][..], &options].concat(), &[]).ok());
    let tokens: Vec<u64> = answers.iter().map(|answer| answer["prompt_tokens"].as_u64().expect("a number")).collect();
    assert!(tokens.is_sorted_by(|a, b| a < b), "{tokens:?}");
    for answer in &answers {
        let of_tokens = answer["attention"].as_array().expect("tokens");
        assert_eq!(of_tokens.len() as u64, answer["tokens"].as_u64().expect("a number"));
        let text: String = of_tokens.iter().map(|token| token["text"].as_str().expect("text")).collect();
        assert!(text.contains(answer["answer"].as_str().expect("text")), "{text:?}");
        let last = answer["chunks"].as_array().expect("chunks").last().expect("a chunk");
        let shares: Vec<f64> =
            last["reads"].as_array().expect("reads").iter().map(|read| read["attention"].as_f64().expect("a share")).collect();
        assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)) && shares.iter().any(|share| *share > 0.0), "{shares:?}");
    }
    let text = ask(&[&pack, &questions[5]], &["--attention", "--max-tokens", "4"]).ok();
    assert!(text.contains("  attention 0."), "{text}");
    assert!(!ask(&[&pack, &questions[5]], &["--max-tokens", "4"]).ok().contains("attention"));
    let empty = bench.file("empty.jsonl", json!({"id": 7, "question": "Who?", "earlier": [{"question": " ", "answer": "I."}]}).to_string());
    ask(&[&pack, "--questions", &empty], &[]).fails(1, &["question 7 is empty"]);
    let wrong = bench.file("wrong.jsonl", json!({"question": "Who?", "earlier": [{"question": "Who?"}]}).to_string());
    ask(&[&pack, "--questions", &wrong], &[]).fails(1, &["wrong.jsonl", "answer"]);
}
