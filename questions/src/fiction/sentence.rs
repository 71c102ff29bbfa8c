//! The sentences of a document, before they are laid out.

use mempack_numeric::Rng;

use super::kind::DocumentKind;
use super::subject::SUBJECT;
use super::values::is_distinct;
use super::words::Scene;

/// What connects two sentences that could also stand alone.
const LINKS: [&str; 5] = ["; ", ", and ", "; besides, ", "; moreover, ", ", and furthermore "];

/// Openings that fit before any statement.
const OPENINGS: [&str; 14] = [
    "in addition, ",
    "it should be noted that ",
    "as is well known, ",
    "to be precise, ",
    "according to the latest version, ",
    "as far as we know, ",
    "it must be added that ",
    "for the sake of completeness: ",
    "not everyone knows that ",
    "one more point: ",
    "again and again people ask, and the answer is that ",
    "strange as it may seem, ",
    "in practice ",
    "it bears repeating that ",
];

/// First words of sentences that are neither commands nor inverted, so that an opening fits before them.
const STATEMENTS: [&str; 14] = ["the", "it", "its", "he", "she", "his", "her", "nobody", "no", "only", "patients", "there", "most", "a"];

/// A sentence before layout: its first letter is small, and marks stand for the subject and for articles.
pub(super) struct Sentence {
    pub text: String,
    /// Whether it states a fact or introduces the subject, so that a pronoun after it means the subject.
    pub about_subject: bool,
}

/// The sentences of a document that states the facts `stated`, in order.
pub(super) fn sentences(
    kind: &DocumentKind,
    stated: &[usize],
    values: &[Option<String>],
    scene: &mut Scene<'_>,
    rng: &mut Rng,
) -> Vec<Sentence> {
    let mut out = Vec::new();
    let mut left = stated.to_vec();
    while !left.is_empty() {
        let fact = left.remove(0);
        let pairs: Vec<_> = kind
            .both
            .iter()
            .filter(|both| both.facts.contains(&fact) && both.facts.iter().all(|other| *other == fact || left.contains(other)))
            .collect();
        let pair = rng.pick(&pairs).filter(|_| rng.chance(0.4));
        let text = if let Some(both) = pair {
            left.retain(|other| !both.facts.contains(other));
            let outer = scene.constants.len();
            for place in both.facts {
                let value = values.get(place).cloned().flatten().unwrap_or_default();
                scene.constants.push((kind.facts[place].key.to_owned(), value));
            }
            let text = rng.pick(&both.says).map(|say| scene.expand(say, rng)).unwrap_or_default();
            scene.constants.truncate(outer);
            text
        } else {
            state_fact(kind, fact, values, out.is_empty(), scene, rng)
        };
        out.push(Sentence { text: add_opening(text, rng), about_subject: true });
    }
    join_short(&mut out, rng);
    // A person has to be introduced. A thing is in the title, and the first sentence about it names it.
    if kind.person || rng.chance(0.85) || !out.first().is_some_and(|first| first.text.contains(SUBJECT)) {
        let intro = rng.pick(&kind.intros).map(|intro| scene.expand(intro, rng)).unwrap_or_default();
        out.insert(0, Sentence { text: intro, about_subject: true });
    }
    let mut remarks: Vec<_> = kind.also.iter().collect();
    rng.shuffle(&mut remarks);
    let count = rng.below(2 + out.len() / 3);
    for remark in remarks.into_iter().take(count) {
        let text = scene.expand(remark, rng);
        // A remark may stand among the facts, but not before a pronoun, which would then refer to the remark.
        let at = rng.between(1, out.len());
        let before_pronoun = out.get(at).is_some_and(|next| begins_with_pronoun(&next.text));
        out.insert(if before_pronoun { out.len() } else { at }, Sentence { text, about_subject: false });
    }
    out
}

/// Whether a sentence begins with a pronoun, which refers to the sentence before it.
pub(super) fn begins_with_pronoun(text: &str) -> bool {
    ["it ", "its "].iter().any(|word| text.starts_with(word))
}

/// A sentence that states a fact; `first` if it is the first of its document.
fn state_fact(kind: &DocumentKind, fact: usize, values: &[Option<String>], first: bool, scene: &mut Scene<'_>, rng: &mut Rng) -> String {
    let (Some(fact), Some(Some(value))) = (kind.facts.get(fact), values.get(fact)) else { return String::new() };
    let outer = scene.constants.len();
    let wrong = scene.find(&fact.value, rng, |wrong| is_distinct(wrong, values));
    let has_wrong = wrong.is_some();
    scene.constants.push(("v".into(), value.clone()));
    scene.constants.push(("not".into(), wrong.unwrap_or_default()));
    let forms: Vec<_> = fact.says.iter().filter(|say| (has_wrong || !say.always("not")) && !(first && say.begins_with("it"))).collect();
    let text = rng.pick(&forms).map(|say| scene.expand(say, rng)).unwrap_or_default();
    scene.constants.truncate(outer);
    text
}

/// The sentence, sometimes with an opening before it.
fn add_opening(text: String, rng: &mut Rng) -> String {
    let first = text.split(' ').next().unwrap_or_default();
    let statement = text.starts_with(SUBJECT) || STATEMENTS.contains(&first);
    if statement && !text.contains([';', ':']) && rng.chance(0.12) {
        return format!("{}{text}", rng.pick(&OPENINGS).copied().unwrap_or_default());
    }
    text
}

/// Joins some pairs of short sentences into one.
fn join_short(sentences: &mut Vec<Sentence>, rng: &mut Rng) {
    let mut at = 0;
    while at + 1 < sentences.len() {
        let short = |sentence: &Sentence| !sentence.text.contains([';', ':', ',']) && sentence.text.split(' ').count() < 14;
        if short(&sentences[at]) && short(&sentences[at + 1]) && rng.chance(0.2) {
            let next = sentences.remove(at + 1);
            let first = &mut sentences[at].text;
            first.truncate(first.trim_end_matches('.').len());
            first.push_str(rng.pick(&LINKS).copied().unwrap_or_default());
            first.push_str(&next.text);
        }
        at += 1;
    }
}
