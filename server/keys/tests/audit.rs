//! The audit log, on the disk.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use mempack_keys::audit::{AuditLog, AuditOptions, Notice, PackRead, Record};
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

fn record(request: &str) -> Record {
    Record { request: request.to_owned(), endpoint: "/v1/completions".into(), outcome: "ok".into(), status: 200, ..Record::default() }
}

/// Options, and the notices that were given.
fn listening() -> (AuditOptions, Arc<Mutex<Vec<String>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&heard);
    let word = |notice: &Notice| match notice {
        Notice::Failed { .. } => "failed".to_owned(),
        Notice::Full { .. } => "full".to_owned(),
        Notice::Reopen { .. } => "reopen".to_owned(),
        Notice::Resumed { lost, .. } => format!("resumed {lost}"),
        other => format!("{other:?}"),
    };
    (AuditOptions::default().listener(move |notice| listener.lock().unwrap().push(word(&notice))), heard)
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn requests(path: &Path) -> Vec<String> {
    lines(path).iter().filter_map(|line| line["request"].as_str().map(str::to_owned)).collect()
}

fn written(log: &AuditLog) {
    assert!(log.flush(PATIENCE));
}

#[test]
fn a_line_says_what_a_request_did() {
    let folder = TempDir::new().unwrap();
    let record = Record {
        key: Some("research".into()),
        packs: vec![
            PackRead { id: "9c31".into(), references: vec![4, 17, u64::MAX] },
            PackRead { id: "77aa".into(), references: Vec::new() },
        ],
        tokens_in: 41,
        tokens_out: 128,
        queue: Some(Duration::from_micros(400)),
        first_token: Some(Duration::from_nanos(38_123_456)),
        total: Duration::from_millis(912),
        text: Some("How much \"Nutepril\"?\n".into()),
        ..record("r-1")
    };
    let expected = json!({
        "request": "r-1", "key": "research", "endpoint": "/v1/completions", "outcome": "ok", "status": 200,
        "packs": [{"id": "9c31", "references": [4, 17, u64::MAX]}, {"id": "77aa", "references": []}],
        "tokens_in": 41, "tokens_out": 128, "ms": {"queue": 0.4, "first_token": 38.123, "total": 912.0},
    });
    for texts in [false, true] {
        let path = folder.path().join(format!("{texts}.log"));
        let before = jiff::Timestamp::now();
        let log = AuditLog::open(&path, AuditOptions::default().texts(texts)).unwrap();
        log.record(&record);
        drop(log);
        let [line] = &lines(&path)[..] else { panic!("one line") };
        let mut line = line.clone();
        let time = line.as_object_mut().unwrap().remove("time").unwrap();
        let time = time.as_str().unwrap();
        assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
        let passed = time.parse::<jiff::Timestamp>().unwrap().duration_since(before);
        assert!(passed.as_millis_f64() > -1.0 && passed.as_secs() < 60, "{time}");
        let text = line.as_object_mut().unwrap().remove("text");
        assert_eq!(text, texts.then(|| json!("How much \"Nutepril\"?\n")));
        assert_eq!(line, expected);
    }
    // Nobody was recognised, and nothing was waited for.
    let path = folder.path().join("denied.log");
    let log = AuditLog::open(&path, AuditOptions::default()).unwrap();
    log.record(&Record { status: 401, outcome: "unknown".into(), ..self::record("r-2") });
    written(&log);
    let line = &lines(&path)[0];
    assert_eq!(
        (&line["key"], &line["status"], &line["ms"], &line["packs"]),
        (&Value::Null, &json!(401), &json!({"total": 0.0}), &json!([]))
    );
}

#[cfg(unix)]
#[test]
fn logs_are_for_their_owner_and_continued() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("audit.log");
    for at in 0..3 {
        let log = AuditLog::open(&path, AuditOptions::default()).unwrap();
        log.record(&record(&format!("r-{at}")));
    }
    assert_eq!(requests(&path), ["r-0", "r-1", "r-2"]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(AuditLog::open(folder.path(), AuditOptions::default()).is_err());
    assert!(AuditLog::open(&folder.path().join("nowhere/audit.log"), AuditOptions::default()).is_err());
}

