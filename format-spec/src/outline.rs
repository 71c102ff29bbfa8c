//! What the header page of a pack says, read from a file without the rest.

use std::io::{self, Read, Seek, SeekFrom};

use thiserror::Error;

use crate::constants::PAGE_BYTES;
use crate::signature::trailer::{self, MAX_TRAILER_BYTES};
use crate::{OpenError, PackId, Section, Signature, header};

/// Why an outline was not read.
#[derive(Debug, Error)]
pub enum OutlineError {
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is no pack, or its header page is damaged.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// The id, the sections and the signatures of a pack.
///
/// Only the header page and the form of the signatures are checked: for what [`Pack::open`](crate::Pack::open) checks beyond, the whole file
/// must be in memory or mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackOutline {
    /// The pack's id.
    pub id: PackId,
    /// Its bytes, without signatures.
    pub bytes: u64,
    /// Its sections, in the order of the file.
    pub sections: Vec<Section>,
    /// The signatures behind it, unchecked.
    pub signatures: Vec<Signature>,
}

impl PackOutline {
    /// Reads the outline of the pack in `file`, a page and the signatures.
    ///
    /// # Errors
    /// If reading fails, the file is not a pack or is cut short, or its header page or the form of its signatures is damaged.
    pub fn read(mut file: impl Read + Seek) -> Result<Self, OutlineError> {
        let found = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(0))?;
        let mut page = Vec::new();
        file.by_ref().take(PAGE_BYTES).read_to_end(&mut page)?;
        let header = header::read_with(&page, found, |end| -> Result<_, OutlineError> {
            file.seek(SeekFrom::Start(end))?;
            let mut behind = Vec::new();
            // One byte more than a trailer may have, so that a longer one is recognised.
            file.by_ref().take(MAX_TRAILER_BYTES + 1).read_to_end(&mut behind)?;
            Ok(trailer::read(end, &behind)?)
        })?;
        let header::Header { id, length, sections, signatures, .. } = header;
        Ok(Self { id: PackId(id), bytes: length, sections, signatures })
    }
}
