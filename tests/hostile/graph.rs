//! The search graph (SPEC 12).

use mempack_hostile::{Parts, Plan, Random, u32_at, u64_at};

use crate::corpus::{Corpus, Error, REFERENCES, edited};

/// Most neighbours on an upper level.
const M: usize = 2;
const STARTS: usize = 32 + 8 * M * REFERENCES;
const UPPER: usize = STARTS + 4 * (REFERENCES + 1);

pub fn add(corpus: &mut Corpus) {
    header(corpus);
    levels(corpus);
    neighbours(corpus);
}

fn header(corpus: &mut Corpus) {
    let set = |corpus: &Corpus, at: usize, value: u64, bytes: usize| corpus.with("GRAPH", at, &value.to_le_bytes()[..bytes]);
    let lists = u64_at(corpus.whole.get("GRAPH"), 16);
    for (name, at, value, bytes, error) in [
        ("m is not the manifest's", 0, 3, 4, Error("GRAPH/Value", "graph m is 3, expected 2")),
        ("an entry behind the last node", 4, 30, 4, Error("GRAPH/TooLarge", "graph entry is 30")),
        ("no entry", 4, 0xFFFF_FFFF, 4, Error("GRAPH/TooLarge", "graph entry is 4294967295")),
        ("level 32", 8, 32, 4, Error("GRAPH/TooLarge", "graph levels is 32")),
        ("level 2^32 - 1", 8, 0xFFFF_FFFF, 4, Error("GRAPH/TooLarge", "graph levels is 4294967295")),
        ("a node less than references", 12, 29, 4, Error("GRAPH/Value", "graph nodes is 29")),
        ("upper lists of 8 TiB", 16, 1 << 40, 8, Error("GRAPH/Value", "graph bytes")),
        ("2^64 - 1 upper lists", 16, u64::MAX, 8, Error("GRAPH/Value", "graph bytes")),
        ("an upper list more than there are", 16, lists + 1, 8, Error("GRAPH/Value", "graph bytes")),
        ("a reserved byte of the graph", 31, 1, 1, Error("GRAPH/Value", "reserved bytes of the graph")),
    ] {
        let parts = set(corpus, at, value, bytes);
        corpus.touch(name, error, &parts);
    }
    let parts = edited(&corpus.whole, "GRAPH", |graph| graph.truncate(31));
    corpus.touch("a graph without its header", Error("GRAPH/TooSmall", "graph bytes is 31"), &parts);
    let parts = edited(&corpus.whole, "GRAPH", |graph| graph.extend([0; 8]));
    corpus.touch("bytes behind the graph", Error("GRAPH/Value", "graph bytes"), &parts);
    let parts = set(corpus, 8, 1, 4);
    corpus.verify("a level lower than the highest", Error("GRAPH/Value", "graph levels is 1, expected 2"), &parts);
    let parts = set(corpus, 8, 3, 4);
    corpus.verify("a level that no node has", Error("GRAPH/Value", "graph levels is 3, expected 2"), &parts);
    let parts = set(corpus, 4, 4, 4);
    corpus.verify("an entry that is not of the highest level", Error("GRAPH/Value", "level of the entry is 0"), &parts);
}

fn levels(corpus: &mut Corpus) {
    let start = |node: usize| STARTS + 4 * node;
    let lists = u64_at(corpus.whole.get("GRAPH"), 16) as u32;
    let field = "upper lists before a node";
    let starts: Vec<u32> = (0..=REFERENCES).map(|node| u32_at(corpus.whole.get("GRAPH"), start(node))).collect();
    let with = |corpus: &Corpus, node: usize, value: u32| corpus.with("GRAPH", start(node), &value.to_le_bytes());
    let parts = with(corpus, 0, 1);
    corpus.verify("upper lists that do not begin with 0", Error("GRAPH/Value", field), &parts);
    let parts = with(corpus, 8, starts[7] - 1);
    corpus.verify("upper lists that descend", Error("GRAPH/TooSmall", field), &parts);
    let parts = with(corpus, 5, u32::MAX);
    corpus.verify("a node of 2^32 levels", Error("GRAPH/TooLarge", "4294967295"), &parts);
    let parts = with(corpus, REFERENCES, lists + 1);
    corpus.verify("upper lists beyond the section", Error("GRAPH/Value", "upper lists is"), &parts);
    let parts = {
        // Node 29 is lifted to 40 levels by lists that are there.
        let mut parts = edited(&corpus.whole, "GRAPH", |graph| graph.resize(graph.len() + 40 * 4 * M, 0xFF));
        parts.put("GRAPH", 16, &(u64::from(lists) + 40).to_le_bytes());
        parts.put("GRAPH", start(REFERENCES), &(lists + 40).to_le_bytes());
        parts
    };
    corpus.verify("a node of 40 levels", Error("GRAPH/TooLarge", field), &parts);
}

