//! What a corpus has of the elements that the user's rules for XML name.

use mempack_extract::XmlRules;

use crate::CorpusNote;

/// Rules that a note names.
const SHOWN: usize = 20;

/// What the files so far have in common.
#[derive(Debug, Default)]
pub(super) struct RulesUse {
    /// Files that were read by the rules.
    files: u64,
    /// What nothing in any of them matches.
    unmatched: Vec<String>,
}

impl RulesUse {
    /// A file was read by the rules, and this of them matches nothing in it.
    pub fn add(&mut self, unmatched: Vec<String>) {
        self.files += 1;
        if self.files == 1 {
            self.unmatched = unmatched;
        } else {
            self.unmatched.retain(|rule| unmatched.contains(rule));
        }
    }

    /// What a user is to know of the rules after the last file.
    pub fn note(&self, rules: &XmlRules) -> Option<CorpusNote> {
        let remark = match (self.files, rules.roots()) {
            (0, []) => "was not used: the corpus has no XML file but those of formats that are known".to_owned(),
            (0, roots) => format!("was not used: no file that is read has the outermost element {}", roots.join(" or ")),
            _ if self.unmatched.is_empty() => return None,
            _ => {
                let shown: Vec<&str> = self.unmatched.iter().take(SHOWN).map(String::as_str).collect();
                let more = if self.unmatched.len() > SHOWN { ", ..." } else { "" };
                format!("has rules that match nothing in the corpus: {}{more}; are these names right?", shown.join(", "))
            }
        };
        Some(CorpusNote::Remark { path: rules.path().to_owned(), remark })
    }
}
