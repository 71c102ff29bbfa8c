//! What a stage learns from, read and ready.

use std::path::Path;

use mempack_model::{Embedder, Model};

use crate::batch::Batch;
use crate::config::{Learn, StageConfig};
use crate::continual::Continual;
use crate::copies::Copies;
use crate::questions::{Form, Questions};
use crate::references::References;
use crate::text::Texts;
use crate::{Progress, TrainError};
use mempack_numeric::Rng;

pub(crate) enum Data {
    Text(Texts),
    Continual(Box<Continual>),
    Copy(Copies),
    Questions { sources: Vec<(Questions, f64)>, seed: u64 },
}

impl Data {
    /// Reads the sources of stage number `number`. What is dear to compute is kept in the folder `cache`.
    pub fn read(
        model: &Model,
        embedder: Option<&Embedder>,
        number: usize,
        stage: &StageConfig,
        seed: u64,
        cache: &Path,
        progress: &dyn Progress,
    ) -> Result<Self, TrainError> {
        let seed = seed ^ (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        match &stage.learn {
            Learn::Text { corpora, length } => Ok(Self::Text(Texts::read(model, number, corpora, *length, seed, progress)?)),
            Learn::Copy { length, period } => Ok(Self::Copy(Copies::new(model, number, *length, *period, seed)?)),
            Learn::Continual { corpora, references, length, previous, overlap, .. } => {
                let embedder = needed(embedder, number)?;
                let texts = Texts::read(model, number, corpora, *length, seed, progress)?;
                let references = References::read(model, embedder, references, cache, progress)?;
                if references.items.is_empty() {
                    let what = "no reference".to_owned();
                    return Err(TrainError::NoData { stage: number, what, remedy: "name corpora with text as `references`" });
                }
                let embedder = embedder.share();
                let continual = Continual { texts, references, embedder, previous: *previous, overlap: *overlap };
                Ok(Self::Continual(Box::new(continual)))
            }
            Learn::Questions { sources, pool, reads, questions, length, no_answer, withheld, .. } => {
                let form = Form {
                    pool: *pool,
                    reads: reads.clone(),
                    questions: *questions,
                    length: *length,
                    no_answer: no_answer.clone(),
                    withheld: *withheld,
                    seed,
                };
                let embedder = needed(embedder, number)?;
                let read = sources.iter().enumerate().map(|(place, source)| {
                    let form = Form { seed: seed.rotate_left(place as u32 + 1), ..form.clone() };
                    let references = References::read(model, embedder, &source.corpora, cache, progress)?;
                    Ok((Questions::read(&source.questions, references, embedder, number, form, cache, progress)?, source.weight))
                });
                Ok(Self::Questions { sources: read.collect::<Result<_, TrainError>>()?, seed })
            }
        }
    }

    /// Part `part` of the stage, of `count` sequences; it depends on the seed and these numbers alone.
    pub fn batch(&mut self, model: &Model, part: u64, count: usize) -> Result<Batch, TrainError> {
        let first = part * count as u64;
        match self {
            Self::Text(texts) => Ok(texts.batch(first, count)),
            Self::Copy(copies) => Ok(copies.batch(first, count)),
            Self::Continual(continual) => continual.batch(model, first, count),
            Self::Questions { sources, seed } => {
                let chosen = choose(sources, &mut Rng::for_stream(*seed, part));
                match sources.get_mut(chosen) {
                    Some((questions, _)) => Ok(Batch { source: chosen, ..questions.batch(model, first, count)? }),
                    None => Ok(Batch::default()),
                }
            }
        }
    }
}

/// The embedder of a stage that finds references.
fn needed(embedder: Option<&Embedder>, stage: usize) -> Result<&Embedder, TrainError> {
    embedder.ok_or_else(|| {
        let what = "no embedder to find references with".to_owned();
        TrainError::NoData { stage, what, remedy: "name one as `embedder` in the configuration" }
    })
}

/// A source, as often as its weight says.
fn choose(sources: &[(Questions, f64)], rng: &mut Rng) -> usize {
    let total: f64 = sources.iter().map(|(_, weight)| weight).sum();
    let mut left = rng.uniform() * total;
    for (place, (_, weight)) in sources.iter().enumerate() {
        left -= weight;
        if left < 0.0 {
            return place;
        }
    }
    sources.len().saturating_sub(1)
}
