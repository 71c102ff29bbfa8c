//! Chat: supervised fine-tuning on conversations, whose chunks read references (arXiv 2407.01178, section 3.6).

use std::path::{Path, PathBuf};

use mempack_model::training::Sequence;
use mempack_model::{Model, prompt_tokens};
use mempack_questions::{Conversation, read_conversations};
use serde::{Deserialize, Serialize};

use super::chunks::ChunkReferences;
use super::{Objective, ObjectiveConfig, Part, StageContext, StageName, TrainingBatch};
use crate::config::WriteConfig;
use crate::order::ShuffledOrder;
use crate::references::{Pool, References};
use crate::turns::{room, written_tokens};
use crate::{ConfigError, TrainError};

/// `kind = "chat"`: conversations in turns, in the model's `prompt_template`. The loss is on what the assistant says. Each chunk (the model's
/// `retrieval_interval`) reads the references that the embedder finds for its text, as when a session answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChatConfig {
    /// Files of conversations, one a line: `{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}`.
    pub conversations: Vec<PathBuf>,
    /// Corpora of the references. Without any, no memories are read, and no embedder is needed.
    #[serde(default)]
    pub references: Vec<PathBuf>,
    /// How many references a chunk reads; by default the model's `memories_per_chunk`.
    #[serde(default)]
    pub reads: Option<usize>,
    /// The maximum number of tokens of a conversation. It is cut after the last turn that fits; one whose first turn does not fit is left out.
    pub length: usize,
    /// The maximum [overlap](mempack_model::overlap) of a reference with the conversation. A reference above it is not read, as it would give
    /// the text away.
    #[serde(default = "default_overlap")]
    pub overlap: f64,
    /// How references are written; needed if there are any.
    #[serde(default)]
    pub write: Option<WriteConfig>,
}

fn default_overlap() -> f64 {
    0.9
}

impl ObjectiveConfig for ChatConfig {
    fn check(&self, stage: StageName) -> Result<(), ConfigError> {
        stage.require("conversations", !self.conversations.is_empty(), "at least one file", "none")?;
        stage.require("reads", self.reads != Some(0), "at least 1, or no such field", 0)?;
        stage.require("length", self.length > 1, "at least 2 tokens", self.length)?;
        stage.require("overlap", (0.0..=1.0).contains(&self.overlap), "a share from 0 to 1", self.overlap)?;
        match &self.write {
            Some(write) => {
                stage.require("write", !self.references.is_empty(), "none without `references`, as nothing is written", "a table")?;
                write.check(stage)
            }
            None => stage.require("write", self.references.is_empty(), "how the references are written", "none"),
        }
    }

    fn paths_mut(&mut self) -> Vec<&mut PathBuf> {
        self.conversations.iter_mut().chain(&mut self.references).collect()
    }

    fn write(&self) -> Option<&WriteConfig> {
        self.write.as_ref()
    }

    fn load(&self, context: &StageContext<'_>) -> Result<Box<dyn Objective>, TrainError> {
        Ok(Box::new(Chat::read(context, self)?))
    }
}

/// Conversations, and the references that their chunks read.
struct Chat {
    conversations: Vec<Sequence>,
    order: ShuffledOrder,
    memories: Option<Memories>,
}

/// What chunks read.
struct Memories {
    of_chunks: ChunkReferences,
    /// How many references a chunk reads.
    reads: usize,
}

impl Chat {
    fn read(context: &StageContext<'_>, config: &ChatConfig) -> Result<Self, TrainError> {
        let model = context.model;
        let (mut conversations, mut left_out) = (Vec::new(), 0);
        for path in &config.conversations {
            for conversation in read_conversations(path)? {
                match sequence(model, path, &conversation, config.length)? {
                    Some(sequence) => conversations.push(sequence),
                    None => left_out += 1,
                }
            }
        }
        if left_out > 0 {
            let length = config.length;
            context.progress.note(&format!("{left_out} conversations are left out: their first turn has more than {length} tokens"));
        }
        if conversations.is_empty() {
            return Err(context.no_data("no conversation whose first turn fits", "raise `length`, or give shorter ones"));
        }
        let memories = if config.references.is_empty() {
            None
        } else {
            let embedder = context.required_embedder()?;
            let references = References::read(model, embedder, &config.references, context.cache, context.progress)?;
            if references.items.is_empty() {
                return Err(context.no_data("no reference", "name corpora with text as `references`"));
            }
            let reads = config.reads.unwrap_or(model.memory().memories_per_chunk as usize);
            let of_chunks = ChunkReferences { references, embedder: embedder.share(), max_overlap: config.overlap };
            Some(Memories { of_chunks, reads })
        };
        let order = ShuffledOrder::new(context.seed, conversations.len());
        Ok(Self { conversations, order, memories })
    }
}

