//! Text blocks (SPEC 8).

use zstd::zstd_safe::{self, DCtx};

use crate::constants::TEXT_BLOCK_BYTES;
use crate::error::Defect;

/// Bits of zstd's frame header descriptor (RFC 8878, section 3.1.1.1.1).
const SINGLE_SEGMENT: u8 = 0b10_0000;
const UNUSED_AND_RESERVED: u8 = 0b1_1000;
const CHECKSUM: u8 = 0b100;
const DICTIONARY: u8 = 0b11;
/// First bytes of a frame, little-endian; others may begin a skippable frame, which holds no text.
const FRAME_MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];

/// Decompresses text blocks, one at a time, into its own buffer of 64 KiB.
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
        check_header(frame).map_err(|reason| Defect::Block { block, reason })?;
        let size = zstd_safe::find_frame_compressed_size(frame).map_err(failed)?;
        if size != frame.len() {
            return Err(Defect::Value { field: "bytes of a text block's frame", expected: frame.len() as u64, found: size as u64 });
        }
        // What a frame claims is looked at before anything is decompressed; a single segment always claims something.
        let unequal = |found| Defect::Value { field: "bytes of a text block", expected, found };
        let claimed = zstd_safe::get_frame_content_size(frame).ok().flatten().unwrap_or(0);
        if claimed != expected {
            return Err(unequal(claimed));
        }
        self.block.clear();
        let found = self.context.decompress(&mut self.block, frame).map_err(failed)?;
        if found as u64 == expected { Ok(&self.block) } else { Err(unequal(found as u64)) }
    }
}

/// Whether a frame has the header that SPEC 8 demands; if not, what is wrong with it.
fn check_header(frame: &[u8]) -> Result<(), &'static str> {
    if frame.is_empty() {
        return Err("it has no bytes");
    }
    let descriptor = frame.strip_prefix(&FRAME_MAGIC).and_then(|rest| rest.first()).ok_or("it is no frame of text")?;
    match descriptor {
        // Without the checksum a damaged block could be read as another text.
        bits if bits & CHECKSUM == 0 => Err("its frame has no checksum"),
        bits if bits & DICTIONARY != 0 => Err("its frame needs a dictionary"),
        bits if bits & UNUSED_AND_RESERVED != 0 => Err("its frame's header sets a bit that means nothing"),
        bits if bits & SINGLE_SEGMENT == 0 => Err("its frame needs a window of its own"),
        _ => Ok(()),
    }
}
