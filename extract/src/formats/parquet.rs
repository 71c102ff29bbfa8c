//! Apache Parquet (format 2.x): a row is a document, see [`rows`](super::rows). Columns are uncompressed, or packed by Snappy, gzip, Zstandard or LZ4 (raw and
//! Hadoop's); Brotli and LZO are not read. Lists, objects and maps within a row are JSON text, members of objects are fields with both names: `court.name`. Dates and
//! times are words of ISO 8601, decimals have their digits.
//!
//! Pages are unpacked as their rows come. What is in memory is the file, which [`Limits::file_bytes`] bounds, and of a group of rows a page and a dictionary
//! for each column, which have at most [`Limits::unpacked_bytes`] together. Footer and headers of pages are walked over before the library reads them, as it believes
//! the counts in them.

use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use jiff::civil::{Date, DateTime, Time};
use jiff::{SignedDuration, ToSpan};
use num_bigint::BigInt;
use parquet::basic::{Compression, ConvertedType, Encoding, LogicalType, Repetition, TimeUnit};
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::schema::types::{ColumnDescPtr, Type};

use super::Format;
use super::cell::{Cell, Fields};
use super::json_value;
use super::rows::Rows;
use crate::{Failure, Input, Limits, Options, Sink, Value};

const FORMAT: &str = "Parquet file";
/// The type of a page that is a dictionary.
const DICTIONARY: i64 = 2;
const MAGIC: &[u8] = b"PAR1";
/// Bytes of a footer, at most.
const FOOTER_BYTES: usize = 32 << 20;
/// Groups within one another in a schema, at most, and in what describes them.
const SCHEMA_DEPTH: usize = 64;
/// Groups within one another whose members become fields.
const FIELD_DEPTH: usize = 8;
/// Rows of a column without lists that are read at once.
const BATCH: usize = 256;
/// How many times larger than the file its rows may become together.
const RATIO: u64 = 200;
/// Bytes that the rows of a small file may have at any ratio.
const ANY_RATIO: u64 = 16 << 20;
/// Bytes that a row counts beside its own, so that rows without anything end, too.
const ROW_BYTES: u64 = 16;

pub(super) struct Parquet;

impl Format for Parquet {
    fn name(&self) -> &'static str {
        "a Parquet file"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["parquet", "pq"]
    }

    fn recognizes(&self, head: &[u8]) -> bool {
        head.starts_with(MAGIC) || head.starts_with(b"PARE")
    }

    fn extract(&self, input: Input<'_>, options: &Options, sink: &mut dyn Sink) -> Result<(), Failure> {
        let bytes = Bytes::from(input.whole(&options.limits)?);
        // The library checks less than a damaged file has wrong.
        catch_unwind(AssertUnwindSafe(|| read(bytes, options, sink)))
            .unwrap_or_else(|_| Err(Failure::invalid(FORMAT, "its pages are not as its footer says")))
    }
}

fn invalid(reason: impl ToString) -> Failure {
    Failure::invalid(FORMAT, reason)
}

fn read(bytes: Bytes, options: &Options, sink: &mut dyn Sink) -> Result<(), Failure> {
    let limits = &options.limits;
    let metadata = ParquetMetaDataReader::decode_metadata(footer(&bytes)?).map_err(invalid)?;
    let descriptor = metadata.file_metadata().schema_descr();
    let mut leaves = 0;
    let nodes: Vec<Node> = descriptor.root_schema().get_fields().iter().filter_map(|field| Node::new(field, 0, 0, &mut leaves)).collect();
    if leaves != descriptor.num_columns() || leaves == 0 {
        return Err(invalid("its schema has no columns"));
    }
    let unpacked = (bytes.len() as u64 * RATIO).max(ANY_RATIO);
    let mut left = unpacked;
    let mut rows = Rows::new(options, sink);
    let mut number = 0;
    for group in metadata.row_groups() {
        let count = u64::try_from(group.num_rows()).map_err(invalid)?;
        let budget = Budget::new(limits.unpacked_bytes);
        let mut columns = open(&bytes, group, &budget, limits)?;
        for _ in 0..count {
            number += 1;
            let mut row = Row {
                columns: &mut columns,
                limit: usize::try_from(limits.row_bytes).unwrap_or(usize::MAX),
                fields: Fields::new(),
                bytes: 0,
            };
            let read = nodes.iter().try_for_each(|node| {
                row.fill(node)?;
                row.flatten(node, "", FIELD_DEPTH)
            });
            if let Err(error) = read {
                return Err(match budget.is_spent() {
                    true => Failure::TooLarge {
                        what: "bytes in pages that are read at once",
                        limit: limits.unpacked_bytes,
                        name: "what a file unpacks to",
                        advice: "write it with smaller pages",
                    },
                    false => invalid(format!("row {number}: {error}")),
                });
            }
            let taken = row.bytes as u64 + ROW_BYTES;
            let fields = row.fields;
            left = left.checked_sub(taken).ok_or(Failure::Bomb { limit: unpacked, ratio: unpacked / bytes.len() as u64 })?;
            if rows.row(number, fields)?.is_break() {
                return Ok(());
            }
        }
    }
    rows.finish()
}

