//! Files that are truncated, extended again or overwritten while they are mapped.
#![cfg(unix)]

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, SystemTime};

use mempack_format::{Damage, Defect, ReadError, Tag};
use mempack_runtime::{Hit, MappedPack, MemoryCache, SearchError, exit_when_cut_short, go_on_when_cut_short};
use tempfile::TempDir;

mod common;
use common::{Random, SHAPE, World, text, write_pack};

const DIM: usize = 64;

/// Environment variable with the child's action and its pack. Without it, the test `child` does nothing.
const ACTION: &str = "MEMPACK_TEST_ACTION";
const PACK: &str = "MEMPACK_TEST_PACK";

/// Exit code of the child if an access returned an error.
const TYPED: i32 = 42;

fn pack() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.mpk");
    write_pack(&path, &World::scatter(&mut Random(8), 400, DIM, 0), SHAPE, None);
    // Ensures that a later change has another modification time.
    std::thread::sleep(Duration::from_millis(30));
    (folder, path)
}

fn query() -> Vec<f32> {
    Random(4).unit(DIM, None, 1.0)
}

/// Searches, and reads the memories and texts of the hits.
fn read(pack: &MappedPack) -> Result<Vec<Hit>, String> {
    let hits = pack.search_exact(&query(), 5).map_err(|error| error.to_string())?;
    for hit in &hits {
        let memory = MemoryCache::new(0).get(pack, hit.reference).map_err(|error| error.to_string())?;
        assert_eq!(memory.keys[0], hit.reference as f32, "a wrong memory");
        assert_eq!(pack.describe(hit).map_err(|error| error.to_string())?.text, text(hit.reference), "a wrong text");
    }
    Ok(hits)
}

/// The child process of the tests below: maps the pack, prints `ready`, waits for a line, and performs its action.
#[test]
#[ignore = "the other tests run it as a child process"]
fn child() {
    let (Some(action), Some(path)) = (std::env::var_os(ACTION), std::env::var_os(PACK)) else { return };
    let action = action.to_string_lossy().into_owned();
    if action.ends_with("going on") { go_on_when_cut_short() } else { exit_when_cut_short(3) }.unwrap();
    let pack = MappedPack::open(&path).unwrap();
    let wanted = read(&pack).unwrap();
    let file = File::open(&path).unwrap();
    // SAFETY: A read-only mapping whose bytes are read once, to raise the signal under test.
    let other = unsafe { memmap2::Mmap::map(&file) }.unwrap();
    let row = pack.embedding(300).unwrap();
    println!("\nready");
    let go_on = || assert!(std::io::stdin().read_line(&mut String::new()).unwrap() > 0);
    let result = match action.as_str() {
        "search" => {
            go_on();
            read(&pack).map(drop)
        }
        "text" => {
            go_on();
            pack.text(300).map(drop).map_err(|error| error.to_string())
        }
        "text, going on" => {
            go_on();
            // Nothing compares this slice with its digest; a checked read of the same pack is an error.
            assert_eq!(row[0].get().to_bits(), 0, "a page that is missing is zeros");
            read(&pack).map(drop)
        }
        "embedding" => {
            go_on();
            println!("{}", row[0].get());
            Ok(())
        }
        "verify" => {
            go_on();
            pack.verify(&mut |_| std::ops::ControlFlow::Continue(())).map(drop).map_err(|error| error.to_string())
        }
        "other mapping" => {
            go_on();
            println!("{}", other[other.len() - 1]);
            Ok(())
        }
        "reading all the time" | "reading all the time, going on" => loop {
            match read(&pack) {
                Ok(hits) => assert_eq!(hits, wanted, "a wrong answer"),
                Err(error) => break Err(error),
            }
        },
        _ => panic!("{action}"),
    };
    match result {
        Ok(()) => println!("no error"),
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(TYPED);
        }
    }
}

