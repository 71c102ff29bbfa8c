//! Assembling the sections (SPEC 3).

use std::path::Path;

use super::spool::{Spool, io_error};
use super::{PackSummary, WriteError};
use crate::constants::PAGE_BYTES;
use crate::{PackId, Section, Storage, Tag, header};

/// A pack that is being assembled: sections follow one another, each at the next page.
pub(super) struct Assembly {
    pack: Spool,
    sections: Vec<Section>,
    end: u64,
}

impl Assembly {
    /// Starts with the memories, which are in the pack's file already.
    pub(super) fn new(pack: Spool) -> Self {
        let (tag, length, digest) = (Tag::MEMORIES, pack.length(), pack.digest());
        let memories = Section { tag, required: true, offset: PAGE_BYTES, length, digest };
        Self { pack, sections: vec![memories], end: PAGE_BYTES + length }
    }

    /// Appends a section.
    pub(super) fn append(&mut self, tag: Tag, spool: Spool, storage: &dyn Storage) -> Result<(), WriteError> {
        let full = || WriteError::TooLarge { what: "bytes of the pack", limit: u64::MAX, found: u64::MAX };
        let offset = header::align(self.end).ok_or_else(full)?;
        let padding = [0; PAGE_BYTES as usize];
        self.pack.raw(padding.get(..(offset - self.end) as usize).unwrap_or_default())?;
        let (length, digest) = self.pack.append(spool, storage)?;
        self.end = offset.checked_add(length).ok_or_else(full)?;
        self.sections.push(Section { tag, required: tag.known().unwrap_or(true), offset, length, digest });
        Ok(())
    }

    /// Writes the header page and syncs the file.
    pub(super) fn seal(self, path: &Path, required_features: u64) -> Result<PackSummary, WriteError> {
        let (page, id) = header::write(&self.sections, self.end, required_features);
        let cursor = self.pack.into_file()?;
        let file = cursor.file();
        file.write_all_at(&page, 0).and_then(|()| file.sync()).map_err(io_error(path, "write"))?;
        Ok(PackSummary { id: PackId(id), bytes: self.end })
    }
}
