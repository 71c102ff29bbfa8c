//! The configurations in docs/training.md are valid.

use mempack_trainer::TrainConfig;

#[test]
fn every_configuration_in_the_documentation_is_valid() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/training.md");
    let text = std::fs::read_to_string(page).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.toml");
    let mut kinds = Vec::new();
    for block in text.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()) {
        let stage = if block.contains("[[stage]]") { "" } else { "[[stage]]\nsteps = 1\nbatch = 1\n" };
        std::fs::write(&path, format!("model = \"m\"\noutput = \"o\"\n{stage}{block}")).unwrap();
        if let Err(error) = TrainConfig::read(&path) {
            panic!("{error}\n{block}");
        }
        kinds.extend(block.lines().filter_map(|line| line.strip_prefix("kind = ")).map(str::to_owned));
    }
    assert_eq!(kinds, ["\"repeat\"", "\"questions\"", "\"distil\"", "\"preferences\"", "\"chat\""]);
}
