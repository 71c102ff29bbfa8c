//! Repeating: a reference is written down again from its memory, as an autoencoder does (In-context Autoencoder, arXiv 2307.06945, section 2.2).

use std::path::PathBuf;

use mempack_model::training::Sequence;
use mempack_model::{ComputeError, Model, prompt_tokens};
use mempack_numeric::Rng;
use serde::{Deserialize, Serialize};

use super::{Objective, ObjectiveConfig, Part, StageContext, StageName, TrainingBatch};
use crate::config::WriteConfig;
use crate::corpora::{CorpusReference, read_references};
use crate::order::ShuffledOrder;
use crate::turns::written_tokens;
use crate::{ConfigError, TrainError};

/// `kind = "repeat"`: a reference is written down again from its memory, which is read among those of other references. The prompt has its
/// first words, which tell the model which of them to repeat. The loss is on the reference's whole text. Any text serves; no labels and no embedder
/// are needed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepeatConfig {
    /// Corpora of the references, in the formats that `mempack build` reads.
    pub corpora: Vec<PathBuf>,
    /// References that the sequences of a part share, at most.
    pub pool: usize,
    /// How many references a sequence reads: one of these numbers, drawn uniformly.
    pub reads: Vec<usize>,
    /// The minimum and the maximum number of tokens in the prompt that a text begins with. More are given where another reference that is
    /// read begins with the same ones, and a word is always whole.
    #[serde(default = "default_cue")]
    pub cue: [usize; 2],
    /// What is put to the model as a question, with `{cue}` once in it.
    #[serde(default = "default_instruction")]
    pub instruction: String,
    /// The minimum number of tokens of a reference that is repeated. Shorter ones are not written either.
    #[serde(default = "default_shortest")]
    pub shortest: usize,
    /// How far the similarity of the other references is below that of the repeated one: the minimum and the maximum of a uniform draw.
    #[serde(default = "default_gap")]
    pub gap: [f64; 2],
    /// How references are written.
    pub write: WriteConfig,
}

fn default_cue() -> [usize; 2] {
    [4, 9]
}

fn default_instruction() -> String {
    "Repeat: {cue}".to_owned()
}

fn default_shortest() -> usize {
    16
}

fn default_gap() -> [f64; 2] {
    [0.05, 0.4]
}

impl ObjectiveConfig for RepeatConfig {
    fn check(&self, stage: StageName) -> Result<(), ConfigError> {
        stage.require("corpora", !self.corpora.is_empty(), "at least one", "none")?;
        let reads = !self.reads.is_empty() && self.reads.iter().all(|n| *n > 0);
        stage.require("reads", reads, "numbers of references from 1", format!("{:?}", self.reads))?;
        let max = self.reads.iter().copied().max().unwrap_or_default();
        stage.require("pool", self.pool >= max, "as many references as a sequence reads", self.pool)?;
        let [min, max] = self.cue;
        stage.require("cue", min > 0 && min <= max, "the minimum, at least 1, and the maximum", format!("[{min}, {max}]"))?;
        let cues = self.instruction.matches("{cue}").count();
        stage.require("instruction", cues == 1, "a text with {cue} in it once", format!("`{}`", self.instruction))?;
        stage.require("shortest", self.shortest > 0, "at least 1 token", self.shortest)?;
        let [min, max] = self.gap;
        let gap = 0.0 <= min && min <= max && max <= 2.0;
        stage.require("gap", gap, "the minimum, at least 0, and the maximum, at most 2", format!("[{min}, {max}]"))?;
        self.write.check(stage)
    }

    fn paths_mut(&mut self) -> Vec<&mut PathBuf> {
        self.corpora.iter_mut().collect()
    }

    fn write(&self) -> Option<&WriteConfig> {
        Some(&self.write)
    }

    fn load(&self, context: &StageContext<'_>) -> Result<Box<dyn Objective>, TrainError> {
        Ok(Box::new(Repeats::read(context, self)?))
    }
}

