//! The keys of a server through the real binary.
#![cfg(feature = "serve")]

mod common;

use std::fs;
use std::path::Path;
use std::process::Stdio;

use common::{Bench, Ran, mempack, object, run};
use mempack_keys::{Denied, KeyRing, Keys};
use serde_json::{Value, json};

/// Runs `mempack api-keys ACTION... --keys FILE`.
fn api_keys(file: &str, args: &[&str]) -> Ran {
    run(["api-keys"].iter().chain(args).chain(&["--keys", file]))
}

/// The secret that a command printed, and nothing else.
fn secret(ran: Ran) -> String {
    let out = ran.ok();
    let secret = out.strip_suffix('\n').expect("a line");
    assert!(secret.starts_with("mpk-") && secret.len() == 60 && !secret.contains(char::is_whitespace), "{out}");
    secret.to_owned()
}

fn list(file: &str) -> Vec<Value> {
    object(&api_keys(file, &["list", "--json"]).ok())["keys"].as_array().expect("keys").clone()
}

#[test]
fn a_key_is_added_listed_rotated_and_revoked() {
    let bench = Bench::new();
    let file = bench.path("keys.toml");
    let added = api_keys(
        &file,
        &["add", "research", "--packs", "medical,legal", "--quota", "60/min", "--where", "court.name == \"BY\"", "--expires", "2999-01-31"],
    );
    assert!(added.err.contains("research") && added.err.contains("shown once") && added.err.contains("keys.toml"), "{}", added.err);
    let first = secret(added);
    let operator = secret(api_keys(&file, &["add", "operator", "--admin"]));
    assert_ne!(first, operator);
    let ring = KeyRing::open(Path::new(&file)).expect("a file of keys");
    let access = ring.authenticate(&first).expect("the key");
    assert!(access.may_read("legal") && access.may_read("medical") && !access.may_read("other") && !access.admin);
    assert_eq!(access.quota().map(|quota| quota.to_string()).as_deref(), Some("60/min"));
    assert!(ring.authenticate(&operator).is_ok_and(|access| access.admin && access.may_read("other")));

    let rows = list(&file);
    let created = rows[0]["created"].as_str().expect("a date");
    assert_eq!(
        rows[0],
        json!({"name": "research", "state": "active", "packs": ["legal", "medical"], "quota": "60/min", "where": "court.name == \"BY\"", "admin": false,
               "created": created, "expires": "2999-01-31T00:00:00Z", "revoked": null})
    );
    assert_eq!((&rows[1]["packs"], &rows[1]["admin"], &rows[1]["quota"]), (&json!("all"), &json!(true), &Value::Null));

    let second = secret(api_keys(&file, &["rotate", "research"]));
    let third = object(&api_keys(&file, &["rotate", "research", "--json", "--expires", "2998-01-31T12:00:00+02:00"]).ok());
    assert_eq!((&third["name"], &third["expires"]), (&json!("research"), &json!("2998-01-31T10:00:00Z")));
    let third = third["secret"].as_str().expect("a secret");
    assert!(api_keys(&file, &["revoke", "operator"]).ok().contains("operator: revoked at 20"));
    api_keys(&file, &["revoke", "operator"]).ok();
    let ring = KeyRing::open(Path::new(&file)).expect("a file of keys");
    let found = |secret: &str| ring.authenticate(secret).map(|access| access.name.clone());
    assert_eq!([found(&first), found(&second)], [Err(Denied::Unknown), Err(Denied::Unknown)]);
    assert_eq!([found(third), found(&operator)], [Ok("research".to_owned()), Err(Denied::Revoked { name: "operator".into() })]);

    let table = api_keys(&file, &["list"]).ok();
    for words in
        ["research", "active until 2998-01-31T10:00:00Z", "legal, medical", "court.name == \"BY\"", "operator", "revoked at", "60/min"]
    {
        assert!(table.contains(words), "no {words:?} in: {table}");
    }
    let everything = table + &fs::read_to_string(&file).expect("readable") + &api_keys(&file, &["list", "--json"]).ok();
    for secret in [&first, &operator, &second, third] {
        assert!(!everything.contains(&secret[4..40]));
    }
    assert!(!everything.contains("secret"));
    assert_eq!(bench.names(), ["keys.toml", "keys.toml.lock"]);
}

