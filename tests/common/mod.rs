//! Running the real binary in tests.
#![allow(dead_code)] // each test file uses its part of this

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::{fs, io::Write as _};

use serde_json::{Value, json};
use tempfile::TempDir;

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The quick model for tests.
pub fn tiny() -> PathBuf {
    root().join("tests/fixtures/tiny")
}

/// `mempack` in the repository's folder, with the folders that `make` puts in place.
pub fn mempack<I: IntoIterator<Item: AsRef<std::ffi::OsStr>>>(args: I) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mempack"));
    command.args(args).current_dir(root()).env_remove("MEMPACK_MODEL").stdin(Stdio::null());
    command
}

/// What a run gave.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
        Self { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Demand success and give standard output.
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "standard error: {}", self.err);
        self.out
    }

    /// Demand an exit code and that the message holds all the words.
    pub fn fails(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "standard error: {}", self.err);
        for word in words {
            assert!(self.err.contains(word), "no {word:?} in: {}", self.err);
        }
        assert!(!self.err.contains("panicked"), "{}", self.err);
    }
}

/// Run `mempack` to its end.
pub fn run<I: IntoIterator<Item: AsRef<std::ffi::OsStr>>>(args: I) -> Ran {
    Ran::of(mempack(args).output().expect("mempack starts"))
}

/// Run `mempack` with standard input.
pub fn run_with_input(args: &[&str], input: &[u8]) -> Ran {
    let mut child = mempack(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("mempack starts");
    child.stdin.take().expect("piped").write_all(input).expect("mempack reads its input");
    Ran::of(child.wait_with_output().expect("mempack ends"))
}

/// Arguments of a build with the quick model.
pub fn build_args<'a>(corpus: &'a str, pack: &'a str, more: &[&'a str]) -> Vec<String> {
    let tiny = tiny();
    let mut args: Vec<String> = ["build", corpus, "-o", pack, "--model", &tiny.to_string_lossy()].map(String::from).into();
    args.extend(more.iter().map(|s| (*s).to_owned()));
    args
}

/// A folder for one test, and the paths in it.
pub struct Bench {
    dir: TempDir,
}

impl Bench {
    pub fn new() -> Self {
        Self { dir: TempDir::new().expect("a temporary folder") }
    }

    pub fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_string_lossy().into_owned()
    }

    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        fs::write(self.dir.path().join(name), content).expect("the temporary folder is writable");
        self.path(name)
    }

    /// A copy of the quick model.
    pub fn tiny(&self, name: &str) -> String {
        let folder = self.path(name);
        fs::create_dir(&folder).expect("a new folder");
        for file in fs::read_dir(tiny()).expect("the quick model") {
            let file = file.expect("a file");
            fs::copy(file.path(), Path::new(&folder).join(file.file_name())).expect("a copy");
        }
        folder
    }

    /// Build a small corpus with the quick model.
    pub fn pack(&self, name: &str, corpus: &str, more: &[&str]) -> String {
        let corpus = self.file(&format!("{name}.jsonl"), corpus);
        let pack = self.path(&format!("{name}.mpk"));
        run(build_args(&corpus, &pack, more)).ok();
        pack
    }

    /// Build the lines of a corpus with odd places and those with even ones, counted from 0, as packs of their own.
    pub fn halves(&self, corpus: &str, more: &[&str]) -> (String, String) {
        let half = |name, rest| {
            let lines = corpus.lines().enumerate().filter(|(at, _)| at % 2 == rest);
            self.pack(name, &lines.map(|(_, line)| format!("{line}\n")).collect::<String>(), more)
        };
        (half("odd", 1), half("even", 0))
    }

    /// The names in the folder, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.dir.path())
            .expect("readable")
            .map(|e| e.expect("readable").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

/// JSON lines.
pub fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// The one JSON value of an output.
pub fn object(text: &str) -> Value {
    serde_json::from_str(text.trim()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Three short documents, one of them twice.
pub const SMALL: &str = concat!(
    r#"{"id": "a", "title": "Nutepril", "text": "Nutepril is used to treat gout. The usual adult dose is 40 mg twice daily."}"#,
    "\n",
    r#"{"id": "b", "title": "Sarolide", "text": "Sarolide is a diuretic. Keep it in the refrigerator. Its half-life is 31 hours."}"#,
    "\n",
    r#"{"id": "c", "title": "Lease", "text": "The tenant may end the lease with two months' notice.\n\nThe rent is due on the first of the month."}"#,
    "\n",
    r#"{"id": "d", "title": "Nutepril", "text": "Nutepril is used to treat gout. The usual adult dose is 40 mg twice daily."}"#,
    "\n",
);

/// Documents of one reference each, none of which repeats another.
pub fn distinct_documents(count: usize) -> String {
    let words = ["lease", "fever", "river", "ledger", "orchard", "granite", "violin", "harvest", "lantern", "compass", "anchor", "meadow"];
    let row = |at: usize| {
        let word = |step: usize| words[(at * 7 + step * (at % 5 + 1)) % words.len()];
        let text: Vec<String> =
            (0..6).map(|step| format!("The {} of {} is kept by the {}.", word(step), at * step + 3, word(step + 4))).collect();
        format!("{}\n", serde_json::json!({"id": format!("d{at}"), "text": text.join(" ")}))
    };
    (0..count).map(row).collect()
}

/// The hits of a search.
pub fn hits(pack: &str, query: &str, more: &[&str]) -> Vec<Value> {
    let lines = json_lines(&run(["search", pack, query, "--json"].iter().chain(more)).ok());
    // What was skipped is a line of its own.
    assert_eq!(lines.len(), 1 + usize::from(more.contains(&"--skip-damaged")));
    lines[0]["hits"].as_array().expect("hits").clone()
}

/// The documents of hits, in their order.
pub fn documents(hits: &[Value]) -> Vec<&str> {
    hits.iter().map(|hit| hit["document"].as_str().expect("an id")).collect()
}

/// Documents for rerankers: eight sheets about one medicine, which hardly differ, and others.
pub fn doses() -> String {
    let dose = |day: usize| {
        let text = format!("The usual dose against gout is 40 mg twice daily, with water, on day {day} of the cure.");
        format!("{}\n", json!({"id": format!("dose{day}"), "title": "Nutepril", "text": text}))
    };
    (1..9).map(dose).collect::<String>() + &distinct_documents(30)
}

/// The score that a reranker gave to a hit.
pub fn rerank_score(hit: &Value) -> f32 {
    hit["rerank_score"].as_f64().unwrap_or_else(|| panic!("a score: {hit}")) as f32
}
