//! Moves banks of memory packs to and from object stores.
//!
//! A *bank* is a set of packs with the packs that it names, or one pack. [`push`] publishes a bank under a name in a store: S3, Google Cloud
//! Storage, Azure, WebDAV, or a folder. [`pull`] fetches it into a folder, [`verify`] reads all that is published, and [`gc`] deletes what no
//! published bank needs.
//!
//! Files are cut into chunks ([`ChunkSizes`]), and chunks are named by their digests, so that what two banks share is sent and kept once. Names
//! are published in one step: a reader sees a whole bank, the old one or the new one. Everything that arrives is compared with the digest that
//! it was asked for by, so that only the published name itself is believed; whoever knows the id of a set or pack asks for that
//! ([`PullOptions::set`]), and whoever trusts a key verifies its signature after the pull.
//!
//! # Objects
//!
//! | object | contents | changes |
//! |---|---|---|
//! | `chunks/ab/abcd...` | a piece of a file; named by the BLAKE3 digest of its bytes | never |
//! | `files/abcd...` | [`FileIndex`]: the chunks of a file; named by the digest of the index | never |
//! | `sets/abcd...` | [`Edition`]: the files of a bank; named by the digest of the edition | never |
//! | `refs/NAME` | [`Head`]: which edition is published as NAME, and which were before | with every push, on a condition |
//! | `gc/condemned` | [`Condemned`]: what a clean-up deletes next | with a clean-up, on a condition |
//! | `gc/clock`, `probe` | written to read the store's clock, and to try its conditions | |
//!
//! A push writes chunks, then `files/`, then `sets/`, and the name last; a clean-up deletes in the opposite order. So an object that exists has
//! everything that it names, whenever a push or a clean-up ends.
//!
//! Work is asynchronous (tokio), and ends early when its future is dropped; [`run`] is for callers that are not.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod bank;
mod blocking;
mod catalog;
mod connect;
mod cutting;
mod error;
mod gc;
mod guarded;
mod objects;
mod pull;
mod push;
mod remote;
mod verify;
mod watch;

pub use bank::{LocalBank, LocalFile};
pub use blocking::run;
pub use connect::{ConnectOptions, connect, is_address, prepare_tls};
pub use cutting::{CHUNK_SIZES, ChunkSizes, CutError, Range, cut, ranges_of_pack};
pub use error::{BankError, StoreError};
pub use gc::{GcOptions, GcReport, gc};
pub use objects::{
    Condemned, Deleting, Edition, EditionFile, FileIndex, Head, HeadEntry, MAX_HISTORY, ObjectError, Piece, Sentence, Stored, is_file_name,
    is_name,
};
pub use pull::{PullOptions, PullReport, pull};
pub use push::{PushOptions, PushReport, push};
pub use remote::{Guard, Listed, Put, Requests, Store, Versioned};
pub use verify::{VerifyOptions, VerifyReport, verify};
pub use watch::{Stage, Watch};
