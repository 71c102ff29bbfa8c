//! Training against finite differences, against inference, and against itself after it has been saved.

mod adapters;
mod distil;
mod gates;
mod gradients;
mod optimizer;
mod reading;
mod reading_adapters;
mod saving;
mod selection;
mod sensitivity;
mod support;
