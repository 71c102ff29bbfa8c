//! `mempack corpus`: how a corpus is read and cut, without a build. It needs the tokenizer of a model and none of its weights.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use mempack_corpus::{CorpusItem, CorpusNote, CutOptions, Documents, Passage, Segmenter};
use serde_json::json;

use super::corpus::{self, unless_interrupted};
use super::files::FileArgs;
use crate::failure::{Failure, Kind};
use crate::folders::TokenizerArgs;
use crate::interrupt;
use crate::output::thousands;
use crate::output_file::{CUTS_FIRST_LINE, Contents, OutputFile};
use crate::terminal::{self, errln, outln};

#[derive(clap::Args)]
pub struct Args {
    /// The corpus, as mempack build reads it
    #[arg(required = true, value_name = "CORPUS")]
    corpus: Vec<PathBuf>,
    /// Print every reference with its place, as the model reads it
    #[arg(long)]
    show: bool,
    /// Write a page with every reference
    #[arg(long, value_name = "PAGE")]
    html: Option<PathBuf>,
    /// Print a JSON object for each reference, and one for the corpus at the end
    #[arg(long)]
    json: bool,
    /// What to do if two documents have the same id
    #[arg(long, value_enum, default_value_t, value_name = "RULE")]
    duplicate_ids: corpus::OnDuplicate,
    /// Refuse a folder with a file that cannot be read
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    cut: CutArgs,
    #[command(flatten)]
    files: FileArgs,
    #[command(flatten)]
    model: TokenizerArgs,
}

/// How documents are cut into references.
#[derive(clap::Args)]
#[command(next_help_heading = "References")]
pub struct CutArgs {
    /// Maximum tokens of a reference, at most the model's own [default: the model's]
    #[arg(long, value_name = "TOKENS")]
    reference_length: Option<usize>,
    /// Tokens, at most, of the end of a reference that the next one of its section begins with again
    #[arg(long, default_value_t = 0, value_name = "TOKENS")]
    reference_overlap: usize,
    /// Do not read the title of a document before its references
    #[arg(long)]
    no_title: bool,
}

impl CutArgs {
    pub fn options(&self) -> CutOptions {
        CutOptions { reference_length: self.reference_length, overlap: self.reference_overlap, title: !self.no_title }
    }
}

/// What is counted.
#[derive(Default)]
struct Counts {
    documents: u64,
    references: u64,
    tokens: u64,
    longest: usize,
    without_words: u64,
    skipped: Vec<(String, String)>,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let cancel = interrupt::flag();
    let sources: Vec<&Path> = args.corpus.iter().map(PathBuf::as_path).collect();
    let page = args.html.as_deref().map(|path| OutputFile::check("--html", path, Contents::Cuts, &sources)).transpose()?;
    let tokenizer = args.model.load()?;
    let segmenter = Segmenter::with_options(&tokenizer, args.cut.options()).map_err(corpus::failure)?;
    let documents = Documents::new(&corpus::inputs(&args.corpus), io::stdin())
        .with_duplicate_ids(args.duplicate_ids.into())
        .with_fields()
        .with_extraction(args.files.extraction()?)
        .strict(args.strict)
        .stopped_by(interrupt::shared());
    let (mut counts, mut html) = (Counts::default(), page.as_ref().map(|_| Page::default()));
    for item in documents {
        unless_interrupted(cancel)?;
        let document = match item.map_err(corpus::failure)? {
            CorpusItem::Document(document) => document,
            CorpusItem::Note(note) => {
                errln!("note: {note}");
                if let CorpusNote::Skipped { path, reason } = note {
                    counts.skipped.push((path, reason));
                }
                continue;
            }
        };
        let Some(passages) = segmenter.cut(document).map_err(corpus::failure)? else {
            counts.without_words += 1;
            continue;
        };
        counts.documents += 1;
        let metadata = passages.metadata().clone();
        if let Some(html) = &mut html {
            html.document(&metadata.id, &metadata.title);
        }
        for passage in passages {
            let passage = passage.map_err(corpus::failure)?;
            unless_interrupted(cancel)?;
            counts.references += 1;
            counts.tokens += passage.ids.len() as u64;
            counts.longest = counts.longest.max(passage.ids.len());
            if args.json {
                terminal::print_json(&line(&metadata.id, &passage));
            } else if args.show {
                outln!("== {}{}, {} tokens", metadata.id, place(&passage), passage.ids.len());
                outln!("{}{}\n", passage.lead, passage.text);
            }
            if let Some(html) = &mut html {
                html.passage(&passage);
            }
        }
    }
    if counts.documents == 0 {
        return Err(Failure::new(Kind::Work, "the corpus has no documents with words"));
    }
    if let (Some(page), Some(html)) = (page, html) {
        page.write(html.finish(&summary(&counts)).as_bytes())?;
    }
    if args.json {
        let skipped: Vec<_> = counts.skipped.iter().map(|(path, reason)| json!({"path": path, "reason": reason})).collect();
        terminal::print_json(&json!({
            "documents": counts.documents, "references": counts.references, "tokens": counts.tokens, "longest": counts.longest,
            "without_words": counts.without_words, "skipped_files": skipped,
        }));
    } else {
        outln!("{}", summary(&counts));
    }
    Ok(())
}

/// Where a passage stands, after a comma; empty if nothing is known but its bytes.
fn place(passage: &Passage) -> String {
    if passage.place.is_empty() { format!(", bytes {}-{}", passage.start, passage.end) } else { format!(", {}", passage.place) }
}

fn line(document: &str, passage: &Passage) -> serde_json::Value {
    json!({
        "document": document, "place": passage.place.to_string(), "start": passage.start, "end": passage.end,
        "tokens": passage.ids.len(), "text": format!("{}{}", passage.lead, passage.text),
    })
}

fn summary(counts: &Counts) -> String {
    let mut summary = format!(
        "{} documents, {} references, {} tokens ({} on average, {} at most)",
        thousands(counts.documents),
        thousands(counts.references),
        thousands(counts.tokens),
        counts.tokens / counts.references.max(1),
        counts.longest
    );
    for (count, what) in [(counts.without_words, "documents without words"), (counts.skipped.len() as u64, "files that could not be read")]
    {
        if count > 0 {
            let _ = write!(summary, "; {} {what}", thousands(count));
        }
    }
    summary
}

/// A page that shows the references of a corpus.
#[derive(Default)]
struct Page(String);

impl Page {
    fn document(&mut self, id: &str, title: &str) {
        let title = if title.is_empty() { id } else { title };
        let _ = writeln!(self.0, "<h2 title=\"{}\">{}</h2>", escaped(id), escaped(title));
    }

    fn passage(&mut self, passage: &Passage) {
        let place = place(passage);
        let (place, tokens) = (escaped(place.trim_start_matches(", ")), passage.ids.len());
        let (lead, text) = (escaped(&passage.lead), escaped(&passage.text));
        let _ = writeln!(self.0, "<section><header>{place}<span>{tokens} tokens</span></header><pre><i>{lead}</i>{text}</pre></section>");
    }

    fn finish(self, summary: &str) -> String {
        let summary = escaped(summary);
        format!(
            "{}\n<title>References of a corpus</title>\n<style>\n{}</style>\n<h1>References of a corpus</h1>\n<p>{summary}</p>\n{}",
            CUTS_FIRST_LINE,
            include_str!("cut.css"),
            self.0
        )
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