/// References that are repeated.
struct Repeats {
    config: RepeatConfig,
    items: Vec<CorpusReference>,
    order: ShuffledOrder,
    seed: u64,
}

impl Repeats {
    fn read(context: &StageContext<'_>, config: &RepeatConfig) -> Result<Self, TrainError> {
        let mut items = read_references(context.model, &config.corpora)?;
        items.retain(|item| item.ids.len() >= config.shortest);
        if items.is_empty() {
            let what = format!("no reference of {} tokens or more", config.shortest);
            return Err(context.no_data(what, "give longer texts, or a smaller `shortest`"));
        }
        let order = ShuffledOrder::new(context.seed, items.len());
        Ok(Self { config: config.clone(), items, order, seed: context.seed })
    }

    /// The references that the sequences of a part repeat, and the pool: those, as many as it holds, and others until it has enough to
    /// read from.
    fn pool(&mut self, part: Part, rng: &mut Rng) -> (Vec<usize>, Vec<usize>) {
        let (mut pool, mut repeated) = (Vec::new(), Vec::new());
        for number in part.sequence_numbers() {
            let next = self.order.at(number);
            let chosen = if pool.len() < self.config.pool { next } else { rng.pick(&pool).copied().unwrap_or(next) };
            if !pool.contains(&chosen) {
                pool.push(chosen);
            }
            repeated.push(chosen);
        }
        let enough = self.config.reads.iter().copied().max().unwrap_or(1);
        for other in rng.distinct(self.items.len(), enough) {
            if pool.len() < enough && !pool.contains(&other) {
                pool.push(other);
            }
        }
        (repeated, pool)
    }

    /// The references that are read beside `own`: every second time one that stands next to it in its document, and others of the pool.
    fn others(&self, own: usize, count: usize, pool: &mut Vec<usize>, rng: &mut Rng) -> Vec<usize> {
        let differs = |other: usize| self.items[other].ids != self.items[own].ids;
        let beside = [own.checked_sub(1), own.checked_add(1).filter(|next| *next < self.items.len())];
        let beside: Vec<usize> = beside.into_iter().flatten().filter(|o| self.items[*o].document == self.items[own].document).collect();
        let mut others = Vec::with_capacity(count);
        if count > 0
            && rng.chance(0.5)
            && let Some(next) = rng.pick(&beside).copied().filter(|next| differs(*next))
            && (pool.contains(&next) || pool.len() < self.config.pool)
        {
            if !pool.contains(&next) {
                pool.push(next);
            }
            others.push(next);
        }
        let mut rest: Vec<usize> =
            pool.iter().copied().filter(|other| *other != own && !others.contains(other) && differs(*other)).collect();
        rng.shuffle(&mut rest);
        others.extend(rest.into_iter().take(count - others.len()));
        others
    }
}

impl Objective for Repeats {
    fn batch(&mut self, model: &Model, part: Part) -> Result<TrainingBatch, TrainError> {
        let mut rng = Rng::for_stream(self.seed ^ 0x4E9E_A7ED, part.number);
        let (repeated, mut pool) = self.pool(part, &mut rng);
        let mut batch = TrainingBatch::default();
        for own in repeated {
            let reads = rng.pick(&self.config.reads).copied().unwrap_or(1);
            let others = self.others(own, reads - 1, &mut pool, &mut rng);
            let [min, max] = self.config.gap;
            let mut read: Vec<(usize, f32)> =
                others.iter().map(|other| (*other, (1.0 - min - (max - min) * rng.uniform()) as f32)).collect();
            read.sort_by(|a, b| b.1.total_cmp(&a.1));
            read.insert(0, (own, 1.0));
            read.truncate(model.memory().justified(read.iter().map(|(_, similarity)| *similarity)));
            let [min, max] = self.config.cue;
            let text = &self.items[own].text;
            let same = others.iter().map(|other| common_start(text, &self.items[*other].text)).max().unwrap_or_default();
            let cue = &text[..cue_end(model, text, rng.between(min, max), same)?];
            let mut sequence =
                Sequence { tokens: prompt_tokens(model, &self.config.instruction.replace("{cue}", cue))?.ids, ..Sequence::default() };
            sequence.learnt.resize(sequence.tokens.len(), false);
            sequence.tokens.extend(written_tokens(model, text)?);
            sequence.learnt.resize(sequence.tokens.len(), true);
            let place = |reference: usize| pool.iter().position(|known| *known == reference).unwrap_or_default();
            sequence.chunks = vec![read.into_iter().map(|(reference, similarity)| (place(reference), similarity)).collect()];
            batch.sequences.push(sequence);
        }
        batch.references = pool.iter().map(|r| self.items[*r].ids.clone()).collect();
        Ok(batch)
    }
}

