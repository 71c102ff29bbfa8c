//! Gaps and questions in English.

use super::{Gap, GapKind, Gapped};

/// Wordings of a sentence with a gap.
pub(super) const WORDINGS: [&str; 16] = [
    "Fill in the blank: {blanked}",
    "Complete the sentence: {blanked}",
    "According to \"{title}\", what is missing here? {blanked}",
    "In \"{title}\" it says: \"{blanked}\" What belongs in the gap?",
    "Which words are left out? \"{blanked}\"",
    "What has to stand in the place of ____ in this statement: {blanked}",
    "\"{blanked}\" What is missing?",
    "{title}: {blanked} What goes into the gap?",
    "Supply what was removed from this sentence of \"{title}\": {blanked}",
    "Something has been taken out of the following. What is it? {blanked}",
    "Read and complete: {blanked}",
    "How does the text go on at the gap? {blanked}",
    "I remember only this: \"{blanked}\" What did the gap say?",
    "Please complete this line from \"{title}\": \"{blanked}\"",
    "The text reads \"{blanked}\" but one part is blank. Which part?",
    "As stated in \"{title}\", {blanked} (what is ____?)",
];

/// Units whose number is worth asking for: plurals and abbreviations.
const UNITS: [&str; 42] = [
    "seconds",
    "minutes",
    "hours",
    "days",
    "weeks",
    "months",
    "years",
    "percent",
    "per cent",
    "dollars",
    "euros",
    "pounds",
    "miles",
    "feet",
    "inches",
    "metres",
    "meters",
    "kilometres",
    "kilometers",
    "grams",
    "kilograms",
    "milligrams",
    "mg",
    "g",
    "kg",
    "ml",
    "litres",
    "liters",
    "mm",
    "cm",
    "m",
    "km",
    "degrees",
    "members",
    "people",
    "persons",
    "patients",
    "employees",
    "acres",
    "votes",
    "copies",
    "times",
];

/// Verbs after a leading name that allow a question about it: `Who or what shall ...?`
const VERBS: [&str; 12] = ["is", "was", "has", "had", "may", "must", "shall", "can", "will", "should", "causes", "means"];

pub(super) fn gaps(sentence: &str) -> Vec<Gap> {
    let words: Vec<(usize, &str)> = words(sentence);
    let mut gaps = Vec::new();
    let mut at = 0;
    while let Some(&(start, word)) = words.get(at) {
        let next = |n: usize| words.get(at + n).copied();
        if number(word) {
            let unit = next(1).filter(|(_, unit)| UNITS.contains(unit)).or_else(|| {
                next(1).zip(next(2)).and_then(|((from, per), (_, cent))| {
                    let both = sentence.get(from..)?.get(..per.len() + 1 + cent.len())?;
                    (both == "per cent").then_some((from, both))
                })
            });
            if let Some((from, unit)) = unit {
                gaps.push(Gap { start, end: from + unit.len(), kind: GapKind::Quantity { unit: from } });
            } else if word.len() >= 4 || word.ends_with('%') || word.starts_with('$') {
                gaps.push(Gap { start, end: start + word.len(), kind: GapKind::Name });
            }
        } else if at > 0 && capitalised(word) {
            let mut last = at;
            while words.get(last + 1).is_some_and(|(from, word)| capitalised(word) && adjacent(sentence, words[last], *from)) {
                last += 1;
            }
            let end = words[last].0 + words[last].1.len();
            // A single short capitalised word is often not a name but a list letter or an abbreviation.
            if last > at || word.len() >= 5 {
                gaps.push(Gap { start, end, kind: GapKind::Name });
            }
            at = last;
        } else if at > 0 && word.chars().count() >= 9 && word.chars().all(char::is_lowercase) {
            gaps.push(Gap { start, end: start + word.len(), kind: GapKind::Term });
        }
        at += 1;
    }
    gaps
}

/// The words without punctuation, with their offsets in bytes.
fn words(sentence: &str) -> Vec<(usize, &str)> {
    let inner = |c: char| c.is_alphanumeric() || matches!(c, '$' | '€' | '%' | '°');
    let mut words = Vec::new();
    let mut at = 0;
    for part in sentence.split(' ') {
        if let (Some(first), Some((last, end))) = (part.find(inner), part.char_indices().rfind(|(_, c)| inner(*c))) {
            words.push((at + first, &part[first..last + end.len_utf8()]));
        }
        at += part.len() + 1;
    }
    words
}

/// Whether only a space separates a word from the one at `next`.
fn adjacent(sentence: &str, (start, word): (usize, &str), next: usize) -> bool {
    sentence.get(start + word.len()..next) == Some(" ")
}

fn number(word: &str) -> bool {
    let digits = word.trim_start_matches(['$', '€']).trim_end_matches('%');
    digits.starts_with(|c: char| c.is_ascii_digit()) && digits.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | ','))
}

fn capitalised(word: &str) -> bool {
    word.starts_with(char::is_uppercase) && word.chars().any(char::is_lowercase) && word.chars().all(|c| c.is_alphabetic() || c == '-')
}

/// A question with an interrogative, if the sentence allows one without reordering.
pub(super) fn real_question(gapped: &Gapped<'_>) -> Option<String> {
    let GapKind::Quantity { unit } = gapped.gap.kind else { return subject_question(gapped) };
    let unit = gapped.sentence.get(unit..gapped.gap.end)?;
    // `how many` does not go with abbreviated units and percentages.
    if unit.len() < 4 || unit.starts_with("per") {
        return None;
    }
    let question = gapped.with(&format!("how many {unit}"));
    Some(format!("{}?", question.trim_end_matches(['.', '!', '?'])))
}

/// Asks for the subject: `The Board shall meet.` becomes `Who or what shall meet?`
fn subject_question(gapped: &Gapped<'_>) -> Option<String> {
    let before = &gapped.sentence[..gapped.gap.start];
    let behind = gapped.sentence[gapped.gap.end..].strip_prefix(' ')?;
    let verb = behind.split(' ').next()?;
    if before != "The " || !VERBS.contains(&verb) || behind.contains('"') {
        return None;
    }
    let rest = behind.split_whitespace().collect::<Vec<_>>().join(" ");
    Some(format!("Who or what {}?", rest.trim_end_matches(['.', '!', '?'])))
}
