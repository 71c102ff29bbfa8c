//! Where an origin stands in its document (SPEC 7.1), and how a citation says it.

use std::fmt;

use crate::error::Damage;
use crate::{FieldKind, Metadata};

/// Where an origin stands in its document. Of each pair, the second is where it ends, which may be where it begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct OriginPlace {
    /// The headings that it stands below, the outermost first.
    pub headings: Vec<String>,
    /// Pages, counted from 1.
    pub pages: Option<(u64, u64)>,
    /// Articles, sections or paragraphs by their numbers in the document, such as `§ 4.2 (b)`.
    pub sections: Option<(String, String)>,
    /// Sheets, empty where there is one, and their rows, counted from 1 with the header.
    pub rows: Option<((String, u64), (String, u64))>,
    /// Seconds of a recording.
    pub seconds: Option<(u64, u64)>,
}

/// A field of the section `PLACES` for one origin: its name, its kind, and its values.
pub type PlaceField = (&'static str, FieldKind, Vec<String>);

impl OriginPlace {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What the section `PLACES` has of it; each is a list.
    pub fn fields(&self) -> Vec<PlaceField> {
        let (text, integer) = (FieldKind::Text, FieldKind::Integer);
        let mut fields: Vec<PlaceField> = Vec::new();
        if !self.headings.is_empty() {
            fields.push(("heading", text, self.headings.clone()));
        }
        if let Some(pages) = &self.pages {
            fields.push(("page", integer, pair(pages)));
        }
        if let Some(sections) = &self.sections {
            fields.push(("section", text, pair(sections)));
        }
        if let Some(((first_sheet, first), (last_sheet, last))) = &self.rows {
            if !first_sheet.is_empty() || !last_sheet.is_empty() {
                fields.push(("sheet", text, pair(&(first_sheet, last_sheet))));
            }
            let rows = if first_sheet == last_sheet { pair(&(first, last)) } else { vec![first.to_string(), last.to_string()] };
            fields.push(("row", integer, rows));
        }
        if let Some(seconds) = &self.seconds {
            fields.push(("second", integer, pair(seconds)));
        }
        fields
    }

    /// The place of an origin, of the fields that this version knows. Numbers below 0 and further values are left out.
    ///
    /// # Errors
    /// If a field is damaged.
    pub fn read(places: &Metadata<'_>, origin: u32) -> Result<Self, Damage> {
        let mut place = Self::default();
        let (mut sheets, mut rows) = (None, None);
        for field in places.fields() {
            let field = field?;
            let texts = field.texts(origin)?;
            match field.name() {
                "heading" => place.headings = texts.iter().map(ToString::to_string).collect(),
                "page" => place.pages = numbers(&texts),
                "section" => place.sections = ends(&texts).map(|(first, last)| (first.to_owned(), last.to_owned())),
                "sheet" => sheets = ends(&texts).map(|(first, last)| (first.to_owned(), last.to_owned())),
                "row" => rows = numbers(&texts),
                "second" => place.seconds = numbers(&texts),
                _ => {}
            }
        }
        if let Some((first, last)) = rows {
            let (first_sheet, last_sheet) = sheets.unwrap_or_default();
            place.rows = Some(((first_sheet, first), (last_sheet, last)));
        }
        Ok(place)
    }
}

/// The values of a pair: one if both are equal.
fn pair<T: PartialEq + ToString>((first, last): &(T, T)) -> Vec<String> {
    if first == last { vec![first.to_string()] } else { vec![first.to_string(), last.to_string()] }
}

/// The first and the last of values.
fn ends<'a>(texts: &[&'a str]) -> Option<(&'a str, &'a str)> {
    Some((texts.first()?, texts.last()?))
}

fn numbers(texts: &[&str]) -> Option<(u64, u64)> {
    let (first, last) = ends(texts)?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

impl fmt::Display for OriginPlace {
    /// As a citation has it: `pp. 12-13, § 4.2 (b)`; the headings, if nothing else is known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        match &self.pages {
            Some((first, last)) if first == last => parts.push(format!("p. {first}")),
            Some((first, last)) => parts.push(format!("pp. {first}-{last}")),
            None => {}
        }
        match &self.sections {
            Some((first, last)) if first == last => parts.push(first.clone()),
            Some((first, last)) => parts.push(format!("{first} to {last}")),
            None => {}
        }
        if let Some(((first_sheet, first), (last_sheet, last))) = &self.rows {
            let name = |sheet: &str| if sheet.is_empty() { String::new() } else { format!("{sheet}, ") };
            parts.push(match (first_sheet == last_sheet, first == last) {
                (true, true) => format!("{}row {first}", name(first_sheet)),
                (true, false) => format!("{}rows {first}-{last}", name(first_sheet)),
                (false, _) => format!("{}row {first} to {}row {last}", name(first_sheet), name(last_sheet)),
            });
        }
        match &self.seconds {
            Some((first, last)) if first == last => parts.push(clock(*first)),
            Some((first, last)) => parts.push(format!("{}-{}", clock(*first), clock(*last))),
            None => {}
        }
        f.write_str(&if parts.is_empty() { self.headings.join(" > ") } else { parts.join(", ") })
    }
}

/// A second of a recording: `1:02:03`, `0:05`.
fn clock(second: u64) -> String {
    let (hours, minutes, seconds) = (second / 3600, second / 60 % 60, second % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_said_as_in_a_citation() {
        let text = |text: &str| text.to_owned();
        let whole = OriginPlace {
            headings: vec![text("Part I"), text("Notice")],
            pages: Some((12, 13)),
            sections: Some((text("§ 4.2 (b)"), text("§ 4.2 (b)"))),
            rows: Some(((text("Doses"), 2), (text("Doses"), 7))),
            seconds: Some((5, 3723)),
        };
        assert_eq!(whole.to_string(), "pp. 12-13, § 4.2 (b), Doses, rows 2-7, 0:05-1:02:03");
        let other = OriginPlace {
            headings: Vec::new(),
            pages: Some((1, 1)),
            sections: Some((text("§ 1"), text("§ 2"))),
            rows: Some(((text("A"), 2), (text("B"), 2))),
            seconds: Some((5, 5)),
        };
        assert_eq!(other.to_string(), "p. 1, § 1 to § 2, A, row 2 to B, row 2, 0:05");
        let plain = OriginPlace { rows: Some(((String::new(), 3), (String::new(), 3))), ..OriginPlace::default() };
        assert_eq!(plain.to_string(), "row 3");
        assert_eq!(OriginPlace { headings: whole.headings.clone(), ..OriginPlace::default() }.to_string(), "Part I > Notice");
        assert!(OriginPlace::default().is_empty() && OriginPlace::default().to_string().is_empty());
        let names = |place: &OriginPlace| {
            place.fields().into_iter().map(|(name, _, values)| format!("{name}: {}", values.join("|"))).collect::<Vec<_>>()
        };
        assert_eq!(
            names(&whole),
            ["heading: Part I|Notice", "page: 12|13", "section: § 4.2 (b)", "sheet: Doses", "row: 2|7", "second: 5|3723"]
        );
        assert_eq!(names(&other), ["page: 1", "section: § 1|§ 2", "sheet: A|B", "row: 2|2", "second: 5"]);
        assert_eq!(names(&plain), ["row: 3"]);
    }
}