#[test]
fn what_cannot_be_is_refused() {
    let bench = Bench::new();
    let file = bench.path("keys.toml");
    api_keys(&file, &["list"]).fails(1, &["keys.toml", "hint: mempack api-keys add"]);
    api_keys(&file, &["revoke", "research"]).fails(1, &["keys.toml"]);
    for (args, words) in [
        (&["add", "re search"][..], &["re search", "letters and digits"][..]),
        (&["add", "research", "--quota", "60"], &["60/min"]),
        (&["add", "research", "--quota", "0/s"], &["between 1 and"]),
        (&["add", "research", "--where", "a = 1"], &["character 3", "=="]),
        (&["add", "research", "--packs", "legal,"], &["no name of a pack"]),
        (&["add", "research", "--packs", "all"], &["leave --packs out"]),
        (&["add", "research", "--expires", "tomorrow"], &["tomorrow", "2027-01-31"]),
        (&["add", "research", "--expires", "2001-01-31"], &["2001-01-31T00:00:00Z", "now"]),
        (&["add"], &["<NAME>"]),
        (&["remove", "research"], &["remove"]),
    ] {
        api_keys(&file, args).fails(2, words);
    }
    run(["api-keys", "add", "research"]).fails(2, &["--keys"]);
    assert_eq!(bench.names().iter().filter(|name| *name != "keys.toml.lock").count(), 0);

    secret(api_keys(&file, &["add", "research"]));
    let before = fs::read(&file).expect("readable");
    api_keys(&file, &["add", "research"]).fails(1, &["research", "already", "hint: use mempack api-keys rotate"]);
    api_keys(&file, &["revoke", "other"]).fails(1, &["\"other\"", "the keys are research"]);
    api_keys(&file, &["rotate", "other"]).fails(1, &["\"other\""]);
    assert_eq!(fs::read(&file).expect("readable"), before);
    api_keys(&file, &["revoke", "research"]).ok();
    api_keys(&file, &["rotate", "research"]).fails(1, &["research is revoked"]);
    api_keys(&file, &["add", "research"]).fails(1, &["which is revoked", "hint: choose another name"]);

    let damaged = bench.file("damaged.toml", "version = 1\n\n[[key]]\nname = \"a\"\nquotas = 3\n");
    for args in [&["list"][..], &["add", "research"], &["revoke", "a"], &["rotate", "a"]] {
        api_keys(&damaged, args).fails(1, &["damaged.toml", "line 5", "key.quotas"]);
    }
    api_keys(&bench.path("nowhere/keys.toml"), &["add", "research"]).fails(1, &["nowhere"]);
}

#[test]
fn what_the_file_holds_cannot_command_a_terminal() {
    let bench = Bench::new();
    let file = bench.path("keys.toml");
    secret(api_keys(&file, &["add", "research", "--packs", "legal"]));
    let text = fs::read_to_string(&file).expect("readable");
    fs::write(&file, text.replace("[\"legal\"]", "[\"le\\u202Egal\"]\nwhere = 'a == \"\u{9b}2J\"'")).expect("writable");
    let table = api_keys(&file, &["list"]).ok();
    assert!(table.contains("le\\u{202e}gal") && table.lines().count() == 2, "{table}");
}

#[cfg(unix)]
#[test]
fn a_file_that_others_may_read_is_warned_about() {
    use std::os::unix::fs::PermissionsExt as _;
    let bench = Bench::new();
    let file = bench.path("keys.toml");
    secret(api_keys(&file, &["add", "research"]));
    assert!(!api_keys(&file, &["list"]).err.contains("warning"));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("permissions");
    let listed = api_keys(&file, &["list"]);
    assert!(listed.err.contains("warning") && listed.err.contains("644") && listed.err.contains("chmod 600"), "{}", listed.err);
    let rotated = api_keys(&file, &["rotate", "research"]);
    assert!(rotated.err.contains("warning") && rotated.err.contains("until now"), "{}", rotated.err);
    assert_eq!(fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);
}

/// Processes that add keys at the same time lose none.
#[test]
fn commands_that_run_together_lose_no_key() {
    let bench = Bench::new();
    let file = bench.path("keys.toml");
    let start = |at| {
        let name = format!("key-{at}");
        let mut command = mempack(["api-keys", "add", &name, "--keys", &file]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("mempack starts")
    };
    let children: Vec<_> = (0..8).map(start).collect();
    let secrets: Vec<String> = children.into_iter().map(|child| secret(Ran::of(child.wait_with_output().expect("mempack ends")))).collect();
    assert_eq!(Keys::read(Path::new(&file)).expect("a file of keys").list().len(), 8);
    let ring = KeyRing::open(Path::new(&file)).expect("a file of keys");
    assert!(
        secrets.iter().enumerate().all(|(at, secret)| ring.authenticate(secret).is_ok_and(|access| access.name == format!("key-{at}")))
    );
}