/// The bytes of the footer's metadata, in which all counts are true.
fn footer(bytes: &[u8]) -> Result<&[u8], Failure> {
    let encrypted = Failure::Encrypted { advice: "write it again without encryption, with its keys" };
    let Some((rest, tail)) = bytes.split_last_chunk::<8>().filter(|(rest, _)| rest.len() >= 4) else {
        return Err(invalid("it is shorter than its footer, so that it may be cut off"));
    };
    let [a, b, c, d, magic @ ..] = tail;
    match magic {
        b"PAR1" if bytes.starts_with(MAGIC) => {}
        b"PARE" => return Err(encrypted),
        _ => return Err(invalid("it does not end with a footer, so that it may be cut off")),
    }
    let length = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
    if length > FOOTER_BYTES || length > rest.len() - 4 {
        return Err(invalid(format!("its footer says that it has {length} bytes itself")));
    }
    let footer = &rest[rest.len() - length..];
    // Children that are to come, of the groups around an element of the schema.
    let mut open: Vec<i64> = Vec::new();
    let (mut children, mut fits) = (0, true);
    Thrift { bytes: footer, at: 0 }
        .structure(0, 0, &mut |depth, parent, id, value| match (depth, parent, id) {
            (1, 2, 5) => children = value,
            (1, 2, 0) => {
                if let Some(left) = open.last_mut() {
                    *left -= 1;
                }
                fits &= (0..=length as i64).contains(&children) && open.len() < SCHEMA_DEPTH;
                if children > 0 && fits {
                    open.push(children);
                }
                while open.len() > 1 && open.last() == Some(&0) {
                    open.pop();
                }
                children = 0;
            }
            _ => {}
        })
        .ok_or_else(|| invalid("its footer is damaged"))?;
    if !fits {
        return Err(invalid(format!("its schema is damaged, or has more than {SCHEMA_DEPTH} groups within one another")));
    }
    Ok(footer)
}

/// Walks over a structure of Thrift's compact protocol.
struct Thrift<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Takes each number in a structure: how deep it is, the field that the structure is of, its field in it, and its value. Field 0 is the end of a structure.
type See<'a> = dyn FnMut(usize, i64, i64, i64) + 'a;

