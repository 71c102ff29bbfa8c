//! `mempack codebooks`: the codebooks of a pack, for the folder of its model.

use std::path::PathBuf;
use std::sync::Arc;

use mempack_compiler::{CODEBOOKS_FILE, CodebooksError, write_codebooks};
use mempack_format::{DiskStorage, ReadError};

use crate::failure::{Failure, Kind};
use crate::output::{bytes, quality_line};
use crate::outputs;
use crate::terminal::outln;

/// Training a codec takes longer than writing the memories of a small corpus. Codebooks that lie as codec.bin in the folder of a model are
/// used by every build of fewer than 2,000 references with this model, unless it has another --codec, --from or --retrain-codec. The loss
/// is measured on the new references in any case.
///
/// The pack should be built from a large corpus of many kinds of text. The file is a pack of its own, without documents and references.
#[derive(clap::Args)]
pub struct Args {
    /// A pack of the model, whose codec was trained
    pack: PathBuf,
    /// The file to write: codec.bin in the folder of the model
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

pub fn run(args: Args) -> Result<(), Failure> {
    outputs::check_pack(&args.output, &[&args.pack])?;
    let pack = super::open(&args.pack)?;
    let (id, length) = write_codebooks(&pack, Arc::new(DiskStorage), &args.output).map_err(|error| {
        let name = |kind| Failure::new(kind, format!("{}: {error}", args.pack.display()));
        match &error {
            CodebooksError::Read(ReadError::Damaged(_)) => name(Kind::Damaged),
            CodebooksError::Write(_) => Failure::from(error),
            _ => name(Kind::Work),
        }
    })?;
    outln!(
        "{}: codec {}, {}, id {id}{}",
        args.output.display(),
        pack.codec_spec(),
        bytes(length),
        pack.quality().map(|quality| format!("; loses {}", quality_line(quality))).unwrap_or_default()
    );
    if args.output.file_name().is_none_or(|name| name != CODEBOOKS_FILE) {
        outln!("builds look for {CODEBOOKS_FILE} in the folder of the model");
    }
    Ok(())
}
