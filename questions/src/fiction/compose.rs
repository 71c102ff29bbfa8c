//! One document: which facts, told how, and which questions.

use std::collections::BTreeSet;

use super::english::{articles, capital, occurrences, small};
use super::kind::{Fact, Kind};
use super::page::{Page, SUBJECT};
use super::words::Scene;
use super::{FictionOptions, Made};
use crate::{Document, Question};
use mempack_numeric::Rng;

/// Tries to find something that is not there yet.
const TRIES: usize = 40;

/// Connections of two sentences that stand for themselves.
const LINKS: [&str; 5] = ["; ", ", and ", "; besides, ", "; moreover, ", ", and furthermore "];

/// Openings of a sentence that may stand before any statement.
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

/// First words behind which a sentence is no command and no inversion, so that an opening may stand before it.
const STATEMENTS: [&str; 14] = ["the", "it", "its", "he", "she", "his", "her", "nobody", "no", "only", "patients", "there", "most", "a"];

/// What a document is about.
pub(super) struct Subject {
    pub name: String,
    pub full: String,
}

/// The document `number`, counted from 1.
pub(super) fn document(
    kind: &Kind,
    number: u64,
    mut scene: Scene<'_>,
    subjects: &mut BTreeSet<String>,
    options: &FictionOptions,
    rng: &mut Rng,
) -> Made {
    let subject = new_subject(kind, &mut scene, subjects, rng);
    describe(kind, &subject, &mut scene, rng);
    let title = rng.pick(&kind.titles).map(|title| capital(&articles(&scene.expand(title, rng)))).unwrap_or_default();
    let values = values(kind, &title, &mut scene, rng);
    let told = choose(&values, rng);
    let sentences = sentences(kind, &told, &values, &mut scene, rng);
    let text = Page { kind, subject: &subject }.lay_out(sentences, rng);
    let id = format!("{}-{number:06}", kind.name);

    let mut questions = Vec::new();
    let mut answerable = askable(&told, &values, &text);
    rng.shuffle(&mut answerable);
    let mut untold: Vec<usize> = (0..kind.facts.len()).filter(|fact| !told.contains(fact)).collect();
    rng.shuffle(&mut untold);
    for place in 1..=options.per_document {
        let unanswerable = rng.chance(options.unanswerable);
        // Of a document that tells all it could, something untold cannot be asked.
        let stranger = unanswerable && (untold.is_empty() || rng.chance(0.4));
        let (fact, answers) = match (unanswerable, stranger) {
            (false, _) => match answerable.pop() {
                Some((fact, answers)) => (fact, answers),
                None => break,
            },
            (true, false) => (untold.pop().unwrap_or_default(), Vec::new()),
            (true, true) => (rng.below(kind.facts.len()), Vec::new()),
        };
        let held = scene.constants.len();
        if stranger {
            let nobody = new_subject(kind, &mut scene, subjects, rng);
            describe(kind, &nobody, &mut scene, rng);
        }
        if let Some(question) = kind.facts.get(fact).and_then(|fact| ask(fact, &mut scene, rng)) {
            questions.push(Question {
                id: format!("{id}-q{place}"),
                question,
                gold_ids: if unanswerable { Vec::new() } else { vec![id.clone()] },
                answers,
                answerable: !unanswerable,
            });
        }
        scene.constants.truncate(held);
    }
    let source = "mempack make-questions fiction".into();
    let document = Document { id, title, text, source, license: "CC0-1.0".into() };
    Made { kind: kind.name, document, questions, names: scene.names.take_given() }
}

/// A subject that no document has, and none will have.
fn new_subject(kind: &Kind, scene: &mut Scene<'_>, subjects: &mut BTreeSet<String>, rng: &mut Rng) -> Subject {
    let mut name = String::new();
    for tried in 0.. {
        name = scene.expand(&kind.subject, rng);
        if tried > TRIES {
            // Names of this form run out: a number always helps.
            name = format!("{name} No. {}", subjects.len());
        }
        if subjects.insert(format!("{} {name}", kind.name)) {
            break;
        }
    }
    scene.constants.push(("X".into(), name.clone()));
    let full = scene.expand(&kind.full, rng);
    scene.constants.pop();
    Subject { name, full }
}

