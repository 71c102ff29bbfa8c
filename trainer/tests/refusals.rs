//! Invalid configurations: the error names the field.

use mempack_trainer::{CopyConfig, LearnConfig, PreferenceLoss, TrainConfig};

const STAGE: &str = "[[stage]]\nsteps = 1\nbatch = 1\n[stage.learn]\n";
const TEXT: &str = "kind = \"text\"\ncorpora = [\"c\"]\nlength = 8\n";
const CONTINUAL: &str = "kind = \"continual\"\ncorpora = [\"c\"]\nreferences = [\"r\"]\nlength = 8\nwrite = { keep = [[0, 8]] }\n";

const QUESTIONS: &str = "pool = 4\nreads = [1]\nquestions = 1\nlength = 64\nwrite = { keep = [[0, 8]] }\n\
     sources = [{ corpora = [\"c\"], questions = [\"q\"] }]\n";

fn read(text: &str) -> Result<TrainConfig, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.toml");
    std::fs::write(&path, text).unwrap();
    TrainConfig::read(&path).map_err(|error| error.to_string())
}

fn of_model(learn: &str) -> Result<TrainConfig, String> {
    read(&format!("model = \"m\"\noutput = \"o\"\n{STAGE}{learn}"))
}

fn from_scratch(head: &str, scratch: &str) -> Result<TrainConfig, String> {
    read(&format!("output = \"o\"\n{head}\n[scratch]\nconfig = \"config.json\"\n{scratch}\n{STAGE}{TEXT}"))
}

#[track_caller]
fn refused(result: Result<TrainConfig, String>, field: &str) {
    let error = result.unwrap_err();
    assert!(error.contains(field), "{error}");
}

#[test]
fn either_a_model_or_a_new_one() {
    refused(read(&format!("output = \"o\"\n{STAGE}{TEXT}")), "`model`: expected either `model` or a table `[scratch]`, found neither");
    refused(from_scratch("model = \"m\"", "corpora = [\"c\"]"), "found both");
    refused(from_scratch("", ""), "scratch.corpora");
    refused(from_scratch("", "tokenizer = \"t\"\ncorpora = [\"c\"]"), "scratch.corpora");
    refused(from_scratch("", "tokenizer = \"t\"\nvocabulary = 300"), "scratch.vocabulary");
    refused(from_scratch("", "corpora = [\"c\"]\nvocabulary = 0"), "scratch.vocabulary");
    refused(from_scratch("adapter = { rank = 4, alpha = 4.0 }", "corpora = [\"c\"]"), "adapter");
    refused(from_scratch("", "corpora = [\"c\"]\nlayers = 3"), "layers");
    let config = from_scratch("", "corpora = [\"c\"]\nvocabulary = 300").unwrap();
    let scratch = config.scratch.unwrap();
    // Paths are relative to the file's folder.
    assert!(scratch.config.is_absolute() && scratch.corpora[0].is_absolute());
}

