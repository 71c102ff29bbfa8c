//! What a document is about.

use std::collections::BTreeSet;

use mempack_numeric::Rng;

use super::kind::DocumentKind;
use super::words::{ATTEMPTS, Scene};

/// Marks the place in a sentence where the subject is named.
pub(super) const SUBJECT: char = '\u{1}';

/// What a document is about.
pub(super) struct Subject {
    pub name: String,
    /// The name as it stands within a sentence, with an article where it needs one.
    pub full: String,
}

impl Subject {
    /// A subject that no document of the corpus has had, and that no later one will get: it is added to `taken`.
    pub fn new(kind: &DocumentKind, scene: &mut Scene<'_>, taken: &mut BTreeSet<String>, rng: &mut Rng) -> Self {
        let mut name = String::new();
        for attempt in 0.. {
            name = scene.expand(&kind.subject, rng);
            if attempt > ATTEMPTS {
                // The template has run out of new names; a number makes one unique.
                name = format!("{name} No. {}", taken.len());
            }
            if taken.insert(format!("{} {name}", kind.name)) {
                break;
            }
        }
        scene.constants.push(("X".into(), name.clone()));
        let full = scene.expand(&kind.full, rng);
        scene.constants.pop();
        Self { name, full }
    }

    /// Adds the subject, its pronouns and the constants of the kind to the constants of the scene.
    pub fn describe(&self, kind: &DocumentKind, scene: &mut Scene<'_>, rng: &mut Rng) {
        let pronouns = match self.name.split(' ').next() {
            Some("Mr") => ["he", "his", "him"],
            Some("Mrs" | "Ms") => ["she", "her", "her"],
            _ if rng.chance(0.5) => ["he", "his", "him"],
            _ => ["she", "her", "her"],
        };
        let fixed = [("X", self.name.as_str()), ("F", &self.full), ("he", pronouns[0]), ("his", pronouns[1]), ("him", pronouns[2])];
        scene.constants.extend(fixed.map(|(name, text)| (name.to_owned(), text.to_owned())));
        scene.constants.push(("S".into(), SUBJECT.into()));
        for (name, template) in &kind.lets {
            let text = scene.expand(template, rng);
            scene.constants.push(((*name).to_owned(), text));
        }
    }
}
