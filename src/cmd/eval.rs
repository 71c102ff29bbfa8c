//! `mempack eval`: what a pack's memories are worth, on questions, multiple choice, suites of benchmarks or a text; and retrieval alone.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use mempack_evaluation::{
    self as evaluation, ChoiceOptions, DEFAULT_OVERLAP, Mode, Models, PerplexityOptions, QuestionOptions, QuestionReport, ScatterPoints,
    Suite, SuiteOptions, Sweep, UnknownMode,
};
use mempack_model::{AnswerMeasure, Embedder, Model, Precision};
use mempack_runtime::{Expression, Mounts, Ranking, Reranking, Strategy};

use super::measuring::{Details, Measuring};
use super::packs::{self, Probing, Search};
use super::rerank::RerankArgs;
use super::retrieval;
use super::threshold::{self, Rule, Threshold};
use crate::failure::{Failure, Kind};
use crate::folders::ModelArgs;
use crate::interrupt;
use crate::output_file::{Contents, OutputFile};
use crate::progress::Progress;
use crate::terminal::{errln, outln};

#[derive(clap::Args)]
pub struct Args {
    /// Questions to answer, one {"id", "question", "answers": [...], "gold_ids": [...]} per line
    #[arg(required_unless_present_any = ["retrieval", "multiple_choice", "perplexity", "suite"], requires = "pack")]
    questions: Option<PathBuf>,
    /// Retrieval alone instead, without the model (unless --reranker memory needs it): where the documents of "gold_ids" are among the
    /// references found by each --search
    #[arg(long, value_name = "FILE", requires = "pack", conflicts_with_all = ["questions", "multiple_choice", "perplexity", "suite", "modes",
        "sweep", "k", "overlap", "threshold", "measure", "choose_threshold", "max_tokens", "precision"])]
    retrieval: Option<PathBuf>,
    /// Multiple choice instead: lines of TruthfulQA ("mc1", "mc2"), MMLU ("choices", "answer") or HaluEval-QA ("answers", "incorrect")
    #[arg(long, value_name = "FILE", conflicts_with_all = ["questions", "perplexity"])]
    multiple_choice: Option<PathBuf>,
    /// Perplexity of a text instead: any text file, or the field "text" of .jsonl lines
    #[arg(long, value_name = "FILE", conflicts_with = "questions")]
    perplexity: Option<PathBuf>,
    /// A suite of benchmarks instead: professional (MMLU, medicine and law) or factual (TruthfulQA, HaluEval-QA)
    #[arg(long, value_name = "SUITE", conflicts_with_all = ["questions", "multiple_choice", "perplexity", "sweep", "k"])]
    suite: Option<Suite>,
    /// The folder of the suite's files: mmlu_med_law/qa.jsonl, or hallucination/truthfulqa.jsonl and hallucination/halueval_qa.jsonl
    #[arg(long, value_name = "DIR", requires = "suite")]
    data: Option<PathBuf>,
    /// Numbers of memories of a chunk to measure the suite with; 0 is closed book [default: 0,1,3,5]
    #[arg(long, value_name = "LIST", value_delimiter = ',', requires = "suite")]
    memories: Vec<usize>,
    /// The --details of an earlier run of a suite, drawn in the --figure too, for example with another model; may be repeated. Without
    /// --data nothing is measured
    #[arg(long, value_name = "FILE", requires_all = ["suite", "figure"])]
    runs: Vec<PathBuf>,
    /// The pack
    #[arg(long, value_name = "PACK")]
    pack: Option<PathBuf>,
    /// Another pack of the same model, for a suite or retrieval: read together with the first; may be repeated
    #[arg(long, value_name = "PACK", requires = "pack")]
    with: Vec<PathBuf>,
    #[command(flatten)]
    probing: Probing,
    /// Find only what this filter over the documents' fields admits, as in search
    #[arg(long = "where", value_name = "FILTER", requires = "pack")]
    filter: Option<Expression>,
    #[command(flatten)]
    model: ModelArgs,
    /// Precision of the computation: f32, bf16, or int8 (8-bit weights where answers are decoded, else bf16; on the CPU)
    #[arg(long, default_value_t, value_parser = super::answering)]
    precision: Precision,
    /// Ways of answering, separated by commas, or all: closed_book, memory, memory_quantized, in_context; the last three with _gold for
    /// the gold reference alone; closed_book_base, in_context_base, in_context_gold_base for the base of an adapter
    #[arg(long, value_name = "LIST")]
    modes: Option<Modes>,
    /// Vary one parameter after the other, separated by commas: the number of references (k), the tokens kept of each (tokens), the weight
    /// of the retrieval similarity (bias), how far below the best hit a memory may be (margin)
    #[arg(long, value_name = "WHAT", value_delimiter = ',', conflicts_with_all = ["multiple_choice", "perplexity"])]
    sweep: Vec<Sweep>,
    /// Number of references; may exceed the number of memories that the model reads by default
    #[arg(short, value_name = "K")]
    k: Option<usize>,
    /// By what references are ranked: dense, lexical or hybrid, as in ask [default: hybrid; --retrieval measures all of them]
    #[arg(long, value_enum, value_name = "RANKING")]
    search: Option<Search>,
    /// Which of the references found are read, as in ask; for --retrieval several, separated by commas [default: top-k; --retrieval compares
    /// top-k, similarity and diverse]
    #[arg(long, value_name = "STRATEGY", value_delimiter = ',')]
    strategy: Vec<Strategy>,
    #[command(flatten)]
    rerank: RerankArgs,
    /// Leave out references of which more than this share repeats the question or text; 1 leaves none out
    #[arg(long, default_value_t = DEFAULT_OVERLAP, value_name = "SHARE")]
    overlap: f64,
    /// Withhold answers from references whose confidence is below this number, as ask --threshold does; they count as abstaining. none
    /// withholds none [default: the model's answer_threshold, as in ask, or none]
    #[arg(long, value_name = "X", allow_negative_numbers = true, conflicts_with_all = ["multiple_choice", "perplexity", "suite"])]
    threshold: Option<Threshold>,
    /// What confidence is measured by: log_probability, or memory_attention, the share of attention that goes to memories where the answer's
    /// tokens are predicted (0 to 1; only modes that read memories have it) [default: log_probability; without --threshold the model's
    /// answer_measure]
    #[arg(long, value_name = "MEASURE", conflicts_with_all = ["multiple_choice", "perplexity", "suite"])]
    measure: Option<AnswerMeasure>,
    /// Print, in place of the table, the largest threshold of each mode that loses at most 5% of the right answers to these questions, and
    /// how many unanswerable questions it declines
    #[arg(long, conflicts_with_all = ["multiple_choice", "perplexity", "suite", "threshold", "json"])]
    choose_threshold: bool,
    /// Maximum number of tokens of an answer
    #[arg(long, default_value_t = QuestionOptions::default().max_tokens, value_name = "N")]
    max_tokens: usize,
    /// Questions that each way of answering decodes at once; 1 measures times as a single question takes them
    #[arg(long, default_value_t = QuestionOptions::default().sequences, value_name = "N")]
    sequences: usize,
    /// Use only this many questions (or windows of text), evenly spaced over the file
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Write a JSON line with all details of each question as it is answered
    #[arg(long, value_name = "FILE")]
    details: Option<PathBuf>,
    /// Draw the figures as an SVG file, or as PNG if its name ends in .png: scores, precision over coverage with its area, sweeps; of
    /// retrieval, recall over the number of references; of a suite, the scores over the model's parameters
    #[arg(long, value_name = "FILE", conflicts_with_all = ["multiple_choice", "perplexity"])]
    figure: Option<PathBuf>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// Threads for one operation of the model
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = super::threads)]
    threads: usize,
}