impl Objective for Chat {
    fn batch(&mut self, model: &Model, part: Part) -> Result<TrainingBatch, TrainError> {
        let chosen: Vec<usize> = part.sequence_numbers().map(|number| self.order.at(number)).collect();
        let sequences = chosen.iter().filter_map(|conversation| self.conversations.get(*conversation).cloned()).collect();
        let mut batch = TrainingBatch { sequences, ..TrainingBatch::default() };
        if let Some(memories) = &self.memories {
            memories.give(model, &mut batch)?;
        }
        Ok(batch)
    }
}

impl Memories {
    /// Gives the chunks of a batch's sequences what they read. A reference that several chunks read is written once.
    fn give(&self, model: &Model, batch: &mut TrainingBatch) -> Result<(), TrainError> {
        let found = self.of_chunks.find(model, &batch.sequences, self.reads)?;
        let mut pool = Pool::default();
        for (sequence, chunks) in batch.sequences.iter_mut().zip(found) {
            for chunk in chunks {
                let count = model.memory().justified(chunk.hits.iter().map(|hit| hit.similarity));
                sequence.chunks.push(chunk.hits.iter().take(count).map(|hit| (pool.place(hit.reference), hit.similarity)).collect());
            }
        }
        batch.references = pool.ids(&self.of_chunks.references.items);
        Ok(())
    }
}

/// The tokens of a conversation's turns that fit into `length`, of which the assistant's are learnt; `None` if none fits.
fn sequence(model: &Model, path: &Path, conversation: &Conversation, length: usize) -> Result<Option<Sequence>, TrainError> {
    let mut sequence = Sequence::default();
    for turn in &conversation.turns {
        let prompt = prompt_tokens(model, &turn.user)?.ids;
        let answer = written_tokens(model, turn.assistant.trim())?;
        // Each further turn begins with the BOS, which the model puts before the first.
        let begin = (!sequence.tokens.is_empty()).then_some(model.config().bos);
        if sequence.tokens.len() + usize::from(begin.is_some()) + prompt.len() + answer.len() > length {
            break;
        }
        sequence.tokens.extend(begin.into_iter().chain(prompt));
        sequence.learnt.resize(sequence.tokens.len(), false);
        sequence.tokens.extend(answer);
        sequence.learnt.resize(sequence.tokens.len(), true);
    }
    if let Some(max) = room(model).filter(|max| sequence.tokens.len() > *max) {
        return Err(TrainError::Line {
            path: path.to_owned(),
            line: conversation.line,
            field: "messages",
            expected: format!("at most {max} tokens, which is the model's context, or a smaller `length` of the stage"),
            found: format!("{} tokens", sequence.tokens.len()),
        });
    }
    Ok((!sequence.tokens.is_empty()).then_some(sequence))
}

#[cfg(test)]
mod tests {
    use mempack_model::{Embedder, LoadOptions};

    use super::*;
    use crate::stages::StageSize;
    use crate::{Keep, KeepSchedule, NoProgress};

    fn root(path: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
    }

    fn line(turns: &[(&str, &str)]) -> String {
        let messages = turns.iter().flat_map(|(user, assistant)| {
            [("user", user), ("assistant", assistant)].map(|(role, content)| serde_json::json!({"role": role, "content": content}))
        });
        serde_json::json!({"messages": messages.collect::<Vec<_>>()}).to_string() + "\n"
    }