#[test]
fn invalid_stages() {
    let change = |from: &str, to: &str| of_model(&CONTINUAL.replace(from, to));
    refused(change("corpora = [\"c\"]", "corpora = []"), "stage 0: corpora");
    refused(change("[\"r\"]", "[]"), "stage 0: references");
    refused(change("length = 8", "length = 1"), "stage 0: length");
    refused(change("[[0, 8]]", "[[1, 8]]"), "stage 0: keep");
    refused(change("[[0, 8]]", "[[0, 8]], noise = [2.0, 0.0]"), "stage 0: noise");
    refused(of_model(&format!("{CONTINUAL}overlap = 1.5\n")), "stage 0: overlap");
    refused(of_model(&format!("{CONTINUAL}following = 1\n")), "following");
    let copy = |fields: &str| of_model(&format!("kind = \"copy\"\n{fields}"));
    refused(copy("length = 40"), "stage 0: length");
    refused(copy("length = 64\nperiod = [0, 3]"), "stage 0: period");
    refused(copy("length = 64\nperiod = [4, 3]"), "stage 0: period");
    assert_eq!(copy("length = 41").unwrap().stages[0].learn, LearnConfig::Copy(CopyConfig { length: 41, period: [5, 40] }));
    let questions = |fields: &str| of_model(&format!("kind = \"questions\"\n{QUESTIONS}{fields}"));
    assert!(questions("clusters = 4\nrepeats = 2").is_ok());
    refused(questions("clusters = 4\nrepeats = 0"), "stage 0: repeats");
    refused(questions("repeats = 2"), "stage 0: repeats`: expected none without `clusters`");
    let distil = |fields: &str, ask: &str| of_model(&format!("kind = \"distil\"\n{fields}\n[stage.learn.ask]\n{QUESTIONS}{ask}"));
    match &distil("divergence = 1.0", "withheld = 0.1").unwrap().stages[0].learn {
        LearnConfig::Distil(config) => {
            assert_eq!((config.cross_entropy, config.divergence, config.prompt, config.prompt_share), (0.65, 1.0, 0.25, 0.25));
            assert!(config.ask.sources[0].corpora[0].is_absolute() && config.ask.sources[0].questions[0].is_absolute());
        }
        other => panic!("{other:?}"),
    }
    refused(distil("divergence = -1.0", ""), "stage 0: divergence");
    refused(distil("divergence = 0.0\ncross_entropy = 0.0", ""), "stage 0: divergence");
    refused(distil("prompt = inf", ""), "stage 0: prompt");
    refused(distil("prompt_share = 0.0", ""), "stage 0: prompt_share");
    refused(distil("", "withheld = 1.0"), "stage 0: ask.withheld");
    refused(distil("", "repeats = 1"), "stage 0: ask.repeats");
    let repeat =
        |fields: &str| of_model(&format!("kind = \"repeat\"\ncorpora = [\"c\"]\npool = 4\nwrite = {{ keep = [[0, 8]] }}\n{fields}"));
    match &repeat("reads = [1, 4]").unwrap().stages[0].learn {
        LearnConfig::Repeat(config) => {
            assert_eq!((config.cue, config.gap, config.shortest, config.instruction.as_str()), ([4, 9], [0.05, 0.4], 16, "Repeat: {cue}"));
            assert!(config.corpora[0].is_absolute());
        }
        other => panic!("{other:?}"),
    }
    refused(repeat("reads = []"), "stage 0: reads");
    refused(repeat("reads = [5]"), "stage 0: pool");
    refused(repeat("reads = [1]\ncue = [0, 3]"), "stage 0: cue");
    refused(repeat("reads = [1]\ncue = [4, 3]"), "stage 0: cue");
    refused(repeat("reads = [1]\ninstruction = \"again\""), "stage 0: instruction");
    refused(repeat("reads = [1]\nshortest = 0"), "stage 0: shortest");
    refused(repeat("reads = [1]\ngap = [0.3, 0.2]"), "stage 0: gap");
    refused(repeat("reads = [1]\ngap = [0.3, nan]"), "stage 0: gap");
    let preferences = |fields: &str| {
        of_model(&format!("kind = \"preferences\"\ncorpora = [\"c\"]\npreferences = [\"p\"]\nwrite = {{ keep = [[0, 8]] }}\n{fields}"))
    };
    match &preferences("").unwrap().stages[0].learn {
        LearnConfig::Preferences(config) => {
            assert_eq!((config.beta, config.loss, config.reads.as_slice()), (0.01, PreferenceLoss::Dpo, [5].as_slice()));
            assert!(config.corpora[0].is_absolute() && config.preferences[0].is_absolute());
        }
        other => panic!("{other:?}"),
    }
    assert!(preferences("loss = \"length-normalised\"\nbeta = 5.0").is_ok());
    refused(preferences("loss = \"ipo\""), "unknown variant `ipo`");
    refused(preferences("beta = 0.0"), "stage 0: beta");
    refused(preferences("beta = nan"), "stage 0: beta");
    refused(preferences("reads = [0]"), "stage 0: reads");
    let changing = "kind = \"preferences\"\ncorpora = [\"c\"]\npreferences = [\"p\"]\nwrite = { keep = [[0, 16], [4, 8]] }\n";
    refused(of_model(changing), "stage 0: write.keep");
    let chat = |fields: &str| of_model(&format!("kind = \"chat\"\nconversations = [\"c\"]\nlength = 64\n{fields}"));
    match &chat("references = [\"r\"]\nwrite = { keep = [[0, 8]] }").unwrap().stages[0].learn {
        LearnConfig::Chat(config) => {
            assert_eq!((config.reads, config.overlap), (None, 0.9));
            assert!(config.conversations[0].is_absolute() && config.references[0].is_absolute());
        }
        other => panic!("{other:?}"),
    }
    assert!(chat("").is_ok());
    refused(chat("references = [\"r\"]"), "stage 0: write");
    refused(chat("write = { keep = [[0, 8]] }"), "stage 0: write");
    refused(chat("reads = 0"), "stage 0: reads");
    refused(chat("overlap = 2.0"), "stage 0: overlap");
    match &of_model(CONTINUAL).unwrap().stages[0].learn {
        LearnConfig::Continual(config) => {
            assert_eq!((config.previous, config.overlap), (4, 0.9));
            assert!(config.corpora[0].is_absolute() && config.references[0].is_absolute());
        }
        other => panic!("{other:?}"),
    }
}

