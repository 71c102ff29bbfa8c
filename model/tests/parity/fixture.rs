//! Golden values on disk, as tests/fixtures/README.md describes them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mempack_model::{Memory, Slot};
use safetensors::SafeTensors;

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Where the cases lie: `$MEMPACK_FIXTURES`, else `tests/fixtures` of the repository.
pub fn folder() -> PathBuf {
    std::env::var_os("MEMPACK_FIXTURES").map_or_else(|| root().join("tests/fixtures"), PathBuf::from)
}

/// The folders of [`folder`] that hold golden values of a decoder; `with_model`: those that hold the model as well.
pub fn cases(with_model: bool) -> Vec<PathBuf> {
    let top = folder();
    let entries = std::fs::read_dir(&top).unwrap_or_else(|e| panic!("{}: {e}", top.display()));
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    found.retain(|f| f.join("cases.json").is_file() && f.join("expected.safetensors").is_file() && f.join("model").is_dir() == with_model);
    found.sort();
    found
}

#[derive(serde::Deserialize)]
pub struct Cases {
    pub references: Vec<Vec<u32>>,
    pub text: Vec<u32>,
    pub retrieved: Vec<Vec<usize>>,
    pub similarity: Vec<Vec<f32>>,
    #[serde(default)]
    pub reference_texts: Vec<String>,
    #[serde(default)]
    pub question: String,
}

impl Cases {
    pub fn read(folder: &Path) -> Self {
        let path = folder.join("cases.json");
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// What each chunk reads; equal similarities without `biased`, so that the bias is 0 whatever its weight.
    pub fn chunks<'a>(&self, memories: &'a [Memory], biased: bool) -> Vec<Vec<Slot<'a>>> {
        let slot = |r: &usize, s: &f32| Slot { memory: &memories[*r], similarity: if biased { *s } else { 1.0 } };
        self.retrieved.iter().zip(&self.similarity).map(|(rs, ss)| rs.iter().zip(ss).map(|(r, s)| slot(r, s)).collect()).collect()
    }
}

/// The tensors of a safetensors file.
pub struct Expected {
    pub floats: BTreeMap<String, Vec<f32>>,
    pub integers: BTreeMap<String, Vec<i64>>,
}

impl Expected {
    pub fn read(folder: &Path) -> Self {
        let bytes = std::fs::read(folder.join("expected.safetensors")).unwrap();
        let (mut floats, mut integers) = (BTreeMap::new(), BTreeMap::new());
        for (name, view) in SafeTensors::deserialize(&bytes).unwrap().tensors() {
            match view.dtype() {
                safetensors::Dtype::F32 => {
                    let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
                    floats.insert(name, values.collect());
                }
                safetensors::Dtype::I64 => {
                    let values = view.data().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()));
                    integers.insert(name, values.collect());
                }
                other => panic!("{name}: {other:?}"),
            }
        }
        Self { floats, integers }
    }

    pub fn float(&self, name: &str) -> &[f32] {
        self.floats.get(name).unwrap_or_else(|| panic!("no {name} in expected.safetensors"))
    }
}

/// The largest difference of two lists of the same length.
pub fn largest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, |max, d| if d.is_nan() { f32::INFINITY } else { max.max(d) })
}

/// `|a - b| / |b|`.
pub fn relative(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let square = |x: f32| f64::from(x) * f64::from(x);
    let off: f64 = a.iter().zip(b).map(|(a, b)| square(a - b)).sum();
    (off / b.iter().map(|b| square(*b)).sum::<f64>()).sqrt()
}
