//! `mempack search`: the references nearest to a query, or to each query of a file.

use std::path::PathBuf;
use std::sync::Arc;

use mempack_model::Precision;
use mempack_runtime::{Hit, MappedPack, Method, ResolvedHit, Retriever};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::failure::{Failure, Kind};
use crate::folders::EmbedderArgs;

/// Queries embedded at a time.
const BATCH: usize = 64;

#[derive(clap::Args)]
pub struct Args {
    /// The pack
    pack: PathBuf,
    /// What to look for
    #[arg(required_unless_present = "queries", conflicts_with = "queries")]
    query: Option<String>,
    /// A file of queries, {"id": ..., "query": ...} a line
    #[arg(long, value_name = "FILE")]
    queries: Option<PathBuf>,
    /// References to find for a query
    #[arg(short, default_value_t = 5, value_name = "K", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    k: u32,
    /// Look at every reference instead of following the graph
    #[arg(long)]
    exact: bool,
    /// Print one JSON object a query
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    embedder: EmbedderArgs,
}

#[derive(Deserialize)]
struct Query {
    id: Value,
    query: String,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let pack = Arc::new(super::open(&args.pack)?);
    let queries = match (&args.queries, args.query) {
        (Some(file), _) => mempack_evaluation::read_rows(file, r#"{"id": "1", "query": "words"}"#)?,
        (None, Some(query)) => vec![Query { id: Value::Null, query }],
        (None, None) => Vec::new(), // clap demands one of the two
    };
    let embedder = args.embedder.load(Precision::F32)?;
    let retriever = Retriever::new(&embedder, Arc::clone(&pack)).map_err(|error| Failure::new(Kind::Mismatch, error))?;
    let method = if args.exact { Method::Exact } else { Method::default() };
    for batch in queries.chunks(BATCH) {
        let texts: Vec<_> = batch.iter().map(|q| q.query.as_str()).collect();
        let found = retriever.retrieve_batch(&texts, args.k as usize, method);
        let found = found.map_err(|error| super::reading(&args.pack, error.is_damage(), error))?;
        for (query, hits) in batch.iter().zip(&found) {
            let hits = describe(&args.pack, &pack, hits)?;
            if args.json {
                println!("{}", as_json(&query.id, &hits));
            } else {
                print(query, &hits, args.queries.is_some());
            }
        }
    }
    Ok(())
}

fn describe(path: &std::path::Path, pack: &MappedPack, hits: &[Hit]) -> Result<Vec<ResolvedHit>, Failure> {
    hits.iter().map(|hit| pack.describe(hit).map_err(|error| super::reading(path, true, error))).collect()
}

fn as_json(id: &Value, hits: &[ResolvedHit]) -> Value {
    let hits: Vec<_> = hits.iter().map(super::hit_json).collect();
    if id.is_null() { json!({ "hits": hits }) } else { json!({"id": id, "hits": hits}) }
}

fn print(query: &Query, hits: &[ResolvedHit], named: bool) {
    if named {
        println!("{} {}", query.id, query.query);
    }
    for hit in hits {
        println!("{:.3}  {} [{}..{}]  {}", hit.score, hit.document, hit.start, hit.end, hit.title);
        println!("       {}", hit.text.replace('\n', "\n       "));
    }
}
