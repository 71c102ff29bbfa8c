//! New models: random weights in an ordinary Hugging Face folder.

use std::path::Path;

use serde_json::Value;
use tch::{Device, Kind, TchError, Tensor};

use super::SaveError;
use super::new_tokenizer::train_tokenizer;
use super::save::{pretty, write_tensors};
use crate::family::{LayerModule, Module};
use crate::fields::{Fields, read_file, read_object};
use crate::generation::Generation;
use crate::{LoadError, MemoryConfig, ModelConfig, NewFolder, TextTokenizer};

/// Standard deviation of new weights if config.json has no `initializer_range`: Llama's.
const DEVIATION: f64 = 0.02;

/// The inputs of a new model.
#[derive(Clone, Copy, Debug)]
pub struct ScratchOptions<'a> {
    /// The config.json, with a `memory` block unless all its defaults hold.
    pub config: &'a Path,
    /// Where its tokenizer comes from.
    pub tokenizer: NewTokenizer<'a>,
    /// Seed of the random weights.
    pub seed: u64,
}

/// Where the tokenizer of a new model comes from.
#[derive(Clone, Copy, Debug)]
pub enum NewTokenizer<'a> {
    /// A tokenizer.json, whose ids must be those of the configuration.
    File(&'a Path),
    /// A byte-level BPE tokenizer trained on texts.
    Trained {
        /// The texts.
        texts: &'a [String],
        /// Number of tokens, including the special ones and the 256 single bytes; `vocab_size` of the configuration if `None`.
        vocabulary: Option<u32>,
    },
}

/// Why a new model could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The configuration or the tokenizer was refused.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The folder could not be written.
    #[error(transparent)]
    Save(#[from] SaveError),
}

impl From<TchError> for CreateError {
    fn from(error: TchError) -> Self {
        Self::Save(error.into())
    }
}

/// Creates `folder` with config.json, model.safetensors (f32) and tokenizer.json. The same options give the same bytes.
///
/// Matrices are drawn from a normal distribution with standard deviation `initializer_range`. Those that write to the residual stream
/// are divided by the square root of their number, two a layer (GPT-2; Radford et al. 2019, section 2.3). Norms multiply by 1, biases
/// are 0.
///
/// # Errors
/// A configuration that is refused, a tokenizer that does not belong to it or cannot be trained, a folder that exists or cannot be
/// written. A failure leaves no folder.
pub fn create_model(folder: &Path, options: &ScratchOptions<'_>) -> Result<(), CreateError> {
    let path = options.config;
    let mut object = read_object(path, "name the config.json of the new model")?;
    if let NewTokenizer::Trained { vocabulary: Some(size), .. } = options.tokenizer {
        object.insert("vocab_size".into(), size.into());
    }
    let config = ModelConfig::parse(path, &object, &Generation::default())?;
    let memory = MemoryConfig::of_model(path, &object, &config)?;
    let fields = Fields::new(path, &object);
    let deviation = fields.f64("initializer_range")?.unwrap_or(DEVIATION);
    if deviation <= 0.0 {
        return Err(fields.refuse("initializer_range", "a positive number", deviation.to_string(), "correct the file").into());
    }
    let tokenizer = match options.tokenizer {
        NewTokenizer::File(path) => {
            TextTokenizer::load(path)?.check_vocabulary(config.vocabulary as usize)?;
            read_file(path, "tokenizer", "name the tokenizer.json of the new model")?
        }
        NewTokenizer::Trained { texts, .. } => train_tokenizer(&fields, &config, &memory, texts)?,
    };
    let weights = weights(&config, deviation, options.seed)?;
    object.insert("torch_dtype".into(), "float32".into());
    let io = |source| SaveError::Io { path: folder.to_owned(), source };
    let new = NewFolder::beside(folder).map_err(io)?;
    new.write("config.json", &pretty(&Value::Object(object))).map_err(io)?;
    new.write("tokenizer.json", &tokenizer).map_err(io)?;
    write_tensors(&new.join("model.safetensors"), &weights)?;
    Ok(new.finish().map_err(io)?)
}

