//! `mempack serve`: packs over HTTP.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mempack_format::PublicKey;
use mempack_keys::KeyRing;
use mempack_keys::audit::{AuditLog, AuditOptions};
use mempack_model::{Embedder, Model, Precision};
use mempack_runtime::{AnswerOptions, BatchOptions, MemoryCache, Mounts, PackSet, SessionOptions, Strategy};
use mempack_server::{Parts, ServeError, ServeOptions, serve};
use serde::Deserialize;

use super::packs::{self, Probing, Search};
use super::rerank::RerankArgs;
use super::trust;
use crate::failure::{Failure, Kind};
use crate::folders::{self, ModelArgs};
use crate::hints;
use crate::terminal::{errln, one_line, outln};

#[derive(clap::Args)]
pub struct Args {
    /// The packs and sets of packs (.mps), all of one model; each pack is served under the name of its file without .mpk
    #[arg(value_name = "PACK")]
    packs: Vec<PathBuf>,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    rerank: RerankArgs,
    /// A file of settings (TOML): the long options below by name, without the dashes before it; options of the command line come first
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

/// What the command line and the file of settings can say.
#[derive(clap::Args, Deserialize, Default)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Settings {
    /// Address and port to listen on; port 0 chooses a free one. Other addresses than loopback need --keys [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// A file of keys (`mempack api-keys`): callers must have one of them
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// A file to which a line (JSON) is added for every request: key, packs, references read, numbers of tokens, never the text
    #[arg(long, value_name = "FILE")]
    audit_log: Option<PathBuf>,
    /// Write what was asked to the audit log too
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    audit_texts: Option<bool>,
    /// A folder whose packs are served too: NAME.mpk as NAME. New versions that are renamed into it are checked and take the place of the old ones
    #[arg(long, value_name = "DIR")]
    packs_dir: Option<PathBuf>,
    /// An address under which `PUT /packs/NAME` may fetch packs, for example https://packs.example/legal/; may be repeated
    #[arg(long, value_name = "URL")]
    allow_url: Vec<String>,
    /// A name under which clients reach the service, for /mcp, beside localhost; may be repeated
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// Without --keys, let every caller on this machine administer
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    admin: Option<bool>,
    /// The certificate chain (PEM), for HTTPS
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// The name of the model in requests and replies [default: the name of its folder]
    #[arg(long, value_name = "NAME")]
    model_name: Option<String>,
    /// Precision of the computation: f32, bf16, or int8 [default: bf16]
    #[arg(long, value_name = "PRECISION")]
    precision: Option<String>,
    /// Threads for one operation of the model [default: 2]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Answers that are decoded at once [default: 16]
    #[arg(long, value_name = "N")]
    sequences: Option<usize>,
    /// Megabytes for keys and values of these answers [default: 4096]
    #[arg(long, value_name = "MB")]
    batch_memory: Option<usize>,
    /// Megabytes of decoded memories to cache [default: 256]
    #[arg(long, value_name = "MB")]
    cache: Option<usize>,
    /// Questions that may wait beside those that are answered; a further one gets status 429 [default: 256]
    #[arg(long, value_name = "N")]
    queue: Option<usize>,
    /// Most connections at once [default: 16384]
    #[arg(long, value_name = "N")]
    connections: Option<usize>,
    /// Tokens of an answer if a request does not say how many [default: 256]
    #[arg(long, value_name = "N")]
    default_tokens: Option<usize>,
    /// Most tokens of an answer that a request may ask for [default: 4096]
    #[arg(long, value_name = "N")]
    max_tokens: Option<usize>,
    /// Most answers that a request may ask for [default: 8]
    #[arg(long, value_name = "N")]
    max_answers: Option<usize>,
    /// Most bytes of a request [default: 4194304]
    #[arg(long, value_name = "BYTES")]
    max_body: Option<usize>,
    /// Seconds in which a request must arrive, and in which a client must go on reading [default: 30]
    #[arg(long, value_name = "SECONDS")]
    receive_timeout: Option<u64>,
    /// Seconds in which an answer must be complete [default: 300]
    #[arg(long, value_name = "SECONDS")]
    answer_timeout: Option<u64>,
    /// Seconds that answers under way have after SIGTERM [default: 60]
    #[arg(long, value_name = "SECONDS")]
    drain_timeout: Option<u64>,
    /// By what references are ranked: dense, lexical or hybrid [default: hybrid]
    #[arg(long, value_enum, value_name = "RANKING")]
    search: Option<Search>,
    /// Which of the references found are read unless a request says: top-k, similarity:X, diverse:X [default: top-k]
    #[arg(long, value_name = "STRATEGY")]
    strategy: Option<String>,
    /// Leave out damaged memories, vectors and texts in place of failing the request
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    skip_damaged: Option<bool>,
    /// Packs of a set whose vectors a search looks at, those nearest to its query by the set's routing table [default: a third of them]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    probes: Option<u32>,
    /// A public key; one of those given must have signed each pack; may be repeated
    #[arg(long, value_name = "KEY")]
    trusted: Vec<PathBuf>,
    /// Write the log as JSON, one object a line
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    log_json: Option<bool>,
}

