//! Keys, signatures and trust through the real binary; without libtorch, over the golden pack.

mod common;

use std::fs;
use std::process::Command;

use common::{Bench, root, run};
use serde_json::Value;

fn golden() -> Vec<u8> {
    fs::read(root().join("format-spec/tests/golden/v1.0.mpk")).expect("the golden pack is there")
}

/// A new key in the folder; the key id.
fn keygen(bench: &Bench, name: &str) -> String {
    let out = run(["keygen", "-o", &bench.path(name)]).ok();
    let id = out.split("public key ").nth(1).and_then(|rest| rest.get(..16)).expect("a key id").to_owned();
    assert!(id.chars().all(|digit| digit.is_ascii_hexdigit()), "{out}");
    id
}

fn inspect(pack: &str) -> Value {
    serde_json::from_str(&run(["inspect", pack, "--json"]).ok()).expect("JSON")
}

#[test]
fn a_pack_is_signed_verified_and_shown() {
    let bench = Bench::new();
    let pack = bench.file("a.mpk", golden());
    let before = inspect(&pack);
    assert_eq!(before["signatures"], serde_json::json!([]));
    let ids = ["one", "two"].map(|name| keygen(&bench, name));
    let trusted = |names: &[&str]| {
        let mut args = vec!["verify".to_owned(), pack.clone(), "--trusted".into()];
        args.extend(names.iter().map(|name| bench.path(&format!("{name}.pub"))));
        run(args)
    };
    trusted(&["one"]).fails(4, &["a.mpk", "not signed"]);

    let out = run(["sign", &pack, "--key", &bench.path("one")]).ok();
    assert!(out.contains(&ids[0]) && out.contains("only signature"), "{out}");
    assert!(trusted(&["one"]).ok().contains(&format!("signed by {}", ids[0])));
    trusted(&["two"]).fails(4, &["a.mpk", &ids[0], "none of them trusted"]);
    assert!(trusted(&["two", "one"]).ok().contains(&ids[0]));
    run(["verify", &pack]).ok();

    // A copy with a second signature; the first pack stays as it is.
    let copy = bench.path("b.mpk");
    assert!(run(["sign", &pack, "--key", &bench.path("two"), "-o", &copy]).ok().contains("one of 2 signatures"));
    assert!(run(["sign", &copy, "--key", &bench.path("two")]).ok().contains("signed again"));
    let (one, two) = (inspect(&pack), inspect(&copy));
    assert_eq!([&one["id"], &two["id"]], [&before["id"]; 2]);
    assert_eq!([&one["bytes"], &two["bytes"]], [&before["bytes"]; 2]);
    assert_eq!(one["signatures"], serde_json::json!([{"key": ids[0], "right": true}]));
    assert_eq!(two["signatures"].as_array().map(Vec::len), Some(2));
    let table = run(["inspect", &copy]).ok();
    assert!(ids.iter().all(|id| table.contains(id.as_str())), "{table}");
    assert_eq!(bench.names(), ["a.mpk", "b.mpk", "one", "one.pub", "two", "two.pub"]);
}

#[test]
fn a_wrong_signature_is_damage() {
    let bench = Bench::new();
    let pack = bench.file("a.mpk", golden());
    let id = keygen(&bench, "key");
    run(["sign", &pack, "--key", &bench.path("key")]).ok();
    let mut bytes = fs::read(&pack).expect("readable");
    let last = bytes.len() - 1;
    bytes[last - 20] ^= 4;
    let spoilt = bench.file("spoilt.mpk", &bytes);
    run(["verify", &spoilt, "--trusted", &bench.path("key.pub")]).fails(3, &["spoilt.mpk", &id, "wrong"]);
    assert!(run(["inspect", &spoilt]).ok().contains(&format!("{id} (wrong)")));
    bytes.pop();
    run(["verify", &bench.file("short.mpk", &bytes)]).fails(3, &["short.mpk", "signatures", "cut short"]);
    run(["sign", &bench.path("short.mpk"), "--key", &bench.path("key")]).fails(3, &["short.mpk", "cut short"]);
}

#[test]
fn keys_are_not_overwritten_and_not_mistaken() {
    let bench = Bench::new();
    let pack = bench.file("a.mpk", golden());
    keygen(&bench, "key");
    let before = fs::read(bench.path("key")).expect("readable");
    run(["keygen", "-o", &bench.path("key")]).fails(1, &["key", "there already"]);
    assert_eq!(fs::read(bench.path("key")).expect("readable"), before);
    run(["sign", &pack, "--key", &bench.path("key.pub")]).fails(1, &["key.pub", "no unencrypted ed25519 private key"]);
    run(["sign", &pack, "--key", &pack]).fails(1, &["a.mpk"]);
    run(["verify", &pack, "--trusted", &bench.path("key")]).fails(1, &["no ed25519 public key"]);
    run(["verify", &pack, "--trusted", &bench.path("absent")]).fails(1, &["absent"]);
    run(["verify", "--trusted", &bench.path("key.pub"), &pack]).fails(4, &["a.mpk", "not signed"]);
    assert_eq!(fs::read(&pack).expect("readable"), golden());
    assert_eq!(bench.names(), ["a.mpk", "key", "key.pub"]);
}

/// OpenSSL makes a key that signs, and checks a signature of ours. The vectors of RFC 8032 and of SPEC 17, which need no OpenSSL, are
/// tested in `format-spec/src/signature/tests.rs`.
#[test]
#[ignore = "needs the program openssl, 1.1.1 or later"]
fn openssl_makes_keys_and_checks_signatures() {
    let bench = Bench::new();
    let pack = bench.file("a.mpk", golden());
    let openssl = |args: &[&str]| assert!(Command::new("openssl").args(args).status().expect("openssl starts").success());
    let (key, public) = (bench.path("theirs"), bench.path("theirs.pub"));
    openssl(&["genpkey", "-algorithm", "ed25519", "-out", &key]);
    openssl(&["pkey", "-in", &key, "-pubout", "-out", &public]);
    keygen(&bench, "ours");
    // Ours can be read by OpenSSL, and has the same public key there.
    openssl(&["pkey", "-in", &bench.path("ours"), "-pubout", "-out", &bench.path("again.pub")]);
    assert_eq!(fs::read(bench.path("again.pub")).expect("readable"), fs::read(bench.path("ours.pub")).expect("readable"));
    for name in ["theirs", "ours"] {
        run(["sign", &pack, "--key", &bench.path(name)]).ok();
    }
    let check = |pack: &str, public: &str| {
        let script = root().join("scripts/check_signature.sh");
        Command::new(script).args([pack, public]).status().expect("sh starts").success()
    };
    assert!(check(&pack, &public) && check(&pack, &bench.path("ours.pub")));
    run(["verify", &pack, "--trusted", &public]).ok();
    let mut bytes = fs::read(&pack).expect("readable");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    bytes[last - 96] ^= 1;
    let spoilt = bench.file("spoilt.mpk", &bytes);
    assert!(!check(&spoilt, &public) && !check(&spoilt, &bench.path("ours.pub")));
}
