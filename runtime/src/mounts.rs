//! A set of packs that can be mounted, unmounted and replaced while others read it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

#[cfg(feature = "filters")]
use mempack_filter::Expression;
use mempack_format::{Difference, EmbedderIdentity, ModelIdentity, PublicKey};

use crate::MappedPack;
#[cfg(feature = "filters")]
use crate::filter::SelectError;
use crate::mapped_set::MappedSet;
use crate::pack_set::{Mounted, NotSigned, PackSet};

/// Why a change of the set of mounted packs failed. The set is unchanged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MountError {
    /// The pack was built with another model or embedder than the set has.
    #[error("{}", mismatch(party, path, beside.as_deref(), .differences))]
    Mismatch {
        /// `model` or `embedder`.
        party: &'static str,
        /// The refused pack.
        path: PathBuf,
        /// The first pack of the set; `None` in a set that began [empty](Mounts::empty).
        beside: Option<PathBuf>,
        /// Every field that differs, never empty: `pack` is the refused pack's value, `model` that of the set.
        differences: Vec<Difference>,
    },
    /// The set requires signatures, and no trusted key signed the pack.
    #[error(transparent)]
    NotSigned(#[from] NotSigned),
    /// The set has a filter that does not fit the pack.
    #[cfg(feature = "filters")]
    #[error(transparent)]
    Filter(#[from] SelectError),
    /// A pack of that name is already mounted.
    #[error("a pack is already mounted as `{name}`: {}; replace it, or choose another name", path.display())]
    NameTaken {
        /// The name.
        name: String,
        /// The pack that has it.
        path: PathBuf,
    },
    /// No pack of that name is mounted.
    #[error("no pack is mounted as `{name}`; {}", mounted(names))]
    NotMounted {
        /// The requested name.
        name: String,
        /// The names of the mounted packs.
        names: Vec<String>,
    },
    /// The last pack cannot be unmounted: the set began with a pack, and has at least one since.
    #[error("`{name}` is the only mounted pack and cannot be unmounted; replace it, or mount another pack first")]
    Last {
        /// Its name.
        name: String,
    },
}

fn mismatch(party: &str, path: &Path, beside: Option<&Path>, differences: &[Difference]) -> String {
    let (path, fields) = (path.display(), Difference::summary(differences));
    match beside {
        Some(beside) => format!(
            "{path} cannot be mounted beside {}: they were built with different {party}s, which differ in {fields}; build one of them again with \
             the other's {party}",
            beside.display()
        ),
        None => format!(
            "{path} cannot be mounted: it was built with another {party} than the one that reads it, and they differ in {fields}; build it again \
             with that {party}"
        ),
    }
}

fn mounted(names: &[String]) -> String {
    if names.is_empty() { "none is mounted".to_owned() } else { format!("the mounted packs are {}", names.join(", ")) }
}

/// What each pack of the set must have: one model and embedder, and a signature of a trusted key if there are trusted keys.
#[derive(Debug)]
struct Requirements {
    /// The first pack's path; `None` if the set began without packs, and may have none.
    path: Option<PathBuf>,
    model: ModelIdentity,
    embedder: EmbedderIdentity,
    trusted: Vec<PublicKey>,
    /// What is found and cited of every pack; `None` for all.
    #[cfg(feature = "filters")]
    filter: Option<Expression>,
}

impl Requirements {
    /// A pack as the set has it.
    fn mounted(&self, mounted: Mounted) -> Result<Mounted, MountError> {
        self.check(&mounted)?;
        #[cfg(feature = "filters")]
        if let Some(filter) = &self.filter {
            return Ok(mounted.selecting(filter)?);
        }
        Ok(mounted)
    }

    fn check(&self, mounted: &Mounted) -> Result<(), MountError> {
        let pack = mounted.pack();
        let manifest = pack.manifest();
        let parties = [("model", manifest.model.differences(&self.model)), ("embedder", manifest.embedder.differences(&self.embedder))];
        match parties.into_iter().find(|(_, differences)| !differences.is_empty()) {
            Some((party, differences)) => {
                Err(MountError::Mismatch { party, path: pack.path().to_owned(), beside: self.path.clone(), differences })
            }
            None => Ok(NotSigned::check(mounted, &self.trusted)?),
        }
    }
}

/// A set of mounted packs that can change while it is read, for example to add a pack of another field or to replace a pack by its new
/// version.
///
/// A reader takes the present [`PackSet`] and keeps it for one request, so it sees one state of the set from beginning to end. When the
/// last reader drops a pack that has left the set, the pack is unmapped and its memories leave the caches. No lock is held while packs are
/// searched, decoded or opened.
///
/// ```no_run
/// # use mempack_runtime::{MappedPack, Method, Mounts, OnDamage};
/// # let query = [0.6, 0.8];
/// let mounts = Mounts::new("legal", MappedPack::open("legal.mpk")?);
/// mounts.mount("medical", MappedPack::open("medical.mpk")?)?;
/// let before = mounts.packs();
/// mounts.replace("legal", MappedPack::open("legal-2.mpk")?)?;
/// // A request that began before the replacement reads the old version to its end.
/// let hits = before.nearest(&query, 5, Method::default(), OnDamage::Fail)?;
/// println!("{:?}", hits.first().map(|hit| hit.reference.pack.name()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Mounts {
    requirements: Requirements,
    packs: RwLock<Arc<PackSet>>,
}

