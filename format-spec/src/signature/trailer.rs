//! The trailer of signatures behind a pack (SPEC 17).

use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Signature, TrailerError};
use crate::OpenError;
use crate::constants::{MAX_SIGNATURES, SIGNATURE_BYTES, TRAILER_HEADER_BYTES, TRAILER_MAGIC};

/// SPEC 17, "Trailer".
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawTrailer {
    magic: [u8; 8],
    count: U32,
    reserved: U32,
}

/// SPEC 17, "Signature entry".
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawSignature {
    signer: [u8; 32],
    bytes: [u8; 64],
}

const _: () = assert!(size_of::<RawTrailer>() as u64 == TRAILER_HEADER_BYTES);
const _: () = assert!(size_of::<RawSignature>() as u64 == SIGNATURE_BYTES);

/// Most bytes of a trailer.
pub(crate) const MAX_TRAILER_BYTES: u64 = TRAILER_HEADER_BYTES + MAX_SIGNATURES as u64 * SIGNATURE_BYTES;

/// Where entry `index` begins in the trailer.
fn entry_at(index: usize) -> u64 {
    TRAILER_HEADER_BYTES + index as u64 * SIGNATURE_BYTES
}

/// Reads the trailer from `bytes`, everything behind a pack of `length` bytes. Checks the form only, and reads no more than a trailer can have.
pub(crate) fn read(length: u64, bytes: &[u8]) -> Result<Vec<Signature>, OpenError> {
    let found = bytes.len() as u64;
    let start = bytes.get(..TRAILER_MAGIC.len()).unwrap_or(bytes);
    if start.is_empty() || !TRAILER_MAGIC.starts_with(start) {
        return Err(OpenError::TooLong { expected: length, found: length.saturating_add(found) });
    }
    let malformed = |at: u64, source| OpenError::Signatures { offset: length.saturating_add(at), source };
    let Ok((trailer, entries)) = RawTrailer::ref_from_prefix(bytes) else {
        return Err(malformed(0, TrailerError::CutShort { expected: TRAILER_HEADER_BYTES, found }));
    };
    let (count, reserved) = (trailer.count.get(), trailer.reserved.get());
    if !(1..=MAX_SIGNATURES).contains(&count) {
        return Err(malformed(8, TrailerError::Count { found: count }));
    }
    if reserved != 0 {
        return Err(malformed(12, TrailerError::Reserved { found: reserved }));
    }
    let expected = entry_at(count as usize);
    if found < expected {
        return Err(malformed(0, TrailerError::CutShort { expected, found }));
    }
    if found > expected {
        return Err(malformed(expected, TrailerError::TooLong { expected, found }));
    }
    // The length was compared with the count above.
    let entries = <[RawSignature]>::ref_from_bytes(entries).unwrap_or_default();
    for (index, (entry, next)) in entries.iter().zip(entries.iter().skip(1)).enumerate() {
        let at = entry_at(index + 1);
        if entry.signer == next.signer {
            return Err(malformed(at, TrailerError::Repeated { signer: Signature::new(next.signer, next.bytes).key_id() }));
        }
        if entry.signer > next.signer {
            return Err(malformed(at, TrailerError::Order { entry: index as u32 + 1 }));
        }
    }
    Ok(entries.iter().map(|entry| Signature::new(entry.signer, entry.bytes)).collect())
}

/// The trailer of `signatures`, 1 to [`MAX_SIGNATURES`] of different signers.
pub(crate) fn write(mut signatures: Vec<Signature>) -> Vec<u8> {
    signatures.sort_unstable_by_key(Signature::signer);
    let header = RawTrailer { magic: TRAILER_MAGIC, count: U32::new(signatures.len() as u32), reserved: U32::ZERO };
    let mut bytes = header.as_bytes().to_vec();
    for signature in signatures {
        bytes.extend_from_slice(RawSignature { signer: signature.signer(), bytes: *signature.bytes() }.as_bytes());
    }
    bytes
}