impl Settings {
    /// The settings of a file.
    fn read(path: &Path) -> Result<Self, Failure> {
        let text =
            fs::read_to_string(path).map_err(|error| Failure::new(Kind::Work, format!("{} cannot be read: {error}", path.display())))?;
        toml::from_str(&text).map_err(|error| Failure::new(Kind::Usage, format!("{}: {error}", path.display())))
    }

    /// These settings, and `others` where they say nothing.
    fn or(self, others: Self) -> Self {
        Self {
            listen: self.listen.or(others.listen),
            keys: self.keys.or(others.keys),
            audit_log: self.audit_log.or(others.audit_log),
            audit_texts: self.audit_texts.or(others.audit_texts),
            packs_dir: self.packs_dir.or(others.packs_dir),
            allow_url: if self.allow_url.is_empty() { others.allow_url } else { self.allow_url },
            host: if self.host.is_empty() { others.host } else { self.host },
            admin: self.admin.or(others.admin),
            tls_certificate: self.tls_certificate.or(others.tls_certificate),
            tls_key: self.tls_key.or(others.tls_key),
            model_name: self.model_name.or(others.model_name),
            precision: self.precision.or(others.precision),
            threads: self.threads.or(others.threads),
            sequences: self.sequences.or(others.sequences),
            batch_memory: self.batch_memory.or(others.batch_memory),
            cache: self.cache.or(others.cache),
            queue: self.queue.or(others.queue),
            connections: self.connections.or(others.connections),
            default_tokens: self.default_tokens.or(others.default_tokens),
            max_tokens: self.max_tokens.or(others.max_tokens),
            max_answers: self.max_answers.or(others.max_answers),
            max_body: self.max_body.or(others.max_body),
            receive_timeout: self.receive_timeout.or(others.receive_timeout),
            answer_timeout: self.answer_timeout.or(others.answer_timeout),
            drain_timeout: self.drain_timeout.or(others.drain_timeout),
            search: self.search.or(others.search),
            strategy: self.strategy.or(others.strategy),
            probes: self.probes.or(others.probes),
            skip_damaged: self.skip_damaged.or(others.skip_damaged),
            trusted: if self.trusted.is_empty() { others.trusted } else { self.trusted },
            log_json: self.log_json.or(others.log_json),
        }
    }
}

/// Mounts the packs that are named. With a folder of packs there may be none, until it has some for this model and embedder.
fn mount(
    packs: &[PathBuf],
    probing: Probing,
    trusted: Vec<PublicKey>,
    model: &Model,
    embedder: &Embedder,
    folder: bool,
) -> Result<Arc<Mounts>, Failure> {
    let mounts = match packs.split_first() {
        Some((first, others)) => probing.mount(first, others, trusted)?,
        None if folder => {
            Mounts::empty(model.identity().clone(), embedder.identity().clone()).demanding(trusted).map_err(packs::refused)?
        }
        None => {
            return Err(Failure::new(
                Kind::Usage,
                "no pack is named; `mempack serve PACK` serves one, and --packs-dir DIR those of a folder",
            ));
        }
    };
    Ok(Arc::new(mounts))
}

/// A duration of whole seconds.
fn seconds(number: Option<u64>, default: Duration) -> Duration {
    number.map_or(default, Duration::from_secs)
}

fn failed(error: ServeError) -> Failure {
    let (kind, hint, details) = match &error {
        ServeError::Session(session) => super::of_session(session),
        ServeError::Mismatch(mismatch) => (Kind::Mismatch, Some(hints::mismatch(mismatch)), Some(mismatch.details())),
        ServeError::NeedsKeys { .. } => (Kind::Usage, Some("use --keys FILE; `mempack api-keys add NAME --keys FILE` makes one"), None),
        _ => (Kind::Work, None, None),
    };
    Failure::new(kind, error).with_hint(hint).with_details(details)
}

