//! Text blocks and their index (SPEC 8).

use mempack_hostile::{Parts, frame, frame_without_size, u64_at};

use crate::corpus::{Corpus, Error, edited};

pub fn add(corpus: &mut Corpus) {
    index(corpus);
    frames(corpus);
    frame_headers(corpus);
    bombs(corpus);
    texts(corpus);
}

fn index(corpus: &mut Corpus) {
    let length = corpus.whole.get("TEXT").len() as u64;
    let second = u64_at(corpus.whole.get("TEXTINDX"), 8);
    let mut parts = edited(&corpus.whole, "TEXT", |text| text.insert(0, 0));
    for entry in parts.edit("TEXTINDX").as_chunks_mut::<8>().0 {
        *entry = (u64::from_le_bytes(*entry) + 1).to_le_bytes();
    }
    parts.seal_leaves();
    corpus.verify("text blocks that do not begin with the section", Error("TEXTINDX/Value", "start of a text block"), &parts);
    let parts = corpus.with("TEXTINDX", 16, &(second - 1).to_le_bytes());
    corpus.touch("a text index that descends", Error("TEXTINDX/TooSmall", "end of a text block"), &parts);
    let parts = corpus.with("TEXTINDX", 16, &u64::MAX.to_le_bytes());
    corpus.touch("a text block to the end of the address space", Error("TEXTINDX/TooLarge", "18446744073709551615"), &parts);
    let parts = corpus.with("TEXTINDX", 24, &(length + 1).to_le_bytes());
    corpus.touch("a text block beyond the section", Error("TEXTINDX/TooLarge", "end of a text block"), &parts);
    let parts = edited(&corpus.whole, "TEXT", |text| text.push(0));
    corpus.verify("bytes behind the last text block", Error("TEXTINDX/Value", "end of the text blocks"), &parts);
}

/// The whole pack with another frame for a block.
fn with_frame(whole: &Parts, block: usize, frame: &[u8]) -> Parts {
    let mut parts = whole.clone();
    parts.set_frame(block, frame);
    parts.seal_leaves();
    parts
}

fn block(corpus: &Corpus) -> Vec<u8> {
    corpus.whole.block(1).expect("a whole pack")
}

fn refused(corpus: &mut Corpus, name: &'static str, error: Error, frame: &[u8]) {
    refused_in(corpus, 1, name, error, frame);
}

/// Errors of frames name their block: in different ones the same words are different errors.
fn refused_in(corpus: &mut Corpus, block: usize, name: &'static str, error: Error, frame: &[u8]) {
    let parts = with_frame(&corpus.whole, block, frame);
    corpus.touch(name, error, &parts);
}

fn frames(corpus: &mut Corpus) {
    const BLOCK: &str = "TEXT/Block";
    let text = block(corpus);
    let whole = frame(&text, true);
    let first_block = frame(&corpus.whole.block(0).expect("a whole pack"), true);
    let (first, second) = text.split_at(20_000);
    refused_in(corpus, 0, "a text block of no bytes", Error(BLOCK, "no bytes"), &[]);
    refused_in(corpus, 0, "a text block that is no frame", Error(BLOCK, "no frame of text"), b"this is no zstd frame");
    refused_in(corpus, 0, "a frame cut short", Error(BLOCK, "Src size is incorrect"), &first_block[..first_block.len() - 9]);
    refused(corpus, "a frame without checksum", Error(BLOCK, "no checksum"), &frame(&text, false));
    let mut wrong = whole.clone();
    *wrong.last_mut().expect("a frame") ^= 1;
    refused(corpus, "a frame with another checksum", Error(BLOCK, "checksum"), &wrong);
    let two = [frame(first, true), frame(second, true)].concat();
    refused(corpus, "two frames in a block", Error("TEXT/Value", "bytes of a text block's frame"), &two);
    let skippable = [&[0x50, 0x2A, 0x4D, 0x18, 8, 0, 0, 0], &[b'x'; 8][..]].concat();
    refused_in(corpus, 2, "a skippable frame", Error(BLOCK, "no frame of text"), &skippable);
    let before = [&skippable[..], &whole].concat();
    refused(corpus, "a skippable frame before the frame", Error(BLOCK, "no frame of text"), &before);
    let behind = [&whole[..], &skippable].concat();
    refused(corpus, "a skippable frame behind the frame", Error("TEXT/Value", "bytes of a text block's frame"), &behind);
    refused(corpus, "bytes behind the frame", Error("TEXT/Value", "bytes of a text block's frame"), &[&whole[..], b"rest"].concat());
    refused(corpus, "a block of fewer bytes than a block", Error("TEXT/Value", "bytes of a text block is 20000"), &frame(first, true));
    let more = frame(&[&text[..], b"more"].concat(), true);
    refused(corpus, "a block of more bytes than a block", Error("TEXT/Value", "bytes of a text block is 65540"), &more);
}

