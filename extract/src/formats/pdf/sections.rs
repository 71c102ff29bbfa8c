//! The numbers of clauses, articles and sections, as places. A number counts where it follows the one before it, so that `12.5 mg` is none.

/// Follows the numbers through a document.
#[derive(Default)]
pub(super) struct Sections {
    /// The number of the section that is open: 4.2 is `[4, 2]`.
    numbers: Vec<u32>,
    /// What it is called, such as `§ 4`; empty if none is open.
    name: String,
    /// The marks of the items in it that are open, such as `(a)`.
    items: Vec<String>,
}

impl Sections {
    /// The section of a heading or paragraph; `None` if it is that of the text before.
    pub fn block(&mut self, text: &str, heading: bool) -> Option<String> {
        let found = self.numbered(text, heading);
        if found.is_none() && (!heading || self.name.is_empty()) {
            return None;
        }
        // A heading without a number ends the section.
        self.name = found.unwrap_or_default();
        self.items.clear();
        Some(self.name.clone())
    }

    /// The section of an item.
    pub fn item(&mut self, depth: usize, mark: &str) -> Option<String> {
        if self.name.is_empty() || !mark.ends_with(')') {
            return None;
        }
        self.items.truncate(depth);
        self.items.push(if mark.starts_with('(') { mark.to_owned() } else { format!("({mark}") });
        Some(format!("{} {}", self.name, self.items.join(" ")))
    }

    fn numbered(&mut self, text: &str, heading: bool) -> Option<String> {
        let mut words = text.split_whitespace();
        let first = words.next()?;
        if let Some(end) = text.find('条').filter(|_| heading && text.starts_with('第')) {
            let name = &text[..end + '条'.len_utf8()];
            return (name.chars().count() <= 8).then(|| name.to_owned());
        }
        let sign = match first {
            "§" => "§",
            "Art." | "Article" | "ARTICLE" | "Artikel" => "Art.",
            _ => "",
        };
        let number = if sign.is_empty() { first } else { words.next()? }.trim_end_matches(['.', ':']);
        let digits = number.trim_end_matches(|c: char| c.is_ascii_lowercase());
        let parts = digits.split('.').map(|part| part.parse().ok().filter(|_| part.len() <= 3)).collect::<Option<Vec<u32>>>()?;
        let letter = number.len() - digits.len();
        let follows = follows(&self.numbers, &parts) || !sign.is_empty() && (heading || letter == 1 && self.numbers == parts);
        if !follows || letter > 1 || sign.is_empty() && letter > 0 || words.next().is_none() && sign.is_empty() {
            return None;
        }
        // What has one number only is a section where a heading says so.
        if sign.is_empty() && parts.len() == 1 && !heading {
            return None;
        }
        self.numbers = parts;
        Some(if sign.is_empty() { number.to_owned() } else { format!("{sign} {number}") })
    }
}

/// Whether a number comes next: 4.2 is followed by 4.3, 4.2.1, 5 and 5.1.
fn follows(before: &[u32], next: &[u32]) -> bool {
    let same = before.iter().zip(next).take_while(|(a, b)| a == b).count();
    let Some((first, rest)) = next[same..].split_first() else { return false };
    *first == before.get(same).map_or(1, |before| before + 1) && matches!(rest, [] | [1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_one_another() {
        for (before, next, expected) in [
            (&[][..], &[1][..], true),
            (&[], &[1, 1], true),
            (&[], &[12, 5], false),
            (&[4, 2], &[4, 3], true),
            (&[4, 2], &[4, 2, 1], true),
            (&[4, 2], &[5], true),
            (&[4, 2], &[5, 1], true),
            (&[4, 2], &[4, 2], false),
            (&[4, 2], &[4, 1], false),
            (&[4, 2], &[6], false),
        ] {
            assert_eq!(follows(before, next), expected, "{before:?} {next:?}");
        }
    }

    #[test]
    fn sections_are_named_as_they_are_cited() {
        let mut sections = Sections::default();
        let mut block = |text: &str, heading: bool| sections.block(text, heading);
        assert_eq!(block("1. Definitions", true).as_deref(), Some("1"));
        assert_eq!(block("1.1 In this Agreement", false).as_deref(), Some("1.1"));
        assert_eq!(block("12.5 mg once a day", false), None);
        assert_eq!(block("2 patients were excluded", false), None);
        assert_eq!(block("1.2 A reference", false).as_deref(), Some("1.2"));
        assert_eq!(sections.item(0, "(a)").as_deref(), Some("1.2 (a)"));
        assert_eq!(sections.item(1, "i)").as_deref(), Some("1.2 (a) (i)"));
        assert_eq!(sections.item(0, "(b)").as_deref(), Some("1.2 (b)"));
        assert_eq!(sections.item(0, "-"), None);
        assert_eq!(sections.block("Schedule", true).as_deref(), Some(""));
        assert_eq!(sections.item(0, "(a)"), None);
        assert_eq!(sections.block("§ 7 Kosten", true).as_deref(), Some("§ 7"));
        assert_eq!(sections.block("§ 3 gilt nicht.", false), None);
        assert_eq!(sections.block("§ 7a Zinsen", true).as_deref(), Some("§ 7a"));
        assert_eq!(sections.block("Article 12 Appeals", true).as_deref(), Some("Art. 12"));
        assert_eq!(sections.block("第三条 租金", true).as_deref(), Some("第三条"));
    }
}
