//! Searches of packs with filters, against the filtered ranking of everything.
#![cfg(feature = "filters")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use mempack_format::{CodecSpec, Digest, Document, FieldColumn, FieldKind, Origin, PackWriter};
use mempack_runtime::{
    Expression, Hit, MappedPack, Method, MountError, Mounts, OnDamage, PackReference, PackSet, Ranking, SelectError, Skipped, cite,
};
use proptest::prelude::*;

mod common;
use common::{Random, SHAPE, embedder_identity, model_identity, record};

const DIM: usize = 8;
const REFERENCES: u32 = 60;

/// Document d of a pack: its fields by name.
type Fields = BTreeMap<&'static str, Vec<String>>;

fn fields(document: u32) -> Fields {
    let one = |value: &str| vec![value.to_owned()];
    let mut fields = Fields::from([("number", one(&document.to_string()))]);
    if document % 5 != 4 {
        fields.insert("land", one(["BY", "HE", "NW"][document as usize % 3]));
    }
    if document % 4 == 1 {
        fields.insert("tags", vec!["tax".into(), format!("t{}", document % 3)]);
    }
    fields
}

/// The documents of a reference: two that follow each other, of twelve.
fn origins(reference: u32) -> [u32; 2] {
    [reference % 12, (reference + 1) % 12]
}

fn column(name: &str, kind: FieldKind, list: bool, documents: u32) -> FieldColumn {
    let of = |document| fields(document).remove(name).unwrap_or_default();
    let values: Vec<String> = (0..documents).flat_map(of).collect::<BTreeSet<_>>().into_iter().collect();
    let (mut ends, mut codes) = (Vec::new(), Vec::new());
    for document in 0..documents {
        codes.extend(of(document).iter().map(|value| values.binary_search(value).unwrap() as u32));
        ends.push(codes.len() as u32);
    }
    FieldColumn { name: name.to_owned(), kind, list, values, ends, codes }
}

fn embedding(number: u32) -> Vec<f32> {
    Random(u64::from(number) + 1).unit(DIM, None, 1.0)
}

fn write(path: &Path, metadata: bool, first: u32) -> MappedPack {
    let mut writer = PackWriter::create(path, SHAPE, DIM as u32).unwrap();
    writer.set_codec(&CodecSpec::F32, &0u32.to_le_bytes()).unwrap();
    for document in 0..12 {
        let date = match document {
            11 => "soon".to_owned(),
            _ if metadata => format!("20{:02}-01-31", 10 + document),
            _ => format!("year {document}"),
        };
        writer
            .push_document(&Document { id: format!("d{document}"), title: format!("Title {document}"), date, ..Document::default() })
            .unwrap();
    }
    for reference in 0..REFERENCES {
        let places = origins(reference).map(|document| Origin { document, start: u64::from(reference), end: u64::from(reference) + 1 });
        let mut places = places.to_vec();
        places.sort_by_key(|place| place.document);
        let number = first + reference;
        writer.push_reference(&Digest::of(&number.to_le_bytes()), 9, &format!("text {number}"), &places).unwrap();
        writer.push_memory(&record(SHAPE, number)).unwrap();
        writer.push_embedding(&embedding(number)).unwrap();
    }
    if metadata {
        let columns = [
            column("land", FieldKind::Text, false, 12),
            column("number", FieldKind::Integer, false, 12),
            column("tags", FieldKind::Text, true, 12),
        ];
        writer.set_metadata(&columns).unwrap();
    }
    writer.finish(model_identity(SHAPE), "f32", embedder_identity(DIM), "test").unwrap();
    MappedPack::open(path).unwrap()
}

struct Packs {
    _folder: tempfile::TempDir,
    mounts: Mounts,
}

/// A pack with metadata, and with `second` one without.
fn packs(second: bool) -> Packs {
    let folder = tempfile::tempdir().unwrap();
    let mounts = Mounts::of(write(&folder.path().join("laws.mpk"), true, 0));
    if second {
        mounts.mount("plain", write(&folder.path().join("plain.mpk"), false, 1000)).unwrap();
    }
    Packs { _folder: folder, mounts }
}

fn filter(text: &str) -> Expression {
    Expression::parse(text).unwrap()
}

fn numbers(hits: &[Hit<PackReference>]) -> Vec<(String, u32)> {
    hits.iter().map(|hit| (hit.reference.pack.name().to_owned(), hit.reference.number)).collect()
}