impl Thrift<'_> {
    fn byte(&mut self) -> Option<u8> {
        self.at += 1;
        self.bytes.get(self.at - 1).copied()
    }

    fn varint(&mut self) -> Option<u64> {
        varint(self.bytes, &mut self.at)
    }

    fn signed(&mut self) -> Option<i64> {
        self.varint().map(|value| (value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn pass(&mut self, bytes: u64) -> Option<()> {
        let end = self.at.checked_add(usize::try_from(bytes).ok()?)?;
        self.at = end;
        (end <= self.bytes.len()).then_some(())
    }

    fn structure(&mut self, depth: usize, parent: i64, see: &mut See) -> Option<()> {
        if depth > SCHEMA_DEPTH {
            return None;
        }
        let mut id = 0;
        loop {
            let head = self.byte()?;
            if head == 0 {
                see(depth, parent, 0, 0);
                return Some(());
            }
            id = if head >> 4 == 0 { self.signed()? } else { id.checked_add(i64::from(head >> 4))? };
            // True and false are in the head.
            if head & 15 > 2 {
                self.value(head & 15, depth, parent, id, see)?;
            }
        }
    }

    fn value(&mut self, kind: u8, depth: usize, parent: i64, id: i64, see: &mut See) -> Option<()> {
        if depth > SCHEMA_DEPTH {
            return None;
        }
        match kind {
            1..=3 => self.pass(1),
            4..=6 => {
                let value = self.signed()?;
                see(depth, parent, id, value);
                Some(())
            }
            7 => self.pass(8),
            8 => {
                let length = self.varint()?;
                self.pass(length)
            }
            9 | 10 => {
                let head = self.byte()?;
                let count = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
                (0..count).try_for_each(|_| self.value(head & 15, depth + usize::from(matches!(head & 15, 9..=11)), parent, id, see))
            }
            11 => {
                let count = self.varint()?;
                let kinds = if count > 0 { self.byte()? } else { 0 };
                (0..count).try_for_each(|_| {
                    self.value(kinds >> 4, depth + 1, id, 0, see)?;
                    self.value(kinds & 15, depth + 1, id, 0, see)
                })
            }
            12 => self.structure(depth + 1, id, see),
            13 => self.pass(16),
            _ => None,
        }
    }
}

fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Bytes of the pages of a group of rows that are in memory.
#[derive(Clone)]
struct Budget {
    spent: Arc<AtomicU64>,
    limit: u64,
}

impl Budget {
    fn new(limit: u64) -> Self {
        Self { spent: Arc::default(), limit }
    }

    fn is_spent(&self) -> bool {
        self.spent.load(Ordering::Relaxed) > self.limit
    }

    fn free(&self, bytes: u64) {
        self.spent.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn spend(&self, bytes: u64) -> ParquetResult<()> {
        self.spent.fetch_add(bytes, Ordering::Relaxed);
        if self.is_spent() { Err(damaged("its pages are too large")) } else { Ok(()) }
    }
}

fn damaged(reason: &str) -> ParquetError {
    ParquetError::General(reason.to_owned())
}

/// The file as a column reads it: page by page, each a header and a body.
struct Chunk {
    bytes: Bytes,
    budget: Budget,
    packed: Compression,
    /// Bytes that the page that is read says it unpacks to, and those of its body that are not packed.
    unpacked: AtomicU64,
    plain: AtomicU64,
    /// Bytes that are to be freed when the next page comes.
    held: AtomicU64,
    /// Where its body begins, until that is read.
    body: AtomicU64,
}

impl Length for Chunk {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }
}

impl ChunkReader for Chunk {
    type T = std::io::Cursor<Bytes>;

    /// The header of a page; or its body, of which nothing is read here, after the library looked ahead at the header.
    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        let is_body = start == self.body.load(Ordering::Relaxed);
        let start = usize::try_from(start)
            .ok()
            .filter(|start| *start <= self.bytes.len())
            .ok_or_else(|| damaged("a page begins after the end of the file"))?;
        if !is_body {
            let (mut kind, mut unpacked, mut plain) = (0, 0, 0);
            let mut header = Thrift { bytes: &self.bytes[start..], at: 0 };
            let see = &mut |depth, parent, id, value| match (depth, parent, id) {
                (0, 0, 1) => kind = value,
                (0, 0, 2) => unpacked = value,
                (1, 8, 5 | 6) => plain += value,
                _ => {}
            };
            header.structure(0, 0, see).ok_or_else(|| damaged("the header of a page is damaged"))?;
            let body = (start + header.at) as u64;
            let [unpacked, plain] = [unpacked, plain].map(|bytes: i64| u64::try_from(bytes).unwrap_or(u64::MAX / 4));
            // The page before is done with; a dictionary stays.
            let held = if kind == DICTIONARY { 0 } else { unpacked };
            self.budget.free(self.held.swap(held, Ordering::Relaxed));
            self.budget.spend(unpacked)?;
            self.unpacked.store(unpacked, Ordering::Relaxed);
            self.plain.store(plain, Ordering::Relaxed);
            self.body.store(body, Ordering::Relaxed);
        }
        Ok(std::io::Cursor::new(self.bytes.slice(start..)))
    }

    /// The body of a page.
    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        self.body.store(u64::MAX, Ordering::Relaxed);
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        let end = start
            .checked_add(length)
            .filter(|end| *end <= self.bytes.len())
            .ok_or_else(|| damaged("a page ends after the end of the file"))?;
        let body = self.bytes.slice(start..end);
        let plain = usize::try_from(self.plain.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        let packed = body.get(plain..).unwrap_or_default();
        let unpacked = self.unpacked.load(Ordering::Relaxed);
        // The library unpacks these to any size.
        let more = match self.packed {
            Compression::GZIP(_) => {
                let mut decoder = flate2::bufread::MultiGzDecoder::new(packed).take(unpacked.saturating_add(1));
                std::io::copy(&mut decoder, &mut std::io::sink()).unwrap_or(0) > unpacked
            }
            Compression::LZ4 => packed.starts_with(&[0x04, 0x22, 0x4D, 0x18]),
            _ => false,
        };
        if more { Err(damaged("a page unpacks to more than it says")) } else { Ok(body) }
    }
}

/// The pages of a column, whose counts are checked before the library believes them.
struct Pages {
    pages: SerializedPageReader<Chunk>,
    budget: Budget,
    max_rep: i16,
    max_def: i16,
    /// Values of the row so far, and at most.
    in_row: u64,
    limit: u64,
}

impl Pages {
    fn check(&mut self, page: &Page) -> ParquetResult<()> {
        let (buffer, values) = (page.buffer(), u64::from(page.num_values()));
        let (rep, rest): (&[u8], &[u8]) = match page {
            Page::DictionaryPage { .. } => {
                if values > buffer.len() as u64 {
                    return Err(damaged("a dictionary has fewer values than it says"));
                }
                return self.budget.spend(values * size_of::<ByteArray>() as u64);
            }
            Page::DataPageV2 { rep_levels_byte_len, def_levels_byte_len, .. } => {
                let rep = *rep_levels_byte_len as usize;
                let all = rep.saturating_add(*def_levels_byte_len as usize);
                (buffer.get(..rep).unwrap_or_default(), buffer.get(all..).unwrap_or_default())
            }
            Page::DataPage { rep_level_encoding, .. } => {
                let mut rest: &[u8] = buffer;
                let mut levels = |max: i16| {
                    let found = if max == 0 { Some((&[][..], rest)) } else { prefixed(rest) };
                    let (levels, after) = found.ok_or_else(|| damaged("the levels of a page are damaged"))?;
                    rest = after;
                    Ok::<_, ParquetError>(levels)
                };
                if self.max_rep > 0 && *rep_level_encoding != Encoding::RLE {
                    return Err(damaged("its levels are packed in a way that is not read"));
                }
                let rep = levels(self.max_rep)?;
                levels(self.max_def)?;
                (rep, rest)
            }
        };
        if self.max_rep > 0 {
            check_rows(rep, values, self.max_rep, &mut self.in_row, self.limit)
                .ok_or_else(|| damaged("a list has too many items, or is damaged"))?;
        }
        if matches!(page.encoding(), Encoding::DELTA_BYTE_ARRAY | Encoding::DELTA_LENGTH_BYTE_ARRAY) {
            // The third number says how many lengths there are.
            let mut at = 0;
            let count = (0..3).filter_map(|_| varint(rest, &mut at)).nth(2).unwrap_or(0);
            if count > values || count * 8 > self.budget.limit {
                return Err(damaged("a page has fewer values than it says"));
            }
        }
        Ok(())
    }
}

/// Goes over the repetition levels of a page: runs of a level, and levels of a few bits. `in_row` counts the values of a row; none if they are more than `limit`.
fn check_rows(levels: &[u8], values: u64, max_rep: i16, in_row: &mut u64, limit: u64) -> Option<()> {
    let bits = (i16::BITS - max_rep.leading_zeros()) as usize;
    let (mut at, mut left) = (0, values);
    while left > 0 {
        let head = varint(levels, &mut at)?;
        if head & 1 == 0 {
            let run = (head >> 1).min(left);
            let is_new = levels.get(at..at + bits.div_ceil(8))?.iter().all(|byte| *byte == 0);
            at += bits.div_ceil(8);
            *in_row = if is_new { 1 } else { in_row.checked_add(run).filter(|values| *values <= limit)? };
            left -= run;
            continue;
        }
        let run = (head >> 1).checked_mul(8)?.min(left);
        for value in 0..usize::try_from(run).ok()? {
            let bit = |bit: usize| levels.get(at + bit / 8).map(|byte| byte >> (bit % 8) & 1);
            let mut is_new = true;
            for number in value * bits..(value + 1) * bits {
                is_new &= bit(number)? == 0;
            }
            *in_row = if is_new { 1 } else { *in_row + 1 };
            if *in_row > limit {
                return None;
            }
        }
        at = at.checked_add(usize::try_from(head >> 1).ok()?.checked_mul(bits)?)?;
        left -= run;
    }
    Some(())
}

/// Bytes after their length, and what follows them.
fn prefixed(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
}

impl Iterator for Pages {
    type Item = ParquetResult<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> ParquetResult<Option<Page>> {
        let page = self.pages.get_next_page()?;
        page.as_ref().map_or(Ok(()), |page| self.check(page))?;
        Ok(page)
    }

    fn peek_next_page(&mut self) -> ParquetResult<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> ParquetResult<()> {
        self.pages.skip_next_page()
    }
}

/// A column of a group of rows, with what is read of it.
struct Column {
    reader: ColumnReader,
    kind: Kind,
    max_def: i16,
    max_rep: i16,
    def: Vec<i16>,
    rep: Vec<i16>,
    values: std::vec::IntoIter<Scalar>,
    /// Levels that are read, and those that are taken.
    levels: usize,
    at: usize,
}

/// A value as it is stored.
enum Scalar {
    Boolean(bool),
    Integer(i64),
    Float(f32),
    Double(f64),
    /// Nanoseconds since 1970.
    Instant(i64),
    Bytes(ByteArray),
}

fn open(bytes: &Bytes, group: &RowGroupMetaData, budget: &Budget, limits: &Limits) -> Result<Vec<Column>, Failure> {
    let mut columns = Vec::with_capacity(group.num_columns());
    for meta in group.columns() {
        let packed = meta.compression();
        let unread = match packed {
            Compression::BROTLI(_) => Some("Brotli"),
            Compression::LZO => Some("LZO"),
            _ => None,
        };
        if let Some(unread) = unread {
            return Err(invalid(format!("its columns are packed by {unread}, which is not read; write it again with Zstandard or Snappy")));
        }
        let descriptor: ColumnDescPtr = meta.column_descr_ptr();
        let (max_rep, max_def) = (descriptor.max_rep_level(), descriptor.max_def_level());
        let chunk = Chunk {
            bytes: bytes.clone(),
            budget: budget.clone(),
            packed,
            unpacked: AtomicU64::new(0),
            plain: AtomicU64::new(0),
            held: AtomicU64::new(0),
            body: AtomicU64::new(u64::MAX),
        };
        let rows = usize::try_from(group.num_rows()).map_err(invalid)?;
        let pages = SerializedPageReader::new(Arc::new(chunk), meta, rows, None).map_err(invalid)?;
        // A value takes two bytes of JSON.
        let pages = Pages { pages, budget: budget.clone(), max_rep, max_def, in_row: 0, limit: limits.row_bytes / 2 };
        columns.push(Column {
            kind: Kind::of(descriptor.self_type()),
            reader: get_column_reader(descriptor, Box::new(pages)),
            max_def,
            max_rep,
            def: Vec::new(),
            rep: Vec::new(),
            values: Vec::new().into_iter(),
            levels: 0,
            at: 0,
        });
    }
    Ok(columns)
}

impl Column {
    /// Reads the next rows, if there is none.
    fn fill(&mut self) -> Result<(), String> {
        if self.at < self.levels {
            return Ok(());
        }
        let rows = if self.max_rep > 0 { 1 } else { BATCH };
        self.def.clear();
        self.rep.clear();
        let mut values = Vec::new();
        let (def, rep, out) = (&mut self.def, &mut self.rep, &mut values);
        self.levels = match &mut self.reader {
            ColumnReader::BoolColumnReader(reader) => scalars(reader, rows, def, rep, out, Scalar::Boolean),
            ColumnReader::Int32ColumnReader(reader) => scalars(reader, rows, def, rep, out, |value| Scalar::Integer(value.into())),
            ColumnReader::Int64ColumnReader(reader) => scalars(reader, rows, def, rep, out, Scalar::Integer),
            ColumnReader::Int96ColumnReader(reader) => scalars(reader, rows, def, rep, out, |value| Scalar::Instant(value.to_nanos())),
            ColumnReader::FloatColumnReader(reader) => scalars(reader, rows, def, rep, out, Scalar::Float),
            ColumnReader::DoubleColumnReader(reader) => scalars(reader, rows, def, rep, out, Scalar::Double),
            ColumnReader::ByteArrayColumnReader(reader) => scalars(reader, rows, def, rep, out, Scalar::Bytes),
            ColumnReader::FixedLenByteArrayColumnReader(reader) => {
                scalars(reader, rows, def, rep, out, |value| Scalar::Bytes(value.into()))
            }
        }
        .map_err(|error| error.to_string())?;
        self.at = 0;
        self.values = values.into_iter();
        if self.levels == 0 { Err("a column has fewer rows than the footer says".into()) } else { Ok(()) }
    }

    /// How much of the path to the value is there.
    fn def(&self) -> Result<i16, String> {
        if self.max_def == 0 && self.at < self.levels {
            return Ok(0);
        }
        self.def.get(self.at).copied().ok_or_else(|| "the columns of a list have not the same number of items".into())
    }

    /// Whether the value is in the same row, within the list of this level.
    fn goes_on(&self, level: i16) -> bool {
        self.at < self.levels && self.rep.get(self.at).is_some_and(|rep| *rep >= level && *rep > 0)
    }

    /// Takes the value; none if it is null or no words.
    fn take(&mut self) -> Result<Option<Value>, String> {
        let is_there = self.def()? == self.max_def;
        self.at += 1;
        if !is_there {
            return Ok(None);
        }
        let scalar = self.values.next().ok_or("a column has fewer values than it says")?;
        Ok(self.kind.value(scalar))
    }
}

fn scalars<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    rows: usize,
    def: &mut Vec<i16>,
    rep: &mut Vec<i16>,
    out: &mut Vec<Scalar>,
    scalar: impl Fn(T::T) -> Scalar,
) -> ParquetResult<usize> {
    let mut values = Vec::new();
    let (_, _, levels) = reader.read_records(rows, Some(def), Some(rep), &mut values)?;
    out.extend(values.into_iter().map(scalar));
    Ok(levels)
}

