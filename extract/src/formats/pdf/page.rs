//! What stands on a page: glyphs with their positions, rules, pictures and their alternative texts.

use std::collections::HashMap;
use std::panic::resume_unwind;
use std::time::Instant;

use hayro_interpret::font::{Glyph as Drawn, GlyphIdentifier, GlyphRun};
use hayro_interpret::hayro_cmap::{BfString, WritingMode};
use hayro_interpret::hayro_syntax::object::{Dict, String as PdfString};
use hayro_interpret::kurbo::{Affine, BezPath, PathEl, Point, Rect, Shape, Vec2};
use hayro_interpret::{BlendMode, ClipPath, Device, DrawMode, DrawProps, Image, ImageDrawProps, SoftMask};

use super::collections::Collections;
use super::info;
use super::ocr::Picture;

/// Rules and pictures of a page that are kept.
const RULES: usize = 20_000;
/// Units of a glyph's coordinates in an em.
const EM: f64 = 1000.0;
/// Thickness up to which what is filled is a rule, in points.
const RULE_POINTS: f64 = 3.0;
/// Part of a page that a picture covers at least to be read as a scan.
const SCAN_PART: f64 = 0.05;

/// Forms of a page that are drawn; more come of forms that draw one another to fill time.
const FORMS: u32 = 200_000;
/// Width and height of a bullet that is drawn, not written, in points.
const BULLET: std::ops::Range<f64> = 1.5..7.0;

/// Ends the reading of a page, as a payload of [`resume_unwind`]: the interpreter has no other way out.
pub(super) enum Stop {
    Deadline,
    TextBytes,
    Forms,
}

/// A glyph, in points from the top left of the page as it is shown.
#[derive(Clone, Debug)]
pub(super) struct Glyph {
    pub text: String,
    /// The begin and the end of the glyph on its baseline.
    pub start: Point,
    pub end: Point,
    /// The height of its font.
    pub size: f32,
    /// Its inked part of a square em, see [`Ink`].
    pub ink: f32,
    /// The font's name or weight says it is bold.
    pub bold: bool,
    pub hidden: bool,
    /// A dot that may be a bullet.
    pub dot: bool,
    /// A blank that was written without words.
    pub lone: bool,
}

/// Where a glyph of a run stands.
struct Placed {
    start: Point,
    /// To the end of the glyph on its baseline.
    step: Vec2,
    up: Vec2,
    /// In thousandths of its size.
    advance: f64,
    text: Option<String>,
}

impl Placed {
    fn is_blank(&self) -> bool {
        self.text.as_ref().is_some_and(|text| text.trim().is_empty())
    }
}

/// Makes glyphs of a run end where the next one begins, where most of them stand as far apart: a substitute for a font that is not in the file is stretched,
/// and letters may be spaced.
fn respace(run: &mut [Placed]) {
    let along = |glyph: &Placed| glyph.step / glyph.step.hypot();
    // The distance to the next glyph, and the width, of letters before letters.
    let pairs: Vec<(f64, f64, f64)> = run
        .windows(2)
        .filter(|pair| pair.iter().all(|glyph| glyph.advance > 1.0 && glyph.step.hypot() > 0.01 && !glyph.is_blank()))
        .map(|pair| ((pair[1].start - pair[0].start).dot(along(&pair[0])), pair[0].advance / EM * pair[0].up.hypot(), pair[0].step.hypot()))
        .collect();
    // The median, if three of five values are near it.
    let usual = |mut values: Vec<f64>, near: f64| {
        values.sort_by(f64::total_cmp);
        let median = *values.get(values.len() / 2)?;
        let agreeing = values.iter().filter(|value| (**value - median).abs() <= near).count();
        (values.len() >= 2 && agreeing * 5 >= values.len() * 3).then_some(median)
    };
    let widest = pairs.iter().map(|(_, width, step)| step / width).fold(0.0, f64::max);
    let narrowest = pairs.iter().map(|(_, width, step)| step / width).fold(f64::MAX, f64::min);
    let is_letter = |glyph: &&mut Placed| glyph.step.hypot() > 0.01 && !glyph.is_blank();
    if let Some(scale) = usual(pairs.iter().map(|(distance, width, _)| distance / width).collect(), 0.03)
        && (0.2..=1.6 * widest).contains(&scale)
    {
        for glyph in run.iter_mut().filter(is_letter) {
            glyph.step = along(glyph) * (glyph.advance / EM * glyph.up.hypot() * scale);
        }
    } else if widest - narrowest < 0.001
        && let Some(size) = run.first().map(|glyph| glyph.up.hypot())
        && let Some(space) = usual(pairs.iter().map(|(distance, _, step)| (distance - step) / size).collect(), 0.02)
        && (0.03..0.45).contains(&space)
    {
        for glyph in run.iter_mut().filter(is_letter) {
            glyph.step += along(glyph) * (space * size);
        }
    }
}

