//! The form of the file of keys: TOML to keys, and keys to TOML.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::ops::Range;

use jiff::Timestamp;
use serde::Serialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use toml::value::Datetime;

use crate::error::Defect;
use crate::key::{Key, PackScope};
use crate::names::pack_name;
use crate::secret::SecretHash;
use crate::time::moment;

const VERSION: i64 = 1;
const HEADER: &str = "# Keys of `mempack serve`, written by `mempack api-keys`, which does not keep comments.\n";
const FILE_FIELDS: [&str; 2] = ["version", "key"];
const KEY_FIELDS: [&str; 9] = ["name", "hash", "packs", "quota", "where", "admin", "created", "expires", "revoked"];

/// Something wrong in a text, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    /// The line, counted from 1.
    pub line: usize,
    pub field: Option<String>,
    pub defect: Box<Defect>,
}

/// The keys in a text.
pub(crate) fn parse(text: &str) -> Result<Vec<Key>, Placed> {
    let file = DeTable::parse(text).map_err(|error| {
        let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
        let line = line_of(text, error.span().map_or(0, |span| span.start));
        Placed { line, field: None, defect: Box::new(Defect::Syntax(message)) }
    })?;
    let file = Fields { text, prefix: "", at: 0..0, table: file.get_ref() };
    file.only(&FILE_FIELDS)?;
    let version = file.demanded("version", "version = 1")?;
    let found = version.get_ref().as_integer().ok_or_else(|| file.kind("version", version, "the number 1"))?;
    if i64::from_str_radix(found.as_str(), found.radix()) != Ok(VERSION) {
        return Err(file.wrong("version", version, Defect::Version { found: found.as_str().to_owned() }));
    }
    let Some(rows) = file.get("key") else { return Ok(Vec::new()) };
    let expected = "tables, each headed [[key]]";
    let rows_list = rows.get_ref().as_array().ok_or_else(|| file.kind("key", rows, expected))?;
    let mut keys = Vec::with_capacity(rows_list.len());
    let (mut names, mut hashes) = (HashMap::new(), HashMap::new());
    for row in rows_list {
        let table = row.get_ref().as_table().ok_or_else(|| file.kind("key", row, expected))?;
        let fields = Fields { text, prefix: "key.", at: row.span(), table };
        let key = fields.key()?;
        fields.once(&mut names, key.name.clone(), "name")?;
        fields.once(&mut hashes, key.hash, "hash")?;
        keys.push(key);
    }
    Ok(keys)
}

/// The line of a byte, counted from 1.
fn line_of(text: &str, at: usize) -> usize {
    let before = text.as_bytes().get(..at).unwrap_or(text.as_bytes());
    1 + before.iter().filter(|&&byte| byte == b'\n').count()
}

type Value<'t> = Spanned<DeValue<'t>>;

/// The fields of a table.
struct Fields<'a, 't> {
    text: &'a str,
    /// What stands before the names of its fields in messages.
    prefix: &'static str,
    at: Range<usize>,
    table: &'a DeTable<'t>,
}

impl<'a, 't> Fields<'a, 't> {
    fn placed(&self, name: &str, at: usize, defect: Defect) -> Placed {
        Placed { line: line_of(self.text, at), field: Some(format!("{}{name}", self.prefix)), defect: Box::new(defect) }
    }

    fn wrong(&self, name: &str, value: &Value<'t>, defect: impl Into<Defect>) -> Placed {
        self.placed(name, value.span().start, defect.into())
    }

    fn kind(&self, name: &str, value: &Value<'t>, expected: &'static str) -> Placed {
        self.wrong(name, value, Defect::Kind { found: value.get_ref().type_str(), expected })
    }

    /// Refuses fields that are not `known`.
    fn only(&self, known: &[&str]) -> Result<(), Placed> {
        match self.table.keys().find(|name| !known.contains(&name.get_ref().as_ref())) {
            Some(name) => Err(self.placed(name.get_ref(), name.span().start, Defect::Unknown { known: known.join(", ") })),
            None => Ok(()),
        }
    }

    fn get(&self, name: &str) -> Option<&'a Value<'t>> {
        self.table.get(name)
    }

    fn demanded(&self, name: &str, expected: &'static str) -> Result<&'a Value<'t>, Placed> {
        self.get(name).ok_or_else(|| self.placed(name, self.at.start, Defect::Missing { expected }))
    }