/// A field of the schema.
struct Node {
    name: String,
    repetition: Repetition,
    /// The levels at which it is there.
    def: i16,
    rep: i16,
    /// Its columns.
    leaves: std::ops::Range<usize>,
    children: Vec<Node>,
    shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Leaf,
    /// An object with members.
    Object,
    /// What stands for its only child: a list around its items, or an item around its value.
    Around,
    /// A map around its entries, and an entry.
    Map,
    Entry,
}

impl Node {
    /// `None` for a group without columns.
    fn new(kind: &Type, def: i16, rep: i16, leaves: &mut usize) -> Option<Self> {
        let info = kind.get_basic_info();
        let repetition = if info.has_repetition() { info.repetition() } else { Repetition::REQUIRED };
        let def = def + i16::from(repetition != Repetition::REQUIRED);
        let rep = rep + i16::from(repetition == Repetition::REPEATED);
        let first = *leaves;
        let (children, mut shape) = match kind {
            Type::PrimitiveType { .. } => {
                *leaves += 1;
                (Vec::new(), Shape::Leaf)
            }
            Type::GroupType { fields, .. } => {
                (fields.iter().filter_map(|field| Self::new(field, def, rep, leaves)).collect(), Shape::Object)
            }
        };
        if *leaves == first {
            return None;
        }
        let mut node = Self { name: info.name().to_owned(), repetition, def, rep, leaves: first..*leaves, children, shape };
        let is = |logical: LogicalType, converted: &[ConvertedType]| {
            info.logical_type_ref() == Some(&logical) || converted.contains(&info.converted_type())
        };
        if let [items] = node.children.as_mut_slice()
            && items.repetition == Repetition::REPEATED
        {
            if is(LogicalType::List, &[ConvertedType::LIST]) {
                shape = Shape::Around;
                // Old writers have no group around an item.
                if items.children.len() == 1 && items.name != "array" && !items.name.ends_with("_tuple") {
                    items.shape = Shape::Around;
                }
            } else if is(LogicalType::Map, &[ConvertedType::MAP, ConvertedType::MAP_KEY_VALUE]) && items.children.len() == 2 {
                shape = Shape::Map;
                items.shape = Shape::Entry;
            }
        }
        node.shape = shape;
        Some(node)
    }
}