/// A piece of text that belongs to a picture.
pub(super) struct Alternative {
    pub text: String,
    pub area: Rect,
}

/// What was found on a page.
#[derive(Default)]
pub(super) struct Found {
    pub glyphs: Vec<Glyph>,
    /// Rules as thin areas, none with a slope.
    pub rules: Vec<Rect>,
    pub alternatives: Vec<Alternative>,
    /// Pictures, from the top down.
    pub pictures: Vec<(f64, Picture)>,
    /// Whether anything is drawn.
    pub drawn: bool,
    /// Glyphs whose character the file does not state.
    pub unknown: u64,
}

/// How much ink each letter has, most often in the document: a letter with more is bold.
#[derive(Default)]
pub(super) struct Ink {
    outlines: HashMap<GlyphIdentifier, f32>,
    letters: HashMap<char, HashMap<u16, u32>>,
}

impl Ink {
    fn of(&mut self, glyph: &Drawn<'_>) -> f32 {
        let Drawn::Outline(outline) = glyph else { return 0.0 };
        *self.outlines.entry(outline.identifier()).or_insert_with(|| (outline.outline().area().abs() / (EM * EM)) as f32)
    }

    fn count(&mut self, text: &str, ink: f32) {
        let mut chars = text.chars();
        if let (Some(letter), None) = (chars.next(), chars.next()) {
            *self.letters.entry(letter).or_default().entry((ink * 10_000.0).min(65_535.0) as u16).or_default() += 1;
        }
    }

    /// The ink that each letter has most often.
    pub fn usual(&self) -> HashMap<char, f32> {
        let most =
            |counts: &HashMap<u16, u32>| counts.iter().max_by_key(|(ink, count)| (**count, std::cmp::Reverse(**ink))).map(|(ink, _)| *ink);
        self.letters.iter().filter_map(|(letter, counts)| Some((*letter, f32::from(most(counts)?) / 10_000.0))).collect()
    }
}

/// Marked content that is open.
enum Marked {
    Other,
    /// Running heads, page numbers and ornaments.
    Artifact,
    /// What the glyphs say together; empty once it is given.
    Actual(String),
    /// The alternative text of what is drawn, and where that is.
    Alternative(String, Option<Rect>),
}

/// Takes what the interpreter draws.
pub(super) struct Reader<'r> {
    pub found: Found,
    pub ink: &'r mut Ink,
    pub deadline: Instant,
    /// Bytes of text that the document may still have.
    pub text_bytes: u64,
    /// Alternative texts of the page, by the number of their marked content.
    pub alternatives: HashMap<i64, String>,
    /// The size of the page as it is shown.
    pub page: Rect,
    /// Whether pictures are kept.
    pub pictures: bool,
    pub collections: &'r Collections,
    pub marked: Vec<Marks>,
    fonts: HashMap<u128, bool>,
    forms: u32,
    dots: usize,
}

/// An opaque piece of the state of marked content.
pub(super) struct Marks(Marked);

impl<'r> Reader<'r> {
    pub fn new(ink: &'r mut Ink, collections: &'r Collections, deadline: Instant, text_bytes: u64, page: Rect) -> Self {
        Self {
            found: Found::default(),
            ink,
            deadline,
            text_bytes,
            alternatives: HashMap::new(),
            page,
            pictures: false,
            collections,
            marked: Vec::new(),
            fonts: HashMap::new(),
            forms: 0,
            dots: 0,
        }
    }

    fn check(&self) {
        if Instant::now() > self.deadline {
            resume_unwind(Box::new(Stop::Deadline));
        }
    }

