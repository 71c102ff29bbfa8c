//! Search over generated points and links, valid and invalid ones.

use std::path::Path;
use std::sync::OnceLock;

use super::*;
use crate::damage::{OnDamage, Skipped};
use mempack_format::Section;
use proptest::prelude::*;

#[path = "../../tests/common/mod.rs"]
mod common;
use common::{Random, SHAPE, World, write_coarse_pack, write_pack};

struct QueryNodes<'a> {
    world: &'a World,
    query: Vec<f32>,
    admitted: Option<FixedBitSet>,
}

impl Nodes for QueryNodes<'_> {
    const AHEAD: usize = 1;

    fn count(&self) -> u32 {
        self.world.links.len() as u32
    }

    fn similarity(&self, node: u32) -> Result<Option<f32>, SearchError> {
        if node >= self.count() {
            return Err(ReadError::OutOfRange { what: "reference", index: node.into(), count: self.count().into() }.into());
        }
        let row: Vec<F32> = self.world.row(node).iter().map(|&x| F32::new(x)).collect();
        Ok(Some(dot(&self.query, &row)))
    }

    fn neighbours(&self, node: u32, level: u32) -> Result<impl Iterator<Item = u32>, SearchError> {
        Ok(self.world.links[node as usize].get(level as usize).into_iter().flatten().copied())
    }

    fn prefetch(&self, _: u32) {}

    fn prefetch_links(&self, _: u32) {}

    fn admitted(&self) -> Option<&FixedBitSet> {
        self.admitted.as_ref()
    }
}

/// A search of the graph, however long it takes.
fn search_all(nodes: &QueryNodes<'_>, entry: u32, top_level: u32, k: usize, ef: usize) -> Result<Vec<Hit>, SearchError> {
    Ok(descend(nodes, entry, top_level, k, ef, usize::MAX)?.expect("no visit is one too many"))
}

/// Recall at `k` of the graph search, for queries distributed like the points.
fn recall(world: &World, random: &mut Random, clustered: bool, k: usize) -> f64 {
    let (mut found, queries) = (0, 60);
    for _ in 0..queries {
        let near = (random.uniform() * world.links.len() as f32) as u32;
        let query = random.unit(world.dim, clustered.then(|| world.row(near)), if clustered { 0.1 } else { 1.0 });
        let nodes = QueryNodes { world, query, admitted: None };
        let wanted = scan(&nodes, k).unwrap();
        let got = search_all(&nodes, world.entry, world.top_level(), k, DEFAULT_EF).unwrap();
        assert_eq!(got.len(), k.min(world.links.len()));
        assert!(got.windows(2).all(|pair| Candidate::new(pair[0]) > Candidate::new(pair[1])));
        found += got.iter().filter(|hit| wanted.contains(hit)).count();
    }
    found as f64 / (queries * k) as f64
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    #[test]
    fn the_graph_finds_what_the_scan_finds(seed: u64, clusters in prop_oneof![Just(0usize), Just(5), Just(40)]) {
        let mut random = Random(seed);
        let world = World::scatter(&mut random, 1200, 24, clusters).link(&mut random, 12);
        let share = recall(&world, &mut random, clusters > 0, 5);
        prop_assert!(share >= 0.95, "recall {} with {} clusters", share, clusters);
    }
}