/// A program that was stopped in the middle of a line leaves a part of it, which the next line must not continue.
#[test]
fn a_torn_line_stays_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("audit.log");
    fs::write(&path, "{\"time\":\"2026").unwrap();
    let log = AuditLog::open(&path, AuditOptions::default()).unwrap();
    log.record(&record("r-1"));
    written(&log);
    let text = fs::read_to_string(&path).unwrap();
    let (torn, whole) = text.split_once('\n').unwrap();
    assert_eq!(torn, "{\"time\":\"2026");
    assert_eq!(serde_json::from_str::<Value>(whole).unwrap()["request"], "r-1");
}

#[cfg(unix)]
#[test]
fn a_log_that_is_renamed_is_made_again() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (options, heard) = listening();
    let log = AuditLog::open(&at("audit.log"), options).unwrap();
    let put = |request: &str| {
        log.record(&record(request));
        written(&log);
    };
    put("r-1");
    fs::rename(at("audit.log"), at("audit.log.1")).unwrap();
    put("r-2");
    fs::remove_file(at("audit.log")).unwrap();
    put("r-3");
    // As logrotate does with `create`: the new file is there already.
    fs::rename(at("audit.log"), at("audit.log.2")).unwrap();
    fs::write(at("audit.log"), "").unwrap();
    put("r-4");
    assert_eq!([requests(&at("audit.log.1")), requests(&at("audit.log.2")), requests(&at("audit.log"))], [["r-1"], ["r-3"], ["r-4"]]);
    assert_eq!(log.lost(), 0);
    assert!(heard.lock().unwrap().is_empty());
}

/// The folder is gone: lines still go to the file that was in it, and another is made when it can be.
#[cfg(unix)]
#[test]
fn a_log_that_cannot_be_made_again_goes_on_in_the_old_file() {
    let folder = TempDir::new().unwrap();
    let (logs, old) = (folder.path().join("logs"), folder.path().join("old"));
    fs::create_dir(&logs).unwrap();
    let (options, heard) = listening();
    let log = AuditLog::open(&logs.join("audit.log"), options).unwrap();
    fs::rename(&logs, &old).unwrap();
    for request in ["r-1", "r-2"] {
        log.record(&record(request));
        written(&log);
    }
    assert_eq!(requests(&old.join("audit.log")), ["r-1", "r-2"]);
    assert_eq!(*heard.lock().unwrap(), ["reopen"]);
    fs::create_dir(&logs).unwrap();
    log.record(&record("r-3"));
    written(&log);
    assert_eq!(requests(&logs.join("audit.log")), ["r-3"]);
    assert_eq!(log.lost(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_loses_lines_and_nothing_else() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    let link = |to: &Path| {
        std::os::unix::fs::symlink(to, at("new")).unwrap();
        fs::rename(at("new"), at("audit.log")).unwrap();
    };
    link(Path::new("/dev/full"));
    let (options, heard) = listening();
    let log = AuditLog::open(&at("audit.log"), options).unwrap();
    for request in ["r-1", "r-2", "r-3"] {
        log.record(&record(request));
        written(&log);
    }
    assert_eq!(log.lost(), 3);
    assert_eq!(*heard.lock().unwrap(), ["failed"]);
    // There is room again.
    link(&at("room.log"));
    log.record(&record("r-4"));
    log.record(&record("r-5"));
    written(&log);
    assert_eq!(requests(&at("room.log")), ["r-4", "r-5"]);
    assert_eq!(lines(&at("room.log"))[0]["lost"], 3);
    assert_eq!(log.lost(), 3);
    assert_eq!(*heard.lock().unwrap(), ["failed", "resumed 3"]);
    // And none again: it is said again.
    link(Path::new("/dev/full"));
    log.record(&record("r-6"));
    written(&log);
    assert_eq!(log.lost(), 4);
    assert_eq!(*heard.lock().unwrap(), ["failed", "resumed 3", "failed"]);
}

/// Threads that record do not wait for the disk, and what a bounded queue cannot take is counted, in the log too.
#[test]
fn what_is_recorded_is_written_or_counted() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("audit.log");
    let (options, heard) = listening();
    let log = AuditLog::open(&path, options.queue_bytes(2000)).unwrap();
    const EACH: usize = 2000;
    thread::scope(|scope| {
        for thread in 0..4 {
            let log = &log;
            scope.spawn(move || (0..EACH).for_each(|at| log.record(&record(&format!("r-{thread}-{at}")))));
        }
    });
    written(&log);
    let lost: u64 = lines(&path).iter().filter_map(|line| line["lost"].as_u64()).sum();
    assert_eq!(lost, log.lost());
    let mut found = requests(&path);
    assert_eq!(found.len() as u64 + lost, 4 * EACH as u64);
    found.sort();
    found.dedup();
    assert_eq!(found.len() as u64 + lost, 4 * EACH as u64, "no line is there twice");
    let heard = heard.lock().unwrap();
    let said = |word: &str| heard.iter().filter(|notice| notice.starts_with(word)).count();
    assert_eq!(said("full") > 0, lost > 0);
    assert!(said("failed") == 0 && said("full") <= said("resumed") + 1, "{heard:?}");
}

#[test]
fn a_line_that_no_queue_can_take_is_lost() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("audit.log");
    let (options, heard) = listening();
    let log = AuditLog::open(&path, options.queue_bytes(10_000).texts(true)).unwrap();
    log.record(&Record { text: Some("long ".repeat(10_000)), ..record("r-1") });
    written(&log);
    log.record(&record("r-2"));
    written(&log);
    assert_eq!((log.lost(), requests(&path)), (1, vec!["r-2".to_owned()]));
    assert_eq!(*heard.lock().unwrap(), ["full", "resumed 1"]);
}