/// Make the subject and what goes with it known to templates.
fn describe(kind: &Kind, subject: &Subject, scene: &mut Scene<'_>, rng: &mut Rng) {
    let pronouns = match subject.name.split(' ').next() {
        Some("Mr") => ["he", "his", "him"],
        Some("Mrs" | "Ms") => ["she", "her", "her"],
        _ if rng.chance(0.5) => ["he", "his", "him"],
        _ => ["she", "her", "her"],
    };
    let fixed = [("X", subject.name.as_str()), ("F", &subject.full), ("he", pronouns[0]), ("his", pronouns[1]), ("him", pronouns[2])];
    scene.constants.extend(fixed.map(|(name, text)| (name.to_owned(), text.to_owned())));
    scene.constants.push(("S".into(), SUBJECT.into()));
    for (name, template) in &kind.lets {
        let text = scene.expand(template, rng);
        scene.constants.push(((*name).to_owned(), text));
    }
}

/// A value for each fact, none of which holds another or stands in the title.
fn values(kind: &Kind, title: &str, scene: &mut Scene<'_>, rng: &mut Rng) -> Vec<Option<String>> {
    let mut values: Vec<Option<String>> = Vec::new();
    for fact in &kind.facts {
        let value =
            (0..TRIES).map(|_| articles(&scene.expand(&fact.value, rng))).find(|value| !title.contains(value) && apart(value, &values));
        values.push(value);
    }
    values
}

/// Whether neither holds the other, whatever the value.
fn apart(value: &str, values: &[Option<String>]) -> bool {
    let bare = bare(value).to_lowercase();
    values.iter().flatten().all(|other| {
        let other = self::bare(other).to_lowercase();
        !other.contains(&bare) && !bare.contains(&other)
    })
}

/// A value without its article.
fn bare(value: &str) -> &str {
    ["the ", "a ", "an "].iter().find_map(|article| value.strip_prefix(article)).unwrap_or(value)
}

/// Which facts are told, in which order: few, some, or nearly all.
fn choose(values: &[Option<String>], rng: &mut Rng) -> Vec<usize> {
    let mut facts: Vec<usize> = (0..values.len()).filter(|fact| values.get(*fact).is_some_and(Option::is_some)).collect();
    rng.shuffle(&mut facts);
    let count = match rng.below(20) {
        0..8 => rng.between(3, 5),
        8..15 => rng.between(6, 9),
        _ => rng.between(10, 14),
    };
    facts.truncate(count);
    facts
}

/// A sentence before the page makes it one.
pub(super) struct Sentence {
    pub text: String,
    /// Whether it tells a fact, so that the subject is what it speaks of.
    pub telling: bool,
}

/// The sentences in order, each with a small first letter and marks for subject and articles.
fn sentences(kind: &Kind, told: &[usize], values: &[Option<String>], scene: &mut Scene<'_>, rng: &mut Rng) -> Vec<Sentence> {
    let mut out = Vec::new();
    let mut left = told.to_vec();
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
            let held = scene.constants.len();
            for place in both.facts {
                let value = values.get(place).cloned().flatten().unwrap_or_default();
                scene.constants.push((kind.facts[place].key.to_owned(), value));
            }
            let text = rng.pick(&both.says).map(|say| scene.expand(say, rng)).unwrap_or_default();
            scene.constants.truncate(held);
            text
        } else {
            tell(kind, fact, values, out.is_empty(), scene, rng)
        };
        out.push(Sentence { text: open(text, rng), telling: true });
    }
    join(&mut out, rng);
    // Who the person is must be said; a thing stands in the title, and is named by the first sentence that is about it.
    if kind.person || rng.chance(0.85) || !out.first().is_some_and(|first| first.text.contains(SUBJECT)) {
        let intro = rng.pick(&kind.intros).map(|intro| scene.expand(intro, rng)).unwrap_or_default();
        out.insert(0, Sentence { text: intro, telling: true });
    }
    let mut fillers: Vec<_> = kind.also.iter().collect();
    rng.shuffle(&mut fillers);
    let count = rng.below(2 + out.len() / 3);
    for filler in fillers.into_iter().take(count) {
        let text = scene.expand(filler, rng);
        // Among the facts a remark may be just as well as behind them, but a pronoun would then point to it.
        let at = rng.between(1, out.len());
        let pointing = out.get(at).is_some_and(|next| points_back(&next.text));
        out.insert(if pointing { out.len() } else { at }, Sentence { text, telling: false });
    }
    out
}

