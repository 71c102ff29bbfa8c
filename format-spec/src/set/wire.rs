//! The bytes of a set (SPEC 18).

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{PackSetFile, Routing, SetError, SetId, SetManifest, SetPack, check, check_routing};
use crate::constants::{MAX_MANIFEST_BYTES, MAX_SET_CENTROIDS, SET_HEADER_BYTES, SET_MAGIC, SET_VERSION};
use crate::signature::trailer;
use crate::{Digest, EmbedderIdentity, EmbedderPrompts, ModelIdentity, budget, manifest};

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawHeader {
    magic: [u8; 8],
    version: U16,
    reserved: U16,
    centroids: U32,
    file_length: U64,
    manifest_length: U64,
    reserved_too: [u8; 32],
    root: [u8; 32],
}

const _: () = assert!(size_of::<RawHeader>() as u64 == SET_HEADER_BYTES);

/// Where the fields stand, for errors.
const AT_RESERVED: u64 = 10;
const AT_CENTROIDS: u64 = 12;
const AT_FILE_LENGTH: u64 = 16;
const AT_MANIFEST_LENGTH: u64 = 24;
const AT_RESERVED_TOO: u64 = 32;
const AT_ROOT: usize = 64;

/// The manifest as it is written: the forms of SPEC 5 for model and embedder leave out the budget and the prompts, which follow here.
#[derive(bincode::Encode, bincode::Decode)]
struct RawManifest {
    generator: String,
    model: ModelIdentity,
    precision: String,
    embedder: EmbedderIdentity,
    codec: String,
    budget: Vec<u8>,
    prompts: Option<EmbedderPrompts>,
    packs: Vec<SetPack>,
}

/// The root digest: of all bytes of the set but those that hold it.
fn root_of(bytes: &[u8]) -> Digest {
    let (before, after) = bytes.split_at_checked(AT_ROOT).unwrap_or((bytes, &[]));
    let mut hasher = blake3::Hasher::new();
    hasher.update(before).update(after.get(size_of::<Digest>()..).unwrap_or_default());
    hasher.finalize().into()
}

/// The bytes without signatures, and the id.
pub(super) fn write(set: &SetManifest, routing: &Routing) -> Result<(Vec<u8>, SetId), SetError> {
    let SetManifest { generator, model, precision, embedder, codec, packs } = set.clone();
    // Empty for a shape without a budget.
    let budget = budget::encode(&model.shape).unwrap_or_default();
    let prompts = embedder.prompts.clone();
    let listed = manifest::to_wire(&RawManifest { generator, model, precision, embedder, codec, budget, prompts, packs })?;
    let length = SET_HEADER_BYTES + listed.len() as u64 + 4 * (routing.owners.len() + routing.centroids.len()) as u64;
    let header = RawHeader {
        magic: SET_MAGIC,
        version: U16::new(SET_VERSION),
        reserved: U16::ZERO,
        centroids: U32::new(routing.owners.len() as u32),
        file_length: U64::new(length),
        manifest_length: U64::new(listed.len() as u64),
        reserved_too: [0; 32],
        root: [0; 32],
    };
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(listed);
    bytes.extend(routing.owners.iter().flat_map(|owner| owner.to_le_bytes()));
    bytes.extend(routing.centroids.iter().flat_map(|x| x.to_le_bytes()));
    let id = root_of(&bytes);
    if let Some(root) = bytes.get_mut(AT_ROOT..SET_HEADER_BYTES as usize) {
        root.copy_from_slice(&id.0);
    }
    Ok((bytes, SetId(id)))
}

pub(super) fn read(data: &[u8]) -> Result<PackSetFile, SetError> {
    let found = data.len() as u64;
    let start = data.get(..SET_MAGIC.len()).unwrap_or(data);
    if !start.starts_with(&SET_MAGIC) && (start.len() < 4 || !SET_MAGIC.starts_with(start)) {
        return Err(SetError::NotASet { found: start.to_vec() });
    }
    let Ok((header, _)) = RawHeader::ref_from_prefix(data) else {
        return Err(SetError::Truncated { expected: SET_HEADER_BYTES, found });
    };
    // Another version may change everything that follows.
    if header.version.get() != SET_VERSION {
        return Err(SetError::Version { found: header.version.get() });
    }
    let length = header.file_length.get();
    let malformed = |offset, field, expected, found| Err(SetError::Header { offset, field, expected, found });
    if length < SET_HEADER_BYTES {
        return malformed(AT_FILE_LENGTH, "file length (at least)", SET_HEADER_BYTES, length);
    }
    let Some((set, behind)) = usize::try_from(length).ok().and_then(|length| data.split_at_checked(length)) else {
        return Err(SetError::Truncated { expected: length, found });
    };
    let (expected, sealed) = (Digest(header.root), root_of(set));
    if expected != sealed {
        return Err(SetError::Digest { expected, found: sealed });
    }
    if header.reserved.get() != 0 {
        return malformed(AT_RESERVED, "reserved", 0, header.reserved.get().into());
    }
    if let Some((at, byte)) = header.reserved_too.iter().enumerate().find(|(_, byte)| **byte != 0) {
        return malformed(AT_RESERVED_TOO + at as u64, "reserved", 0, u64::from(*byte));
    }
    let (centroids, manifest_length) = (header.centroids.get(), header.manifest_length.get());
    if manifest_length > MAX_MANIFEST_BYTES {
        return malformed(AT_MANIFEST_LENGTH, "manifest length (at most)", MAX_MANIFEST_BYTES, manifest_length);
    }
    if centroids > MAX_SET_CENTROIDS {
        return malformed(AT_CENTROIDS, "centroids (at most)", MAX_SET_CENTROIDS.into(), centroids.into());
    }
    let body = set.get(SET_HEADER_BYTES as usize..).unwrap_or_default();
    let Some((listed, table)) = body.split_at_checked(manifest_length as usize) else {
        return malformed(AT_MANIFEST_LENGTH, "manifest length (at most)", body.len() as u64, manifest_length);
    };
    let manifest = read_manifest(listed)?;
    let row = 4 + 4 * u64::from(manifest.embedder.dim);
    let expected = SET_HEADER_BYTES + manifest_length + u64::from(centroids) * row;
    if length != expected {
        return malformed(AT_FILE_LENGTH, "file length", expected, length);
    }
    let (owners, vectors) = table.split_at_checked(4 * centroids as usize).unwrap_or_default();
    let words = |bytes: &[u8]| bytes.as_chunks::<4>().0.to_vec();
    let routing = Routing {
        owners: words(owners).into_iter().map(u32::from_le_bytes).collect(),
        centroids: words(vectors).into_iter().map(f32::from_le_bytes).collect(),
    };
    check_routing(&manifest, &routing)?;
    let signatures = if behind.is_empty() { Vec::new() } else { trailer::read(length, behind).map_err(SetError::Trailer)? };
    Ok(PackSetFile { id: SetId(sealed), bytes: set.to_vec(), manifest, routing, signatures })
}

fn read_manifest(bytes: &[u8]) -> Result<SetManifest, SetError> {
    let RawManifest { generator, mut model, precision, mut embedder, codec, budget, prompts, packs } = manifest::from_wire(bytes)?;
    if !budget.is_empty() {
        // The bounds of the shape come first: the budget is compared with it.
        manifest::check_shape(&model.shape)?;
        model.shape = budget::decode(&budget, &model.shape)?;
    }
    embedder.prompts = prompts;
    let manifest = SetManifest { generator, model, precision, embedder, codec, packs };
    check(&manifest)?;
    Ok(manifest)
}