    fn text(&self, name: &str, value: &'a Value<'t>, expected: &'static str) -> Result<&'a str, Placed> {
        value.get_ref().as_str().ok_or_else(|| self.kind(name, value, expected))
    }

    /// A text that is parsed.
    fn parsed<T>(&self, name: &str, value: &'a Value<'t>, expected: &'static str) -> Result<T, Placed>
    where
        T: std::str::FromStr<Err: Into<Defect>>,
    {
        self.text(name, value, expected)?.parse().map_err(|error: T::Err| self.wrong(name, value, error))
    }

    fn moment(&self, name: &str) -> Result<Option<Timestamp>, Placed> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let found =
            value.get_ref().as_datetime().ok_or_else(|| self.kind(name, value, "a date with time, such as 2027-01-31T12:00:00Z"))?;
        moment(&found.to_string()).map(Some).map_err(|error| self.wrong(name, value, error))
    }

    fn packs(&self) -> Result<PackScope, Placed> {
        const EXPECTED: &str = "\"all\", or a list of packs such as [\"legal\", \"medical\"]";
        let name = "packs";
        let value = self.demanded(name, EXPECTED)?;
        match value.get_ref() {
            DeValue::String(all) if all == "all" => Ok(PackScope::All),
            DeValue::Array(packs) => {
                let mut names = BTreeSet::new();
                for pack in packs {
                    let found = self.text(name, pack, EXPECTED)?;
                    names.insert(pack_name(found).map_err(|error| self.wrong(name, pack, error))?);
                }
                Ok(PackScope::Named(names))
            }
            _ => Err(self.kind(name, value, EXPECTED)),
        }
    }

    fn key(&self) -> Result<Key, Placed> {
        self.only(&KEY_FIELDS)?;
        let wanted = |name, expected| self.demanded(name, expected).map(|value| (name, value, expected));
        let (name, value, expected) = wanted("name", "a text: the name of the key")?;
        let key_name = self.parsed(name, value, expected)?;
        let (name, value, expected) = wanted("hash", "a text: the hash of the key's secret")?;
        let hash = self.parsed(name, value, expected)?;
        let quota = self.get("quota").map(|value| self.parsed("quota", value, "a text such as \"60/min\"")).transpose()?;
        let filter = self.get("where").map(|value| self.parsed("where", value, "a text: a filter expression")).transpose()?;
        let admin = match self.get("admin") {
            None => false,
            Some(value) => value.get_ref().as_bool().ok_or_else(|| self.kind("admin", value, "true or false"))?,
        };
        let created = self.moment("created")?;
        let expected = "when the key was made, such as 2027-01-31T12:00:00Z";
        let created = created.ok_or_else(|| self.placed("created", self.at.start, Defect::Missing { expected }))?;
        let (packs, expires, revoked) = (self.packs()?, self.moment("expires")?, self.moment("revoked")?);
        Ok(Key { name: key_name, hash, packs, quota, filter, admin, created, expires, revoked })
    }

    /// Refuses a value that an earlier key has.
    fn once<T: Eq + Hash>(&self, seen: &mut HashMap<T, usize>, value: T, name: &'static str) -> Result<(), Placed> {
        let at = self.get(name).map_or(self.at.start, |value| value.span().start);
        match seen.insert(value, line_of(self.text, at)) {
            Some(first) => Err(self.placed(name, at, Defect::Repeated { what: name, first })),
            None => Ok(()),
        }
    }
}

#[derive(Serialize)]
struct File<'a> {
    version: i64,
    key: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    hash: String,
    packs: Packs<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quota: Option<String>,
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    filter: Option<&'a str>,
    admin: bool,
    created: Option<Datetime>,
    expires: Option<Datetime>,
    revoked: Option<Datetime>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Packs<'a> {
    All(&'static str),
    Named(&'a BTreeSet<String>),
}

/// The text of a file with these keys.
pub(crate) fn compose(keys: &[Key]) -> Result<String, toml::ser::Error> {
    let rows: Result<Vec<Row<'_>>, _> = keys.iter().map(row).collect();
    let file = File { version: VERSION, key: rows.map_err(<toml::ser::Error as serde::ser::Error>::custom)? };
    Ok(format!("{HEADER}{}", toml::to_string(&file)?))
}

fn row(key: &Key) -> Result<Row<'_>, toml::value::DatetimeParseError> {
    let date = |moment: Timestamp| moment.to_string().parse::<Datetime>();
    Ok(Row {
        name: key.name.as_str(),
        hash: SecretHash::to_string(&key.hash),
        packs: match &key.packs {
            PackScope::All => Packs::All("all"),
            PackScope::Named(names) => Packs::Named(names),
        },
        quota: key.quota.map(|quota| quota.to_string()),
        filter: key.filter.as_ref().map(|filter| filter.text()),
        admin: key.admin,
        created: Some(date(key.created)?),
        expires: key.expires.map(date).transpose()?,
        revoked: key.revoked.map(date).transpose()?,
    })
}
