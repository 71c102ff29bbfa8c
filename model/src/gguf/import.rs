//! From a GGUF file to a Hugging Face folder.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use half::bf16;
use half::slice::HalfFloatSliceExt;
use memmap2::Mmap;
use serde_json::{Map, Value, json};

use super::architecture::{Architecture, Mapped};
use super::error::ImportError;
use super::reader::{Gguf, parse};
use super::tokenizer::{tokenizer_config, tokenizer_json};
use crate::NewFolder;

/// Elements that are turned at a time: what bounds the memory of an import, whatever the tensor's size.
const CHUNK: usize = 1 << 18;

/// What an import made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportSummary {
    /// The model's name in the file, if it has one.
    pub name: Option<String>,
    /// `llama` or `qwen2`.
    pub model_type: String,
    /// Tensors written.
    pub tensors: usize,
    /// Their elements.
    pub parameters: u64,
    /// Bytes of `model.safetensors`.
    pub bytes: u64,
}

/// Turns a GGUF file into a Hugging Face folder at `out`: `config.json`, `model.safetensors` in bf16, `tokenizer.json` and
/// `tokenizer_config.json`.
///
/// Llama-shaped models (`llama`, which Mistral is in GGUF, and `qwen2`) stored as F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1,
/// Q8_0 or Q2_K to Q6_K. Values are computed in f32 and rounded to the nearest bf16. The tokenizer is made from the file's
/// vocabulary if it is a byte-level one; for a SentencePiece vocabulary, and for pre-tokenizers that are not known,
/// `tokenizer` must name the model's own tokenizer.json, which is checked against the file and copied.
///
/// `progress` hears the elements written so far and all there will be. The folder is written beside `out` under another name
/// and renamed at the end; memory is bounded by a few MB and the vocabulary, whatever the file's size.
///
/// # Errors
///
/// [`ImportError`], with the part of the file, what was expected there, what was found and how to mend it. `out` must not
/// exist. No length in the file is believed before it has been checked against a cap and the file's size.
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
    let handle = File::open(file).map_err(read)?;
    // SAFETY: the map is read-only and lives no longer than this call; all that is read from it is copied. A file that
    // another process cuts short meanwhile ends the program, as with any mapping.
    let bytes = unsafe { Mmap::map(&handle) }.map_err(read)?;
    let gguf = parse(file, &bytes)?;
    let architecture = Architecture::read(&gguf)?;
    let tensors = architecture.map(&gguf)?;
    let config = architecture.config(&gguf.metadata)?;
    let tokenizer_file = tokenizer_json(&gguf.metadata, architecture.model_type(), architecture.vocabulary, tokenizer)?;
    let tokenizer_config = tokenizer_config(&gguf.metadata)?;
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
    Ok(ImportSummary { name, model_type: architecture.model_type().to_owned(), tensors: tensors.len(), parameters, bytes: size })
}

fn pretty(value: &Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

/// Writes the tensors as one safetensors file, in chunks; gives the number of elements and the size of the file.
fn write_tensors(
    path: &Path,
    gguf: &Gguf<'_>,
    tensors: &[Mapped<'_>],
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(u64, u64), ImportError> {
    let mut entries = Map::new();
    entries.insert("__metadata__".into(), json!({ "format": "pt" }));
    let mut elements = 0;
    for tensor in tensors {
        // Tensors lie in the file in at least a quarter of a byte an element: the sum is far from the end of 64 bits.
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

/// Gives the tensor's values to `sink`, in bf16, little-endian, at most [`CHUNK`] at a time.
fn write_tensor(gguf: &Gguf<'_>, tensor: &Mapped<'_>, sink: &mut dyn FnMut(&[u8]) -> Result<(), ImportError>) -> Result<(), ImportError> {
    let info = tensor.info;
    let elements = info.shape.iter().product::<u64>() as usize;
    // A permuted bias moves element by element, any other vector stays as it is.
    let rows =
        if info.shape.len() == 1 && tensor.permuted_heads.is_none() { 1 } else { info.shape.first().map_or(1, |rows| *rows as usize) };
    let bytes = gguf.bytes.get(info.span.clone()).unwrap_or_default();
    let (columns, row_bytes) = (elements / rows, bytes.len() / rows);
    // A row is whole blocks, and so is a chunk: pieces of a long row end between blocks.
    let block = info.kind.block();
    let block_bytes = row_bytes / (columns / block);
    let piece = columns.min(CHUNK) / block * block_bytes;
    let mut chunk = Chunk { values: Vec::with_capacity(CHUNK.min(elements)), halves: Vec::new(), bytes: Vec::new() };
    for row in 0..rows {
        let from = source_row(row, rows, tensor.permuted_heads) * row_bytes;
        for part in bytes[from..from + row_bytes].chunks(piece) {
            let count = part.len() / block_bytes * block;
            if chunk.values.len() + count > CHUNK {
                sink(chunk.turn())?;
                chunk.values.clear();
            }
            let start = chunk.values.len();
            chunk.values.resize(start + count, 0.0);
            info.kind.dequantize(part, &mut chunk.values[start..]);
        }
    }
    sink(chunk.turn())
}

/// Values on their way to bf16, with the room they need there.
struct Chunk {
    values: Vec<f32>,
    halves: Vec<bf16>,
    bytes: Vec<u8>,
}

impl Chunk {
    fn turn(&mut self) -> &[u8] {
        self.halves.resize(self.values.len(), bf16::ZERO);
        self.halves.convert_from_f32_slice(&self.values);
        self.bytes.clear();
        self.bytes.extend(self.halves.iter().flat_map(|half| half.to_le_bytes()));
        &self.bytes
    }
}

/// The row of the file that is row `row` of the checkpoint.
///
/// Hugging Face rotates a head's first half against its second; ggml's Llama rotates neighbours, and the file has the rows of
/// q and k in that order: row `j * half + i` of a head lies at `2 * i + j`.
fn source_row(row: usize, rows: usize, heads: Option<u32>) -> usize {
    let Some(heads) = heads else { return row };
    let dim = rows / heads as usize;
    let (head, within) = (row / dim, row % dim);
    let (j, i) = (within / (dim / 2), within % (dim / 2));
    head * dim + 2 * i + j
}
