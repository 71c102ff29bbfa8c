//! Several packs of one model, searched with one ranking.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use fixedbitset::FixedBitSet;
use mempack_format::{Digest, PackId, PublicKey, ReadError, SignatureError};
use mempack_lexical::ANALYSIS;
use mempack_retrieval::Hit;

use crate::damage::OnDamage;
use crate::routing::{Membership, searched_first};
use crate::search::{Method, SearchError};
use crate::selection::Selected;
use crate::{MappedPack, ResolvedHit};

/// A named pack in a set.
pub struct Mounted {
    name: String,
    pack: Arc<MappedPack>,
    /// What is found and cited; `None` for all.
    selected: Option<Arc<Selected>>,
    /// The set that the pack was opened with, if it was.
    set: Option<Membership>,
}

/// Shows the name and the id, which identify a mounted pack.
impl fmt::Debug for Mounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mounted").field("name", &self.name).field("id", &self.pack.id()).finish_non_exhaustive()
    }
}

impl PartialEq for Mounted {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.pack.id() == other.pack.id() && self.selected == other.selected
    }
}

impl Mounted {
    pub(crate) fn new(name: String, pack: Arc<MappedPack>) -> Self {
        Self { name, pack, selected: None, set: None }
    }

    /// The same pack, as a part of a set.
    pub(crate) fn in_set(mut self, set: Membership) -> Self {
        self.set = Some(set);
        self
    }

    pub(crate) fn set(&self) -> Option<&Membership> {
        self.set.as_ref()
    }

    /// A pack with the name of its file, as [`Mounts::of`](crate::Mounts::of) mounts it.
    pub fn of(pack: Arc<MappedPack>) -> Self {
        Self::new(pack.stem(), pack)
    }

    /// The same pack, of which only this is found and cited.
    #[cfg(feature = "filters")]
    pub(crate) fn with_selected(&self, selected: Arc<Selected>) -> Self {
        Self { name: self.name.clone(), pack: Arc::clone(&self.pack), selected: Some(selected), set: self.set.clone() }
    }

    pub(crate) fn selected(&self) -> Option<&Selected> {
        self.selected.as_deref()
    }

    /// The references that may be found; `None` if all may.
    pub(crate) fn admitted(&self) -> Option<&FixedBitSet> {
        self.selected().map(|selected| &selected.references)
    }

    /// Documents that can be found and cited: all of the pack, or those that a filter admits.
    pub fn documents(&self) -> u32 {
        self.selected().map_or(self.pack.manifest().counts.documents, |selected| selected.documents.count_ones(..) as u32)
    }

    /// References that can be found: all of the pack, or those of the documents that a filter admits.
    pub fn references(&self) -> u32 {
        self.admitted().map_or(self.pack.manifest().counts.references, |admitted| admitted.count_ones(..) as u32)
    }

    /// As [`MappedPack::nearest`], among the references that may be found.
    pub(crate) fn nearest(&self, query: &[f32], k: usize, method: Method, on_damage: OnDamage<'_>) -> Result<Vec<Hit>, PackSearchError> {
        self.pack.nearest_of(query, k, method, self.admitted(), on_damage).map_err(|source| self.failed(source))
    }

    /// Its name in the set.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The pack.
    pub fn pack(&self) -> &Arc<MappedPack> {
        &self.pack
    }

    /// The pack's id.
    pub fn id(&self) -> PackId {
        self.pack.id()
    }

    /// Whether the pack has an index of terms that this program can search.
    ///
    /// # Errors
    /// If the index is damaged.
    pub fn has_terms(&self) -> Result<bool, PackSearchError> {
        let terms = self.pack.terms().map_err(|source| self.failed(source.into()))?;
        Ok(terms.is_some_and(|terms| terms.analysis() == ANALYSIS))
    }
}

/// A reference in one of several packs. It keeps the pack mapped.
#[derive(Clone, Debug, PartialEq)]
pub struct PackReference {
    /// The pack.
    pub pack: Arc<Mounted>,
    /// The reference's number in it.
    pub number: u32,
}

/// A hit with its pack, its text and the places of that text.
#[derive(Clone, Debug, PartialEq)]
pub struct Citation {
    /// Name of the pack in the set.
    pub pack: String,
    /// Id of the pack.
    pub id: PackId,
    /// The reference's text and places.
    pub found: ResolvedHit,
    /// Whether the text is damaged and was skipped. It is empty then.
    pub text_damaged: bool,
}

