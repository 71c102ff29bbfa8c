//! Sets of packs: opened, searched by their routing tables, mounted beside others, and refused when a pack is not the one they name.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mempack_format::{DiskStorage, PackSetFile, PrivateKey, Routing, SetManifest, SetMismatch, SetPack, sign_set_file};
use mempack_runtime::{Hit, MappedPack, MappedSet, Method, MountError, Mounts, OnDamage, OpenSetError, PackReference, PackSet};
use tempfile::TempDir;

mod common;
use common::{Random, SHAPE, World, embedder_identity, model_identity, write_numbered};

const DIM: usize = 16;
const PACKS: usize = 6;
const EACH: u32 = 200;

/// Packs of points around one centre each, and a set of them with the means of the points as its routing table.
struct Bank {
    folder: TempDir,
    worlds: Vec<World>,
}

impl Bank {
    fn new() -> Self {
        let bank = Self { folder: tempfile::tempdir().unwrap(), worlds: (0..PACKS).map(world).collect() };
        for (at, world) in bank.worlds.iter().enumerate() {
            write_numbered(&bank.path(&name(at)), world, SHAPE, None, at as u32 * EACH);
        }
        bank.set("bank.mps", &bank.routing());
        bank
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn routing(&self) -> Routing {
        let mean = |world: &World| {
            let sums: Vec<f32> = (0..DIM).map(|at| world.rows.iter().skip(at).step_by(DIM).sum::<f32>()).collect();
            let length = sums.iter().map(|x| x * x).sum::<f32>().sqrt();
            sums.into_iter().map(|x| x / length).collect::<Vec<f32>>()
        };
        Routing { owners: (0..PACKS as u32).collect(), centroids: self.worlds.iter().flat_map(mean).collect() }
    }

    fn set(&self, file: &str, routing: &Routing) {
        let entry = |at: usize| SetPack::of(&name(at), &*MappedPack::open(self.path(&name(at))).unwrap()).unwrap();
        let manifest = SetManifest {
            generator: "a test".into(),
            model: model_identity(SHAPE),
            precision: "f32".into(),
            embedder: embedder_identity(DIM),
            codec: "F32".into(),
            packs: (0..PACKS).map(entry).collect(),
        };
        PackSetFile::new(manifest, routing.clone()).unwrap().write(Arc::new(DiskStorage), &self.path(file)).unwrap();
    }

    fn open(&self) -> MappedSet {
        MappedSet::open(self.path("bank.mps")).unwrap()
    }

    /// Near a point of a pack.
    fn query(&self, seed: u64) -> (usize, Vec<f32>) {
        let pack = seed as usize % PACKS;
        let centre = self.worlds[pack].row(seed as u32 % EACH);
        (pack, Random(seed * 7 + 3).unit(DIM, Some(centre), 0.1))
    }
}

fn name(at: usize) -> String {
    format!("bank-{at:04}.mpk")
}

fn world(at: usize) -> World {
    let mut centre = vec![0.0; DIM];
    centre[at] = 1.0;
    let mut random = Random(at as u64 + 1);
    let rows = (0..EACH).flat_map(|_| random.unit(DIM, Some(&centre), 0.15)).collect();
    World { dim: DIM, rows, links: vec![vec![Vec::new()]; EACH as usize], entry: 0 }
}

fn nearest(packs: &PackSet, query: &[f32], k: usize, method: Method) -> Vec<(String, u32)> {
    let hits = packs.nearest(query, k, method, OnDamage::Fail).unwrap();
    hits.iter().map(|hit: &Hit<PackReference>| (hit.reference.pack.name().to_owned(), hit.reference.number)).collect()
}

/// Flips a byte of the first memory and of every embedding, so that a search that looks at this pack fails.
fn spoil(path: &Path) {
    let (offset, length) = {
        let pack = MappedPack::open(path).unwrap();
        let section = pack.sections().iter().find(|section| section.tag.to_string() == "EMBED").unwrap();
        (section.offset as usize, section.length as usize)
    };
    let mut bytes = std::fs::read(path).unwrap();
    bytes[offset..offset + length].iter_mut().for_each(|byte| *byte ^= 1);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_search_finds_what_the_whole_bank_has_in_the_packs_nearest_to_it() {
    let bank = Bank::new();
    let mounts = Mounts::of_set(&bank.open());
    let packs = mounts.packs();
    assert_eq!(
        packs.packs().iter().map(|mounted| mounted.name().to_owned()).collect::<Vec<_>>(),
        (0..PACKS).map(|at| format!("bank-{at:04}")).collect::<Vec<_>>()
    );
    let (mut found, mut wanted) = (0, 0);
    for seed in 0..120 {
        let (_, query) = bank.query(seed);
        let exact = nearest(&packs, &query, 5, Method::Exact);
        let routed = nearest(&packs, &query, 5, Method::default());
        wanted += exact.len();
        found += exact.iter().filter(|hit| routed.contains(hit)).count();
    }
    assert!(found as f64 >= 0.99 * wanted as f64, "{found} of {wanted}");
}

#[test]
fn packs_that_do_not_matter_are_not_read() {
    let bank = Bank::new();
    let (pack, query) = bank.query(8);
    let wanted = nearest(&Mounts::of_set(&bank.open()).packs(), &query, 5, Method::Exact);
    for at in (0..PACKS).filter(|at| *at != pack) {
        spoil(&bank.path(&name(at)));
    }
    let set = bank.open();
    let one = Mounts::of_set(&set.clone().probing(1)).packs();
    assert_eq!(nearest(&one, &query, 5, Method::default()), wanted);
    // Two packs of six are a third; one of them is spoilt.
    for (set, method) in [(set.clone(), Method::default()), (set.clone().probing(1), Method::Exact)] {
        assert!(Mounts::of_set(&set).packs().nearest(&query, 5, method, OnDamage::Fail).unwrap_err().is_damage());
    }
    // More than the nearest pack has: the others are looked at.
    assert!(one.nearest(&query, EACH as usize + 1, Method::default(), OnDamage::Fail).unwrap_err().is_damage());
}

#[test]
fn fewer_hits_than_asked_for_open_the_other_packs() {
    let bank = Bank::new();
    let packs = Mounts::of_set(&bank.open().probing(1)).packs();
    let (_, query) = bank.query(3);
    let all = PACKS * EACH as usize;
    for k in [EACH as usize, EACH as usize + 1, all, all + 1] {
        assert_eq!(nearest(&packs, &query, k, Method::default()).len(), k.min(all));
    }
}

#[test]
fn a_set_without_a_table_and_packs_beside_a_set_are_searched_whole() {
    let bank = Bank::new();
    bank.set("plain.mps", &Routing::default());
    let plain = MappedSet::open(bank.path("plain.mps")).unwrap();
    let (_, query) = bank.query(5);
    let exact = nearest(&Mounts::of_set(&plain).packs(), &query, 50, Method::Exact);
    assert_eq!(nearest(&Mounts::of_set(&plain.probing(1)).packs(), &query, 50, Method::default()), exact);
    // A pack of no set is always looked at, and a second set has its own third.
    let beside = bank.path("beside.mpk");
    write_numbered(&beside, &world(7), SHAPE, None, 10_000);
    let mounts = Mounts::of_set(&bank.open().probing(1));
    mounts.mount("beside", MappedPack::open(&beside).unwrap()).unwrap();
    let mut centre = vec![0.0; DIM];
    centre[7] = 1.0;
    let hits = nearest(&mounts.packs(), &centre, 5, Method::default());
    assert!(hits.iter().all(|(pack, _)| pack == "beside"), "{hits:?}");
    let taken = mounts.mount_set(&bank.open()).unwrap_err();
    assert!(matches!(&taken, MountError::NameTaken { name, .. } if name == "bank-0000"), "{taken}");
    assert_eq!(mounts.packs().packs().len(), PACKS + 1);
}

#[test]
fn a_set_with_another_pack_in_a_place_is_refused() {
    let bank = Bank::new();
    let missing = bank.path(&name(2));
    let kept = std::fs::read(&missing).unwrap();
    std::fs::remove_file(&missing).unwrap();
    let error = MappedSet::open(bank.path("bank.mps")).unwrap_err();
    assert!(matches!(&error, OpenSetError::Pack { .. }) && error.to_string().contains(&name(2)) && !error.is_damage(), "{error}");

    write_numbered(&missing, &world(9), SHAPE, None, 0);
    let error = MappedSet::open(bank.path("bank.mps")).unwrap_err();
    assert!(matches!(&error, OpenSetError::Mismatch { source: SetMismatch::Id { file, .. }, .. } if *file == name(2)), "{error}");
    assert!(error.is_damage());

    std::fs::write(&missing, kept).unwrap();
    assert_eq!(MappedSet::open(bank.path("bank.mps")).unwrap().packs().len(), PACKS);
    std::fs::write(bank.path("other.mps"), b"a text").unwrap();
    let error = MappedSet::open(bank.path("other.mps")).unwrap_err();
    assert!(matches!(&error, OpenSetError::Set { .. }) && !error.is_damage(), "{error}");
    assert!(matches!(MappedSet::open(bank.path("none.mps")), Err(OpenSetError::Io { .. })));
}

#[test]
fn the_signature_of_a_set_vouches_for_its_packs() {
    let bank = Bank::new();
    let key = PrivateKey::from_bytes(&[5; 32]);
    let trusted = || vec![key.public()];
    let refused = Mounts::of_set(&bank.open()).demanding(trusted()).unwrap_err();
    assert!(refused.to_string().contains("bank.mps"), "{refused}");
    sign_set_file(&bank.path("bank.mps"), &key, &bank.path("bank.mps")).unwrap();
    let mounts = Mounts::of_set(&bank.open()).demanding(trusted()).unwrap();
    // A pack of the same files that comes alone is not vouched for.
    let alone = mounts.mount("alone", MappedPack::open(bank.path(&name(0))).unwrap()).unwrap_err();
    assert!(matches!(alone, MountError::NotSigned(_)), "{alone}");
    let other = PrivateKey::from_bytes(&[6; 32]);
    assert!(Mounts::of_set(&bank.open()).demanding(vec![other.public()]).is_err());
}
