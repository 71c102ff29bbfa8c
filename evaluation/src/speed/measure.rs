//! Runs the cases in alternating rounds.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use mempack_model::{Exchange, MemoryConfig, Model};
use mempack_numeric::Rng;
use mempack_runtime::{
    Answer, AnswerOptions, BatchOptions, Batching, MappedPack, MemoryCache, Mounts, Part, Piece, ReadFrom, Request, Session,
    SessionOptions, read_reference,
};

use super::cases::{Case, INPUT, Reads, SpeedOptions, cases};
use super::report::{Run, SpeedReport};
use crate::contender::context_template;
use crate::models::ModelName;
use crate::{EvaluateError, Models};

/// Measures how fast `models` decode with `packs`. `observe` is called after each run with the number of runs done and their total, and can stop the
/// measurement.
///
/// Answers go on to the wanted number of tokens whatever the model says. Decoded
/// memories are not kept from one run to the next.
///
/// # Errors
/// If a pack and the models do not match, an option is out of range, a pack is damaged, a question does not fit into the model's context, or `observe`
/// stops the measurement.
pub fn measure_speed(
    models: &Models<'_>,
    packs: &[Arc<MappedPack>],
    options: &SpeedOptions,
    observe: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<SpeedReport, EvaluateError> {
    let own = models.model.memory().memories_per_chunk as usize;
    let cases = cases(options, packs.len(), own)?;
    let mut runs: Vec<Vec<Run>> = vec![Vec::new(); cases.len()];
    let sessions = cases.iter().map(|case| session(models, packs, case, options)).collect::<Result<Vec<_>, _>>()?;
    let total = cases.len() * options.rounds;
    // The first pass over the weights reads them from the disk.
    if let (Some(session), Some(pack)) = (sessions.first(), packs.first()) {
        run(session, &[], &[question(models.model, pack, INPUT, &mut Rng::from_seed(options.seed))?])?;
    }
    for round in 0..options.rounds {
        for (number, ((case, session), runs)) in cases.iter().zip(&sessions).zip(&mut runs).enumerate() {
            let mut random = Rng::from_seed(options.seed.wrapping_add(round as u64));
            let mut ask = |turn: usize, at: usize| match case.input {
                Some(tokens) => question(models.model, &packs[0], tokens, &mut random),
                // Rounds, turns and places of a batch go on through the list.
                None => Ok(options.questions[((round * options.turns + turn) * case.batch + at) % options.questions.len()].clone()),
            };
            let mut turn = |turn| (0..case.batch).map(|at| ask(turn, at)).collect::<Result<Vec<_>, EvaluateError>>();
            let before = (1..options.turns).map(&mut turn).collect::<Result<Vec<_>, _>>()?;
            runs.push(run(session, &before, &turn(0)?)?);
            if observe(round * cases.len() + number + 1, total).is_break() {
                return Err(EvaluateError::Interrupted);
            }
        }
    }
    let names = packs.iter().map(|pack| (pack.path().display().to_string(), pack.manifest().codec.to_string())).collect();
    Ok(SpeedReport::new((ModelName::of(models.model), models.model.decoder().precision().to_string()), names, options, &cases, &runs))
}

/// The session of a case.
fn session(models: &Models<'_>, packs: &[Arc<MappedPack>], case: &Case, options: &SpeedOptions) -> Result<Session, EvaluateError> {
    let (read_from, k) = match case.reads {
        Reads::Nothing => (ReadFrom::Weights { prefix: true }, 1),
        Reads::Memories(k) => (ReadFrom::PackMemories, k),
        Reads::Texts(k) => (ReadFrom::Texts, k),
    };
    let own = models.model.memory();
    let memories_per_chunk = own.memories_per_chunk.max(u32::try_from(k).unwrap_or(u32::MAX));
    let model =
        models.model.with_memory(MemoryConfig { memories_per_chunk, context_template: Some(context_template(own)), ..own.clone() })?;
    let answers = AnswerOptions {
        read_from,
        max_tokens: options.tokens,
        k: Some(k),
        ranking: models.ranking,
        strategy: models.strategy,
        reranking: models.reranking.cloned(),
        ..AnswerOptions::default()
    };
    let options = SessionOptions {
        answers,
        full_length: true,
        cache: Arc::new(MemoryCache::new(0)),
        // Questions of a file are asked in every round: only those of a conversation may be known.
        recent_queries: if options.turns == 1 { 0 } else { 1024 },
        ..SessionOptions::default()
    };
    let mounts = Arc::new(Mounts::of(Arc::clone(&packs[case.pack])));
    Ok(Session::over(&model, models.embedder, mounts, options)?)
}

/// The first `tokens` tokens of consecutive texts of the pack, starting at a random reference.
fn question(model: &Model, pack: &Arc<MappedPack>, tokens: usize, random: &mut Rng) -> Result<String, EvaluateError> {
    let references = pack.manifest().counts.references;
    let mut number = random.below(references.max(1) as usize) as u32;
    let mut ids = Vec::with_capacity(tokens);
    while ids.len() < tokens {
        let text = read_reference(model, pack, number)?.text;
        let before = ids.len();
        ids.extend(model.tokenizer().encode_plain(&format!("{text} "))?);
        if ids.len() == before {
            break;
        }
        number = (number + 1) % references.max(1);
    }
    ids.truncate(tokens);
    Ok(model.tokenizer().decode(&ids)?)
}

/// Answers questions at once, after those of earlier turns, which do not count.
fn run(session: &Session, before: &[Vec<String>], questions: &[String]) -> Result<Run, EvaluateError> {
    let count = questions.len();
    let mut batching = session.batching(BatchOptions { sequences: count, bytes: usize::MAX })?;
    let mut earlier: Vec<Vec<Exchange>> = vec![Vec::new(); count];
    for turn in before {
        let (_, answers) = answers(&mut batching, turn, &earlier)?;
        for ((earlier, question), answer) in earlier.iter_mut().zip(turn).zip(answers) {
            earlier.push(Exchange { question: question.clone(), answer: answer.text });
        }
    }
    let parts = || Part::ALL.map(|part| session.time(part).as_secs_f64());
    let (before, started) = (parts(), Instant::now());
    let (first_token, answers) = answers(&mut batching, questions, &earlier)?;
    let seconds = started.elapsed().as_secs_f64();
    let after = parts();
    let parts = [0, 1, 2, 3].map(|part| after[part] - before[part]);
    Ok(Run { seconds, first_token, tokens: answers.iter().map(|answer| answer.tokens.len()).sum(), answers: count, parts })
}

/// The mean seconds until the first text of answers that are decoded at once, and the answers.
fn answers(batching: &mut Batching<'_>, questions: &[String], earlier: &[Vec<Exchange>]) -> Result<(f64, Vec<Answer>), EvaluateError> {
    let started = Instant::now();
    let first: Vec<Rc<Cell<f64>>> = questions.iter().map(|_| Rc::default()).collect();
    for ((question, earlier), first) in questions.iter().zip(earlier).zip(&first) {
        let first = Rc::clone(first);
        let on_piece = move |_: &Piece<'_>| {
            if first.get() == 0.0 {
                first.set(started.elapsed().as_secs_f64());
            }
            ControlFlow::Continue(())
        };
        let request = Request { earlier: earlier.clone(), ..Request::new(question, Box::new(on_piece)) };
        batching.submit(request).map_err(failed)?;
    }
    let mut answers = BTreeMap::new();
    while batching.pending() > 0 {
        for (number, answer) in batching.step() {
            answers.insert(number, answer.map_err(failed)?);
        }
    }
    let first = first.iter().map(|first| first.get()).sum::<f64>() / questions.len().max(1) as f64;
    Ok((first, answers.into_values().collect()))
}

fn failed(error: mempack_runtime::AskError) -> EvaluateError {
    EvaluateError::Ask { id: "of the measurement".to_owned(), source: Box::new(error) }
}
