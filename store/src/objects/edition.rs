//! An edition: one bank as it was published.

use mempack_format::Digest;
use serde::{Deserialize, Serialize};

use super::{ObjectError, Stored, hex, is_file_name};

/// Most files of a bank: as many packs as a set may have, and the set.
const MAX_FILES: usize = (1 << 16) + 1;

/// The files of a bank. Equal banks give equal editions, whoever publishes them and when. Its name is the digest of its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edition {
    form: String,
    /// The file that is the bank: its set, or its only pack.
    pub entry: String,
    /// The id of that set or pack.
    #[serde(with = "hex")]
    pub id: Digest,
    /// All files, in ascending order of their names.
    pub files: Vec<EditionFile>,
}

/// A file of a bank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EditionFile {
    /// Its name, without folders.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
    /// The name of its index.
    #[serde(with = "hex")]
    pub index: Digest,
}

impl Edition {
    /// The edition of a bank. Sorts the files.
    pub fn new(entry: String, id: Digest, mut files: Vec<EditionFile>) -> Self {
        files.sort_by(|one, other| one.name.cmp(&other.name));
        Self { form: Self::FORM.to_owned(), entry, id, files }
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes))
    }
}

impl Stored for Edition {
    const FORM: &'static str = "mempack edition 1";
    const MAX_BYTES: u64 = 64 << 20;

    fn form(&self) -> &str {
        &self.form
    }

    fn check(&self) -> Result<(), ObjectError> {
        if self.files.is_empty() || self.files.len() > MAX_FILES {
            return Err(ObjectError::bounds("the number of files", format_args!("1 to {MAX_FILES}"), self.files.len()));
        }
        if let Some(file) = self.files.iter().find(|file| !is_file_name(&file.name)) {
            return Err(ObjectError::bounds(
                "the name of a file",
                "one of a pack or set, without folders",
                format_args!("{:?}", file.name),
            ));
        }
        if !self.files.is_sorted_by(|one, other| one.name < other.name) {
            return Err(ObjectError::bounds("the order of the files", "that of their names, each once", "another"));
        }
        // A file system may take two names that differ in case for one.
        let mut folded: Vec<String> = self.files.iter().map(|file| file.name.to_lowercase()).collect();
        folded.sort_unstable();
        if let Some(pair) = folded.windows(2).find(|pair| pair.first() == pair.last()) {
            return Err(ObjectError::bounds(
                "the name of a file",
                "one that differs from others in more than case",
                format_args!("{pair:?}"),
            ));
        }
        if !self.files.iter().any(|file| file.name == self.entry) {
            return Err(ObjectError::bounds("the entry", "one of the files", format_args!("{:?}", self.entry)));
        }
        Ok(())
    }
}
