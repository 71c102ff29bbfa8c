//! Passages before equal ones are merged: a file with what the later passes need of them.

use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use mempack_format::{Digest, StorageCursor};

use super::{Scratch, failed};
use crate::BuildError;

/// A passage that becomes a reference, or one more origin of an equal one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Key of its memory.
    pub key: Digest,
    /// Ids that the model reads, with template and title.
    pub ids: Vec<u32>,
    /// The title with its punctuation that model and embedder read before the text; may be empty.
    pub lead: String,
    /// The text of the reference: the document's own bytes, below lines of the document that they need.
    pub text: String,
}

/// Appends candidates. The name of a candidate is the byte at which it begins, so names ascend in the order of the corpus.
pub(crate) struct CandidateWriter {
    file: BufWriter<StorageCursor>,
    path: PathBuf,
    end: u64,
}

impl CandidateWriter {
    pub fn create(scratch: &Scratch) -> Result<Self, BuildError> {
        let name = "candidates";
        Ok(Self { file: scratch.create(name)?, path: scratch.path(name), end: 0 })
    }

    /// Appends a candidate and returns its name.
    pub fn push(&mut self, candidate: &Candidate) -> Result<u64, BuildError> {
        let at = self.end;
        let mut bytes = Vec::with_capacity(44 + 4 * candidate.ids.len() + candidate.lead.len() + candidate.text.len());
        bytes.extend(candidate.key.0);
        for length in [candidate.ids.len(), candidate.lead.len(), candidate.text.len()] {
            bytes.extend((length as u32).to_le_bytes());
        }
        candidate.ids.iter().for_each(|id| bytes.extend(id.to_le_bytes()));
        bytes.extend(candidate.lead.as_bytes());
        bytes.extend(candidate.text.as_bytes());
        self.file.write_all(&bytes).map_err(failed(&self.path))?;
        self.end += bytes.len() as u64;
        Ok(at)
    }

    /// Ends writing and begins reading.
    pub fn into_reader(self) -> Result<CandidateReader, BuildError> {
        let path = self.path;
        let file = self.file.into_inner().map_err(|error| failed(&path)(error.into_error()))?;
        Ok(CandidateReader { file: BufReader::with_capacity(1 << 18, file), path, at: None })
    }
}

/// Reads candidates by name. Ascending names are read without long seeks.
pub(crate) struct CandidateReader {
    file: BufReader<StorageCursor>,
    path: PathBuf,
    at: Option<u64>,
}

impl CandidateReader {
    pub fn read(&mut self, name: u64) -> Result<Candidate, BuildError> {
        self.read_at(name).map_err(failed(&self.path))
    }

    fn read_at(&mut self, name: u64) -> std::io::Result<Candidate> {
        match self.at.take() {
            // Small steps stay in the buffer, which a plain seek would discard.
            Some(at) if at <= name => self.file.seek_relative((name - at) as i64)?,
            _ => {
                self.file.seek(SeekFrom::Start(name))?;
            }
        }
        let mut key = [0; 32];
        self.file.read_exact(&mut key)?;
        let [ids, lead, text] = [self.read_u32()?, self.read_u32()?, self.read_u32()?].map(|length| length as usize);
        let id_bytes = self.read_bytes(4 * ids)?;
        let ids = id_bytes.chunks_exact(4).map(|id| u32::from_le_bytes([id[0], id[1], id[2], id[3]])).collect();
        let lead = self.read_string(lead)?;
        let text = self.read_string(text)?;
        self.at = Some(name + 44 + id_bytes.len() as u64 + lead.len() as u64 + text.len() as u64);
        Ok(Candidate { key: Digest(key), ids, lead, text })
    }

    fn read_u32(&mut self) -> std::io::Result<u32> {
        let mut bytes = [0; 4];
        self.file.read_exact(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn read_bytes(&mut self, length: usize) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.file.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn read_string(&mut self, length: usize) -> std::io::Result<String> {
        String::from_utf8(self.read_bytes(length)?).map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidData, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_are_read_as_written_in_any_order() {
        let folder = tempfile::tempdir().unwrap();
        let scratch = Scratch::on_disk(folder.path());
        let mut writer = CandidateWriter::create(&scratch).unwrap();
        let made: Vec<Candidate> = (0..500u32)
            .map(|i| Candidate {
                key: Digest::of(&i.to_le_bytes()),
                ids: (0..i % 130).collect(),
                lead: if i % 3 == 0 { String::new() } else { "Titel. ".into() },
                text: "wörter ".repeat(i as usize % 90),
            })
            .collect();
        let names: Vec<u64> = made.iter().map(|candidate| writer.push(candidate).unwrap()).collect();
        let mut reader = writer.into_reader().unwrap();
        for i in (0..500).chain((0..500).rev()).chain((0..500).step_by(7)) {
            assert_eq!(reader.read(names[i]).unwrap(), made[i]);
        }
    }
}
