//! Prompts of an embedder: which are read, which are refused, and what they change.

use std::path::{Path, PathBuf};

use mempack_format::EmbedderPrompts;
use mempack_model::{DeviceChoice, EmbedAs, Embedder, LoadOptions, Precision};
use mempack_retrieval::Embed;
use serde_json::{Value, json};

const SENTENCES: &str = "config_sentence_transformers.json";
const TEXT: &str = "The usual dose is 40 mg twice daily.";

fn minilm() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = std::env::var_os("MEMPACK_EMBEDDER").map_or_else(|| root.join("models/all-MiniLM-L6-v2"), PathBuf::from);
    assert!(folder.join("model.safetensors").is_file(), "{}: the embedder is not in place; `make` puts it there", folder.display());
    folder
}

/// MiniLM in a folder whose files of sentence-transformers can be replaced.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["config.json", "tokenizer.json", "sentence_bert_config.json"] {
            std::fs::copy(minilm().join(name), folder.path().join(name)).unwrap();
        }
        std::os::unix::fs::symlink(
            std::fs::canonicalize(minilm().join("model.safetensors")).unwrap(),
            folder.path().join("model.safetensors"),
        )
        .unwrap();
        Self(folder)
    }

    fn write(&self, name: &str, content: &Value) {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content.to_string()).unwrap();
    }

    fn load(&self) -> Result<Embedder, String> {
        mempack_model::set_threads(1);
        let options = LoadOptions { precision: Precision::F32, device: DeviceChoice::Cpu, ..LoadOptions::default() };
        Embedder::load(self.0.path(), &options).map_err(|e| e.to_string())
    }

    fn with(&self, sentences: &Value) -> Result<Embedder, String> {
        self.write(SENTENCES, sentences);
        self.load()
    }
}

/// What `encode_query` and `encode_document` of sentence-transformers 5.1 put before a text.
#[test]
fn prompts_go_to_queries_and_passages_as_in_sentence_transformers() {
    let folder = Folder::new();
    let plain = folder.load().unwrap().identity().digest;
    for (sentences, query, passage) in [
        (json!({}), "", ""),
        (json!({"prompts": null, "default_prompt_name": null}), "", ""),
        (json!({"prompts": {"query": "", "document": ""}}), "", ""),
        (json!({"prompts": {"clustering": "", "p": null}}), "", ""),
        (json!({"prompts": {"p": ""}, "default_prompt_name": "p"}), "", ""),
        (json!({"prompts": {"query": "query: ", "passage": "passage: "}}), "query: ", "passage: "),
        (json!({"prompts": {"query": "query: ", "document": "passage: "}}), "query: ", "passage: "),
        (json!({"prompts": {"query": "q ", "corpus": "c "}}), "q ", "c "),
        (json!({"prompts": {"query": "q ", "document": "d ", "passage": "d ", "corpus": "d "}}), "q ", "d "),
        (json!({"prompts": {"query": "Represent this sentence: ", "document": ""}}), "Represent this sentence: ", ""),
        (json!({"prompts": {"query": "q "}}), "q ", ""),
        (json!({"prompts": {"passage": "p "}}), "", "p "),
        // The default is for what has none of its own.
        (json!({"prompts": {"any": "a "}, "default_prompt_name": "any"}), "a ", "a "),
        (json!({"prompts": {"any": "a ", "query": "q "}, "default_prompt_name": "any"}), "q ", "a "),
        (json!({"prompts": {"query": "q "}, "default_prompt_name": "query"}), "q ", "q "),
        (json!({"prompts": {"query": "q ", "passage": "p "}, "default_prompt_name": "passage"}), "q ", "p "),
    ] {
        let embedder = folder.with(&sentences).unwrap_or_else(|error| panic!("{sentences}: {error}"));
        assert_eq!((embedder.prompt(EmbedAs::Query), embedder.prompt(EmbedAs::Passage)), (query, passage), "{sentences}");
        let has = !(query.is_empty() && passage.is_empty());
        let expected = has.then(|| EmbedderPrompts { query: query.into(), passage: passage.into() });
        assert_eq!(embedder.identity().prompts, expected, "{sentences}");
        assert_eq!(embedder.identity().digest != plain, has, "{sentences}: the digest changes if and only if there is a prompt");
    }
}

