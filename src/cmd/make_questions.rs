//! `mempack make-questions`: a corpus with questions, made up or from a corpus without labels.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use mempack_corpus::{CorpusItem, Document, Documents};
use mempack_questions::{
    Cloze, ClozeOptions, CorpusDocument, Domain, Fiction, FictionOptions, Folder, PreferenceFolder, Summary, make_preferences,
    read_questions,
};
use serde_json::{Value, json};

use super::corpus::{self, OnDuplicate, unless_interrupted};
use crate::failure::{Failure, Kind};
use crate::interrupt;
use crate::output::{bytes, thousands};
use crate::progress::Progress;
use crate::terminal::{self, outln};

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Fictional medical and legal documents, with short questions about them
    Fiction(FictionArgs),
    /// Questions from any corpus: a sentence with something left out
    Cloze(ClozeArgs),
    /// Pairs of answers from questions, for preference training: the right one, and one that no reference supports
    Preferences(PreferencesArgs),
}

#[derive(clap::Args)]
struct OutputArgs {
    /// The folder to write; it must be new or empty
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Seed of the random numbers; the same seed and options give the same bytes
    #[arg(long, default_value_t = 0, value_name = "S")]
    seed: u64,
    /// Print the figures as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct FictionArgs {
    #[command(flatten)]
    output: OutputArgs,
    /// Documents to make
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    documents: u64,
    /// What the documents are about
    #[arg(long, value_enum, default_value_t = About::Both)]
    domain: About,
    /// Share of questions that no document answers, from 0 to 1
    #[arg(long, default_value_t = FictionOptions::default().unanswerable, value_name = "SHARE")]
    unanswerable: f64,
    /// Maximum number of questions about each document
    #[arg(long, default_value_t = FictionOptions::default().per_document, value_name = "Q")]
    per_document: usize,
}

#[derive(clap::Args)]
struct ClozeArgs {
    /// The corpus: .txt, .md and .jsonl files, folders of them, or - for standard input
    #[arg(required = true, value_name = "CORPUS")]
    corpus: Vec<PathBuf>,
    /// What to do if two documents have the same id
    #[arg(long, value_enum, default_value_t, value_name = "RULE")]
    duplicate_ids: OnDuplicate,
    #[command(flatten)]
    output: OutputArgs,
    /// Maximum number of questions about each document
    #[arg(long, default_value_t = ClozeOptions::default().per_document, value_name = "Q")]
    per_document: usize,
}

