//! A writer whose storage fails, tears writes, dies and forgets, at every operation: the target is the old pack or the new one, whole.

#[path = "common/faulty.rs"]
mod faulty;
#[allow(dead_code)] // the pack is written here step by step
#[path = "golden/generate.rs"]
mod generate;

use std::path::Path;
use std::sync::Arc;

use faulty::{CASES, Fault, Faulty, Left};
use mempack_format::{PackSummary, PackWriter, WorkFolder, WriteError};

const TARGET: &str = "/packs/pack.mpk";
/// It begins as packs do, for only a pack is replaced.
const OLD: &[u8] = b"\x89MPK\r\n\x1a\nthe old pack";

/// The golden pack, in a folder that is removed afterwards.
fn write(storage: &Faulty) -> Result<PackSummary, WriteError> {
    let folder = WorkFolder::open(Arc::new(storage.clone()), Path::new(TARGET))?;
    let mut writer = PackWriter::create_in(&folder, generate::SHAPE, generate::DIM)?;
    let summary = generate::fill(&mut writer, generate::record).and_then(|()| generate::finish(writer, None))?;
    // The pack is whole whether or not this can be done.
    let _ = folder.remove(&[]);
    Ok(summary)
}

fn storage() -> Faulty {
    let storage = Faulty::with_folder(Path::new("/packs"));
    storage.put(Path::new(TARGET), OLD);
    storage
}

#[test]
fn whatever_fails_the_target_is_whole_and_the_next_writer_writes_it() {
    let undisturbed = storage();
    let summary = write(&undisturbed).unwrap();
    let new = undisturbed.contents(Path::new(TARGET)).unwrap();
    assert!(new.len() as u64 == summary.bytes && undisturbed.names().len() == 2, "{:?}", undisturbed.names());
    let operations = undisturbed.operations();
    assert!(operations > 40, "{operations}");
    let (mut olds, mut news) = (0, 0);
    for (fault, left) in CASES {
        for at in 0..operations {
            let storage = storage();
            storage.plan(at, fault);
            let result = write(&storage);
            let died = storage.dead();
            assert_eq!(died, matches!(fault, Fault::Die | Fault::Tear), "{fault:?} at {at}");
            storage.restart(left);
            let found = storage.contents(Path::new(TARGET)).unwrap();
            assert!(found == OLD || found == new, "{fault:?} at {at}, {left:?}: {} bytes of neither", found.len());
            if result.is_ok() {
                assert!(found == new, "{fault:?} at {at}, {left:?}: said to be written, and is not");
            }
            *(if found == new { &mut news } else { &mut olds }) += 1;
            assert_eq!(write(&storage).unwrap().id, summary.id, "{fault:?} at {at}, {left:?}");
            assert!(storage.contents(Path::new(TARGET)).unwrap() == new && storage.names().len() == 2, "{:?}", storage.names());
        }
    }
    assert!(olds > 0 && news > 0, "{olds}, {news}");
    println!("{operations} operations, {} faults: {olds} left the old pack, {news} the new one", CASES.len());
}

#[test]
fn a_rename_is_safe_only_after_its_folder_is_synced() {
    // The storage itself: what it forgets is what a disk may forget.
    let (storage, target) = (storage(), Path::new(TARGET));
    let other = Path::new("/packs/other");
    let write = |bytes: &[u8]| {
        let file = mempack_format::Storage::create(&storage, other).unwrap();
        file.write_all_at(bytes, 0).unwrap();
        file
    };
    write(b"unsynced");
    mempack_format::Storage::rename(&storage, other, target).unwrap();
    storage.restart(Left::Synced);
    assert_eq!(storage.contents(target).unwrap(), OLD);
    write(b"unsynced");
    mempack_format::Storage::rename(&storage, other, target).unwrap();
    storage.restart(Left::Names);
    assert_eq!(storage.contents(target).unwrap(), b"");
    write(b"synced").sync().unwrap();
    mempack_format::Storage::rename(&storage, other, target).unwrap();
    mempack_format::Storage::sync_folder(&storage, Path::new("/packs")).unwrap();
    storage.restart(Left::Synced);
    assert_eq!(storage.contents(target).unwrap(), b"synced");
}