proptest! {
    #[test]
    fn the_scan_is_the_definition(seed: u64, count in 0u32..50, k in 0usize..60) {
        // Coarse coordinates, so that there are ties.
        let mut random = Random(seed);
        let rows: Vec<f32> = (0..count * 2).map(|_| (random.uniform() * 3.0).floor() - 1.0).collect();
        let world = World { dim: 2, rows, links: vec![Vec::new(); count as usize], entry: 0 };
        let nodes = QueryNodes { world: &world, query: vec![1.0, 0.5], admitted: None };
        let mut wanted: Vec<Hit> = (0..count).map(|reference| Hit { reference, similarity: nodes.similarity(reference).unwrap().unwrap() }).collect();
        wanted.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));
        wanted.truncate(k);
        prop_assert_eq!(scan(&nodes, k).unwrap(), wanted);
    }

    #[test]
    fn hostile_links_end_in_hits_or_an_error(
        seed: u64,
        links in proptest::collection::vec(proptest::collection::vec(proptest::collection::vec(0u32..40, 0..8), 0..4), 1..30),
        entry: u32, top_level in 0u32..40, k in 0usize..50, ef in 0usize..50,
    ) {
        let mut random = Random(seed);
        let mut world = World::scatter(&mut random, links.len() as u32, 4, 0);
        world.links = links;
        let count = world.links.len() as u32;
        let nodes = QueryNodes { world: &world, query: random.unit(4, None, 1.0), admitted: None };
        match search_all(&nodes, entry % (count + 2), top_level, k, ef) {
            Ok(hits) => prop_assert!(hits.len() <= k && hits.iter().all(|hit| hit.reference < count)),
            Err(SearchError::Read(ReadError::OutOfRange { index, .. })) => prop_assert!(index >= u64::from(count)),
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}

/// Searches a pack without earlier checks, as after opening.
fn search(pack: &Pack<&[u8]>, query: &[f32], k: usize, method: Method, on_damage: OnDamage<'_>) -> Result<Vec<Hit>, SearchError> {
    let checks = Checks::new(pack.manifest().counts.references);
    nearest(pack, &checks, query, k, method, None, Tolerance { on_damage, path: Path::new("large.mpk"), id: pack.id() })
}

fn search_graph(pack: &Pack<&[u8]>, query: &[f32], k: usize, ef: usize) -> Result<Vec<Hit>, SearchError> {
    search(pack, query, k, Method::Graph { ef }, OnDamage::Fail)
}

fn search_exact(pack: &Pack<&[u8]>, query: &[f32], k: usize) -> Result<Vec<Hit>, SearchError> {
    search(pack, query, k, Method::Exact, OnDamage::Fail)
}

/// The bytes of a pack large enough for the graph search, and its points.
fn large() -> &'static (Vec<u8>, World) {
    static LARGE: OnceLock<(Vec<u8>, World)> = OnceLock::new();
    LARGE.get_or_init(|| {
        let mut random = Random(11);
        let world = World::scatter(&mut random, EXACT_UP_TO + 100, 16, 30).link(&mut random, 8);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large.mpk");
        write_pack(&path, &world, SHAPE, Some(8));
        (std::fs::read(path).unwrap(), world)
    })
}

/// The bytes of the same pack with coarse embeddings.
fn coarse() -> &'static Vec<u8> {
    static COARSE: OnceLock<Vec<u8>> = OnceLock::new();
    COARSE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("coarse.mpk");
        write_coarse_pack(&path, &large().1, SHAPE, Some(8));
        std::fs::read(path).unwrap()
    })
}

/// [`coarse`] with a section changed by `change`.
fn changed(tag: Tag, change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut bytes = coarse().clone();
    let section = *Pack::open(coarse().as_slice()).unwrap().sections().iter().find(|section| section.tag == tag).unwrap();
    change(&mut bytes[section.offset as usize..][..section.length as usize]);
    bytes
}

/// The hits of a search, after a comparison of their similarities with those of the points.
fn true_hits(hits: Vec<Hit>, query: &[f32]) -> Vec<Hit> {
    let nodes = QueryNodes { world: &large().1, query: query.to_vec(), admitted: None };
    assert!(hits.iter().all(|hit| nodes.similarity(hit.reference).unwrap() == Some(hit.similarity)));
    assert!(hits.windows(2).all(|pair| Candidate::new(pair[0]) > Candidate::new(pair[1])));
    hits
}

#[test]
fn coarse_embeddings_lose_hardly_a_hit_and_give_exact_similarities() {
    let (plain, pack) = (Pack::open(large().0.as_slice()).unwrap(), Pack::open(coarse().as_slice()).unwrap());
    let mut random = Random(21);
    let (mut with, mut without) = (0, 0);
    for near in 0..200 {
        let query = random.unit(16, Some(large().1.row(near)), 0.1);
        let wanted = search_exact(&pack, &query, 5).unwrap();
        assert_eq!(wanted, search_exact(&plain, &query, 5).unwrap());
        let found = true_hits(search_graph(&pack, &query, 5, 50).unwrap(), &query);
        with += found.iter().filter(|hit| wanted.contains(hit)).count();
        without += search_graph(&plain, &query, 5, 50).unwrap().iter().filter(|hit| wanted.contains(hit)).count();
    }
    assert!(with + 2 >= without && without >= 950, "{with} with coarse embeddings, {without} without, of 1000");
    let query = large().1.row(3);
    for (k, ef, hits) in [(0, 50, 0), (1, 0, 1), (40, 10, 40), (usize::MAX, 1, large().1.links.len())] {
        assert_eq!(true_hits(search_graph(&pack, query, k, ef).unwrap(), query).len(), hits, "k {k}, ef {ef}");
    }
    assert_eq!(search_graph(&pack, &[0.0; 16], 5, 50).unwrap().len(), 5, "a query without direction");
}