pub fn run(args: Args) -> Result<(), Failure> {
    let began = Instant::now();
    let settings = match &args.config {
        Some(path) => args.settings.or(Settings::read(path)?),
        None => args.settings,
    };
    mempack_server::log(settings.log_json.unwrap_or_default());
    let defaults = ServeOptions::default();
    let listen = settings.listen.unwrap_or(defaults.listen);
    if settings.keys.is_none() && !listen.ip().is_loopback() {
        return Err(failed(ServeError::NeedsKeys { address: listen }));
    }
    let usage = |error: String| Failure::new(Kind::Usage, error);
    let precision: Precision = settings.precision.as_deref().map_or(Ok(Precision::Bf16), super::answering).map_err(usage)?;
    let strategy: Strategy =
        settings.strategy.as_deref().map_or(Ok(Strategy::default()), str::parse).map_err(|error| Failure::new(Kind::Usage, error))?;
    let ranking = settings.search.unwrap_or_default().into();
    let threads = settings.threads.map_or(Ok(2), |threads| super::threads(&threads.to_string())).map_err(usage)?;
    mempack_model::set_threads(threads);
    let trusted = trust::read_keys(&settings.trusted)?;
    let keys = settings.keys.as_deref().map(KeyRing::open).transpose().map_err(|error| Failure::new(Kind::Work, error))?;
    let reranking = args.rerank.load(args.model.embedder.device)?;
    let (model, embedder) = args.model.load_both(precision);
    let (model, embedder) = (model?, embedder?);
    let mounts = mount(&args.packs, Probing { probes: settings.probes }, trusted, &model, &embedder, settings.packs_dir.is_some())?;
    packs::tell_missing_terms(&mounts, ranking);
    folders::warn_if_untrained(&model);
    let cache = Arc::new(MemoryCache::new(settings.cache.unwrap_or(256) << 20));
    let reranking = reranking.map(|chosen| chosen.with(|| Ok(model.share()), Arc::clone(&cache))).transpose()?;
    let answers = AnswerOptions {
        max_tokens: settings.default_tokens.unwrap_or(AnswerOptions::default().max_tokens),
        ranking,
        strategy,
        reranking,
        ..AnswerOptions::default()
    };
    let session = SessionOptions { answers, cache, skip_damaged: settings.skip_damaged.unwrap_or_default(), ..SessionOptions::default() };
    let address = |url: &String| url.parse().map_err(|error| Failure::new(Kind::Usage, format!("{url} is no address: {error}")));
    let allow_urls = settings.allow_url.iter().map(address).collect::<Result<_, Failure>>()?;
    let batch = BatchOptions {
        sequences: settings.sequences.unwrap_or(defaults.batch.sequences),
        bytes: settings.batch_memory.map_or(defaults.batch.bytes, |megabytes| megabytes.saturating_mul(1 << 20)),
    };
    let options = ServeOptions {
        listen,
        tls: settings.tls_certificate.zip(settings.tls_key),
        model_name: settings.model_name.unwrap_or_else(|| model.identity().name.clone()),
        batch,
        queue: settings.queue.unwrap_or(defaults.queue),
        connections: settings.connections.unwrap_or(defaults.connections),
        answers: settings.max_answers.unwrap_or(defaults.answers),
        max_tokens: settings.max_tokens.unwrap_or(defaults.max_tokens),
        body: settings.max_body.unwrap_or(defaults.body),
        receive: seconds(settings.receive_timeout, defaults.receive),
        answer: seconds(settings.answer_timeout, defaults.answer),
        drain: seconds(settings.drain_timeout, defaults.drain),
        packs_dir: settings.packs_dir,
        allow_urls,
        max_fetch: defaults.max_fetch,
        hosts: settings.host,
        admin: settings.admin.unwrap_or_default(),
    };
    let scheme = if options.tls.is_some() { "https" } else { "http" };
    let name = options.model_name.clone();
    let audit = settings.audit_log.as_deref().map(|path| {
        let options =
            AuditOptions::default().texts(settings.audit_texts.unwrap_or_default()).listener(|notice| mempack_server::tell(&notice));
        AuditLog::open(path, options).map_err(|error| Failure::new(Kind::Work, format!("{} cannot be written: {error}", path.display())))
    });
    let parts = Parts { model, embedder, mounts, session, keys, audit: audit.transpose()? };
    let told = move |address: SocketAddr, packs: &PackSet| {
        for pack in packs.packs() {
            outln!("{}  {}", one_line(pack.name()), pack.id());
        }
        outln!("{} at {scheme}://{address}, ready after {:.2} s", one_line(&name), began.elapsed().as_secs_f64());
    };
    serve(&options, parts, told).map_err(failed)?;
    errln!("mempack: stopped");
    Ok(())
}
