//! Packs that are mounted, unmounted and replaced while others read them.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use mempack_format::{Difference, EmbedderIdentity, ModelIdentity, PublicKey};

use crate::MappedPack;
use crate::pack_set::{Mounted, NotSigned, PackSet};

/// Why the set of mounted packs stays as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MountError {
    /// The pack is of another model, or another embedder, than those that are mounted.
    #[error(
        "{} cannot be mounted beside {}: they were built with different {party}s, which differ in {}; build one of them again with \
         the other's {party}", path.display(), beside.display(), list(.differences)
    )]
    Mismatch {
        /// `model` or `embedder`.
        party: &'static str,
        /// The pack refused.
        path: PathBuf,
        /// The pack that the set began with.
        beside: PathBuf,
        /// Every field that differs: `pack` is the pack's refused, `model` the other's; never empty.
        differences: Vec<Difference>,
    },
    /// The set demands signatures, and the pack has none that counts.
    #[error(transparent)]
    NotSigned(#[from] NotSigned),
    /// A pack of that name is mounted.
    #[error("a pack is mounted as `{name}` already: {}; replace it, or choose another name", path.display())]
    NameTaken {
        /// The name.
        name: String,
        /// The pack that has it.
        path: PathBuf,
    },
    /// No pack of that name is mounted.
    #[error("no pack is mounted as `{name}`; mounted are {}", names.join(", "))]
    NotMounted {
        /// The name asked for.
        name: String,
        /// The names there are.
        names: Vec<String>,
    },
    /// The last pack stays, so that no question is answered from nothing.
    #[error("`{name}` is the only pack mounted; replace it, or end what reads it")]
    Last {
        /// Its name.
        name: String,
    },
}

fn list(differences: &[Difference]) -> String {
    let one = |d: &Difference| format!("{} ({} and {})", d.field, d.pack, d.model);
    differences.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// What is asked of every pack of the set: to be of the first one's model and embedder, and signed by one of the trusted keys if
/// there are any.
#[derive(Debug)]
struct Contract {
    path: PathBuf,
    model: ModelIdentity,
    embedder: EmbedderIdentity,
    trusted: Vec<PublicKey>,
}

impl Contract {
    fn check(&self, pack: &MappedPack) -> Result<(), MountError> {
        let manifest = pack.manifest();
        let parties = [("model", manifest.model.differences(&self.model)), ("embedder", manifest.embedder.differences(&self.embedder))];
        match parties.into_iter().find(|(_, differences)| !differences.is_empty()) {
            Some((party, differences)) => {
                Err(MountError::Mismatch { party, path: pack.path().to_owned(), beside: self.path.clone(), differences })
            }
            None => Ok(NotSigned::check(pack, &self.trusted)?),
        }
    }
}

/// A set of mounted packs that changes while it is read: legal and medical beside each other, tonight's version in place of
/// yesterday's.
///
/// A reader takes the [`PackSet`] as it is and keeps it for one request: it sees one state from beginning to end, whatever is
/// replaced meanwhile. A pack that has left the set is unmapped, and its memories leave the caches, when the last reader lets go of it. No lock
/// is held while anyone searches, decodes or opens a pack.
///
/// ```no_run
/// # use mempack_runtime::{MappedPack, Method, Mounts, OnDamage};
/// # let query = [0.6, 0.8];
/// let mounts = Mounts::new("legal", MappedPack::open("legal.mpk")?);
/// mounts.mount("medical", MappedPack::open("medical.mpk")?)?;
/// let before = mounts.packs();
/// mounts.replace("legal", MappedPack::open("legal-2.mpk")?)?;
/// // Who began before reads yesterday's version to the end.
/// let hits = before.nearest(&query, 5, Method::default(), OnDamage::Fail)?;
/// println!("{:?}", hits.first().map(|hit| hit.pack.name()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Mounts {
    contract: Contract,
    packs: RwLock<Arc<PackSet>>,
}

/// Where the pack of a name stands.
fn place(packs: &[Arc<Mounted>], name: &str) -> Result<usize, MountError> {
    packs.iter().position(|mounted| mounted.name() == name).ok_or_else(|| {
        let names = packs.iter().map(|mounted| mounted.name().to_owned()).collect();
        MountError::NotMounted { name: name.to_owned(), names }
    })
}

