//! Formulas of OpenDocument (MathML 3, W3C) in a line: `(a + b)/c`, `m²`, `√(x)`.

use super::FORMAT;
use crate::Failure;
use crate::formats::office::symbols::formula;
use crate::formats::office::xml::{Node, Xml};
use crate::markdown::one_line;

/// The formula of a part; `None` for a part that is none.
pub(super) fn read(text: &str) -> Result<Option<String>, Failure> {
    let mut xml = Xml::new(text, FORMAT);
    loop {
        match xml.next()? {
            Some(Node::Start(element)) if element.name() == "math" => break,
            // Others are charts and drawings.
            Some(Node::Start(_)) | None => return Ok(None),
            Some(Node::Text(_)) => {}
        }
    }
    let shown = one_line(&children(&mut xml)?.concat());
    Ok(Some(shown).filter(|shown| !shown.is_empty()))
}

/// The formula in the element that is open, if it has one.
pub(super) fn within(xml: &mut Xml) -> Result<Option<String>, Failure> {
    let mut shown = None;
    while let Some(node) = xml.next()? {
        match node {
            Node::Start(element) if element.name() == "math" => shown = Some(one_line(&children(xml)?.concat())),
            Node::Start(_) => xml.skip()?,
            Node::Text(_) => {}
        }
    }
    Ok(shown.filter(|shown| !shown.is_empty()))
}

/// What the elements in the one that is open show.
fn children(xml: &mut Xml) -> Result<Vec<String>, Failure> {
    let mut shown = Vec::new();
    while let Some(node) = xml.next()? {
        if let Node::Start(element) = node {
            let name = element.name().to_owned();
            shown.push(part(xml, &name)?);
        }
    }
    Ok(shown)
}

fn part(xml: &mut Xml, name: &str) -> Result<String, Failure> {
    Ok(match name {
        "mi" | "mn" | "mtext" | "ms" => xml.words()?,
        "mo" => {
            let operator = xml.words()?;
            let operator = operator.trim();
            let is_between = operator.contains(['=', '+', '−', '-', '×', '<', '>', '≤', '≥', '≠', '≈', '±', '→', '⋅', '∗']);
            if is_between { format!(" {operator} ") } else { operator.to_owned() }
        }
        "annotation" | "annotation-xml" => {
            xml.skip()?;
            String::new()
        }
        _ => {
            let parts = children(xml)?;
            let at = |at: usize| parts.get(at).map(|part| one_line(part)).unwrap_or_default();
            match name {
                "mfrac" => formula("num", &at(0)) + &formula("den", &at(1)),
                "msup" | "mover" => at(0) + &formula("sup", &at(1)),
                "msub" | "munder" => at(0) + &formula("sub", &at(1)),
                "msubsup" | "munderover" => at(0) + &formula("sub", &at(1)) + &formula("sup", &at(2)),
                "msqrt" => format!("√({})", one_line(&parts.concat())),
                "mroot" => format!("√({})", at(0)),
                "mspace" => " ".into(),
                "mtr" => parts.join(", "),
                "mtable" => format!("({})", parts.join("; ")),
                _ => parts.concat(),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_formula_stands_in_a_line() {
        let text = "<math xmlns='http://www.w3.org/1998/Math/MathML'><semantics><mrow><mi>c</mi><mo>=</mo><mfrac><mrow><mn>140</mn><mo>−</mo><mi>age</mi></mrow><mn>72</mn></mfrac>\
            <msup><mi>m</mi><mn>2</mn></msup><mo>+</mo><msqrt><msub><mi>x</mi><mi>i</mi></msub></msqrt></mrow><annotation encoding='StarMath 5.0'>c = x</annotation></semantics></math>";
        assert_eq!(read(text).unwrap().unwrap(), "c = (140 − age)/72m² + √(x_i)");
        assert_eq!(read("<office:document-content><math/></office:document-content>").unwrap(), None);
        assert!(read("<math><mi>").is_err());
    }
}
