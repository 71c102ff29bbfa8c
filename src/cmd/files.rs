//! How commands read files that are no plain text: in a process of their own, which is this program again.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use mempack_corpus::{Extraction, Options, WorkerCommand, XmlRules, read_files};

use crate::failure::{Failure, Kind};

/// How files are read that are no plain text.
#[derive(clap::Args)]
#[command(next_help_heading = "Files")]
pub struct FileArgs {
    /// The field of a row of CSV, JSON or Parquet that is its text; fields of objects within have names with dots, such as doc.body [default: guessed from the first rows, and said]
    #[arg(long, value_name = "NAME")]
    text_field: Option<String>,
    /// The field of a row that is its title
    #[arg(long, value_name = "NAME")]
    title_field: Option<String>,
    /// The field of a row that is its id
    #[arg(long, value_name = "NAME")]
    id_field: Option<String>,
    /// Rules for the elements of XML files of a schema of your own: which of them are documents, sections, numbers and so on, in TOML (see docs/corpora.md)
    #[arg(long, value_name = "FILE")]
    xml_rules: Option<PathBuf>,
    /// A command that reads pages of PDF files that are pictures: it gets a picture on its standard input and writes the text, such as "tesseract - -"
    #[arg(long, value_name = "COMMAND")]
    ocr: Option<String>,
    /// Seconds that a file may take to give its next document; one that takes longer is skipped
    #[arg(long, default_value_t = Self::SECONDS, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    file_seconds: u64,
    /// Megabytes of memory that a file may need to be read; one that needs more is skipped
    #[arg(long, default_value_t = Self::MEGABYTES, value_name = "N", value_parser = clap::value_parser!(u64).range(64..=1 << 20))]
    file_memory: u64,
}

impl FileArgs {
    const SECONDS: u64 = 120;
    const MEGABYTES: u64 = 4096;

    /// How files are read: in a process of their own, which is this program again.
    pub fn extraction(&self) -> Result<Extraction, Failure> {
        let program = std::env::current_exe()
            .map_err(|error| Failure::new(Kind::Work, format!("the program's own file cannot be found, which reads files: {error}")))?;
        let xml_rules = self.xml_rules.as_deref().map(XmlRules::read).transpose();
        let xml_rules = xml_rules.map_err(|error| Failure::new(Kind::Usage, format!("--xml-rules {error}")))?;
        let words = self.ocr.iter().flat_map(|command| command.split_whitespace()).map(str::to_owned);
        let options = Options {
            text_field: self.text_field.clone(),
            title_field: self.title_field.clone(),
            id_field: self.id_field.clone(),
            ocr: words.collect(),
            xml_rules,
            ..Options::default()
        };
        let worker = WorkerCommand {
            program,
            arguments: vec![READ_FILES.into(), self.file_memory.to_string().into()],
            time: Duration::from_secs(self.file_seconds),
            megabytes: self.file_memory,
        };
        Ok(Extraction { options, worker: Some(worker) })
    }
}

/// The name of the command that is a worker.
const READ_FILES: &str = "read-files";

/// Arguments of a worker.
#[derive(clap::Args)]
pub struct WorkerArgs {
    /// Megabytes of memory that it may use
    megabytes: u64,
}

/// Reads the files that standard input asks for.
pub fn run_worker(args: WorkerArgs) -> Result<(), Failure> {
    let bytes = args.megabytes << 20;
    rlimit::setrlimit(rlimit::Resource::DATA, bytes, bytes).map_err(|error| Failure::new(Kind::Work, error))?;
    read_files(io::stdin(), io::stdout()).map_err(|error| Failure::new(Kind::Work, error))
}
