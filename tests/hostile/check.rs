//! What a program does with a hostile pack, and what it is told.

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use mempack_format::{Damage, Metadata, OpenError, Pack, ReadError, Scope, VerifyError, VerifyEvent};
use mempack_runtime::{FetchError, Hit, MapError, MappedPack, MemoryCache, SearchError};

use crate::corpus::Error;

/// An error as a test looks at it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Said {
    pub kind: String,
    pub text: String,
}

impl Said {
    pub fn is(&self, error: Error) -> bool {
        self.kind == error.0 && self.text.contains(error.1)
    }
}

/// The name of a variant.
fn variant(error: &impl std::fmt::Debug) -> String {
    format!("{error:?}").chars().take_while(char::is_ascii_alphanumeric).collect()
}

fn of_open(error: &OpenError) -> Said {
    let kind = match error {
        OpenError::Manifest { source, .. } => format!("Manifest/{}", variant(source)),
        OpenError::Quality { source, .. } => format!("Quality/{}", variant(source)),
        OpenError::Budget { source, .. } => format!("Budget/{}", variant(source)),
        OpenError::Prompts { source, .. } => format!("Prompts/{}", variant(source)),
        OpenError::Signatures { source, .. } => format!("Signatures/{}", variant(source)),
        other => variant(other),
    };
    Said { kind, text: error.to_string() }
}

fn of_damage(damage: &Damage) -> Said {
    Said { kind: format!("{}/{}", damage.section, variant(&damage.defect)), text: damage.to_string() }
}

/// Damage; anything else would mean that a number that is there was not found.
fn of_read(error: &ReadError) -> Said {
    match error {
        ReadError::Damaged(damage) => of_damage(damage),
        other => panic!("{other}"),
    }
}

pub fn open(file: &[u8]) -> Result<Pack<&[u8]>, Said> {
    Pack::open(file).map_err(|error| of_open(&error))
}

/// All damage that verification tells.
pub fn verify<D: AsRef<[u8]>>(pack: &Pack<D>) -> Vec<Said> {
    let mut said = Vec::new();
    let report = pack.survey(Scope::Whole, &mut |event| {
        if let VerifyEvent::Damage(damage) = event {
            said.push(of_damage(&damage));
        }
        ControlFlow::Continue(())
    });
    assert_eq!(report.expect("nothing ends it").damages, said.len() as u64);
    let first = pack.verify(&mut |_| ControlFlow::Continue(())).err();
    let first = first.map(|error| match error {
        VerifyError::Damaged(damage) => of_damage(&damage),
        other => panic!("{other}"),
    });
    assert_eq!(first.as_ref(), said.first(), "the first damage");
    said
}

/// Reads all there is to read through a mapping: documents, texts, origins, memories, embeddings, neighbour lists, and searches.
/// Gives what went wrong, in order, each once.
pub fn touch(path: &Path, file: &[u8]) -> Vec<Said> {
    fs::write(path, file).expect("the temporary folder is writable");
    let pack = match MappedPack::open(path) {
        Ok(pack) => pack,
        Err(MapError::Open { source, .. }) => return vec![of_open(&source)],
        Err(other) => panic!("{other}"),
    };
    let mut said = Vec::new();
    let mut note = |result: Result<(), ReadError>| said.extend(result.err().map(|error| of_read(&error)));
    note(pack.check_leaves());
    let counts = pack.manifest().counts;
    for document in 0..counts.documents {
        note(pack.document(document).map(drop));
    }
    note(pack.codec().map(drop));
    let graph = pack.graph();
    let cache = MemoryCache::new(1 << 20);
    for reference in 0..counts.references {
        note(pack.reference(reference).map(drop));
        note(pack.text(reference).map(drop));
        note(pack.origins(reference).map(|_| ()));
        note(pack.check_record(reference));
        note(pack.check_embedding(reference));
        if let Err(FetchError { source, .. }) = cache.get(&pack, reference) {
            note(Err(*source));
        }
        if let Ok(Some(graph)) = &graph {
            for level in 0..=graph.level_of(reference).min(64) {
                note(graph.neighbours(reference, level).map(drop).map_err(Into::into));
            }
        }
    }
    note(graph.map(drop));
    note(terms(&pack));
    note(metadata(&pack));
    note(places(&pack));
    let dim = pack.manifest().embedder.dim as usize;
    let query = vec![1.0 / (dim as f32).sqrt(); dim];
    for result in [pack.search_exact(&query, 5), pack.search(&query, 5, 50)] {
        match result {
            Ok(hits) => hits.iter().for_each(|hit| check_hit(&pack, hit)),
            Err(SearchError::Read(error)) => note(Err(error)),
            Err(other) => panic!("{other}"),
        }
    }
    let mut seen = BTreeSet::new();
    said.retain(|error| seen.insert(error.clone()));
    said
}

/// Reads the whole inverted index.
fn terms(pack: &MappedPack) -> Result<(), ReadError> {
    let Some(terms) = pack.terms()? else { return Ok(()) };
    for term in 0..terms.len() {
        terms.name(term)?;
        for posting in terms.postings(term)? {
            assert!(posting?.reference < pack.manifest().counts.references);
        }
    }
    Ok(())
}

/// Reads the fields and values of all documents.
fn metadata(pack: &MappedPack) -> Result<(), ReadError> {
    columns(pack.metadata()?)
}

/// Reads the places of all origins.
fn places(pack: &MappedPack) -> Result<(), ReadError> {
    columns(pack.places()?)
}

fn columns(metadata: Option<Metadata<'_>>) -> Result<(), ReadError> {
    let Some(metadata) = metadata else { return Ok(()) };
    for field in metadata.fields() {
        let field = field?;
        for row in 0..metadata.documents() {
            for code in field.codes(row)? {
                field.value(code.get())?;
            }
        }
    }
    Ok(())
}

fn check_hit(pack: &MappedPack, hit: &Hit) {
    assert!(hit.reference < pack.manifest().counts.references && hit.similarity.is_finite());
    // Whatever it says: it says it without a panic.
    drop(pack.describe(hit));
}