fn search(packs: &PackSet, query: &[f32], k: usize) -> Vec<Hit<PackReference>> {
    packs.nearest(query, k, Method::default(), OnDamage::Fail).unwrap()
}

/// The filtered ranking of everything.
fn expected(all: &PackSet, query: &[f32], k: usize, passes: impl Fn(&str, u32) -> bool) -> Vec<(String, u32)> {
    let ranking = search(all, query, usize::MAX);
    let admitted =
        |hit: &&Hit<PackReference>| origins(hit.reference.number).iter().any(|document| passes(hit.reference.pack.name(), *document));
    let hits: Vec<Hit<PackReference>> = ranking.iter().filter(admitted).take(k).cloned().collect();
    numbers(&hits)
}

#[test]
fn only_what_passes_is_found_and_cited() {
    let Packs { mounts, _folder } = packs(true);
    let all = mounts.packs();
    let query = embedding(7);
    let land = |document: u32, wanted: &str| fields(document).get("land").is_some_and(|land| land == &[wanted.to_owned()]);
    let tag = |document: u32, wanted: &str| fields(document).get("tags").is_some_and(|tags| tags.contains(&wanted.to_owned()));
    type Passes<'p> = &'p dyn Fn(&str, u32) -> bool;
    let table: [(&str, Passes<'_>); 9] = [
        ("land == \"BY\"", &|pack, document| pack == "laws" && land(document, "BY")),
        ("land == \"BY\" && date >= \"2015-01-01\"", &|pack, document| pack == "laws" && land(document, "BY") && document >= 5),
        ("number in [3, 4]", &|pack, document| pack == "laws" && (3..=4).contains(&document)),
        ("\"tax\" in tags || number == 0", &|pack, document| pack == "laws" && (tag(document, "tax") || document == 0)),
        ("title == \"Title 3\"", &|_, document| document == 3),
        ("id != \"d0\"", &|_, document| document != 0),
        ("!has(metadata.land)", &|pack, document| pack == "plain" || !fields(document).contains_key("land")),
        ("number > 100", &|_, _| false),
        ("true", &|_, _| true),
    ];
    for (text, passes) in table {
        let selected = all.selecting(&filter(text)).unwrap();
        for k in [1, 5, 200] {
            assert_eq!(numbers(&search(&selected, &query, k)), expected(&all, &query, k, passes), "{text}");
        }
        let documents: u32 = selected.packs().iter().map(|mounted| mounted.documents()).sum();
        assert_eq!(
            documents as usize,
            ["laws", "plain"].iter().flat_map(|pack| (0..12).filter(|document| passes(pack, *document))).count(),
            "{text}"
        );
        for hit in search(&selected, &query, 200) {
            let found = cite(&hit, OnDamage::Fail).unwrap().found;
            let cited: Vec<String> = [found.document].into_iter().chain(found.further.into_iter().map(|place| place.document)).collect();
            let mut wanted: Vec<u32> =
                origins(hit.reference.number).into_iter().filter(|document| passes(hit.reference.pack.name(), *document)).collect();
            wanted.sort_unstable();
            assert_eq!(cited, wanted.iter().map(|document| format!("d{document}")).collect::<Vec<_>>(), "{text}");
            assert_eq!(found.origins as usize, cited.len());
            let number = found.metadata.iter().find(|field| field.name == "number").map(|field| field.values[0].clone());
            assert_eq!(
                number,
                (hit.reference.pack.name() == "laws").then(|| wanted[0].to_string()),
                "metadata of the document that is cited"
            );
        }
    }
}

#[test]
fn the_field_date_is_a_date_where_most_are() {
    let Packs { mounts, _folder } = packs(false);
    let selected = mounts.packs().selecting(&filter("date >= \"2015-01-01\" && date < \"2016-02-01T00:00:00Z\"")).unwrap();
    assert_eq!(selected.packs()[0].documents(), 2);
    // A document whose date is none has no date.
    assert_eq!(mounts.packs().selecting(&filter("!(date < \"2018-01-01\")")).unwrap().packs()[0].documents(), 3);
    assert_eq!(mounts.packs().selecting(&filter("!has(metadata.date)")).unwrap().packs()[0].documents(), 1);
    let error = mounts.packs().selecting(&filter("date > 2015")).unwrap_err().to_string();
    assert!(error.contains("laws.mpk: character 8") && error.contains("date is a date, and 2015 is not"), "{error}");
    let error = mounts.packs().selecting(&filter("land == \"BY\" && court == \"OLG\"")).unwrap_err().to_string();
    assert!(
        error.contains("character 17") && error.contains("the fields are date, id, land, license, number, source, tags, title, version"),
        "{error}"
    );
}

#[test]
fn filters_join_and_never_widen() {
    let Packs { mounts, _folder } = packs(true);
    let query = embedding(3);
    let own = mounts.packs().selecting(&filter("land == \"BY\"")).unwrap();
    let wider = own.selecting(&filter("true")).unwrap();
    assert_eq!(search(&wider, &query, 99), search(&own, &query, 99));
    let both = own.selecting(&filter("number < 6")).unwrap();
    let joined = mounts.packs().selecting(&filter("land == \"BY\"").and(filter("number < 6"))).unwrap();
    assert_eq!(search(&both, &query, 99), search(&joined, &query, 99));
    assert!(!search(&both, &query, 99).is_empty() && search(&both, &query, 99).len() < search(&own, &query, 99).len());
}

#[test]
fn a_set_of_mounts_filters_what_is_mounted_later() {
    let Packs { mounts, _folder: folder } = packs(true);
    let mounts = mounts.selecting(filter("land == \"BY\"")).unwrap();
    assert_eq!(mounts.packs().packs()[1].documents(), 0, "no document of this pack has the field");
    mounts.mount("more", write(&folder.path().join("more.mpk"), true, 2000)).unwrap();
    let own = mounts.packs().packs()[0].documents();
    assert_eq!((mounts.packs().packs()[2].documents(), own > 0), (own, true));
    mounts.replace("plain", write(&folder.path().join("next.mpk"), true, 3000)).unwrap();
    assert!(mounts.packs().packs().iter().all(|mounted| mounted.documents() == own));
    let error = Mounts::of(write(&folder.path().join("again.mpk"), false, 0)).selecting(filter("land == \"BY\"")).unwrap_err();
    assert!(matches!(error, MountError::Filter(SelectError::Names(_))), "{error}");
}

#[test]
fn damaged_metadata_admit_nothing_even_where_damage_is_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("laws.mpk");
    let pack = write(&path, true, 0);
    let section = *pack.sections().iter().find(|section| section.tag == mempack_format::Tag::METADATA).unwrap();
    drop(pack);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[(section.offset + section.length - 1) as usize] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let mounts = Mounts::of(MappedPack::open(&path).unwrap());
    let error = mounts.packs().selecting(&filter("land == \"BY\"")).unwrap_err();
    assert!(error.is_damage() && error.to_string().contains("METADATA"), "{error}");
    // Searches that ask for no metadata go on.
    let skipped = Skipped::default();
    assert_eq!(mounts.packs().nearest(&embedding(1), 3, Method::default(), OnDamage::Skip(&skipped)).unwrap().len(), 3);
}