#[test]
fn damaged_coarse_embeddings_cost_recall_alone() {
    let query = large().1.row(77);
    let shift = |rows: &mut [u8]| rows.rotate_left(64);
    type Change<'a> = (&'a str, &'a dyn Fn(&mut [u8]));
    let changes: [Change<'_>; 4] =
        [("zeros", &|rows| rows.fill(0)), ("ones", &|rows| rows.fill(0xff)), ("-128", &|rows| rows.fill(0x80)), ("shifted", &shift)];
    for (name, change) in changes {
        let bytes = changed(Tag::COARSE_EMBEDDINGS, change);
        let pack = Pack::open(bytes.as_slice()).unwrap();
        assert_eq!(true_hits(search_graph(&pack, query, 5, 50).unwrap(), query).len(), 5, "{name}");
        assert_eq!(search_exact(&pack, query, 1).unwrap()[0].reference, 77, "{name}");
    }
}

#[test]
fn only_embeddings_that_decide_are_checked() {
    let query = large().1.row(77);
    let wanted = search_graph(&Pack::open(coarse().as_slice()).unwrap(), query, 5, 50).unwrap();
    // One that is a hit, and one that is far from the query.
    let hit = wanted[1].reference as usize;
    let far = (0..large().1.links.len()).min_by(|a, b| {
        let similarity = |node: usize| large().1.row(node as u32).iter().zip(query).map(|(a, b)| a * b).sum::<f32>();
        similarity(*a).total_cmp(&similarity(*b))
    });
    let bytes = changed(Tag::EMBEDDINGS, |rows| rows[far.unwrap() * 64] ^= 1);
    assert_eq!(search_graph(&Pack::open(bytes.as_slice()).unwrap(), query, 5, 50).unwrap(), wanted);
    let bytes = changed(Tag::EMBEDDINGS, |rows| rows[hit * 64] ^= 1);
    let pack = Pack::open(bytes.as_slice()).unwrap();
    let error = search_graph(&pack, query, 5, 50).unwrap_err().to_string();
    assert!(error.contains(&format!("embedding {hit}")), "{error}");
    let skipped = Skipped::default();
    let hits = search(&pack, query, 5, Method::Graph { ef: 50 }, OnDamage::Skip(&skipped)).unwrap();
    assert_eq!((hits[0], hits[1..4].to_vec(), hits.len()), (wanted[0], wanted[2..].to_vec(), 5));
}

#[test]
fn a_pack_is_searched_as_the_points_it_was_made_of() {
    let (bytes, world) = large();
    let pack = Pack::open(bytes.as_slice()).unwrap();
    let mut random = Random(12);
    for _ in 0..20 {
        let query = random.unit(16, Some(world.row(40)), 0.1);
        let nodes = QueryNodes { world, query: query.clone(), admitted: None };
        assert_eq!(search_exact(&pack, &query, 5).unwrap(), scan(&nodes, 5).unwrap());
        let wanted = search_all(&nodes, world.entry, world.top_level(), 5, 50).unwrap();
        assert_eq!(search_graph(&pack, &query, 5, 50).unwrap(), wanted);
    }
    assert_eq!(search_graph(&pack, world.row(3), 0, 50).unwrap(), []);
    assert_eq!(search_graph(&pack, world.row(3), 1, 0).unwrap().len(), 1, "ef is at least k");
    assert_eq!(search_exact(&pack, world.row(3), usize::MAX).unwrap().len(), world.links.len());
}

#[test]
fn a_filtered_search_finds_what_the_filtered_scan_finds() {
    let (bytes, world) = large();
    let pack = Pack::open(bytes.as_slice()).unwrap();
    let count = world.links.len();
    let checks = Checks::new(count as u32);
    let tolerance = || Tolerance { on_damage: OnDamage::Fail, path: Path::new("large.mpk"), id: pack.id() };
    let mut random = Random(13);
    // By chance, and those of some clusters alone, which a query of another cluster has to leave its own for.
    for share in [0.0, 0.001, 0.02, 0.3, 0.9, 1.0] {
        for in_clusters in [false, true] {
            let admitted: FixedBitSet =
                (0..count).filter(|node| if in_clusters { (node % 30) as f32 / 30.0 < share } else { random.uniform() < share }).collect();
            let mut found = 0;
            for query in (0..40).map(|near| random.unit(16, Some(world.row(near)), 0.1)) {
                let nodes = QueryNodes { world, query: query.clone(), admitted: Some(admitted.clone()) };
                let wanted = scan(&nodes, 5).unwrap();
                assert_eq!(wanted.len(), 5.min(admitted.count_ones(..)));
                let exact = nearest(&pack, &checks, &query, 5, Method::Exact, Some(&admitted), tolerance()).unwrap();
                assert_eq!(exact, wanted, "{share}");
                // The graph itself, and the search that chooses.
                let chosen = nearest(&pack, &checks, &query, 5, Method::Graph { ef: 100 }, Some(&admitted), tolerance()).unwrap();
                assert_eq!(chosen, wanted, "{share}: a scan costs less in a pack of this size");
                let got = search_all(&nodes, world.entry, world.top_level(), 5, DEFAULT_EF).unwrap();
                assert!(got.iter().all(|hit| admitted.contains(hit.reference as usize)), "{share}");
                found += got.iter().filter(|hit| wanted.contains(hit)).count();
            }
            let all = 40 * 5.min(admitted.count_ones(..));
            assert!(found as f64 >= 0.98 * all as f64, "{share}, clusters {in_clusters}: {found} of {all}");
        }
    }
}

#[test]
fn a_filtered_search_ends_where_a_scan_is_shorter() {
    let (_, world) = large();
    let query = world.row(7).to_vec();
    // Only what is far away is admitted.
    let mut order: Vec<u32> = (0..world.links.len() as u32).collect();
    let nodes = QueryNodes { world, query, admitted: None };
    order.sort_by(|a, b| nodes.similarity(*a).unwrap().unwrap().total_cmp(&nodes.similarity(*b).unwrap().unwrap()));
    let admitted: FixedBitSet = order.iter().take(300).map(|node| *node as usize).collect();
    let nodes = QueryNodes { admitted: Some(admitted), ..nodes };
    assert_eq!(descend(&nodes, world.entry, world.top_level(), 5, 400, 600).unwrap(), None);
    assert!(prefers_scan(100_000, 1000, 100) && prefers_scan(100_000, 0, 100));
    assert!(!prefers_scan(100_000, 50_000, 100) && !prefers_scan(100_000, 100_000, 100));
}

#[test]
fn queries_that_are_no_vectors_of_the_pack_are_refused() {
    let pack = Pack::open(large().0.as_slice()).unwrap();
    assert!(matches!(search_graph(&pack, &[1.0], 5, 10), Err(SearchError::Dimensions { found: 1, expected: 16 })));
    let mut query = [0.25f32; 16];
    query[3] = f32::NAN;
    assert!(matches!(search_graph(&pack, &query, 5, 10), Err(SearchError::NotFinite { index: 3, .. })));
    assert!(matches!(search_exact(&pack, &query, 5), Err(SearchError::NotFinite { index: 3, .. })));
}

/// A section of [`large`].
fn section(tag: Tag) -> Section {
    *Pack::open(large().0.as_slice()).unwrap().sections().iter().find(|section| section.tag == tag).unwrap()
}

#[test]
fn an_embedding_that_was_changed_is_named_with_its_place() {
    let mut bytes = large().0.clone();
    let at = section(Tag::EMBEDDINGS).offset as usize + 7 * 16 * 4;
    bytes[at + 8] ^= 1;
    let pack = Pack::open(bytes.as_slice()).unwrap();
    let error = search_exact(&pack, &[0.25; 16], 1).unwrap_err();
    let SearchError::Read(ReadError::Damaged(damage)) = &error else { panic!("{error}") };
    assert_eq!((damage.section, damage.offset), (Tag::EMBEDDINGS, at as u64));
    assert!(matches!(damage.defect, Defect::Leaf { number: 7, .. }) && error.is_damage(), "{error}");
    // With the damaged vector skipped, the ranking of the others is unchanged.
    let skipped = Skipped::default();
    let hits = search(&pack, large().1.row(7), 5, Method::Exact, OnDamage::Skip(&skipped)).unwrap();
    let whole = Pack::open(large().0.as_slice()).unwrap();
    let wanted: Vec<Hit> = search_exact(&whole, large().1.row(7), 6).unwrap();
    assert_eq!(wanted[0].reference, 7);
    assert_eq!(hits, wanted[1..]);
    let parts = skipped.parts();
    assert_eq!((parts.len(), parts[0].section, parts[0].places, parts[0].first.offset), (1, Tag::EMBEDDINGS, 1, at as u64));
}

/// The bytes of [`large`], with the graph section changed by `change`.
fn with_graph(change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut bytes = large().0.clone();
    let graph = section(Tag::GRAPH);
    change(&mut bytes[graph.offset as usize..][..graph.length as usize]);
    bytes
}

#[test]
fn a_damaged_graph_is_an_error_or_does_without() {
    let world = &large().1;
    let list = 32 + 300 * 64;
    // Out-of-range values in the header, in the list of a queried node, and in all lists on level 0.
    for (name, range) in [("m", 0..4), ("entry", 4..8), ("a list", list..list + 64), ("all lists", 32..world.links.len() * 64)] {
        let bytes = with_graph(|graph| graph[range].fill(0xee));
        let pack = Pack::open(bytes.as_slice()).unwrap();
        let (mut failed, skipped) = (0, Skipped::default());
        for node in (0..world.links.len() as u32).step_by(300) {
            match search_graph(&pack, world.row(node), 5, 50) {
                Err(error) => {
                    assert!(error.is_damage(), "{name}: {error}");
                    failed += 1;
                }
                Ok(hits) => assert_eq!(hits[0].reference, node, "{name}"),
            }
            let hits = search(&pack, world.row(node), 5, Method::Graph { ef: 50 }, OnDamage::Skip(&skipped)).unwrap();
            assert_eq!((hits.len(), hits[0].reference), (5, node), "{name}");
        }
        assert!(failed > 0 && skipped.parts()[0].section == Tag::GRAPH, "{name}");
    }
}

#[test]
fn a_damaged_entry_is_passed_over() {
    let (mut bytes, world) = (large().0.clone(), &large().1);
    bytes[section(Tag::EMBEDDINGS).offset as usize + world.entry as usize * 64] ^= 0x40;
    let pack = Pack::open(bytes.as_slice()).unwrap();
    assert!(search_graph(&pack, world.row(9), 3, 50).unwrap_err().is_damage());
    let skipped = Skipped::default();
    let hits = search(&pack, world.row(9), 3, Method::Graph { ef: 50 }, OnDamage::Skip(&skipped)).unwrap();
    assert_eq!((hits.len(), hits[0].reference, skipped.parts()[0].places), (3, 9, 1));
}

proptest! {
    #[test]
    fn a_candidate_keeps_its_hit_and_its_order(a: (u32, u32), b: (u32, u32)) {
        let [x, y] = [a, b].map(|(reference, bits)| Hit { reference, similarity: f32::from_bits(bits) });
        let order = x.similarity.total_cmp(&y.similarity).then(y.reference.cmp(&x.reference));
        prop_assert_eq!(Candidate::new(x).cmp(&Candidate::new(y)), order);
        let kept = Candidate::new(x).hit();
        prop_assert_eq!((kept.reference, kept.similarity.to_bits()), a);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// For any change of coarse embeddings: hits with the similarities of the original vectors.
    #[test]
    fn any_coarse_bytes_give_true_hits(fills in proptest::collection::vec((any::<prop::sample::Index>(), 1usize..100_000, any::<u8>()), 1..20), seed: u64) {
        let bytes = changed(Tag::COARSE_EMBEDDINGS, |rows| for (start, length, byte) in fills {
            let start = start.index(rows.len());
            let end = rows.len().min(start + length);
            rows[start..end].iter_mut().for_each(|old| *old = old.wrapping_mul(3).wrapping_add(byte));
        });
        let query = Random(seed).unit(16, None, 1.0);
        let pack = Pack::open(bytes.as_slice()).unwrap();
        prop_assert_eq!(true_hits(search_graph(&pack, &query, 5, 20).unwrap(), &query).len(), 5);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// For any change of embeddings and graph: an error, or hits with the similarities of the original vectors.
    #[test]
    fn damaged_bytes_give_true_hits_or_an_error(flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 1..40), seed: u64) {
        let (mut bytes, world) = (large().0.clone(), &large().1);
        for (index, byte, graph) in flips {
            let section = section(if graph { Tag::GRAPH } else { Tag::EMBEDDINGS });
            // Half of the changes are in the first bytes, where the graph's header is.
            let length = if byte % 2 == 0 { section.length } else { section.length.min(64) };
            bytes[section.offset as usize + index.index(length as usize)] = byte;
        }
        let pack = Pack::open(bytes.as_slice()).unwrap();
        let query = Random(seed).unit(16, None, 1.0);
        let truth = QueryNodes { world, query: query.clone(), admitted: None };
        let skipped = Skipped::default();
        let left_out = search(&pack, &query, 5, Method::Graph { ef: 20 }, OnDamage::Skip(&skipped)).unwrap();
        prop_assert_eq!(left_out.len(), 5);
        for hits in [search_graph(&pack, &query, 5, 20), Ok(left_out)] {
            match hits {
                Ok(hits) => for hit in hits {
                    prop_assert_eq!(truth.similarity(hit.reference).unwrap(), Some(hit.similarity));
                },
                Err(error) => prop_assert!(error.is_damage(), "{}", error),
            }
        }
    }
}