#[test]
fn a_prompt_is_text_before_the_text() {
    let folder = Folder::new();
    let plain = folder.load().unwrap();
    let embedder = folder.with(&json!({"prompts": {"query": "query: ", "passage": "passage: "}})).unwrap();
    for (embed_as, whole) in [(EmbedAs::Query, format!("query: {TEXT}")), (EmbedAs::Passage, format!("passage: {TEXT}"))] {
        assert_eq!(embedder.tokens(embed_as, TEXT).unwrap(), plain.tokens(embed_as, &whole).unwrap());
        let (found, expected) =
            (embedder.embed(embed_as, &[TEXT, ""]).unwrap(), plain.embed(embed_as, &[&whole, &whole[..whole.len() - TEXT.len()]]));
        assert_eq!(found, expected.unwrap());
        // What is cut off is the text's.
        assert_eq!(embedder.tokens(embed_as, &TEXT.repeat(100)).unwrap().len(), embedder.identity().max_tokens as usize);
    }
    let query = embedder.embed(EmbedAs::Query, &[TEXT]).unwrap();
    assert_ne!(query, embedder.embed(EmbedAs::Passage, &[TEXT]).unwrap());
    assert_eq!(embedder.embed_queries(&[TEXT]).unwrap().concat(), query);
    assert_eq!(embedder.share().embed(EmbedAs::Query, &[TEXT]).unwrap(), query);
    // An embedder without prompts does not distinguish the two.
    assert_eq!(plain.embed(EmbedAs::Query, &[TEXT]).unwrap(), plain.embed(EmbedAs::Passage, &[TEXT]).unwrap());
}

#[test]
fn the_digest_is_of_both_prompts() {
    let folder = Folder::new();
    let mut digests = Vec::new();
    for (query, passage) in [("a", "b"), ("b", "a"), ("ab", ""), ("", "ab"), ("a", ""), ("", "a")] {
        let identity = folder.with(&json!({"prompts": {"query": query, "passage": passage}})).unwrap().identity().clone();
        assert!(!digests.contains(&identity.digest), "{query:?} {passage:?}");
        digests.push(identity.digest);
    }
}

#[test]
fn other_prompts_are_refused() {
    let folder = Folder::new();
    let mend = "keep the prompts for search under `query` and `passage`";
    for (sentences, words) in [
        (json!({"prompts": {"classification": "classification: "}}), &["prompts.classification", "classification: ", mend][..]),
        (json!({"prompts": {"query": "q ", "passage": "p ", "clustering": "c "}}), &["prompts.clustering", mend]),
        (json!({"prompts": {"s2p_query": "Instruct: "}}), &["prompts.s2p_query", mend]),
        (json!({"prompts": {"document": "d ", "passage": "p "}}), &["prompts.passage", "\"d \", as `document` has", mend]),
        (json!({"prompts": {"document": "", "corpus": "c "}}), &["prompts.corpus", "\"c \""]),
        (json!({"default_prompt_name": "p"}), &["default_prompt_name", "`p`, which is missing"]),
        (json!({"default_prompt_name": "p", "prompts": {"query": "q "}}), &["default_prompt_name", "missing"]),
        (json!({"default_prompt_name": 3}), &["default_prompt_name", "a string"]),
        (json!({"prompts": ["query: "]}), &["prompts", "a JSON object"]),
        (json!({"prompts": {"query": 1}}), &["prompts.query", "a string"]),
        (json!({"prompts": {"query": "q ".repeat(600)}}), &["prompts.query", "at most 1024 bytes", "1200 bytes"]),
        (json!({"prompts": {"query": "q ".repeat(200)}}), &["prompts", "at most half of the 256 tokens", "query prompt"]),
        (json!({"prompts": {"passage": "[CLS] passage: "}}), &["prompts", "the control token `[CLS]`", "passage prompt"]),
    ] {
        let error = folder.with(&sentences).err().unwrap_or_else(|| panic!("{sentences} is accepted"));
        assert!(error.contains(SENTENCES), "{error}");
        assert!(words.iter().all(|word| error.contains(word)), "`{error}` does not name {words:?}");
    }
    let prompts = json!({"prompts": {"query": "q "}});
    folder.write("1_Pooling/config.json", &json!({"pooling_mode_mean_tokens": true, "include_prompt": false}));
    let error = folder.with(&prompts).err().unwrap();
    assert!(["1_Pooling", "include_prompt"].iter().all(|word| error.contains(word)), "{error}");
    folder.with(&json!({})).unwrap();
    folder.write("1_Pooling/config.json", &json!({"pooling_mode_mean_tokens": true, "include_prompt": true}));
    folder.with(&prompts).unwrap();
}