#[test]
fn the_end_of_the_program_writes_what_waits() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("audit.log");
    let log = AuditLog::open(&path, AuditOptions::default()).unwrap();
    (0..1000).for_each(|at| log.record(&record(&at.to_string())));
    let since = Instant::now();
    drop(log);
    assert!(since.elapsed() < Duration::from_secs(5));
    assert_eq!(requests(&path), (0..1000).map(|at: u32| at.to_string()).collect::<Vec<_>>());
}

/// Texts with what ends or hides lines, for some reader or other.
fn texts() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        any::<String>(),
        prop::sample::select(vec![
            "\n",
            "\r\n",
            "\r",
            "\u{85}",
            "\u{2028}",
            "\u{2029}",
            "\u{b}",
            "\u{c}",
            "\0",
            "\u{1b}[2K",
            "\u{9b}2J",
            "\u{202e}",
            "\u{2066}",
            "\"",
            "\\",
            "\\n",
            "\"}\n{\"time\":\"",
            "\u{feff}",
            "\u{7f}",
            "\u{10ffff}",
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(part, 0..6).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever the strings of a record are, there is one line, in every sense of the word, and it gives them back.
    #[test]
    fn no_input_forges_a_line(request in texts(), key in prop::option::of(texts()), endpoint in texts(), outcome in texts(), id in texts(), text in texts()) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("audit.log");
        let log = AuditLog::open(&path, AuditOptions::default().texts(true)).unwrap();
        let record = Record {
            request, key, endpoint, outcome,
            packs: vec![PackRead { id, references: vec![1] }],
            text: Some(text),
            ..Record::default()
        };
        log.record(&record);
        written(&log);
        let text = fs::read_to_string(&path).unwrap();
        let obeyed = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        prop_assert_eq!(text.find(obeyed), Some(text.len() - 1));
        prop_assert!(text.ends_with('\n'));
        let line: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(line["request"].as_str(), Some(&*record.request));
        prop_assert_eq!(line["key"].as_str(), record.key.as_deref());
        prop_assert_eq!(line["endpoint"].as_str(), Some(&*record.endpoint));
        prop_assert_eq!(line["outcome"].as_str(), Some(&*record.outcome));
        prop_assert_eq!(line["packs"][0]["id"].as_str(), Some(&*record.packs[0].id));
        prop_assert_eq!(line["text"].as_str(), record.text.as_deref());
    }
}