/// The whole message, which shows the table and what is expected.
#[test]
fn an_invalid_table_of_a_stage_is_refused_with_what_is_expected() {
    let cases = [
        ("no kind", "length = 8\ncorpora = [\"c\"]\n"),
        ("another kind", "kind = \"speech\"\n"),
        ("unknown field of text", "kind = \"text\"\ncorpora = [\"c\"]\nlength = 8\nlenght = 9\n"),
        ("unknown field of copy", "kind = \"copy\"\nlength = 64\ncorpora = [\"c\"]\n"),
        ("unknown field of continual", "kind = \"continual\"\ncorpora = [\"c\"]\nfollowing = 1\n"),
        ("unknown field of questions", "kind = \"questions\"\npools = 3\n"),
        ("unknown field of repeat", "kind = \"repeat\"\ncorpora = [\"c\"]\nqueue = [2, 3]\n"),
        ("unknown field of distil", "kind = \"distil\"\npool = 3\n"),
        ("unknown field of preferences", "kind = \"preferences\"\nbetta = 0.1\n"),
        ("unknown field of chat", "kind = \"chat\"\nmessages = []\n"),
        ("unknown field of a source", "kind = \"questions\"\nsources = [{ corpora = [], questions = [], weigth = 1.0 }]\n"),
        ("unknown field of write", "kind = \"continual\"\nwrite = { keep = [[0, 8]], noises = [0.0, 0.0] }\n"),
        ("missing field", "kind = \"text\"\nlength = 8\n"),
        ("missing write", "kind = \"continual\"\ncorpora = [\"c\"]\nreferences = [\"r\"]\nlength = 8\n"),
        ("wrong type", "kind = \"text\"\ncorpora = [\"c\"]\nlength = \"8\"\n"),
        ("below zero", "kind = \"text\"\ncorpora = [\"c\"]\nlength = -8\n"),
    ];
    let mut found = String::new();
    for (name, learn) in cases {
        let error = of_model(learn).unwrap_err();
        let message = error.split_once("run.toml: ").map_or(error.as_str(), |(_, message)| message);
        found += &format!("{name}\n{message}\n");
    }
    assert_eq!(found.trim_end(), include_str!("refusals.txt").trim_end());
}
