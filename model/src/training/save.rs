//! Saves trained weights in the layouts of other programs.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Component, Path, PathBuf};

use safetensors::{Dtype, View};
use serde_json::{Map, Value, json};
use tch::{Kind, TchError, Tensor};

use super::Trainee;
use crate::adapter::{CONFIG, WEIGHTS};
use crate::reads_only::{self, ReadsOnly};
use crate::{NewFolder, Precision};

/// An error while writing a folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SaveError {
    /// A file or folder could not be written.
    #[error("{path}: cannot be written: {source}; the folder must not exist, and its parent must be writable", path = path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The weights could not be written.
    #[error("{path}: {source}", path = path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// The safetensors crate's error.
        source: safetensors::SafeTensorError,
    },
    /// A failure of libtorch.
    #[error("libtorch: {0}")]
    Torch(#[from] TchError),
}

impl Trainee {
    /// Writes the trained weights to the new folder `folder`: an adapter in the PEFT layout with its `memory.json`, or the whole model as
    /// a Hugging Face folder. Values are the f32 masters rounded to `precision`. A reading adapter names its writer by the path from its own
    /// folder and by digests.
    ///
    /// # Errors
    /// A folder that exists or cannot be written. A failure leaves no folder.
    pub fn save(&self, folder: &Path, precision: Precision) -> Result<(), SaveError> {
        let io = |source| SaveError::Io { path: folder.to_owned(), source };
        let new = NewFolder::beside(folder).map_err(io)?;
        let model = self.model();
        let memory = match &self.writer {
            Some(_) => ReadsOnly::to_json(model.identity(), model.memory().to_whole_json()),
            None => model.memory().to_json(),
        };
        let weights = match &self.adapter {
            Some(adapter) => {
                let base = match &self.writer {
                    Some(writer) => path_from(folder, writer).map_err(io)?.to_string_lossy().into_owned(),
                    None => adapter.base.clone(),
                };
                let config = json!({
                    "peft_type": "LORA",
                    "task_type": "CAUSAL_LM",
                    "base_model_name_or_path": base,
                    "r": adapter.rank,
                    "lora_alpha": adapter.alpha,
                    "lora_dropout": 0.0,
                    "bias": "none",
                    "fan_in_fan_out": false,
                    "inference_mode": true,
                    "use_rslora": adapter.rank_stabilised,
                    "target_modules": adapter.targets,
                });
                new.write(CONFIG, &pretty(&config)).map_err(io)?;
                new.write(reads_only::FILE, &pretty(&memory)).map_err(io)?;
                WEIGHTS
            }
            None => {
                let mut config = self.config.clone();
                config.insert("memory".into(), memory);
                // Older files have `torch_dtype`, newer ones `dtype`; only one of them is written.
                let dtype = if config.remove("dtype").is_some() { "dtype" } else { "torch_dtype" };
                config.remove("torch_dtype");
                config.insert(dtype.into(), if precision == Precision::F32 { "float32" } else { "bfloat16" }.into());
                // The defaults of the families differ.
                config.insert("tie_word_embeddings".into(), model.decoder().is_tied().into());
                new.write("config.json", &pretty(&Value::Object(config))).map_err(io)?;
                std::fs::copy(&self.tokenizer, new.join("tokenizer.json")).map_err(io)?;
                // They tell which tokens are control tokens and which end a text.
                for name in ["tokenizer_config.json", "special_tokens_map.json", "generation_config.json", "chat_template.jinja"] {
                    let beside = self.tokenizer.with_file_name(name);
                    if beside.is_file() {
                        std::fs::copy(beside, new.join(name)).map_err(io)?;
                    }
                }
                "model.safetensors"
            }
        };
        let path = new.join(weights);
        write_tensors(&path, &self.named(precision.kind())?)?;
        new.finish().map_err(io)
    }

    /// The trained tensors with their names in files. Projections that are trained as one tensor are split.
    fn named(&self, kind: Kind) -> Result<Vec<(String, Tensor)>, TchError> {
        let _guard = tch::no_grad_guard();
        let mut named = Vec::new();
        for parameter in &self.parameters {
            let mut row = 0;
            for (name, rows) in &parameter.pieces {
                let piece = parameter.master.f_narrow(0, row, *rows)?.f_to_kind(kind)?;
                named.push((name.clone(), piece));
                row += rows;
            }
        }
        Ok(named)
    }
}

/// The path to the folder `to` from the folder `from`, of which only the parent need exist.
fn path_from(from: &Path, to: &Path) -> std::io::Result<PathBuf> {
    let parent = from.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (parent, to) = (parent.canonicalize()?, to.canonicalize()?);
    let shared = parent.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    // One more for `from` itself.
    let up = parent.components().skip(shared).map(|_| Component::ParentDir).chain([Component::ParentDir]);
    Ok(up.chain(to.components().skip(shared)).collect())
}

pub(super) fn pretty(value: &Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

/// Writes tensors to a safetensors file, ordered by type and name, and syncs it.
///
/// # Errors
/// A tensor of another type than f32, bf16 or i64, or a file that cannot be written.
pub(super) fn write_tensors<N: AsRef<str>>(path: &Path, tensors: &[(N, Tensor)]) -> Result<(), SaveError> {
    let views = tensors.iter().map(|(name, tensor)| Ok((name.as_ref(), TensorBytes::of(tensor)?)));
    let views = views.collect::<Result<Vec<_>, TchError>>()?;
    // Other programs look here for the library whose conventions the names follow.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let io = |source| SaveError::Io { path: path.to_owned(), source };
    // The safetensors crate creates files that only their owner can read; this one gets ordinary permissions.
    let usual = File::create(path).and_then(|file| file.metadata()).map_err(io)?.permissions();
    safetensors::serialize_to_file(views, Some(metadata), path)
        .map_err(|source| SaveError::Safetensors { path: path.to_owned(), source })?;
    std::fs::set_permissions(path, usual).and_then(|()| File::open(path)?.sync_all()).map_err(io)
}

/// A tensor's values in the form of a file.
struct TensorBytes {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl TensorBytes {
    fn of(tensor: &Tensor) -> Result<Self, TchError> {
        let (dtype, width) = match tensor.kind() {
            Kind::Float => (Dtype::F32, 4),
            Kind::BFloat16 => (Dtype::BF16, 2),
            Kind::Int64 => (Dtype::I64, 8),
            other => return Err(TchError::Convert(format!("a tensor of type {other:?} is not written"))),
        };
        let tensor = tensor.f_detach()?.f_to_device(tch::Device::Cpu)?.f_contiguous()?;
        let mut bytes = vec![0; tensor.numel() * width];
        tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
        Ok(Self { dtype, shape: tensor.size().iter().map(|n| *n as usize).collect(), bytes })
    }
}

impl View for TensorBytes {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> std::borrow::Cow<'_, [u8]> {
        (&self.bytes).into()
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// The object of a configuration file.
pub(super) type Config = Map<String, Value>;
