//! Sets of packs in every command that takes a pack: the real binary.
#![cfg(feature = "engine")]

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use common::{Bench, distinct_documents, documents, hits, json_lines, object, run, tiny};
use mempack_format::{DiskStorage, PackSetFile, Routing, SetManifest, SetPack};
use mempack_runtime::MappedPack;

/// Documents of each pack.
const EACH: usize = 12;

/// Three packs `bank-0000.mpk` and so on, and the set of them, with the mean of the embeddings of each as its routing table.
fn bank(bench: &Bench) -> String {
    let all: Vec<String> = distinct_documents(3 * EACH).lines().map(|line| format!("{line}\n")).collect();
    let packs: Vec<String> = all
        .chunks(EACH)
        .enumerate()
        .map(|(at, lines)| bench.pack(&format!("bank-{at:04}"), &lines.concat(), &["--codec", "F32"]))
        .collect();
    let set = bench.path("bank.mps");
    write_set(&set, &packs);
    set
}

fn write_set(set: &str, packs: &[String]) {
    let opened: Vec<MappedPack> = packs.iter().map(|pack| MappedPack::open(pack).expect("a pack")).collect();
    let first = opened[0].manifest();
    let mut routing = Routing::default();
    let mut entries = Vec::new();
    for (number, (path, pack)) in (0u32..).zip(packs.iter().zip(&opened)) {
        let mut sums = vec![0f32; first.embedder.dim as usize];
        for reference in 0..pack.manifest().counts.references {
            sums.iter_mut().zip(pack.embedding(reference).expect("whole")).for_each(|(sum, x)| *sum += x.get());
        }
        let length = sums.iter().map(|x| x * x).sum::<f32>().sqrt();
        routing.owners.push(number);
        routing.centroids.extend(sums.iter().map(|x| x / length));
        let file = Path::new(path).file_name().expect("a name").to_string_lossy().into_owned();
        entries.push(SetPack::of(&file, &**pack).expect("whole"));
    }
    let manifest = SetManifest {
        generator: "a test".into(),
        model: first.model.clone(),
        precision: first.precision.clone(),
        embedder: first.embedder.clone(),
        codec: first.codec.clone(),
        packs: entries,
    };
    PackSetFile::new(manifest, routing).expect("a set").write(Arc::new(DiskStorage), Path::new(set)).expect("writable");
}

/// Flips a byte in the middle of the memories of a pack.
fn damage(pack: &str) {
    let offset = {
        let pack = MappedPack::open(pack).expect("a pack");
        let section = *pack.sections().iter().find(|found| found.tag.to_string() == "MEMORIES").expect("the section");
        (section.offset + section.length / 2) as usize
    };
    let mut bytes = fs::read(pack).expect("readable");
    bytes[offset] ^= 0x11;
    fs::write(pack, bytes).expect("writable");
}

#[test]
fn a_set_is_searched_asked_and_shown_as_one() {
    let bench = Bench::new();
    let set = bank(&bench);
    // The text of document 30 is in the third pack, whatever the routing says.
    let text =
        distinct_documents(3 * EACH).lines().nth(30).map(|line| object(line)["text"].as_str().expect("a text").to_owned()).expect("a line");
    for more in [&["--exact"][..], &[], &["--probes", "1"]] {
        let found = hits(&set, &text, &[more, &["-k", "3"]].concat());
        assert_eq!(documents(&found)[0], "d30", "{more:?}");
        assert_eq!(found[0]["pack"], "bank-0002");
    }
    // More than a third of the packs have.
    assert_eq!(hits(&set, &text, &["-k", "30", "--search", "dense"]).len(), 30);

    let model = tiny();
    let answer = run(["ask", &set, "Who keeps the lease?", "--model", &model.to_string_lossy(), "--json"]).ok();
    assert_eq!(json_lines(&answer)[0]["packs"].as_array().map(Vec::len), Some(3));

    let shown = run(["inspect", &set]).ok();
    assert!(
        ["bank-0000.mpk", "bank-0002.mpk", "36 in 3 packs", "3 centroids", "no one"].iter().all(|word| shown.contains(word)),
        "{shown}"
    );
    let shown = object(&run(["inspect", &set, "--json"]).ok());
    assert_eq!((shown["packs"].as_array().map(Vec::len), &shown["packs"][1]["file"]), (Some(3), &"bank-0001.mpk".into()));
    run(["inspect", &set, "--model", &model.to_string_lossy()]).ok();
    // Commands that take one pack say what the file is.
    run(["report", &set, "-o", &bench.path("report.html")]).fails(3, &["not a memory pack", "set of packs"]);
}

