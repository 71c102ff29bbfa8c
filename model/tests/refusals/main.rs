//! What a malformed model folder, adapter or request gets: an error that names the place, never a panic.

mod adapters;
mod configs;
mod foreign;
mod requests;
mod support;
mod tokenizers;
mod weights;
