//! What commands may write over: an output replaces an older one of its kind, never an input, a key, a pipe or a device.
#![cfg(all(unix, feature = "engine"))]

mod common;

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::process::Command;

use common::{Bench, Ran, SMALL, run, tiny};

const QUESTION: &str = "{\"id\":\"q\",\"question\":\"What dose?\",\"answers\":[\"40 mg\"],\"gold_ids\":[\"a\"]}\n";

/// A folder with a corpus, a pack, a key pair, a list of ids, questions, a training log, and things that are no files.
struct Place {
    bench: Bench,
    pack: Vec<u8>,
}

impl Place {
    fn new() -> Self {
        let bench = Bench::new();
        bench.pack("p", SMALL, &["--codec", "SQ8"]);
        fs::copy(bench.path("p.mpk"), bench.path("copy.mpk")).unwrap();
        run(["keygen", "-o", &bench.path("key")]).ok();
        bench.file("ids.txt", "a\n");
        bench.file("notes.md", "# Notes\n\nOf the author.");
        bench.file("q.jsonl", QUESTION);
        fs::create_dir(bench.path("folder")).unwrap();
        fs::create_dir(bench.path("run")).unwrap();
        bench.file(
            "run/log.jsonl",
            "{\"step\":1,\"stage\":0,\"loss\":1.0,\"right\":0.5,\"exact\":0.1,\"gradient\":1.0,\"rate\":0.1,\"kept\":8,\"tokens\":9,\"seconds\":1.0}\n",
        );
        assert!(Command::new("mkfifo").arg(bench.path("fifo")).status().unwrap().success());
        let pack = fs::read(bench.path("p.mpk")).unwrap();
        Self { bench, pack }
    }

    /// Runs a command; `@name` is the path of a file in the folder.
    fn run(&self, command: &str) -> Ran {
        let model = tiny();
        let word = |word: &str| match word {
            "TINY" => model.to_string_lossy().into_owned(),
            word => word.strip_prefix('@').map_or(word.to_owned(), |name| self.bench.path(name)),
        };
        run(command.split(' ').map(word))
    }

    /// The contents of all files.
    fn contents(&self) -> Vec<(String, Vec<u8>)> {
        let read = |name: String| (fs::read(self.bench.path(&name)).unwrap_or_default(), name);
        let files = self.bench.names().into_iter().filter(|name| name != "fifo").map(read);
        files.map(|(bytes, name)| (name, bytes)).collect()
    }
}

/// Every command that writes a pack, without its `-o`.
const PACK_WRITERS: [&str; 5] = [
    "build @p.jsonl --model TINY --codec SQ8",
    "build @p.jsonl --model TINY --from @copy.mpk",
    "sign @p.mpk --key @key",
    "revoke @p.mpk --document a",
    "repair @p.mpk --from @copy.mpk",
];

#[test]
fn a_pack_replaces_nothing_but_a_pack() {
    let place = Place::new();
    let before = place.contents();
    for command in PACK_WRITERS {
        for (target, words) in [
            ("notes.md", &["notes.md", "no pack"][..]),
            ("key", &["key"]),
            ("key.pub", &["key.pub", "no pack"]),
            ("ids.txt", &["ids.txt", "no pack"]),
            ("p.jsonl", &["p.jsonl"]),
            ("fifo", &["fifo", "pipe"]),
            ("folder", &["folder/corpus.mpk"]),
            ("new/", &["new/corpus.mpk"]),
            ("no/such/p.mpk", &["no/such"]),
        ] {
            let ran = place.run(&format!("{command} -o @{target}"));
            assert!(ran.code == 1 || ran.code == 2, "{command} -o {target}: {} {}", ran.code, ran.err);
            assert!(words.iter().all(|word| ran.err.contains(word)), "{command} -o {target}: {}", ran.err);
            assert!(!ran.err.contains("reading:") && !ran.err.contains("verifying:"), "before the work begins: {}", ran.err);
        }
        let ran = place.run(&format!("{command} -o /dev/null"));
        assert!(ran.code != 0 && ran.err.contains("device"), "{command}: {}", ran.err);
        assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
        place.run(&format!("{command} -o -")).fails(2, &["standard output"]);
        assert!(place.contents() == before, "after {command}");
    }
    place.run("repair @p.mpk --from @copy.mpk -o @copy.mpk").fails(2, &["copy.mpk", "another file"]);
    place.run("sign @p.mpk --key @key -o @key").fails(1, &["key", "no pack"]);
    assert!(place.contents() == before);
}

