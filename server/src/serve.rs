//! Starts the service and ends it.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::http::Uri;
use axum_server::Handle;
use axum_server::accept::DefaultAcceptor;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use mempack_keys::KeyRing;
use mempack_keys::audit::AuditLog;
use mempack_model::{Embedder, Model};
use mempack_runtime::{BatchOptions, IdentityMismatch, Mounts, PackSet, Retriever, Session, SessionError, SessionOptions};
use tokio::net::TcpSocket;

use crate::app::router;
use crate::catalog::Catalog;
use crate::connection::Bounded;
use crate::engine::Engine;
use crate::fetch::Fetcher;
use crate::metrics::Metrics;
use crate::openai::request::Bounds;
use crate::searcher::{Searcher, Tools};
use crate::shelf::{Shelf, ShelfError};
use crate::spans::Spans;
use crate::state::{EmbedderInfo, Limits, SharedModel, State, now};
use crate::watch::Watching;
use crate::who::Who;

/// Connections that the system keeps until they are accepted.
const BACKLOG: u32 = 4096;

/// How the service is run.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The files of its certificate chain and private key (PEM), for HTTPS.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// The name under which the model is served.
    pub model_name: String,
    /// Answers that are decoded at once, and the bytes of their keys and values.
    pub batch: BatchOptions,
    /// Questions that may wait beside these.
    pub queue: usize,
    /// Most connections at once.
    pub connections: usize,
    /// Most answers to a request.
    pub answers: usize,
    /// Most tokens of an answer.
    pub max_tokens: usize,
    /// Most bytes of a body.
    pub body: usize,
    /// The time in which a request must arrive, and in which a client must read what it is sent.
    pub receive: Duration,
    /// The time in which an answer must be complete.
    pub answer: Duration,
    /// The time that answers under way have when the service is stopped.
    pub drain: Duration,
    /// A folder whose packs are served.
    pub packs_dir: Option<PathBuf>,
    /// Addresses under which packs may be fetched.
    pub allow_urls: Vec<Uri>,
    /// Most bytes of a pack that is fetched.
    pub max_fetch: u64,
    /// Names of this service, for `/mcp`: requests to others are refused, so that no page of another site can reach it through a browser.
    pub hosts: Vec<String>,
    /// Whether callers without a key may administer, on a server without keys.
    pub admin: bool,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            tls: None,
            model_name: "mempack".into(),
            batch: BatchOptions::default(),
            queue: 256,
            connections: 16_384,
            answers: 8,
            max_tokens: 4096,
            body: 4 << 20,
            receive: Duration::from_secs(30),
            answer: Duration::from_secs(300),
            drain: Duration::from_secs(60),
            packs_dir: None,
            allow_urls: Vec::new(),
            max_fetch: 64 << 30,
            hosts: Vec::new(),
            admin: false,
        }
    }
}

/// What the service answers with.
pub struct Parts {
    /// The model.
    pub model: Model,
    /// The embedder of the packs.
    pub embedder: Embedder,
    /// The packs.
    pub mounts: Arc<Mounts>,
    /// How answers are made unless a request says otherwise.
    pub session: SessionOptions,
    /// The keys of the callers; `None` admits everybody.
    pub keys: Option<KeyRing>,
    /// The audit log, if one is kept.
    pub audit: Option<AuditLog>,
}