/// A row that is put together.
struct Row<'a> {
    columns: &'a mut [Column],
    /// Bytes that it may have.
    limit: usize,
    fields: Fields,
    bytes: usize,
}

impl Row<'_> {
    /// Reads what a field has in the row.
    fn fill(&mut self, node: &Node) -> Result<(), String> {
        let mut levels = 0;
        for column in &mut self.columns[node.leaves.clone()] {
            column.fill()?;
            levels += if column.max_rep > 0 { column.levels - column.at } else { 1 };
            if levels > self.limit {
                return Err(format!("it has more than {} bytes, the limit of a row", self.limit));
            }
        }
        Ok(())
    }

    fn count(&mut self, bytes: usize) -> Result<(), String> {
        self.bytes += bytes;
        if self.bytes > self.limit { Err(format!("it has more than {} bytes, the limit of a row", self.limit)) } else { Ok(()) }
    }

    /// Whether a field is there; if not, it is passed.
    fn is_there(&mut self, node: &Node) -> Result<bool, String> {
        if node.repetition == Repetition::REQUIRED || self.columns[node.leaves.start].def()? >= node.def {
            return Ok(true);
        }
        self.columns[node.leaves.clone()].iter_mut().for_each(|column| column.at += 1);
        Ok(false)
    }

    /// Adds the fields of a node.
    fn flatten(&mut self, node: &Node, prefix: &str, depth: usize) -> Result<(), String> {
        let name = if prefix.is_empty() { node.name.clone() } else { format!("{prefix}.{}", node.name) };
        if node.repetition != Repetition::REPEATED && node.shape == Shape::Leaf {
            let value = self.columns[node.leaves.start].take()?;
            if let Some(value) = value {
                self.count(value_bytes(&value))?;
                self.fields.push((name, Cell::One(value)));
            }
            return Ok(());
        }
        if node.repetition != Repetition::REPEATED && node.shape == Shape::Object && depth > 1 {
            if self.is_there(node)? {
                node.children.iter().try_for_each(|child| self.flatten(child, &name, depth - 1))?;
            }
            return Ok(());
        }
        let mut json = String::new();
        self.json(node, &mut json)?;
        self.fields.extend(json_value::at(&json, "").map(|cell| (name, cell)));
        Ok(())
    }

    /// Writes what a node has as JSON.
    fn json(&mut self, node: &Node, out: &mut String) -> Result<(), String> {
        if node.repetition == Repetition::REPEATED {
            let [open, close] = if node.shape == Shape::Entry { ['{', '}'] } else { ['[', ']'] };
            out.push(open);
            if self.is_there(node)? {
                self.item(node, out)?;
                while self.columns[node.leaves.start].goes_on(node.rep) {
                    out.push(',');
                    self.item(node, out)?;
                }
            }
            out.push(close);
            return Ok(());
        }
        if self.is_there(node)? {
            return self.item(node, out);
        }
        out.push_str("null");
        Ok(())
    }

    /// Writes one of what a node has.
    fn item(&mut self, node: &Node, out: &mut String) -> Result<(), String> {
        let before = out.len();
        match (node.shape, node.children.as_slice()) {
            (Shape::Leaf, _) => match self.columns[node.leaves.start].take()? {
                Some(Value::Text(text)) => out.push_str(&quoted(&text)),
                Some(Value::Number(text) | Value::Json(text)) => out.push_str(&text),
                Some(Value::Boolean(value)) => out.push_str(if value { "true" } else { "false" }),
                None => out.push_str("null"),
            },
            (Shape::Around | Shape::Map, [child]) => return self.json(child, out),
            (Shape::Entry, [key, value]) => {
                let mut name = String::new();
                self.json(key, &mut name)?;
                out.push_str(&if name.starts_with('"') { name } else { quoted(&name) });
                out.push(':');
                return self.json(value, out);
            }
            (_, children) => {
                out.push('{');
                for (number, child) in children.iter().enumerate() {
                    if number > 0 {
                        out.push(',');
                    }
                    out.push_str(&quoted(&child.name));
                    out.push(':');
                    self.json(child, out)?;
                }
                out.push('}');
                return Ok(());
            }
        }
        self.count(out.len() - before + 1)
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn value_bytes(value: &Value) -> usize {
    match value {
        Value::Text(text) | Value::Number(text) | Value::Json(text) => text.len(),
        Value::Boolean(_) => 5,
    }
}

/// What the values of a column mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Unsigned32,
    Unsigned64,
    Half,
    Date,
    /// Nanoseconds of its unit.
    Time(i64),
    /// The same, and whether it is of UTC.
    Timestamp(i64, bool),
    /// Digits after the point.
    Decimal(u32),
    Json,
    Uuid,
    /// What has no words.
    Unread,
}

