//! What a second push would send: of two versions of a pack, with chunks cut by contents and with pieces of one length, of several sizes.
//!
//! usage: chunk_sizes OLD.mpk NEW.mpk

use std::collections::HashSet;
use std::error::Error;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use mempack_format::{Digest, PackOutline};
use mempack_store::{ChunkSizes, Piece, Range, cut, ranges_of_pack};

/// By contents: the fewest and the most bytes are a quarter and four times the average.
fn by_contents(path: &Path, average: usize) -> Result<Vec<Piece>, Box<dyn Error>> {
    let mut pieces = Vec::new();
    let sizes = ChunkSizes { min: (average / 4).min(1 << 20), average, max: average * 4 };
    let mut each = |_, piece| {
        pieces.push(piece);
        ControlFlow::Continue(())
    };
    match cut(&mut File::open(path)?, &ranges(path)?, sizes, &mut each) {
        Ok(()) => Ok(pieces),
        Err(error) => Err(format!("{}: {error:?}", path.display()).into()),
    }
}

/// Of one length, from the beginning of each section.
fn by_length(path: &Path, length: usize) -> Result<Vec<Piece>, Box<dyn Error>> {
    let bytes = std::fs::read(path)?;
    let (mut pieces, mut rest) = (Vec::new(), bytes.as_slice());
    for range in ranges(path)? {
        let (section, behind) = rest.split_at(range.bytes as usize);
        pieces.extend(section.chunks(length).map(|chunk| Piece { digest: Digest::of(chunk), bytes: chunk.len() as u32 }));
        rest = behind;
    }
    Ok(pieces)
}

fn ranges(path: &Path) -> Result<Vec<Range>, Box<dyn Error>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    Ok(ranges_of_pack(&PackOutline::read(file)?, length))
}

fn main() -> Result<(), Box<dyn Error>> {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [old, new] = paths.as_slice() else { return Err("usage: chunk_sizes OLD.mpk NEW.mpk".into()) };
    println!("{:>10} {:>12} {:>10} {:>14} {:>10} {:>7}", "size", "cut", "chunks", "bytes sent", "chunks", "share");
    for size in [64, 128, 256, 512, 1024, 4096].map(|kib| kib << 10) {
        type Cut = fn(&Path, usize) -> Result<Vec<Piece>, Box<dyn Error>>;
        for (how, cut) in [("contents", by_contents as Cut), ("length", by_length)] {
            let there: HashSet<Piece> = cut(old, size)?.into_iter().collect();
            let pieces: HashSet<Piece> = cut(new, size)?.into_iter().collect();
            let all: u64 = pieces.iter().map(|piece| u64::from(piece.bytes)).sum();
            let sent: Vec<&Piece> = pieces.difference(&there).collect();
            let bytes: u64 = sent.iter().map(|piece| u64::from(piece.bytes)).sum();
            let share = 100.0 * bytes as f64 / all as f64;
            println!("{size:>10} {how:>12} {:>10} {bytes:>14} {:>10} {share:>6.1}%", pieces.len(), sent.len());
        }
    }
    Ok(())
}