/// A search in one of several packs failed.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct PackSearchError {
    /// The pack's file.
    pub path: PathBuf,
    /// The cause.
    pub source: Box<SearchError>,
}

impl PackSearchError {
    /// Whether the pack is damaged, rather than the query wrong.
    pub fn is_damage(&self) -> bool {
        self.source.is_damage()
    }
}

/// A pack without a valid signature of a trusted key.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct NotSigned {
    /// The pack's file.
    pub path: PathBuf,
    /// The cause.
    pub source: SignatureError,
}

impl NotSigned {
    /// Refuses a pack that none of the trusted keys signed, neither the pack nor the set that it was opened with. An empty list accepts every
    /// pack.
    pub(crate) fn check(mounted: &Mounted, trusted: &[PublicKey]) -> Result<(), Self> {
        if trusted.is_empty() {
            return Ok(());
        }
        let pack = mounted.pack();
        let (path, signed) = match mounted.set() {
            Some(of) => (of.set.path.as_path(), of.set.file.signed_by(trusted)),
            None => (pack.path(), pack.signed_by(trusted)),
        };
        signed.map(|_| ()).map_err(|source| Self { path: path.to_owned(), source })
    }

    /// Whether a signature is wrong, rather than missing.
    pub fn is_damage(&self) -> bool {
        self.source.is_damage()
    }
}

/// A reference's text or places could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{}: reference {reference}: {source}", path.display())]
pub struct CiteError {
    /// The pack's file.
    pub path: PathBuf,
    /// The reference.
    pub reference: u32,
    /// The cause.
    pub source: Box<ReadError>,
}

impl CiteError {
    /// Whether the pack is damaged; false if it does not have the reference.
    pub fn is_damage(&self) -> bool {
        matches!(*self.source, ReadError::Damaged(_))
    }
}

/// Text, document and byte range of a hit, from the pack that it was found in. `on_damage` can skip a damaged text.
///
/// # Errors
/// If the pack's data about the reference is damaged.
pub fn cite(hit: &Hit<PackReference>, on_damage: OnDamage<'_>) -> Result<Citation, CiteError> {
    let PackReference { pack: mounted, number } = &hit.reference;
    let pack = mounted.pack();
    let failed = |source| CiteError { path: pack.path().to_owned(), reference: *number, source: Box::new(source) };
    let (found, text_damaged) =
        pack.describe_or_skip(&Hit { reference: *number, similarity: hit.similarity }, mounted.selected(), on_damage).map_err(failed)?;
    Ok(Citation { pack: mounted.name().to_owned(), id: pack.id(), found, text_damaged })
}

/// An immutable list of packs of one model and one embedder, in the order in which they were mounted. It keeps the packs mapped.
#[derive(Clone, Debug, Default)]
pub struct PackSet(Vec<Arc<Mounted>>);

impl PackSet {
    pub(crate) fn new(packs: Vec<Arc<Mounted>>) -> Self {
        Self(packs)
    }

    /// A set of these packs, which must be of one model and one embedder, as those of another set are.
    pub fn of(packs: Vec<Arc<Mounted>>) -> Self {
        Self::new(packs)
    }

    /// The packs.
    pub fn packs(&self) -> &[Arc<Mounted>] {
        &self.0
    }

    /// The pack with a name.
    pub fn get(&self, name: &str) -> Option<&Arc<Mounted>> {
        self.0.iter().find(|mounted| mounted.name == name)
    }

    /// Those of the packs that `keep` wants, in the same order.
    #[must_use]
    pub fn only(&self, mut keep: impl FnMut(&Mounted) -> bool) -> Self {
        Self(self.0.iter().filter(|mounted| keep(mounted)).cloned().collect())
    }

    /// Checks that one of the trusted keys signed each pack. An empty list accepts every pack.
    ///
    /// # Errors
    /// For the first pack that no trusted key signed, or that has a wrong signature of one.
    pub fn check_signed(&self, trusted: &[PublicKey]) -> Result<(), NotSigned> {
        self.0.iter().try_for_each(|mounted| NotSigned::check(mounted, trusted))
    }