    fn form(&mut self) {
        self.check();
        self.forms += 1;
        if self.forms > FORMS {
            resume_unwind(Box::new(Stop::Forms));
        }
    }

    /// Keeps what may be a bullet as a glyph, half as high as small letters.
    fn dot(&mut self, area: Rect) {
        let (width, height) = (area.width(), area.height());
        self.dots += 1;
        if self.dots <= RULES && BULLET.contains(&width) && BULLET.contains(&height) && (width - height).abs() < 0.3 * width {
            let size = 3.0 * height;
            let y = area.center().y + 0.27 * size;
            let (start, end) = (Point::new(area.x0, y), Point::new(area.x1, y));
            self.found.glyphs.push(Glyph {
                text: "•".into(),
                start,
                end,
                size: size as f32,
                ink: 0.0,
                bold: false,
                hidden: false,
                dot: true,
                lone: false,
            });
        }
    }

    /// Whether what is drawn is an ornament, and notes where it is.
    fn draws(&mut self, area: Rect) -> bool {
        self.found.drawn = true;
        for Marks(marked) in &mut self.marked {
            if let Marked::Alternative(_, at) = marked {
                *at = Some(at.map_or(area, |at| at.union(area)));
            }
        }
        self.marked.iter().any(|Marks(marked)| matches!(marked, Marked::Artifact))
    }

    fn rule(&mut self, area: Rect, thin: f64) {
        let thin = area.width().min(area.height()) <= thin && area.width().max(area.height()) > RULE_POINTS;
        if thin && self.found.rules.len() < RULES && area.is_finite() {
            self.found.rules.push(area);
        }
    }

    /// Whether the font of a glyph says that it is bold.
    fn is_bold(&mut self, glyph: &Drawn<'_>) -> bool {
        let Drawn::Outline(outline) = glyph else { return false };
        let Some(font) = outline.font_data() else { return false };
        *self.fonts.entry(font.cache_key).or_insert_with(|| {
            let name = font.postscript_name.unwrap_or_default().to_lowercase();
            ["bold", "black", "heavy", "demi"].iter().any(|weight| name.contains(weight)) || font.weight.is_some_and(|weight| weight >= 600)
        })
    }
}

