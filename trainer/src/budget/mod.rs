//! Head budgets: how many tokens of a reference each head is worth, measured with questions.

mod heat_map;
mod questions;
mod report;
mod split;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use mempack_model::training::{AllTokens, GatedLoss, Sequence};
use mempack_model::{ComputeError, HeadGains, Model, TokensPerHead, integrate, rank_bins};
use mempack_numeric::Rng;
use mempack_questions::QuestionError;

use self::questions::{Case, Cases, read_cases};
use self::split::divide;
use crate::corpora::read_references;
use crate::{TrainError, TrainProgress};

pub use heat_map::budget_figure;
pub use report::{BudgetPoint, BudgetReport, BudgetScore};

/// Questions of a batch.
const BATCH: usize = 8;
/// The fewest questions that gains are measured with, and that confirm a budget.
const FEWEST: usize = 8;
/// Numbers of tokens that are compared, beside the one that is asked for.
const CURVE: [u32; 5] = [126, 252, 504, 1008, 2016];

/// What a budget is measured with.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetOptions {
    /// Corpora, in the formats that packs are built of.
    pub corpora: Vec<PathBuf>,
    /// Questions about them, which the model has not been trained on.
    pub questions: PathBuf,
    /// Other questions that confirm the budget. Without them, a third of the questions are kept for this, about other documents than the
    /// rest.
    pub development: Option<PathBuf>,
    /// Tokens to keep of a reference, at all heads together.
    pub tokens: u32,
    /// The maximum number of questions of each kind.
    pub limit: usize,
    /// Which questions are used where there are more, and how they are divided.
    pub seed: u64,
}

