//! Characters of fonts that do not say what they are, but number their glyphs as Adobe does for Chinese, Japanese and Korean (ISO 32000-2, 9.7.3 and 9.10.2).

use std::collections::HashMap;
use std::rc::Rc;

use hayro_interpret::font::{Glyph, OutlineGlyph};
use hayro_interpret::hayro_cmap::{BfString, CMap, CMapName, CidFamily, load_embedded};
use hayro_interpret::hayro_syntax::object::{Array, Dict, Name, Object, String as PdfString};
use hayro_interpret::hayro_syntax::page::Resources;

/// Fonts of a document that are kept.
const FONTS: usize = 10_000;

/// A font that numbers its glyphs.
struct Numbered {
    /// The numbers of codes; `None` where they are the same.
    numbers: Option<Rc<CMap>>,
    characters: Rc<CMap>,
}

/// The fonts of a document that number their glyphs, by their names without the mark of a part of a font.
#[derive(Default)]
pub(super) struct Collections {
    fonts: HashMap<String, Numbered>,
    maps: HashMap<Vec<u8>, Option<Rc<CMap>>>,
}

impl Collections {
    /// Adds the fonts of a page.
    pub fn add(&mut self, resources: &Resources<'_>) {
        for name in resources.fonts.keys() {
            if let Some(font) = resources.fonts.get::<Dict<'_>>(name.clone()).filter(|_| self.fonts.len() < FONTS) {
                self.add_font(&font);
            }
        }
    }

    fn add_font(&mut self, font: &Dict<'_>) -> Option<()> {
        if font.contains_key("ToUnicode") {
            return None;
        }
        let descendant = font.get::<Array<'_>>("DescendantFonts")?.iter::<Dict<'_>>().next()?;
        let system = descendant.get::<Dict<'_>>("CIDSystemInfo")?;
        let text = |name: &str| system.get::<PdfString<'_>>(name);
        let family = CidFamily::from_registry_ordering(&text("Registry")?, &text("Ordering")?);
        let characters = self.map(family.ucs2_cmap()?)?;
        let Some(Object::Name(encoding)) = font.get::<Object<'_>>("Encoding") else { return None };
        let numbers = match CMapName::from_bytes(&encoding) {
            CMapName::IdentityH | CMapName::IdentityV => None,
            name => Some(self.map(name)?),
        };
        let name = font.get::<Name<'_>>("BaseFont")?;
        let name = match name.as_str().split_once('+') {
            Some((mark, rest)) if mark.len() == 6 => rest,
            _ => name.as_str(),
        };
        self.fonts.insert(name.to_owned(), Numbered { numbers, characters });
        Some(())
    }

    fn map(&mut self, name: CMapName<'_>) -> Option<Rc<CMap>> {
        let parsed = || CMap::parse(load_embedded(name)?, load_embedded).map(Rc::new);
        self.maps.entry(name.to_bytes().to_vec()).or_insert_with(parsed).clone()
    }

    /// What a glyph is that does not say so.
    pub fn text(&self, glyph: &Glyph<'_>) -> Option<String> {
        let Glyph::Outline(outline) = glyph else { return None };
        if self.fonts.is_empty() {
            return None;
        }
        let font = self.fonts.get(&font_name(outline)?)?;
        let code = glyph.char_code();
        let number = match &font.numbers {
            None => code,
            Some(numbers) => {
                (1..=4).filter(|bytes| u64::from(code) >> (8 * bytes) == 0).find_map(|bytes| numbers.lookup_cid_code(code, bytes))?
            }
        };
        match font.characters.lookup_bf_string(number)? {
            BfString::Char(c) => Some(c.to_string()),
            BfString::String(text) => Some(text),
        }
    }
}

fn font_name(outline: &OutlineGlyph) -> Option<String> {
    outline.font_data()?.postscript_name
}