impl<'a> Device<'a> for Reader<'_> {
    fn draw_path(&mut self, path: &BezPath, props: DrawProps<'a>, mode: &DrawMode) {
        self.check();
        let path = props.transform * path.clone();
        let bounds = path.bounding_box();
        if !self.draws(bounds) {
            self.dot(bounds);
        }
        let stroked = !matches!(mode, DrawMode::Fill(_));
        let mut start = Point::ZERO;
        let mut last = Point::ZERO;
        let mut area: Option<Rect> = None;
        let mut straight = true;
        for element in path.elements() {
            let next = match element {
                PathEl::MoveTo(point) => {
                    if let Some(area) = area.take().filter(|_| straight && !stroked) {
                        self.rule(area, RULE_POINTS);
                    }
                    (start, last, straight) = (*point, *point, true);
                    area = Some(Rect::from_points(*point, *point));
                    continue;
                }
                PathEl::LineTo(point) => *point,
                PathEl::ClosePath => start,
                PathEl::QuadTo(_, point) | PathEl::CurveTo(_, _, point) => {
                    straight = false;
                    last = *point;
                    continue;
                }
            };
            area = area.map(|area| area.union_pt(next));
            if stroked {
                self.rule(Rect::from_points(last, next), 0.5);
            }
            last = next;
        }
        if let Some(area) = area.filter(|_| straight && !stroked) {
            self.rule(area, RULE_POINTS);
        }
    }

    fn push_clip_path(&mut self, _: &ClipPath) {
        self.form();
    }

    fn push_clip_rect(&mut self, _: &Rect) {
        self.check();
    }

    fn push_transparency_group(&mut self, _: f32, _: Option<SoftMask<'a>>, _: BlendMode) {
        self.check();
    }

    fn draw_glyph_run(&mut self, run: &GlyphRun<'_, 'a>, props: DrawProps<'a>, mode: &DrawMode) {
        self.check();
        let vertical = run.writing_mode() == WritingMode::Vertical;
        let mut placed: Vec<Placed> = run
            .glyphs()
            .iter()
            .map(|glyph| {
                let placed: Affine = props.transform * glyph.transform();
                let start = placed * Point::ZERO;
                let advance = f64::from(match &**glyph {
                    Drawn::Outline(outline) => outline.advance_width().unwrap_or(500.0),
                    Drawn::Type3(drawn) => drawn.advance_width().unwrap_or(500.0),
                });
                let along = |x: f64, y: f64| placed * Point::new(x, y) - start;
                let step = if vertical { along(0.0, -EM) } else { along(advance, 0.0) };
                let text = match glyph.as_unicode() {
                    Some(BfString::Char(c)) => Some(c.to_string()),
                    Some(BfString::String(text)) => Some(text),
                    None => self.collections.text(glyph),
                };
                Placed { start, step, up: along(0.0, EM), advance, text }
            })
            .collect();
        if !vertical {
            respace(&mut placed);
        }
        let lone = placed.iter().all(Placed::is_blank);
        for (glyph, placed) in run.glyphs().iter().zip(placed) {
            let Placed { start, step, up, .. } = placed;
            let size = up.hypot() as f32;
            if !start.is_finite() || !step.is_finite() || !(0.5..=2000.0).contains(&size) {
                continue;
            }
            let end = start + step;
            let ornament = self.draws(Rect::from_points(start, end + up * 0.7));
            if ornament || !self.page.inflate(2.0, 2.0).contains(start) {
                continue;
            }
            let Some(mut text) = placed.text else {
                self.found.unknown += 1;
                continue;
            };
            if let Some(actual) =
                self.marked.iter_mut().rev().find_map(|Marks(marked)| if let Marked::Actual(text) = marked { Some(text) } else { None })
            {
                text = std::mem::take(actual);
            }
            let text = if text.len() == 1 { text } else { info::readable(&text) };
            let Some(left) = self.text_bytes.checked_sub(text.len() as u64) else { resume_unwind(Box::new(Stop::TextBytes)) };
            self.text_bytes = left;
            let ink = self.ink.of(glyph);
            self.ink.count(&text, ink);
            let bold = self.is_bold(glyph);
            self.found.glyphs.push(Glyph {
                text,
                start,
                end,
                size,
                ink,
                bold,
                hidden: matches!(mode, DrawMode::Invisible),
                dot: false,
                lone,
            });
        }
    }

    fn draw_image(&mut self, image: Image<'a, '_>, props: ImageDrawProps<'a>) {
        self.check();
        let size = Rect::new(0.0, 0.0, image.width().into(), image.height().into());
        let area = props.transform.transform_rect_bbox(size);
        let ornament = self.draws(area);
        let large = area.intersect(self.page).area() >= SCAN_PART * self.page.area();
        if self.pictures && large && !ornament {
            let pictures = &mut self.found.pictures;
            pictures.extend(Picture::new(&image, props.transform).map(|picture| (area.y0, picture)));
        }
    }

    fn pop_clip(&mut self) {}

    fn pop_transparency_group(&mut self) {}

    fn begin_marked_content(&mut self, tag: &[u8], properties: Option<&Dict<'_>>) {
        self.check();
        let text = |name: &str| properties.and_then(|properties| properties.get::<PdfString<'_>>(name)).map(|text| info::text(&text));
        let mut alternative = || text("Alt").or_else(|| self.alternatives.remove(&properties?.get::<i32>("MCID")?.into()));
        let marked = if tag == b"Artifact" {
            Marked::Artifact
        } else if let Some(actual) = text("ActualText") {
            Marked::Actual(actual)
        } else if let Some(alternative) = alternative() {
            Marked::Alternative(alternative, None)
        } else {
            Marked::Other
        };
        self.marked.push(Marks(marked));
    }

    fn end_marked_content(&mut self) {
        if let Some(Marks(Marked::Alternative(text, area))) = self.marked.pop() {
            let here = self.found.glyphs.last().map(|glyph| Rect::from_points(glyph.start, glyph.end)).unwrap_or_default();
            self.found.alternatives.push(Alternative { text, area: area.unwrap_or(here) });
        }
    }
}