    fn load(model: &Model, embedder: Option<&Embedder>, lines: &str, references: &[&str], length: usize) -> Result<Chat, TrainError> {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("chat.jsonl"), lines).unwrap();
        let corpus =
            references.iter().enumerate().map(|(n, text)| serde_json::json!({"id": n.to_string(), "text": text}).to_string() + "\n");
        std::fs::write(path("corpus.jsonl"), corpus.collect::<String>()).unwrap();
        let write = WriteConfig { keep: KeepSchedule(vec![(0, Keep::Tokens(8))]), selection_gradient: false, noise: [0.0; 2] };
        let config = ChatConfig {
            conversations: vec![path("chat.jsonl")],
            references: if references.is_empty() { Vec::new() } else { vec![path("corpus.jsonl")] },
            reads: Some(2),
            length,
            overlap: 0.9,
            write: (!references.is_empty()).then_some(write),
        };
        let context =
            StageContext { model, embedder, stage: 0, seed: 3, size: StageSize::SMALL, cache: folder.path(), progress: &NoProgress };
        Chat::read(&context, &config)
    }

    fn tiny() -> Model {
        Model::load(&root("tests/fixtures/tiny"), &LoadOptions::default()).unwrap()
    }

    #[test]
    fn the_assistant_is_learnt_and_a_conversation_is_cut_after_a_turn() {
        let model = tiny();
        let lines = line(&[("Who meets?", "The board does."), ("When?", "Every month.")]);
        let learnt = |length: usize| {
            let mut chat = load(&model, None, &lines, &[], length).unwrap();
            let batch = chat.batch(&model, Part { number: 0, sequences: 1 }).unwrap();
            let sequence = batch.sequences[0].clone();
            assert!(sequence.chunks.is_empty() && sequence.tokens.len() <= length);
            let ids = sequence.tokens.iter().zip(&sequence.learnt).filter(|(_, learnt)| **learnt).map(|(id, _)| *id);
            (model.tokenizer().decode(&ids.collect::<Vec<_>>()).unwrap(), sequence.tokens)
        };
        let (text, tokens) = learnt(200);
        assert_eq!(text, " The board does. Every month.");
        // The second turn begins with the BOS.
        assert_eq!(tokens.iter().filter(|id| **id == model.config().bos).count(), 1);
        assert_eq!(learnt(tokens.len()).0, text);
        assert_eq!(learnt(tokens.len() - 1).0, " The board does.");
        let error = load(&model, None, &lines, &[], 5).err().unwrap().to_string();
        assert!(error.contains("no conversation whose first turn fits"), "{error}");
    }

    #[test]
    fn a_conversation_beyond_the_context_is_named() {
        let lines = line(&[("Who?", "I.")]) + &line(&[("Who?", &"The board. ".repeat(900))]);
        let error = load(&tiny(), None, &lines, &[], 100_000).err().unwrap().to_string();
        assert!(error.contains("chat.jsonl, line 2: field `messages`: expected at most 1917 tokens"), "{error}");
    }

    #[test]
    fn every_chunk_reads_what_is_nearest_to_its_text() {
        let model = tiny();
        let folder = std::env::var_os("MEMPACK_EMBEDDER").map_or_else(|| root("models/all-MiniLM-L6-v2"), PathBuf::from);
        let embedder = Embedder::load(&folder, &LoadOptions::default()).unwrap();
        let filler = "It is taken every morning with a glass of water, and never with wine or with milk, as the leaflet says. ".repeat(2);
        let lines = line(&[
            ("What is Nutepril?", &filler),
            ("When does the harbour board meet in Skerrow?", &"The harbour board meets in winter. ".repeat(4)),
        ]);
        let references = [
            "Nutepril is a medicine against gout, to be taken in the morning.",
            "The harbour board of Skerrow meets in the hall.",
            "Leases end in May.",
        ];
        let mut chat = load(&model, Some(&embedder), &lines, &references, 400).unwrap();
        let batch = chat.batch(&model, Part { number: 0, sequences: 1 }).unwrap();
        let sequence = &batch.sequences[0];
        assert_eq!(sequence.chunks.len(), model.memory().chunks().count(sequence.tokens.len()));
        assert!(sequence.chunks.len() > 1 && sequence.chunks.iter().all(|chunk| chunk.len() == 2));
        let first = |chunk: &[(usize, f32)]| model.tokenizer().decode(&batch.references[chunk[0].0]).unwrap();
        assert!(first(&sequence.chunks[0]).contains("gout") && first(sequence.chunks.last().unwrap()).contains("harbour"));
        let again =
            load(&model, Some(&embedder), &lines, &references, 400).unwrap().batch(&model, Part { number: 0, sequences: 1 }).unwrap();
        assert_eq!(again, batch);
    }
}