/// Whether a sentence begins with a word for what was spoken of before.
pub(super) fn points_back(text: &str) -> bool {
    ["it ", "its "].iter().any(|word| text.starts_with(word))
}

/// One of the sentences that tell a fact.
fn tell(kind: &Kind, fact: usize, values: &[Option<String>], first: bool, scene: &mut Scene<'_>, rng: &mut Rng) -> String {
    let (Some(fact), Some(Some(value))) = (kind.facts.get(fact), values.get(fact)) else { return String::new() };
    let held = scene.constants.len();
    let not = (0..TRIES).map(|_| articles(&scene.expand(&fact.value, rng))).find(|not| apart(not, values));
    scene.constants.push(("v".into(), value.clone()));
    let sure = not.is_some();
    scene.constants.push(("not".into(), not.unwrap_or_default()));
    let forms: Vec<_> = fact.says.iter().filter(|say| (sure || !say.always("not")) && !(first && say.begins_with("it"))).collect();
    let text = rng.pick(&forms).map(|say| scene.expand(say, rng)).unwrap_or_default();
    scene.constants.truncate(held);
    text
}

/// Now and then put an opening before a statement.
fn open(text: String, rng: &mut Rng) -> String {
    let first = text.split(' ').next().unwrap_or_default();
    let statement = text.starts_with(SUBJECT) || STATEMENTS.contains(&first);
    if statement && !text.contains([';', ':']) && rng.chance(0.12) {
        return format!("{}{text}", rng.pick(&OPENINGS).copied().unwrap_or_default());
    }
    text
}

/// Now and then make one sentence of two that are short.
fn join(sentences: &mut Vec<Sentence>, rng: &mut Rng) {
    let mut at = 0;
    while at + 1 < sentences.len() {
        let simple = |sentence: &Sentence| !sentence.text.contains([';', ':', ',']) && sentence.text.split(' ').count() < 14;
        if simple(&sentences[at]) && simple(&sentences[at + 1]) && rng.chance(0.2) {
            let next = sentences.remove(at + 1);
            let first = &mut sentences[at].text;
            first.truncate(first.trim_end_matches('.').len());
            first.push_str(rng.pick(&LINKS).copied().unwrap_or_default());
            first.push_str(&next.text);
        }
        at += 1;
    }
}

/// The facts whose value stands in the text exactly once, with the answers in the text's own letters.
fn askable(told: &[usize], values: &[Option<String>], text: &str) -> Vec<(usize, Vec<String>)> {
    let literal = |value: &str| {
        let shorter = bare(value);
        if occurrences(text, shorter) != 1 {
            return None;
        }
        // At the beginning of a sentence the article, or the first word, has a capital.
        let whole = [value.to_owned(), capital(value)].into_iter().find(|form| text.contains(form.as_str()))?;
        Some(if shorter.len() < value.len() { vec![whole, shorter.to_owned()] } else { vec![whole] })
    };
    let answers = |value: &String| literal(value).or_else(|| literal(&capital(value)));
    told.iter().filter_map(|fact| Some((*fact, values.get(*fact)?.as_ref().and_then(answers)?))).collect()
}

/// A question about a fact, in the manners in which people ask.
fn ask(fact: &Fact, scene: &mut Scene<'_>, rng: &mut Rng) -> Option<String> {
    let question = articles(&scene.expand(rng.pick(&fact.asks)?, rng));
    Some(match rng.below(100) {
        0..5 => small(question.trim_end_matches('?')),
        5..8 => format!("Please tell me: {}", small(&question)),
        8..11 => format!("I would like to know: {}", small(&question)),
        11..14 => format!("{}, please?", question.trim_end_matches('?')),
        14..17 => format!("A question: {}", small(&question)),
        _ => question,
    })
}
