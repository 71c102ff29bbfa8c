use std::collections::BTreeSet;

use super::*;

/// Reproducible unit vectors.
struct Vectors {
    state: u64,
    dim: usize,
}

impl Vectors {
    fn uniform(&mut self) -> f32 {
        // xorshift64*
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        (self.state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 40) as f32 / (1 << 24) as f32 - 0.5
    }

    /// A unit vector; around `centre` if there is one.
    fn next(&mut self, centre: Option<&[f32]>) -> Vec<f32> {
        let vector =
            (0..self.dim).map(|i| 0.3 * self.uniform() * if centre.is_some() { 0.5 } else { 1.0 } + centre.map_or(0.0, |centre| centre[i]));
        unit(vector.collect())
    }
}

fn unit(vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    vector.iter().map(|x| x / length).collect()
}

fn built(vectors: &[Vec<f32>]) -> FlatGraph {
    let mut builder = GraphBuilder::new(GraphOptions { m: 8, ef_construction: 60 }, vectors.len() as u64);
    vectors.iter().for_each(|vector| builder.push(vector));
    builder.finish()
}

/// Vectors in clusters of very different sizes, the largest of equal ones.
fn clustered(count: usize) -> Vec<Vec<f32>> {
    let mut vectors = Vectors { state: 7, dim: 24 };
    let centres: Vec<Vec<f32>> = (0..12).map(|_| vectors.next(None)).collect();
    (0..count)
        .map(|i| match i % 4 {
            0 => centres[0].clone(),
            1 => centres[i % 3].clone(),
            _ => vectors.next(Some(&centres[i % 12])),
        })
        .collect()
}

/// Search as SPEC 12 describes it: greedily down, then with `ef` candidates at the ground.
fn search(graph: &FlatGraph, vectors: &[Vec<f32>], query: &[f32], k: usize, ef: usize) -> Vec<u32> {
    let distance = |node: u32| UnitDistance.eval(query, &vectors[node as usize]);
    let mut at = graph.entry;
    for level in (1..=graph.levels[at as usize].into()).rev() {
        while let Some(next) = graph
            .list(at, level)
            .iter()
            .copied()
            .filter(|node| distance(*node) < distance(at))
            .min_by(|a, b| distance(*a).total_cmp(&distance(*b)))
        {
            at = next;
        }
    }
    let key = |node: u32| (distance(node).to_bits(), node);
    let (mut seen, mut open, mut best) = (BTreeSet::from([at]), BTreeSet::from([key(at)]), BTreeSet::from([key(at)]));
    while let Some(nearest) = open.pop_first() {
        if best.len() >= ef && best.last().is_some_and(|worst| nearest > *worst) {
            break;
        }
        for node in graph.list(nearest.1, 0).iter().copied().filter(|node| seen.insert(*node)).collect::<Vec<_>>() {
            open.insert(key(node));
            best.insert(key(node));
            if best.len() > ef {
                best.pop_last();
            }
        }
    }
    best.into_iter().take(k).map(|(_, node)| node).collect()
}

fn recall(vectors: &[Vec<f32>], graph: &FlatGraph) -> f64 {
    let (mut found, mut all) = (0, 0);
    for query in vectors.iter().step_by(17) {
        let mut exact: Vec<f32> = vectors.iter().map(|vector| UnitDistance.eval(query, vector)).collect();
        exact.sort_by(f32::total_cmp);
        // Equal vectors may stand for one another.
        found += search(graph, vectors, query, 10, 60)
            .iter()
            .filter(|node| UnitDistance.eval(query, &vectors[**node as usize]) <= exact[9] + 1e-6)
            .count();
        all += 10;
    }
    f64::from(found as u32) / f64::from(all)
}

#[test]
fn the_graph_finds_what_is_near() {
    let mut vectors = Vectors { state: 3, dim: 16 };
    let vectors: Vec<Vec<f32>> = (0..2000).map(|_| vectors.next(None)).collect();
    let graph = built(&vectors);
    let recall = recall(&vectors, &graph);
    assert!(recall > 0.95, "{recall}");
}

#[test]
fn every_node_is_found_even_among_equal_ones() {
    let vectors = clustered(2000);
    let graph = built(&vectors);
    let (mut seen, mut open) = (vec![false; vectors.len()], vec![graph.entry]);
    while let Some(node) = open.pop() {
        if !std::mem::replace(&mut seen[node as usize], true) {
            open.extend(graph.list(node, 0));
        }
    }
    let lost = seen.iter().filter(|seen| !**seen).count();
    println!("{lost} of {} lost, recall {}", vectors.len(), recall(&vectors, &graph));
    assert_eq!(lost, 0);
    let recall = recall(&vectors, &graph);
    assert!(recall > 0.95, "{recall}");
}

#[test]
fn a_graph_is_the_same_each_time_and_well_formed() {
    for count in [1, 2, 3, 40, 700] {
        let vectors = clustered(count);
        let (graph, again) = (built(&vectors), built(&vectors));
        assert!(graph.base == again.base && graph.upper == again.upper && graph.levels == again.levels && graph.entry == again.entry);
        assert_eq!(graph.levels[graph.entry as usize], *graph.levels.iter().max().unwrap());
        for node in 0..count as u32 {
            for level in 0..=graph.level(node) {
                let list = graph.list(node, level);
                let distinct: BTreeSet<&u32> = list.iter().collect();
                assert!(distinct.len() == list.len() && !list.contains(&node));
                assert!(list.iter().all(|other| graph.level(*other) >= level));
            }
        }
    }
    assert_eq!(built(&[]).nodes(), 0);
}