/// The index of the pack with a name.
fn place(packs: &[Arc<Mounted>], name: &str) -> Result<usize, MountError> {
    packs.iter().position(|mounted| mounted.name() == name).ok_or_else(|| {
        let names = packs.iter().map(|mounted| mounted.name().to_owned()).collect();
        MountError::NotMounted { name: name.to_owned(), names }
    })
}

impl Mounts {
    /// A set of one pack. Packs mounted later must have the same model and embedder.
    pub fn new(name: impl Into<String>, pack: impl Into<Arc<MappedPack>>) -> Self {
        let pack = pack.into();
        let manifest = pack.manifest();
        let (model, embedder) = (manifest.model.clone(), manifest.embedder.clone());
        let path = Some(pack.path().to_owned());
        Self::begin(path, model, embedder, PackSet::new(vec![Arc::new(Mounted::new(name.into(), pack))]))
    }

    /// The packs of a set, each with the name of its file, without the extension. Packs mounted later must have the same model and embedder.
    pub fn of_set(set: &MappedSet) -> Self {
        let manifest = set.file().manifest();
        let packs = set.mounted().map(Arc::new).collect();
        Self::begin(Some(set.path().to_owned()), manifest.model.clone(), manifest.embedder.clone(), PackSet::new(packs))
    }

    /// A set without packs, for packs of this model and this embedder. It may become empty again.
    pub fn empty(model: ModelIdentity, embedder: EmbedderIdentity) -> Self {
        Self::begin(None, model, embedder, PackSet::default())
    }

    fn begin(path: Option<PathBuf>, model: ModelIdentity, embedder: EmbedderIdentity, packs: PackSet) -> Self {
        let requirements = Requirements {
            path,
            model,
            embedder,
            trusted: Vec::new(),
            #[cfg(feature = "filters")]
            filter: None,
        };
        Self { requirements, packs: RwLock::new(Arc::new(packs)) }
    }

    /// A set of one pack, named after its file, without the extension.
    pub fn of(pack: impl Into<Arc<MappedPack>>) -> Self {
        let pack = pack.into();
        Self::new(pack.stem(), pack)
    }

    /// The same set, which now requires a signature of one of these keys from every pack. An empty list requires no signature.
    ///
    /// # Errors
    /// If a pack that is already mounted is not signed by any of the keys.
    pub fn demanding(mut self, trusted: Vec<PublicKey>) -> Result<Self, MountError> {
        self.packs().check_signed(&trusted)?;
        self.requirements.trusted = trusted;
        Ok(self)
    }

    /// The same set, of which searches find, and citations name, only what `filter` admits ([`PackSet::selecting`]). It holds for packs mounted later as
    /// well; their fields are not compared with those of the others. An empty set takes any filter.
    ///
    /// # Errors
    /// As [`PackSet::selecting`].
    #[cfg(feature = "filters")]
    pub fn selecting(mut self, filter: Expression) -> Result<Self, MountError> {
        let selected = self.packs().selecting(&filter)?;
        *self.write() = Arc::new(selected);
        self.requirements.filter = Some(match self.requirements.filter.take() {
            Some(before) => before.and(filter),
            None => filter,
        });
        Ok(self)
    }