/// All tensors of a model with their names, in f32.
fn weights(config: &ModelConfig, deviation: f64, seed: u64) -> Result<Vec<(String, Tensor)>, TchError> {
    let options = (Kind::Float, Device::Cpu);
    let into_stream = deviation / f64::from(2 * config.layers).sqrt();
    let mut all = Vec::new();
    for (module, shape) in config.dimensions().modules() {
        let name = config.family.names.weight(module);
        let rows = shape.rows as i64;
        let weight = match shape.columns {
            Some(columns) => {
                let writes_to_stream = matches!(module, Module::Layer(_, LayerModule::Output | LayerModule::Down));
                let count = (shape.rows * columns) as usize;
                let numbers = normal(seed, &name, count, if writes_to_stream { into_stream } else { deviation });
                Tensor::f_from_slice(&numbers)?.f_view([rows, columns as i64])?
            }
            None => Tensor::f_full([rows], 1.0 - config.family.norm_offset, options)?,
        };
        all.push((name, weight));
        if shape.bias {
            all.push((config.family.names.bias(module), Tensor::f_zeros([rows], options)?));
        }
    }
    Ok(all)
}

/// Normally distributed numbers with mean 0, which depend on the seed and the tensor's name alone.
///
/// libtorch has one generator for the whole process, and its numbers may change between versions. Here BLAKE3's extendable output gives
/// uniform numbers, and each pair of them gives two normal ones (Box and Muller, 1958).
fn normal(seed: u64, name: &str, count: usize, deviation: f64) -> Vec<f32> {
    let mut stream = blake3::Hasher::new().update(&seed.to_le_bytes()).update(name.as_bytes()).finalize_xof();
    let mut numbers = Vec::with_capacity(count + 1);
    let mut bytes = [0; 8];
    while numbers.len() < count {
        stream.fill(&mut bytes);
        let [a, b, c, d, e, f, g, h] = bytes;
        // Above 0, for the logarithm, and at most 1.
        let uniform = |four: [u8; 4]| (f64::from(u32::from_le_bytes(four)) + 1.0) / 4_294_967_296.0;
        let radius = deviation * (-2.0 * uniform([a, b, c, d]).ln()).sqrt();
        let (sine, cosine) = (std::f64::consts::TAU * uniform([e, f, g, h])).sin_cos();
        numbers.extend([(radius * cosine) as f32, (radius * sine) as f32]);
    }
    numbers.truncate(count);
    numbers
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::json;

    use super::*;
    use crate::{LoadOptions, Model};

    const TEXTS: [&str; 2] = ["The usual dose of Nutepril is 20 mg; the dose of Orvexa is 35 mg.", "Take it with water. 東京 👍"];

    fn config(change: impl FnOnce(&mut Value)) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let mut config = json!({
            "model_type": "llama", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
            "intermediate_size": 48, "vocab_size": 280, "rms_norm_eps": 1e-5, "bos_token_id": 1, "eos_token_id": 2,
            "pad_token_id": 0, "initializer_range": 0.05,
            "memory": {"num_memory_layers": 1, "reference_prefix_ids": [1, 4]},
        });
        change(&mut config);
        let path = folder.path().join("config.json");
        std::fs::write(&path, config.to_string()).unwrap();
        (folder, path)
    }

    fn create(path: &Path, name: &str, vocabulary: Option<u32>, seed: u64) -> Result<PathBuf, CreateError> {
        let folder = path.with_file_name(name);
        let texts = TEXTS.map(str::to_owned);
        let tokenizer = NewTokenizer::Trained { texts: &texts, vocabulary };
        create_model(&folder, &ScratchOptions { config: path, tokenizer, seed }).map(|()| folder)
    }

    fn refused(path: &Path, vocabulary: Option<u32>) -> String {
        create(path, "refused", vocabulary, 0).unwrap_err().to_string()
    }

    #[test]
    fn a_new_model_loads_and_its_seed_decides_its_weights() {
        // A tied head; biases; norm weights that are stored minus 1; norms of queries and keys, and after each part of a layer.
        for model_type in ["llama", "qwen2", "gemma", "qwen3", "gemma3_text"] {
            let (_folder, path) = config(|c| {
                c["model_type"] = model_type.into();
                c["tie_word_embeddings"] = (model_type == "llama").into();
            });
            let folders = ["a", "b", "c"].map(|name| create(&path, name, None, u64::from(name == "c")).unwrap());
            let model = Model::load(&folders[0], &LoadOptions::default()).unwrap();
            let text = "Nutepril 35 東京 👍 </s>";
            let ids = model.tokenizer().encode_plain(text).unwrap();
            assert_eq!(model.tokenizer().decode(&ids).unwrap(), text);
            assert!(ids.iter().all(|id| *id > 4), "{ids:?}");
            assert_eq!(model.tokenizer().encode_template("<s>").unwrap(), [1]);
            let read = |n: usize, file: &str| std::fs::read(folders[n].join(file)).unwrap();
            for file in ["config.json", "tokenizer.json", "model.safetensors"] {
                assert_eq!(read(0, file), read(1, file), "{file}");
            }
            assert_ne!(read(0, "model.safetensors"), read(2, "model.safetensors"));
            let tensors = Tensor::read_safetensors(folders[0].join("model.safetensors")).unwrap();
            let norm = &tensors.iter().find(|(name, _)| name == "model.norm.weight").unwrap().1;
            assert_eq!(norm.mean(Kind::Double).double_value(&[]), if model_type.starts_with("gemma") { 0.0 } else { 1.0 });
        }
    }

    #[test]
    fn weights_have_their_deviations() {
        let (_folder, path) = config(|_| ());
        let folder = create(&path, "new", None, 3).unwrap();
        let tensors = Tensor::read_safetensors(folder.join("model.safetensors")).unwrap();
        for (name, tensor) in tensors {
            let (mean, deviation) = (tensor.mean(Kind::Double).double_value(&[]), tensor.std(false).double_value(&[]));
            if name.contains("norm") {
                assert_eq!((mean, deviation), (1.0, 0.0), "{name}");
            } else {
                let expected = if name.contains("o_proj") || name.contains("down_proj") { 0.05 / 2.0 } else { 0.05 };
                // Four standard errors of either estimate.
                let error = 4.0 / (tensor.numel() as f64).sqrt();
                assert!((deviation / expected - 1.0).abs() < error && mean.abs() < error * expected, "{name}: {mean} {deviation}");
            }
        }
    }

    #[test]
    fn numbers_are_normal() {
        let numbers = normal(5, "a", 40_000, 2.0);
        for (below, share) in [(-4.0, 0.02275), (-2.0, 0.15866), (0.0, 0.5), (2.0, 0.84134), (4.0, 0.97725)] {
            let found = numbers.iter().filter(|x| **x < below).count() as f64 / 40_000.0;
            assert!((found - share).abs() < 0.01, "{below}: {found} {share}");
        }
        assert_eq!(normal(5, "a", 3, 2.0), numbers[..3]);
        assert_ne!(normal(5, "b", 3, 2.0), numbers[..3]);
        assert_ne!(normal(6, "a", 3, 2.0), numbers[..3]);
    }

    #[test]
    fn vocabularies_that_cannot_be_are_refused() {
        let (_folder, path) = config(|_| ());
        let folder = create(&path, "larger", Some(290), 0).unwrap();
        assert_eq!(Model::load(&folder, &LoadOptions::default()).unwrap().config().vocabulary, 290);
        // Two lines of text do not have as many different pairs.
        assert!(refused(&path, Some(5000)).contains("5000"));
        // Five special tokens and the bytes do not fit.
        assert!(refused(&path, Some(260)).contains("261"));
        let (_folder, path) = config(|c| c["eos_token_id"] = 270.into());
        let error = refused(&path, None);
        assert!(error.contains("eos_token_id") && error.contains("270"), "{error}");
        let (_folder, path) = config(|c| c["initializer_range"] = 0.into());
        assert!(refused(&path, None).contains("initializer_range"));
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/tiny/tokenizer.json");
        let (folder, path) = config(|_| ());
        let options = ScratchOptions { config: &path, tokenizer: NewTokenizer::File(&root), seed: 0 };
        let error = create_model(&folder.path().join("other"), &options).unwrap_err().to_string();
        assert!(error.contains("1536") && error.contains("280"), "{error}");
        // Nothing is left of what was refused.
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
