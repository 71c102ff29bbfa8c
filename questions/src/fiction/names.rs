//! Invented names, put together from syllables that resemble those of several languages.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use mempack_numeric::Rng;

use super::english::capital;

/// The syllables of one invented language.
#[derive(Debug)]
struct Language {
    first: Vec<&'static str>,
    middle: Vec<&'static str>,
    last: Vec<&'static str>,
    town: Vec<&'static str>,
    surname: Vec<&'static str>,
}

static LANGUAGES: LazyLock<Vec<Language>> = LazyLock::new(|| {
    let lines = include_str!("names.txt").lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let mut parts = line.split('|').map(|part| part.split_whitespace().collect());
            let mut part = || parts.next().unwrap_or_default();
            Language { first: part(), middle: part(), last: part(), town: part(), surname: part() }
        })
        .collect()
});

/// The words of the sample corpora, in lower case. No generated name is one of them, so a reader trained on fiction has not seen the
/// names that it is evaluated on.
static RESERVED: LazyLock<BTreeSet<&'static str>> = LazyLock::new(|| include_str!("reserved.txt").split_whitespace().collect());

const DRUG_ENDS: [&str; 28] = [
    "ine", "ol", "ast", "ide", "umab", "azole", "oxan", "epril", "idine", "ate", "ium", "aphen", "amol", "etrol", "ucil", "orin", "ivir",
    "odone", "exin", "afil", "ulose", "antel", "icam", "osan", "yline", "erone", "illin", "astat",
];
const DISEASE_ENDS: [&str; 14] =
    ["osis", "itis", "algia", "emia", "opathy", "oma", "iasis", "asthenia", "plegia", "uria", "oderma", "ataxia", "edema", "rrhagia"];

/// What a name is the name of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameKind {
    First,
    Surname,
    Town,
    Drug,
    Illness,
    Brand,
}

/// Generates names and records them.
#[derive(Debug)]
pub(crate) struct Names {
    /// The usual language, and the one that some names are taken from instead.
    languages: [usize; 2],
    given: Vec<String>,
}

impl Names {
    /// Draws the languages of a batch.
    pub fn new(rng: &mut Rng) -> Self {
        Self { languages: [rng.below(LANGUAGES.len()), rng.below(LANGUAGES.len())], given: Vec::new() }
    }

    /// The names generated since the last call.
    pub fn take_given(&mut self) -> Vec<String> {
        std::mem::take(&mut self.given)
    }

    /// A new name, capitalised.
    pub fn name(&mut self, kind: NameKind, rng: &mut Rng) -> String {
        let name = loop {
            let foreign = rng.chance(0.25);
            let Some(language) = LANGUAGES.get(self.languages[usize::from(foreign)]) else { return String::new() };
            let name = build(language, kind, rng);
            let letters = name.chars().count();
            if (4..=13).contains(&letters) && !RESERVED.contains(name.as_str()) && pronounceable(&name) {
                break capital(&name);
            }
        };
        self.given.push(name.clone());
        name
    }
}

fn build(language: &Language, kind: NameKind, rng: &mut Rng) -> String {
    let some = |list: &[&'static str], rng: &mut Rng| rng.pick(list).copied().unwrap_or_default();
    let mut name = String::from(some(&language.first, rng));
    match kind {
        NameKind::First => {
            if rng.chance(0.3) {
                join(&mut name, some(&language.middle, rng));
            }
            join(&mut name, some(&language.last, rng));
        }
        NameKind::Surname => {
            join(&mut name, if rng.chance(0.5) { some(&language.middle, rng) } else { some(&language.last, rng) });
            join(&mut name, some(&language.surname, rng));
        }
        NameKind::Town => {
            join(&mut name, if rng.chance(0.4) { some(&language.middle, rng) } else { some(&language.last, rng) });
            join(&mut name, some(&language.town, rng));
        }
        NameKind::Drug | NameKind::Illness => {
            join(&mut name, some(&language.middle, rng));
            if rng.chance(0.6) {
                join(&mut name, some(&["l", "v", "t", "d", "r", "x", "z", "m", "n", "br", "st", "nd"], rng));
            }
            join(&mut name, if kind == NameKind::Drug { some(&DRUG_ENDS, rng) } else { some(&DISEASE_ENDS, rng) });
        }
        NameKind::Brand => {
            join(&mut name, some(&language.middle, rng));
            join(&mut name, some(&["x", "tek", "ra", "don", "flex", "mira", "zo", "lux", "vance", "trix", "nova", "lin"], rng));
        }
    }
    name
}

/// Appends a syllable. Of two vowels that meet, the first is dropped; a consonant that would be doubled is written once.
fn join(name: &mut String, syllable: &str) {
    let (last, next) = (name.chars().next_back(), syllable.chars().next());
    if let (Some(last), Some(next)) = (last, next) {
        if is_vowel(last) && is_vowel(next) {
            name.pop();
        } else if last == next && !is_vowel(last) {
            name.push_str(&syllable[next.len_utf8()..]);
            return;
        }
    }
    name.push_str(syllable);
}

fn is_vowel(c: char) -> bool {
    "aeiouyäö".contains(c)
}

/// Whether a name has at least two vowels, no four consonants in a row, and no two or three letters repeated at once.
fn pronounceable(name: &str) -> bool {
    let letters: Vec<char> = name.chars().collect();
    let stutters = |length: usize| letters.windows(2 * length).any(|pair| pair[..length] == pair[length..]);
    if stutters(2) || stutters(3) {
        return false;
    }
    let mut run = 0;
    let mut vowels = 0;
    for c in name.chars() {
        run = if is_vowel(c) { 0 } else { run + 1 };
        vowels += usize::from(is_vowel(c));
        if run > 3 {
            return false;
        }
    }
    vowels >= 2
}
