//! What a program does with a pack, and what must hold whatever the bytes are: no panic, no end of memory, no wrong answer.
//!
//! Each function takes a file, and panics where the reader breaks a promise. The fuzz targets and the bounded run of the ordinary
//! tests call the same functions.
//!
//! For tests only: a function here panics where the reader of packs under test breaks a promise. It stands apart from `mempack-hostile`,
//! which the format's own tests use and which therefore knows nothing of the runtime.
#![forbid(unsafe_code)]

mod filter;
mod manifest;
mod search;

use std::ops::ControlFlow;

use mempack_format::{Memory, OriginPlace, Pack, ReadError};

pub use filter::filter;
pub use manifest::manifest;
pub use search::search;

/// References, documents and so on that are looked at of each kind: the first, and some spread over the rest.
const LOOKED_AT: u32 = 48;

/// The numbers to look at of `count`, and two that do not exist.
fn some(count: u32) -> impl Iterator<Item = u32> {
    let step = (count / LOOKED_AT).max(1);
    (0..count.min(8)).chain((8..count).step_by(step as usize)).chain([count, u32::MAX])
}

/// Opens a file. What is opened says the same of itself a second time; what is refused says why.
pub fn open(file: &[u8]) {
    match Pack::open(file) {
        Ok(pack) => {
            let again = Pack::open(file).expect("the same bytes are a pack again");
            assert_eq!((pack.id(), pack.manifest(), pack.sections()), (again.id(), again.manifest(), again.sections()));
            assert!(pack.bytes() == file.len() as u64 || !pack.signatures().is_empty(), "something else than signatures stands behind");
            let last = pack.sections().last().map_or(4096, |section| section.offset + section.length);
            assert!(last <= pack.bytes(), "a section ends behind the file");
            pack.signatures().iter().for_each(|signature| drop(signature.check(pack.id())));
        }
        Err(error) => assert!(error.to_string().len() > 20, "{error:?} does not say what is wrong"),
    }
}

/// Verifies a file. If it is found whole, everything in it can be read.
pub fn verify(file: &[u8]) {
    let Ok(pack) = Pack::open(file) else { return };
    let report = pack.verify(&mut |at| {
        assert!(at.done <= at.total, "{at:?}");
        ControlFlow::Continue(())
    });
    match report {
        Ok(report) => {
            assert_eq!((report.id, report.bytes), (pack.id(), pack.bytes()));
            if let Err(error) = read(&pack) {
                panic!("a pack was found whole, and then: {error}");
            }
        }
        Err(error) => assert!(error.to_string().len() > 20, "{error:?} does not say what is wrong"),
    }
}

/// Fetches documents, texts, origins, memories, embeddings and neighbour lists.
pub fn fetch(file: &[u8]) {
    let Ok(pack) = Pack::open(file) else { return };
    if let Err(error) = read(&pack) {
        assert!(error.to_string().len() > 20, "{error:?} does not say what is wrong");
    }
}

/// Reads something of every section and returns the first damage; continues after it.
fn read<D: AsRef<[u8]>>(pack: &Pack<D>) -> Result<(), ReadError> {
    let counts = pack.manifest().counts;
    let mut first = Ok(());
    let mut note = |result: Result<(), ReadError>| match result {
        Err(ReadError::OutOfRange { index, count, .. }) => assert!(index >= count, "{index} of {count} was not found"),
        result if first.is_ok() => first = result,
        _ => {}
    };
    for document in some(counts.documents) {
        note(pack.document(document).map(drop));
    }
    let codec = pack.codec();
    note(codec.as_ref().map(drop).map_err(Clone::clone));
    let graph = pack.graph();
    note(graph.as_ref().map(drop).map_err(Clone::clone));
    let terms = pack.terms();
    note(terms.as_ref().map(drop).map_err(Clone::clone));
    if let Ok(Some(terms)) = &terms {
        for term in some(terms.len()).filter(|term| *term < terms.len()) {
            note(terms.name(term).map(drop).map_err(Into::into));
            let list = terms.postings(term).and_then(|list| {
                list.into_iter()
                    .try_for_each(|posting| posting.map(|found| assert!(found.reference < counts.references && found.count > 0)))
            });
            note(list.map_err(Into::into));
        }
        note(terms.find("dosis").map(drop).map_err(Into::into));
    }
    let metadata = pack.metadata();
    note(metadata.as_ref().map(drop).map_err(Clone::clone));
    if let Ok(Some(metadata)) = &metadata {
        for field in metadata.fields() {
            note(field.as_ref().map(drop).map_err(|damage| damage.clone().into()));
            let Ok(field) = field else { continue };
            for document in some(counts.documents) {
                let values = field.codes(document).and_then(|codes| codes.iter().try_for_each(|code| field.value(code.get()).map(drop)));
                note(values.map_err(Into::into));
            }
        }
        note(metadata.field("year").map(drop).map_err(Into::into));
    }
    let places = pack.places();
    note(places.as_ref().map(drop).map_err(Clone::clone));
    if let Ok(Some(places)) = &places {
        for origin in some(places.documents()) {
            note(OriginPlace::read(places, origin).map(|place| drop(place.to_string())).map_err(Into::into));
        }
    }
    if let Ok(Some(coarse)) = pack.coarse_embeddings() {
        let rows = some(counts.references).filter(|reference| coarse.row(*reference).is_some_and(|row| row.len() == coarse.stride()));
        assert_eq!(rows.count(), some(counts.references).count() - 2, "every reference has a coarse row, and no other has");
    }
    for reference in some(counts.references) {
        let text = pack.text(reference);
        if let (Ok(text), Ok(info)) = (&text, pack.reference(reference)) {
            assert_eq!(text.len(), info.text_len as usize, "a text has another length than its record says");
        }
        note(text.map(drop));
        note(pack.origins(reference).map(|mut origins| assert!(origins.all(|origin| origin.document < counts.documents))));
        note(pack.embedding(reference).map(drop));
        note(pack.check_record(reference));
        if let (Ok(codec), Ok(record), Ok(())) = (&codec, pack.record(reference), pack.check_record(reference)) {
            let mut memory = Memory::empty(codec.shape().clone());
            if codec.decode_memory(record, &mut memory).is_ok() {
                assert!(memory.keys.iter().chain(&memory.values).all(|value| value.is_finite()), "a memory that is no number");
            }
        }
        if let Ok(Some(graph)) = &graph {
            for level in (0..=graph.level_of(reference).min(40)).chain([u32::MAX]) {
                note(
                    graph
                        .neighbours(reference, level)
                        .map(|list| assert!(list.iter().all(|id| id.get() < graph.nodes())))
                        .map_err(Into::into),
                );
            }
        }
    }
    first
}
