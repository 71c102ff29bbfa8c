//! Banks to publish, and stores that fail.
#![allow(dead_code)] // no test uses all of it

pub mod faulty;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mempack_format::{
    CodecSpec, Digest, Document, EmbedderIdentity, MemoryShape, ModelIdentity, Origin, Pack, PackSetFile, PackWriter, Routing, SetManifest,
    SetPack,
};
use mempack_numeric::Rng;
use mempack_store::{Guard, LocalBank, Requests, Store};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path as StorePath;

const DIM: u32 = 8;
const TOKENS: usize = 8;
const HEAD: usize = 16;

/// Writes a pack of one reference for each number; equal numbers give equal references.
pub fn write_pack(path: &Path, references: &[u64]) {
    let shape = MemoryShape::new(1, 1, TOKENS as u32, HEAD as u32);
    let mut writer = PackWriter::create(path, shape.clone(), DIM).unwrap();
    writer.set_codec(&CodecSpec::F32, &0u32.to_le_bytes()).unwrap();
    let document = writer.push_document(&Document { id: "act-1".into(), title: "An Act".into(), ..Document::default() }).unwrap();
    for number in references {
        let mut random = Rng::from_seed(*number);
        let text = format!("Section {number} has {} sentences.", random.below(1_000_000));
        let origin = Origin { document, start: 0, end: text.len() as u64 };
        writer.push_reference(&Digest::of(&number.to_le_bytes()), 12, &text, &[origin]).unwrap();
        let floats = (0..2 * TOKENS * HEAD).map(|_| random.uniform() as f32);
        let record: Vec<u8> = (0..TOKENS as u8).chain(floats.flat_map(f32::to_le_bytes)).collect();
        writer.push_memory(&record).unwrap();
        let mut vector: Vec<f32> = (0..DIM).map(|_| random.uniform() as f32 - 0.5).collect();
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        vector.iter_mut().for_each(|x| *x /= length);
        writer.push_embedding(&vector).unwrap();
    }
    let (model, embedder) = identities(shape);
    writer.finish(model, "f32", embedder, "a test").unwrap();
}

fn identities(shape: MemoryShape) -> (ModelIdentity, EmbedderIdentity) {
    let digest = Digest::of(b"");
    let model = ModelIdentity {
        name: "a model".into(),
        weights: digest,
        adapter: None,
        config: digest,
        tokenizer: digest,
        layers: 2,
        first_memory_layer: 0,
        query_heads: 1,
        rope_base: 10_000.0,
        prefix_ids: vec![1],
        reference_length: 128,
        reference_template: "{text}".into(),
        selection: "attention-sum-pre-rope-v1".into(),
        shape,
    };
    let embedder =
        EmbedderIdentity { name: "an embedder".into(), digest, dim: DIM, metric: "cosine".into(), max_tokens: 256, prompts: None };
    (model, embedder)
}

/// Writes the set of these packs, which are in the same folder.
pub fn write_set(path: &Path, packs: &[PathBuf]) {
    let mut listed = Vec::new();
    let mut shape = None;
    for pack in packs {
        let opened = Pack::open(fs::read(pack).unwrap()).unwrap();
        listed.push(SetPack::of(pack.file_name().unwrap().to_str().unwrap(), &opened).unwrap());
        shape = Some(opened.manifest().model.shape.clone());
    }
    let (model, embedder) = identities(shape.unwrap());
    let manifest = SetManifest { generator: "a test".into(), model, precision: "f32".into(), embedder, codec: "F32".into(), packs: listed };
    fs::write(path, PackSetFile::new(manifest, Routing::default()).unwrap().to_bytes()).unwrap();
}

/// Makes the bank `legal` of two packs, of which 1 in 100 references is another in each version.
pub fn make_bank(folder: &Path, version: u64) -> PathBuf {
    fs::create_dir_all(folder).unwrap();
    let packs: Vec<PathBuf> = (0..2u64)
        .map(|pack| {
            let path = folder.join(format!("legal-000{pack}.mpk"));
            // Those that change stand together, as those of a document do.
            let number = |at| if at / 5 == version + 3 * pack { 1_000_000 * (version + 1) + at } else { at };
            write_pack(&path, &(0..500).map(|at| number(at) + 10_000 * pack).collect::<Vec<u64>>());
            path
        })
        .collect();
    let set = folder.join("legal.mps");
    write_set(&set, &packs);
    set
}

/// Requests of a test: quick to be repeated.
pub fn requests() -> Requests {
    Requests {
        attempts: 8,
        wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(10),
        timeout: Duration::from_millis(2_000),
        at_once: 4,
    }
}

/// A store over `inner`, in memory.
pub fn conditional(inner: Arc<dyn ObjectStore>) -> Store {
    Store::new(inner, StorePath::from("banks"), "memory:///banks".into(), Guard::Conditional, requests())
}

/// A new store in memory.
pub fn in_memory() -> (Store, Arc<dyn ObjectStore>) {
    let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    (conditional(Arc::clone(&inner)), inner)
}

/// The objects of a folder, as `file://` has them but without waiting for the disk.
pub fn folder_objects(folder: &Path) -> Arc<dyn ObjectStore> {
    fs::create_dir_all(folder).unwrap();
    Arc::new(LocalFileSystem::new_with_prefix(folder).unwrap())
}

/// A store over `inner`, which is [`folder_objects`] of `folder`, perhaps with faults.
pub fn in_folder(folder: &Path, inner: Arc<dyn ObjectStore>) -> Store {
    Store::new(inner, StorePath::from("banks"), format!("file://{}", folder.display()), Guard::Folder(folder.to_owned()), requests())
}

/// Reads a bank of the disk.
pub fn read(path: &Path) -> LocalBank {
    LocalBank::read(path, &()).unwrap()
}

/// Runs asynchronous work.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(work)
}

/// The files of a folder by name, hidden ones too, and the digests of their bytes.
pub fn files(folder: &Path) -> std::collections::BTreeMap<String, Digest> {
    let Ok(files) = fs::read_dir(folder) else { return Default::default() };
    files
        .map(|file| file.unwrap())
        .map(|file| (file.file_name().into_string().unwrap(), Digest::of(&fs::read(file.path()).unwrap())))
        .collect()
}
