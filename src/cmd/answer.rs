//! What `ask` prints of an answer.

use std::sync::{Arc, Once};

use mempack_model::TextStream;
use mempack_runtime::{Answer, Citation, MemoryRead, PackSet, Session, Stop, TokenAttention};
use serde_json::{Value, json};

use super::packs::{self, PackArgs};
use super::threshold::{self, Rule};
use crate::failure::{Failure, Kind};
use crate::folders;
use crate::terminal::{self, errln, out, outln};

/// Prints the answers of a session.
pub struct Printing<'a> {
    pub session: &'a Session,
    pub packs: &'a PackArgs,
    /// The packs that are mounted.
    pub mounted: Arc<PackSet>,
    /// Which answers are withheld.
    pub rule: Rule,
    pub json: bool,
    /// Whether the references of each chunk are shown with their text.
    pub show_memories: bool,
    /// Whether the share of attention that each reference got is shown.
    pub attention: bool,
}

impl Printing<'_> {
    /// Whether text is printed as it comes: not as JSON, and not if the answer may be withheld.
    pub fn streams(&self) -> bool {
        !self.json && self.rule.threshold.is_none()
    }

    /// Whether the answer is withheld. An interrupted answer is neither given nor declined.
    fn declines(&self, answer: &Answer) -> bool {
        let Rule { measure, threshold } = self.rule;
        let unsure = threshold.zip(answer.confidence.get(measure)).is_some_and(|(threshold, confidence)| confidence < threshold);
        answer.stop != Stop::Interrupted && unsure
    }

    /// What is said: the answer, or that the references do not tell.
    pub fn said<'a>(&'a self, answer: &'a Answer) -> &'a str {
        if self.declines(answer) { threshold::no_answer(self.session.model().memory()) } else { answer.text.trim() }
    }

    /// The answer to `question` as a JSON object.
    pub fn as_json(&self, question: &str, answer: &Answer) -> Result<Value, Failure> {
        let mut chunks = Vec::new();
        let attention = answer.attention_of_chunks();
        for (i, chunk) in answer.chunks.iter().enumerate() {
            let reads = self.resolve(answer, i)?;
            let attention = attention.get(i).and_then(Option::as_deref);
            let reads: Vec<_> = reads
                .iter()
                .enumerate()
                .map(|(place, (hit, read))| {
                    let mut json = packs::hit_json(hit, read.rerank_score);
                    json["cached"] = json!(read.cached);
                    if self.attention {
                        json["attention"] = json!(attention.and_then(|shares| shares.get(place)));
                    }
                    json
                })
                .collect();
            chunks.push(json!({"chunk": chunk.chunk, "query": chunk.query, "reads": reads}));
        }
        let name =
            |pack: &Arc<mempack_runtime::Mounted>| json!({"name": pack.name(), "id": pack.id().to_string(), "path": pack.pack().path()});
        let names: Vec<_> = self.mounted.packs().iter().map(name).collect();
        let stop = match &answer.stop {
            Stop::Token(_) => "end of text",
            Stop::Text(_) => "stop string",
            Stop::MaxTokens => "most tokens",
            Stop::ContextFull => "context full",
            Stop::Interrupted => "interrupted",
        };
        let (declined, Rule { measure, threshold }) = (self.declines(answer), &self.rule);
        let mut json = json!({
            "question": question, "tokens": answer.tokens.len(), "prompt_tokens": answer.prompt_tokens,
            "stop": stop, "packs": names, "chunks": chunks, "skipped": packs::skipped_json(&answer.skipped),
            "answer": self.said(answer), "confidence": answer.confidence.log_probability,
            "memory_attention": answer.confidence.memory_attention, "measure": measure.name(), "threshold": threshold,
            "declined": declined, "withheld": declined.then(|| answer.text.trim()), "reader": folders::reader_json(self.session.model()), "reused_tokens": answer.reused_tokens,
        });
        if self.attention {
            json["attention"] = self.attention_json(answer)?;
        }
        Ok(json)
    }

    /// What each token of the answer leaned on.
    fn attention_json(&self, answer: &Answer) -> Result<Value, Failure> {
        let mut text = TextStream::new(self.session.model().tokenizer());
        let mut tokens = Vec::with_capacity(answer.tokens.len());
        for (token, TokenAttention { chunk, shares }) in answer.tokens.iter().zip(&answer.attention) {
            let new = text.push(*token).map_err(|error| Failure::new(Kind::Work, error))?;
            let chunk = answer.chunks.get(*chunk).map(|chunk| chunk.chunk);
            tokens.push(json!({"token": token, "text": new, "chunk": chunk, "shares": shares}));
        }
        Ok(Value::Array(tokens))
    }

    /// Says, once, that there is no fast path for an answer.
    pub fn tell_slow_path(&self, answer: &Answer) {
        static SAID: Once = Once::new();
        if answer.slow_path {
            SAID.call_once(|| {
                errln!(
                    "mempack: prompt and --max-tokens go beyond the positions that have a fast path; libtorch computes such answers, which takes \
                     several times as long"
                );
            });
        }
    }

    /// Prints the answer, of which the text may have been printed already, and what it was read from.
    pub fn print(&self, question: &str, answer: &Answer) -> Result<(), Failure> {
        if self.json {
            terminal::print_json(&self.as_json(question, answer)?);
            return Ok(());
        }
        if !self.streams() && answer.stop != Stop::Interrupted {
            out!("{}", self.said(answer));
        }
        outln!();
        self.print_sources(answer)
    }

    /// The documents that the first chunk read, best first; with `show_memories`, those of each chunk with their text.
    pub fn print_sources(&self, answer: &Answer) -> Result<(), Failure> {
        let several = self.mounted.packs().len() > 1;
        let attention = answer.attention_of_chunks();
        for (i, chunk) in answer.chunks.iter().enumerate() {
            if self.show_memories {
                outln!("\nchunk {} read, for {:?}:", chunk.chunk, chunk.query);
            } else if i == 0 {
                outln!("\nread:");
            } else {
                break;
            }
            let shares = attention.get(i).and_then(Option::as_deref);
            for (place, (hit, read)) in self.resolve(answer, i)?.into_iter().enumerate() {
                let share = shares.and_then(|shares| shares.get(place)).map_or_else(String::new, |share| format!("  attention {share:.3}"));
                outln!("  {}{share}", packs::place(&hit, read.rerank_score, several));
                if self.show_memories {
                    outln!("{}", packs::text(&hit, "         "));
                }
            }
        }
        Ok(())
    }

    /// The references that a chunk read.
    fn resolve<'a>(&self, answer: &'a Answer, chunk: usize) -> Result<Vec<(Citation, &'a MemoryRead)>, Failure> {
        let reads = answer.chunks.get(chunk).map_or(&[][..], |chunk| &chunk.reads);
        let on_damage = self.packs.on_damage(&answer.skipped);
        let cited = reads.iter().map(|read| (read.cite(on_damage), read));
        cited.map(|(hit, read)| Ok((hit.map_err(|error| super::failed(error.is_damage(), error))?, read))).collect()
    }
}
