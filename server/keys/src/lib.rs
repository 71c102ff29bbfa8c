//! API keys of the server: what each may read, how often, and a log of what was read.
//!
//! # The file of keys
//!
//! TOML, written by `mempack api-keys` and, with care, by hand; whoever writes it by hand may add comments, which the next command that
//! writes it does not keep.
//!
//! ```toml
//! version = 1
//!
//! [[key]]
//! name = "research"                       # shown in logs and metrics: letters, digits, and . _ - between them, at most 64
//! hash = "blake3:6f0d...64 digits"        # of the secret, see `SecretHash`; the secret itself is nowhere
//! packs = ["legal", "medical"]            # or "all"
//! quota = "60/min"                        # optional; also /s, /h, /day
//! where = 'jurisdiction == "BY"'          # optional; a filter that every search of the key obeys
//! admin = false                           # optional; true: may mount packs and see all metrics
//! created = 2026-11-28T12:00:00Z
//! expires = 2027-11-28T00:00:00Z          # optional; a date alone is its first moment in UTC
//! revoked = 2027-01-01T08:30:00Z          # optional; since when the key is refused
//! ```
//!
//! Every field that is not listed, every name or secret that occurs twice, and every value that cannot be understood is refused, with its
//! line and field ([`Defect`]).
//!
//! # For a server
//!
//! [`KeyRing`] holds the keys of such a file, tells who a secret belongs to ([`KeyRing::authenticate`]) and follows changes of the file
//! ([`KeyRing::reload`]). [`Access`] is what a request may do. [`audit::AuditLog`] writes down what it did.
#![forbid(unsafe_code)]

mod access;
pub mod audit;
mod error;
mod file;
mod form;
mod key;
mod keys;

mod names;
mod quota;
mod ring;
mod secret;
mod time;

pub use access::{Access, Denied, OverQuota};
pub use error::{Defect, KeysError};
pub use file::Warning;
pub use jiff::Timestamp;
pub use key::{Filter, Key, KeyState, NewKey, PackScope};
pub use keys::Keys;
pub use names::{KeyName, MAX_NAME, NameError, PackNameError, pack_name};
pub use quota::{MAX_QUOTA, Period, Quota, QuotaError};
pub use ring::KeyRing;
pub use secret::{HashError, Secret, SecretError, SecretHash};
pub use time::{MomentError, moment};