/// The bytes that two texts begin with in common, to the end of a character.
fn common_start(one: &str, other: &str) -> usize {
    one.chars().zip(other.chars()).take_while(|(a, b)| a == b).map(|(c, _)| c.len_utf8()).sum()
}

/// Where the cue of a text ends: after `count` tokens and after more than its first `same` bytes, at the end of a word.
fn cue_end(model: &Model, text: &str, count: usize, same: usize) -> Result<usize, ComputeError> {
    let spans = model.tokenizer().encode_spans(text)?;
    let by_tokens = count.checked_sub(1).and_then(|last| spans.get(last)).map_or(text.len(), |(_, span)| span.end);
    let mut end = by_tokens.max((same + 1).min(text.len()));
    while !text.is_char_boundary(end) {
        end += 1;
    }
    // A space belongs to the word after it.
    if text[..end].ends_with(char::is_whitespace) {
        let next = |(at, c): (usize, char)| (!c.is_whitespace()).then_some(end + at + c.len_utf8());
        end = text[end..].char_indices().find_map(next).unwrap_or(text.len());
    }
    // Scripts without spaces have no end of a word to wait for.
    let inside = |c: char| c.is_alphanumeric() && c < '\u{2E80}';
    if text[..end].ends_with(inside) {
        end += text[end..].chars().take_while(|c| inside(*c)).map(char::len_utf8).sum::<usize>();
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use mempack_model::LoadOptions;

    use super::*;
    use crate::stages::StageSize;
    use crate::{Keep, KeepSchedule, NoProgress};

    fn tiny() -> Model {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/tiny");
        Model::load(&folder, &LoadOptions::default()).unwrap()
    }

    fn repeats(model: &Model, texts: &[&str], pool: usize, reads: &[usize]) -> Repeats {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("corpus.jsonl");
        let line = |(number, text): (usize, &&str)| serde_json::json!({"id": number.to_string(), "text": text}).to_string() + "\n";
        std::fs::write(&path, texts.iter().enumerate().map(line).collect::<String>()).unwrap();
        let config = RepeatConfig {
            corpora: vec![path],
            pool,
            reads: reads.to_vec(),
            cue: [2, 4],
            instruction: "Repeat: {cue}".into(),
            shortest: 4,
            gap: [0.1, 0.3],
            write: WriteConfig { keep: KeepSchedule(vec![(0, Keep::Tokens(8))]), selection_gradient: false, noise: [0.0; 2] },
        };
        let context =
            StageContext { model, embedder: None, stage: 0, seed: 7, size: StageSize::SMALL, cache: folder.path(), progress: &NoProgress };
        Repeats::read(&context, &config).unwrap()
    }

    const TEXTS: [&str; 6] = [
        "The harbour board meets every month in the old hall.",
        "The harbour board may refuse a licence to any vessel.",
        "An appeal is lodged with the clerk within ten days.",
        "Nutepril is given twice a day with water, for a week.",
        "The harbour board meets every month in the old hall and keeps minutes.",
        "Tenants give notice in writing before the month ends.",
    ];

    #[test]
    fn the_cue_tells_which_of_the_read_references_is_repeated() {
        let model = tiny();
        let mut data = repeats(&model, &TEXTS, 6, &[1, 3]);
        let text = |ids: &[u32]| model.tokenizer().decode(ids).unwrap().trim().to_owned();
        let mut seen = std::collections::BTreeSet::new();
        for number in 0..30 {
            let batch = data.batch(&model, Part { number, sequences: 4 }).unwrap();
            let references: Vec<String> = batch.references.iter().map(|ids| text(ids)).collect();
            for sequence in &batch.sequences {
                let begin = sequence.learnt.iter().position(|learnt| *learnt).unwrap();
                assert!(sequence.learnt[begin..].iter().all(|learnt| *learnt));
                let (prompt, answer) = (text(&sequence.tokens[..begin]), text(&sequence.tokens[begin..]));
                let cue = prompt.split("Repeat: ").nth(1).unwrap().split(" Answer:").next().unwrap();
                let chunk = &sequence.chunks[0];
                assert!([1, 3].contains(&chunk.len()), "{chunk:?}");
                // The most similar one is repeated, and no other one that is read begins with the cue.
                assert_eq!(references[chunk[0].0], answer);
                let beginning = chunk.iter().filter(|(place, _)| references[*place].starts_with(cue));
                assert_eq!(beginning.count(), 1, "{cue}: {chunk:?}");
                assert!(answer[cue.len()..].chars().next().is_none_or(|c| !c.is_alphanumeric()), "{cue}");
                assert!(chunk[1..].iter().all(|(_, similarity)| (0.7..=0.9).contains(similarity)), "{chunk:?}");
                seen.insert(answer);
            }
        }
        assert_eq!(seen.len(), TEXTS.len());
    }

    #[test]
    fn parts_are_functions_of_their_number_and_pools_are_bounded() {
        let model = tiny();
        let mut data = repeats(&model, &TEXTS, 3, &[2]);
        let parts: Vec<_> = (0..4).map(|number| data.batch(&model, Part { number, sequences: 5 }).unwrap()).collect();
        assert!(parts.iter().all(|batch| batch.references.len() <= 3 && batch.sequences.iter().all(|s| s.chunks[0].len() == 2)));
        assert_ne!(parts[0], parts[1]);
        let mut other = repeats(&model, &TEXTS, 3, &[2]);
        for number in [3, 0] {
            assert_eq!(other.batch(&model, Part { number, sequences: 5 }).unwrap(), parts[number as usize]);
        }
        // A single sequence reads others as well.
        assert_eq!(data.batch(&model, Part { number: 0, sequences: 1 }).unwrap().sequences[0].chunks[0].len(), 2);
    }

    #[test]
    fn the_same_text_twice_is_no_distractor() {
        let model = tiny();
        let mut data = repeats(&model, &[TEXTS[0], TEXTS[0]], 2, &[2]);
        let batch = data.batch(&model, Part { number: 0, sequences: 2 }).unwrap();
        assert!(batch.sequences.iter().all(|sequence| sequence.chunks[0].len() == 1));
    }

    #[test]
    fn a_cue_ends_with_a_word_or_a_character() {
        let model = tiny();
        for (text, count, same, expected) in [
            ("Nutepril is given", 1, 0, "Nutepril"),
            ("Nutepril is given", 99, 0, "Nutepril is given"),
            ("Nutepril is given", 1, 9, "Nutepril is"),
            ("Nutepril is given", 1, 8, "Nutepril is"),
            ("Nutepril is given", 1, 99, "Nutepril is given"),
            ("合同法规定", 1, 3, "合同"),
        ] {
            assert_eq!(&text[..cue_end(&model, text, count, same).unwrap()], expected);
        }
        assert_eq!((common_start("合同", "合法"), common_start("", "x")), (3, 0));
    }
}
