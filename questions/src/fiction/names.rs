//! Names that nobody bears: syllables put together in the manner of several languages.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use super::english::capital;
use mempack_numeric::Rng;

/// Syllables of one manner of speech.
#[derive(Debug)]
struct Speech {
    first: Vec<&'static str>,
    middle: Vec<&'static str>,
    last: Vec<&'static str>,
    town: Vec<&'static str>,
    surname: Vec<&'static str>,
}

static SPEECHES: LazyLock<Vec<Speech>> = LazyLock::new(|| {
    let lines = include_str!("names.txt").lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let mut parts = line.split('|').map(|part| part.split_whitespace().collect());
            let mut part = || parts.next().unwrap_or_default();
            Speech { first: part(), middle: part(), last: part(), town: part(), surname: part() }
        })
        .collect()
});

/// Words of the sample corpora in small letters: no generated name is one of them, so that a reader trained on fiction has
/// never met what it is measured with.
static RESERVED: LazyLock<BTreeSet<&'static str>> = LazyLock::new(|| include_str!("reserved.txt").split_whitespace().collect());

const DRUG_ENDS: [&str; 28] = [
    "ine", "ol", "ast", "ide", "umab", "azole", "oxan", "epril", "idine", "ate", "ium", "aphen", "amol", "etrol", "ucil", "orin", "ivir",
    "odone", "exin", "afil", "ulose", "antel", "icam", "osan", "yline", "erone", "illin", "astat",
];
const DISEASE_ENDS: [&str; 14] =
    ["osis", "itis", "algia", "emia", "opathy", "oma", "iasis", "asthenia", "plegia", "uria", "oderma", "ataxia", "edema", "rrhagia"];

/// What a name is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameKind {
    First,
    Surname,
    Town,
    Drug,
    Illness,
    Brand,
}

/// Gives names, and keeps what it gave.
#[derive(Debug)]
pub(crate) struct Names {
    /// The manner of speech, and the one of strangers.
    speeches: [usize; 2],
    given: Vec<String>,
}

impl Names {
    /// Names of the manner that prevails in this batch.
    pub fn new(rng: &mut Rng) -> Self {
        Self { speeches: [rng.below(SPEECHES.len()), rng.below(SPEECHES.len())], given: Vec::new() }
    }

    /// The names given since the last call.
    pub fn take_given(&mut self) -> Vec<String> {
        std::mem::take(&mut self.given)
    }

    /// A new name, with a capital.
    pub fn name(&mut self, kind: NameKind, rng: &mut Rng) -> String {
        let name = loop {
            let stranger = rng.chance(0.25);
            let Some(speech) = SPEECHES.get(self.speeches[usize::from(stranger)]) else { return String::new() };
            let name = build(speech, kind, rng);
            let letters = name.chars().count();
            if (4..=13).contains(&letters) && !RESERVED.contains(name.as_str()) && speakable(&name) {
                break capital(&name);
            }
        };
        self.given.push(name.clone());
        name
    }
}

fn build(speech: &Speech, kind: NameKind, rng: &mut Rng) -> String {
    let some = |list: &[&'static str], rng: &mut Rng| rng.pick(list).copied().unwrap_or_default();
    let mut name = String::from(some(&speech.first, rng));
    match kind {
        NameKind::First => {
            if rng.chance(0.3) {
                join(&mut name, some(&speech.middle, rng));
            }
            join(&mut name, some(&speech.last, rng));
        }
        NameKind::Surname => {
            join(&mut name, if rng.chance(0.5) { some(&speech.middle, rng) } else { some(&speech.last, rng) });
            join(&mut name, some(&speech.surname, rng));
        }
        NameKind::Town => {
            join(&mut name, if rng.chance(0.4) { some(&speech.middle, rng) } else { some(&speech.last, rng) });
            join(&mut name, some(&speech.town, rng));
        }
        NameKind::Drug | NameKind::Illness => {
            join(&mut name, some(&speech.middle, rng));
            if rng.chance(0.6) {
                join(&mut name, some(&["l", "v", "t", "d", "r", "x", "z", "m", "n", "br", "st", "nd"], rng));
            }
            join(&mut name, if kind == NameKind::Drug { some(&DRUG_ENDS, rng) } else { some(&DISEASE_ENDS, rng) });
        }
        NameKind::Brand => {
            join(&mut name, some(&speech.middle, rng));
            join(&mut name, some(&["x", "tek", "ra", "don", "flex", "mira", "zo", "lux", "vance", "trix", "nova", "lin"], rng));
        }
    }
    name
}

/// Append a syllable; of two vowels of one kind that meet, one goes, and of three consonants the middle ones are parted.
fn join(name: &mut String, syllable: &str) {
    let (last, next) = (name.chars().next_back(), syllable.chars().next());
    if let (Some(last), Some(next)) = (last, next) {
        if vowel(last) && vowel(next) {
            name.pop();
        } else if last == next && !vowel(last) {
            name.push_str(&syllable[next.len_utf8()..]);
            return;
        }
    }
    name.push_str(syllable);
}

fn vowel(c: char) -> bool {
    "aeiouyäö".contains(c)
}

/// No four consonants in a row, at least two vowels, no syllable twice running.
fn speakable(name: &str) -> bool {
    let letters: Vec<char> = name.chars().collect();
    let stutters = |length: usize| letters.windows(2 * length).any(|pair| pair[..length] == pair[length..]);
    if stutters(2) || stutters(3) {
        return false;
    }
    let mut run = 0;
    let mut vowels = 0;
    for c in name.chars() {
        run = if vowel(c) { 0 } else { run + 1 };
        vowels += usize::from(vowel(c));
        if run > 3 {
            return false;
        }
    }
    vowels >= 2
}