    /// The `k` references nearest to `query`, a unit vector `[dim]`, over all packs in one ranking: best first, equal similarities in the
    /// order of the packs, then of the references' numbers. A reference that several packs contain (equal keys) is one hit, in the first of
    /// these packs.
    ///
    /// Of a set with a routing table ([`MappedSet`](crate::MappedSet)), the packs nearest to the query are searched, a third of them unless the set was opened with
    /// another number, and the others only if these have fewer than `k`. An exact search, and one with a filter, looks at all.
    ///
    /// # Errors
    /// As [`MappedPack::nearest`], with the pack's path.
    pub fn nearest(
        &self,
        query: &[f32],
        k: usize,
        method: Method,
        on_damage: OnDamage<'_>,
    ) -> Result<Vec<Hit<PackReference>>, PackSearchError> {
        self.search_first(
            query,
            method,
            k,
            on_damage,
            |_, mounted, first| {
                if first { mounted.nearest(query, k, method, on_damage) } else { Ok(Vec::new()) }
            },
        )
    }

    /// The best `k` of what `search` finds in each pack, in one ranking. It is told the pack's place and whether its vectors are searched; if that gives
    /// fewer than `k`, all are.
    pub(crate) fn search_first(
        &self,
        query: &[f32],
        method: Method,
        k: usize,
        on_damage: OnDamage<'_>,
        mut search: impl FnMut(usize, &Mounted, bool) -> Result<Vec<Hit>, PackSearchError>,
    ) -> Result<Vec<Hit<PackReference>>, PackSearchError> {
        // What a filter admits may lie in any pack.
        let places = self.0.iter().map(|mounted| mounted.set().filter(|_| mounted.selected().is_none()));
        let first = searched_first(places, query, method);
        let ranked = |found: &[Vec<Hit>]| {
            let found = found.iter().enumerate().flat_map(|(order, hits)| hits.iter().map(move |hit| (order, *hit)));
            self.in_one_ranking(found.collect(), k, on_damage)
        };
        let mut found = Vec::with_capacity(self.0.len());
        for (order, (mounted, first)) in self.0.iter().zip(&first).enumerate() {
            found.push(search(order, mounted, *first)?);
        }
        let hits = ranked(&found)?;
        if hits.len() >= k || first.iter().all(|first| *first) {
            return Ok(hits);
        }
        let others = self.0.iter().zip(&mut found).zip(&first).enumerate().filter(|(_, (_, first))| !**first);
        for (order, ((mounted, found), _)) in others {
            *found = search(order, mounted, true)?;
        }
        ranked(&found)
    }

    /// The best `k` of hits in the order of the packs, each key once.
    pub(crate) fn in_one_ranking(
        &self,
        mut found: Vec<(usize, Hit)>,
        k: usize,
        on_damage: OnDamage<'_>,
    ) -> Result<Vec<Hit<PackReference>>, PackSearchError> {
        // A single pack has every key once.
        if self.0.len() > 1 {
            found = self.once_each(found, on_damage)?;
        }
        found.sort_by(|a, b| b.1.similarity.total_cmp(&a.1.similarity).then(a.0.cmp(&b.0)).then(a.1.reference.cmp(&b.1.reference)));
        let of_pack = |(order, hit): (usize, Hit)| {
            let pack = Arc::clone(self.0.get(order)?);
            Some(hit.map(|number| PackReference { pack, number }))
        };
        Ok(found.into_iter().take(k).filter_map(of_pack).collect())
    }

    /// Keeps the hits of the first pack that contains each key; `found` is in the order of the packs. `on_damage` can skip a hit whose
    /// table entry is damaged.
    fn once_each(&self, found: Vec<(usize, Hit)>, on_damage: OnDamage<'_>) -> Result<Vec<(usize, Hit)>, PackSearchError> {
        let mut owners: HashMap<Digest, usize> = HashMap::with_capacity(found.len());
        let mut kept = Vec::with_capacity(found.len());
        for (order, hit) in found {
            let Some(mounted) = self.0.get(order) else { continue };
            let key =
                mounted.pack.tolerance(on_damage).admit(mounted.pack.key(hit.reference)).map_err(|source| mounted.failed(source.into()))?;
            // Equal keys within one pack are kept.
            if key.is_some_and(|key| *owners.entry(key).or_insert(order) == order) {
                kept.push((order, hit));
            }
        }
        Ok(kept)
    }
}

impl Mounted {
    pub(crate) fn failed(&self, source: SearchError) -> PackSearchError {
        PackSearchError { path: self.pack.path().to_owned(), source: Box::new(source) }
    }
}
