//! How a corpus of many kinds of files is read and cut, through the real binary: `mempack corpus`, and `mempack build` with the same files.

mod common;

use std::fs;

use serde_json::json;

use common::{Bench, build_args, json_lines, root, run, tiny};

const TALK: &str = "1\n00:00:05,000 --> 00:00:07,000\nZorvex is taken twice a day.\n";

/// A folder with the samples of every format, some of which are broken, beside a subtitle and a text.
fn mixed(bench: &Bench) -> String {
    fs::create_dir(bench.path("mixed")).expect("a folder");
    for file in fs::read_dir(root().join("extract/tests/files")).expect("the samples") {
        let path = file.expect("a sample").path();
        if path.extension().is_none_or(|extension| extension != "golden") {
            fs::copy(&path, format!("{}/{}", bench.path("mixed"), path.file_name().expect("a name").to_string_lossy())).expect("a copy");
        }
    }
    bench.file("mixed/talk-of-zorvex.srt", TALK);
    bench.file("mixed/notice.txt", "The notice period is three months.");
    bench.file("mixed/utf16.txt", "\u{FEFF}A wide notice.".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>());
    bench.file("mixed/broken.srt", "no times");
    bench.path("mixed")
}

#[test]
fn a_corpus_is_shown_with_its_places() {
    let (bench, model) = (Bench::new(), tiny());
    let (model, talk, page) = (model.to_string_lossy(), bench.file("talk.srt", TALK), bench.path("cuts.html"));
    let shown = run(["corpus", &talk, "--show", "--html", &page, "--model", &model]).ok();
    assert!(shown.starts_with("== talk.srt, 0:05, ") && shown.contains("Zorvex is taken twice a day."), "{shown}");
    assert!(shown.trim_end().lines().last().is_some_and(|line| line.starts_with("1 documents, 1 references, ")), "{shown}");
    let html = fs::read_to_string(&page).expect("the page");
    assert!(html.starts_with("<!doctype html>") && html.contains("<header>0:05<span>"), "{html}");
    // Only a page of its kind is replaced.
    run(["corpus", &talk, "--html", &page, "--model", &model]).ok();
    run(["corpus", &talk, "--html", &talk, "--model", &model]).fails(2, &["--html", "another file"]);
    run(["corpus", &bench.file("x.xyz", "words"), "--model", &model]).fails(1, &["x.xyz", "a kind of file that is not read"]);
}

#[test]
fn a_folder_with_broken_files_is_read_to_the_end() {
    let (bench, model) = (Bench::new(), tiny());
    let (model, mixed) = (model.to_string_lossy(), mixed(&bench));
    let ran = run(["corpus", &mixed, "--json", "--duplicate-ids", "suffix", "--model", &model]);
    let lines = json_lines(&ran.ok());
    let (last, references) = lines.split_last().expect("lines");
    assert_eq!(last["references"], references.len());
    let text_of = |document: &str| {
        references.iter().find(|line| line["document"] == document).map(|line| line["text"].to_string()).unwrap_or_default()
    };
    assert!(text_of("talk-of-zorvex.srt").contains("twice a day"));
    assert!(text_of("notice.txt").contains("three months"));
    assert!(text_of("utf16.txt").contains("A wide notice."));
    let skipped = last["skipped_files"].as_array().expect("a list");
    let of = |name: &str| skipped.iter().find(|file| file["path"].as_str().is_some_and(|path| path.ends_with(name)));
    assert!(
        of("broken.srt").is_some_and(|file| file["reason"].as_str().is_some_and(|reason| reason.contains("no whole file of subtitles"))),
        "{last}"
    );
    run(["corpus", &mixed, "--strict", "--duplicate-ids", "suffix", "--model", &model]).fails(1, &["not read, because it"]);
    // A file that takes too long is given up: no time is left for any.
    run(["corpus", &mixed, "--file-seconds", "0", "--model", &model]).fails(2, &["--file-seconds"]);
}