    /// Whether a pack could be mounted: whether it is of the set's model and embedder, has a signature of a trusted key, and fits the filter.
    ///
    /// # Errors
    /// What it lacks.
    pub fn check(&self, pack: &Arc<MappedPack>) -> Result<(), MountError> {
        self.requirements.mounted(Mounted::new(String::new(), Arc::clone(pack))).map(drop)
    }

    /// The packs that are mounted now, for one request.
    pub fn packs(&self) -> Arc<PackSet> {
        Arc::clone(&self.read())
    }

    /// The model that all packs were built with.
    pub fn model(&self) -> &ModelIdentity {
        &self.requirements.model
    }

    /// The embedder that all packs were built with.
    pub fn embedder(&self) -> &EmbedderIdentity {
        &self.requirements.embedder
    }

    /// Mounts a pack after the others.
    ///
    /// # Errors
    /// If its model or embedder is not that of the set, it lacks a required signature, or the name is taken.
    pub fn mount(&self, name: impl Into<String>, pack: impl Into<Arc<MappedPack>>) -> Result<(), MountError> {
        let new = self.requirements.mounted(Mounted::new(name.into(), pack.into()))?;
        self.add(vec![new])
    }

    /// Mounts all packs of a set after the others, each with the name of its file: all of them or none.
    ///
    /// # Errors
    /// As [`mount`](Self::mount). The signature demanded is one of the set.
    pub fn mount_set(&self, set: &MappedSet) -> Result<(), MountError> {
        let new = set.mounted().map(|mounted| self.requirements.mounted(mounted)).collect::<Result<_, _>>()?;
        self.add(new)
    }

    fn add(&self, new: Vec<Mounted>) -> Result<(), MountError> {
        self.change(|packs| {
            for new in new {
                if let Some(taken) = packs.iter().find(|mounted| mounted.name() == new.name()) {
                    return Err(MountError::NameTaken { path: taken.pack().path().to_owned(), name: new.name().to_owned() });
                }
                packs.push(Arc::new(new));
            }
            Ok(())
        })
    }

    /// Replaces the pack of a name and returns the old one. Running requests keep the old pack; new requests use the new one.
    ///
    /// # Errors
    /// If the pack's model or embedder is not that of the set, it lacks a required signature, or no pack has that name.
    pub fn replace(&self, name: &str, pack: impl Into<Arc<MappedPack>>) -> Result<Arc<MappedPack>, MountError> {
        let new = self.requirements.mounted(Mounted::new(name.to_owned(), pack.into()))?;
        self.change(|packs| {
            let place = place(packs, name)?;
            packs.push(Arc::new(new));
            Ok(Arc::clone(packs.swap_remove(place).pack()))
        })
    }

    /// Removes the pack of a name from the set, and returns it.
    ///
    /// # Errors
    /// If no pack has that name, or it is the only pack of a set that did not begin [empty](Self::empty).
    pub fn unmount(&self, name: &str) -> Result<Arc<MappedPack>, MountError> {
        self.change(|packs| {
            let place = place(packs, name)?;
            if packs.len() == 1 && self.requirements.path.is_some() {
                return Err(MountError::Last { name: name.to_owned() });
            }
            Ok(Arc::clone(packs.remove(place).pack()))
        })
    }

    /// Changes a copy of the list, and replaces the list by it if that succeeds.
    fn change<T>(&self, change: impl FnOnce(&mut Vec<Arc<Mounted>>) -> Result<T, MountError>) -> Result<T, MountError> {
        let mut current = self.write();
        let mut packs = current.packs().to_vec();
        let result = change(&mut packs)?;
        let old = std::mem::replace(&mut *current, Arc::new(PackSet::new(packs)));
        // Release the lock first: dropping the old list may unmap a pack.
        drop(current);
        drop(old);
        Ok(result)
    }

    fn read(&self) -> RwLockReadGuard<'_, Arc<PackSet>> {
        // The list is replaced as a whole, so a panic leaves either the old or the new one.
        self.packs.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Arc<PackSet>> {
        self.packs.write().unwrap_or_else(PoisonError::into_inner)
    }
}
