//! Perplexity of a text, with and without memories.
//!
//! A text is cut into windows of tokens, which are predicted independently. With memories, each chunk of a window reads the references that
//! the tokens before it retrieve, as in generation. The retrieval never uses tokens that are predicted later, and references that repeat
//! the query or the chunk are filtered out.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::Arc;

use mempack_model::{DEFAULT_OVERLAP, Model, Slot};
use mempack_retrieval::{Chunks, Query};
use mempack_runtime::{ChunkMemories, MappedPack, Mounts};
use serde::{Deserialize, Serialize};

use crate::bootstrap::interval;
use crate::contender::Contender;
use crate::library::{Library, first_pack};
use crate::likelihood::log_probabilities;
use crate::models::{ModelName, Retrieving};
use crate::report::PairedDifference;
use crate::rows::{RowsError, evenly, read_rows};
use crate::{EvaluateError, Mode, Models};

/// Chunks per window. Each token is predicted from fewer than this many preceding chunks.
const WINDOW_CHUNKS: usize = 8;

#[derive(Deserialize)]
struct Row {
    text: String,
}

/// Reads the texts of a file: the field `text` of each line of a `.jsonl` file; any other file is one text.
///
/// # Errors
/// If the file cannot be read, or contains no text.
pub fn read_texts(path: &Path) -> Result<Vec<String>, RowsError> {
    const EXPECTED: &str = r#"{"text": "..."}"#;
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("jsonl")) {
        return Ok(read_rows::<Row>(path, EXPECTED)?.into_iter().map(|row| row.text).collect());
    }
    let text = std::fs::read_to_string(path).map_err(|source| RowsError::Io { path: path.to_owned(), line: 1, source })?;
    if text.trim().is_empty() {
        return Err(RowsError::Empty { path: path.to_owned(), expected: "any text" });
    }
    Ok(vec![text])
}

/// Options of [`measure_perplexity`].
#[derive(Clone, Debug)]
pub struct PerplexityOptions {
    /// The modes to measure. Modes with texts in the prompt or the gold reference are not possible.
    pub modes: Vec<Mode>,
    /// Memories per chunk; `None` uses the model's number.
    pub k: Option<usize>,
    /// References whose [overlap](crate::overlap) with the query and the chunk exceeds this share are not read; 1 filters nothing.
    pub overlap: f64,
    /// Maximum number of windows, evenly spaced over the texts.
    pub limit: Option<usize>,
}

impl Default for PerplexityOptions {
    fn default() -> Self {
        Self { modes: vec![Mode::ClosedBook], k: None, overlap: DEFAULT_OVERLAP, limit: None }
    }
}

/// The likelihood of the texts in one mode.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// The exponential of the mean negative log-likelihood per token.
    pub perplexity: f64,
    /// Mean negative log-likelihood per token, in nats.
    pub nats_per_token: f64,
    /// Negative log-likelihood per byte of text, in bits; comparable between tokenizers.
    pub bits_per_byte: f64,
}

/// The scores of one window.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WindowScores {
    /// Index of the text in the file, from 0.
    pub text: usize,
    /// Index of the window's first token in the text.
    pub first: usize,
    /// Number of predicted tokens.
    pub tokens: usize,
    /// Mean negative log-likelihood per token of each mode, in nats.
    pub nats_per_token: BTreeMap<Mode, f64>,
    /// References that each chunk read, most similar first.
    pub retrieved: Vec<Vec<u32>>,
}

/// Scores over all windows.
#[derive(Clone, Debug, Serialize)]
pub struct PerplexityReport {
    /// Number of texts in the file.
    pub texts: usize,
    /// Number of predicted windows.
    pub windows: usize,
    /// Number of predicted tokens.
    pub tokens: usize,
    /// Bytes of text that these tokens cover.
    pub bytes: usize,
    /// Id of the pack, if there is one.
    pub pack: Option<String>,
    /// Name of the model, and of its reading adapter.
    #[serde(flatten)]
    pub model: ModelName,
    /// How references are found.
    #[serde(flatten)]
    pub retrieving: Retrieving,
    /// Scores of each mode.
    pub modes: BTreeMap<Mode, Prediction>,
    /// Paired differences between each other mode and the first, window by window, in nats per token. Negative is better.
    pub differences: Vec<PairedDifference>,
}

