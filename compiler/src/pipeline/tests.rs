use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Sums ids, in a time that depends on them.
struct Sum<'a> {
    batches: &'a Mutex<Vec<Vec<u32>>>,
    fails_at: Option<u32>,
}

impl Work for Sum<'_> {
    type Output = u32;
    fn run(&mut self, batch: &TaskBatch) -> Result<Vec<u32>, BuildError> {
        let sums: Vec<u32> = batch.tasks.iter().map(|task| task.ids.iter().sum()).collect();
        thread::sleep(Duration::from_micros(u64::from(sums[0] % 7) * 30));
        self.batches.lock().unwrap().push(sums.clone());
        match self.fails_at {
            Some(bad) if sums.contains(&bad) => Err(BuildError::TooManyReferences { cap: 0 }),
            _ => Ok(sums),
        }
    }
}

fn task(number: usize, length: usize) -> Task {
    let key = Digest::of(&number.to_le_bytes());
    Task { number: number as u64, key, ids: vec![number as u32; length], text: String::new(), sampled: None, embedded: None }
}

/// Hands out tasks of the given lengths, where 0 is a reference with nothing to compute.
struct Lengths<'a> {
    left: std::iter::Enumerate<std::slice::Iter<'a, usize>>,
    /// Outputs known before, by the number of the task.
    found: &'a BTreeMap<u64, u32>,
    out: Vec<(usize, u32)>,
    computed: u64,
    counted: u64,
    tokens: u64,
}

impl Flow for Lengths<'_> {
    type Known = usize;
    type Meta = usize;
    type Output = u32;

    fn next(&mut self) -> Result<Option<Item<usize, usize>>, BuildError> {
        Ok(self.left.next().map(|(number, length)| match length {
            0 => Item::Known(number),
            length => Item::Task(task(number, *length), number),
        }))
    }

    fn find(&mut self, batch: &TaskBatch) -> Result<Option<Vec<u32>>, BuildError> {
        Ok(batch.tasks.iter().map(|task| self.found.get(&task.number).copied()).collect())
    }

    fn advance(&mut self, done: BatchProgress) {
        self.counted += done.references;
        self.computed += if done.time.is_some() { done.references } else { 0 };
        self.tokens += done.tokens;
    }

    fn take(&mut self, known: usize) -> Result<(), BuildError> {
        self.out.push((known, 0));
        Ok(())
    }

    fn put(&mut self, meta: usize, output: u32) -> Result<(), BuildError> {
        self.out.push((meta, output));
        Ok(())
    }
}

struct Outcome {
    result: Result<(), BuildError>,
    out: Vec<(usize, u32)>,
    batches: Vec<Vec<u32>>,
    computed: u64,
}

fn run(lengths: &[usize], threads: usize, fails_at: Option<u32>, found: &BTreeMap<u64, u32>) -> Outcome {
    let seen = Mutex::new(Vec::new());
    let workers = (0..threads).map(|_| Sum { batches: &seen, fails_at }).collect();
    let mut flow = Lengths { left: lengths.iter().enumerate(), found, out: Vec::new(), computed: 0, counted: 0, tokens: 0 };
    let rule = BatchRule { window: 16, tokens: 40, prefix: 2 };
    let result = in_order(workers, rule, &AtomicBool::new(false), &mut flow);
    if result.is_ok() {
        let tasks = lengths.iter().filter(|length| **length > 0).count();
        assert_eq!((flow.counted, flow.tokens), (tasks as u64, lengths.iter().sum::<usize>() as u64));
    }
    let mut batches = seen.into_inner().unwrap();
    batches.sort();
    Outcome { result, out: flow.out, batches, computed: flow.computed }
}

proptest! {
    #[test]
    fn outputs_come_in_order_and_batches_do_not_depend_on_threads(lengths in prop::collection::vec(0usize..30, 0..120)) {
        let one = run(&lengths, 1, None, &BTreeMap::new());
        one.result.unwrap();
        let expected: Vec<(usize, u32)> = lengths.iter().enumerate().map(|(i, length)| (i, (i * length) as u32)).collect();
        prop_assert_eq!(&one.out, &expected);
        let three = run(&lengths, 3, None, &BTreeMap::new());
        three.result.unwrap();
        prop_assert_eq!(three.out, expected);
        prop_assert_eq!(three.batches, one.batches);
    }

    #[test]
    fn batches_that_are_there_are_not_computed(lengths in prop::collection::vec(0usize..30, 0..120), threads in 1usize..3, kept in 0u64..120) {
        let whole = run(&lengths, 1, None, &BTreeMap::new());
        whole.result.unwrap();
        // As after a kill: some outputs are known by number; a batch with a missing output is computed whole.
        let found: BTreeMap<u64, u32> = whole.out.iter().map(|(number, sum)| (*number as u64, *sum)).filter(|(number, _)| *number < kept).collect();
        let resumed = run(&lengths, threads, None, &found);
        resumed.result.unwrap();
        prop_assert_eq!(resumed.out, whole.out);
        prop_assert!(resumed.batches.iter().all(|batch| whole.batches.contains(batch)));
        prop_assert!(resumed.computed <= whole.computed);
        if kept >= lengths.len() as u64 {
            prop_assert_eq!(resumed.computed, 0);
        }
    }
}

#[test]
fn references_with_nothing_to_compute_fill_no_window_without_bound() {
    // One task in a hundred: its window ends with the references that a window may hold, not with 16 tasks.
    let lengths: Vec<usize> = (0..5000).map(|number| usize::from(number % 100 == 99)).collect();
    let Outcome { result, out, batches, .. } = run(&lengths, 2, None, &BTreeMap::new());
    result.unwrap();
    assert_eq!(out.len(), 5000);
    // 256 references hold two or three tasks.
    assert!(batches.iter().all(|batch| batch.len() <= 3) && batches.len() > 15, "{batches:?}");
}

#[test]
fn an_error_ends_the_work() {
    let Outcome { result, out, .. } = run(&[1; 200], 2, Some(100), &BTreeMap::new());
    assert!(matches!(result, Err(BuildError::TooManyReferences { .. })));
    assert!(out.len() <= 100);
}

#[test]
#[should_panic]
fn a_panic_does_not_hang() {
    struct Broken;
    impl Work for Broken {
        type Output = u32;
        fn run(&mut self, _: &TaskBatch) -> Result<Vec<u32>, BuildError> {
            panic!("broken")
        }
    }
    let (lengths, found) = ([1; 100], BTreeMap::new());
    let mut flow = Lengths { left: lengths.iter().enumerate(), found: &found, out: Vec::new(), computed: 0, counted: 0, tokens: 0 };
    let rule = BatchRule { window: 4, tokens: 40, prefix: 2 };
    let _ = in_order(vec![Broken, Broken], rule, &AtomicBool::new(false), &mut flow);
}
