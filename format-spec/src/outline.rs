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

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::{Pack, PrivateKey};

    const GOLDEN: &[u8] = include_bytes!("../tests/golden/v1.6.mpk");

    #[test]
    fn an_outline_says_what_the_opened_pack_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mpk");
        std::fs::write(&path, GOLDEN).unwrap();
        crate::sign_file(&path, &PrivateKey::from_bytes(&[7; 32]), &path, &mut |_, _| std::ops::ControlFlow::Continue(())).unwrap();
        for bytes in [GOLDEN.to_vec(), std::fs::read(&path).unwrap()] {
            let (outline, pack) = (PackOutline::read(Cursor::new(&bytes)).unwrap(), Pack::open(&bytes).unwrap());
            assert_eq!((outline.id, outline.bytes, outline.sections.as_slice()), (pack.id(), pack.bytes(), pack.sections()));
            assert_eq!(outline.signatures, pack.signatures());
        }
    }

    #[test]
    fn a_header_that_does_not_open_gives_no_outline() {
        let refused = |bytes: &[u8]| {
            let error = PackOutline::read(Cursor::new(bytes)).unwrap_err();
            assert_eq!(error.to_string(), Pack::open(bytes).unwrap_err().to_string());
        };
        for end in [0, 3, 100, 4_095, 4_096, GOLDEN.len() - 1] {
            refused(&GOLDEN[..end]);
        }
        for at in (0..4_096).step_by(61) {
            let mut bytes = GOLDEN.to_vec();
            bytes[at] ^= 1;
            refused(&bytes);
        }
        refused(&[GOLDEN, b"more"].concat());
    }
}
