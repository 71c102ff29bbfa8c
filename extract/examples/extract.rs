//! `extract FILE...` prints the text of files, document by document.

use std::fs::File;
use std::io::{BufWriter, Write, stdout};
use std::ops::ControlFlow;
use std::process::ExitCode;

use mempack_extract::{Extracted, Input, Note, Options, Sink, extract};

/// Prints texts, and remarks on them to standard error.
struct Print<W>(W);

impl<W: Write> Sink for Print<W> {
    fn document(&mut self, document: Extracted) -> ControlFlow<()> {
        if self.0.write_all(document.text.as_bytes()).is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    fn note(&mut self, note: Note) {
        eprintln!("{note:?}");
    }
}

fn main() -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for name in std::env::args().skip(1) {
        let mut print = Print(BufWriter::new(stdout().lock()));
        let result =
            File::open(&name).map_err(Into::into).and_then(|file| extract(Input::new(&name, file), &Options::default(), &mut print));
        if let Err(failure) = result {
            eprintln!("{name} {failure}");
            code = ExitCode::FAILURE;
        }
    }
    code
}
