//! Reading in training gives what inference gives.

use super::support::{Case, MODELS, folder, folder_with_budget, keeping, load};
use crate::training::{Learning, Sequence, Trainee, WriteOptions};
use crate::{Decoder, Memory, ReaderOptions, Slot};

/// How far a log-likelihood may lie from the reader's, in nats.
const TOLERANCE: f64 = 1e-4;

/// Log-likelihoods of a sequence's tokens, as a reader has them that decodes with written memories.
fn by_reader(decoder: &Decoder, memories: &[Memory], sequence: &Sequence) -> Vec<f64> {
    let slot = |(reference, similarity): &(usize, f32)| Slot { memory: &memories[*reference], similarity: *similarity };
    let chunks: Vec<Vec<Slot<'_>>> = sequence.chunks.iter().map(|chunk| chunk.iter().map(slot).collect()).collect();
    let options = ReaderOptions { capacity: 1 + sequence.tokens.len(), prefix: true };
    let logits = decoder.reader(&options).unwrap().prompt(&sequence.tokens, &chunks, true).unwrap();
    let rows = logits.chunks(decoder.config().vocabulary as usize);
    rows.zip(&sequence.tokens).map(|(row, token)| f64::from(row[*token as usize]) - sum_of_exponentials(row)).collect()
}

fn sum_of_exponentials(row: &[f32]) -> f64 {
    let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    f64::from(top) + row.iter().map(|x| f64::from(x - top).exp()).sum::<f64>().ln()
}

/// Log-likelihood of one token of one sequence, read in a batch with all of them.
fn in_training(trainee: &Trainee, references: &[&[u32]], keep: Option<u32>, sequences: &[Sequence], at: (usize, usize)) -> f64 {
    let _guard = tch::no_grad_guard();
    let mut sequences = sequences.to_vec();
    for (number, sequence) in sequences.iter_mut().enumerate() {
        for (token, learnt) in sequence.learnt.iter_mut().enumerate() {
            *learnt = (number, token) == at;
        }
    }
    let written = trainee.write(references, &WriteOptions { keep, ..keeping(1) }).unwrap();
    -trainee.loss(&sequences, Some(&written)).unwrap().sum().unwrap()
}

/// Compares some tokens of each sequence one by one, and all of them in sum.
fn compare(name: &str, trainee: &Trainee, decoder: &Decoder, case: &Case, keep: Option<u32>) {
    let (references, sequences) = (case.references(), case.sequences());
    let memories = decoder.write(&references).unwrap();
    let expected: Vec<Vec<f64>> = sequences.iter().map(|sequence| by_reader(decoder, &memories, sequence)).collect();
    let (mut worst, mut compared) = (0.0f64, 0);
    for (number, expected) in expected.iter().enumerate() {
        // The first tokens, both sides of the chunks' borders, and every ninth.
        let interval = decoder.memory().retrieval_interval as usize;
        let chosen = |token: &usize| *token < 2 || token % interval < 2 || token % interval == interval - 1 || token.is_multiple_of(9);
        for token in (0..expected.len()).filter(chosen) {
            let found = in_training(trainee, &references, keep, &sequences, (number, token));
            worst = worst.max((found - expected[token]).abs());
            compared += 1;
        }
    }
    assert!(worst < TOLERANCE, "{name}: {worst}");
    let written = trainee.write(&references, &WriteOptions { keep, ..keeping(1) }).unwrap();
    let all = trainee.loss(&sequences, Some(&written)).unwrap();
    let (sum, tokens) = (-expected.iter().flatten().sum::<f64>(), expected.iter().map(Vec::len).sum::<usize>());
    println!(
        "{name}: {compared} tokens one by one, largest difference {worst:.1e} nats; {tokens} in sum {:.4} and {sum:.4}",
        all.sum().unwrap()
    );
    assert_eq!(all.hits().unwrap().tokens, tokens);
    assert!((all.sum().unwrap() - sum).abs() < TOLERANCE * tokens as f64, "{name}");
}

