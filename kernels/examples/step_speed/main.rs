//! Measures steps with random weights of known shapes:
//! `step_speed [smollm2|qwen2.5] [bf16|exact|int8] [threads] [rows,rows,...] [steps]`.
//!
//! Prints the median and the least time of a step, by the clock and by the processor time of the calling thread, which other programs
//! disturb less, beside the time of reading all weights once, and what it costs to watch memories (median of the ratios of processor times). All of
//! these alternate. Every sequence has read 100 tokens and reads five memories of 8 tokens a head in the second half of the layers.

mod shapes;

use std::sync::Arc;
use std::time::Instant;

use mempack_kernels::{CacheKind, Cpu, Inputs, Logits, Memory, Piece, Pool, Sequence, SequenceOptions, Step};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let word = |i: usize, default| arguments.get(i).map_or(default, String::as_str);
    let shape = shapes::SHAPES.iter().find(|shape| shape.name == word(0, "smollm2")).ok_or("smollm2 or qwen2.5")?;
    let inputs = if word(1, "bf16") == "exact" { Inputs::Exact } else { Inputs::Bf16 };
    let threads: usize = word(2, "1").parse()?;
    let batches = word(3, "1,4,8,16,32").split(',').map(str::parse).collect::<Result<Vec<usize>, _>>()?;
    let steps: usize = word(4, "15").parse()?;
    let model = shapes::model(shape)?;
    let model = Arc::new(if word(1, "bf16") == "int8" { model.to_int8(2)? } else { model });
    let (cpu, pool) = (Cpu::from_env()?, Arc::new(Pool::new(threads)?));
    let bytes = vec![1u64; model.bytes() / 8];
    println!("{}, {}, {cpu:?}, {threads} threads, {:.0} MB of weights", shape.name, word(1, "bf16"), model.bytes() as f64 / 1e6);
    for rows in batches {
        let mut step = Step::new(Arc::clone(&model), cpu, inputs, Arc::clone(&pool), rows.max(10))?;
        let mut sequences = |watched| (0..rows).map(|_| sequence(&mut step, watched)).collect::<Result<Vec<_>, _>>();
        let (mut plain, mut watched) = (sequences(false)?, sequences(true)?);
        let mut logits = vec![0.0; rows * model.vocabulary()];
        let mut times = vec![Vec::new(); 4];
        for _ in 0..steps {
            let (clock, processor) = timed(&mut step, &mut plain, &mut logits)?;
            times[0].push(clock);
            times[1].push(processor);
            times[2].push(timed(&mut step, &mut watched, &mut logits)?.1 / processor);
            let start = Instant::now();
            read(&bytes, threads);
            times[3].push(start.elapsed().as_secs_f64() * 1e3);
        }
        let [clock, processor, watched, read] = [0, 1, 2, 3].map(|i| {
            times[i].sort_by(f64::total_cmp);
            (times[i][steps / 2], times[i][0])
        });
        print!("{rows:3} rows: {:6.2} ms (least {:6.2}), processor {:6.2} ({:6.2}), ", clock.0, clock.1, processor.0, processor.1);
        print!("reading {:5.2} ({:5.2}), watched {:.3}; ", read.0, read.1, watched.0);
        println!("{:.0} tokens/s (most {:.0})", rows as f64 / clock.0 * 1e3, rows as f64 / clock.1 * 1e3);
    }
    Ok(())
}

/// Milliseconds of a step by the clock and by processor time.
fn timed(step: &mut Step, sequences: &mut [Sequence], logits: &mut [f32]) -> Result<(f64, f64), Box<dyn std::error::Error>> {
    let (start, before) = (Instant::now(), processor_ms());
    let pieces = sequences.iter_mut().map(|sequence| Piece { sequence, tokens: &[7], logits: Logits::Last });
    step.run(&mut pieces.collect::<Vec<_>>(), logits)?;
    Ok((start.elapsed().as_secs_f64() * 1e3, processor_ms() - before))
}

/// A sequence of 100 tokens with five memories.
fn sequence(step: &mut Step, watched: bool) -> Result<Sequence, Box<dyn std::error::Error>> {
    let options = SequenceOptions { capacity: 300, memories: 5, prefix: 0, gap: 128, cache: CacheKind::Bf16 };
    let mut sequence = step.sequence(options)?;
    for _ in 0..10 {
        let piece = Piece { sequence: &mut sequence, tokens: &[3; 10], logits: Logits::None };
        step.run(&mut [piece], &mut [])?;
    }
    let slots: usize = step.model().layers.iter().flat_map(|layer| &layer.kept).sum();
    let numbers = vec![0.5; slots * step.model().head_dim];
    let positions: Vec<usize> = (0..slots).map(|i| i % 128).collect();
    let memory = Memory { keys: &numbers, values: &numbers, positions: &positions, tokens: 128, bias: -0.1 };
    sequence.set_memories(&[memory; 5])?;
    if watched {
        sequence.watch_memories();
    }
    Ok(sequence)
}

/// Reads all of `bytes` once, divided among threads.
fn read(bytes: &[u64], threads: usize) {
    let sum = |part: &[u64]| std::hint::black_box(part.iter().fold(0, |sum: u64, x| sum.wrapping_add(*x)));
    let mut parts = bytes.chunks(bytes.len().div_ceil(threads));
    let first = parts.next();
    std::thread::scope(|scope| {
        for part in parts {
            scope.spawn(move || sum(part));
        }
        first.map(sum);
    });
}

/// The time that this thread has run, in milliseconds.
fn processor_ms() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: The call writes to the structure that it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}
