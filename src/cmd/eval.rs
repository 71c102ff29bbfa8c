//! `mempack eval`: exact match over a file of questions, from memories and without.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mempack_runtime::{Answer, Hit, MappedPack, Session};
use serde::Deserialize;
use serde_json::json;

use super::ask::SessionArgs;
use crate::failure::{Failure, Kind};
use crate::progress::Progress;
use crate::score::exact_match;
use crate::{interrupt, jsonl};

#[derive(clap::Args)]
pub struct Args {
    /// The pack
    pack: PathBuf,
    /// The questions, {"id", "question", "answers": [...], "gold_ids": [...]} a line
    questions: PathBuf,
    #[command(flatten)]
    session: SessionArgs,
    /// Only this many questions, evenly spaced over the file
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Print one JSON object a question, and the sums last
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Question {
    id: String,
    question: String,
    answers: Vec<String>,
    #[serde(default)]
    gold_ids: Vec<String>,
}

/// Sums of one way of answering.
#[derive(Default)]
struct Sums {
    exact: usize,
    time: Duration,
    tokens: usize,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let pack = Arc::new(super::open(&args.pack)?);
    let mut questions: Vec<Question> =
        jsonl::read(&args.questions, r#"{"id": "1", "question": "...", "answers": ["..."], "gold_ids": ["..."]}"#)?;
    if let Some(limit) = args.limit.filter(|&n| n > 0 && n < questions.len()) {
        let all = questions.len();
        let mut number = 0..;
        questions.retain(|_| number.next().is_some_and(|i| i * limit / all != (i + 1) * limit / all));
    }
    let interrupted = interrupt::flag();
    let sessions = args.session.sessions(&pack, &[true, false])?;
    let mut sums = [Sums::default(), Sums::default()];
    let (mut first, mut any) = (0, 0);
    let progress = Progress::new();
    progress.begin("answering", "questions", Some(questions.len() as u64));
    for question in &questions {
        let mut answers = Vec::new();
        for (session, sums) in sessions.iter().zip(&mut sums) {
            if interrupted.load(Ordering::SeqCst) {
                return Err(Failure::new(Kind::Interrupted, "interrupted"));
            }
            answers.push(answer(&args, session, question, sums)?);
        }
        let read = documents(&args, &pack, &answers[0])?;
        let gold = |document: &String| question.gold_ids.contains(document);
        first += usize::from(read.first().is_some_and(gold));
        any += usize::from(read.iter().any(gold));
        if args.json {
            let [with, without] = [0, 1].map(|i: usize| answers[i].text.trim().to_owned());
            println!(
                "{}",
                json!({"id": question.id, "with": with, "without": without, "accepted": question.answers, "read": read,
                "exact": exact_match(&with, &question.answers), "exact_without": exact_match(&without, &question.answers)})
            );
        }
        progress.advance(1, 0);
    }
    progress.end();
    print(&args, questions.len(), &sums, first, any);
    Ok(())
}

fn answer(args: &Args, session: &Session, question: &Question, sums: &mut Sums) -> Result<Answer, Failure> {
    let started = Instant::now();
    let answer = session.ask(&question.question, &mut |_| ControlFlow::Continue(()));
    let answer = answer.map_err(|error| super::reading(&args.pack, error.is_damage(), error))?;
    sums.time += started.elapsed();
    sums.tokens += answer.tokens.len();
    sums.exact += usize::from(exact_match(&answer.text, &question.answers));
    Ok(answer)
}

/// Ids of the documents that an answer's first chunk read, best first.
fn documents(args: &Args, pack: &MappedPack, answer: &Answer) -> Result<Vec<String>, Failure> {
    let reads = answer.chunks.first().map_or(&[][..], |chunk| &chunk.reads);
    let id = |read: &mempack_runtime::Read| {
        let hit = pack.describe(&Hit { reference: read.reference, score: read.similarity });
        hit.map(|hit| hit.document).map_err(|error| super::reading(&args.pack, true, error))
    };
    reads.iter().map(id).collect()
}

fn print(args: &Args, count: usize, sums: &[Sums; 2], first: usize, any: usize) {
    let share = |n: usize| n as f64 / count as f64;
    let seconds = |sums: &Sums| sums.time.as_secs_f64() / count as f64;
    if args.json {
        let side =
            |s: &Sums| json!({"exact": s.exact, "exact_match": share(s.exact), "seconds_per_answer": seconds(s), "tokens": s.tokens});
        let sums = HashMap::from([("with", side(&sums[0])), ("without", side(&sums[1]))]);
        println!("{}", json!({"questions": count, "gold_first": share(first), "gold_read": share(any), "memories": sums}));
        return;
    }
    println!("{} questions about {}", count, args.pack.display());
    for (name, sums) in ["from memories", "without"].iter().zip(sums) {
        println!(
            "{name:<14} exact match {:.3} ({} of {count}), {:.2} s an answer, {} tokens",
            share(sums.exact),
            sums.exact,
            seconds(sums),
            sums.tokens
        );
    }
    println!("the gold document is read first in {:.3}, among the memories in {:.3}", share(first), share(any));
}
