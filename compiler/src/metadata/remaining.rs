//! The metadata of some of the documents of a pack, and the places of some of its origins.

use mempack_format::{Field, FieldColumn, Metadata, ReadError};

/// The fields of the documents, or origins, of these numbers, which ascend, with the values that these have: no other value stays. A field that none of
/// them has is left out, and every other one keeps its kind.
pub(crate) fn remaining(metadata: Option<Metadata<'_>>, rows: impl Iterator<Item = u32> + Clone) -> Result<Vec<FieldColumn>, ReadError> {
    let Some(metadata) = metadata else { return Ok(Vec::new()) };
    let mut fields = Vec::new();
    for field in metadata.fields() {
        let field = column(&field?, rows.clone())?;
        if !field.codes.is_empty() {
            fields.push(field);
        }
    }
    Ok(fields)
}

fn column(field: &Field<'_>, rows: impl Iterator<Item = u32>) -> Result<FieldColumn, ReadError> {
    let (mut ends, mut codes) = (Vec::new(), Vec::new());
    let mut used = vec![false; field.values() as usize];
    for row in rows {
        for code in field.codes(row)? {
            codes.push(code.get());
            if let Some(used) = used.get_mut(code.get() as usize) {
                *used = true;
            }
        }
        ends.push(codes.len() as u32);
    }
    let mut values = Vec::new();
    let mut places = vec![0; used.len()];
    for (code, _) in (0u32..).zip(&used).filter(|(_, used)| **used) {
        places[code as usize] = values.len() as u32;
        values.push(field.value(code)?.to_owned());
    }
    // A code that is out of range stays so, and the writer refuses it; the pack was verified before.
    for code in &mut codes {
        *code = places.get(*code as usize).copied().unwrap_or(u32::MAX);
    }
    Ok(FieldColumn { name: field.name().to_owned(), kind: field.kind(), list: field.is_list(), values, ends, codes })
}