proptest! {
    #[test]
    fn any_filter_gives_the_filtered_ranking(
        low in 0u32..12, high in 0u32..14, land in "BY|HE|NW|SN", any: bool, not: bool, seed: u64, k in 1usize..40, hybrid: bool,
    ) {
        let Packs { mounts, _folder } = packs(false);
        let all = mounts.packs();
        let text = format!("{}((number >= {low} && number < {high}) {} land == \"{land}\")", if not { "!" } else { "" }, if any { "||" } else { "&&" });
        let passes = |_: &str, document: u32| {
            let range = (low..high).contains(&document);
            let own = fields(document).get("land").map(|own| own[0] == land);
            // Three values, as in SQL.
            let both = if any {
                if range || own == Some(true) { Some(true) } else { own }
            } else if !range || own == Some(false) { Some(false) } else { own };
            both.map(|answer| answer != not) == Some(true)
        };
        let query = Random(seed).unit(DIM, None, 1.0);
        let selected = all.selecting(&filter(&text)).unwrap();
        let ranking = if hybrid { Ranking::Hybrid } else { Ranking::Dense };
        let found = selected.ranked(&query, "text 7", k, ranking, Method::default(), OnDamage::Fail).unwrap();
        prop_assert_eq!(numbers(&found), expected(&all, &query, k, passes), "{}", text);
    }
}