impl Kind {
    fn of(kind: &Type) -> Self {
        let info = kind.get_basic_info();
        let nanos = |unit: &TimeUnit| match unit {
            TimeUnit::MILLIS => 1_000_000,
            TimeUnit::MICROS => 1_000,
            TimeUnit::NANOS => 1,
        };
        match info.logical_type_ref() {
            Some(LogicalType::Date) => return Self::Date,
            Some(LogicalType::Time(time)) => return Self::Time(nanos(&time.unit)),
            Some(LogicalType::Timestamp(time)) => return Self::Timestamp(nanos(&time.unit), time.is_adjusted_to_u_t_c),
            Some(LogicalType::Decimal(decimal)) => return Self::Decimal(u32::try_from(decimal.scale).unwrap_or(0)),
            Some(LogicalType::Integer(integer)) if !integer.is_signed => {
                return if integer.bit_width > 32 { Self::Unsigned64 } else { Self::Unsigned32 };
            }
            Some(LogicalType::Json) => return Self::Json,
            Some(LogicalType::Uuid) => return Self::Uuid,
            Some(LogicalType::Float16) => return Self::Half,
            Some(LogicalType::Bson) => return Self::Unread,
            _ => {}
        }
        match info.converted_type() {
            ConvertedType::DATE => Self::Date,
            ConvertedType::TIME_MILLIS => Self::Time(1_000_000),
            ConvertedType::TIME_MICROS => Self::Time(1_000),
            ConvertedType::TIMESTAMP_MILLIS => Self::Timestamp(1_000_000, true),
            ConvertedType::TIMESTAMP_MICROS => Self::Timestamp(1_000, true),
            ConvertedType::DECIMAL => Self::Decimal(u32::try_from(kind.get_scale()).unwrap_or(0)),
            ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 => Self::Unsigned32,
            ConvertedType::UINT_64 => Self::Unsigned64,
            ConvertedType::JSON => Self::Json,
            ConvertedType::BSON | ConvertedType::INTERVAL => Self::Unread,
            _ => Self::Plain,
        }
    }

