//! Sets: a file that lists the packs of one bank, and says which of them a query needs (SPEC 18).
//!
//! A set holds no memories. It names packs of one model, embedder, precision and codec by their ids, and may have a routing table: a few
//! centroids of the embeddings of each pack. It is small, and is checked whole when it is read.

mod error;
mod sign;
mod wire;
mod write;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

pub use error::{SetError, SetMismatch};
pub use sign::{SignSetError, sign_set_file};

use crate::constants::{MAX_SET_CENTROIDS, MAX_SET_PACKS, SET_FILE_NAME_BYTES, UNIT_TOLERANCE};
use crate::signature::{SignedId, signed_by};
use crate::{
    CodecSpec, Counts, Digest, EmbedderIdentity, Manifest, ModelIdentity, Pack, PackId, PublicKey, ReadError, Signature, SignatureError,
    Storage, WriteError, manifest,
};

/// A set's id: the digest of its file without the digest itself and the signatures (SPEC 18).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SetId(pub Digest);

impl fmt::Display for SetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl SignedId for SetId {
    const DOMAIN: &'static [u8] = b"mempack set signature, version 1\0";

    fn digest(&self) -> Digest {
        self.0
    }
}

/// What a set lists.
#[derive(Clone, Debug, PartialEq)]
pub struct SetManifest {
    /// The program that wrote the set, and its version; for people.
    pub generator: String,
    /// The model that wrote the memories of all packs.
    pub model: ModelIdentity,
    /// What the memories were computed in: `f32` or `bf16`.
    pub precision: String,
    /// The model that wrote the embeddings.
    pub embedder: EmbedderIdentity,
    /// The codec of all packs, by name.
    pub codec: String,
    /// The packs, 1 to [`MAX_SET_PACKS`], in ascending order of their files' names.
    pub packs: Vec<SetPack>,
}

/// A pack of a set.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct SetPack {
    /// The name of its file, in the folder of the set.
    pub file: String,
    /// Its id.
    pub id: PackId,
    /// Its bytes, without signatures.
    pub bytes: u64,
    /// Its counts.
    pub counts: Counts,
    /// The smallest key of its references; zeros if it has none.
    pub first_key: Digest,
    /// The largest key of its references; zeros if it has none.
    pub last_key: Digest,
}

/// Centroids of the embeddings of each pack: unit vectors near which its references lie.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Routing {
    /// Which pack each centroid is of, ascending.
    pub owners: Vec<u32>,
    /// Unit vectors `[owners, embedding dimensions]`.
    pub centroids: Vec<f32>,
}

/// A set, read or made, whose parts fit each other.
#[derive(Clone, Debug, PartialEq)]
pub struct PackSetFile {
    id: SetId,
    /// The file without signatures.
    bytes: Vec<u8>,
    manifest: SetManifest,
    routing: Routing,
    signatures: Vec<Signature>,
}

impl SetPack {
    /// The entry of `pack`, whose file is `file`. Reads all reference records.
    ///
    /// # Errors
    /// If a reference record is damaged.
    pub fn of<D: AsRef<[u8]>>(file: &str, pack: &Pack<D>) -> Result<Self, ReadError> {
        let counts = pack.manifest().counts;
        let mut keys: Option<(Digest, Digest)> = None;
        for reference in 0..counts.references {
            let key = pack.reference(reference)?.key;
            keys = Some(keys.map_or((key, key), |(first, last)| (first.min(key), last.max(key))));
        }
        let (first_key, last_key) = keys.unwrap_or((Digest([0; 32]), Digest([0; 32])));
        Ok(Self { file: file.to_owned(), id: pack.id(), bytes: pack.bytes(), counts, first_key, last_key })
    }

    /// Whether the pack may have a reference with this key.
    pub fn may_have(&self, key: &Digest) -> bool {
        self.counts.references > 0 && (self.first_key..=self.last_key).contains(key)
    }
}

