//! Packs that mean harm: each wrong in one way, with every digest above the wrong place made right, so that the rule under test refuses
//! it and not a digest; each refused with its own error, at the strength of checking that SPEC 15 says, by the library and by the
//! program. `cargo test --test hostile -- --nocapture` prints them all.

mod allocations;
mod check;
mod coarse;
mod codec;
mod corpus;
mod fields;
mod flips;
mod graph;
mod header;
mod manifest;
mod metadata;
mod places;
mod smoke;
mod tables;
mod terms;
mod text;
mod trailer;
mod vectors;

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use mempack_format::VERIFY_MEMORY_BYTES;

use check::Said;
use corpus::{Case, Corpus, When};

/// Longest time that all of opening, reading and verifying a hostile pack may take; it takes milliseconds on an idle machine.
const MOST_TIME: Duration = Duration::from_secs(10);

fn corpus() -> Corpus {
    let mut corpus = Corpus::new();
    let all = [
        header::add,
        trailer::add,
        manifest::add,
        tables::add,
        text::add,
        codec::add,
        vectors::add,
        coarse::add,
        graph::add,
        terms::add,
        metadata::add,
        places::add,
    ];
    all.into_iter().for_each(|add| add(&mut corpus));
    corpus
}

/// What is wrong with how a case is refused.
fn problem(case: &Case, touched: &[Said], opened: Result<&[Said], &Said>) -> Option<String> {
    let wrong = |what: &str, said: &[Said]| Some(format!("{what}, expected {:?} (verification: {:?}): {said:?}", case.first, case.verify));
    match (case.refused, opened) {
        (When::Open, Ok(_)) => wrong("it was opened", &[]),
        (When::Open, Err(said)) if said.is(case.first) && touched == std::slice::from_ref(said) => None,
        (_, Err(said)) => wrong("it was not opened", std::slice::from_ref(said)),
        (When::Touch, _) if !touched.first().is_some_and(|said| said.is(case.first)) => wrong("reading does not refuse it", touched),
        (When::Verify, _) if !touched.is_empty() => wrong("reading refuses it already", touched),
        (_, Ok(verified)) if !verified.first().is_some_and(|said| said.is(case.verify)) => {
            wrong("verification does not refuse it", verified)
        }
        _ => None,
    }
}

#[test]
fn every_hostile_pack_is_refused_with_its_own_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("hostile.mpk");
    let corpus = corpus();
    for whole in [corpus.whole.assemble()].iter().chain([mempack_hostile::script::GOLDEN.to_vec()].iter()) {
        assert_eq!(check::touch(&path, whole), [], "the pack that is changed is whole");
        assert_eq!(check::verify(&check::open(whole).expect("a whole pack")), [], "the pack that is changed is whole");
    }
    let (mut problems, mut texts) = (Vec::new(), HashMap::new());
    for case in &corpus.cases {
        let start = Instant::now();
        let (opened, memory) = allocations::peak(|| check::open(&case.file).map(|pack| check::verify(&pack)));
        let (touched, more) = allocations::peak(|| check::touch(&path, &case.file));
        let took = start.elapsed();
        // Codec parameters and single texts are held, and they are parts of the file.
        let most = VERIFY_MEMORY_BYTES + 2 * case.file.len();
        if memory.max(more) > most {
            problems.push(format!("{}: it took {memory} and {more} bytes, expected at most {most}", case.name));
        }
        let refused = match &opened {
            Ok(verified) => verified.first(),
            Err(said) => Some(said),
        };
        let text = refused.map_or("", |said| &said.text);
        println!("{:?}\t{}\t{}\t{text}", case.refused, case.name, case.verify.0);
        problems.extend(problem(case, &touched, opened.as_deref()).map(|problem| format!("{}: {problem}", case.name)));
        if took > MOST_TIME {
            problems.push(format!("{}: it took {took:?}", case.name));
        }
        if let Some(other) = texts.insert(text.to_owned(), case.name) {
            problems.push(format!("{}: refused with the same words as {other}: {text}", case.name));
        }
    }
    let names: std::collections::HashSet<_> = corpus.cases.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), corpus.cases.len(), "a name is there twice");
    assert!(problems.is_empty(), "{} of {}:\n{}", problems.len(), corpus.cases.len(), problems.join("\n"));
    let count = |when| corpus.cases.iter().filter(|case| case.refused == when).count();
    let (open, touch, verify) = (count(When::Open), count(When::Touch), count(When::Verify));
    println!("{} hostile packs, all refused: {open} at open, {touch} at first touch, {verify} in verification", corpus.cases.len());
}

/// Exit code and words of `mempack verify`.
fn verify(path: &Path) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_mempack")).arg("verify").arg(path).output().expect("mempack starts");
    let words = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&words).into_owned())
}

#[test]
fn wrong_signatures_are_no_signatures() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("signed.mpk");
    for (name, file) in trailer::wrong_signatures() {
        let pack = check::open(&file).expect("the pack itself is whole");
        let [signature] = pack.signatures() else { panic!("{name}: {:?}", pack.signatures()) };
        assert!(signature.check(pack.id()).is_err(), "{name}");
        std::fs::write(&path, &file).expect("the temporary folder is writable");
        let (code, said) = verify(&path);
        assert!(code == Some(3) && said.contains("signature") && !said.contains("panicked"), "{name}: {code:?}: {said}");
    }
}

#[test]
fn the_program_refuses_every_hostile_pack() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let corpus = corpus();
    let whole = folder.path().join("whole.mpk");
    std::fs::write(&whole, corpus.whole.assemble()).expect("the temporary folder is writable");
    assert_eq!(verify(&whole).0, Some(0));
    let mut problems = Vec::new();
    // All with `make thorough`. The library refuses all of them in any case.
    let stride = if std::env::var_os("MEMPACK_THOROUGH").is_some() { 1 } else { 5 };
    for (number, case) in corpus.cases.iter().enumerate().step_by(stride) {
        let path = folder.path().join(format!("{number}.mpk"));
        std::fs::write(&path, &case.file).expect("the temporary folder is writable");
        let (code, said) = verify(&path);
        // A pack for another program is no damaged pack.
        let expected = if matches!(case.first.0, "MajorVersion" | "UnknownFeatures" | "UnknownSection") { 1 } else { 3 };
        let named = said.contains(case.verify.1) && said.contains(&format!("{number}.mpk"));
        if code != Some(expected) || !named || said.contains("panicked") {
            problems.push(format!("{}: exit code {code:?}, expected {expected}, with {:?}: {said}", case.name, case.verify));
        }
        std::fs::remove_file(&path).expect("the temporary folder is writable");
    }
    assert!(problems.is_empty(), "{} of {}:\n{}", problems.len(), corpus.cases.len(), problems.join("\n"));
}