    fn value(self, scalar: Scalar) -> Option<Value> {
        let number = |number: String| Some(Value::Number(number));
        match (self, scalar) {
            (Self::Unread, _) => None,
            (_, Scalar::Boolean(value)) => Some(Value::Boolean(value)),
            (Self::Unsigned32, Scalar::Integer(value)) => number((value as u32).to_string()),
            (Self::Unsigned64, Scalar::Integer(value)) => number((value as u64).to_string()),
            (Self::Date, Scalar::Integer(days)) => Some(date(days).map_or_else(|| Value::Number(days.to_string()), Value::Text)),
            (Self::Time(unit), Scalar::Integer(value)) => {
                let time = value.checked_mul(unit).and_then(|nanos| Time::midnight().checked_add(SignedDuration::from_nanos(nanos)).ok());
                Some(time.map_or_else(|| Value::Number(value.to_string()), |time| Value::Text(time.to_string())))
            }
            (Self::Timestamp(unit, utc), Scalar::Integer(value)) => {
                Some(instant(i128::from(value) * i128::from(unit), utc).map_or_else(|| Value::Number(value.to_string()), Value::Text))
            }
            (_, Scalar::Instant(nanos)) => instant(nanos.into(), false).map(Value::Text),
            (Self::Decimal(scale), Scalar::Integer(value)) => number(decimal(value.to_string(), scale)),
            (Self::Decimal(scale), Scalar::Bytes(bytes)) => {
                // 76 digits are the most that is in use.
                let bytes = Some(bytes.data()).filter(|bytes| bytes.len() <= 32)?;
                number(decimal(BigInt::from_signed_bytes_be(bytes).to_string(), scale))
            }
            (_, Scalar::Integer(value)) => number(value.to_string()),
            (_, Scalar::Float(value)) => Some(float(format!("{value:?}"), value.is_finite())),
            (_, Scalar::Double(value)) => Some(float(format!("{value:?}"), value.is_finite())),
            (Self::Half, Scalar::Bytes(bytes)) => {
                let value = half::f16::from_le_bytes(bytes.data().try_into().ok()?).to_f32();
                Some(float(format!("{value:?}"), value.is_finite()))
            }
            (Self::Uuid, Scalar::Bytes(bytes)) => {
                let hex: String = bytes.data().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
                let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| hex.get(range).unwrap_or_default());
                Some(Value::Text(parts.join("-")))
            }
            (kind, Scalar::Bytes(bytes)) => {
                // Pictures and the like are no text.
                let text = std::str::from_utf8(bytes.data()).ok()?;
                let json = (kind == Self::Json).then(|| json_value::at(text, "")).flatten();
                match json {
                    Some(Cell::One(value)) => Some(value),
                    Some(Cell::List(_)) => Some(Value::Json(text.to_owned())),
                    None => Some(Value::Text(text.to_owned())),
                }
            }
        }
    }
}

