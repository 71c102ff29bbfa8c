//! The metadata of the documents that remain.

use mempack_format::{Field, FieldColumn, Pack, ReadError};

/// The fields of the documents that have a new number, with the values that these have: no other value stays. A field that none of them has is
/// left out, and every other one keeps its kind.
pub(super) fn remaining<D: AsRef<[u8]>>(pack: &Pack<D>, numbers: &[Option<u32>]) -> Result<Vec<FieldColumn>, ReadError> {
    let Some(metadata) = pack.metadata()? else { return Ok(Vec::new()) };
    let mut fields = Vec::new();
    for field in metadata.fields() {
        let field = column(&field?, numbers)?;
        if !field.codes.is_empty() {
            fields.push(field);
        }
    }
    Ok(fields)
}

fn column(field: &Field<'_>, numbers: &[Option<u32>]) -> Result<FieldColumn, ReadError> {
    let (mut ends, mut codes) = (Vec::new(), Vec::new());
    let mut used = vec![false; field.values() as usize];
    for (document, _) in (0..).zip(numbers).filter(|(_, new)| new.is_some()) {
        for code in field.codes(document)? {
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
