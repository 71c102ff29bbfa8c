//! A small model in a temporary folder, to be damaged.

use std::path::{Path, PathBuf};

use mempack_model::{Decoder, DeviceChoice, LoadError, LoadOptions, Precision};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Map, Value};

pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("tests/fixtures")
}

/// A tensor: name, type, shape, bytes.
#[derive(Clone)]
pub struct Raw {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

impl Raw {
    pub fn f32(name: &str, shape: &[usize], values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        Self { name: name.into(), dtype: Dtype::F32, shape: shape.to_vec(), bytes }
    }

    pub fn values(&self) -> Vec<f32> {
        self.bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    }
}

/// A copy of the fixture `llama_mha`'s model.
pub struct Folder {
    pub dir: tempfile::TempDir,
}

impl Folder {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["config.json", "model.safetensors"] {
            std::fs::copy(fixtures().join("llama_mha/model").join(name), dir.path().join(name)).unwrap();
        }
        Self { dir }
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn load(&self) -> Result<Decoder, LoadError> {
        load(self.dir.path(), None)
    }

    /// What loading is refused with.
    pub fn refusal(&self) -> String {
        self.load().err().expect("a refusal").to_string()
    }

    pub fn edit(&self, name: &str, edit: impl FnOnce(&mut Map<String, Value>)) {
        let mut object: Map<String, Value> = serde_json::from_slice(&std::fs::read(self.file(name)).unwrap()).unwrap();
        edit(&mut object);
        std::fs::write(self.file(name), serde_json::to_vec(&object).unwrap()).unwrap();
    }

    pub fn tensors(&self) -> Vec<Raw> {
        read(&self.file("model.safetensors"))
    }
}

pub fn load(folder: &Path, base: Option<&Path>) -> Result<Decoder, LoadError> {
    mempack_model::set_threads(1);
    Decoder::load(
        folder,
        &LoadOptions { precision: Precision::F32, device: DeviceChoice::Cpu, base: base.map(Path::to_owned), ..LoadOptions::default() },
    )
}

pub fn read(path: &Path) -> Vec<Raw> {
    let bytes = std::fs::read(path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let raw = |(name, view): (String, TensorView<'_>)| Raw {
        name,
        dtype: view.dtype(),
        shape: view.shape().to_vec(),
        bytes: view.data().to_vec(),
    };
    tensors.tensors().into_iter().map(raw).collect()
}

pub fn write(path: &Path, tensors: &[Raw]) {
    let views = tensors.iter().map(|t| (t.name.as_str(), TensorView::new(t.dtype, t.shape.clone(), &t.bytes).unwrap()));
    safetensors::serialize_to_file(views, None, path).unwrap();
}

#[track_caller]
pub fn assert_names(error: &str, parts: &[&str]) {
    for part in parts {
        assert!(error.contains(part), "`{error}` does not name `{part}`");
    }
}
