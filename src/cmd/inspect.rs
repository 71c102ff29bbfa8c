//! `mempack inspect`: what is in a pack, as a table or as JSON. Reads only the header and the manifest.

use std::path::PathBuf;

use mempack_format::{Manifest, MemoryShape, ModelIdentity, Signature};
use mempack_runtime::MappedPack;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::{bytes, quality_json, quality_lines, thousands};
use crate::terminal::{self, one_line, outln};

#[derive(clap::Args)]
pub struct Args {
    /// The pack
    pack: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let pack = super::open(&args.pack)?;
    if args.json {
        terminal::print_json(&format_args!("{:#}", json(&pack)));
    } else {
        print_table(&pack);
    }
    Ok(())
}

/// Bytes of one vector in the codec, and of one whole memory.
fn memory_bytes(pack: &MappedPack) -> (u64, u64) {
    let slots = pack.manifest().model.shape.slots() as u64;
    ((pack.record_bytes() - slots) / (2 * slots), pack.record_bytes())
}

fn json(pack: &MappedPack) -> Value {
    let Manifest { generator, model, precision, embedder, codec, counts, graph } = pack.manifest();
    let (per_vector, per_memory) = memory_bytes(pack);
    let (major, minor) = pack.version();
    let sections: Vec<_> = pack
        .sections()
        .iter()
        .map(|s| json!({"name": s.tag.to_string(), "required": s.required, "offset": s.offset, "bytes": s.length, "digest": s.digest.to_string()}))
        .collect();
    json!({
        "id": pack.id().to_string(), "version": format!("{major}.{minor}"), "bytes": pack.bytes(), "generator": generator,
        "counts": {"documents": counts.documents, "references": counts.references, "origins": counts.origins,
                   "tokens": counts.tokens, "text_bytes": counts.text_bytes},
        "codec": {"name": codec, "bytes_per_vector": per_vector, "bytes_per_memory": per_memory,
                  "quality": pack.quality().map(quality_json)},
        "model": {
            "name": model.name, "weights": model.weights.to_string(), "adapter": model.adapter.map(|d| d.to_string()),
            "config": model.config.to_string(), "tokenizer": model.tokenizer.to_string(), "layers": model.layers,
            "first_memory_layer": model.first_memory_layer, "memory_layers": model.shape.layers, "query_heads": model.query_heads,
            "key_value_heads": model.shape.heads, "tokens_per_head": tokens_per_head(&model.shape), "head_dim": model.shape.head_dim,
            "rope_base": model.rope_base, "prefix_ids": model.prefix_ids, "reference_length": model.reference_length,
            "reference_template": model.reference_template, "selection": model.selection, "precision": precision,
        },
        "embedder": {"name": embedder.name, "digest": embedder.digest.to_string(), "dim": embedder.dim, "metric": embedder.metric,
                     "max_tokens": embedder.max_tokens,
                     "prompts": embedder.prompts.as_ref().map(|p| json!({"query": p.query, "passage": p.passage}))},
        "graph": graph.map(|g| json!({"m": g.m, "ef_construction": g.ef_construction})),
        "signatures": pack.signatures().iter().map(|signature| json!({
            "key": signature.key_id().to_string(), "right": signature.check(pack.id()).is_ok(),
        })).collect::<Vec<_>>(),
        "sections": sections,
    })
}

fn print_table(pack: &MappedPack) {
    let Manifest { generator, model, precision, embedder, codec, counts, graph } = pack.manifest();
    let (per_vector, per_memory) = memory_bytes(pack);
    let (major, minor) = pack.version();
    let row = |name: &str, value: String| outln!("{name:<12} {}", one_line(&value));
    row("pack", pack.id().to_string());
    row("format", format!("{major}.{minor}, {} ({} bytes), written by {generator}", bytes(pack.bytes()), thousands(pack.bytes())));
    row("signed by", signers(pack));
    row("documents", thousands(u64::from(counts.documents)));
    row(
        "references",
        format!(
            "{} from {} places, {} tokens",
            thousands(u64::from(counts.references)),
            thousands(counts.origins),
            thousands(counts.tokens)
        ),
    );
    row("text", bytes(counts.text_bytes));
    row("codec", format!("{codec}, {per_vector} bytes a vector, {} a memory", bytes(per_memory)));
    for (at, line) in pack.quality().iter().flat_map(|quality| quality_lines(quality, model.first_memory_layer)).enumerate() {
        row(if at == 0 { "  loses" } else { "" }, line);
    }
    row("model", format!("{}, memories computed in {precision}", model.name));
    print_model(model);
    row("embedder", format!("{}, {} dimensions, {}, at most {} tokens", embedder.name, embedder.dim, embedder.metric, embedder.max_tokens));
    row("  digest", embedder.digest.to_string());
    if let Some(prompts) = &embedder.prompts {
        row("  prompts", prompts.to_string());
    }
    row("graph", graph.map_or("none".into(), |g| format!("HNSW, m {}, ef_construction {}", g.m, g.ef_construction)));
    outln!("\n{:<10} {:>16} {:>16}  {:>5}  digest", "section", "offset", "bytes", "share");
    for s in pack.sections() {
        let share = 100.0 * s.length as f64 / pack.bytes() as f64;
        outln!(
            "{:<10} {:>16} {:>16}  {share:>4.1}%  {:.16}",
            s.tag.to_string(),
            thousands(s.offset),
            thousands(s.length),
            s.digest.to_string()
        );
    }
}

/// The keys that signed, with wrong signatures marked.
fn signers(pack: &MappedPack) -> String {
    let name = |signature: &Signature| match signature.check(pack.id()) {
        Ok(key) => key.id().to_string(),
        Err(_) => format!("{} (wrong)", signature.key_id()),
    };
    let names: Vec<String> = pack.signatures().iter().map(name).collect();
    if names.is_empty() { "nobody".into() } else { names.join(", ") }
}

/// The tokens of a reference that each head keeps: a number, or a table of the memory layers' heads, as in the model's `memory` block.
fn tokens_per_head(shape: &MemoryShape) -> Value {
    match shape.budget() {
        None => json!(shape.tokens),
        Some(budget) => budget.chunks(shape.heads.max(1) as usize).map(|layer| json!(layer)).collect(),
    }
}

/// The same in words.
fn kept(shape: &MemoryShape) -> String {
    match shape.budget() {
        None => format!("{} tokens each", shape.tokens),
        Some(budget) => {
            let holding = budget.iter().filter(|tokens| **tokens > 0).count();
            let (all, most) = (shape.slots(), shape.tokens);
            format!("{all} tokens in all: 1 to {most} at {holding} heads of the memory layers, none at {}", budget.len() - holding)
        }
    }
}

fn print_model(model: &ModelIdentity) {
    let row = |name: &str, value: String| outln!("  {name:<10} {}", one_line(&value));
    let shape = &model.shape;
    let last = model.first_memory_layer + shape.layers.saturating_sub(1);
    row("layers", format!("{}, memory in {} to {last}", model.layers, model.first_memory_layer));
    row("heads", format!("{} query, {} key-value of {} dimensions, {}", model.query_heads, shape.heads, shape.head_dim, kept(shape)));
    row(
        "reference",
        format!("at most {} tokens, {:?} after prefix {:?}", model.reference_length, model.reference_template, model.prefix_ids),
    );
    row("selection", format!("{}; RoPE base {}", model.selection, model.rope_base));
    row("weights", model.weights.to_string());
    row("adapter", model.adapter.map_or("none".into(), |digest| digest.to_string()));
    row("config", model.config.to_string());
    row("tokenizer", model.tokenizer.to_string());
}