fn neighbours(corpus: &mut Corpus) {
    let list = |node: usize| 32 + 8 * M * node;
    let with = |corpus: &Corpus, at: usize, value: u32| corpus.with("GRAPH", at, &value.to_le_bytes());
    let upper_of = |parts: &Parts, node: usize| UPPER + 4 * M * u32_at(parts.get("GRAPH"), STARTS + 4 * node) as usize;
    let third = upper_of(&corpus.whole, 3);
    for (name, at, value, text) in [
        ("a neighbour behind the last node", list(7) + 4, 30, "neighbour is 30"),
        ("a neighbour just below none", list(8) + 4, u32::MAX - 1, "neighbour is 4294967294"),
        ("an upper neighbour behind the last node", third, 31, "neighbour is 31"),
    ] {
        let parts = with(corpus, at, value);
        corpus.touch(name, Error("GRAPH/TooLarge", text), &parts);
    }
    let parts = with(corpus, list(7), 7);
    corpus.verify("a node that is its own neighbour", Error("GRAPH/Itself", "node 7"), &parts);
    let parts = with(corpus, third, 3);
    corpus.verify("a cycle of one node on an upper level", Error("GRAPH/Itself", "node 3"), &parts);
    let first = u32_at(corpus.whole.get("GRAPH"), list(7));
    let parts = with(corpus, list(7) + 4, first);
    corpus.verify("a neighbour twice", Error("GRAPH/Repeated", "is listed twice"), &parts);
    let parts = with(corpus, third, 4);
    corpus.verify("a neighbour on a level that it is not on", Error("GRAPH/TooSmall", "level of a neighbour is 0, the least is 1"), &parts);
    let top = upper_of(&corpus.whole, 9) + 4 * M;
    let parts = with(corpus, top, 3);
    corpus.verify(
        "a cycle through a level that is not there",
        Error("GRAPH/TooSmall", "level of a neighbour is 1, the least is 2"),
        &parts,
    );
    let parts = with(corpus, list(7), u32::MAX);
    corpus.verify("a hole in a list", Error("GRAPH/Value", "padding of a neighbour list"), &parts);
}

/// Links that make no graph, in a pack that is searched through them: the search ends, and says nothing that is not there.
#[test]
fn a_search_ends_whatever_the_links_are() {
    let whole = Parts::of(&Plan::wide().bytes());
    let nodes = u32_at(whole.get("GRAPH"), 12);
    let starts = 32 + 8 * M * nodes as usize;
    let upper = starts + 4 * (nodes as usize + 1);
    let all = |parts: &mut Parts, from: usize, link: &mut dyn FnMut(usize) -> u32| {
        let to = if from == upper { parts.get("GRAPH").len() } else { starts };
        (from..to).step_by(4).for_each(|at| parts.put("GRAPH", at, &link(at).to_le_bytes()));
    };
    let mut random = Random::new(9);
    let mut graphs: Vec<Parts> = Vec::new();
    let mut add = |edit: &mut dyn FnMut(&mut Parts)| {
        let mut parts = whole.clone();
        edit(&mut parts);
        graphs.push(parts);
    };
    // Every link leads back to where the search begins; to the node itself; nowhere; anywhere, also to levels that are not there.
    add(&mut |parts| [32, upper].into_iter().for_each(|from| all(parts, from, &mut |_| 9)));
    add(&mut |parts| all(parts, 32, &mut |at| ((at - 32) / (8 * M)) as u32));
    add(&mut |parts| [32, upper].into_iter().for_each(|from| all(parts, from, &mut |_| u32::MAX)));
    add(&mut |parts| [32, upper].into_iter().for_each(|from| all(parts, from, &mut |_| random.below(u64::from(nodes)) as u32)));
    add(&mut |parts| all(parts, upper, &mut |at| (at % 2) as u32 * 4));
    // A search that begins on a level that the entry is not on, and numbers of upper lists that point anywhere.
    add(&mut |parts| parts.put("GRAPH", 8, &[31]));
    add(&mut |parts| {
        (starts..upper).step_by(4).for_each(|at| parts.put("GRAPH", at, &(at as u32).wrapping_mul(0x9E37_79B9).to_le_bytes()))
    });
    assert_eq!(graphs.len(), 7);
    for parts in graphs {
        mempack_drive::search(&parts.assemble());
    }
}