#[test]
fn a_set_is_verified_with_all_its_packs_and_repaired() {
    let bench = Bench::new();
    let set = bank(&bench);
    let whole = run(["verify", &set]).ok();
    assert!(whole.contains("bank.mps: whole: 3 packs, 36 references"), "{whole}");
    assert_eq!(json_lines(&run(["verify", &set, "--json", "--sample", "10%"]).ok()).len(), 4);

    // A copy of the bank to repair from.
    let copies = Bench::new();
    for name in ["bank-0000.mpk", "bank-0001.mpk", "bank-0002.mpk", "bank.mps"] {
        fs::copy(bench.path(name), copies.path(name)).expect("a copy");
    }
    let copy = copies.path("bank.mps");
    damage(&bench.path("bank-0001.mpk"));
    fs::remove_file(bench.path("bank-0002.mpk")).expect("there");
    let failed = run(["verify", &set, "--json"]);
    failed.fails(3, &["bank-0001.mpk", "bank-0002.mpk"]);
    assert_eq!(json_lines(&failed.out).last().expect("the set's line")["whole"], false);
    run(["search", &set, "lease"]).fails(1, &["bank.mps", "bank-0002.mpk"]);

    run(["repair", &set, "--from", &copies.path("bank-0000.mpk")]).fails(3, &["bank-0001.mpk", "bank-0002.mpk is missing"]);
    run(["repair", &set, "--from", &copy]).ok();
    run(["verify", &set]).ok();
    run(["repair", &set, "--from", &copy, "-o", &bench.path("new.mps")]).fails(2, &["in their places"]);

    // Another pack in the place of one.
    fs::copy(bench.path("bank-0000.mpk"), bench.path("bank-0001.mpk")).expect("a copy");
    run(["verify", &set]).fails(3, &["bank-0001.mpk", "was replaced since the set was written"]);
    run(["search", &set, "lease"]).fails(3, &["bank-0001.mpk", "was replaced"]);
    run(["repair", &set, "--from", &copy]).fails(3, &["bank-0001.mpk", "move it away"]);

    // The file of the set itself.
    let mut bytes = fs::read(&set).expect("readable");
    *bytes.last_mut().expect("not empty") ^= 1;
    fs::write(&set, bytes).expect("writable");
    for command in ["verify", "inspect"] {
        run([command, &set]).fails(3, &["bank.mps", "damaged"]);
    }
}

#[test]
fn the_signature_of_a_set_is_enough_for_its_packs() {
    let bench = Bench::new();
    let set = bank(&bench);
    let keys = ["one", "two"].map(|name| {
        run(["keygen", "-o", &bench.path(name)]).ok();
        (bench.path(name), bench.path(&format!("{name}.pub")))
    });
    run(["verify", &set, "--trusted", &keys[0].1]).fails(4, &["bank.mps", "not signed"]);
    run(["search", &set, "lease", "--trusted", &keys[0].1]).fails(4, &["bank.mps"]);
    assert!(run(["sign", &set, "--key", &keys[0].0]).ok().contains("its only signature"));
    assert!(run(["verify", &set, "--trusted", &keys[0].1]).ok().contains("signed by"));
    run(["search", &set, "lease", "--trusted", &keys[0].1]).ok();
    run(["search", &set, "lease", "--trusted", &keys[1].1]).fails(4, &["bank.mps", "none of them trusted"]);
    let other = bench.path("signed.mps");
    assert!(run(["sign", &set, "--key", &keys[1].0, "-o", &other]).ok().contains("one of 2 signatures"));
    assert_eq!(object(&run(["inspect", &other, "--json"]).ok())["signatures"].as_array().map(Vec::len), Some(2));
}

#[test]
fn documents_are_revoked_from_the_packs_that_hold_them() {
    let bench = Bench::new();
    let set = bank(&bench);
    run(["revoke", &set, "--document", "d13", "d99", "-o", &set]).fails(1, &["\"d99\"", "nothing was written"]);
    let told = run(["revoke", &set, "--document", "d13", "d99", "--ignore-missing", "--dry-run"]).ok();
    assert!(told.contains("d13") && told.contains("nothing was written"), "{told}");

    // Into another folder: unchanged packs are copied, and the old set stays.
    let away = Bench::new();
    let new = away.path("bank.mps");
    run(["revoke", &set, "--document", "d13", "-o", &new]).ok();
    assert_eq!(away.names(), ["bank-0000.mpk", "bank-0001-r1.mpk", "bank-0002.mpk", "bank.mps"]);
    run(["verify", &new]).ok();
    assert!(documents(&hits(&set, "lease", &["-k", "36"])).contains(&"d13"));
    let left = hits(&new, "lease", &["-k", "36"]);
    assert_eq!(left.len(), 35);
    assert!(!documents(&left).contains(&"d13"));
    let changes = run(["diff", &set, &new]).ok();
    assert!(changes.contains("packs        1 added, 1 removed, 0 changed, 2 kept"), "{changes}");
    run(["diff", &set, &bench.path("bank-0000.mpk")]).fails(2, &["a set is compared with a set"]);

    // In its place: the file of the old pack goes, and again.
    run(["revoke", &set, "--document", "d13", "-o", &set]).ok();
    run(["revoke", &set, "--document", "d14", "d1", "-o", &set]).ok();
    let packs: Vec<String> = bench.names().into_iter().filter(|name| name.ends_with(".mpk")).collect();
    assert_eq!(packs, ["bank-0000-r1.mpk", "bank-0001-r2.mpk", "bank-0002.mpk"]);
    run(["verify", &set]).ok();
    assert_eq!(hits(&set, "lease", &["-k", "36"]).len(), 33);
}