/// A contract as a PDF, and a notice with a heading that no other document has.
fn with_places(bench: &Bench) -> String {
    fs::create_dir(bench.path("folder")).expect("a folder");
    fs::copy(root().join("extract/tests/files/contract.pdf"), bench.path("folder/contract.pdf")).expect("a copy");
    bench.file(
        "folder/notice.md",
        "# Notices of Zelbrin\n\n## Kestrane clause\n\nA notice of Zelbrin is given in writing, three months before.\n",
    );
    bench.path("folder")
}

fn hits(pack: &str, query: &str) -> Vec<serde_json::Value> {
    let found: serde_json::Value = serde_json::from_str(&run(["search", pack, query, "-k", "30", "--json"]).ok()).expect("JSON");
    found["hits"].as_array().expect("hits").clone()
}

#[test]
fn references_are_cited_with_their_places() {
    let bench = Bench::new();
    let (folder, pack) = (with_places(&bench), bench.path("p.mpk"));
    run(build_args(&folder, &pack, &[])).ok();
    run(["verify", &pack]).ok();
    let found = hits(&pack, "goods free from defects in design, material and workmanship");
    let defects = found.iter().find(|hit| hit["text"].as_str().is_some_and(|text| text.contains("free from defects"))).expect("the clause");
    assert_eq!(defects["document"], "contract.pdf");
    let location = defects["location"].as_str().expect("a location");
    assert!(location.starts_with("p. 1, ") && location.contains("2.2"), "{location}");
    assert_eq!(defects["headings"], json!(["Supply Agreement", "2. Supply of Goods"]));
    let notice = hits(&pack, "notice of Zelbrin");
    let notice = notice.iter().find(|hit| hit["document"] == "notice.md").expect("the notice");
    assert_eq!(
        (&notice["location"], &notice["headings"]),
        (&json!("Notices of Zelbrin > Kestrane clause"), &json!(["Notices of Zelbrin", "Kestrane clause"]))
    );
    let shown = run(["search", &pack, "goods free from defects in design", "-k", "30"]).ok();
    assert!(shown.contains(&format!("  {location}\n")), "{shown}");

    // The same again is the same pack, and a rebuild from it keeps everything.
    let again = bench.path("again.mpk");
    run(build_args(&folder, &again, &["--from", &pack])).ok();
    assert_eq!(fs::read(&pack).expect("a pack"), fs::read(&again).expect("a pack"));

    // What is only the place changes the reference's place.
    bench.file(
        "folder/notice.md",
        "# Notices of Zelbrin\n\n## Marvane clause\n\nA notice of Zelbrin is given in writing, three months before.\n",
    );
    let moved = bench.path("moved.mpk");
    run(build_args(&folder, &moved, &["--from", &pack])).ok();
    let changes = run(["diff", &pack, &moved, "--json"]);
    assert!(changes.out.contains("notice.md"), "{}", changes.out);

    // Nothing of a revoked document is left, its headings neither.
    let holds = |pack: &str, text: &str| fs::read(pack).expect("a pack").windows(text.len()).any(|window| window == text.as_bytes());
    let left = bench.path("left.mpk");
    run(["revoke", &pack, "--document", "notice.md", "-o", &left]).ok();
    run(["verify", &left]).ok();
    assert!(holds(&pack, "Kestrane clause") && !holds(&left, "Kestrane clause"));
    let still = hits(&left, "goods free from defects in design, material and workmanship");
    assert!(still.iter().any(|hit| hit["location"] == defects["location"]), "{still:?}");
    let none = bench.path("none.mpk");
    run(["revoke", &pack, "--document", "contract.pdf", "-o", &none]).ok();
    assert!(holds(&none, "Kestrane clause") && !holds(&none, "2. Supply of Goods"));
}