impl Args {
    /// Refuses options of suites without one. clap does not, if another measurement is named.
    fn check(&self) -> Result<(), Failure> {
        let given = [
            ("--data", self.data.is_some()),
            ("--memories", !self.memories.is_empty()),
            ("--runs", !self.runs.is_empty()),
            ("--with", !self.with.is_empty() && self.retrieval.is_none()),
        ];
        if self.strategy.len() > 1 && self.retrieval.is_none() {
            return Err(Failure::new(Kind::Usage, "--strategy names several strategies, which only --retrieval compares: name one"));
        }
        let likelihoods = self.multiple_choice.is_some() || self.perplexity.is_some() || self.suite.is_some();
        if self.precision == Precision::Int8 && likelihoods {
            return Err(Failure::new(
                Kind::Usage,
                "--precision int8 is about decoding answers, and likelihoods are measured here: use bf16",
            ));
        }
        match given.into_iter().find(|(_, given)| *given && self.suite.is_none()) {
            Some(("--with", _)) => Err(Failure::new(Kind::Usage, "--with belongs to a suite or to --retrieval: name one of them")),
            Some((option, _)) => Err(Failure::new(Kind::Usage, format!("{option} belongs to a suite: name one with --suite"))),
            None => Ok(()),
        }
    }
}