/// Starts the child, truncates its pack once it is ready, and lets it continue.
fn run(action: &str, path: &Path, cut_to: u64) -> (ExitStatus, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .envs([(ACTION, action.as_ref()), (PACK, path.as_os_str())])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "ready"), "the child did not begin");
    if action.starts_with("reading") {
        std::thread::sleep(Duration::from_millis(100));
    }
    OpenOptions::new().write(true).open(path).unwrap().set_len(cut_to).unwrap();
    if let Err(error) = child.stdin.take().unwrap().write_all(b"go on\n") {
        // A child that reads continuously may already have ended.
        assert!(action.starts_with("reading") && error.kind() == ErrorKind::BrokenPipe, "{action}: {error}");
    }
    let rest: Vec<String> = lines.map(|line| line.unwrap()).collect();
    let output = child.wait_with_output().unwrap();
    assert!(!rest.iter().any(|line| line == "no error"), "{action}: the missing bytes were read: {rest:?}");
    (output.status, String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_touch_of_what_was_cut_off_ends_the_process_with_a_message() {
    for action in ["text", "embedding", "verify"] {
        let (_folder, path) = pack();
        let (status, said) = run(action, &path, 4096);
        assert_eq!(status.code(), Some(3), "{action}: {status}, {said}");
        assert!(said.contains("mempack: a pack was cut short while it was read"), "{action}: {said}");
        assert!(!said.contains("panicked"), "{action}: {said}");
    }
}

#[test]
fn a_search_in_a_file_that_was_cut_short_is_an_error_with_its_place() {
    let (_folder, path) = pack();
    let (status, said) = run("search", &path, 5000);
    assert_eq!(status.code(), Some(TYPED), "{status}, {said}");
    assert!(said.contains("byte 5000") && said.contains("cut short") && said.contains("MEMORIES"), "{said}");
}

#[test]
fn a_file_cut_short_under_running_searches_is_an_error_or_the_end_never_a_wrong_answer() {
    for round in 0..5u64 {
        let (_folder, path) = pack();
        let length = fs::metadata(&path).unwrap().len();
        let (status, said) = run("reading all the time", &path, 4096 + round * (length - 4096) / 5);
        let (typed, ended) = (status.code() == Some(TYPED), status.code() == Some(3));
        assert!(typed || ended, "{status}, {said}");
        assert!(said.contains("cut short"), "{said}");
    }
}

#[test]
fn a_service_goes_on_with_an_error_when_a_file_is_cut_short() {
    let (_folder, path) = pack();
    let (status, said) = run("text, going on", &path, 4096);
    assert_eq!(status.code(), Some(TYPED), "{status}, {said}");
    for round in 0..5u64 {
        let (_folder, path) = pack();
        let length = fs::metadata(&path).unwrap().len();
        let (status, said) = run("reading all the time, going on", &path, 4096 + round * (length - 4096) / 5);
        assert_eq!(status.code(), Some(TYPED), "round {round}: {status}, {said}");
    }
}

#[test]
fn a_fault_in_another_mapping_is_left_to_whoever_handled_it_before() {
    let (_folder, path) = pack();
    let (status, said) = run("other mapping", &path, 4096);
    assert_eq!((status.code(), status.signal()), (None, Some(libc::SIGBUS)), "{said}");
    assert!(!said.contains("cut short"), "{said}");
}

fn damage(error: ReadError) -> Damage {
    let ReadError::Damaged(damage) = error else { panic!("{error}") };
    damage
}

#[test]
fn a_file_cut_short_and_grown_again_is_checked_anew() {
    let (_folder, path) = pack();
    let pack = MappedPack::open(&path).unwrap();
    // Every vector, and everything that the hits need, has been checked.
    read(&pack).unwrap();
    let length = fs::metadata(&path).unwrap().len();
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(4096).unwrap();
    let SearchError::Read(error) = pack.search_exact(&query(), 5).unwrap_err() else { panic!("not a damage") };
    let short = damage(error);
    assert_eq!((short.offset, short.section), (4096, Tag::MEMORIES));
    assert!(matches!(short.defect, Defect::TooSmall { found: 4096, .. }), "{short}");
    file.set_len(length).unwrap();
    // The file is all zeros, so the leaf digests are wrong at any access.
    let SearchError::Read(error) = pack.search_exact(&query(), 5).unwrap_err() else { panic!("not a damage") };
    assert!(matches!(damage(error), Damage { section: Tag::LEAVES, defect: Defect::Digest { .. }, .. }));
    assert!(MemoryCache::new(0).get(&pack, 0).unwrap_err().is_damage());
    assert_eq!(damage(pack.embedding(0).unwrap_err()).section, Tag::LEAVES);
    assert_eq!(damage(pack.describe(&Hit { reference: 0, similarity: 0.0 }).unwrap_err()).section, Tag::LEAVES);
}

#[test]
fn what_is_overwritten_after_it_was_checked_is_found() {
    let (_folder, path) = pack();
    let pack = MappedPack::open(&path).unwrap();
    let hits = read(&pack).unwrap();
    let place = |tag: Tag, stride: u64| {
        let section = pack.sections().iter().find(|section| section.tag == tag).unwrap();
        section.offset + u64::from(hits[0].reference) * stride
    };
    let file = OpenOptions::new().write(true).read(true).open(&path).unwrap();
    for (tag, at) in [(Tag::EMBEDDINGS, place(Tag::EMBEDDINGS, 4 * DIM as u64)), (Tag::MEMORIES, place(Tag::MEMORIES, pack.record_bytes()))]
    {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at + 3).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at + 3).unwrap();
        let found = match tag {
            Tag::EMBEDDINGS => match pack.search_exact(&query(), 5).unwrap_err() {
                SearchError::Read(error) => damage(error),
                other => panic!("{other}"),
            },
            _ => damage(*MemoryCache::new(0).get(&pack, hits[0].reference).unwrap_err().source),
        };
        assert_eq!((found.section, found.offset), (tag, at));
        std::thread::sleep(Duration::from_millis(30));
        file.write_all_at(&byte, at + 3).unwrap();
        assert_eq!(read(&pack).unwrap(), hits, "after the bytes are restored, it is readable again");
        std::thread::sleep(Duration::from_millis(30));
    }
}

#[test]
fn another_time_of_modification_alone_changes_nothing() {
    let (_folder, path) = pack();
    let pack = MappedPack::open(&path).unwrap();
    let hits = read(&pack).unwrap();
    File::open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(77)).unwrap();
    assert_eq!(read(&pack).unwrap(), hits);
}