/// A number as it is written in decimal; what is no number in JSON is words.
fn float(text: String, is_finite: bool) -> Value {
    if is_finite { Value::Number(text) } else { Value::Text(text) }
}

/// The day so many days after 1 January 1970.
fn date(days: i64) -> Option<String> {
    let days = i32::try_from(days).ok().filter(|days| days.abs() < 4_000_000)?;
    Some(Date::constant(1970, 1, 1).checked_add(days.days()).ok()?.to_string())
}

/// The time so many nanoseconds after the begin of 1970.
fn instant(nanos: i128, utc: bool) -> Option<String> {
    let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?;
    let rest = i32::try_from(nanos.rem_euclid(1_000_000_000)).ok()?;
    let time = DateTime::constant(1970, 1, 1, 0, 0, 0, 0).checked_add(SignedDuration::new(seconds, rest)).ok()?;
    Some(format!("{time}{}", if utc { "Z" } else { "" }))
}

/// Digits with a point before the last `scale` of them.
fn decimal(digits: String, scale: u32) -> String {
    // More digits than any decimal has are an error of the schema.
    let scale = scale.min(100) as usize;
    if scale == 0 {
        return digits;
    }
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits.as_str()), |digits| ("-", digits));
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    format!("{sign}{whole}.{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_they_are_shown() {
        assert_eq!(date(19844), Some("2024-05-01".into()));
        assert_eq!(date(-1), Some("1969-12-31".into()));
        assert_eq!(date(i64::MAX), None);
        assert_eq!(instant(1_714_557_600_500_000_000, true), Some("2024-05-01T10:00:00.5Z".into()));
        assert_eq!(instant(i128::MAX, true), None);
        for (digits, scale, expected) in [("12345", 2, "123.45"), ("-5", 2, "-0.05"), ("7", 0, "7"), ("0", 3, "0.000")] {
            assert_eq!(decimal(digits.into(), scale), expected);
        }
    }

    #[test]
    fn rows_are_counted_in_levels() {
        // A run of eight zeros; then a zero and seven ones, bit by bit.
        let levels = [16, 0, 3, 0b1111_1110];
        assert!(check_rows(&levels, 16, 1, &mut 0, 8).is_some());
        assert!(check_rows(&levels, 16, 1, &mut 0, 7).is_none());
        assert!(check_rows(&levels, 17, 1, &mut 0, 8).is_none());
    }
}