#[test]
fn with_what_the_memory_block_keeps() {
    for (name, dir) in MODELS.iter().flat_map(|name| [(name, folder(name)), (name, folder_with_budget(name))]) {
        let trainee = load(dir.path(), &Learning::Everything);
        let decoder = trainee.model().decoder();
        assert!(decoder.memory().similarity_bias > 0.0, "the fixtures have a similarity bias");
        compare(name, &trainee, decoder, &Case::read(name), None);
    }
}

#[test]
fn with_all_tokens_and_with_one() {
    for name in MODELS {
        let dir = folder(name);
        let trainee = load(dir.path(), &Learning::Everything);
        for keep in [trainee.model().memory().reference_length, 1] {
            let memory = crate::MemoryConfig { tokens_per_head: keep.into(), ..trainee.model().memory().clone() };
            let decoder = trainee.model().decoder().with_memory(memory).unwrap();
            compare(&format!("{name}, {keep} tokens kept"), &trainee, &decoder, &Case::read(name), Some(keep));
        }
    }
}

/// A text alone has the same loss as beside longer ones, whatever the others read.
#[test]
fn padding_and_neighbours_do_not_matter() {
    for name in MODELS {
        let (dir, case) = (folder(name), Case::read(name));
        let trainee = load(dir.path(), &Learning::Everything);
        let written = trainee.write(&case.references(), &keeping(8)).unwrap();
        let sequences = case.sequences();
        let together = trainee.loss(&sequences, Some(&written)).unwrap();
        let alone: Vec<_> = sequences.iter().map(|s| trainee.loss(std::slice::from_ref(s), Some(&written)).unwrap()).collect();
        let sum: f64 = alone.iter().map(|loss| loss.sum().unwrap()).sum();
        let hits = together.hits().unwrap();
        assert!((together.sum().unwrap() - sum).abs() < TOLERANCE * hits.tokens as f64, "{name}: {} {sum}", together.sum().unwrap());
        let alone: Vec<_> = alone.iter().map(|loss| loss.hits().unwrap()).collect();
        assert_eq!(hits.right, alone.iter().map(|hits| hits.right).sum::<usize>());
        assert_eq!(hits.exact, alone.iter().flat_map(|hits| hits.exact.clone()).collect::<Vec<_>>());
        let mut turned = sequences.clone();
        turned.reverse();
        let turned = trainee.loss(&turned, Some(&written)).unwrap().sum().unwrap();
        assert!((together.sum().unwrap() - turned).abs() < TOLERANCE * hits.tokens as f64, "{name}");
    }
}

