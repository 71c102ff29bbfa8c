//! Charts of DrawingML (ISO/IEC 29500-1, 21.2): their titles, and what they show as a table.

use std::collections::BTreeMap;

use super::{FORMAT, Paragraph, inline};
use crate::Failure;
use crate::formats::office::blocks::{Block, Cell, Run, TableRow};
use crate::formats::office::spreadsheet::shown_number;
use crate::formats::office::xml::{Node, Xml};

/// Cells of the table of a chart, at most; a chart of more shows none of them.
const MAX_CELLS: usize = 10_000;

/// Values by their places.
type Points = BTreeMap<u32, String>;

/// A row of values, such as the columns of one colour.
#[derive(Default)]
struct Series {
    name: Points,
    categories: Points,
    values: Points,
}

/// The words of a chart part (`c:chartSpace`).
pub(super) fn read(text: &str) -> Result<Vec<Block>, Failure> {
    let mut xml = Xml::new(text, FORMAT);
    xml.root()?;
    let (mut titles, mut series) = (Vec::new(), Vec::new());
    part(&mut xml, &mut titles, &mut series)?;
    let mut blocks: Vec<Block> = titles.iter().map(|title| Block::words(title)).collect();
    let categories = categories(&series);
    if !categories.is_empty() && categories.len().saturating_mul(series.len()) <= MAX_CELLS {
        blocks.push(table(&categories, &series));
    }
    Ok(blocks)
}

fn part(xml: &mut Xml, titles: &mut Vec<String>, all: &mut Vec<Series>) -> Result<(), Failure> {
    while let Some(node) = xml.next()? {
        let Node::Start(element) = node else { continue };
        match element.name() {
            "title" => {
                let mut paragraph = Paragraph::default();
                inline(xml, &mut paragraph, &mut Run::default())?;
                titles.push(paragraph.words.text().to_owned());
            }
            "ser" => {
                let mut series = Series::default();
                while let Some(node) = xml.next()? {
                    let Node::Start(element) = node else { continue };
                    match element.name() {
                        "tx" => points(xml, &mut series.name)?,
                        "cat" | "xVal" => points(xml, &mut series.categories)?,
                        "val" | "yVal" => points(xml, &mut series.values)?,
                        _ => xml.skip()?,
                    }
                }
                all.push(series);
            }
            "dLbls" | "spPr" | "txPr" | "legend" | "externalData" | "userShapes" => xml.skip()?,
            _ => part(xml, titles, all)?,
        }
    }
    Ok(())
}

/// Reads the values that the element that is open has kept. Categories of several levels have one that counts, the first.
fn points(xml: &mut Xml, found: &mut Points) -> Result<(), Failure> {
    let mut format = String::new();
    values(xml, &mut format, found)
}

fn values(xml: &mut Xml, format: &mut String, found: &mut Points) -> Result<(), Failure> {
    while let Some(node) = xml.next()? {
        let Node::Start(element) = node else { continue };
        match element.name() {
            "formatCode" => *format = xml.words()?,
            "f" => xml.skip()?,
            "pt" => {
                let at = element.number("idx").unwrap_or(0);
                let format = element.attribute("formatCode").unwrap_or_else(|| format.clone());
                let value = xml.words()?;
                let shown = match value.trim().parse::<f64>() {
                    Ok(number) if !format.is_empty() => shown_number(number, &format),
                    _ => value,
                };
                found.entry(at).or_insert(shown);
            }
            // The name of a series that is no reference.
            "v" => {
                let value = xml.words()?;
                found.entry(0).or_insert(value);
            }
            _ => values(xml, format, found)?,
        }
    }
    Ok(())
}

/// The names of all categories that have values, by their places.
fn categories(series: &[Series]) -> BTreeMap<u32, &str> {
    let mut categories: BTreeMap<u32, &str> = BTreeMap::new();
    for series in series {
        for at in series.values.keys() {
            let name = series.categories.get(at).map(String::as_str).unwrap_or_default();
            let known = categories.entry(*at).or_default();
            if known.is_empty() {
                *known = name;
            }
        }
    }
    categories
}

/// A row for each category, a column for each series.
fn table(categories: &BTreeMap<u32, &str>, series: &[Series]) -> Block {
    let cell = |words: &str| Cell { blocks: vec![Block::words(words)], columns: 1, ..Cell::default() };
    let empty = String::new();
    let names = series.iter().map(|series| cell(series.name.get(&0).unwrap_or(&empty)));
    let header = TableRow { cells: Some(cell("")).into_iter().chain(names).collect(), ..TableRow::default() };
    let rows = categories.iter().map(|(at, category)| {
        let values = series.iter().map(|series| cell(series.values.get(at).unwrap_or(&empty)));
        TableRow { cells: Some(cell(category)).into_iter().chain(values).collect(), ..TableRow::default() }
    });
    Block::Table(Some(header).into_iter().chain(rows).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;
    use crate::formats::office::writer::Writer;

    #[test]
    fn values_far_from_one_another_make_no_table() {
        let series = |at: usize| format!("<c:ser><c:val><c:pt idx='{at}'><c:v>1</c:v></c:pt></c:val></c:ser>");
        let text = |count: usize| format!("<c:chartSpace>{}</c:chartSpace>", (0..count).map(series).collect::<String>());
        assert_eq!(read(&text(100)).unwrap().len(), 1);
        assert!(read(&text(5_000)).unwrap().is_empty());
    }

    #[test]
    fn a_chart_is_a_table_of_what_it_shows() {
        let series = |name: &str, values: &str| {
            format!(
                "<c:ser><c:idx val='0'/><c:tx><c:strRef><c:f>S!$B$1</c:f><c:strCache><c:pt idx='0'><c:v>{name}</c:v></c:pt></c:strCache></c:strRef></c:tx>\
                 <c:cat><c:strRef><c:strCache><c:ptCount val='2'/><c:pt idx='0'><c:v>adults</c:v></c:pt><c:pt idx='1'><c:v>children</c:v></c:pt></c:strCache></c:strRef></c:cat>\
                 <c:val><c:numRef><c:numCache>{values}</c:numCache></c:numRef></c:val></c:ser>"
            )
        };
        let text = format!(
            "<c:chartSpace><c:chart><c:title><c:tx><c:rich><a:p><a:r><a:t>Doses</a:t></a:r></a:p></c:rich></c:tx></c:title><c:plotArea><c:barChart>{}{}{}</c:barChart></c:plotArea></c:chart></c:chartSpace>",
            series(
                "2024",
                "<c:formatCode>General</c:formatCode><c:pt idx='0'><c:v>4.2999999999999998</c:v></c:pt><c:pt idx='1'><c:v>2</c:v></c:pt>"
            ),
            series("2025", "<c:formatCode>0%</c:formatCode><c:pt idx='1'><c:v>0.45</c:v></c:pt>"),
            series("from", "<c:formatCode>m/d/yy</c:formatCode><c:pt idx='0'><c:v>46095</c:v></c:pt>")
        );
        let mut writer = Writer::new(&Limits::default());
        read(&text).unwrap().into_iter().try_for_each(|block| block.write(&mut writer)).unwrap();
        assert_eq!(
            writer.finish().unwrap().0,
            "Doses\n\n|  | 2024 | 2025 | from |\n|---|---|---|---|\n| adults | 4.3 |  | 2026-03-14 |\n| children | 2 | 45% |  |\n"
        );
    }
}
