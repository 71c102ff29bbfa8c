use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use super::*;
use crate::{Documents, Input};

/// Id, title and text of a document.
type Found = (String, String, String);

/// The documents of a corpus with its notes.
fn read(documents: Documents) -> Result<(Vec<Found>, Vec<String>), CorpusError> {
    let (mut found, mut notes) = (Vec::new(), Vec::new());
    for item in documents {
        match item? {
            CorpusItem::Document(document) => {
                let (metadata, text) = document.read_text()?.unwrap();
                found.push((metadata.id, metadata.title, text));
            }
            CorpusItem::Note(note) => notes.push(note.to_string()),
        }
    }
    Ok((found, notes))
}

fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

fn documents(path: &Path) -> Documents {
    Documents::new(&[Input::Path(path.to_owned())], io::empty())
}

const CHINESE: &str = "第一条 为了保护公民的合法权益，制定本法。";

const TALK: &[u8] = b"1\n00:00:05,000 --> 00:00:07,000\nTwice a day.\n";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn a_folder_with_broken_files_is_read_to_the_end() {
    let utf16: Vec<u8> = [0xFEFFu16].into_iter().chain("Wide words of a notice.".encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let archive =
        zip(&[("inner/notes.md", b"# Doses\n\nTwo a day."), ("inner/broken.srt", b"nothing"), ("c.txt.gz", &gzip(b"packed words"))]);
    // Without a byte order mark.
    let chinese: Vec<u8> = CHINESE.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let folder = folder(&[
        ("a.srt", TALK),
        ("b.srt", b"no times"),
        ("c.txt", &utf16),
        ("d.jsonl", b"{\"text\": \"one\"}\n{broken"),
        ("e.zip", &archive),
        ("f.md.gz", &gzip(b"---\nid: f\n---\n# Head\n\nbody")),
        ("g.txt", &encoding_rs::WINDOWS_1251.encode("Статья 1. Настоящий закон защищает права граждан.").0),
        ("h.gz", b"\x1F\x8Bcut"),
        ("talk", b"WEBVTT\n\n00:01.000 --> 00:02.000\nBy content.\n"),
        ("m.txt", &chinese),
        ("z.txt", b"the last"),
    ]);
    let (found, notes) = read(documents(folder.path())).unwrap();
    let found: Vec<(&str, &str, &str)> = found.iter().map(|(id, title, text)| (id.as_str(), title.as_str(), text.trim())).collect();
    assert_eq!(
        found,
        [
            ("a.srt", "a", "Twice a day."),
            ("c.txt", "c", "Wide words of a notice."),
            ("e.zip/inner/notes.md", "Doses", "# Doses\n\nTwo a day."),
            ("e.zip/c.txt.gz", "c.txt", "packed words"),
            ("f", "Head", "# Head\n\nbody"),
            ("g.txt", "g", "Статья 1. Настоящий закон защищает права граждан."),
            ("m.txt", "m", CHINESE),
            ("talk", "talk", "By content."),
            ("z.txt", "z", "the last"),
        ]
    );
    let skipped: Vec<&String> = notes.iter().filter(|note| note.contains("skipped, because")).collect();
    assert_eq!(skipped.len(), 3, "{notes:?}");
    for (note, file) in skipped.iter().zip(["b.srt", "d.jsonl", "h.gz"]) {
        assert!(note.contains(file), "{note}");
    }
    assert!(
        notes.iter().any(|note| note.contains("e.zip was read without inner/broken.srt, which is no whole file of subtitles")),
        "{notes:?}"
    );
    // One that is asked to be strict, and one that is named itself, refuse.
    assert!(matches!(read(documents(folder.path()).strict(true)), Err(CorpusError::Unreadable { .. })));
    assert!(matches!(read(documents(&folder.path().join("b.srt"))), Err(CorpusError::Unreadable { .. })));
}

#[test]
fn a_stream_is_known_by_its_content() {
    let stream = |bytes: &[u8]| read(Documents::new(&[Input::Stdin], io::Cursor::new(bytes.to_vec()))).unwrap().0;
    assert_eq!(stream(b"WEBVTT\n\n00:01.000 --> 00:02.000\nBy content.\n")[0].2.trim(), "By content.");
    assert_eq!(stream(b"\xFF\xFEw\0o\0r\0d\0")[0].2, "word");
}

/// Files of a schema of its own, and rules for it.
#[cfg(feature = "formats")]
fn ruled() -> (tempfile::TempDir, Options) {
    let folder = folder(&[
        ("a.xml", b"<?xml version='1.0'?><acts><act nr='7'><name>Harbours</name><sec no='1'><p>Dues are owed.</p></sec></act></acts>"),
        ("b.xml", b"<?xml version='1.0'?><acts><act nr='8'><name>Ships</name><memo>not read</memo><p>Ships are named.</p></act></acts>"),
        ("c.xml", b"<?xml version='1.0'?><manual><act>Pull.</act></manual>"),
    ]);
    let rules = "root = 'acts'\n[elements]\nact = { role = 'document', id = '@nr', title = 'name' }\n\
                 sec = { role = 'section', number = '@no', cite = 'art.' }\nmemo = 'skip'\nmeno = 'skip'\n";
    (folder, Options { xml_rules: Some(crate::XmlRules::parse("acts.toml", rules).unwrap()), ..Options::default() })
}

#[cfg(feature = "formats")]
#[test]
fn rules_for_xml_hold_for_files_of_their_root() {
    let (folder, options) = ruled();
    let read_by = |options| read(documents(folder.path()).with_extraction(Extraction { options, worker: None })).unwrap();
    let (found, notes) = read_by(options.clone());
    let found: Vec<(&str, &str, &str)> = found.iter().map(|(id, title, text)| (id.as_str(), title.as_str(), text.trim())).collect();
    let expected = [("7", "Harbours", "# art. 1\n\nDues are owed."), ("8", "Ships", "Ships are named."), ("c.xml", "c", "act: Pull.")];
    assert_eq!(found, expected);
    // `memo` is in one of the files, and `meno` in none.
    assert_eq!(notes, ["acts.toml has rules that match nothing in the corpus: \"meno\"; are these names right?"]);
    let other = crate::XmlRules::parse("other.toml", "root = ['law', 'order']\n[elements]\nact = 'skip'\n").unwrap();
    let (_, notes) = read_by(Options { xml_rules: Some(other), ..Options::default() });
    assert_eq!(notes, ["other.toml was not used: no file that is read has the outermost element law or order"]);
}

#[cfg(feature = "formats")]
#[test]
fn rules_for_xml_reach_a_worker() {
    let (folder, options) = ruled();
    let asked = |options: &Options| {
        let request = serde_json::json!({"path": folder.path().join("a.xml"), "name": "a.xml", "options": options});
        let mut said = Vec::new();
        read_files(request.to_string().as_bytes(), &mut said).unwrap();
        String::from_utf8(said).unwrap()
    };
    let said = asked(&options);
    assert!(said.contains("\"id\":\"7\"") && said.contains("art. 1") && said.contains("XmlRules"), "{said}");
    assert!(asked(&Options::default()).contains("\"id\":null"));
    let copy: Options = serde_json::from_str(&serde_json::to_string(&options).unwrap()).unwrap();
    assert_eq!(copy, options);
}

#[test]
fn a_bomb_is_refused() {
    let folder = folder(&[("bomb.txt.gz", &gzip(&vec![b'a'; 32 << 20]))]);
    let error = read(documents(&folder.path().join("bomb.txt.gz"))).unwrap_err();
    assert!(error.to_string().contains("unpacks to more than"), "{error}");
}

/// A worker that is a command of the shell.
fn shell(script: &str, time: Duration) -> Extraction {
    let worker = WorkerCommand { program: "sh".into(), arguments: vec!["-c".into(), script.into()], time, megabytes: 10 };
    Extraction { worker: Some(worker), ..Extraction::default() }
}

#[test]
fn a_worker_that_hangs_or_ends_costs_one_file() {
    let folder = folder(&[("a.srt", TALK), ("b.srt", TALK), ("z.txt", b"the last")]);
    let read_by = |script: &str| read(documents(folder.path()).with_extraction(shell(script, Duration::from_millis(200)))).unwrap();
    let began = Instant::now();
    let (found, notes) = read_by("sleep 100");
    assert_eq!((found.len(), notes.len()), (1, 2), "{notes:?}");
    assert!(notes[0].contains("takes more than 0 seconds"), "{notes:?}");
    assert!(began.elapsed() < Duration::from_secs(20));
    let (found, notes) = read_by("read line; kill -9 $$");
    assert_eq!((found.len(), notes.len()), (1, 2), "{notes:?}");
    assert!(notes[1].contains("made its reader end (signal: 9"), "{notes:?}");
    // Half a file counts as none.
    let (found, _) = read_by(
        r#"read line; echo '{"document":{"name":"","row":null,"id":null,"source":null,"title":null,"date":null,"version":null,"license":null,"fields":[],"text":"half","marks":{"marks":[[],[],[],[]]}}}'"#,
    );
    assert_eq!(found.len(), 1);
}

#[test]
fn what_a_worker_says_is_what_is_read_here() {
    let folder = folder(&[("a.srt", TALK)]);
    let path = folder.path().join("a.srt");
    let request =
        format!("{{\"path\": {:?}, \"name\": \"a.srt\", \"options\": {}}}\n", path, serde_json::to_string(&Options::default()).unwrap());
    let missing = request.replace("a.srt\", \"name\"", "b.srt\", \"name\"");
    let mut said = Vec::new();
    read_files((missing + &request).as_bytes(), &mut said).unwrap();
    let mut here = Vec::new();
    let mut file = Vec::new();
    fs::File::open(&path).unwrap().read_to_end(&mut file).unwrap();
    assert_eq!(messages::write(&mut here, "a.srt", &*file, &Options::default()).unwrap(), None);
    let said = String::from_utf8(said).unwrap();
    assert!(said.starts_with("{\"end\":\"cannot be read: "), "{said}");
    assert!(said.ends_with(std::str::from_utf8(&here).unwrap()), "{said}");
    assert!(here.split(|byte| *byte == b'\n').any(|line| line.starts_with(messages::END)));
}
