//! The small model, the embedder, and packs written with them, for tests and benches of the session.
#![allow(dead_code)] // Each test and bench uses a part of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use mempack_format::{CodecSpec, Digest, Document, EmbedderIdentity, Memory, ModelIdentity, Origin, PackWriter};
use mempack_model::{DeviceChoice, EmbedAs, Embedder, LoadOptions, Model, Precision, reference_tokens};
use mempack_runtime::{AnswerOptions, MappedPack, SessionOptions};
use tempfile::TempDir;

/// f32 on the CPU with one thread, so that results are reproducible.
fn options() -> LoadOptions {
    mempack_model::set_threads(1);
    LoadOptions { precision: Precision::F32, device: DeviceChoice::Cpu, ..LoadOptions::default() }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

/// The small model, unchanged.
pub fn tiny() -> Model {
    Model::load(&repository().join("tests/fixtures/tiny"), &options()).expect("the small model")
}

/// The small model with a changed `memory` block: `edits` replace text of its config.json.
pub fn tiny_with(edits: &[(&str, &str)]) -> Model {
    let (tiny, folder) = (repository().join("tests/fixtures/tiny"), tempfile::tempdir().expect("a folder"));
    for file in ["model.safetensors", "tokenizer.json"] {
        fs::copy(tiny.join(file), folder.path().join(file)).expect("a copy");
    }
    let mut config = fs::read_to_string(tiny.join("config.json")).expect("config.json");
    for (old, new) in edits {
        assert!(config.contains(old), "config.json has no {old}");
        config = config.replace(old, new);
    }
    fs::write(folder.path().join("config.json"), config).expect("config.json");
    Model::load(folder.path(), &options()).expect("the small model")
}

/// Its `stop` list, for replacement. Without stop strings, the small model generates until the token limit.
pub const STOP: &str = "\"stop\": [\n   \".\"\n  ]";

/// A session whose answers are made with these options.
pub fn making(answers: AnswerOptions) -> SessionOptions {
    SessionOptions { answers, ..SessionOptions::default() }
}

/// The embedder that `make` downloads.
pub fn embedder() -> Embedder {
    let folder = std::env::var_os("MEMPACK_EMBEDDER").map_or_else(|| repository().join("models/all-MiniLM-L6-v2"), PathBuf::from);
    assert!(folder.join("config.json").is_file(), "no embedder in {}: run `make models`, or set MEMPACK_EMBEDDER", folder.display());
    Embedder::load(&folder, &options()).expect("the embedder")
}

/// Sheets about invented medicines.
pub fn sheets() -> Vec<String> {
    let names = ["Nutepril", "Dorvanol", "Keltamin", "Orvexa", "Palidrin", "Sumetol", "Tarvicet", "Ulmoxan", "Vendril", "Wextamol"];
    let uses = ["fever", "cough", "gout", "asthma"];
    let pairs = (0..names.len()).flat_map(|i| (0..uses.len()).map(move |j| (i, j)));
    let sheet = |(i, j): (usize, usize)| {
        let (name, against, dose, most) = (names[i], uses[j], 10 * (i + 1) + j, 3 + (i + j) % 5);
        format!(
            "{name} {against} form. {name} is used against {against}. The usual dose of {name} is {dose} mg, at most {most} times a day."
        )
    };
    pairs.map(sheet).collect()
}

/// A record of codec F32.
fn encode(memory: &Memory) -> Vec<u8> {
    let mut record = memory.positions.clone();
    memory.keys.iter().chain(&memory.values).for_each(|value| record.extend_from_slice(&value.to_le_bytes()));
    record
}

/// A sheet, prepared for a pack.
struct Sheet {
    text: String,
    tokens: u16,
    record: Vec<u8>,
    embedding: Vec<f32>,
}

/// Prepares texts with the small model and the embedder. The reading parameters of its `memory` block have no effect.
fn prepare(model: &Model, embedder: &Embedder, texts: Vec<String>) -> Vec<Sheet> {
    let ids: Vec<Vec<u32>> = texts.iter().map(|text| reference_tokens(model, text).expect("tokens")).collect();
    let slices: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
    let memories = model.write(&slices).expect("memories");
    let sheet = |((text, ids), memory): ((String, &Vec<u32>), Memory)| Sheet {
        embedding: embedder.embed(EmbedAs::Passage, &[text.as_str()]).expect("an embedding"),
        tokens: ids.len() as u16,
        record: encode(&memory),
        text,
    };
    texts.into_iter().zip(&ids).zip(memories).map(sheet).collect()
}

fn prepared(model: &Model, embedder: &Embedder) -> &'static [Sheet] {
    static SHEETS: OnceLock<Vec<Sheet>> = OnceLock::new();
    SHEETS.get_or_init(|| prepare(model, embedder, sheets()))
}

/// Writes a pack of the first `count` sheets, one document each, with the given identities.
pub fn write_pack_as(path: &Path, count: usize, model: &Model, embedder: &Embedder, identities: (ModelIdentity, EmbedderIdentity)) {
    write_sheets(path, &prepared(model, embedder)[..count], model, embedder, identities);
}

/// Writes a pack of texts, one document each, named after the text before " form.".
pub fn write_texts(path: &Path, texts: Vec<String>, model: &Model, embedder: &Embedder) {
    let identities = (model.identity().clone(), embedder.identity().clone());
    write_sheets(path, &prepare(model, embedder, texts), model, embedder, identities);
}

fn write_sheets(path: &Path, sheets: &[Sheet], model: &Model, embedder: &Embedder, identities: (ModelIdentity, EmbedderIdentity)) {
    let mut writer = PackWriter::create(path, model.identity().shape.clone(), embedder.dim() as u32).expect("a writer");
    writer.set_codec(&CodecSpec::F32, &0u32.to_le_bytes()).expect("the codec");
    for sheet in sheets {
        let text = sheet.text.as_str();
        let name = text.split(" form.").next().unwrap_or_default();
        let document = Document { id: name.to_lowercase().replace(' ', "-"), title: name.into(), ..Document::default() };
        let document = writer.push_document(&document).expect("a document");
        let origin = Origin { document, start: 0, end: text.len() as u64 };
        writer.push_reference(&Digest::of(text.as_bytes()), sheet.tokens, text, &[origin]).expect("a reference");
        writer.push_memory(&sheet.record).expect("a memory");
        writer.push_embedding(&sheet.embedding).expect("an embedding");
    }
    writer.finish(identities.0, "f32", identities.1, "mempack-runtime tests").expect("a pack");
}

/// A pack of the sheets in a temporary folder.
pub struct Written {
    pub folder: TempDir,
    pub path: PathBuf,
}

impl Written {
    pub fn open(&self) -> Arc<MappedPack> {
        Arc::new(MappedPack::open(&self.path).expect("the pack"))
    }
}

/// Writes a pack of the sheets.
pub fn write_pack(model: &Model, embedder: &Embedder) -> Written {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sheets.mpk");
    write_pack_as(&path, sheets().len(), model, embedder, (model.identity().clone(), embedder.identity().clone()));
    Written { folder, path }
}