impl Routing {
    /// The centroids with their packs: a unit vector of `dim` dimensions each.
    pub fn iter(&self, dim: u32) -> impl Iterator<Item = (u32, &[f32])> {
        self.owners.iter().copied().zip(self.centroids.chunks_exact(dim.max(1) as usize))
    }

    /// The centroids of one pack, which stand together because owners ascend.
    pub fn of_pack(&self, pack: u32, dim: u32) -> impl Iterator<Item = &[f32]> {
        let start = self.owners.partition_point(|owner| *owner < pack);
        let own = self.owners.iter().skip(start).take_while(move |owner| **owner == pack);
        own.zip(self.centroids.chunks_exact(dim.max(1) as usize).skip(start)).map(|(_, centroid)| centroid)
    }
}

impl PackSetFile {
    /// A set without signatures.
    ///
    /// # Errors
    /// If a field is out of bounds, two packs have one name or id, or the routing table does not fit the packs.
    pub fn new(manifest: SetManifest, routing: Routing) -> Result<Self, SetError> {
        check(&manifest)?;
        check_routing(&manifest, &routing)?;
        let (bytes, id) = wire::write(&manifest, &routing)?;
        Ok(Self { id, bytes, manifest, routing, signatures: Vec::new() })
    }

    /// Reads a set from its file's bytes, and checks all of it.
    ///
    /// # Errors
    /// If the bytes are no set, one of another version, or damaged.
    pub fn read(bytes: &[u8]) -> Result<Self, SetError> {
        wire::read(bytes)
    }

    /// The file's bytes, with the signatures.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        if !self.signatures.is_empty() {
            bytes.extend(crate::signature::trailer::write(self.signatures.clone()));
        }
        bytes
    }

    /// Writes the file in one step, and waits until it is on the disk: what was there stays until then. Its packs must be there before.
    ///
    /// # Errors
    /// If something other than a set is at `target`, another process writes it, or the system refuses. The file at `target` is then unchanged.
    pub fn write(&self, storage: Arc<dyn Storage>, target: &Path) -> Result<(), WriteError> {
        write::write(self, storage, target, None)
    }

    /// Whether a file begins as a set does.
    pub fn is_set(start: &[u8]) -> bool {
        start.starts_with(&crate::constants::SET_MAGIC)
    }

    /// The set's id.
    pub fn id(&self) -> SetId {
        self.id
    }

    /// What the set lists.
    pub fn manifest(&self) -> &SetManifest {
        &self.manifest
    }

    /// The centroids of the packs; none if every search opens all packs.
    pub fn routing(&self) -> &Routing {
        &self.routing
    }

    /// The signatures of the set, unchecked.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// As [`Pack::signed_by`], for the set: its signature vouches for the packs that it names.
    ///
    /// # Errors
    /// If the set is not signed, or by other keys only, or the signature of a trusted key is wrong.
    pub fn signed_by(&self, trusted: &[PublicKey]) -> Result<Vec<PublicKey>, SignatureError> {
        signed_by(&self.signatures, self.id, trusted)
    }

    /// Checks that `pack` is the one that entry `index` names, of the set's model, embedder, precision and codec.
    ///
    /// # Errors
    /// The first field in which it differs.
    pub fn check_pack<D: AsRef<[u8]>>(&self, index: usize, pack: &Pack<D>) -> Result<(), SetMismatch> {
        let Some(entry) = self.manifest.packs.get(index) else { return Err(SetMismatch::NoEntry { index }) };
        let file = || entry.file.clone();
        if pack.id() != entry.id {
            return Err(SetMismatch::Id { file: file(), expected: entry.id, found: pack.id() });
        }
        let (set, pack) = (&self.manifest, pack.manifest());
        let differs = |field, expected: String, found: String| Err(SetMismatch::Field { file: file(), field, expected, found });
        if let Some(difference) = pack.model.differences(&set.model).into_iter().chain(pack.embedder.differences(&set.embedder)).next() {
            return differs(difference.field, difference.model, difference.pack);
        }
        for (field, expected, found) in [("precision", &set.precision, &pack.precision), ("codec", &set.codec, &pack.codec)] {
            if expected != found {
                return differs(field, expected.clone(), found.clone());
            }
        }
        if pack.counts != entry.counts {
            return differs("counts", format!("{:?}", entry.counts), format!("{:?}", pack.counts));
        }
        Ok(())
    }
}