#[derive(clap::Args)]
struct PreferencesArgs {
    /// Files of questions
    #[arg(required = true, value_name = "QUESTIONS")]
    questions: Vec<PathBuf>,
    /// The corpus of the questions' gold documents: .txt, .md and .jsonl files, folders of them, or - for standard input
    #[arg(long, required = true, num_args = 1.., value_name = "CORPUS")]
    corpus: Vec<PathBuf>,
    /// What to do if two documents have the same id
    #[arg(long, value_enum, default_value_t, value_name = "RULE")]
    duplicate_ids: OnDuplicate,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum About {
    Medical,
    Legal,
    Both,
}

pub fn run(args: Args) -> Result<(), Failure> {
    match args.what {
        What::Fiction(args) => fiction(&args),
        What::Cloze(args) => cloze(&args),
        What::Preferences(args) => preferences(&args),
    }
}

fn fiction(args: &FictionArgs) -> Result<(), Failure> {
    let cancel = interrupt::flag();
    let domain = match args.domain {
        About::Medical => Some(Domain::Medical),
        About::Legal => Some(Domain::Legal),
        About::Both => None,
    };
    let options = FictionOptions {
        documents: args.documents,
        domain,
        seed: args.output.seed,
        unanswerable: args.unanswerable,
        per_document: args.per_document,
    };
    let fiction = Fiction::new(&options).map_err(|error| Failure::new(Kind::Usage, error))?;
    let mut folder = Folder::create(&args.output.output)?;
    let progress = Progress::new();
    progress.begin("making", "documents", Some(args.documents));
    for made in fiction {
        unless_interrupted(cancel)?;
        folder.write(&made.document, &made.questions)?;
        progress.advance(1, 0);
    }
    let domain = format!("{:?}", args.domain).to_lowercase();
    let options = json!({
        "documents": args.documents, "domain": domain, "seed": args.output.seed,
        "unanswerable": args.unanswerable, "per_document": args.per_document,
    });
    let summary = folder.finish(how("fiction", options))?;
    progress.end();
    print(&args.output, summary);
    Ok(())
}

fn cloze(args: &ClozeArgs) -> Result<(), Failure> {
    let names: Vec<_> = args.corpus.iter().map(|path| path.display().to_string()).collect();
    let mut cloze = Cloze::new(&ClozeOptions { per_document: args.per_document, seed: args.output.seed });
    let mut folder = Folder::create(&args.output.output)?;
    let progress = Progress::new();
    progress.begin("asking", "documents", None);
    each_document(&args.corpus, args.duplicate_ids, &progress, |metadata, text| {
        let Document { id, title, source, license, .. } = metadata;
        let document = CorpusDocument { id, title, text, source, license };
        Ok(folder.write(&document, &cloze.questions(&document))?)
    })?;
    let options = json!({"corpus": names, "per_document": args.per_document, "seed": args.output.seed});
    if folder.summary().questions == 0 {
        let none = "no question could be made: no sentence has a number, name or term that occurs only once in its document";
        return Err(Failure::new(Kind::Work, format!("{}: {none}; give longer texts", names.join(", "))));
    }
    let summary = folder.finish(how("cloze", options))?;
    progress.end();
    print(&args.output, summary);
    Ok(())
}

/// Calls `each` with the metadata and the text of every document of a corpus that has one, until it fails or the user interrupts.
fn each_document(
    corpus: &[PathBuf],
    duplicate_ids: OnDuplicate,
    progress: &Progress,
    mut each: impl FnMut(Document, String) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let cancel = interrupt::flag();
    let documents = Documents::new(&corpus::inputs(corpus), io::stdin());
    for item in documents.stopped_by(interrupt::shared()).with_duplicate_ids(duplicate_ids.into()) {
        unless_interrupted(cancel)?;
        match item.map_err(corpus::failure)? {
            CorpusItem::Note(note) => progress.note(&note.to_string()),
            CorpusItem::Document(document) => {
                let Some((metadata, text)) = document.read_text().map_err(corpus::failure)? else { continue };
                each(metadata, text)?;
                progress.advance(1, 0);
            }
        }
    }
    Ok(())
}

fn preferences(args: &PreferencesArgs) -> Result<(), Failure> {
    let mut questions = Vec::new();
    for path in &args.questions {
        questions.extend(read_questions(path).map_err(|error| Failure::new(Kind::Work, error))?);
    }
    let folder = PreferenceFolder::create(&args.output.output)?;
    let golds: HashSet<&str> = questions.iter().flat_map(|question| &question.gold_ids).map(String::as_str).collect();
    let mut documents = HashMap::new();
    let progress = Progress::new();
    progress.begin("reading", "documents", None);
    each_document(&args.corpus, args.duplicate_ids, &progress, |metadata, text| {
        if golds.contains(metadata.id.as_str()) {
            documents.insert(metadata.id, text);
        }
        Ok(())
    })?;
    let made = make_preferences(&questions, &documents, args.output.seed);
    progress.end();
    if made.preferences.is_empty() {
        let why = format!(
            "no preference could be made: of {} questions, {} have no gold document in the corpus, and for {} no other answer differs",
            questions.len(),
            made.without_document,
            made.without_other
        );
        return Err(Failure::new(Kind::Work, format!("{why}; give the corpus that gold_ids name, and more questions")));
    }
    let names = |paths: &[PathBuf]| paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
    let options = json!({"questions": names(&args.questions), "corpus": names(&args.corpus), "seed": args.output.seed});
    let size = folder.finish(&made.preferences, how("preferences", options))?;
    let (count, without_document, without_other) = (made.preferences.len() as u64, made.without_document, made.without_other);
    if args.output.json {
        terminal::print_json(&json!({
            "folder": args.output.output, "preferences": count, "without_document": without_document, "without_other": without_other,
            "bytes": size, "seed": args.output.seed,
        }));
    } else {
        outln!(
            "{}: {} preferences, {}; left out: {} questions without a gold document in the corpus, {} without another answer",
            args.output.output.display(),
            thousands(count),
            bytes(size),
            thousands(without_document),
            thousands(without_other)
        );
    }
    Ok(())
}

/// How a folder was made, for the file in it that describes it.
fn how(command: &str, options: Value) -> Value {
    json!({"command": format!("mempack make-questions {command}"), "version": env!("CARGO_PKG_VERSION"), "options": options})
}

fn print(args: &OutputArgs, summary: Summary) {
    let Summary { documents, questions, unanswerable, bytes: size } = summary;
    if args.json {
        terminal::print_json(&json!({
            "folder": args.output, "documents": documents, "questions": questions, "unanswerable": unanswerable,
            "bytes": size, "seed": args.seed,
        }));
    } else {
        outln!(
            "{}: {} documents, {} questions, of which {} without an answer, {}",
            args.output.display(),
            thousands(documents),
            thousands(questions),
            thousands(unanswerable),
            bytes(size)
        );
    }
}
