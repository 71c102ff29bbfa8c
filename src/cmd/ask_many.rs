//! `mempack ask --questions`: answers to the questions of a file, many at once.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use mempack_model::Exchange;
use mempack_runtime::{Answer, AskError, BatchOptions, Piece, Request, Stop};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::Printing;
use super::packs;
use crate::failure::{Failure, Kind};
use crate::progress::Progress;
use crate::terminal::{self, errln, one_line, outln};

/// A line of the file.
#[derive(Deserialize)]
pub struct Row {
    #[serde(default)]
    id: Value,
    pub question: String,
    /// The turns of the conversation before it.
    #[serde(default)]
    earlier: Vec<Turn>,
}

/// A question that was asked before, and its answer.
#[derive(Deserialize)]
struct Turn {
    question: String,
    answer: String,
}

impl Row {
    fn earlier(&self) -> Vec<Exchange> {
        self.earlier.iter().map(|Turn { question, answer }| Exchange { question: question.clone(), answer: answer.clone() }).collect()
    }

    fn has_empty(&self) -> bool {
        self.earlier.iter().map(|turn| &turn.question).chain([&self.question]).any(|question| question.trim().is_empty())
    }
}

/// How many answers are decoded at once.
#[derive(clap::Args, Clone, Copy)]
pub struct BatchArgs {
    /// With --questions, answers that are decoded at once
    #[arg(long, default_value_t = BatchOptions::default().sequences, conflicts_with = "question", value_name = "N")]
    sequences: usize,
    /// With --questions, megabytes for keys and values of the answers that are decoded at once; questions that find no room wait
    #[arg(long, default_value_t = BatchOptions::default().bytes >> 20, conflicts_with = "question", value_name = "MB")]
    batch_memory: usize,
}

impl BatchArgs {
    pub fn options(self) -> BatchOptions {
        BatchOptions { sequences: self.sequences, bytes: self.batch_memory.saturating_mul(1 << 20) }
    }
}

/// Reads the questions of a file.
pub fn read(path: &Path) -> Result<Vec<Row>, Failure> {
    let rows: Vec<Row> = mempack_evaluation::read_rows(path, r#"{"id": "1", "question": "words"}"#)?;
    match rows.iter().find(|row| row.has_empty()) {
        Some(empty) => Err(Failure::new(Kind::Work, format!("{}: question {} is empty; ask something", path.display(), empty.id))),
        None => Ok(rows),
    }
}

/// Answers all questions and prints the answers in the order of the file. A question that fails is reported, and the others are still answered; the kind
/// of the first failure is that of the command.
pub fn answer(printing: &Printing<'_>, rows: &[Row], options: BatchOptions, interrupted: &AtomicBool) -> Result<(), Failure> {
    let stopped = || terminal::is_closed() || interrupted.load(Ordering::SeqCst);
    let mut batching = printing.session.batching(options).map_err(|error| Failure::new(Kind::Usage, error))?;
    let progress = Progress::new();
    progress.begin("answering", "questions", Some(rows.len() as u64));
    let mut answers: BTreeMap<u64, Result<Answer, AskError>> = BTreeMap::new();
    let (mut coming, mut printed) = (rows.iter(), rows.iter());
    let (mut number, mut failures) = (0, Vec::new());
    while !stopped() {
        while batching.pending() < 2 * options.sequences {
            let Some(row) = coming.next() else { break };
            let on_piece = |_: &Piece<'_>| if stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
            let request = Request { earlier: row.earlier(), ..Request::new(&row.question, Box::new(on_piece)) };
            batching.submit(request).map_err(|error| super::failed(error.is_damage(), error))?;
        }
        answers.extend(batching.step());
        while let Some(answer) = answers.remove(&number) {
            let Some(row) = printed.next() else { break };
            if matches!(&answer, Ok(answer) if answer.stop == Stop::Interrupted) {
                break;
            }
            number += 1;
            progress.advance(1, answer.as_ref().map_or(0, |answer| answer.tokens.len() as u64));
            failures.extend(print(printing, row, answer).err());
        }
        if batching.pending() == 0 && coming.len() == 0 {
            break;
        }
    }
    progress.end();
    match failures.first() {
        _ if number < rows.len() as u64 && !terminal::is_closed() => {
            Err(Failure::new(Kind::Interrupted, format!("interrupted after {number} of {} questions", rows.len())))
        }
        Some(first) => Err(Failure::new(first.kind(), format!("{} of {} questions failed", failures.len(), rows.len()))),
        None => Ok(()),
    }
}

/// Prints an answer, or what a question failed by.
fn print(printing: &Printing<'_>, row: &Row, answer: Result<Answer, AskError>) -> Result<(), Failure> {
    let told = match answer {
        Ok(answer) => {
            packs::report_skipped(&answer.skipped);
            printing.tell_slow_path(&answer);
            if printing.json {
                printing.as_json(&row.question, &answer).map(|mut json| {
                    json["id"] = row.id.clone();
                    terminal::print_json(&json);
                })
            } else {
                outln!("{} {}\n{}", row.id, one_line(&row.question), one_line(printing.said(&answer)));
                printing.print_sources(&answer).map(|()| outln!())
            }
        }
        Err(error) => Err(super::failed(error.is_damage(), error)),
    };
    let Err(failure) = told else { return Ok(()) };
    if printing.json {
        terminal::print_json(&json!({"id": row.id, "question": row.question, "error": failure.to_string()}));
    }
    errln!("mempack: question {}: {}", row.id, one_line(&failure.to_string()));
    Err(failure)
}
