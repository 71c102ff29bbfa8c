//! Which references come from gold documents.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use mempack_retrieval::Hit;
use mempack_runtime::{Mounted, OnDamage, PackReference, PackSet, cite};

use crate::library::{documents_named, unreadable};
use crate::{EvaluateError, Question};

/// The gold documents of all questions, in all packs.
pub(super) struct GoldDocuments {
    packs: Arc<PackSet>,
    /// For each pack, the ids of its gold documents by their numbers.
    ids: Vec<HashMap<u32, String>>,
}

impl GoldDocuments {
    /// Looks for the gold documents of `questions` in `packs`.
    pub fn find(packs: &Arc<PackSet>, questions: &[Question]) -> Result<Self, EvaluateError> {
        let wanted: HashSet<&str> = questions.iter().flat_map(|question| &question.gold_ids).map(String::as_str).collect();
        let ids = packs.packs().iter().map(|mounted| of_pack(mounted, &wanted)).collect::<Result<_, _>>()?;
        Ok(Self { packs: Arc::clone(packs), ids })
    }

    /// The ids of all gold documents that a pack has.
    pub fn ids(&self) -> HashSet<&str> {
        self.ids.iter().flat_map(HashMap::values).map(String::as_str).collect()
    }

    /// The ids of the documents among `gold` that a hit comes from. If there are none, the first document that it comes from.
    pub fn of(&self, hit: &Hit<PackReference>, gold: &[&str]) -> Result<Source, EvaluateError> {
        let PackReference { pack: mounted, number } = &hit.reference;
        let place = self.packs.packs().iter().position(|own| Arc::ptr_eq(own, mounted));
        let ids = place.and_then(|place| self.ids.get(place));
        let pack = mounted.pack();
        let origins = pack.origins(*number).map_err(|source| unreadable(pack, "reference", *number, source))?;
        let mut documents: Vec<usize> = Vec::new();
        for id in origins.clone().filter_map(|origin| ids?.get(&origin.document)) {
            documents.extend(gold.iter().position(|own| own == id).filter(|number| !documents.contains(number)));
        }
        let name = match (documents.first().and_then(|number| gold.get(*number)), origins.into_iter().next()) {
            (Some(id), _) => (*id).to_owned(),
            (None, Some(origin)) => {
                let document = pack.document(origin.document);
                document.map_err(|source| unreadable(pack, "document", origin.document, source))?.id
            }
            (None, None) => String::new(),
        };
        Ok(Source { documents, name })
    }
}

/// Where a reference comes from.
pub(super) struct Source {
    /// The gold documents of the question, as places in its list.
    pub documents: Vec<usize>,
    /// The id of the first of them; if there are none, of the first document that has the reference.
    pub name: String,
}

/// The numbers of the documents of a pack whose ids are wanted.
fn of_pack(mounted: &Arc<Mounted>, wanted: &HashSet<&str>) -> Result<HashMap<u32, String>, EvaluateError> {
    if mounted.pack().manifest().counts.references > 0 {
        // A citation compares the tables of references, origins and documents with their digests.
        cite(&Hit { reference: PackReference { pack: Arc::clone(mounted), number: 0 }, similarity: 0.0 }, OnDamage::Fail)?;
    }
    documents_named(mounted.pack(), wanted)
}