/// Why the service could not be started, or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Packs, model or options that do not fit.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// An embedder that does not fit.
    #[error(transparent)]
    Mismatch(#[from] IdentityMismatch),
    /// The folder of packs cannot be used.
    #[error(transparent)]
    Shelf(#[from] ShelfError),
    /// A server without keys may listen on loopback only.
    #[error("without keys, the service listens on loopback only, and {address} is not; name a file of keys, or listen on 127.0.0.1")]
    NeedsKeys {
        /// The address.
        address: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("{address} cannot be listened on: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// The certificate or its key cannot be used.
    #[error("{} and {} are no certificate with its key: {source}", certificate.display(), key.display())]
    Tls {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Spans cannot be sent.
    #[error("spans cannot be sent to a collector of OpenTelemetry: {0}")]
    Spans(String),
    /// The system refuses threads or signals.
    #[error("the service cannot be run: {0}")]
    Run(#[source] io::Error),
}

/// Serves until the process gets SIGTERM or SIGINT; answers that are under way then are completed. Calls `ready` with the address and the packs when requests are
/// answered.
///
/// # Errors
/// What is wrong with the options or parts, before anything is served.
pub fn serve(options: &ServeOptions, parts: Parts, ready: impl FnOnce(SocketAddr, &PackSet) + Send + 'static) -> Result<(), ServeError> {
    let ServeOptions { listen, .. } = *options;
    if parts.keys.is_none() && !listen.ip().is_loopback() {
        return Err(ServeError::NeedsKeys { address: listen });
    }
    let state = state(options, parts)?;
    let failed = |source| ServeError::Listen { address: listen, source };
    // Each connection takes a file descriptor.
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(files) if files < options.connections as u64 + 64 => {
            tracing::warn!(files, "the system allows fewer open files than connections")
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the limit of open files stays as it is"),
    }
    // A pack that another program cuts short must not end what others are answered. If the system refuses, it ends with a message.
    let _ = mempack_runtime::go_on_when_cut_short();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).thread_name("mempack-http").build();
    let runtime = runtime.map_err(ServeError::Run)?;
    let listener = runtime.block_on(async { bind(listen) }).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let served = runtime.block_on(run(options, Arc::clone(&state), listener, move |packs: &PackSet| ready(address, packs)));
    state.engine.stop();
    served
}

/// Listens on an address, with room for many connections that have not been accepted: with the usual 128, a client of a burst of thousands waits a second
/// or more.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

fn state(options: &ServeOptions, parts: Parts) -> Result<Arc<State>, ServeError> {
    let Parts { model, embedder, mounts, session, keys, audit } = parts;
    let shelf = Shelf::open(Arc::clone(&mounts), options.packs_dir.as_deref())?;
    let reranker = session.answers.reranking.is_some();
    let retriever = Retriever::over(&embedder, Arc::clone(&mounts))?
        .ranked_by(session.answers.ranking)
        .chosen_by(session.answers.strategy)
        .reranked_by(session.answers.reranking.clone())?;
    let (cache, skip_damaged) = (Arc::clone(&session.cache), session.skip_damaged);
    let session = Session::over(&model, &embedder, Arc::clone(&mounts), session)?;
    let embedder_info = EmbedderInfo { name: embedder.identity().name.clone(), dim: embedder.dim() };
    Ok(Arc::new(State {
        engine: Engine::start(session, options.batch, options.queue)?,
        searcher: Searcher::start(Tools { embedder, retriever }, options.queue)?,
        catalog: Catalog::new(mounts),
        shelf,
        fetcher: Fetcher::new(options.allow_urls.clone(), options.max_fetch),
        who: Who::new(keys, options.admin),
        metrics: Metrics::default(),
        model: SharedModel::new(options.model_name.clone(), model),
        embedder: embedder_info,
        cache,
        bounds: Bounds { answers: options.answers, tokens: options.max_tokens },
        limits: Limits { body: options.body, receive: options.receive, answer: options.answer, reranker, skip_damaged, embeddings: 2048 },
        spans: Spans::from_env().map_err(ServeError::Spans)?,
        audit,
        ready: AtomicBool::new(false),
        started: now(),
    }))
}

async fn run(
    options: &ServeOptions,
    state: Arc<State>,
    listener: TcpListener,
    ready: impl FnOnce(&PackSet) + Send + 'static,
) -> Result<(), ServeError> {
    let handle = Handle::new();
    let mut ends = Ends::new().map_err(ServeError::Run)?;
    let service = router(&state, &options.hosts).into_make_service();
    let acceptor = Bounded::new(DefaultAcceptor::new(), options.connections, options.receive);
    let mut plain = axum_server::from_tcp(listener).map_err(ServeError::Run)?.handle(handle.clone());
    plain.http_builder().http1().timer(hyper_util::rt::TokioTimer::new()).header_read_timeout(options.receive);
    let served = match &options.tls {
        None => tokio::spawn(plain.acceptor(acceptor).serve(service)),
        Some((certificate, key)) => {
            let config = RustlsConfig::from_pem_file(certificate, key).await;
            let config = config.map_err(|source| ServeError::Tls { certificate: certificate.clone(), key: key.clone(), source })?;
            tokio::spawn(plain.acceptor(RustlsAcceptor::new(config).acceptor(acceptor)).serve(service))
        }
    };
    let watching = Watching::start(&state, ready).map_err(ServeError::Run)?;
    tokio::pin!(served);
    let ended = tokio::select! {
        ended = &mut served => ended,
        () = ends.wait() => {
            tracing::info!("stopping: answers under way are completed");
            state.engine.drain();
            handle.graceful_shutdown(Some(options.drain));
            served.await
        }
    };
    drop(watching);
    ended.map_err(|error| ServeError::Run(io::Error::other(error)))?.map_err(ServeError::Run)
}

/// The signals that end the service.
struct Ends {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Ends {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
