//! Diagrams of DrawingML (ISO/IEC 29500-1, 21.4): their points as a list, one within another.

use std::collections::{HashMap, HashSet};

use super::{FORMAT, Paragraph, inline};
use crate::Failure;
use crate::formats::office::blocks::{Block, Run};
use crate::formats::office::writer::{Label, Line, Words};
use crate::formats::office::xml::{Node, Xml};

/// Points within one another that are told apart.
const MAX_LEVEL: u32 = 8;

/// A point of a diagram.
struct Point {
    id: String,
    /// Whether it is the diagram itself.
    is_root: bool,
    words: Words,
}

/// The words of a data part (`dgm:dataModel`).
pub(super) fn read(text: &str) -> Result<Vec<Block>, Failure> {
    let mut xml = Xml::new(text, FORMAT);
    xml.root()?;
    let mut points = Vec::new();
    let mut within: HashMap<String, Vec<(u32, String)>> = HashMap::new();
    while let Some(node) = xml.next()? {
        let Node::Start(list) = node else { continue };
        if !matches!(list.name(), "ptLst" | "cxnLst") {
            xml.skip()?;
            continue;
        }
        while let Some(node) = xml.next()? {
            let Node::Start(element) = node else { continue };
            let kind = element.attribute("type").unwrap_or_default();
            match element.name() {
                // Others show how the diagram is drawn.
                "pt" if matches!(kind.as_str(), "" | "node" | "asst" | "doc") => {
                    let id = element.attribute("modelId").unwrap_or_default();
                    let mut words = Words::default();
                    point(&mut xml, &mut words)?;
                    points.push(Point { id, is_root: kind == "doc", words });
                }
                "cxn" if matches!(kind.as_str(), "" | "parOf") => {
                    let place = element.number("srcOrd").unwrap_or(0);
                    if let (Some(outer), Some(inner)) = (element.attribute("srcId"), element.attribute("destId")) {
                        within.entry(outer).or_default().push((place, inner));
                    }
                    xml.skip()?;
                }
                _ => xml.skip()?,
            }
        }
    }
    within.values_mut().for_each(|inner| inner.sort());
    Ok(blocks(&points, &within))
}

/// The points in their order, each before those within it. Points that are in no other stand at the end.
fn blocks(points: &[Point], within: &HashMap<String, Vec<(u32, String)>>) -> Vec<Block> {
    let by_id: HashMap<&str, &Point> = points.iter().map(|point| (point.id.as_str(), point)).collect();
    let mut blocks = Vec::new();
    let mut seen = HashSet::new();
    let roots = points.iter().filter(|point| point.is_root).chain(points.iter().filter(|point| !point.is_root));
    for root in roots {
        let mut open = vec![(root, 0)];
        while let Some((point, level)) = open.pop() {
            if !seen.insert(point.id.as_str()) {
                continue;
            }
            if !point.words.is_empty() {
                let label = Some(Label::bullet(level));
                blocks.push(Block::Line(Line { words: point.words.clone(), label, ..Line::default() }));
            }
            let inner = if point.is_root { 0 } else { (level + 1).min(MAX_LEVEL) };
            let points = within.get(&point.id).into_iter().flatten().rev().filter_map(|(_, id)| by_id.get(id.as_str()));
            open.extend(points.map(|point| (*point, inner)));
        }
    }
    blocks
}

/// Adds the words of the point that is open.
fn point(xml: &mut Xml, words: &mut Words) -> Result<(), Failure> {
    while let Some(node) = xml.next()? {
        let Node::Start(element) = node else { continue };
        match element.name() {
            "p" => {
                let mut paragraph = Paragraph::default();
                inline(xml, &mut paragraph, &mut Run::default())?;
                words.push(" ");
                words.append(&paragraph.words);
            }
            "prSet" | "spPr" => xml.skip()?,
            _ => point(xml, words)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_items_in_their_order() {
        let pt = |id: &str, kind: &str, words: &str| {
            format!("<dgm:pt modelId='{id}' {kind}><dgm:t><a:p><a:r><a:t>{words}</a:t></a:r></a:p></dgm:t></dgm:pt>")
        };
        let cxn = |from: &str, to: &str, place: u32| format!("<dgm:cxn modelId='c' srcId='{from}' destId='{to}' srcOrd='{place}'/>");
        let points =
            pt("0", "type='doc'", "") + &pt("2", "", "Treat") + &pt("1", "", "Ask") + &pt("3", "type='pres'", "Ask") + &pt("4", "", "name");
        // The last two are within each other.
        let loops = pt("5", "", "left") + &pt("6", "", "right");
        let connections = cxn("0", "1", 0) + &cxn("0", "2", 1) + &cxn("1", "4", 0) + &cxn("5", "6", 0) + &cxn("6", "5", 0);
        let text = format!("<dgm:dataModel><dgm:ptLst>{points}{loops}</dgm:ptLst><dgm:cxnLst>{connections}</dgm:cxnLst></dgm:dataModel>");
        let found: Vec<(u32, String)> = read(&text)
            .unwrap()
            .into_iter()
            .map(|block| match block {
                Block::Line(line) => (line.label.unwrap().level, line.words.text().to_owned()),
                Block::Table(_) => panic!(),
            })
            .collect();
        let expected = [(0, "Ask"), (1, "name"), (0, "Treat"), (0, "left"), (1, "right")];
        assert_eq!(found, expected.map(|(level, words)| (level, words.to_owned())));
    }
}
