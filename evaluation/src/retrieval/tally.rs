//! Collects what was found, and makes the report.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use mempack_runtime::PackSet;

use super::metrics::Ranks;
use super::report::{LeftOut, NAMED, NotMeasured, PackName, RetrievalReport, StageDifference, StageReport, StrategyReport};
use super::stage::{DEPTH, Searched, Stage, StageFound};
use super::strategies::strategy_report;
use crate::bootstrap::{Interval, interval};
use crate::tally::{mean, median};
use crate::{Question, RerankerName};

/// The k of the recall that is reported.
const RECALL_AT: [usize; 4] = [1, 3, 5, DEPTH];
/// The k of the recall in which stages are compared.
const COMPARED_AT: usize = 5;
const COMPARED: &str = "recall@5";
const NDCG_AT: usize = 10;

/// What was found so far.
pub(super) struct Tally {
    packs: Vec<PackName>,
    embedder: String,
    reranker: Option<RerankerName>,
    pub not_measured: NotMeasured,
    pub left_out: Vec<LeftOut>,
    pub without_terms: Vec<String>,
    missing: BTreeSet<String>,
    most_gold: usize,
    embedding_ms: Vec<f64>,
    /// For each question, what the stages found.
    found: Vec<Vec<StageFound>>,
}

impl Tally {
    pub fn new(packs: &PackSet, embedder: &str, reranker: Option<RerankerName>) -> Self {
        let name = |mounted: &std::sync::Arc<mempack_runtime::Mounted>| PackName {
            name: mounted.name().to_owned(),
            id: mounted.id().to_string(),
            references: mounted.pack().manifest().counts.references,
        };
        Self {
            packs: packs.packs().iter().map(name).collect(),
            embedder: embedder.to_owned(),
            reranker,
            not_measured: NotMeasured::default(),
            left_out: Vec::new(),
            without_terms: Vec::new(),
            missing: BTreeSet::new(),
            most_gold: 0,
            embedding_ms: Vec::new(),
            found: Vec::new(),
        }
    }

    /// The gold ids of a question that the packs have, each once. `None` if there is none; the question is counted then.
    pub fn count<'a>(&mut self, question: &'a Question, present: &HashSet<&str>) -> Option<Vec<&'a str>> {
        let mut gold: Vec<&str> = Vec::new();
        for id in question.gold_ids.iter().map(String::as_str) {
            if present.contains(id) {
                if !gold.contains(&id) {
                    gold.push(id);
                }
            } else if self.missing.insert(id.to_owned()) {
                named(&mut self.not_measured.first_ids, id);
            }
        }
        self.not_measured.ids = self.missing.len();
        if !gold.is_empty() {
            self.most_gold = self.most_gold.max(gold.len());
            return Some(gold);
        }
        named(&mut self.not_measured.first_questions, &question.id);
        let counted =
            if question.gold_ids.is_empty() { &mut self.not_measured.without_gold } else { &mut self.not_measured.without_document };
        *counted += 1;
        None
    }

    pub fn add(&mut self, searched: Searched) {
        self.embedding_ms.push(searched.embedding_ms);
        self.found.push(searched.stages);
    }

    pub fn report(self) -> RetrievalReport {
        let stages = self.found.first().map_or(0, Vec::len);
        let of = |stage: usize| self.found.iter().filter_map(|found| found.get(stage)).collect::<Vec<_>>();
        let columns: Vec<Vec<&StageFound>> = (0..stages).map(of).collect();
        let name = |column: &[&StageFound]| column.first().map_or("", |found| found.stage);
        let dense = columns.iter().find(|column| name(column) == Stage::ALL[0].name());
        let difference = |column: &Vec<&StageFound>| {
            let dense = dense.filter(|dense| name(dense) != name(column))?;
            let pairs = column.iter().zip(dense);
            let values: Vec<f64> = pairs.map(|(a, b)| a.ranks.recall(COMPARED_AT) - b.ranks.recall(COMPARED_AT)).collect();
            let interval = interval(&values)?;
            Some(StageDifference { left: name(column), right: name(dense), metric: COMPARED, interval })
        };
        RetrievalReport {
            questions: self.found.len(),
            most_gold: self.most_gold,
            depth: DEPTH,
            stages: columns.iter().filter_map(|column| stage_report(column)).collect(),
            differences: columns.iter().filter_map(difference).collect(),
            strategies: columns.iter().flat_map(|column| strategy_reports(column)).collect(),
            embedding_ms: median(self.embedding_ms).unwrap_or_default(),
            not_measured: self.not_measured,
            packs: self.packs,
            embedder: self.embedder,
            reranker: self.reranker,
            left_out: self.left_out,
            without_terms: self.without_terms,
        }
    }
}

/// Results of each strategy in the ranking of one stage.
fn strategy_reports(found: &[&StageFound]) -> Vec<StrategyReport> {
    let Some(first) = found.first() else { return Vec::new() };
    let of = |number: usize| found.iter().filter_map(|found| found.chosen.get(number)).collect::<Vec<_>>();
    (0..first.chosen.len()).filter_map(|number| strategy_report(first.stage, &of(number))).collect()
}

