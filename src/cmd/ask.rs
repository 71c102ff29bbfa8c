//! `mempack ask`: an answer, and the references it was read from.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use mempack_model::{AnswerMeasure, Precision};
use mempack_runtime::{AnswerOptions, MemoryCache, Mounts, ReadFrom, Sampling, Session, SessionOptions, Stop};

use super::answer::Printing;
use super::ask_many::{self, BatchArgs};
use super::packs::{self, PackArgs};
use super::rerank::RerankArgs;
use super::threshold::{self, Rule, Threshold};
use crate::failure::{Failure, Kind};
use crate::folders::{self, ModelArgs};
use crate::interrupt;
use crate::terminal::{self, errln, out, outln};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    packs: PackArgs,
    /// The question
    #[arg(required_unless_present = "questions", conflicts_with = "questions")]
    question: Option<String>,
    /// A file of questions, one {"id": ..., "question": ...} per line, which are answered many at once and printed in their order; "earlier":
    /// [{"question": ..., "answer": ...}] gives the turns of the conversation before a question
    #[arg(long, value_name = "FILE")]
    questions: Option<PathBuf>,
    #[command(flatten)]
    batch: BatchArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    rerank: RerankArgs,
    /// Precision of the computation: f32, bf16, or int8 (8-bit weights where answers are decoded, else bf16; on the CPU)
    #[arg(long, default_value_t, value_parser = super::answering)]
    precision: Precision,
    /// Maximum number of tokens of an answer
    #[arg(long, default_value_t = AnswerOptions::default().max_tokens, value_name = "N")]
    max_tokens: usize,
    /// Sample at this temperature; 0 takes the most likely token, as without this option
    #[arg(long, value_name = "T")]
    temperature: Option<f32>,
    /// Sample from the most likely tokens that together have this probability
    #[arg(long, default_value_t = 0.95, requires = "temperature", value_name = "P")]
    top_p: f32,
    /// Seed of the sampling: the same seed, the same answer
    #[arg(long, default_value_t = 0, requires = "temperature")]
    seed: u64,
    /// Memories per chunk, at most as many as the model reads
    #[arg(short, value_name = "K")]
    k: Option<usize>,
    /// Megabytes of decoded memories to cache
    #[arg(long, default_value_t = 256, value_name = "MB")]
    cache: usize,
    /// Threads for one operation of the model
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = super::threads)]
    threads: usize,
    /// Say that the references do not tell, in place of an answer whose confidence is below this number: the mean log-probability (nats per
    /// token, at most 0), or what --measure names; none gives every answer. The answer is then held back until it is complete [default: the
    /// model's answer_threshold, or none]
    #[arg(long, value_name = "X", allow_negative_numbers = true, conflicts_with = "no_memories")]
    threshold: Option<Threshold>,
    /// What the threshold is on: log_probability, or memory_attention, the share of attention that goes to memories where the answer's
    /// tokens are predicted (0 to 1) [default: log_probability]
    #[arg(long, value_name = "MEASURE", requires = "threshold")]
    measure: Option<AnswerMeasure>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Show the references that each chunk read, with their text
    #[arg(long)]
    show_memories: bool,
    /// Show how much the answer leaned on each reference: the share of attention that its tokens gave to the memory, 0 to 1; with --json also token
    /// by token
    #[arg(long, conflicts_with = "no_memories")]
    attention: bool,
    /// Answer without memories
    #[arg(long)]
    no_memories: bool,
}

impl Args {
    /// The session, and which answers are withheld.
    fn session(&self, mounts: Arc<Mounts>) -> Result<(Session, Rule), Failure> {
        mempack_model::set_threads(self.threads);
        let reranking = self.rerank.load(self.model.embedder.device)?;
        let (model, embedder) = self.model.load_both(self.precision);
        let model = model?;
        let mut rule = Rule::new(self.measure, self.threshold, model.memory());
        rule.threshold = rule.threshold.filter(|_| !self.no_memories);
        // Streamed text shows no confidence, and none is computed then.
        let measures = match rule.threshold {
            _ if self.json => vec![AnswerMeasure::LogProbability, AnswerMeasure::MemoryAttention],
            Some(_) => vec![rule.measure],
            None => Vec::new(),
        };
        if !self.no_memories {
            folders::warn_if_untrained(&model);
        }
        let cache = Arc::new(MemoryCache::new(self.cache << 20));
        let reranking = reranking.map(|chosen| chosen.with(|| Ok(model.share()), Arc::clone(&cache))).transpose()?;
        let embedder = embedder?;
        let sampling = match self.temperature {
            // At temperature 0 the most likely token has all the probability.
            Some(temperature) if temperature != 0.0 => Sampling::TopP { temperature, top_p: self.top_p, seed: self.seed },
            _ => Sampling::Greedy,
        };
        let answers = AnswerOptions {
            read_from: if self.no_memories { ReadFrom::Weights { prefix: true } } else { ReadFrom::PackMemories },
            sampling,
            max_tokens: self.max_tokens,
            k: self.k,
            ranking: self.packs.ranking(),
            strategy: self.packs.strategy,
            reranking,
            measures,
            attention: self.attention,
            ..AnswerOptions::default()
        };
        let options = SessionOptions { answers, cache, skip_damaged: self.packs.skip_damaged, ..SessionOptions::default() };
        let session = Session::over(&model, &embedder, mounts, options).map_err(|error| {
            let (kind, hint, details) = super::of_session(&error);
            Failure::new(kind, error).with_hint(hint).with_details(details)
        })?;
        Ok((session, rule))
    }
}

pub fn run(args: Args) -> Result<(), Failure> {
    threshold::check(args.measure, args.threshold)?;
    let rows = args.questions.as_deref().map(ask_many::read).transpose()?;
    let mounts = args.packs.mount()?;
    let mounted = mounts.packs();
    let interrupted = interrupt::flag();
    let (session, rule) = args.session(mounts)?;
    let Args { json, show_memories, attention, .. } = args;
    let printing = Printing { session: &session, packs: &args.packs, mounted, rule, json, show_memories, attention };
    if let Some(rows) = rows {
        return ask_many::answer(&printing, &rows, args.batch.options(), interrupted);
    }
    let question = args.question.as_deref().unwrap_or_default(); // clap requires one of the two
    let answer = session.ask(question, &mut |text| {
        if printing.streams() {
            out!("{text}");
        }
        if terminal::is_closed() || interrupted.load(Ordering::SeqCst) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let answer = answer.map_err(|error| super::failed(error.is_damage(), error))?;
    let complete = answer.stop != Stop::Interrupted;
    printing.print(question, &answer)?;
    if let Some(reader) = folders::reader(session.model()).filter(|_| !args.json) {
        outln!("\nreading adapter: {}", terminal::one_line(&reader));
    }
    packs::report_skipped(&answer.skipped);
    printing.tell_slow_path(&answer);
    if printing.said(&answer).is_empty() && complete {
        errln!("mempack: the answer is empty: the model ended it at once");
    }
    if !complete && !terminal::is_closed() { Err(Failure::new(Kind::Interrupted, "interrupted")) } else { Ok(()) }
}
