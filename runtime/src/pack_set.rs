//! Several packs of one model, read as one.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use mempack_format::{Digest, PackId, PublicKey, ReadError, SignatureError};
use mempack_retrieval::Hit;

use crate::damage::OnDamage;
use crate::search::{Method, SearchError};
use crate::{MappedPack, ResolvedHit};

/// A pack in a set, under a name.
pub struct Mounted {
    name: String,
    pack: Arc<MappedPack>,
}

/// Name and id: what tells one mounted pack from another.
impl fmt::Debug for Mounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mounted").field("name", &self.name).field("id", &self.pack.id()).finish_non_exhaustive()
    }
}

impl PartialEq for Mounted {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.pack.id() == other.pack.id()
    }
}

impl Mounted {
    pub(crate) fn new(name: String, pack: Arc<MappedPack>) -> Self {
        Self { name, pack }
    }

    /// A pack under its file's name, as [`Mounts::of`](crate::Mounts::of) mounts it.
    pub fn of(pack: Arc<MappedPack>) -> Self {
        Self::new(pack.stem(), pack)
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
}

/// A reference of one of several packs. It keeps its pack mapped.
#[derive(Clone, Debug, PartialEq)]
pub struct PackReference {
    /// The pack.
    pub pack: Arc<Mounted>,
    /// The reference's number in it.
    pub number: u32,
}

/// A hit with its text and the places it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Citation {
    /// Name of the pack in its set.
    pub pack: String,
    /// Id of the pack.
    pub id: PackId,
    /// What the pack says of the reference.
    pub found: ResolvedHit,
    /// Whether the text is damaged and was left out: it is empty then.
    pub text_damaged: bool,
}

/// A search in one of several packs failed.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct PackSearchError {
    /// The pack's file.
    pub path: PathBuf,
    /// Why.
    pub source: Box<SearchError>,
}

impl PackSearchError {
    /// Whether the pack is damaged, rather than the query wrong.
    pub fn is_damage(&self) -> bool {
        self.source.is_damage()
    }
}

/// A pack that does not count as signed.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct NotSigned {
    /// The pack's file.
    pub path: PathBuf,
    /// Why.
    pub source: SignatureError,
}

impl NotSigned {
    /// Refuses a pack that none of the trusted keys signed; with none to trust, nothing is demanded.
    pub(crate) fn check(pack: &MappedPack, trusted: &[PublicKey]) -> Result<(), Self> {
        if trusted.is_empty() {
            return Ok(());
        }
        let signed = pack.signed_by(trusted);
        signed.map(drop).map_err(|source| Self { path: pack.path().to_owned(), source })
    }

    /// Whether a signature is wrong, rather than missing.
    pub fn is_damage(&self) -> bool {
        self.source.is_damage()
    }
}

/// What a pack says of a reference could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{}: reference {reference}: {source}", path.display())]
pub struct CiteError {
    /// The pack's file.
    pub path: PathBuf,
    /// The reference.
    pub reference: u32,
    /// Why.
    pub source: Box<ReadError>,
}

impl CiteError {
    /// Whether the pack is damaged, rather than the reference not there.
    pub fn is_damage(&self) -> bool {
        matches!(*self.source, ReadError::Damaged(_))
    }
}

/// Text, document and span of a hit, from the pack that it was found in; a damaged text can be left out.
///
/// # Errors
/// If what the pack says of the reference is damaged.
pub fn cite(hit: &Hit<PackReference>, on_damage: OnDamage<'_>) -> Result<Citation, CiteError> {
    let PackReference { pack: mounted, number } = &hit.reference;
    let pack = mounted.pack();
    let failed = |source| CiteError { path: pack.path().to_owned(), reference: *number, source: Box::new(source) };
    let (found, text_damaged) =
        pack.describe_or_skip(&Hit { reference: *number, similarity: hit.similarity }, on_damage).map_err(failed)?;
    Ok(Citation { pack: mounted.name().to_owned(), id: pack.id(), found, text_damaged })
}

/// Packs of one model and one embedder, in the order in which they were mounted. It never changes, and keeps its packs mapped.
#[derive(Clone, Debug, Default)]
pub struct PackSet(Vec<Arc<Mounted>>);

impl PackSet {
    pub(crate) fn new(packs: Vec<Arc<Mounted>>) -> Self {
        Self(packs)
    }

    /// The packs.
    pub fn packs(&self) -> &[Arc<Mounted>] {
        &self.0
    }

    /// The pack of a name.
    pub fn get(&self, name: &str) -> Option<&Arc<Mounted>> {
        self.0.iter().find(|mounted| mounted.name == name)
    }

    /// Demands of each pack that one of the trusted keys signed it; with none to trust, nothing is demanded.
    ///
    /// # Errors
    /// With the first pack that none of them signed, or that has a wrong signature of one.
    pub fn check_signed(&self, trusted: &[PublicKey]) -> Result<(), NotSigned> {
        self.0.iter().try_for_each(|mounted| NotSigned::check(&mounted.pack, trusted))
    }

    /// The `k` references nearest to `query`, a unit vector `[dim]`, of all packs in one ranking: best first, equal scores in the order of
    /// the packs, then of the references' numbers. A reference that stands in several packs (equal keys) is one hit, in the
    /// first of them.
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
        let mut found = Vec::new();
        for (order, mounted) in self.0.iter().enumerate() {
            let hits = mounted.pack.nearest(query, k, method, on_damage).map_err(|source| mounted.failed(source))?;
            found.extend(hits.into_iter().map(|hit| (order, hit)));
        }
        // One pack has its own ranking, and each reference once.
        if self.0.len() > 1 {
            found = self.once_each(found, on_damage)?;
            found.sort_by(|a, b| b.1.similarity.total_cmp(&a.1.similarity).then(a.0.cmp(&b.0)).then(a.1.reference.cmp(&b.1.reference)));
        }
        let of_pack = |(order, hit): (usize, Hit)| {
            let pack = Arc::clone(self.0.get(order)?);
            Some(hit.map(|number| PackReference { pack, number }))
        };
        Ok(found.into_iter().take(k).filter_map(of_pack).collect())
    }

    /// Of hits in the order of the packs, the first of each key. One whose record is damaged can be left out.
    fn once_each(&self, found: Vec<(usize, Hit)>, on_damage: OnDamage<'_>) -> Result<Vec<(usize, Hit)>, PackSearchError> {
        let mut owners: HashMap<Digest, usize> = HashMap::with_capacity(found.len());
        let mut kept = Vec::with_capacity(found.len());
        for (order, hit) in found {
            let Some(mounted) = self.0.get(order) else { continue };
            let key =
                mounted.pack.tolerance(on_damage).admit(mounted.pack.key(hit.reference)).map_err(|source| mounted.failed(source.into()))?;
            // Equal keys within a pack are that pack's own affair.
            if key.is_some_and(|key| *owners.entry(key).or_insert(order) == order) {
                kept.push((order, hit));
            }
        }
        Ok(kept)
    }
}

impl Mounted {
    fn failed(&self, source: SearchError) -> PackSearchError {
        PackSearchError { path: self.pack.path().to_owned(), source: Box::new(source) }
    }
}