/// Adds a name to a list that names only the first.
fn named(list: &mut Vec<String>, name: &str) {
    if list.len() < NAMED {
        list.push(name.to_owned());
    }
}

/// Results of what one stage found for each question; `None` without questions.
fn stage_report(found: &[&StageFound]) -> Option<StageReport> {
    let values = |value: &dyn Fn(&Ranks) -> f64| found.iter().map(|found| value(&found.ranks)).collect::<Vec<f64>>();
    let of = |value: &dyn Fn(&Ranks) -> f64| interval(&values(value));
    let at = |value: fn(&Ranks, usize) -> f64| -> Option<BTreeMap<usize, Interval>> {
        RECALL_AT.into_iter().map(|k| Some((k, of(&|ranks| value(ranks, k))?))).collect()
    };
    Some(StageReport {
        stage: found.first()?.stage,
        recall: at(Ranks::recall)?,
        hit: at(Ranks::hit)?,
        mrr: of(&Ranks::reciprocal)?,
        ndcg_at_10: of(&|ranks| ranks.ndcg(NDCG_AT))?,
        recall_curve: (1..=DEPTH).map(|k| mean(&values(&|ranks| ranks.recall(k)))).collect::<Option<_>>()?,
        search_ms: median(found.iter().map(|found| found.search_ms).collect())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a stage found, with the only gold document at this rank.
    fn found(stage: Stage, rank: Option<usize>, search_ms: f64) -> StageFound {
        let ranks = Ranks::of(1, (1..=DEPTH).map(|at| (rank == Some(at)).then_some(0)));
        StageFound { stage: stage.name(), gold_rank: ranks.first(), found: Vec::new(), search_ms, ranks, chosen: Vec::new() }
    }

    #[test]
    fn figures_of_four_questions() {
        let [dense, _, hybrid] = Stage::ALL;
        let mut tally = Tally::new(&PackSet::default(), "embedder", None);
        for (number, (rank, ms)) in [(Some(1), 1.0), (None, 2.0), (Some(6), 4.0), (Some(2), 8.0)].into_iter().enumerate() {
            let stages = vec![found(dense, rank, ms), found(hybrid, Some(1), 1.0)];
            tally.add(Searched { id: number.to_string(), question: "?".into(), gold_ids: vec!["a".into()], embedding_ms: ms, stages });
        }
        let report = tally.report();
        assert_eq!((report.questions, report.stages.len(), report.embedding_ms), (4, 2, 3.0));
        let first = &report.stages[0];
        let means = |of: &BTreeMap<usize, Interval>| of.iter().map(|(k, interval)| (*k, interval.mean)).collect::<Vec<_>>();
        assert_eq!((first.stage, first.search_ms), ("dense", 3.0));
        assert_eq!(means(&first.recall), [(1, 0.25), (3, 0.5), (5, 0.5), (20, 0.75)]);
        assert_eq!(means(&first.hit), means(&first.recall), "one gold document each");
        assert_eq!(
            (first.recall_curve[0], first.recall_curve[4], first.recall_curve[5], first.recall_curve.len()),
            (0.25, 0.5, 0.75, DEPTH)
        );
        assert!((first.mrr.mean - (1.0 + 1.0 / 6.0 + 0.5) / 4.0).abs() < 1e-12);
        // 1 / log2(7) and 1 / log2(3)
        assert!((first.ndcg_at_10.mean - (1.0 + 0.356_21 + 0.630_93) / 4.0).abs() < 1e-5);
        let [StageDifference { left, right, metric, interval }] = &report.differences[..] else { panic!("{:?}", report.differences) };
        assert_eq!((*left, *right, *metric, interval.mean, interval.n), ("hybrid", "dense", "recall@5", 0.5, 4));
    }

    #[test]
    fn questions_that_cannot_be_measured_are_counted() {
        let mut tally = Tally::new(&PackSet::default(), "embedder", None);
        let mut count = |id: &str, gold: &[&str]| {
            let gold_ids = gold.iter().map(|id| (*id).to_owned()).collect();
            let question = Question { id: id.into(), question: "?".into(), answers: Vec::new(), gold_ids, answerable: true };
            tally.count(&question, &HashSet::from(["a", "b"])).map(|gold| gold.into_iter().map(str::to_owned).collect::<Vec<_>>())
        };
        assert_eq!(count("1", &["a", "x", "a", "b"]), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!((count("2", &[]), count("3", &["x", "y"]), count("4", &["z"])), (None, None, None));
        for id in ["5", "6", "7", "8"] {
            assert_eq!(count(id, &[]), None);
        }
        assert_eq!((tally.most_gold, &tally.not_measured.first_ids), (2, &vec!["x".to_owned(), "y".to_owned(), "z".to_owned()]));
        let NotMeasured { without_gold, without_document, first_questions, ids, .. } = tally.not_measured;
        assert_eq!((without_gold, without_document, ids), (5, 2, 3));
        assert_eq!(first_questions, ["2", "3", "4", "5", "6"]);
    }
}