/// Checks every field that readers compute with, and returns the codec.
fn check(set: &SetManifest) -> Result<CodecSpec, SetError> {
    let packs = set.packs.len() as u64;
    manifest::between("packs of the set", packs, 1, MAX_SET_PACKS.into())?;
    // What the packs share obeys the rules of a pack's manifest (SPEC 5).
    let mut of_pack = Manifest {
        generator: String::new(),
        model: set.model.clone(),
        precision: set.precision.clone(),
        embedder: set.embedder.clone(),
        codec: set.codec.clone(),
        counts: Counts::default(),
        graph: None,
    };
    let codec = manifest::check(&of_pack)?;
    if let Some(prompts) = &set.embedder.prompts {
        prompts.check()?;
    }
    let mut ids: Vec<PackId> = Vec::with_capacity(set.packs.len());
    for (index, pack) in set.packs.iter().enumerate() {
        check_file_name(&pack.file)?;
        if index > 0 && set.packs.get(index - 1).is_some_and(|before| before.file >= pack.file) {
            return Err(SetError::Order { file: pack.file.clone() });
        }
        of_pack.counts = pack.counts;
        manifest::check(&of_pack)?;
        let none = Digest([0; 32]);
        let fits =
            if pack.counts.references == 0 { (pack.first_key, pack.last_key) == (none, none) } else { pack.first_key <= pack.last_key };
        if !fits {
            return Err(SetError::Keys { file: pack.file.clone() });
        }
        ids.push(pack.id);
    }
    ids.sort_unstable();
    match ids.windows(2).find(|pair| pair.first() == pair.last()) {
        Some(pair) => Err(SetError::Repeated { id: pair.first().copied().unwrap_or(PackId(Digest([0; 32]))) }),
        None => Ok(codec),
    }
}

/// A name that is one file of a folder on every system, and no option of a command.
fn check_file_name(name: &str) -> Result<(), SetError> {
    let allowed = |c: char| c.is_alphanumeric() || "-_. ".contains(c);
    let fits = (1..=SET_FILE_NAME_BYTES).contains(&(name.len() as u64)) && name.chars().all(allowed);
    let edges = name.starts_with(['.', '-', ' ']) || name.ends_with(['.', ' ']);
    if fits && !edges { Ok(()) } else { Err(SetError::FileName { found: name.to_owned() }) }
}

fn check_routing(set: &SetManifest, routing: &Routing) -> Result<(), SetError> {
    let (count, dim) = (routing.owners.len() as u64, u64::from(set.embedder.dim));
    manifest::between("centroids of the routing table", count, 0, MAX_SET_CENTROIDS.into())?;
    if routing.centroids.len() as u64 != count.saturating_mul(dim) {
        return Err(manifest::field("numbers of the routing table", count * dim, routing.centroids.len()).into());
    }
    for (at, centroid) in routing.centroids.chunks_exact(dim.max(1) as usize).enumerate() {
        let length = centroid.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        // The length of a vector with a number that is not finite is not finite.
        if !length.is_finite() || (length - 1.0).abs() > UNIT_TOLERANCE {
            return Err(SetError::NotUnit { centroid: at as u64, length });
        }
    }
    if count == 0 {
        return Ok(());
    }
    let mut owners = routing.owners.iter().copied().peekable();
    for (pack, entry) in (0u32..).zip(&set.packs) {
        let mut centroids = 0;
        while owners.next_if_eq(&pack).is_some() {
            centroids += 1;
        }
        if centroids == 0 && entry.counts.references > 0 {
            return Err(SetError::Unrouted { file: entry.file.clone() });
        }
    }
    match owners.next() {
        Some(owner) => Err(SetError::Owner { owner }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