/// The argument of `--modes`.
#[derive(Clone)]
enum Modes {
    /// All that fit the measurement.
    All,
    These(Vec<Mode>),
}

impl FromStr for Modes {
    type Err = UnknownMode;

    fn from_str(words: &str) -> Result<Self, UnknownMode> {
        if words == "all" {
            return Ok(Self::All);
        }
        words.split(',').map(|word| word.trim().parse()).collect::<Result<_, _>>().map(Self::These)
    }
}

pub fn run(args: Args) -> Result<(), Failure> {
    let interrupted = interrupt::flag();
    args.check()?;
    threshold::check(args.measure, args.threshold)?;
    let outputs = Outputs::check(&args)?;
    let mounts = args.pack.as_deref().map(|pack| {
        let mounts = args.probing.mount(pack, &args.with, Vec::new())?;
        let mounts = packs::selecting(mounts, args.filter.clone())?;
        packs::tell_missing_terms(&mounts, args.search.unwrap_or_default().into());
        Ok::<_, Failure>(mounts)
    });
    let mounts = mounts.transpose()?;
    let measuring = Measuring { interrupted, progress: Progress::new(), json: args.json };
    let job = Job { args: &args, mounts, measuring };
    if let Some(suite) = args.suite {
        return job.suite(suite, outputs);
    }
    if let Some(file) = &args.retrieval {
        return job.retrieval(file, outputs);
    }
    match (&args.questions, &args.multiple_choice, &args.perplexity) {
        (_, Some(file), _) => job.choices(file, outputs),
        (_, _, Some(file)) => job.perplexity(file, outputs),
        (Some(file), None, None) => job.questions(file, outputs),
        (None, None, None) => Ok(()), // clap requires one of the five
    }
}

/// The files to write, checked before the long work.
struct Outputs {
    details: Option<OutputFile>,
    figure: Option<OutputFile>,
}

impl Outputs {
    fn check(args: &Args) -> Result<Self, Failure> {
        let inputs = [&args.questions, &args.retrieval, &args.multiple_choice, &args.perplexity, &args.pack];
        let several = args.with.iter().chain(&args.runs).map(PathBuf::as_path);
        let inputs: Vec<&Path> = inputs.into_iter().filter_map(Option::as_deref).chain(several).collect();
        let details = args.details.as_deref().map(|path| OutputFile::check("--details", path, Contents::Details, &inputs)).transpose()?;
        let others: Vec<&Path> = inputs.into_iter().chain(args.details.as_deref()).collect();
        let figure =
            args.figure.as_deref().map(|path| OutputFile::check("--figure", path, Contents::of_figure(path), &others)).transpose()?;
        Ok(Self { details, figure })
    }
}

/// What is loaded for all measurements.
struct Loaded {
    model: Model,
    base: Option<Model>,
    embedder: Embedder,
    ranking: Ranking,
    strategy: Strategy,
    reranking: Option<Reranking>,
}

impl Loaded {
    fn models(&self) -> Models<'_> {
        let Self { model, base, embedder, ranking, strategy, reranking } = self;
        Models { model, base: base.as_ref(), embedder, ranking: *ranking, strategy: *strategy, reranking: reranking.as_ref() }
    }
}

struct Job<'a> {
    args: &'a Args,
    mounts: Option<Arc<Mounts>>,
    measuring: Measuring,
}

