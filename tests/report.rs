//! The page about a pack through the real binary; without libtorch, over the golden packs.

mod common;

use std::fs;

use common::{Bench, root, run};

fn golden(name: &str) -> String {
    root().join("format-spec/tests/golden").join(name).to_string_lossy().into_owned()
}

#[test]
fn a_page_is_written() {
    let bench = Bench::new();
    let (pack, page) = (golden("v1.5.mpk"), bench.path("page.html"));
    let out = run(["report", &pack, "-o", &page, "--references", "4", "--neighbours", "2", "--seed", "3"]).ok();
    assert_eq!(out, "");
    let html = fs::read_to_string(&page).expect("the page");
    assert!(html.starts_with("<!doctype html>") && html.contains("9ec10219605f72b93d242d9dd92ba52a17262de70d41a689c00844dec814cb69"));
    assert_eq!(html.matches("<summary>Tokens kept by each head").count(), 4, "a reference has one table of kept tokens");
    // The same sample again, and another of another seed.
    run(["report", &pack, "-o", &page, "--references", "4", "--neighbours", "2", "--seed", "3"]).ok();
    assert_eq!(fs::read_to_string(&page).expect("the page"), html);
    run(["report", &pack, "-o", &page, "--references", "4", "--neighbours", "2", "--seed", "4"]).ok();
    assert_ne!(fs::read_to_string(&page).expect("the page"), html);
    assert_eq!(bench.names(), ["page.html"], "nothing else is left");
}

#[test]
fn damage_and_other_files_have_their_exit_codes() {
    let bench = Bench::new();
    let page = bench.path("page.html");
    let whole = fs::read(golden("v1.5.mpk")).expect("the golden pack");
    let info: serde_json::Value = serde_json::from_str(&run(["inspect", &golden("v1.5.mpk"), "--json"]).ok()).expect("JSON");
    for section in ["MEMORIES", "EMBED", "DOCS", "METADATA", "MANIFEST"] {
        let place = info["sections"].as_array().expect("sections").iter().find(|one| one["name"] == section).expect("the section");
        let mut bytes = whole.clone();
        bytes[place["offset"].as_u64().expect("a number") as usize + 3] ^= 1;
        let damaged = bench.file("damaged.mpk", bytes);
        run(["report", &damaged, "-o", &page, "--references", "24"]).fails(3, &["damaged.mpk", &format!("section {section}")]);
    }
    run(["report", &bench.file("text.mpk", "words"), "-o", &page]).fails(3, &["text.mpk", "not a memory pack"]);
    run(["report", &bench.path("none.mpk"), "-o", &page]).fails(1, &["none.mpk"]);
    run(["report", &golden("v1.5.mpk")]).fails(2, &["--output"]);
    let tokenizer = root().join("tests/fixtures/tiny/tokenizer.json");
    let args = ["report", &golden("v1.5.mpk"), "-o", &page, "--tokenizer", &tokenizer.to_string_lossy()];
    run(args).fails(4, &["tokenizer.json", "another tokenizer", "golden model"]);
    let args = ["report", &golden("v1.5.mpk"), "-o", &page, "--tokenizer", &bench.path("none.json")];
    run(args).fails(1, &["none.json", "tokenizer.json of the model"]);
    assert!(!bench.names().contains(&"page.html".to_owned()), "nothing is written where something is wrong");
}

#[test]
fn a_page_replaces_only_a_page() {
    let bench = Bench::new();
    let pack = bench.file("p.mpk", fs::read(golden("v1.0.mpk")).expect("the golden pack"));
    let notes = bench.file("notes.md", "# Notes");
    let other = bench.file("other.html", "<!doctype html><html lang=\"en\"><title>mine</title></html>\n");
    let before = [&pack, &notes, &other].map(|path| fs::read(path).expect("a file"));
    run(["report", &pack, "-o", &pack]).fails(2, &["p.mpk", "name another file"]);
    run(["report", &pack, "-o", &notes]).fails(2, &["notes.md", "not a report"]);
    run(["report", &pack, "-o", &other]).fails(2, &["other.html", "not a report"]);
    run(["report", &pack, "-o", &bench.path("")]).fails(2, &["folder"]);
    run(["report", &pack, "-o", &bench.path("no/such/page.html")]).fails(1, &["no/such"]);
    assert_eq!([&pack, &notes, &other].map(|path| fs::read(path).expect("a file")), before);
    let empty = bench.file("empty.html", "");
    run(["report", &pack, "-o", &empty]).ok();
    run(["report", &pack, "-o", &empty]).ok();
    assert!(fs::read_to_string(&empty).expect("the page").ends_with("</html>\n"));
}

#[cfg(feature = "engine")]
#[test]
fn tokens_are_marked_in_the_texts_of_a_built_pack() {
    let bench = Bench::new();
    let pack = bench.pack("small", common::SMALL, &["--codec", "SQ8"]);
    let page = bench.path("page.html");
    let tokenizer = common::tiny().join("tokenizer.json");
    run(["report", &pack, "-o", &page, "--tokenizer", &tokenizer.to_string_lossy()]).ok();
    let html = fs::read_to_string(&page).expect("the page");
    let references = html.matches("<details>").count();
    assert!(references >= 3 && html.matches("<p class=\"words map\"").count() == references, "every text has its tokens");
}
