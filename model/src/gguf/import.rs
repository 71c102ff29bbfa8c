//! From a GGUF file to a Hugging Face folder.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use half::bf16;
use half::slice::HalfFloatSliceExt;
use memmap2::Mmap;
use serde_json::{Map, Value, json};

use super::architecture::{Architecture, MappedTensor};
use super::error::ImportError;
use super::keys::refuse_unknown;
use super::reader::{Gguf, MAGIC, parse};
use super::tied::TiedEmbedding;
use super::tokenizer::{tokenizer_config, tokenizer_json};
use crate::NewFolder;
use crate::foreign::{Foreign, is_safetensors, recognise};

/// Elements that are converted at a time. This bounds the memory of an import, whatever the size of the tensors.
const CHUNK: usize = 1 << 18;

/// The result of an import.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ImportSummary {
    /// The model's name in the file, if it has one.
    pub name: Option<String>,
    /// `model_type` in config.json.
    pub model_type: String,
    /// Tensors written.
    pub tensors: usize,
    /// Their elements.
    pub parameters: u64,
    /// Bytes of `model.safetensors`.
    pub bytes: u64,
    /// Set if the file holds embedding and head as one matrix at two precisions, of which the better one was kept for both.
    pub tied: Option<TiedEmbedding>,
}

/// Turns a GGUF file into a Hugging Face folder at `out`: `config.json`, `model.safetensors` in bf16, `tokenizer.json` and
/// `tokenizer_config.json`.
///
/// Supported are the architectures `llama` (which includes Mistral in GGUF), `qwen2`, `qwen3` and `gemma3`, stored as F32, F16, BF16, Q4_0,
/// Q4_1, Q5_0, Q5_1, Q8_0 or Q2_K to Q6_K. Values are computed in f32 and rounded to the nearest bf16. An embedding and a head that are one matrix at
/// two precisions are imported as one tensor, see [`TiedEmbedding`].
///
/// The tokenizer is made from a byte-level vocabulary in the file. For a SentencePiece vocabulary, or without the name of a known
/// pre-tokenizer, `tokenizer` must be the model's own tokenizer.json, which is checked against the file and copied.
///
/// A key of the architecture or the tokenizer that may change what is computed and is not understood is refused.
///
/// `progress` is called with the number of elements written so far and in total. The folder is written beside `out` under another name
/// and renamed at the end. Memory is bounded by a few MB and the vocabulary, whatever the size of the file.
///
/// # Errors
///
/// [`ImportError`], with the part of the file, what was expected there, what was found, and how to fix it. `out` must not exist. Every
/// length in the file is checked against a cap and the size of the file before it is used.
pub fn import_gguf(
    file: &Path,
    out: &Path,
    tokenizer: Option<&Path>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<ImportSummary, ImportError> {
    if out.symlink_metadata().is_ok() {
        return Err(ImportError::TargetExists { path: out.to_owned() });
    }
    let read = |source| ImportError::Read { path: file.to_owned(), source };
    if file.is_dir() {
        return Err(ImportError::NotGguf {
            path: file.to_owned(),
            found: "a folder",
            remedy: "name a GGUF file; a Hugging Face folder is a model as it is and needs no import",
        });
    }
    let handle = File::open(file).map_err(read)?;
    // SAFETY: the mapping is read-only and dropped before this function returns, and what is read from it is copied. If another process
    // truncates the file meanwhile, the program ends with a signal, as with any mapping.
    let bytes = unsafe { Mmap::map(&handle) }.map_err(read)?;
    if let Some(Foreign { found, remedy }) = recognise(&bytes).filter(|_| !bytes.starts_with(&MAGIC)) {
        return Err(ImportError::NotGguf { path: file.to_owned(), found, remedy });
    }
    if is_safetensors(&bytes) {
        let remedy = "a Hugging Face folder is a model as it is: name the folder that this file is in, without an import";
        return Err(ImportError::NotGguf { path: file.to_owned(), found: "a safetensors file", remedy });
    }
    let gguf = parse(file, &bytes)?;
    let architecture = Architecture::read(&gguf)?;
    let tensors = architecture.map(&gguf)?;
    let config = architecture.config(&gguf.metadata)?;
    let tokenizer_file = tokenizer_json(&gguf.metadata, architecture.dimensions.vocabulary, tokenizer)?;
    let tokenizer_config = tokenizer_config(&gguf.metadata)?;
    refuse_unknown(&gguf.metadata, architecture.layout.architecture, tokenizer.is_some())?;
    let name = gguf.metadata.str("general.name")?.map(str::to_owned);

    let folder = NewFolder::beside(out).map_err(ImportError::write(out))?;
    let put = |name: &str, bytes: &[u8]| folder.write(name, bytes).map_err(ImportError::write(&folder.join(name)));
    put("config.json", &pretty(&config))?;
    put("tokenizer.json", &tokenizer_file)?;
    put("tokenizer_config.json", &pretty(&tokenizer_config))?;
    let (parameters, size) = write_tensors(&folder.join("model.safetensors"), &gguf, &tensors, progress)?;
    folder.finish().map_err(|source| match source.kind() {
        std::io::ErrorKind::AlreadyExists => ImportError::TargetExists { path: out.to_owned() },
        _ => ImportError::write(out)(source),
    })?;
    let (model_type, tensors, tied) = (architecture.family.model_type.to_owned(), tensors.len(), architecture.tied.clone());
    Ok(ImportSummary { name, model_type, tensors, parameters, bytes: size, tied })
}

fn pretty(value: &Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

/// Writes the tensors to one safetensors file, in chunks. Returns the number of elements and the size of the file in bytes.
fn write_tensors(
    path: &Path,
    gguf: &Gguf<'_>,
    tensors: &[MappedTensor<'_>],
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(u64, u64), ImportError> {
    let mut entries = Map::new();
    entries.insert("__metadata__".into(), json!({ "format": "pt" }));
    let mut elements = 0;
    for tensor in tensors {
        // An element takes at least a quarter of a byte in the file, so the sum fits in 64 bits.
        let end = elements + tensor.info.shape.iter().product::<u64>();
        entries
            .insert(tensor.name.clone(), json!({ "dtype": "BF16", "shape": tensor.info.shape, "data_offsets": [2 * elements, 2 * end] }));
        elements = end;
    }
    let mut header = Value::Object(entries).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');

    let fail = |source| ImportError::Write { path: path.to_owned(), source };
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).map_err(fail)?);
    file.write_all(&(header.len() as u64).to_le_bytes()).and_then(|()| file.write_all(&header)).map_err(fail)?;
    let mut done = 0;
    progress(done, elements);
    for tensor in tensors {
        write_tensor(gguf, tensor, &mut |values| {
            file.write_all(values).map_err(fail)?;
            done += values.len() as u64 / 2;
            progress(done, elements);
            Ok(())
        })?;
    }
    let file = file.into_inner().map_err(|e| fail(e.into_error()))?;
    file.sync_all().map_err(fail)?;
    Ok((elements, 8 + header.len() as u64 + 2 * elements))
}

/// Passes the tensor's values to `sink`, in little-endian bf16, at most [`CHUNK`] at a time.
fn write_tensor(
    gguf: &Gguf<'_>,
    tensor: &MappedTensor<'_>,
    sink: &mut dyn FnMut(&[u8]) -> Result<(), ImportError>,
) -> Result<(), ImportError> {
    let info = tensor.info;
    let elements = info.shape.iter().product::<u64>() as usize;
    // A bias whose heads are reordered has rows of one element; any other vector is one row.
    let rows =
        if info.shape.len() == 1 && tensor.interleaved_heads.is_none() { 1 } else { info.shape.first().map_or(1, |rows| *rows as usize) };
    let bytes = gguf.bytes.get(info.span.clone()).unwrap_or_default();
    let (columns, row_bytes) = (elements / rows, bytes.len() / rows);
    // Rows are whole blocks, and long rows are cut between blocks.
    let (block, block_bytes) = (info.kind.block(), info.kind.block_bytes());
    let piece = columns.min(CHUNK) / block * block_bytes;
    let mut chunk = Bf16Chunk { values: Vec::with_capacity(CHUNK.min(elements)), halves: Vec::new(), bytes: Vec::new() };
    for row in 0..rows {
        let from = source_row(row, rows, tensor.interleaved_heads) * row_bytes;
        for part in bytes[from..from + row_bytes].chunks(piece) {
            let count = part.len() / block_bytes * block;
            if chunk.values.len() + count > CHUNK {
                sink(chunk.convert())?;
                chunk.values.clear();
            }
            let start = chunk.values.len();
            chunk.values.resize(start + count, 0.0);
            info.kind.dequantize(part, &mut chunk.values[start..]);
            if tensor.offset != 0.0 {
                chunk.values[start..].iter_mut().for_each(|value| *value -= tensor.offset);
            }
        }
    }
    sink(chunk.convert())
}

/// Values that are converted to bf16 together, with buffers for the result.
struct Bf16Chunk {
    values: Vec<f32>,
    halves: Vec<bf16>,
    bytes: Vec<u8>,
}

impl Bf16Chunk {
    /// The values in little-endian bf16.
    fn convert(&mut self) -> &[u8] {
        self.halves.resize(self.values.len(), bf16::ZERO);
        self.halves.convert_from_f32_slice(&self.values);
        self.bytes.clear();
        self.bytes.extend(self.halves.iter().flat_map(|half| half.to_le_bytes()));
        &self.bytes
    }
}

/// The row of the file that becomes row `row` of the checkpoint.
///
/// Hugging Face's RoPE rotates dimension `i` of a head with `i + head_dim / 2`. ggml's Llama rotates neighbours, and the file has the rows
/// of q and k in that order: row `j * half + i` of a head is at `2 * i + j`.
fn source_row(row: usize, rows: usize, heads: Option<u32>) -> usize {
    let Some(heads) = heads else { return row };
    let dim = rows / heads as usize;
    let (head, within) = (row / dim, row % dim);
    let (j, i) = (within / (dim / 2), within % (dim / 2));
    head * dim + 2 * i + j
}
