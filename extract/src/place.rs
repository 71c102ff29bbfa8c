//! Where something stands in a document, as a citation says it.

use std::ops::Range;

use mempack_format::OriginPlace;
use serde::{Deserialize, Serialize};

/// A place in a document.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Place {
    /// A page, counted from 1.
    Page(u32),
    /// An article, section or paragraph by its number in the document, such as `§ 4.2 (b)`; empty after it ends.
    Section(String),
    /// A row of a table, counted from 1 with the header, and its sheet; no sheet where there is one.
    Row(String, u64),
    /// A second of a recording.
    Second(u32),
}

/// Kinds of places.
const KINDS: usize = 4;

impl Place {
    /// Places of one kind replace one another.
    fn kind(&self) -> usize {
        match self {
            Self::Page(_) => 0,
            Self::Section(_) => 1,
            Self::Row(..) => 2,
            Self::Second(_) => 3,
        }
    }
}

/// The places in a text. Each holds from a byte on, up to the next one of its kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// By kind, each in ascending order.
    marks: [Vec<(usize, Place)>; KINDS],
    /// What stands apart, in ascending order.
    #[serde(default)]
    apart: Vec<Range<usize>>,
}

impl Marks {
    /// Byte `at` and those after it stand at `place`. Bytes of one kind of place ascend; at the same byte the later one counts.
    pub fn push(&mut self, at: usize, place: Place) {
        let marks = &mut self.marks[place.kind()];
        debug_assert!(marks.last().is_none_or(|(last, _)| *last <= at));
        marks.pop_if(|(last, _)| *last == at);
        if marks.last().is_none_or(|(_, last)| *last != place) {
            marks.push((at, place));
        }
    }

    /// These bytes are a passage of their own, such as what a picture shows, with all within that was one. Ranges ascend.
    pub fn set_apart(&mut self, range: Range<usize>) {
        while self.apart.pop_if(|last| last.start >= range.start).is_some() {}
        debug_assert!(self.apart.last().is_none_or(|last| last.end <= range.start));
        self.apart.push(range);
    }

    /// The bytes that are passages of their own.
    pub fn apart(&self) -> &[Range<usize>] {
        &self.apart
    }

    /// The places of the bytes `start..end`, without headings.
    pub fn places(&self, start: usize, end: usize) -> OriginPlace {
        let [pages, sections, rows, seconds] = self.marks.each_ref().map(|marks| {
            let first = marks.partition_point(|(at, _)| *at <= start).saturating_sub(1);
            let last = marks.partition_point(|(at, _)| *at < end.max(start + 1)).checked_sub(1)?;
            Some((&marks[first.min(last)].1, &marks[last].1))
        });
        let mut found = OriginPlace::default();
        if let Some((Place::Page(first), Place::Page(last))) = pages {
            found.pages = Some(((*first).into(), (*last).into()));
        }
        if let Some((Place::Section(first), Place::Section(last))) = sections {
            // An empty one is where an article ends.
            found.sections = match (first.is_empty(), last.is_empty()) {
                (true, true) => None,
                (true, false) => Some((last.clone(), last.clone())),
                (false, true) => Some((first.clone(), first.clone())),
                (false, false) => Some((first.clone(), last.clone())),
            };
        }
        if let Some((Place::Row(first_sheet, first), Place::Row(last_sheet, last))) = rows {
            found.rows = Some(((first_sheet.clone(), *first), (last_sheet.clone(), *last)));
        }
        if let Some((Place::Second(first), Place::Second(last))) = seconds {
            found.seconds = Some(((*first).into(), (*last).into()));
        }
        found
    }

    /// Whether there are no places.
    pub fn is_empty(&self) -> bool {
        self.marks.iter().all(Vec::is_empty)
    }

    /// All, in the order of their bytes.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Place)> {
        let mut all: Vec<_> = self.marks.iter().flatten().map(|(at, place)| (*at, place)).collect();
        all.sort_by_key(|(at, _)| *at);
        all.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_said_as_in_a_citation() {
        let section = |name: &str| Place::Section(name.into());
        let mut marks = Marks::default();
        for (at, place) in [
            (0, Place::Page(1)),
            (0, section("§ 1")),
            (10, Place::Page(2)),
            (20, section("§ 2 (b)")),
            (30, section("")),
            (40, Place::Row("Doses".into(), 2)),
            (50, Place::Row("Doses".into(), 7)),
            (60, Place::Second(3723)),
        ] {
            marks.push(at, place);
        }
        for (start, end, expected) in [
            (0, 5, "p. 1, § 1"),
            (5, 15, "pp. 1-2, § 1"),
            (10, 20, "p. 2, § 1"),
            (15, 25, "p. 2, § 1 to § 2 (b)"),
            (20, 35, "p. 2, § 2 (b)"),
            (30, 35, "p. 2"),
            (45, 55, "p. 2, Doses, rows 2-7"),
            (65, 66, "p. 2, Doses, row 7, 1:02:03"),
        ] {
            assert_eq!(marks.places(start, end).to_string(), expected, "{start}..{end}");
        }
        assert!(Marks::default().places(0, 9).is_empty());
    }
}