/// The tokens of a text, with the byte offset of the end of each.
struct Tokens {
    ids: Vec<u32>,
    ends: Vec<usize>,
}

impl Tokens {
    fn of(model: &Model, text: &str) -> Result<Self, EvaluateError> {
        let spans = model.tokenizer().encode_spans(text)?;
        Ok(Self { ids: spans.iter().map(|(id, _)| *id).collect(), ends: spans.iter().map(|(_, span)| span.end).collect() })
    }

    /// Bytes from the end of the token before a window to the end of the window's last token.
    fn bytes(&self, window: &Range<usize>) -> usize {
        let end = |count: usize| if count == 0 { 0 } else { self.ends[count - 1] };
        end(window.end).saturating_sub(end(window.start))
    }
}

/// Predicts texts in all modes. `observe` is called after each window with its scores and the number of windows, and can stop the
/// evaluation.
///
/// # Errors
/// If a mode is not possible or needs a pack or base model that is missing, the pack and the models do not match, the pack is damaged, the
/// model fails, or `observe` stops the evaluation.
pub fn measure_perplexity(
    models: &Models<'_>,
    mounts: Option<&Arc<Mounts>>,
    texts: &[String],
    options: &PerplexityOptions,
    observe: &mut dyn FnMut(&WindowScores, usize) -> ControlFlow<()>,
) -> Result<PerplexityReport, EvaluateError> {
    check_modes(&options.modes, mounts.is_some())?;
    let memory = models.model.memory();
    let k = options.k.unwrap_or(memory.memories_per_chunk as usize);
    let library = mounts.map(|mounts| Library::over(models, mounts, options.overlap)).transpose()?;
    let library = library.filter(|_| options.modes.iter().any(|mode| mode.uses_retrieval()));
    let contenders = Contender::of_modes(models, library.as_ref(), &options.modes, k)?;
    let chunks = memory.chunks();
    let measuring = Measuring { contenders, chunks };

    let tokens = texts.iter().map(|text| Tokens::of(models.model, text)).collect::<Result<Vec<_>, _>>()?;
    let windows = evenly(cut(&tokens, WINDOW_CHUNKS * chunks.interval()), options.limit);
    let mut scores: Vec<WindowScores> = Vec::with_capacity(windows.len());
    for (text, window) in &windows {
        let score = measuring.window(*text, &tokens[*text], window)?;
        let flow = observe(&score, windows.len());
        scores.push(score);
        if flow.is_break() {
            return Err(EvaluateError::Interrupted);
        }
    }
    let bytes = windows.iter().map(|(text, window)| tokens[*text].bytes(window)).sum();
    Ok(report(models, mounts.map(first_pack).as_ref(), texts.len(), bytes, &options.modes, &scores))
}

fn check_modes(modes: &[Mode], pack: bool) -> Result<(), EvaluateError> {
    for &mode in modes {
        let reason = match mode {
            Mode::ClosedBook | Mode::ClosedBookBase => continue,
            Mode::Memory | Mode::MemoryQuantized if pack => continue,
            Mode::Memory | Mode::MemoryQuantized => "it retrieves from a pack, and no pack is given",
            _ => "it needs a question or a gold reference, and a text has neither",
        };
        return Err(EvaluateError::Mode { mode, reason });
    }
    Ok(())
}

/// Windows of at most `max` tokens, each within one text.
fn cut(texts: &[Tokens], max: usize) -> Vec<(usize, Range<usize>)> {
    let one = |(text, tokens): (usize, &Tokens)| {
        let all = tokens.ids.len();
        (0..all).step_by(max).map(move |start| (text, start..all.min(start + max)))
    };
    texts.iter().enumerate().flat_map(one).collect()
}

struct Measuring {
    contenders: Vec<Contender>,
    chunks: Chunks,
}

