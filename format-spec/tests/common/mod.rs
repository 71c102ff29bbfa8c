//! What the tests share: the golden pack, packs taken apart and put together by SPEC.md alone, and every accessor.
#![allow(dead_code)] // no test uses all of it

use std::ops::ControlFlow;

use mempack_format::{OpenError, Pack, Sample, Scope, VerifyError, VerifyReport};

pub const GOLDEN: &[u8] = include_bytes!("../golden/v1.0.mpk");

/// Verification without progress.
pub fn verify<D: AsRef<[u8]>>(pack: &Pack<D>) -> Result<VerifyReport, VerifyError> {
    pack.verify(&mut |_| ControlFlow::Continue(()))
}

/// Calls everything there is to call on a pack, for numbers that exist and some that do not.
pub fn touch_everything<D: AsRef<[u8]>>(pack: &Pack<D>) {
    let counts = pack.manifest().counts;
    let _ = (pack.id(), pack.version(), pack.bytes(), pack.sections(), pack.codec_spec(), pack.record_bytes(), pack.embeddings().is_ok());
    let _ = (pack.check_leaves(), pack.check_text_block(u64::MAX));
    for document in (0..counts.documents.min(64)).chain([counts.documents, u32::MAX]) {
        let _ = pack.document(document);
    }
    let codec = pack.codec();
    let graph = pack.graph();
    for reference in (0..counts.references.min(64)).chain([counts.references, u32::MAX]) {
        let _ = pack.reference(reference);
        let _ = pack.origins(reference).map(Iterator::count);
        // Decompressing takes longer than all else here; `verify` reads every text.
        if reference % 8 == 3 {
            let _ = pack.text(reference);
        }
        let _ = (pack.check_record(reference), pack.check_embedding(reference), pack.check_text_block(reference.into()));
        let _ = pack.embedding(reference);
        if let (Ok(codec), Ok(record)) = (&codec, pack.record(reference)) {
            let _ = codec.decode_memory(record, &mut mempack_format::Memory::empty(codec.shape().clone()));
        }
        if let Ok(Some(graph)) = &graph {
            for level in (0..=graph.level_of(reference).min(40)).chain([u32::MAX]) {
                let _ = graph.neighbours(reference, level).map(<[_]>::len);
            }
        }
    }
}

/// Opens and verifies, and touches everything if the pack opens.
pub fn exercise(bytes: &[u8]) -> Result<Result<VerifyReport, VerifyError>, OpenError> {
    let pack = Pack::open(bytes)?;
    touch_everything(&pack);
    let verified = verify(&pack);
    // What goes on after damage must neither fail otherwise nor find something else; a sample may miss what there is.
    let surveyed = pack.survey(Scope::Whole, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(surveyed.damages == 0, verified.is_ok(), "{verified:?}");
    let sample = Scope::Sample(Sample::new(0.3, u64::from(surveyed.counts.references)).unwrap());
    let sampled = pack.survey(sample, &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(sampled.damages == 0 || verified.is_err(), "{verified:?}");
    Ok(verified)
}