impl Mounts {
    /// A set of one pack. Those that come to it later have to be of its model and its embedder.
    pub fn new(name: impl Into<String>, pack: impl Into<Arc<MappedPack>>) -> Self {
        let pack = pack.into();
        let manifest = pack.manifest();
        let (model, embedder) = (manifest.model.clone(), manifest.embedder.clone());
        let contract = Contract { path: pack.path().to_owned(), model, embedder, trusted: Vec::new() };
        Self { contract, packs: RwLock::new(Arc::new(PackSet::new(vec![Arc::new(Mounted::new(name.into(), pack))]))) }
    }

    /// A set of one pack, named as its file is, without the extension.
    pub fn of(pack: impl Into<Arc<MappedPack>>) -> Self {
        let pack = pack.into();
        Self::new(pack.stem(), pack)
    }

    /// The same set, which from now on demands of every pack that one of these keys signed it; with no keys, it demands nothing.
    ///
    /// # Errors
    /// If one that is mounted already is not signed by any of them.
    pub fn demanding(mut self, trusted: Vec<PublicKey>) -> Result<Self, MountError> {
        self.packs().check_signed(&trusted)?;
        self.contract.trusted = trusted;
        Ok(self)
    }

    /// The packs that are mounted now, for one request.
    pub fn packs(&self) -> Arc<PackSet> {
        Arc::clone(&self.read())
    }

    /// The model that all packs were built with.
    pub fn model(&self) -> &ModelIdentity {
        &self.contract.model
    }

    /// The embedder that all packs were built with.
    pub fn embedder(&self) -> &EmbedderIdentity {
        &self.contract.embedder
    }

    /// Mounts a pack behind the others.
    ///
    /// # Errors
    /// If it is of another model or embedder, lacks a signature that is demanded, or the name is taken.
    pub fn mount(&self, name: impl Into<String>, pack: impl Into<Arc<MappedPack>>) -> Result<(), MountError> {
        let (name, pack) = (name.into(), pack.into());
        self.contract.check(&pack)?;
        self.change(|packs| {
            if let Some(taken) = packs.iter().find(|mounted| mounted.name() == name) {
                return Err(MountError::NameTaken { path: taken.pack().path().to_owned(), name });
            }
            packs.push(Arc::new(Mounted::new(name, pack)));
            Ok(())
        })
    }

    /// Puts a pack in the place of the one of that name: requests that run keep the old one, new ones get the new. Returns the old one.
    ///
    /// # Errors
    /// If it is of another model or embedder, lacks a signature that is demanded, or there is none of that name.
    pub fn replace(&self, name: &str, pack: impl Into<Arc<MappedPack>>) -> Result<Arc<MappedPack>, MountError> {
        let pack = pack.into();
        self.contract.check(&pack)?;
        self.change(|packs| {
            let place = place(packs, name)?;
            packs.push(Arc::new(Mounted::new(name.to_owned(), pack)));
            Ok(Arc::clone(packs.swap_remove(place).pack()))
        })
    }

    /// Takes the pack of that name out of the set, and returns it.
    ///
    /// # Errors
    /// If there is none of that name, or no other.
    pub fn unmount(&self, name: &str) -> Result<Arc<MappedPack>, MountError> {
        self.change(|packs| {
            let place = place(packs, name)?;
            if packs.len() == 1 {
                return Err(MountError::Last { name: name.to_owned() });
            }
            Ok(Arc::clone(packs.remove(place).pack()))
        })
    }

    /// Changes a copy of the list, and puts it in the list's place if that succeeds.
    fn change<T>(&self, change: impl FnOnce(&mut Vec<Arc<Mounted>>) -> Result<T, MountError>) -> Result<T, MountError> {
        let mut current = self.write();
        let mut packs = current.packs().to_vec();
        let result = change(&mut packs)?;
        let old = std::mem::replace(&mut *current, Arc::new(PackSet::new(packs)));
        // Whatever is unmapped now is unmapped without the lock.
        drop(current);
        drop(old);
        Ok(result)
    }

    fn read(&self) -> RwLockReadGuard<'_, Arc<PackSet>> {
        // The list is replaced whole: a panic leaves the old one or the new one.
        self.packs.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Arc<PackSet>> {
        self.packs.write().unwrap_or_else(PoisonError::into_inner)
    }
}
