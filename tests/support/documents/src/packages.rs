//! Documents that are zip archives. An input is a part of one, and the archive is made around it, so that a fuzzer does not have to guess checksums.

use std::io::{Cursor, Read as _, Write as _};
use std::sync::OnceLock;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::check::{check, options};
use crate::{check_as, is_of};

/// A sample, taken apart.
pub struct Package {
    /// The name of its file.
    pub name: &'static str,
    /// Its parts, in order: names and bytes.
    pub parts: Vec<(String, Vec<u8>)>,
}

impl Package {
    fn of((name, bytes): &(&'static str, &[u8])) -> Self {
        let mut zip = ZipArchive::new(Cursor::new(bytes)).expect("a sample that is whole");
        let count = zip.len();
        let part = |number| {
            let mut file = zip.by_index(number).expect("a part");
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).expect("a part that is whole");
            (String::from_utf8_lossy(file.name_raw()).into_owned(), bytes)
        };
        Self { name, parts: (0..count).map(part).collect() }
    }

    /// The file with another part in the place of one of its own.
    fn with(&self, number: usize, content: &[u8]) -> Vec<u8> {
        let number = number % self.parts.len();
        zip(self.parts.iter().enumerate().map(|(at, (name, bytes))| (name.clone(), if at == number { content } else { bytes })))
    }
}

/// A zip archive of these files, not compressed.
pub fn zip<'a>(files: impl Iterator<Item = (String, &'a [u8])>) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in files {
        // A name that occurs again has no place in an archive.
        if zip.start_file(name, stored).is_ok() {
            zip.write_all(bytes).expect("written to memory");
        }
    }
    zip.finish().expect("written to memory").into_inner()
}

macro_rules! samples {
    ($($name:literal),*) => { [$(($name, include_bytes!(concat!("../../../../extract/tests/files/", $name)).as_slice())),*] };
}

/// The Office documents whose parts are changed.
pub fn office_packages() -> &'static [Package] {
    static PACKAGES: OnceLock<Vec<Package>> = OnceLock::new();
    PACKAGES.get_or_init(|| {
        samples!["contract.docx", "leaflet.docx", "statute.docx", "prices.xlsx", "doses.xlsx", "berths.ods"]
            .iter()
            .map(Package::of)
            .collect()
    })
}

/// The book whose parts are changed.
pub fn book() -> &'static Package {
    static BOOK: OnceLock<Package> = OnceLock::new();
    BOOK.get_or_init(|| Package::of(&samples!["handbook.epub"][0]))
}

/// Names of Office documents that are files as they are.
pub const OFFICE_FILES: [&str; 5] = ["a.docx", "a.xlsx", "a.xls", "a.doc", "a.ods"];

/// Office documents: the first two bytes choose a sample and a part of it, and the rest takes that part's place; after a byte 0xFF and one for the
/// extension, the rest is a file.
pub fn office(input: &[u8]) -> bool {
    let [base, part, content @ ..] = input else { return false };
    if *base == u8::MAX {
        return check_as("an Office document", OFFICE_FILES[usize::from(*part) % OFFICE_FILES.len()], content, &options());
    }
    let packages = office_packages();
    let package = &packages[usize::from(*base) % packages.len()];
    check(package.name, &package.with((*part).into(), content), &options());
    true
}

/// EPUB: the first byte chooses a part of a book, and the rest takes that part's place; after a byte 0xFF, the rest is a file.
pub fn epub(input: &[u8]) -> bool {
    let Some((part, content)) = input.split_first() else { return false };
    let file = if *part == u8::MAX { content.to_vec() } else { book().with((*part).into(), content) };
    let is_one = is_of("an EPUB book", "a.epub", &file);
    if is_one {
        check("a.epub", &file, &options());
    }
    is_one
}
