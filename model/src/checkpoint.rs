//! Weights on disk: one safetensors file or several shards, memory-mapped, with headers that are checked before any tensor is read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use mempack_format::Digest;
use mempack_kernels::Stored;
use tch::{Device, Kind, Tensor};

use crate::LoadError;
use crate::fields::{Fields, io_error, read_object, wrong_file};
use crate::folder::other_weights;
use crate::foreign::recognise;
use crate::safetensors_header::{Entry, parse_header};

/// The file of an unsharded checkpoint.
const SINGLE: &str = "model.safetensors";
/// The index of a sharded checkpoint.
const INDEX: &str = "model.safetensors.index.json";
const FETCH: &str = "fetch the model's weights in safetensors format";

/// The tensors of a checkpoint, by name.
pub(crate) struct Checkpoint {
    path: PathBuf,
    files: Vec<(PathBuf, Mmap)>,
    tensors: BTreeMap<String, (usize, Entry)>,
}

/// The digest of the weights in a Hugging Face folder, as identities have it: of name, type, shape and bytes of all tensors.
///
/// # Errors
///
/// If the folder has no weights, or they are damaged.
pub fn weights_digest(folder: &Path) -> Result<Digest, LoadError> {
    Ok(Checkpoint::open(folder)?.digest())
}

impl Checkpoint {
    /// Opens the checkpoint of a Hugging Face folder: `model.safetensors`, or the files that its index names.
    pub(crate) fn open(folder: &Path) -> Result<Self, LoadError> {
        let single = folder.join(SINGLE);
        let index = folder.join(INDEX);
        if single.exists() || !index.exists() {
            return match other_weights(folder).filter(|_| !single.exists()) {
                Some((name, remedy)) => Err(LoadError::WrongFile {
                    path: folder.to_owned(),
                    expected: SINGLE,
                    found: format!("{name} alone"),
                    remedy: remedy.into(),
                }),
                None => Self::open_file(&single),
            };
        }
        let object = read_object(&index, FETCH)?;
        let fields = Fields::new(&index, &object);
        let map = fields.required("weight_map", "a map from tensor to file", fields.get("weight_map").and_then(|m| m.as_object()))?;
        let mut names = BTreeSet::new();
        for (tensor, file) in map {
            // A file name and no path, so that an index cannot refer to files outside of its folder.
            match file.as_str().filter(|name| Path::new(name).file_name().is_some_and(|f| f == *name)) {
                Some(name) => names.insert(name),
                None => {
                    return Err(fields.refuse(
                        &format!("weight_map.{tensor}"),
                        "the name of a file in this folder",
                        file.to_string(),
                        FETCH,
                    ));
                }
            };
        }
        let mut checkpoint = Self { path: folder.to_owned(), files: Vec::new(), tensors: BTreeMap::new() };
        for name in names {
            checkpoint.add(&folder.join(name))?;
        }
        for tensor in map.keys() {
            if !checkpoint.tensors.contains_key(tensor) {
                return Err(checkpoint.wrong(tensor, "a tensor in the file the index names", "nothing", FETCH));
            }
        }
        Ok(checkpoint)
    }

    /// Opens one safetensors file.
    pub(crate) fn open_file(path: &Path) -> Result<Self, LoadError> {
        let mut checkpoint = Self { path: path.to_owned(), files: Vec::new(), tensors: BTreeMap::new() };
        checkpoint.add(path)?;
        Ok(checkpoint)
    }

    fn add(&mut self, path: &Path) -> Result<(), LoadError> {
        let file = File::open(path).map_err(|source| io_error(path, "file of weights", FETCH, source))?;
        // SAFETY: the mapping is read-only and private to this checkpoint, and tensors copy their bytes out of it. If another process
        // truncates the file meanwhile, the program ends with a signal, as with any mapping.
        let map = unsafe { Mmap::map(&file) }.map_err(|source| LoadError::Io { path: path.to_owned(), source })?;
        if let Some(foreign) = recognise(&map) {
            return Err(wrong_file(path, "a safetensors file", &foreign));
        }
        let number = self.files.len();
        for (name, entry) in parse_header(path, &map)? {
            if self.tensors.insert(name.clone(), (number, entry)).is_some() {
                return Err(LoadError::Tensor {
                    path: path.to_owned(),
                    tensor: name.into(),
                    expected: "a tensor in one file".into(),
                    found: "the same name in two".into(),
                    remedy: FETCH.into(),
                });
            }
        }
        self.files.push((path.to_owned(), map));
        Ok(())
    }

    /// Names of the tensors, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Whether the checkpoint holds a tensor of this name.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Reads the tensor `name`, which must have the shape `shape`, and converts it to `kind` on `device`.
    pub(crate) fn tensor(&self, name: &str, shape: &[i64], kind: Kind, device: Device) -> Result<Tensor, LoadError> {
        let (bytes, stored) = match self.stored(name, shape)? {
            Stored::F32(bytes) => (bytes, Kind::Float),
            Stored::F16(bytes) => (bytes, Kind::Half),
            Stored::Bf16(bytes) => (bytes, Kind::BFloat16),
        };
        Ok(Tensor::f_from_data_size(bytes, shape, stored)?.f_to_kind(kind)?.f_to_device(device)?)
    }

    /// The numbers of the tensor `name`, which must have the shape `shape`.
    pub(crate) fn stored(&self, name: &str, shape: &[i64]) -> Result<Stored<'_>, LoadError> {
        let Some((file, entry)) = self.tensors.get(name) else {
            return Err(self.wrong(
                name,
                &format!("a tensor of shape {shape:?}"),
                "nothing",
                "the weights belong to another config.json, or are incomplete",
            ));
        };
        if entry.shape != shape {
            let found = format!("{:?}", entry.shape);
            return Err(self.wrong(name, &format!("shape {shape:?}"), &found, "the weights belong to another config.json"));
        }
        let bytes = self.bytes(*file, entry);
        match entry.dtype.as_str() {
            "F32" => Ok(Stored::F32(bytes)),
            "F16" => Ok(Stored::F16(bytes)),
            "BF16" => Ok(Stored::Bf16(bytes)),
            other => Err(self.wrong(name, "F32, F16 or BF16", other, "convert the weights")),
        }
    }

    /// Digest of name, type, shape and bytes of all tensors, in the order of their names. It does not depend on sharding.
    pub(crate) fn digest(&self) -> Digest {
        let mut hash = blake3::Hasher::new();
        for (name, (file, entry)) in &self.tensors {
            let head = format!("{name}\0{}\0{:?}\0", entry.dtype, entry.shape);
            hash.update(&(head.len() as u64).to_le_bytes()).update(head.as_bytes());
            hash.update(self.bytes(*file, entry));
        }
        hash.finalize().into()
    }

    /// An error about the tensor `name`.
    pub(crate) fn wrong(&self, name: &str, expected: &str, found: &str, remedy: &str) -> LoadError {
        let path = self.tensors.get(name).and_then(|(file, _)| self.files.get(*file)).map_or(&self.path, |(path, _)| path);
        LoadError::Tensor { path: path.clone(), tensor: name.into(), expected: expected.into(), found: found.into(), remedy: remedy.into() }
    }

    /// The bytes of an entry, whose span `parse_header` has checked against the file.
    fn bytes(&self, file: usize, entry: &Entry) -> &[u8] {
        &self.files[file].1[entry.span.clone()]
    }
}
