//! The report of retrieval as a table.

use std::fmt::{self, Display, Formatter};

use super::report::{NotMeasured, RetrievalReport, StageReport, StrategyReport, first};
use super::stage::CHOSEN;
use crate::RerankerName;
use crate::bootstrap::Interval;

/// Width of the column of names, and of a column of intervals, in characters.
const NAMES: usize = 22;
const CELLS: usize = 23;

fn row(f: &mut Formatter<'_>, name: &str, cells: impl IntoIterator<Item = String>) -> fmt::Result {
    write!(f, "{name:<NAMES$}")?;
    cells.into_iter().try_for_each(|cell| write!(f, " {cell:>CELLS$}"))?;
    writeln!(f)
}

fn bounded(Interval { mean, low, high, .. }: &Interval) -> String {
    format!("{mean:.3} [{low:.3}, {high:.3}]")
}

impl Display for RetrievalReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let packs: Vec<String> = self.packs.iter().map(|pack| format!("{} ({} references)", pack.name, pack.references)).collect();
        let embedder = &self.embedder;
        writeln!(f, "{} questions, {} references each, embedder {embedder}, packs {}", self.questions, self.depth, packs.join(", "))?;
        if let Some(RerankerName { name, depth }) = &self.reranker {
            writeln!(f, "+rerank: the best {depth} references by {name}")?;
        }
        write!(f, "{}", self.not_measured)?;
        for left_out in &self.left_out {
            writeln!(f, "{} is not measured: {}", left_out.stage, left_out.reason)?;
        }
        if self.left_out.is_empty() && !self.without_terms.is_empty() {
            writeln!(f, "searched by embeddings alone, without an index of terms: {}", self.without_terms.join(", "))?;
        }
        writeln!(f)?;
        row(f, "", self.stages.iter().map(|stage| stage.stage.to_owned()))?;
        let measured: Vec<usize> = self.stages.first().map_or_else(Vec::new, |stage| stage.recall.keys().copied().collect());
        let at = |f: &mut Formatter<'_>, name: &str, of: fn(&StageReport) -> &std::collections::BTreeMap<usize, Interval>| {
            measured.iter().try_for_each(|k| {
                row(f, &format!("{name}@{k}"), self.stages.iter().map(|stage| of(stage).get(k).map_or_else(String::new, bounded)))
            })
        };
        at(f, "recall", |stage| &stage.recall)?;
        if self.most_gold > 1 {
            at(f, "hit", |stage| &stage.hit)?;
        }
        row(f, "MRR", self.stages.iter().map(|stage| bounded(&stage.mrr)))?;
        row(f, "nDCG@10", self.stages.iter().map(|stage| bounded(&stage.ndcg_at_10)))?;
        row(f, "search ms, median", self.stages.iter().map(|stage| format!("{:.2}", stage.search_ms)))?;
        writeln!(f, "embedding a question takes {:.2} ms, median; intervals are 95% bootstrap intervals", self.embedding_ms)?;
        if !self.differences.is_empty() {
            writeln!(f, "\npaired differences, with 95% bootstrap intervals:")?;
        }
        for difference in &self.differences {
            let name = format!("{} - {}", difference.left, difference.right);
            let Interval { mean, low, high, .. } = difference.interval;
            writeln!(f, "{name:<NAMES$} {:<20} {mean:+.3} [{low:+.3}, {high:+.3}]", difference.metric)?;
        }
        if !self.strategies.is_empty() {
            writeln!(f, "\nof each ranking, up to {CHOSEN} references:")?;
            row(f, "", ["strategy", "recall@5", "novel information", "references", "search ms, median"].map(str::to_owned))?;
        }
        for StrategyReport { stage, strategy, recall_at_5, novel_information, references, search_ms } in &self.strategies {
            let novel = novel_information.as_ref().map_or_else(|| "-".into(), bounded);
            row(f, stage, [strategy.clone(), bounded(recall_at_5), novel, format!("{references:.2}"), format!("{search_ms:.2}")])?;
        }
        Ok(())
    }
}

/// What is left out, one line for each reason.
impl Display for NotMeasured {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { without_gold, without_document, first_questions, ids, first_ids } = self;
        if without_gold + without_document > 0 {
            let first = first(first_questions, without_gold + without_document);
            writeln!(
                f,
                "questions left out: {without_gold} without gold_ids, {without_document} whose gold_ids no document has ({first})"
            )?;
        }
        if *ids > 0 {
            writeln!(f, "gold_ids that no document of the packs has: {ids} ({})", first(first_ids, *ids))?;
        }
        Ok(())
    }
}
