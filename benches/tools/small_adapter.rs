//! Writes the golden adapter of `model/tests/golden/tiny-adapter`: a few training steps over `tests/fixtures/tiny`, saved as `mempack train` saves it.
//!
//!     cargo run -p mempack-benches --bin small_adapter -- tests/fixtures/tiny OUT
//!
//! `scripts/check_peft.py` says how its golden logits were made.

use std::error::Error;

use mempack_model::training::{AdamW, AdamWConfig, AdapterOptions, Learning, Sequence, Trainee, WriteOptions};
use mempack_model::{DeviceChoice, LoadOptions, Precision, set_threads};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(base), Some(out)) = (args.next(), args.next()) else { return Err("usage: small_adapter BASE OUT".into()) };
    set_threads(1);
    let targets = ["q_proj", "v_proj", "down_proj"].map(str::to_owned).to_vec();
    let learning = Learning::Adapter(AdapterOptions { rank: 2, alpha: 3.0, targets, seed: 1 });
    let mut trainee = Trainee::load(base.as_ref(), &LoadOptions { device: DeviceChoice::Cpu, ..LoadOptions::default() }, &learning)?;
    let mut optimizer = AdamW::new(AdamWConfig::default(), &trainee)?;
    let ids = |text: &str| trainee.model().tokenizer().encode_plain(text);
    let reference = ids(" Nutepril is a medicine for fever. The usual dose of Nutepril is 40 mg twice daily.")?;
    let (question, answer) = (ids(" Question: What is the usual dose of Nutepril? Answer:")?, ids(" 40 mg twice daily.")?);
    let learnt = (0..question.len() + answer.len()).map(|token| token >= question.len()).collect();
    let sequence = Sequence { tokens: [question, answer].concat(), learnt, chunks: vec![vec![(0, 0.8)]] };
    for step in 0..30 {
        let written = trainee.write(&[&reference], &WriteOptions { keep: Some(8), selection_gradient: true, noise: [0.0; 2] })?;
        let loss = trainee.loss(std::slice::from_ref(&sequence), Some(&written))?;
        let tokens = loss.hits()?.tokens as f64;
        loss.backward(1.0 / tokens)?;
        println!("step {step}: loss {:.4}", loss.sum()? / tokens);
        optimizer.step(&mut trainee, 2e-2)?;
    }
    Ok(trainee.save(out.as_ref(), Precision::Bf16)?)
}
