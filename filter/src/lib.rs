//! Filters over the metadata of documents: `jurisdiction == "BY" && date >= "2021-01-01"`.
//!
//! An [`Expression`] is written in the [Common Expression Language](https://cel.dev) (CEL), of which the crate `cel` parses the whole and this
//! crate evaluates what can be decided for each value of a field once:
//!
//! - fields by name, `court.name` for nested ones; `metadata["court name"]` for names that are no identifiers, and `metadata.court` for any;
//! - `==`, `!=`, `<`, `<=`, `>`, `>=` between a field and a constant, in either order; constants are texts, numbers, `true`, `false`, and dates
//!   as texts (ISO 8601) or `timestamp("2021-01-01T00:00:00Z")`;
//! - `field in ["a", "b"]`, and for lists `"a" in field`, `field.exists(x, ...)`, `field.all(x, ...)`;
//! - `contains`, `startsWith`, `endsWith` and `matches` (a regular expression of the crate `regex`) of texts;
//! - `has(metadata.field)`, `!`, `&&`, `||`, and fields of kind boolean by themselves.
//!
//! As in CEL, a test of a field that a document does not have is an error, which `false &&` and `true ||` absorb; a document for which an error is
//! left does not pass. So `jurisdiction != "BY"` refuses documents without a jurisdiction, and
//! `!has(metadata.jurisdiction) || jurisdiction != "BY"` admits them.
//!
//! Every type is checked before a document is looked at ([`Expression::check`]), with the position of what is wrong.
#![forbid(unsafe_code)]

mod check;
mod condition;
mod error;
mod guard;
mod parse;
mod predicate;
mod select;

pub use check::{Checked, FieldType};
pub use error::{FilterError, Problem};
pub use parse::{Expression, MAX_EXPRESSION_BYTES};
pub use select::{Column, Documents};