/// Why a budget was not measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BudgetError {
    /// A number of tokens that heads cannot keep.
    #[error("the number of tokens is {found}; expected 1 to {max}, which are all of a reference at all heads")]
    Tokens {
        /// The number.
        found: u32,
        /// The largest.
        max: u32,
    },
    /// A question about documents that no corpus has.
    #[error("{}: question `{question}` has the gold document `{gold}`, which is not in the corpus, and no other that is; name the corpus of these questions, or leave the question out", path.display())]
    Gold {
        /// The file of questions.
        path: PathBuf,
        /// The question's id.
        question: String,
        /// The id of the first of them.
        gold: String,
    },
    /// Too few questions.
    #[error("{}: {found} questions {what}, after {left_out} that no reference of their gold documents answers word for word; expected at least {FEWEST}: add questions about other documents, as those about one document are not divided", path.display())]
    Few {
        /// The file.
        path: PathBuf,
        /// What they are for.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many are left out.
        left_out: usize,
    },
    /// A file of questions was not read.
    #[error(transparent)]
    Questions(#[from] QuestionError),
    /// A corpus was not read.
    #[error(transparent)]
    Corpus(#[from] TrainError),
    /// The model failed.
    #[error(transparent)]
    Compute(#[from] ComputeError),
    /// The caller stopped the measurement.
    #[error("interrupted")]
    Interrupted,
}

/// Measures what the tokens of each head are worth by [integrated gradients](integrate), and distributes `options.tokens` tokens by
/// [water-filling](HeadGains::budget). Each question reads the one reference that answers it. Returns the budget, with the scores of other
/// questions with it and with as many tokens at every head.
///
/// Takes 20 to 30 passes over the questions, most of them with gradients (30 with SmolLM2 in bf16). Memory: all tokens of the questions'
/// references at all heads.
///
/// # Errors
/// [`BudgetError`].
pub fn measure_budget(
    model: &Model,
    options: &BudgetOptions,
    progress: &dyn TrainProgress,
    cancel: &AtomicBool,
) -> Result<BudgetReport, BudgetError> {
    let memory = model.memory();
    let (layers, heads) = (memory.num_memory_layers, model.config().heads);
    let max = layers * heads * memory.reference_length;
    if !(1..=max).contains(&options.tokens) {
        return Err(BudgetError::Tokens { found: options.tokens, max });
    }
    let edges = rank_bins(memory.reference_length);
    let references = read_references(model, &options.corpora)?;
    let mut rng = Rng::from_seed(options.seed);
    let Cases { mut cases, mut left_out, mut missing } = read_cases(model, &references, &options.questions)?;
    rng.shuffle(&mut cases);
    let (mut cases, mut others, other_path): (Vec<Case>, Vec<Case>, &Path) = match &options.development {
        Some(path) => {
            let mut others = read_cases(model, &references, path)?;
            rng.shuffle(&mut others.cases);
            left_out += others.left_out;
            missing.append(&mut others.missing);
            (cases, others.cases, path)
        }
        None => {
            let (cases, others) = divide(cases, |case| &case.documents);
            (cases, others, &options.questions)
        }
    };
    cases.truncate(options.limit);
    others.truncate(options.limit);
    for (cases, path, what) in
        [(&cases, options.questions.as_path(), "to measure gains with"), (&others, other_path, "to confirm the budget with")]
    {
        if cases.len() < FEWEST {
            return Err(BudgetError::Few { path: path.to_owned(), what, found: cases.len(), left_out });
        }
    }
    let work = Work { model, edges: &edges, progress, cancel };
    let parts = work.write("writing references", &cases)?;
    let gates = (layers * heads) as usize * (edges.len() - 1);
    let mut passes = 0;
    let path = integrate(|log, derive| {
        passes += 1;
        let logs = vec![log as f32; gates];
        let name = format!("measuring gains of questions, pass {passes}");
        let losses = work.losses(&name, &parts, |part| model.loss_through_gates(&part.sequences, &part.all, &logs, derive))?;
        let mut slopes = vec![0.0; if derive { gates } else { 0 }];
        losses.iter().for_each(|loss| slopes.iter_mut().zip(&loss.slopes).for_each(|(sum, slope)| *sum += slope));
        let (tokens, nats) = totals(&losses);
        slopes.iter_mut().for_each(|slope| *slope /= tokens);
        Ok::<_, BudgetError>((nats / tokens, slopes))
    })?;
    drop(parts);
    let gains = HeadGains { layers: layers as usize, heads: heads as usize, edges: edges.clone(), gains: path.gains };
    let parts = work.write("writing references", &others)?;
    let score = |name: &str, budget: &TokensPerHead| {
        let losses = work.losses(name, &parts, |part| model.loss_of_budget(&part.sequences, &part.all, budget))?;
        let (tokens, nats) = totals(&losses);
        let exact = losses.iter().flat_map(|loss| &loss.hits.exact).filter(|exact| **exact).count();
        Ok::<_, BudgetError>(BudgetScore { loss: nats / tokens, exact: exact as f64 / others.len() as f64 })
    };
    let mut numbers: Vec<u32> = CURVE.into_iter().filter(|tokens| *tokens <= max).chain([options.tokens]).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let mut curve = Vec::with_capacity(numbers.len());
    for tokens in numbers {
        let budget = gains.budget(tokens);
        let divides = tokens.is_multiple_of(layers * heads);
        let uniform = divides.then(|| score("confirming questions", &TokensPerHead::Uniform(tokens / (layers * heads)))).transpose()?;
        let kept = table(&budget).iter().flatten().sum();
        curve.push(BudgetPoint { tokens, kept, budget: score("confirming questions", &budget)?, uniform });
    }
    Ok(BudgetReport {
        model: model.identity().name.clone(),
        questions: cases.len(),
        development: others.len(),
        left_out,
        missing_gold: missing.len(),
        none: path.none,
        all: path.all,
        sum: gains.sum(),
        start: path.start,
        tokens_per_head: table(&gains.budget(options.tokens)),
        gains: report::rows(&gains),
        curve,
        tokens: options.tokens,
        first_layer: memory.first_memory_layer,
    })
}

fn table(budget: &TokensPerHead) -> Vec<Vec<u32>> {
    match budget {
        TokensPerHead::Uniform(tokens) => vec![vec![*tokens]],
        TokensPerHead::Budget(table) => table.clone(),
    }
}

/// Learnt tokens and nats of some batches.
fn totals(losses: &[GatedLoss]) -> (f64, f64) {
    (losses.iter().map(|loss| loss.hits.tokens as f64).sum(), losses.iter().map(|loss| loss.nats).sum())
}

/// Questions of one batch, of which each reads its own reference.
struct Part {
    sequences: Vec<Sequence>,
    all: AllTokens,
}

struct Work<'a> {
    model: &'a Model,
    edges: &'a [u32],
    progress: &'a dyn TrainProgress,
    cancel: &'a AtomicBool,
}

impl Work<'_> {
    fn write(&self, what: &str, cases: &[Case]) -> Result<Vec<Part>, BudgetError> {
        self.progress.begin(what, Some(cases.len() as u64));
        let write = |cases: &[Case]| {
            let references: Vec<&[u32]> = cases.iter().map(|case| case.reference.as_slice()).collect();
            let sequences = cases.iter().enumerate().map(|(n, case)| Sequence { chunks: vec![vec![(n, 0.0)]], ..case.sequence.clone() });
            let part = Part { sequences: sequences.collect(), all: self.model.write_all_tokens(&references, self.edges)? };
            self.done(cases.len())?;
            Ok(part)
        };
        cases.chunks(BATCH).map(write).collect()
    }

    fn losses(
        &self,
        what: &str,
        parts: &[Part],
        of: impl Fn(&Part) -> Result<GatedLoss, ComputeError>,
    ) -> Result<Vec<GatedLoss>, BudgetError> {
        self.progress.begin(what, Some(parts.iter().map(|part| part.sequences.len() as u64).sum()));
        let loss = |part: &Part| {
            let loss = of(part)?;
            self.done(part.sequences.len())?;
            Ok(loss)
        };
        parts.iter().map(loss).collect()
    }

    fn done(&self, questions: usize) -> Result<(), BudgetError> {
        self.progress.advance(questions as u64);
        if self.cancel.load(Ordering::SeqCst) { Err(BudgetError::Interrupted) } else { Ok(()) }
    }
}
