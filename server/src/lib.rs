//! Serves memory packs over HTTP: OpenAI's interface, with citations.
//!
//! [`serve`] runs the service. A request goes through these parts:
//!
//! - `connection` and `body` bound what a client can take up: connections, bytes, time.
//! - `request` follows it from its arrival to its end, and `who` tells who sends it, by the keys of `mempack-keys`; `catalog` which packs it reads.
//! - `openai` has the forms of requests and replies, and refuses by name what is not supported.
//! - `answering` asks the `engine`, a thread on which one batch of the runtime decodes all answers, and cites what came of it (`citations`).
//! - `shelf` is the folder of packs, which `watch` looks at and `packs` administers; `fetch` brings packs into it.
//! - `searcher` is a thread for requests that decode nothing; `mcp` offers searches and answers as tools.
#![forbid(unsafe_code)]

mod answering;
mod app;
mod body;
mod catalog;
mod citations;
mod connection;
mod engine;
mod error;
mod fetch;
mod log;
mod mcp;
mod metrics;
mod name;
mod openai;
mod packs;
mod page;
mod request;
mod search;
mod searcher;
mod serve;
mod shelf;
mod spans;
mod state;
mod watch;
mod who;

pub use log::{log, tell};
pub use serve::{Parts, ServeError, ServeOptions, serve};
