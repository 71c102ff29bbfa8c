//! The bytes of any file, mapped.

use std::fs::File;
use std::path::Path;

use memmap2::Mmap;

use crate::MapError;
use crate::truncation::Registered;

/// The mapped bytes of a file that need not be a valid pack; `repair` works on them.
///
/// The file must not change while it is mapped, as described at [`MappedPack`](crate::MappedPack).
#[derive(Debug)]
pub struct MappedBytes {
    // Dropped before the mapping.
    _registered: Registered,
    map: Mmap,
}

impl MappedBytes {
    /// Maps the file at `path`.
    ///
    /// # Errors
    /// If the file cannot be opened or mapped.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, MapError> {
        let path = path.as_ref();
        let failed = |source| MapError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        // SAFETY: As in `MappedPack::open`: the mapping is read-only, and the type's documentation requires that the file does not change
        // while its bytes are borrowed. All bytes are bounds-checked where they are used. If the file is truncated, access to the missing
        // pages raises SIGBUS, and no other memory is read.
        let map = unsafe { Mmap::map(&file) }.map_err(failed)?;
        Ok(Self { _registered: Registered::new(&map), map })
    }
}

impl AsRef<[u8]> for MappedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.map
    }
}