impl Job<'_> {
    fn questions(&self, file: &Path, outputs: Outputs) -> Result<(), Failure> {
        let questions = self.limited(evaluation::read_questions(file)?);
        let Some(mounts) = &self.mounts else { return Ok(()) }; // clap requires it
        let (loaded, modes) = self.load(&Mode::DEFAULT, |_| true)?;
        let rule = Rule::new(self.args.measure, self.args.threshold, loaded.model.memory());
        // Thresholds are chosen among all answers.
        let threshold = rule.threshold.filter(|_| !self.args.choose_threshold);
        if let (Some(threshold), None) = (threshold, self.args.threshold) {
            errln!(
                "mempack: the model's own answer_threshold applies, as in ask: {} {threshold}; --threshold none scores all answers",
                rule.measure
            );
        }
        let options = QuestionOptions {
            modes,
            sweeps: self.args.sweep.clone(),
            k: self.args.k,
            sequences: self.args.sequences,
            max_tokens: self.args.max_tokens,
            overlap: self.args.overlap,
            threshold,
            measure: rule.measure,
            memory_attention: self.args.details.is_some(),
        };
        let mut details = Details::create(outputs.details)?;
        self.measuring.progress.begin("answering", "questions", Some(questions.len() as u64));
        let report = evaluation::answer_questions(&loaded.models(), mounts, &questions, &options, &mut |asked| {
            self.measuring.progress.advance(1, asked.outcomes.iter().map(|outcome| outcome.answer_tokens as u64).sum());
            self.measuring.proceed(details.write(asked))
        });
        let report = self.measuring.finish(details, report)?;
        if let Some(figure) = outputs.figure {
            figure.draw(&evaluation::figure(&report))?;
        }
        if self.args.choose_threshold { print_thresholds(&report) } else { self.measuring.print(&report) }
    }

    fn retrieval(&self, file: &Path, outputs: Outputs) -> Result<(), Failure> {
        let questions = self.limited(evaluation::read_questions(file)?);
        let Some(mounts) = &self.mounts else { return Ok(()) }; // clap requires it
        mempack_model::set_threads(self.args.threads);
        let reranking = self.args.rerank.load(self.args.model.embedder.device)?;
        let model = || self.args.model.load(self.args.precision);
        let reranking = reranking.map(|chosen| chosen.with(model, Arc::default())).transpose()?;
        let embedder = self.args.model.embedder.load(Precision::F32)?;
        let options = retrieval::options(self.args.search, &self.args.strategy, reranking);
        retrieval::run(&self.measuring, &embedder, mounts, &questions, &options, outputs.details, outputs.figure)
    }

    fn choices(&self, file: &Path, outputs: Outputs) -> Result<(), Failure> {
        let questions = self.limited(evaluation::read_choices(file)?);
        let (loaded, modes) = self.load(&[Mode::ClosedBook, Mode::MemoryQuantized, Mode::InContext], |mode| !mode.uses_gold())?;
        let options = ChoiceOptions { modes, k: self.args.k, overlap: self.args.overlap };
        let mut details = Details::create(outputs.details)?;
        self.measuring.progress.begin("choosing", "questions", Some(questions.len() as u64));
        let report = evaluation::choose_answers(&loaded.models(), self.mounts.as_ref(), &questions, &options, &mut |question, chosen| {
            self.measuring.progress.advance(1, 0);
            self.measuring.proceed(details.write(&serde_json::json!({"choices": question.choices, "chosen": chosen})))
        });
        let report = self.measuring.finish(details, report)?;
        self.measuring.print(&report)
    }

    fn suite(&self, suite: Suite, outputs: Outputs) -> Result<(), Failure> {
        // Earlier runs first: a wrong file is found before the long work.
        let mut points = ScatterPoints::default();
        self.args.runs.iter().try_for_each(|run| evaluation::read_points(run).map(|read| points.extend(read)))?;
        match &self.args.data {
            Some(data) => points.extend(self.measure(suite, data, outputs.details)?),
            None if self.args.runs.is_empty() => {
                return Err(Failure::new(Kind::Usage, "a suite needs --data DIR, or --runs FILE and --figure FILE to draw earlier runs"));
            }
            None if outputs.details.is_some() => {
                return Err(Failure::new(Kind::Usage, "--details needs --data DIR: without it nothing is measured"));
            }
            None => {}
        }
        outputs.figure.map_or(Ok(()), |figure| figure.draw(&evaluation::scatter_figure(&points)))
    }

    /// Measures a suite and prints the report. Returns its points.
    fn measure(&self, suite: Suite, data: &Path, details: Option<OutputFile>) -> Result<ScatterPoints, Failure> {
        if self.mounts.is_none() && self.args.memories.iter().any(|memories| *memories > 0) {
            return Err(Failure::new(Kind::Usage, "--memories above 0 needs --pack PACK: memories are read from a pack"));
        }
        let mut tasks = evaluation::read_suite(suite, data)?;
        tasks.iter_mut().for_each(|task| task.questions = self.limited(std::mem::take(&mut task.questions)));
        let (loaded, modes) = self.load(&[Mode::ClosedBook, Mode::MemoryQuantized], |mode| !mode.uses_gold())?;
        let usual = SuiteOptions::default();
        let memories = if self.args.memories.is_empty() { usual.memories } else { self.args.memories.clone() };
        let options = SuiteOptions { modes, memories, overlap: self.args.overlap };
        let mut details = Details::create(details)?;
        let questions = tasks.iter().map(|task| task.questions.len() as u64).sum();
        self.measuring.progress.begin("choosing", "questions", Some(questions));
        let measured = evaluation::measure_suite(&loaded.models(), self.mounts.as_ref(), suite, &tasks, &options, &mut |asked| {
            self.measuring.progress.advance(1, 0);
            self.measuring.proceed(details.write(asked))
        });
        let (report, points) = self.measuring.finish(details, measured)?;
        self.measuring.print(&report)?;
        Ok(points)
    }

    fn perplexity(&self, file: &Path, outputs: Outputs) -> Result<(), Failure> {
        let texts = evaluation::read_texts(file)?;
        let fits = |mode: Mode| !mode.uses_gold() && (mode.reads_memories() || !mode.uses_retrieval());
        let (loaded, modes) = self.load(&[Mode::ClosedBook, Mode::MemoryQuantized], fits)?;
        let limit = self.args.limit.map(|limit| limit as usize);
        let options = PerplexityOptions { modes, k: self.args.k, overlap: self.args.overlap, limit };
        let mut details = Details::create(outputs.details)?;
        let mut begun = false;
        let report = evaluation::measure_perplexity(&loaded.models(), self.mounts.as_ref(), &texts, &options, &mut |window, all| {
            if !std::mem::replace(&mut begun, true) {
                self.measuring.progress.begin("predicting", "windows", Some(all as u64));
            }
            self.measuring.progress.advance(1, window.tokens as u64);
            self.measuring.proceed(details.write(window))
        });
        let report = self.measuring.finish(details, report)?;
        self.measuring.print(&report)
    }

    /// Loads the models, and returns them with the modes to measure: those named, or those of `default` that need no pack or have one.
    /// `fits` is true for the modes that this measurement has.
    fn load(&self, default: &[Mode], fits: fn(Mode) -> bool) -> Result<(Loaded, Vec<Mode>), Failure> {
        mempack_model::set_threads(self.args.threads);
        let has_pack = |mode: &Mode| self.mounts.is_some() || !mode.uses_retrieval();
        let wants_base = match &self.args.modes {
            None => false,
            Some(Modes::All) => true,
            Some(Modes::These(modes)) => modes.iter().any(|mode| mode.uses_base()),
        };
        let reranking = self.args.rerank.load(self.args.model.embedder.device)?;
        let base = if wants_base { self.args.model.load_base(self.args.precision)? } else { None };
        let modes = match &self.args.modes {
            None => default.iter().copied().filter(has_pack).collect(),
            Some(Modes::These(modes)) => modes.clone(),
            Some(Modes::All) => {
                let possible = |mode: &Mode| fits(*mode) && has_pack(mode) && (base.is_some() || !mode.uses_base());
                Mode::ALL.into_iter().filter(possible).collect()
            }
        };
        let model = self.args.model.load(self.args.precision)?;
        let reranking = reranking.map(|chosen| chosen.with(|| Ok(model.share()), Arc::default())).transpose()?;
        let embedder = self.args.model.embedder.load(Precision::F32)?;
        let (ranking, strategy) = (self.args.search.unwrap_or_default().into(), self.args.strategy.first().copied().unwrap_or_default());
        Ok((Loaded { model, base, embedder, ranking, strategy, reranking }, modes))
    }

    fn limited<T>(&self, rows: Vec<T>) -> Vec<T> {
        evaluation::evenly(rows, self.args.limit.map(|limit| limit as usize))
    }
}

/// Prints the threshold of each mode that reads references.
fn print_thresholds(report: &QuestionReport) -> Result<(), Failure> {
    let modes = report.modes.iter().filter(|(mode, _)| mode.uses_gold() || mode.uses_retrieval());
    let chosen = modes.filter_map(|(mode, figures)| Some((mode, figures.selective.as_ref()?.chosen?)));
    let chosen: Vec<_> = chosen.collect();
    if chosen.is_empty() {
        let message = "no threshold can be chosen: no mode that reads references gave a right answer to these questions";
        return Err(Failure::new(Kind::Work, message));
    }
    chosen.iter().for_each(|(mode, declined)| outln!("{mode}: {declined}"));
    Ok(())
}
