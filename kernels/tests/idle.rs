//! A pool without work sleeps.

#![cfg(target_os = "linux")]

use std::time::Duration;

use mempack_kernels::{Cpu, Inputs, Matrix, Pool, Product};

/// Milliseconds that the threads of this process have run, by the scheduler's count.
fn processor_ms() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let times = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok());
    times.map(|text| text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e6).sum()
}

// The only test of this program: others would run meanwhile.
#[test]
fn a_pool_without_work_sleeps() {
    let pool = Pool::new(4).unwrap();
    let matrix = Matrix::f32(std::sync::Arc::new(vec![1.0; 64 * 64]), 64, 64).unwrap();
    let mut y = vec![0.0; 64];
    Product::new(Cpu::detect(), Inputs::Exact, 1, 64).run(&pool, &matrix, &[1.0; 64], None, false, &mut y).unwrap();
    assert_eq!(y, [64.0; 64]);
    // Time to fall asleep.
    std::thread::sleep(Duration::from_millis(100));
    let before = processor_ms();
    std::thread::sleep(Duration::from_millis(500));
    let ran = processor_ms() - before;
    assert!(ran < 50.0, "four idle threads ran for {ran} ms of 500");
    drop(pool);
    let threads = std::fs::read_dir("/proc/self/task").unwrap().filter_map(|task| {
        let name = std::fs::read_to_string(task.ok()?.path().join("comm")).ok()?;
        name.starts_with("kernels-").then_some(())
    });
    assert_eq!(threads.count(), 0, "threads of a pool that was dropped");
}
