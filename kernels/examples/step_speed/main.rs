//! Measures steps with random weights of known shapes:
//! `step_speed [smollm2|qwen2.5] [bf16|exact|int8] [threads] [rows,rows,...] [steps] [watch]`.
//!
//! Prints the median and the least time of a step, by the clock and by the processor time of the calling thread, which other programs disturb less, beside
//! the time of reading all weights once. Steps and reading alternate. Every sequence has read 100 tokens and reads five memories of 8
//! tokens a head in the second half of the layers.

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
    let model = Arc::new(if word(1, "bf16") == "int8" { model.to_int8()? } else { model });
    let (cpu, pool) = (Cpu::from_env()?, Arc::new(Pool::new(threads)?));
    let bytes = vec![1u64; model.bytes() / 8];
    println!("{}, {}, {cpu:?}, {threads} threads, {:.0} MB of weights", shape.name, word(1, "bf16"), model.bytes() as f64 / 1e6);
    for rows in batches {
        let mut step = Step::new(Arc::clone(&model), cpu, inputs, Arc::clone(&pool), rows.max(10))?;
        let mut sequences = (0..rows).map(|_| sequence(&mut step, word(5, "") == "watch")).collect::<Result<Vec<_>, _>>()?;
        let mut logits = vec![0.0; rows * model.vocabulary()];
        let mut times = vec![Vec::new(); 3];
        for _ in 0..steps {
            let (start, before) = (Instant::now(), processor_ms());
            let pieces = sequences.iter_mut().map(|sequence| Piece { sequence, tokens: &[7], logits: Logits::Last });
            let mut pieces: Vec<Piece<'_>> = pieces.collect();
            step.run(&mut pieces, &mut logits)?;
            times[0].push(start.elapsed().as_secs_f64() * 1e3);
            times[1].push(processor_ms() - before);
            let start = Instant::now();
            read(&bytes, threads);
            times[2].push(start.elapsed().as_secs_f64() * 1e3);
        }
        let [clock, processor, read] = [0, 1, 2].map(|i| {
            times[i].sort_by(f64::total_cmp);
            (times[i][steps / 2], times[i][0])
        });
        println!(
            "{rows:3} rows: {:6.2} ms (least {:6.2}), processor {:6.2} ({:6.2}), reading {:5.2} ({:5.2}); {:5.0} tokens/s (most {:5.0})",
            clock.0,
            clock.1,
            processor.0,
            processor.1,
            read.0,
            read.1,
            rows as f64 / clock.0 * 1e3,
            rows as f64 / clock.1 * 1e3,
        );
    }
    Ok(())
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

/// The time that this thread has run, in milliseconds; 0 where the system does not say.
fn processor_ms() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e6
}
