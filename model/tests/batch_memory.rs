//! A batch takes the bytes that it states in advance.

#[path = "../../format-spec/tests/common/counting.rs"]
mod counting;

use std::path::Path;

use counting::peak;
use mempack_model::{
    Batch, DeviceChoice, Digest, LoadOptions, Model, Precision, Prompt, ReaderOptions, Row, Sequence, Slot, SlotList, StepDecoder,
};

#[test]
fn thirty_two_sequences_take_what_was_stated() {
    mempack_model::set_threads(1);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/tiny");
    for precision in [Precision::F32, Precision::Bf16] {
        let model = Model::load(&folder, &LoadOptions { precision, device: DeviceChoice::Cpu, ..LoadOptions::default() }).unwrap();
        let written = model.write(&[&[20, 30, 40, 50, 60, 70]]).unwrap();
        let slots = written.iter().map(|memory| Slot { memory, similarity: 0.5 }).collect();
        let lists = [SlotList { slots, key: Digest([0; 32]) }];
        let options = ReaderOptions { capacity: 512, prefix: true };
        let decoder = StepDecoder::new(model.decoder()).unwrap();
        let mut batch = Batch::new(&decoder, usize::MAX, 32).unwrap();
        let texts: Vec<Vec<u32>> = (0..32).map(|n| (0..40).map(|i| 20 + (n * 31 + i * 7) % 1400).collect()).collect();
        // What a step itself needs is allocated with the first sequences.
        let run = |batch: &mut Batch, sequences: &mut Vec<Sequence>, texts: &[Vec<u32>]| {
            for text in texts {
                let prompt = Prompt { text, chunks: &lists };
                let mut sequence = batch.open(&options, &prompt).unwrap();
                batch.prompt(&mut sequence, &prompt).unwrap();
                sequences.push(sequence);
            }
            for step in 0..20 {
                let mut rows: Vec<_> = sequences.iter_mut().map(|sequence| Row::new(sequence, 30 + step)).collect();
                batch.step(&mut rows);
                rows.into_iter().for_each(|row| row.outcome.unwrap());
            }
        };
        let mut first = Vec::new();
        run(&mut batch, &mut first, &texts);
        first.into_iter().for_each(|sequence| batch.close(sequence));
        drop(batch);
        let mut batch = Batch::new(&decoder, usize::MAX, 32).unwrap();
        let stated = 32 * batch.bytes_of(&options);
        let mut sequences = Vec::with_capacity(32);
        let ((), most) = peak(|| run(&mut batch, &mut sequences, &texts));
        let off = most as f64 / stated as f64 - 1.0;
        assert!(off.abs() < 0.05, "{precision:?}: {most} bytes, stated {stated}");
    }
}
