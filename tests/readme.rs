//! The README's program is the one that is compiled.

use std::fs;
use std::path::Path;

#[test]
fn the_readme_shows_the_example() {
    let read = |name: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).expect("readable");
    let (readme, example) = (read("README.md"), read("runtime/examples/ask.rs"));
    let shown =
        example.split("// Shown in the README from here\n").nth(1).and_then(|rest| rest.split("    // to here").next()).expect("marked");
    let shown: String = shown.lines().map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or(line))).collect();
    assert!(readme.contains(shown.trim_end()), "README.md does not show:\n{shown}");
}