impl Measuring {
    fn window(&self, number: usize, tokens: &Tokens, window: &Range<usize>) -> Result<WindowScores, EvaluateError> {
        let text = &tokens.ids[window.clone()];
        let mut nats_per_token = BTreeMap::new();
        let mut retrieved: Vec<Vec<u32>> = Vec::new();
        for contender in &self.contenders {
            let read = self.read(contender, tokens, window)?;
            let slots: Vec<Vec<Slot<'_>>> = read.iter().map(ChunkMemories::slots).collect();
            let prefix = !contender.setting.mode.uses_base();
            let each = log_probabilities(contender.model(), prefix, text, text.len(), &slots)?;
            nats_per_token.insert(contender.setting.mode, -each.iter().sum::<f64>() / text.len() as f64);
            if retrieved.is_empty() {
                let numbers = |chunk: &ChunkMemories| chunk.reads.iter().map(|read| read.hit.reference.number).collect();
                retrieved = read.iter().map(numbers).collect();
            }
        }
        Ok(WindowScores { text: number, first: window.start, tokens: text.len(), nats_per_token, retrieved })
    }

    /// The memories of each chunk of a window. The query is the preceding tokens, as many as a chunk has. References that repeat the query
    /// or the chunk are filtered out.
    fn read(&self, contender: &Contender, tokens: &Tokens, window: &Range<usize>) -> Result<Vec<ChunkMemories>, EvaluateError> {
        let Some(session) = contender.session().filter(|_| contender.setting.mode.reads_memories()) else { return Ok(Vec::new()) };
        let mut read = Vec::new();
        for start in window.clone().step_by(self.chunks.interval()) {
            let before = self.chunks.window_before(start);
            let text = contender.model().tokenizer().decode(&tokens.ids[before.clone()])?;
            let context = &tokens.ids[before.start..window.end.min(start + self.chunks.interval())];
            // The first chunk of a text has no query.
            let query = Some(Query { text: text.trim(), context }).filter(|query| !query.text.is_empty());
            let memories = query.map(|query| session.read(&[query])).transpose()?.and_then(|mut all| all.pop());
            read.push(memories.unwrap_or_default());
        }
        Ok(read)
    }
}

fn report(
    models: &Models<'_>,
    pack: Option<&Arc<MappedPack>>,
    texts: usize,
    bytes: usize,
    modes: &[Mode],
    scores: &[WindowScores],
) -> PerplexityReport {
    let tokens: usize = scores.iter().map(|score| score.tokens).sum();
    let of = |score: &WindowScores, mode: Mode| score.nats_per_token.get(&mode).copied().unwrap_or(f64::NAN);
    let prediction = |mode: Mode| {
        let nats: f64 = scores.iter().map(|score| of(score, mode) * score.tokens as f64).sum();
        let nats_per_token = nats / tokens as f64;
        let bits_per_byte = nats / std::f64::consts::LN_2 / bytes as f64;
        Prediction { perplexity: nats_per_token.exp(), nats_per_token, bits_per_byte }
    };
    let mut differences = Vec::new();
    for left in modes.iter().skip(1) {
        let values: Vec<f64> = scores.iter().map(|score| of(score, *left) - of(score, modes[0])).collect();
        let interval = interval(&values);
        differences.extend(interval.map(|interval| PairedDifference { left: *left, right: modes[0], metric: "nats_per_token", interval }));
    }
    PerplexityReport {
        texts,
        windows: scores.len(),
        tokens,
        bytes,
        pack: pack.map(|pack| pack.id().to_string()),
        model: ModelName::of(models.model),
        retrieving: models.retrieving(),
        modes: modes.iter().map(|mode| (*mode, prediction(*mode))).collect(),
        differences,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_each_text_once() {
        let text = |n: usize| Tokens { ids: vec![7; n], ends: (1..=n).map(|i| 2 * i).collect() };
        let texts = [text(5), text(0), text(4)];
        let windows = cut(&texts, 4);
        assert_eq!(windows, [(0, 0..4), (0, 4..5), (2, 0..4)]);
        assert_eq!(windows.iter().map(|(t, w)| texts[*t].bytes(w)).sum::<usize>(), 18);
    }

    #[test]
    fn files_of_texts() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str, content: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            path
        };
        assert_eq!(read_texts(&path("a.txt", "one\ntwo\n")).unwrap(), ["one\ntwo\n"]);
        assert_eq!(read_texts(&path("a.jsonl", "{\"text\": \"one\"}\n{\"text\": \"two\", \"id\": \"2\"}\n")).unwrap(), ["one", "two"]);
        assert!(read_texts(&path("b.txt", " \n")).unwrap_err().to_string().contains("b.txt"));
        assert!(read_texts(&path("b.jsonl", "{}\n")).unwrap_err().to_string().contains("b.jsonl, line 1"));
    }
}
