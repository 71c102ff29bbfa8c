//! Tuning a codec to the memories of a build, and measuring what it loses.
//!
//! [`selection`] decides by their keys which references the codec is trained on and which are held out. [`sample`] writes the memories
//! of both. [`sensitivity`] asks the model in which directions errors matter, [`train`] trains the tables, [`choose`] trains several
//! codecs and takes the best, [`measure`] measures the one that is used on what is held out, and [`drift`] compares what kept tables
//! lose of new memories with what they lose of old ones.

pub(crate) mod choose;
pub(crate) mod drift;
pub(crate) mod measure;
mod probes;
pub(crate) mod sample;
pub(crate) mod selection;
mod sensitivity;
pub(crate) mod train;