#[test]
fn links_are_followed_and_packs_replace_packs() {
    let place = Place::new();
    for command in PACK_WRITERS {
        let bench = &place.bench;
        for name in ["link", "far.mpk", "second.mpk"] {
            let _ = fs::remove_file(bench.path(name));
        }
        symlink("folder/../far.mpk", bench.path("link")).unwrap();
        place.run(&format!("{command} -o @link")).ok();
        assert!(fs::symlink_metadata(bench.path("link")).unwrap().is_symlink(), "{command}");
        run(["verify", &bench.path("far.mpk")]).ok();
        // The link now leads to a pack, which is replaced; an empty file is none of anybody's work.
        place.run(&format!("{command} -o @link")).ok();
        fs::write(bench.path("second.mpk"), "").unwrap();
        place.run(&format!("{command} -o @second.mpk")).ok();
        run(["verify", &bench.path("second.mpk")]).ok();
        assert!(fs::read(bench.path("p.mpk")).unwrap() == place.pack, "{command}");
    }
}

#[test]
fn a_pack_that_is_replaced_passes_on_its_mode() {
    let place = Place::new();
    let mode = |name: &str| fs::metadata(place.bench.path(name)).unwrap().permissions().mode() & 0o777;
    let set = |name: &str, mode: u32| fs::set_permissions(place.bench.path(name), fs::Permissions::from_mode(mode)).unwrap();
    for command in PACK_WRITERS {
        fs::write(place.bench.path("target.mpk"), &place.pack).unwrap();
        set("target.mpk", 0o600);
        place.run(&format!("{command} -o @target.mpk")).ok();
        assert_eq!(mode("target.mpk"), 0o600, "{command}");
    }
    // What comes out of a pack alone is no more readable than the pack.
    set("p.mpk", 0o640);
    for command in &PACK_WRITERS[2..] {
        let _ = fs::remove_file(place.bench.path("new.mpk"));
        place.run(&format!("{command} -o @new.mpk")).ok();
        assert_eq!(mode("new.mpk"), 0o640, "{command}");
    }
}

