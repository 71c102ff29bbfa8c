//! The values of a document's facts.

use mempack_numeric::Rng;

use super::kind::DocumentKind;
use super::words::Scene;

/// A value for each fact of the kind: none contains another, and none occurs in the title. `None` where no attempt gave such a value.
pub(super) fn values(kind: &DocumentKind, title: &str, scene: &mut Scene<'_>, rng: &mut Rng) -> Vec<Option<String>> {
    let mut values: Vec<Option<String>> = Vec::new();
    for fact in &kind.facts {
        let value = scene.find(&fact.value, rng, |value| !title.contains(value) && is_distinct(value, &values));
        values.push(value);
    }
    values
}

/// Whether a value neither contains one of the others nor is contained in one. Articles and case do not count.
pub(super) fn is_distinct(value: &str, others: &[Option<String>]) -> bool {
    let value = without_article(value).to_lowercase();
    others.iter().flatten().all(|other| {
        let other = without_article(other).to_lowercase();
        !other.contains(&value) && !value.contains(&other)
    })
}

/// A value without the article that it begins with.
pub(super) fn without_article(value: &str) -> &str {
    ["the ", "a ", "an "].iter().find_map(|article| value.strip_prefix(article)).unwrap_or(value)
}