#[test]
fn damaged_places_are_found_and_mended() {
    let bench = Bench::new();
    let (folder, pack) = (with_places(&bench), bench.path("p.mpk"));
    run(build_args(&folder, &pack, &[])).ok();
    let whole = fs::read(&pack).expect("a pack");
    let info: serde_json::Value = serde_json::from_str(&run(["inspect", &pack, "--json"]).ok()).expect("JSON");
    let section = info["sections"].as_array().expect("sections").iter().find(|one| one["name"] == "PLACES").expect("the section");
    let (start, length) = (section["offset"].as_u64().expect("a number") as usize, section["bytes"].as_u64().expect("a number") as usize);
    for at in [start, start + length / 2, start + length - 1] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        let damaged = bench.file("damaged.mpk", bytes);
        let verified = run(["verify", &damaged]);
        verified.fails(3, &["damaged in one place"]);
        assert!(verified.out.contains("PLACES"), "{}", verified.out);
        run(["search", &damaged, "a notice"]).fails(3, &["damaged.mpk", "PLACES"]);
        // With what is damaged left out, references are found, and nothing is said of their places.
        let skipped = run(["search", &damaged, "a notice", "--skip-damaged", "--json"]).ok();
        assert!(skipped.contains("\"hits\"") && !skipped.contains("\"location\""), "{skipped}");
        let mended = bench.path("mended.mpk");
        run(["repair", &damaged, "--from", &pack, "-o", &mended]).ok();
        assert_eq!(fs::read(&mended).expect("a pack"), whole);
    }
}

#[test]
fn references_are_cut_as_options_say() {
    let (bench, model) = (Bench::new(), tiny());
    let model = model.to_string_lossy();
    let sentences: String = (0..40).map(|number| format!("Berth {number} of the port has a crane. ")).collect();
    let corpus = bench.file("port.md", format!("# The port\n\n{sentences}\n"));
    let cut = |options: &[&str]| {
        let lines = json_lines(&run([&["corpus", &corpus, "--json", "--model", &*model], options].concat()).ok());
        lines.into_iter().filter(|line| line["document"].is_string()).collect::<Vec<_>>()
    };
    let whole = cut(&[]);
    let length = whole.iter().filter_map(|line| line["tokens"].as_u64()).max().expect("references");
    let short = (length / 2).to_string();
    let shorter = cut(&["--reference-length", &short]);
    assert!(shorter.len() > whole.len() && shorter.iter().all(|line| line["tokens"].as_u64() <= Some(length / 2)));
    let overlapping = cut(&["--reference-overlap", &(length / 4).to_string()]);
    let places = |line: &serde_json::Value| (line["start"].as_u64().expect("a byte"), line["end"].as_u64().expect("a byte"));
    assert!(overlapping.windows(2).all(|pair| places(&pair[1]).0 < places(&pair[0]).1), "{overlapping:?}");
    assert!(whole.windows(2).all(|pair| places(&pair[1]).0 >= places(&pair[0]).1), "{whole:?}");
    let untitled = cut(&["--no-title"]);
    let titled = |lines: &[serde_json::Value]| {
        lines.iter().filter(|line| line["text"].as_str().is_some_and(|text| text.starts_with("The port. "))).count()
    };
    assert!(titled(&whole) > 0 && titled(&untitled) == 0);
    run(["corpus", &corpus, "--model", &model, "--reference-length", "100000"])
        .fails(1, &["reference length of 100000", "--reference-length"]);
    run(["corpus", &corpus, "--model", &model, "--reference-overlap", "100000"]).fails(1, &["overlap of 100000", "--reference-overlap"]);

    // What the model read of each reference is told from the pack.
    let (pack, page, tokenizer) = (bench.path("cut.mpk"), bench.path("cut.html"), format!("{model}/tokenizer.json"));
    run(build_args(&corpus, &pack, &["--reference-length", &short, "--reference-overlap", "4", "--no-title"])).ok();
    run(["report", &pack, "-o", &page, "--tokenizer", &tokenizer]).ok();
    let page = fs::read_to_string(&page).expect("the page");
    assert!(page.contains("class=\"words map\"") && !page.contains("the memory was written from"));
}