/// Frames whose header says what it must not: a text of one run, so that the frame has little behind its header.
fn frame_headers(corpus: &mut Corpus) {
    const BLOCK: &str = "TEXT/Block";
    let whole = frame(&block(corpus), true);
    let descriptor = |bits: u8| {
        let mut frame = whole.clone();
        frame[4] ^= bits;
        frame
    };
    refused(corpus, "a frame with the reserved bit", Error(BLOCK, "a bit that means nothing"), &descriptor(0b1000));
    let mut other = frame(&corpus.whole.block(0).expect("a whole pack"), true);
    other[4] ^= 0b1_0000;
    refused_in(corpus, 0, "a frame with the unused bit", Error(BLOCK, "a bit that means nothing"), &other);
    let mut dictionary = descriptor(0b01);
    dictionary.insert(5, 7);
    refused(corpus, "a frame with a dictionary", Error(BLOCK, "needs a dictionary"), &dictionary);
    // 4 bytes of content size behind the descriptor, of which two are enough for no block: a wide field.
    let content = |size: u32| {
        let mut frame = whole.clone();
        let at = match frame[4] >> 6 {
            1 => 5..7,
            2 => 5..9,
            _ => unreachable!("zstd writes the size of a block in 2 or 4 bytes"),
        };
        frame.splice(at, size.to_le_bytes());
        frame[4] = frame[4] & 0x3F | 0x80;
        frame
    };
    refused(corpus, "a content size that is too small", Error("TEXT/Value", "bytes of a text block is 65535"), &content(65_535));
    refused(corpus, "a content size that is too large", Error("TEXT/Value", "bytes of a text block is 4294967295"), &content(u32::MAX));
    let window = |exponent: u8| {
        let mut frame = content(65_536);
        frame[4] &= !0b10_0000;
        frame.insert(5, exponent << 3);
        frame
    };
    refused(corpus, "a frame with a window of 2 TiB", Error(BLOCK, "a window of its own"), &window(31));
    let sizeless = frame_without_size(&block(corpus));
    refused_in(corpus, 2, "a frame without content size", Error(BLOCK, "a window of its own"), &sizeless);
}

fn bombs(corpus: &mut Corpus) {
    let zeros = frame(&vec![0; 100 << 20], true);
    assert!(zeros.len() < 12_000, "{} bytes that become 100 MiB", zeros.len());
    refused_in(corpus, 0, "a bomb of 100 MiB", Error("TEXT/Block", "a window of its own"), &zeros);

    // The same as a single segment, first with the size that it has, then with that of a block.
    let mut lying = zeros;
    assert_eq!(lying[4] & 0b1110_0000, 0b1000_0000, "a window, and a size of 4 bytes");
    lying[4] |= 0b10_0000;
    lying.remove(5);
    refused(corpus, "a bomb of 100 MiB in one segment", Error("TEXT/Value", "bytes of a text block is 104857600"), &lying);
    lying[5..9].copy_from_slice(&65_536u32.to_le_bytes());
    refused(corpus, "a bomb that claims to be a block", Error("TEXT/Block", "text block 1 cannot be decompressed"), &lying);
    // Blocks of run length, each of a few bytes that become 128 KiB, and no end in 64 KiB of them.
    let run = [0x02 | 0xFF << 3, 0xFF, 0x0F, b'x'];
    let mut runs = vec![0x28, 0xB5, 0x2F, 0xFD, 0xA4, 0, 0, 1, 0];
    runs.extend((0..16_000).flat_map(|_| run));
    refused(corpus, "blocks of run length without end", Error("TEXT/Block", "text block 1 cannot be decompressed"), &runs);
}

fn texts(corpus: &mut Corpus) {
    let start = (0..30).map(|reference| u64_at(corpus.whole.get("REFS"), 64 * reference + 32)).find(|start| *start >= 65_536);
    let start = start.expect("a reference that begins in the second block") as usize - 65_536;
    let mut text = block(corpus);
    text[start + 1] = 0xFF;
    refused(corpus, "a text that is not UTF-8", Error("REFS/Utf8", "text is not UTF-8"), &frame(&text, true));
    // All of the text is UTF-8, but one reference ends within a character, and the next begins there.
    let mut text = block(corpus);
    text[start - 1..start + 1].copy_from_slice("é".as_bytes());
    refused(corpus, "texts cut within a character", Error("REFS/Utf8", "text is not UTF-8"), &frame(&text, true));
}
