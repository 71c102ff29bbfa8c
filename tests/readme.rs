//! The README shows a program that compiles and names every crate, and paths in the documentation exist.

use std::fs;
use std::path::Path;

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).expect("readable")
}

#[test]
fn the_map_names_the_folder_of_every_crate() {
    let (readme, manifest) = (read("README.md"), read("Cargo.toml"));
    let map = readme.split("## Map of the repository").nth(1).expect("a map");
    let members = manifest.split("members = [").nth(1).and_then(|rest| rest.split(']').next()).expect("members");
    for member in members.split(',').map(|member| member.trim().trim_matches('"')).filter(|member| !matches!(*member, "." | "")) {
        let folder = member.split('/').next().unwrap_or(member);
        assert!(map.contains(&format!("| `{folder}/` |")), "the README's map does not name {folder}/");
    }
}

#[test]
fn paths_in_the_documentation_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders =
        ["benches/", "compiler/", "corpus/", "docs/", "evaluation/", "format-spec/", "kb-samples/", "model/", "numeric/", "questions/"];
    let folders =
        [&folders[..], &["deploy/", "python/", "report/", "retrieval/", "runtime/", "scripts/", "server/", "src/", "tests/", "trainer/"]]
            .concat();
    for document in [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "docs/codec.md",
        "docs/guarantees.md",
        "docs/python.md",
        "docs/serving.md",
    ] {
        let text = read(document);
        let quoted = text.split('`').skip(1).step_by(2);
        let paths = quoted.filter(|word| folders.iter().any(|folder| word.starts_with(folder)) && !word.contains(['*', ' ']));
        for path in paths {
            assert!(root.join(path).exists(), "{document} names {path}, which does not exist");
        }
    }
}

#[test]
fn the_readme_shows_the_example() {
    let (readme, example) = (read("README.md"), read("runtime/examples/ask.rs"));
    let shown =
        example.split("// Shown in the README from here\n").nth(1).and_then(|rest| rest.split("    // to here").next()).expect("marked");
    let shown: String = shown.lines().map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or(line))).collect();
    assert!(readme.contains(shown.trim_end()), "README.md does not show:\n{shown}");
}
