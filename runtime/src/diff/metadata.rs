//! Comparing the metadata of documents.

use std::collections::BTreeMap;

use mempack_format::{Difference, Field, Pack, ReadError};

use super::{DiffError, Side};

/// The fields of two packs, by their names.
pub(super) struct Fields<'a>(BTreeMap<&'a str, (Option<Field<'a>>, Option<Field<'a>>)>);

impl<'a> Fields<'a> {
    pub fn of<A: AsRef<[u8]>, B: AsRef<[u8]>>(old: &'a Pack<A>, new: &'a Pack<B>) -> Result<Self, DiffError> {
        let mut fields: BTreeMap<_, (Option<Field<'a>>, Option<Field<'a>>)> = BTreeMap::new();
        for field in all(old).map_err(Side::Old.failed())? {
            fields.entry(field.name()).or_default().0 = Some(field);
        }
        for field in all(new).map_err(Side::New.failed())? {
            fields.entry(field.name()).or_default().1 = Some(field);
        }
        Ok(Self(fields))
    }

    /// The fields in which document `a` of the old pack and document `b` of the new one differ.
    pub fn changed(&self, a: u32, b: u32) -> Result<Vec<String>, DiffError> {
        let mut changed = Vec::new();
        for (name, (old, new)) in &self.0 {
            let was = values(old.as_ref(), a).map_err(Side::Old.failed())?;
            let is = values(new.as_ref(), b).map_err(Side::New.failed())?;
            if was != is {
                changed.push(format!("metadata.{name}"));
            }
        }
        Ok(changed)
    }

    /// The fields of both packs that differ in kind, or in whether they are lists.
    pub fn kinds(&self) -> impl Iterator<Item = Difference> {
        let shown = |field: &Field<'_>| format!("{}: {}{}", field.name(), if field.is_list() { "list of " } else { "" }, field.kind());
        let both = self.0.values().filter_map(|(old, new)| old.as_ref().zip(new.as_ref()));
        both.map(move |(old, new)| (shown(old), shown(new))).filter(|(old, new)| old != new).map(|(pack, model)| Difference {
            field: "metadata",
            pack,
            model,
        })
    }
}

fn all<D: AsRef<[u8]>>(pack: &Pack<D>) -> Result<Vec<Field<'_>>, ReadError> {
    let Some(metadata) = pack.metadata()? else { return Ok(Vec::new()) };
    Ok(metadata.fields().collect::<Result<_, _>>()?)
}

fn values<'a>(field: Option<&Field<'a>>, document: u32) -> Result<Vec<&'a str>, ReadError> {
    Ok(field.map_or(Ok(Vec::new()), |field| field.texts(document))?)
}
