//! The bytes of a memory pack: writer, reader, codec decoding, verification.
//!
//! A pack is one immutable file that holds explicit memories (Memory3, arXiv 2407.01178), the embeddings and the graph to find them by, and
//! the texts and documents that they come from. `SPEC.md` in this crate's folder defines every byte. This crate is a reader and a writer of
//! that format. It does not know models and does not map files: [`Pack`] reads from any `AsRef<[u8]>`. For any bytes it returns data, or an
//! error that names section and offset.
//!
//! There are three levels of checks (SPEC 15). [`Pack::open`] costs the same for every pack. [`Pack::check_leaves`] comes before the first
//! touch of a memory, an embedding or a text block; [`Pack::check_record`], [`Pack::check_embedding`] and [`Pack::check_text_block`] check
//! each one. [`Pack::verify`] reads everything.
//!
//! ```
//! use std::ops::ControlFlow;
//! use mempack_format::*;
//!
//! // Memories of one layer, one head, two token slots of two dimensions; embeddings of three dimensions.
//! let shape = MemoryShape::new(1, 1, 2, 2);
//! let folder = tempfile::tempdir()?;
//! let target = folder.path().join("one.mpk");
//!
//! let mut writer = PackWriter::create(&target, shape.clone(), 3)?;
//! writer.set_codec(&CodecSpec::F32, &0u32.to_le_bytes())?;
//! let document = writer.push_document(&Document { id: "act-1".into(), title: "An Act".into(), ..Document::default() })?;
//! let origin = Origin { document, start: 0, end: 20 };
//! writer.push_reference(&Digest::of(b"all the memory depends on"), 5, "Dogs pay no tax now.", &[origin])?;
//! // The record: two positions, then keys, then values.
//! let floats = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
//! let record: Vec<u8> = [0, 3].into_iter().chain(floats.iter().flat_map(|float| float.to_le_bytes())).collect();
//! writer.push_memory(&record)?;
//! writer.push_embedding(&[0.0, 0.6, 0.8])?;
//! # let any = Digest::of(b"");
//! # let (weights, adapter, config, tokenizer) = (any, None, any, any);
//! let model = ModelIdentity {
//!     // ... which weights, which architecture, which tokenizer wrote the memories
//! #   weights, adapter, config, tokenizer, layers: 2, first_memory_layer: 0, query_heads: 1, rope_base: 10_000.0,
//! #   prefix_ids: vec![1], reference_length: 128, reference_template: "{text}".into(),
//! #   selection: "attention-sum-pre-rope-v1".into(),
//!     name: "a model".into(),
//!     shape: shape.clone(),
//! };
//! let embedder = EmbedderIdentity { name: "an embedder".into(), digest: Digest::of(b""), dim: 3, metric: "cosine".into(), max_tokens: 256, prompts: None };
//! let summary = writer.finish(model, "f32", embedder, "an example")?;
//!
//! let pack = Pack::open(std::fs::read(&target)?)?;
//! assert_eq!(pack.id(), summary.id);
//! assert_eq!(pack.text(0)?, "Dogs pay no tax now.");
//! assert_eq!(pack.document(pack.origins(0)?.next().unwrap().document)?.title, "An Act");
//! pack.check_leaves()?;
//! pack.check_record(0)?;
//! let mut memory = Memory::empty(shape);
//! pack.codec()?.decode_memory(pack.record(0)?, &mut memory)?;
//! assert_eq!((memory.keys, memory.values), (floats[..4].to_vec(), floats[4..].to_vec()));
//! pack.verify(&mut |_progress| ControlFlow::Continue(()))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How to add a codec
//!
//! A codec is a chain of stages, and each family of stages is one file: see [`stages`].
//!
//! # How to add a section
//!
//! 1. Describe it in SPEC.md: its row in the table of section 3, its contents, and what readers check (section 15). A section that older
//!    readers may skip is optional; a required one needs a required feature bit as well.
//! 2. `tag.rs`: its [`Tag`], and its entry in `Tag::ALL`, which says whether it is required.
//! 3. A module for its contents, with the wire form and its checks; `quality.rs` is an example.
//! 4. `writer/mod.rs`: a method of [`PackWriter`] that takes the contents, and its entry in the list of sections in `finish`.
//! 5. `pack.rs`: a method of [`Pack`] that reads it through [`Pack::section`], which compares the digest. Only a section that is read when a
//!    pack is opened, or of which a part is read, has a field of `Layout`.
//! 6. If there are rules beyond the digest: a check in `verify`, called by `Verifier::whole`. Verification compares the digest of every
//!    section, and repair takes every section from a donor, without knowing its contents.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod budget;
mod coarse;
mod codec;
mod constants;
mod date;
mod digest;
mod error;
mod graph;
mod header;
mod identity;
mod leaves;
mod manifest;
mod memory;
mod metadata;
mod outline;
mod pack;
mod place;
mod prompts;
mod quality;
mod records;
mod repair;
mod set;
mod signature;
mod storage;
mod tag;
mod terms;
mod text;
mod verify;
mod writer;

pub use coarse::{CoarseEmbeddings, round_to_8_bits};
pub use codec::{
    CONTINUED, Codec, CodecError, CodecSpec, CodecStage, MAX_CODE_BITS, MAX_CODE_PARTS, MAX_HEAD_DIM, MAX_MAPPED_VALUE, MAX_MEMORY_FLOATS,
    MAX_PARAMETER_BYTES, MAX_TABLE_VALUE, MAX_TRELLIS_BYTES, SpecError, VectorKind, stages,
};
pub use constants::*;
pub use date::instant;
pub use digest::Digest;
pub use error::{Damage, Defect, Interrupted, ManifestError, OpenError, ReadError, VerifyError};
pub use graph::Graph;
pub use identity::{Difference, EmbedderIdentity, ModelIdentity};
pub use leaves::LeafKind;
pub use manifest::{Counts, GraphParameters, Manifest};
pub use memory::{BudgetError, EMPTY_SLOT, Memory, MemoryShape};
pub use metadata::{Field, FieldKind, Metadata};
pub use outline::{OutlineError, PackOutline};
pub use pack::{Pack, PackId};
pub use place::{OriginPlace, PlaceField};
pub use prompts::EmbedderPrompts;
pub use quality::{Distortion, Divergence, Loss, Quality, SampledDistortion, jackknife};
pub use records::{Document, Origin, ReferenceInfo};
pub use repair::{Mended, Missing, Repair, RepairError};
pub use set::{PackSetFile, Routing, SetError, SetId, SetManifest, SetMismatch, SetPack, SignSetError, sign_set_file};
pub use signature::{
    KeyDefect, KeyError, KeyId, PrivateKey, PublicKey, SignError, SignReport, Signature, SignatureError, SignedId, TrailerError, sign_file,
};
pub use storage::{DiskFile, DiskStorage, Storage, StorageCursor, StorageFile};
pub use tag::{Section, Tag};
pub use terms::{Posting, Postings, Terms};
pub use verify::{Sample, Scope, VERIFY_KEY_BYTES, VERIFY_MEMORY_BYTES, VerifyEvent, VerifyProgress, VerifyReport};
pub use writer::{
    FieldColumn, GraphSource, PackSummary, PackWriter, TermSource, WRITER_MEMORY_BYTES, WorkFolder, WriteError, check_target,
};
