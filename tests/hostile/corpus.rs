//! What a hostile pack is, and the whole packs they are made from.

use mempack_format::CodecSpec;
use mempack_hostile::{Parts, Plan, put, seal_root};

/// The strength of checking (SPEC 15) that refuses a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// `Pack::open` does.
    Open,
    /// It opens; reading what is damaged does, and so does verification.
    Touch,
    /// It opens and everything can be read; verification does.
    Verify,
}

/// A kind of error, as `section/defect` or the name of the variant, and words that its text has.
#[derive(Clone, Copy, Debug)]
pub struct Error(pub &'static str, pub &'static str);

/// A pack that is wrong in one way.
pub struct Case {
    pub name: &'static str,
    pub refused: When,
    /// What opening or reading says.
    pub first: Error,
    /// What verification says.
    pub verify: Error,
    pub file: Vec<u8>,
}

/// The hostile packs so far.
pub struct Corpus {
    pub cases: Vec<Case>,
    /// A whole pack, codec PQ3x3.
    pub whole: Parts,
}

/// Token slots of a memory of [`Corpus::whole`].
pub const SLOTS: usize = 16;
/// Bytes of its memory records.
pub const STRIDE: usize = SLOTS * 5;
/// Its references.
pub const REFERENCES: usize = 30;

impl Corpus {
    pub fn new() -> Self {
        Self { cases: Vec::new(), whole: small(CodecSpec::pq(3, 3)) }
    }

    pub fn open(&mut self, name: &'static str, first: Error, file: Vec<u8>) {
        self.cases.push(Case { name, refused: When::Open, first, verify: first, file });
    }

    pub fn touch(&mut self, name: &'static str, error: Error, parts: &Parts) {
        self.touch_as(name, error, error, parts);
    }

    /// As `touch`, for what reading says in other words than verification.
    pub fn touch_as(&mut self, name: &'static str, first: Error, verify: Error, parts: &Parts) {
        self.cases.push(Case { name, refused: When::Touch, first, verify, file: parts.assemble() });
    }

    pub fn verify(&mut self, name: &'static str, error: Error, parts: &Parts) {
        self.verify_file(name, error, parts.assemble());
    }

    pub fn touch_file(&mut self, name: &'static str, error: Error, file: Vec<u8>) {
        self.cases.push(Case { name, refused: When::Touch, first: error, verify: error, file });
    }

    pub fn verify_file(&mut self, name: &'static str, error: Error, file: Vec<u8>) {
        self.cases.push(Case { name, refused: When::Verify, first: error, verify: error, file });
    }

    /// The whole pack with these bytes at `at` of a section, and all digests right.
    pub fn with(&self, tag: &str, at: usize, new: &[u8]) -> Parts {
        with(&self.whole, tag, at, new)
    }

    /// The whole pack with these bytes at `at` of its header page, and a right root digest.
    pub fn header(&self, at: usize, new: &[u8]) -> Vec<u8> {
        let mut file = self.whole.assemble();
        put(&mut file, at, new);
        seal_root(&mut file);
        file
    }
}

/// A whole small pack.
pub fn small(codec: CodecSpec) -> Parts {
    Parts::of(&Plan::small(codec).bytes())
}

/// A pack with these bytes at `at` of a section, and all digests right.
pub fn with(parts: &Parts, tag: &str, at: usize, new: &[u8]) -> Parts {
    let mut parts = parts.clone();
    parts.put(tag, at, new);
    if tag != "LEAVES" {
        parts.seal_leaves();
    }
    parts
}

/// A pack with a section changed, and all digests right.
pub fn edited(parts: &Parts, tag: &str, edit: impl FnOnce(&mut Vec<u8>)) -> Parts {
    let mut parts = parts.clone();
    edit(parts.edit(tag));
    parts.seal_leaves();
    parts
}