/// Log-probabilities token by token, sums of sequences, and logits are those that the cross-entropy is made of.
#[test]
fn predictions_agree_with_the_loss() {
    for name in MODELS {
        let (dir, case) = (folder(name), Case::read(name));
        let trainee = load(dir.path(), &Learning::Everything);
        let written = trainee.write(&case.references(), &keeping(8)).unwrap();
        let mut sequences = case.sequences();
        // A sequence without learnt tokens has a log-likelihood of 0.
        sequences[1].learnt.fill(false);
        let predictions = trainee.model().predict(&sequences, Some(&written)).unwrap();
        let values = |tensor: &tch::Tensor| Vec::<f64>::try_from(tensor.detach().to_kind(tch::Kind::Double)).unwrap();
        let tokens = values(&predictions.log_probabilities().unwrap());
        let whole = values(&predictions.sequence_log_likelihoods().unwrap());
        let learnt: Vec<usize> = sequences.iter().map(|s| s.learnt.iter().filter(|learnt| **learnt).count()).collect();
        assert_eq!((tokens.len(), whole.len()), (learnt.iter().sum(), sequences.len()));
        let mut rest = tokens.as_slice();
        for (count, whole) in learnt.iter().zip(&whole) {
            let (own, others) = rest.split_at(*count);
            rest = others;
            assert!((own.iter().sum::<f64>() - whole).abs() < TOLERANCE * (1 + count) as f64, "{name}: {own:?} {whole}");
        }
        let vocabulary = trainee.model().config().vocabulary as usize;
        let targets = sequences.iter().flat_map(|s| s.tokens.iter().zip(&s.learnt)).filter(|(_, learnt)| **learnt);
        let logits: Vec<f32> = values(&predictions.logits().reshape([-1])).into_iter().map(|x| x as f32).collect();
        for ((row, (target, _)), token) in logits.chunks(vocabulary).zip(targets).zip(&tokens) {
            assert!((f64::from(row[*target as usize]) - sum_of_exponentials(row) - token).abs() < TOLERANCE, "{name}");
        }
        // The same loss, by the sum of the cross-entropy and by one computed from the log-probabilities: so are its gradients.
        let gradients = |loss: crate::training::TrainingLoss| {
            trainee.clear_gradients().unwrap();
            loss.backward(0.1).unwrap();
            trainee.parameters.iter().map(|parameter| values(&parameter.working.grad().reshape([-1]))).collect::<Vec<_>>()
        };
        let sum = predictions.log_probabilities().unwrap().sum(None).neg();
        let own = predictions.loss(sum).unwrap();
        let cross_entropy = trainee.loss(&sequences, Some(&written)).unwrap();
        assert!((own.sum().unwrap() - cross_entropy.sum().unwrap()).abs() < TOLERANCE * tokens.len() as f64, "{name}");
        assert_eq!(own.hits().unwrap(), cross_entropy.hits().unwrap());
        let written_again = trainee.write(&case.references(), &keeping(8)).unwrap();
        let expected = gradients(trainee.loss(&sequences, Some(&written_again)).unwrap());
        let found = gradients(own);
        for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
            assert!((found - expected).abs() < 1e-4 * (1.0 + expected.abs()), "{name}: {found} {expected}");
        }
    }
}

#[test]
fn what_is_memorised_makes_a_difference() {
    for name in MODELS {
        let (dir, case) = (folder(name), Case::read(name));
        let trainee = load(dir.path(), &Learning::Everything);
        let written = trainee.write(&case.references(), &keeping(8)).unwrap();
        let mut sequences = case.sequences();
        let with = trainee.loss(&sequences, Some(&written)).unwrap().sum().unwrap();
        sequences.iter_mut().for_each(|sequence| sequence.chunks.clear());
        let without = trainee.loss(&sequences, Some(&written)).unwrap().sum().unwrap();
        assert_eq!(without, trainee.loss(&sequences, None).unwrap().sum().unwrap());
        assert!((with - without).abs() > 0.01, "{name}: {with} {without}");
    }
}

#[test]
fn what_cannot_be_learnt_from_is_refused() {
    let (dir, case) = (folder("llama_mha"), Case::read("llama_mha"));
    let trainee = load(dir.path(), &Learning::Everything);
    let written = trainee.write(&case.references()[..2], &keeping(8)).unwrap();
    let good = Sequence { tokens: vec![5, 6], learnt: vec![false, true], chunks: vec![vec![(1, 0.5)]] };
    assert!(trainee.loss(std::slice::from_ref(&good), Some(&written)).is_ok());
    let refusal = |change: &dyn Fn(&mut Sequence)| {
        let mut wrong = good.clone();
        change(&mut wrong);
        trainee.loss(&[good.clone(), wrong], Some(&written)).err().expect("a refusal").to_string()
    };
    assert!(refusal(&|s| s.learnt.push(true)).contains("sequence 1 of the batch has 2 tokens and 3 marks"));
    assert!(refusal(&|s| s.chunks[0][0].0 = 2).contains("reference 2 of 2 written"));
    assert!(refusal(&|s| s.tokens[0] = 97).contains("token id 97"));
    let silent = Sequence { learnt: vec![false, false], ..good.clone() };
    assert!(trainee.loss(&[silent], Some(&written)).err().unwrap().to_string().contains("no token of the batch is to be learnt"));
    assert!(trainee.loss(&[], None).is_err());
    assert!(trainee.loss(&[good], None).err().unwrap().to_string().contains("reference 1 of 0 written"));
    assert!(trainee.write(&[], &keeping(8)).is_err());
}
