//! A file's bytes, mapped, whatever they are.

use std::fs::File;
use std::path::Path;

use memmap2::Mmap;

use crate::MapError;
use crate::truncation::Registered;

/// The bytes of a file that need not be a whole pack, mapped: what a repair works on. What is said of the file at
/// [`MappedPack`](crate::MappedPack) goes for it too: it must stay as it is while it is mapped.
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
        // SAFETY: As in `MappedPack::open`: the mapping is read-only, and the type's documentation demands that nobody changes the file
        // while its bytes are borrowed. Whatever they are, they are bounds-checked where they are used; where the file is cut short, the
        // missing pages raise SIGBUS, and no other memory is read.
        let map = unsafe { Mmap::map(&file) }.map_err(failed)?;
        Ok(Self { _registered: Registered::new(&map), map })
    }
}

impl AsRef<[u8]> for MappedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.map
    }
}
