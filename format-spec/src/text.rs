//! Text blocks (SPEC 8).

use zstd::zstd_safe::{self, DCtx};

use crate::constants::TEXT_BLOCK_BYTES;
use crate::error::Defect;

/// zstd's bit "frame ends with a checksum", in the byte behind the frame's magic (RFC 8878, section 3.1.1.1.1).
const CHECKSUM_FLAG: u8 = 0b100;

/// Decompresses text blocks, one at a time, into 64 KiB of its own.
pub(crate) struct Inflater {
    context: DCtx<'static>,
    block: Vec<u8>,
}

impl Inflater {
    pub(crate) fn new() -> Self {
        Self { context: DCtx::create(), block: Vec::with_capacity(TEXT_BLOCK_BYTES as usize) }
    }

    /// The text of block number `block`, of `expected` bytes, from its one frame.
    pub(crate) fn inflate(&mut self, block: u64, frame: &[u8], expected: u64) -> Result<&[u8], Defect> {
        let failed = |code| Defect::Block { block, reason: zstd_safe::get_error_name(code) };
        let size = zstd_safe::find_frame_compressed_size(frame).map_err(failed)?;
        if size != frame.len() {
            return Err(Defect::Value { field: "bytes of a text block's frame", expected: frame.len() as u64, found: size as u64 });
        }
        // Without the checksum a damaged block could be read as another text.
        if frame.get(4).is_none_or(|descriptor| descriptor & CHECKSUM_FLAG == 0) {
            return Err(Defect::Block { block, reason: "its frame has no checksum" });
        }
        self.block.clear();
        let found = self.context.decompress(&mut self.block, frame).map_err(failed)?;
        if found as u64 != expected {
            return Err(Defect::Value { field: "bytes of a text block", expected, found: found as u64 });
        }
        Ok(&self.block)
    }
}