#[test]
fn details_and_figures_replace_only_their_kind() {
    let place = Place::new();
    place.run("eval @q.jsonl --pack @p.mpk --model TINY --max-tokens 4 --details @d.jsonl --figure @f.svg").ok();
    assert!(!place.bench.names().contains(&"d.jsonl.part".to_owned()));
    let before = place.contents();
    let eval = "eval @q.jsonl --pack @p.mpk --model TINY --max-tokens 4";
    for (options, words) in [
        ("--details @p.mpk", ["--details", "p.mpk"]),
        ("--details @q.jsonl", ["--details", "q.jsonl"]),
        ("--details @p.jsonl", ["p.jsonl", "not details"]),
        ("--details @key", ["key", "not details"]),
        ("--details @fifo", ["fifo", "pipe"]),
        ("--details @folder", ["folder/results", "folder"]),
        ("--details @f.svg", ["f.svg", "not details"]),
        ("--figure @q.jsonl", ["--figure", "q.jsonl"]),
        ("--figure @p.mpk", ["--figure", "p.mpk"]),
        ("--figure @d.jsonl", ["d.jsonl", "not an SVG"]),
        ("--details @new.jsonl --figure @new.jsonl", ["--figure", "new.jsonl"]),
    ] {
        place.run(&format!("{eval} {options}")).fails(2, &words);
    }
    for (output, words) in
        [("q.svg", ["q.svg", "not an SVG"]), ("run/log.jsonl", ["log.jsonl", ".svg or .png"]), ("folder/", ["folder", ".svg or .png"])]
    {
        fs::write(place.bench.path("q.svg"), QUESTION).unwrap();
        place.run(&format!("train plot @run -o @{output}")).fails(2, &words);
        fs::remove_file(place.bench.path("q.svg")).unwrap();
    }
    assert!(place.contents() == before);
    // What a killed run left beside the place is no obstacle; what is not ours is not replaced.
    for (part, bytes) in [("d.jsonl.part", "{\"id\":\"q\",\"ques"), ("f.svg.part", "<svg xmlns")] {
        fs::write(place.bench.path(part), bytes).unwrap();
    }
    place.run(&format!("{eval} --details @d.jsonl --figure @f.svg")).ok();
    fs::write(place.bench.path("d.jsonl.part"), "words").unwrap();
    place.run(&format!("{eval} --details @d.jsonl")).fails(1, &["d.jsonl.part", "move it away"]);
    fs::remove_file(place.bench.path("d.jsonl.part")).unwrap();
    // The same command again, and through a link and a hard link.
    symlink("d.jsonl", place.bench.path("link")).unwrap();
    place.run(&format!("{eval} --details @link --figure @f.svg")).ok();
    assert!(fs::symlink_metadata(place.bench.path("link")).unwrap().is_symlink());
    fs::hard_link(place.bench.path("q.jsonl"), place.bench.path("hard.jsonl")).unwrap();
    place.run(&format!("{eval} --details @hard.jsonl")).fails(2, &["hard.jsonl", "q.jsonl"]);
    place.run("train plot @run -o @curves.png").ok();
    place.run("train plot @run -o @curves.png").ok();
}

#[test]
fn keys_and_folders_are_never_replaced() {
    let place = Place::new();
    let before = place.contents();
    for target in ["key", "p.mpk", "fifo", "folder"] {
        assert_ne!(place.run(&format!("keygen -o @{target}")).code, 0, "{target}");
    }
    fs::write(place.bench.path("folder/file"), "x").unwrap();
    for target in ["folder", "p.mpk", "fifo"] {
        assert_ne!(place.run(&format!("make-questions fiction --documents 2 -o @{target}")).code, 0, "{target}");
        assert_ne!(place.run(&format!("import @notes.md -o @{target}")).code, 0, "{target}");
    }
    assert!(place.contents() == before);
    assert!(fs::symlink_metadata(place.bench.path("fifo")).unwrap().file_type().is_fifo());
    // What others keep in the work folder's place stays.
    fs::create_dir(place.bench.path("p.mpk.building")).unwrap();
    place.bench.file("p.mpk.building/mine", "words");
    place.run("build @p.jsonl --model TINY --codec SQ8 -o @p.mpk").ok();
    assert_eq!(fs::read_to_string(place.bench.path("p.mpk.building/mine")).unwrap(), "words");
}

#[test]
fn a_file_that_is_no_pack_at_all_is_not_repaired_into_one() {
    let place = Place::new();
    let before = place.contents();
    place.run("repair @notes.md --from @copy.mpk").fails(3, &["notes.md"]);
    place.run("repair @p.jsonl --from @copy.mpk").fails(3, &["p.jsonl"]);
    assert!(place.contents() == before);
}

#[test]
fn an_evaluation_that_ends_early_keeps_what_was_there() {
    let place = Place::new();
    place.run("eval @q.jsonl --pack @p.mpk --model TINY --max-tokens 4 --details @d.jsonl").ok();
    let old = fs::read(place.bench.path("d.jsonl")).unwrap();
    // The second mode needs a gold document that the pack does not have.
    fs::write(place.bench.path("p.mpk"), &place.pack[..place.pack.len() / 2]).unwrap();
    let ran = place.run("eval @q.jsonl --pack @p.mpk --model TINY --max-tokens 4 --details @d.jsonl");
    assert_ne!(ran.code, 0, "{}", ran.err);
    assert!(fs::read(place.bench.path("d.jsonl")).unwrap() == old);
}
