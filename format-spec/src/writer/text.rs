//! Writing text in blocks (SPEC 8).

use zstd::zstd_safe::{self, CCtx, CParameter};

use super::WriteError;
use super::spool::Spool;
use crate::Digest;
use crate::constants::TEXT_BLOCK_BYTES;

/// zstd's level: about 50 MB/s, and within 2 % of the best level at blocks of 64 KiB.
const TEXT_LEVEL: i32 = 9;

/// The text and its index while they are written.
pub(super) struct TextSpool {
    blocks: Spool,
    index: Spool,
    leaves: Spool,
    context: CCtx<'static>,
    /// The block that is not full yet.
    pending: Vec<u8>,
    frame: Vec<u8>,
}

impl TextSpool {
    pub(super) fn new(blocks: Spool, index: Spool, leaves: Spool) -> Result<Self, WriteError> {
        let mut context = CCtx::create();
        let parameters = [CParameter::CompressionLevel(TEXT_LEVEL), CParameter::ChecksumFlag(true), CParameter::ContentSizeFlag(true)];
        for parameter in parameters {
            context.set_parameter(parameter).map_err(|code| compression(&blocks, code))?;
        }
        let frame = Vec::with_capacity(zstd_safe::compress_bound(TEXT_BLOCK_BYTES as usize));
        Ok(Self { blocks, index, leaves, context, pending: Vec::with_capacity(TEXT_BLOCK_BYTES as usize), frame })
    }

    /// Appends to the text.
    pub(super) fn push(&mut self, mut text: &[u8]) -> Result<(), WriteError> {
        while !text.is_empty() {
            let room = TEXT_BLOCK_BYTES as usize - self.pending.len();
            let (now, later) = text.split_at_checked(room).unwrap_or((text, &[]));
            self.pending.extend_from_slice(now);
            text = later;
            if self.pending.len() as u64 == TEXT_BLOCK_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), WriteError> {
        self.frame.clear();
        self.context.compress2(&mut self.frame, &self.pending).map_err(|code| compression(&self.blocks, code))?;
        self.blocks.write(&self.frame)?;
        self.leaves.write(&Digest::of(&self.frame).0)?;
        self.index.write(&self.blocks.length().to_le_bytes())?;
        self.pending.clear();
        Ok(())
    }

    /// The text blocks, their index, and their leaf digests.
    pub(super) fn finish(mut self) -> Result<[Spool; 3], WriteError> {
        if !self.pending.is_empty() {
            self.flush()?;
        }
        Ok([self.blocks, self.index, self.leaves])
    }
}

fn compression(spool: &Spool, code: usize) -> WriteError {
    let source = std::io::Error::other(zstd_safe::get_error_name(code));
    WriteError::Io { path: spool.path().to_path_buf(), action: "compress text for", source }
}
