//! What was measured of a budget.

use std::fmt;

use mempack_model::{HeadGains, TokensPerHead};
use serde::Serialize;

/// The sum of the gains must be as near to the change of the loss: a share of it.
const EXACT: f64 = 0.1;
/// Nats a token by which memories must lower the loss, at least.
const MOVES: f64 = 0.05;

/// How well answers are predicted with the tokens that some heads keep.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BudgetScore {
    /// Cross-entropy of the answers, in nats a token.
    pub loss: f64,
    /// The share of questions of whose answer each token is the most likely one, given those before.
    pub exact: f64,
}

/// The scores with one number of tokens.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BudgetPoint {
    /// The tokens that were asked for, at all heads together.
    pub tokens: u32,
    /// The tokens of the budget.
    pub kept: u32,
    /// With the budget.
    pub budget: BudgetScore,
    /// With as many tokens at every head, where the number divides.
    pub uniform: Option<BudgetScore>,
}

/// A head budget, the gains it comes from, and what it is worth on other questions.
#[derive(Clone, Debug, Serialize)]
pub struct BudgetReport {
    /// The model's name.
    pub model: String,
    /// Questions that gains were measured with.
    pub questions: usize,
    /// Questions that the budget was confirmed with.
    pub development: usize,
    /// Questions that no reference answers word for word.
    pub left_out: usize,
    /// Gold documents that are not in the corpus. Their questions have others that are.
    pub missing_gold: usize,
    /// The loss without memories, in nats a token of the answers.
    pub none: f64,
    /// The loss with all tokens kept.
    pub all: f64,
    /// The sum of the gains, which must be `none - all`.
    pub sum: f64,
    /// The logarithm of the gates at which the path begins.
    pub start: f64,
    /// The budget: a row for each memory layer, a number for each head.
    pub tokens_per_head: Vec<Vec<u32>>,
    /// Gains of the heads, `[layers][heads]`, in nats a token.
    pub gains: Vec<Vec<f64>>,
    /// Scores on the development questions, by number of tokens; the one that was asked for is among them.
    pub curve: Vec<BudgetPoint>,
    /// The number of tokens that was asked for.
    pub tokens: u32,
    /// The first memory layer.
    pub first_layer: u32,
}

impl BudgetReport {
    /// The budget.
    pub fn budget(&self) -> TokensPerHead {
        TokensPerHead::Budget(self.tokens_per_head.clone())
    }

    /// What makes the budget doubtful.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.missing_gold > 0 {
            warnings.push(format!(
                "the corpus lacks {} of the questions' gold documents: these questions are answered from their other gold documents; name all \
                 corpora of the questions",
                self.missing_gold
            ));
        }
        let change = self.none - self.all;
        if change < MOVES {
            warnings.push(format!(
                "memories lower the loss by {change:.3} nats a token only, so the budget says little: the model hardly reads them, or the \
                 questions can be answered without them; train the model first, or use questions about facts that it does not know"
            ));
        } else if (self.sum / change - 1.0).abs() > EXACT {
            warnings.push(format!(
                "the gains add up to {:.3} nats a token, but memories lower the loss by {change:.3}: the integral is not exact; use more \
                 questions, or compute in f32",
                self.sum
            ));
        }
        warnings.extend(self.curve.iter().filter(|point| point.tokens == self.tokens).filter_map(|point| {
            let uniform = point.uniform.as_ref().filter(|uniform| uniform.loss <= point.budget.loss)?;
            Some(format!(
                "on the development questions the budget's loss is {:.3} and that of as many tokens at every head {:.3}: keep the uniform \
                 number, or use more questions",
                point.budget.loss, uniform.loss
            ))
        }));
        warnings
    }
}

/// Gains by layer.
pub(super) fn rows(gains: &HeadGains) -> Vec<Vec<f64>> {
    gains.of_heads().chunks(gains.heads.max(1)).map(<[f64]>::to_vec).collect()
}

impl fmt::Display for BudgetReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { none, all, sum, .. } = self;
        writeln!(f, "{}: gains of {} questions, confirmed with {} others", self.model, self.questions, self.development)?;
        writeln!(
            f,
            "loss without memories {none:.3}, with all tokens {all:.3} nats a token: {:.3} less; gains add up to {sum:.3}",
            none - all
        )?;
        let heads = self.tokens_per_head.iter().flatten();
        let kept = heads.clone().filter(|tokens| **tokens > 0).count();
        let most = heads.clone().max().copied().unwrap_or_default();
        writeln!(f, "budget: {} tokens at {kept} of {} heads, {most} at most\n", heads.clone().sum::<u32>(), heads.count())?;
        writeln!(f, "{:>7} {:>7}  {:>8} {:>8}  {:>8} {:>8}", "tokens", "kept", "loss", "exact", "uniform", "exact")?;
        for point in &self.curve {
            let BudgetPoint { tokens, kept, budget, uniform } = point;
            write!(f, "{tokens:>7} {kept:>7}  {:>8.3} {:>8.3}", budget.loss, budget.exact)?;
            match uniform {
                Some(uniform) => writeln!(f, "  {:>8.3} {:>8.3}", uniform.loss, uniform.exact)?,
                None => writeln!(f, "  {:>8} {:>8}", "-", "-")?,
            }
        }
        Ok(())
    }
}
