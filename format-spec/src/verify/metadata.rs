//! Verification of the metadata of documents, and of the places of origins, which have its form.

use super::Verifier;
use crate::error::{Damage, Defect, Interrupted};
use crate::{Field, Metadata, ReadError, Section};

impl<D: AsRef<[u8]>> Verifier<'_, D> {
    /// Checks names, columns and values of the fields (SPEC 6.1).
    ///
    /// Memory: one bit for each distinct value of a field.
    pub(super) fn metadata(&mut self, section: &Section, found: Result<Option<Metadata<'_>>, ReadError>) -> Result<(), Interrupted> {
        let digest = self.hash(section)?;
        match found {
            Ok(Some(metadata)) => {
                let mut last = None;
                for (number, field) in (0u64..).zip(metadata.fields()) {
                    match field {
                        Ok(field) => {
                            self.checked(check_name(&field, number, last))?;
                            last = Some(field.name());
                            if self.checked(check_values(&field))? {
                                self.checked(check_documents(&field, metadata.documents()))?;
                            }
                        }
                        Err(damage) => self.damage(damage)?,
                    }
                }
            }
            Err(ReadError::Damaged(damage)) => self.damage(damage)?,
            Ok(None) | Err(ReadError::OutOfRange { .. }) => {}
        }
        self.close(section, digest)?;
        Ok(())
    }
}

/// Checks that the name of field `number` comes after the `last` one.
fn check_name(field: &Field<'_>, number: u64, last: Option<&str>) -> Result<(), Damage> {
    if last.is_some_and(|last| field.name() <= last) {
        let defect = Defect::Repeated { field: "a name of a field, or one that is not in order,", found: number };
        return Err(field.damage(field.entry_at(), defect));
    }
    Ok(())
}

/// Checks that the distinct values ascend, are of the kind, and fill their bytes.
fn check_values(field: &Field<'_>) -> Result<(), Damage> {
    let mut last = None;
    let mut bytes = 0;
    for code in 0..field.values() {
        let value = field.value(code)?;
        if last.is_some_and(|last| value <= last) {
            let defect = Defect::Repeated { field: "a value of a field, or one that is not in order,", found: code.into() };
            return Err(field.damage(field.value_at(code), defect));
        }
        if !field.kind().accepts(value) {
            return Err(field.damage(field.value_at(code), Defect::Kind { value: code, expected: field.kind() }));
        }
        last = Some(value);
        bytes += value.len() as u64;
    }
    let found = field.text_bytes();
    if found == bytes {
        return Ok(());
    }
    Err(field.damage(field.entry_at() + 16, Defect::Value { field: "bytes of the values of a field", expected: bytes, found }))
}

/// Checks that the values of the documents exist, fill the codes, and are all distinct values.
fn check_documents(field: &Field<'_>, documents: u32) -> Result<(), Damage> {
    let mut used = vec![0u64; (field.values() as usize).div_ceil(64)];
    let mut codes = 0;
    for document in 0..documents {
        for code in field.codes(document)? {
            let code = code.get();
            if code >= field.values() {
                let limit = u64::from(field.values()).saturating_sub(1);
                let defect = Defect::TooLarge { field: "code of a value", limit, found: code.into() };
                return Err(field.damage(field.codes_at() + 4 * codes, defect));
            }
            if let Some(word) = used.get_mut(code as usize / 64) {
                *word |= 1 << (code % 64);
            }
            codes += 1;
        }
    }
    let found = u64::from(field.occurrences());
    if found != codes || found == 0 {
        let expected = codes.max(1);
        return Err(field.damage(field.entry_at() + 12, Defect::Value { field: "values of all documents", expected, found }));
    }
    let unused = (0..field.values()).find(|code| used.get(*code as usize / 64).is_some_and(|word| word & (1 << (code % 64)) == 0));
    match unused {
        None => Ok(()),
        Some(code) => Err(field.damage(field.value_at(code), Defect::Unused { value: code })),
    }
}
