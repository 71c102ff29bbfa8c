//! What stands behind a pack: signatures, or nothing (SPEC 17).

use mempack_format::{Pack, PrivateKey};

use crate::corpus::{Corpus, Error};

pub fn add(corpus: &mut Corpus) {
    let file = corpus.whole.assemble();
    let signed = |trailer: &[u8]| [&file[..], trailer].concat();
    let keys = [[1; 32], [2; 32]].map(|seed| entry(&file, seed));
    let (low, high) = if keys[0] < keys[1] { (&keys[0], &keys[1]) } else { (&keys[1], &keys[0]) };
    let whole = trailer(2, &[low, high]);
    let one = trailer(1, &[low]);
    corpus.open("other bytes behind the end", Error("TooLong", "no signatures begin there"), signed(b"signed, yours truly"));
    corpus.open("signatures without their header", Error("Signatures/CutShort", "15 bytes of 16"), signed(&one[..15]));
    corpus.open("signatures cut short", Error("Signatures/CutShort", "207 bytes of 208"), signed(&whole[..207]));
    corpus.open("bytes behind the signatures", Error("Signatures/TooLong", "they have 112 bytes"), signed(&[&one[..], &[0]].concat()));
    corpus.open("no signatures", Error("Signatures/Count", "there are 0 of them"), signed(&trailer(0, &[])));
    corpus.open("65 signatures", Error("Signatures/Count", "there are 65 of them"), signed(&trailer(65, &[])));
    corpus.open("2^32 - 1 signatures", Error("Signatures/Count", "there are 4294967295 of them"), signed(&trailer(u32::MAX, &[low])));
    let mut reserved = one.clone();
    reserved[15] = 1;
    corpus.open("a reserved byte of the signatures", Error("Signatures/Reserved", "reserved bytes are 16777216"), signed(&reserved));
    corpus.open("a signer twice", Error("Signatures/Repeated", "is listed twice"), signed(&trailer(2, &[low, low])));
    corpus.open("signatures out of order", Error("Signatures/Order", "entry 1 is not behind"), signed(&trailer(2, &[high, low])));
}

/// Packs whose signatures are written as they must be, and are wrong; their bytes are whole.
pub fn wrong_signatures() -> Vec<(&'static str, Vec<u8>)> {
    let file = Corpus::new().whole.assemble();
    let signed = |trailer: &[u8]| [&file[..], trailer].concat();
    let right = entry(&file, [1; 32]);
    let mut changed = right.clone();
    changed[60] ^= 1;
    let mut other_key = right.clone();
    other_key[..32].copy_from_slice(&PrivateKey::from_bytes(&[2; 32]).public().to_bytes());
    let other_pack = entry(mempack_hostile::script::GOLDEN, [1; 32]);
    // The point of small order under which everything is signed.
    let small_order = [&[1], &[0; 31][..], &[1], &[0; 63]].concat();
    let entries = [
        ("a signature with a byte changed", changed),
        ("a signature under another key", other_key),
        ("a signature of another pack", other_pack),
        ("a key of small order", small_order),
    ];
    entries.into_iter().map(|(name, entry)| (name, signed(&trailer(1, &[&entry])))).collect()
}

/// SPEC 17, entry: key and signature.
fn entry(file: &[u8], seed: [u8; 32]) -> Vec<u8> {
    let id = Pack::open(file).expect("a whole pack").id();
    let signature = PrivateKey::from_bytes(&seed).sign(id);
    [&signature.signer()[..], signature.bytes()].concat()
}

fn trailer(count: u32, entries: &[&Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![0x89, 0x4d, 0x50, 0x4b, 0x53, 0x49, 0x47, 0x0a];
    bytes.extend(count.to_le_bytes());
    bytes.extend([0; 4]);
    entries.iter().for_each(|entry| bytes.extend(*entry));
    bytes
}
