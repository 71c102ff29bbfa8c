//! `mempack search`: the references nearest to a query, or to each query of a file.

use std::path::PathBuf;
use std::sync::Arc;

use mempack_model::Precision;
use mempack_runtime::{Citation, CiteError, IdentityMismatch, MemoryCache, Method, Recalled, Retriever, Skipped, cite};
use serde::Deserialize;
use serde_json::{Value, json};

use super::packs::{self, PackArgs};
use super::rerank::RerankArgs;
use crate::failure::{Failure, Kind};
use crate::folders::ModelArgs;
use crate::hints;
use crate::terminal::{self, outln};

/// Queries embedded at a time.
const BATCH: usize = 64;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    packs: PackArgs,
    /// What to look for
    #[arg(required_unless_present = "queries", conflicts_with = "queries")]
    query: Option<String>,
    /// A file of queries, one {"id": ..., "query": ...} per line
    #[arg(long, value_name = "FILE")]
    queries: Option<PathBuf>,
    /// References to find for each query
    #[arg(short, default_value_t = 5, value_name = "K", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    k: u32,
    /// Compare every reference instead of following the graph
    #[arg(long)]
    exact: bool,
    /// Print one JSON object per query, and with --skip-damaged a last one with what was left out
    #[arg(long)]
    json: bool,
    // Only `--reranker memory` loads the model.
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    rerank: RerankArgs,
}

#[derive(Deserialize)]
struct Query {
    id: Value,
    query: String,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let mounts = args.packs.mount()?;
    let several = mounts.packs().packs().len() > 1;
    let queries = match (&args.queries, args.query) {
        (Some(file), _) => mempack_evaluation::read_rows(file, r#"{"id": "1", "query": "words"}"#)?,
        (None, Some(query)) => vec![Query { id: Value::Null, query }],
        (None, None) => Vec::new(), // clap requires one of the two
    };
    if let Some(empty) = queries.iter().find(|query| query.query.trim().is_empty()) {
        let which = if empty.id.is_null() { String::new() } else { format!(" {}", empty.id) };
        return Err(Failure::new(Kind::Work, format!("the query{which} is empty; name something to look for")));
    }
    let reranking = args.rerank.load(args.model.embedder.device)?;
    let reranking =
        reranking.map(|chosen| chosen.with(|| args.model.load(Precision::F32), Arc::new(MemoryCache::default()))).transpose()?;
    let embedder = args.model.embedder.load(Precision::F32)?;
    let mismatch = |error: IdentityMismatch| {
        let (hint, details) = (hints::mismatch(&error), error.details());
        Failure::new(Kind::Mismatch, error).with_hint(Some(hint)).with_details(Some(details))
    };
    let retriever = Retriever::over(&embedder, mounts).map_err(mismatch)?;
    let retriever = retriever.ranked_by(args.packs.ranking()).chosen_by(args.packs.strategy).reranked_by(reranking).map_err(mismatch)?;
    let method = if args.exact { Method::Exact } else { Method::default() };
    let skipped = Skipped::default();
    let on_damage = args.packs.on_damage(&skipped);
    for batch in queries.chunks(BATCH) {
        if terminal::is_closed() {
            break;
        }
        let texts: Vec<_> = batch.iter().map(|q| q.query.as_str()).collect();
        let found = retriever.recall_batch(&texts, args.k as usize, method, on_damage);
        for (query, Recalled { hits, scores, .. }) in batch.iter().zip(found.map_err(|error| super::failed(error.is_damage(), error))?) {
            let cited = hits.iter().zip(scores).map(|(hit, score)| Ok((cite(hit, on_damage)?, score))).collect::<Result<Vec<_>, _>>();
            let hits = cited.map_err(|error: CiteError| super::failed(error.is_damage(), error))?;
            if args.json {
                terminal::print_json(&as_json(&query.id, &hits));
            } else {
                print(query, &hits, args.queries.is_some(), several);
            }
        }
    }
    packs::report_skipped(&skipped);
    if args.json && args.packs.skip_damaged {
        terminal::print_json(&json!({ "skipped": packs::skipped_json(&skipped) }));
    }
    Ok(())
}

fn as_json(id: &Value, hits: &[(Citation, Option<f32>)]) -> Value {
    let hits: Vec<_> = hits.iter().map(|(hit, score)| packs::hit_json(hit, *score)).collect();
    if id.is_null() { json!({ "hits": hits }) } else { json!({"id": id, "hits": hits}) }
}

fn print(query: &Query, hits: &[(Citation, Option<f32>)], named: bool, several: bool) {
    if named {
        outln!("{} {}", query.id, query.query);
    }
    for (hit, score) in hits {
        outln!("{}", packs::place(hit, *score, several));
        outln!("{}", packs::text(hit, "       "));
    }
}
