//! `mempack inspect`: what is in a pack, and what its packs know a model by, as a table or as JSON. Of a pack, reads only the header, the
//! manifest and the metadata of documents.

use std::path::{Path, PathBuf};

use mempack_format::{Manifest, ReadError};
use mempack_report::{FieldRow, code_bytes, metadata_fields, signers};
use mempack_runtime::{MappedPack, quality_json};
use serde_json::{Value, json};

use super::identity::{model_json, print_model};
use super::{sets, trust};
use crate::failure::Failure;
use crate::output::{bytes, quality_lines, thousands};
use crate::terminal::{self, one_line, outln};

#[derive(clap::Args)]
pub struct Args {
    /// The pack, or a set of packs (.mps)
    #[cfg_attr(feature = "engine", arg(required_unless_present = "model"))]
    #[cfg_attr(not(feature = "engine"), arg(required = true))]
    pack: Option<PathBuf>,
    #[cfg(feature = "engine")]
    #[command(flatten)]
    given: super::inspect_model::GivenArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    if let Some(set) = args.pack.as_deref().filter(|path| sets::is_set(path)) {
        return inspect_set(set, &args);
    }
    let pack = args.pack.as_deref().map(super::open).transpose()?;
    #[cfg(feature = "engine")]
    let given = args.given.load()?;
    let all = match &pack {
        Some(pack) if args.json => json(pack)?,
        Some(pack) => {
            print_table(pack);
            print_fields(pack)?;
            json!({})
        }
        None => json!({}),
    };
    #[cfg(feature = "engine")]
    let all = match &given {
        Some(given) if args.json => {
            let mut all = all;
            all["given"] = given.json();
            all
        }
        Some(given) => {
            given.print();
            all
        }
        None => all,
    };
    if args.json {
        terminal::print_json(&format_args!("{all:#}"));
    }
    #[cfg(feature = "engine")]
    if let (Some(pack), Some(given)) = (&pack, &given) {
        return given.check(pack);
    }
    Ok(())
}

/// What the file of a set says. A model and an embedder are compared with its first pack, of whose model all are.
fn inspect_set(path: &Path, args: &Args) -> Result<(), Failure> {
    let set = sets::read(path)?;
    if args.json {
        terminal::print_json(&format_args!("{:#}", sets::to_json(&set)));
    } else {
        sets::inspect(&set);
    }
    #[cfg(feature = "engine")]
    if let (Some(given), Some(pack)) = (args.given.load()?, sets::packs(path, &set).next()) {
        return given.check(&super::open(&pack)?);
    }
    Ok(())
}

/// Bytes of one vector in the codec, and of one whole memory.
fn memory_bytes(pack: &MappedPack) -> (u64, u64) {
    (code_bytes(pack), pack.record_bytes())
}

/// The fields of the documents, in the order of their names.
fn fields(pack: &MappedPack) -> Result<Vec<FieldRow>, Failure> {
    metadata_fields(pack).map_err(|error| super::reading(pack.path(), matches!(error, ReadError::Damaged(_)), error))
}

fn json(pack: &MappedPack) -> Result<Value, Failure> {
    let Manifest { generator, model, precision, embedder, codec, counts, graph } = pack.manifest();
    let (per_vector, per_memory) = memory_bytes(pack);
    let (major, minor) = pack.version();
    let sections: Vec<_> = pack
        .sections()
        .iter()
        .map(|s| json!({"name": s.tag.to_string(), "required": s.required, "offset": s.offset, "bytes": s.length, "digest": s.digest.to_string()}))
        .collect();
    let mut of_model = model_json(model);
    of_model["precision"] = json!(precision);
    let fields = fields(pack)?;
    let field = |FieldRow { name, kind, list, values, documents }: &FieldRow| json!({"name": name, "kind": kind.to_string(), "list": list, "values": values, "documents": documents});
    let fields: Vec<Value> = fields.iter().map(field).collect();
    Ok(json!({
        "id": pack.id().to_string(), "version": format!("{major}.{minor}"), "bytes": pack.bytes(), "generator": generator,
        "counts": {"documents": counts.documents, "references": counts.references, "origins": counts.origins,
                   "tokens": counts.tokens, "text_bytes": counts.text_bytes},
        "codec": {"name": codec, "bytes_per_vector": per_vector, "bytes_per_memory": per_memory,
                  "quality": pack.quality().map(quality_json)},
        "model": of_model,
        "embedder": {"name": embedder.name, "digest": embedder.digest.to_string(), "dim": embedder.dim, "metric": embedder.metric,
                     "max_tokens": embedder.max_tokens,
                     "prompts": embedder.prompts.as_ref().map(|p| json!({"query": p.query, "passage": p.passage}))},
        "graph": graph.map(|g| json!({"m": g.m, "ef_construction": g.ef_construction})),
        "signatures": signers(pack.signatures(), pack.id()).iter().map(|(key, right)| json!({"key": key, "right": right})).collect::<Vec<_>>(),
        "metadata": fields, "sections": sections,
    }))
}

fn print_table(pack: &MappedPack) {
    let Manifest { generator, model, precision, embedder, codec, counts, graph } = pack.manifest();
    let (per_vector, per_memory) = memory_bytes(pack);
    let (major, minor) = pack.version();
    let row = |name: &str, value: String| outln!("{name:<12} {}", one_line(&value));
    row("pack", pack.id().to_string());
    row("format", format!("{major}.{minor}, {} ({} bytes), written by {generator}", bytes(pack.bytes()), thousands(pack.bytes())));
    row("signed by", trust::names(signers(pack.signatures(), pack.id()), "nobody"));
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

fn print_fields(pack: &MappedPack) -> Result<(), Failure> {
    let fields = fields(pack)?;
    if fields.is_empty() {
        return Ok(());
    }
    outln!("\n{:<24} {:<16} {:>12} {:>12}", "metadata", "kind", "values", "documents");
    for FieldRow { name, kind, list, values, documents } in fields {
        let kind = format!("{}{kind}", if list { "list of " } else { "" });
        outln!("{:<24} {kind:<16} {:>12} {:>12}", one_line(&name), thousands(u64::from(values)), thousands(documents));
    }
    Ok(())
}
