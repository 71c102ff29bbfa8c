//! Revoking documents of a set: new packs in place of those that hold them, and a new set.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use mempack_compiler::Revocation;
use mempack_format::{DiskStorage, PackSetFile, Routing, SetManifest, SetPack};
use mempack_runtime::{MappedPack, MappedSet};

use super::revoking::{self, Wanted};
use super::sets;
use crate::failure::{Failure, Kind};
use crate::output::thousands;
use crate::outputs;
use crate::terminal::{one_line, outln};

/// A pack of the new set: its path, and the old entry's number.
struct Part {
    path: PathBuf,
    old: usize,
}

/// Writes the set at `path` without the wanted documents to `output`, or lists them if there is none. Packs that hold none of them stay as they
/// are; a pack that holds some is written again under a new name, so that readers of the old set are not disturbed. If the set is replaced, the files
/// of its old packs are then removed.
pub fn run(path: &Path, wanted: &Wanted, output: Option<&Path>, cancel: &AtomicBool) -> Result<(), Failure> {
    let set = sets::open(path)?;
    let mut found = Vec::with_capacity(set.packs().len());
    for pack in set.packs() {
        found.push(Revocation::find(&***pack, &wanted.ids).map_err(|error| revoking::failed(pack.path(), error))?);
    }
    // An id is missing if no pack has it.
    let mut missing: Vec<String> = found.first().map(|first| first.missing().to_vec()).unwrap_or_default();
    missing.retain(|id| found.iter().all(|of| of.missing().contains(id)));
    wanted.check_missing(path, &missing)?;
    let mut removed: BTreeMap<String, String> = BTreeMap::new();
    for (pack, revocation) in set.packs().iter().zip(&found) {
        for document in revocation.removed() {
            let (id, title) = document.map_err(|error| revoking::failed(pack.path(), error))?;
            removed.insert(id, title);
        }
    }
    if removed.is_empty() {
        outln!("{}: none of the documents is in the set; nothing was written", path.display());
        return Ok(());
    }
    let lines = removed.iter().map(|(id, title)| format!("  {}  {}", one_line(id), one_line(title)));
    outln!("{}: documents to revoke:\n{}", path.display(), revoking::listed(lines.collect::<Vec<_>>().into_iter(), "\n"));
    let Some(output) = output else {
        outln!("nothing was written");
        return Ok(());
    };
    let parts = write_packs(&set, found, output, cancel)?;
    let new = new_set(&set, &parts)?;
    new.write(Arc::new(DiskStorage), output)?;
    let rewritten = parts.iter().filter(|part| set.packs().get(part.old).is_some_and(|old| old.path() != part.path)).count();
    outln!(
        "{}: {} revoked, {} of {} packs are new, id {}",
        output.display(),
        if removed.len() == 1 { "1 document".into() } else { format!("{} documents", thousands(removed.len() as u64)) },
        thousands(rewritten as u64),
        thousands(parts.len() as u64),
        new.id()
    );
    if outputs::is_same(output, path) {
        remove_replaced(&set, &parts)?;
    }
    if !set.file().signatures().is_empty() {
        outln!("the new set has no signatures, because those of the old set cover its id: sign the new set");
    }
    Ok(())
}

/// The packs of the new set, beside `output`.
fn write_packs(
    set: &MappedSet,
    found: Vec<Revocation<'_, impl AsRef<[u8]>>>,
    output: &Path,
    cancel: &AtomicBool,
) -> Result<Vec<Part>, Failure> {
    let mut parts = Vec::with_capacity(found.len());
    for (old, (pack, revocation)) in set.packs().iter().zip(found).enumerate() {
        let path = if revocation.documents() > 0 {
            let path = free_name(&output.with_file_name(pack.path().file_name().unwrap_or_default()));
            revoking::write(revocation.with_permissions_of(pack.path()), pack.path(), &path, cancel)?;
            path
        } else {
            beside(pack, output)?
        };
        parts.push(Part { path, old });
    }
    parts.sort_by(|a, b| a.path.file_name().cmp(&b.path.file_name()));
    Ok(parts)
}

/// The path of an unchanged pack beside `output`: its own, or that of a copy.
fn beside(pack: &MappedPack, output: &Path) -> Result<PathBuf, Failure> {
    let path = output.with_file_name(pack.path().file_name().unwrap_or_default());
    if outputs::is_same(&path, pack.path()) {
        return Ok(pack.path().to_owned());
    }
    if MappedPack::open(&path).is_ok_and(|there| there.id() == pack.id()) {
        return Ok(path);
    }
    outputs::check_pack(&path, &[pack.path()])?;
    fs::copy(pack.path(), &path)
        .map_err(|error| Failure::new(Kind::Work, format!("cannot copy {} to {}: {error}", pack.path().display(), path.display())))?;
    Ok(path)
}

/// `bank-0003.mpk` becomes `bank-0003-r1.mpk`, and that `bank-0003-r2.mpk`: the first name that no file has.
fn free_name(path: &Path) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let (stem, last) = match stem.rsplit_once("-r") {
        Some((stem, number)) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => {
            (stem.to_owned(), number.parse().unwrap_or(0))
        }
        _ => (stem, 0u64),
    };
    (last + 1..).map(|number| path.with_file_name(format!("{stem}-r{number}.mpk"))).find(|path| !path.exists()).unwrap_or_default()
}

/// The set of these packs, with the routing table of the old one.
fn new_set(set: &MappedSet, parts: &[Part]) -> Result<PackSetFile, Failure> {
    let (old, dim) = (set.file(), set.file().manifest().embedder.dim);
    let mut packs = Vec::with_capacity(parts.len());
    let mut routing = Routing::default();
    for (number, part) in (0u32..).zip(parts) {
        let name = part.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // A pack that keeps its name is the one that the old set names.
        match old.manifest().packs.get(part.old).filter(|entry| entry.file == name) {
            Some(entry) => packs.push(entry.clone()),
            None => packs.push(SetPack::of(&name, &*super::open(&part.path)?).map_err(|error| super::reading(&part.path, true, error))?),
        }
        for centroid in old.routing().of_pack(part.old as u32, dim) {
            routing.owners.push(number);
            routing.centroids.extend(centroid);
        }
    }
    let manifest = SetManifest { generator: mempack_compiler::GENERATOR.to_owned(), packs, ..old.manifest().clone() };
    PackSetFile::new(manifest, routing).map_err(|error| Failure::new(Kind::Work, error))
}

/// Removes the files of packs that the new set does not name.
fn remove_replaced(set: &MappedSet, parts: &[Part]) -> Result<(), Failure> {
    for part in parts {
        let Some(old) = set.packs().get(part.old).filter(|old| old.path() != part.path) else { continue };
        fs::remove_file(old.path()).map_err(|error| {
            Failure::new(Kind::Work, format!("the new set is complete, but {} cannot be removed: {error}; delete it", old.path().display()))
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_count_up() {
        let folder = tempfile::tempdir().unwrap();
        let name = |name: &str| free_name(&folder.path().join(name)).file_name().unwrap().to_string_lossy().into_owned();
        assert_eq!(name("bank-0003.mpk"), "bank-0003-r1.mpk");
        assert_eq!(name("bank-0003-r1.mpk"), "bank-0003-r2.mpk");
        assert_eq!(name("bank-rx.mpk"), "bank-rx-r1.mpk");
        fs::write(folder.path().join("bank-0003-r1.mpk"), b"").unwrap();
        assert_eq!(name("bank-0003.mpk"), "bank-0003-r2.mpk");
    }
}
