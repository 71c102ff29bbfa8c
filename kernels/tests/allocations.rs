//! Steps allocate nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mempack_kernels::{
    Activation, CacheKind, Cpu, Inputs, Layer, Linear, Logits, Matrix, Memory, Model, Norm, Piece, Pool, Rotation, SequenceOptions, Step,
};

/// Counts allocations of all threads.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: All work is the system allocator's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: The caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn matrix(rows: usize, columns: usize) -> Matrix {
    Matrix::f32(Arc::new((0..rows * columns).map(|i| (i % 13) as f32 / 13.0 - 0.4).collect::<Vec<f32>>()), rows, columns).unwrap()
}

fn model() -> Model {
    let linear = |rows, columns| Linear { matrix: matrix(rows, columns), bias: Some(vec![0.5; rows]) };
    let norm = || Norm { weight: vec![1.0; 24], eps: 1e-6 };
    let layer = Layer {
        attention_norm: norm(),
        qkv: linear(8 * 8, 24),
        query_key_norms: None,
        output: linear(24, 32),
        after_attention: Some(norm()),
        mlp_norm: norm(),
        gate_up: linear(2 * 40, 24),
        down: linear(24, 40),
        after_mlp: None,
        rotation: 0,
        window: Some(9),
        kept: vec![3, 0],
    };
    Model {
        query_heads: 4,
        heads: 2,
        head_dim: 8,
        attention_scale: 0.35,
        activation: Activation::GeluTanh,
        embedding: matrix(50, 24),
        embedding_scale: 2.0,
        layers: vec![layer; 3],
        final_norm: norm(),
        head: linear(50, 24),
        rotations: vec![Rotation { cos: vec![1.0; 4 * 100], sin: vec![0.0; 4 * 100] }],
    }
}

// The only test of this program: others would allocate meanwhile.
#[test]
fn no_token_allocates() {
    let bf16 = |model: &Model| {
        let mut model = model.clone();
        for layer in &mut model.layers {
            for linear in [&mut layer.qkv, &mut layer.output, &mut layer.gate_up, &mut layer.down] {
                linear.matrix = linear.matrix.to_bf16();
            }
        }
        model
    };
    for model in [model(), bf16(&model()), model().to_int8(2).unwrap()] {
        let model = Arc::new(model);
        for cpu in Cpu::all() {
            for threads in [1, 2] {
                let mut step = Step::new(Arc::clone(&model), cpu, Inputs::Bf16, Arc::new(Pool::new(threads).unwrap()), 8).unwrap();
                let options = SequenceOptions { capacity: 60, memories: 2, prefix: 0, gap: 10, cache: CacheKind::Bf16 };
                let [mut a, mut b] = [step.sequence(options).unwrap(), step.sequence(options).unwrap()];
                a.watch_memories();
                let memory = Memory { keys: &[0.5; 72], values: &[0.5; 72], positions: &[1; 9], tokens: 2, bias: 0.0 };
                b.set_memories(&[memory; 2]).unwrap();
                let mut logits = vec![0.0; 8 * 50];
                let run = |step: &mut Step, a: &mut _, b: &mut _, logits: &mut [f32]| {
                    let mut pieces = [
                        Piece { sequence: a, tokens: &[3], logits: Logits::Last },
                        Piece { sequence: b, tokens: &[1, 2, 3], logits: Logits::All },
                    ];
                    step.run(&mut pieces, &mut logits[..4 * 50]).unwrap();
                };
                // What the system allocates for a thread on its first wait is not a step's.
                run(&mut step, &mut a, &mut b, &mut logits);
                let before = ALLOCATIONS.load(Ordering::Relaxed);
                for _ in 0..10 {
                    run(&mut step, &mut a, &mut b, &mut logits);
                }
                assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0, "{cpu:?}, {threads} threads");
                assert!(logits[..4 * 50].iter().all(|x| x.is_finite()));
            }
        }
    }
}
