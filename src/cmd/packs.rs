//! The packs that `search` and `ask` read, and how they report damage.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mempack_format::{Difference, PublicKey};
use mempack_runtime::{Citation, Expression, MappedSet, MountError, Mounts, OnDamage, Ranking, Skipped, Strategy};
use serde_json::{Value, json};

use super::{sets, trust};
use crate::failure::{Failure, Kind};
use crate::terminal::{errln, one_line};

/// One pack or set, or several of one model.
#[derive(clap::Args)]
pub struct PackArgs {
    /// The pack, or a set of packs (.mps)
    pub pack: PathBuf,
    /// Another pack or set of the same model, read together with the first; may be repeated
    #[arg(long = "with", value_name = "PACK")]
    with: Vec<PathBuf>,
    #[command(flatten)]
    probing: Probing,
    /// By what references are ranked: dense (similarity of embeddings), lexical (shared terms, BM25) or hybrid (both). Packs of older versions have no
    /// index of terms and are searched by embeddings, which is said
    #[arg(long, value_enum, default_value_t, value_name = "RANKING")]
    search: Search,
    /// Find only what this filter over the documents' fields admits, such as 'jurisdiction == "BY" && date >= "2021-01-01"' (CEL; `mempack inspect` lists a
    /// pack's fields)
    #[arg(long = "where", value_name = "FILTER")]
    filter: Option<Expression>,
    /// Which of the references found are read: top-k (the most similar), similarity:X (of these, those at most X below the best), diverse:X (similar
    /// to the query and unlike each other: maximal marginal relevance with lambda X, 0 to 1). similarity is similarity:0.2, diverse is diverse:0.8
    #[arg(long, default_value_t, value_name = "STRATEGY")]
    pub strategy: Strategy,
    /// Leave out damaged memories, vectors and texts, and report them at the end
    #[arg(long)]
    pub skip_damaged: bool,
    /// A public key; one of the keys given must have signed each pack; may be repeated
    #[arg(long, value_name = "KEY")]
    trusted: Vec<PathBuf>,
}

impl PackArgs {
    /// Mounts all packs. Each has the name of its file, or its path if that name is taken.
    pub fn mount(&self) -> Result<Arc<Mounts>, Failure> {
        let trusted = trust::read_keys(&self.trusted)?;
        let mounts = self.probing.mount(&self.pack, &self.with, trusted)?;
        let mounts = selecting(mounts, self.filter.clone())?;
        tell_missing_terms(&mounts, self.ranking());
        Ok(mounts)
    }

    /// By what references are ranked.
    pub fn ranking(&self) -> Ranking {
        self.search.into()
    }

    /// What to do about damage: count it in `skipped`, or fail.
    pub fn on_damage<'a>(&self, skipped: &'a Skipped) -> OnDamage<'a> {
        if self.skip_damaged { OnDamage::Skip(skipped) } else { OnDamage::Fail }
    }
}

/// The values of `--search`.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Search {
    Dense,
    Lexical,
    #[default]
    Hybrid,
}

impl From<Search> for Ranking {
    fn from(search: Search) -> Self {
        match search {
            Search::Dense => Self::Dense,
            Search::Lexical => Self::Lexical,
            Search::Hybrid => Self::Hybrid,
        }
    }
}

/// How a set of packs is searched.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Probing {
    /// Packs of a set whose vectors a search looks at, those nearest to its query by the set's routing table [default: a third of them]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub probes: Option<u32>,
}

impl Probing {
    /// Mounts packs and sets. A pack has the name of its file, or its path if that name is taken; the packs of a set have the names of their files.
    pub fn mount(self, first: &Path, others: &[PathBuf], trusted: Vec<PublicKey>) -> Result<Mounts, Failure> {
        let mounts = if sets::is_set(first) { Mounts::of_set(&self.set(first)?) } else { Mounts::of(super::open(first)?) };
        let mounts = mounts.demanding(trusted).map_err(refused)?;
        for path in others {
            if sets::is_set(path) {
                mounts.mount_set(&self.set(path)?).map_err(refused)?;
                continue;
            }
            let pack = super::open(path)?;
            let stem = pack.stem();
            let name = if mounts.packs().get(&stem).is_some() { path.display().to_string() } else { stem };
            mounts.mount(name, pack).map_err(refused)?;
        }
        Ok(mounts)
    }

    fn set(self, path: &Path) -> Result<MappedSet, Failure> {
        let set = sets::open(path)?;
        Ok(match self.probes {
            Some(probes) => set.probing(probes as usize),
            None => set,
        })
    }
}

/// The mounted packs, of which only what the filter admits is found. Says if that is nothing.
pub fn selecting(mounts: Mounts, filter: Option<Expression>) -> Result<Arc<Mounts>, Failure> {
    let Some(filter) = filter else { return Ok(Arc::new(mounts)) };
    let mounts = mounts.selecting(filter).map_err(refused)?;
    if mounts.packs().packs().iter().all(|mounted| mounted.documents() == 0) {
        errln!("mempack: no document passes the filter of --where");
    }
    Ok(Arc::new(mounts))
}

/// Says which packs have no index of terms, if it would be searched.
pub fn tell_missing_terms(mounts: &Mounts, ranking: Ranking) {
    if ranking == Ranking::Dense {
        return;
    }
    let packs = mounts.packs();
    // A damaged index is told by the search.
    for mounted in packs.packs().iter().filter(|mounted| matches!(mounted.has_terms(), Ok(false))) {
        let path = one_line(&mounted.pack().path().display().to_string());
        errln!("mempack: {path} has no index of terms and is searched by embeddings alone; mempack build --from {path} writes one");
    }
}

pub fn refused(error: MountError) -> Failure {
    let kind = match &error {
        MountError::NotSigned(error) if error.is_damage() => Kind::Damaged,
        MountError::Filter(error) if error.is_damage() => Kind::Damaged,
        MountError::NotSigned(_) | MountError::Mismatch { .. } => Kind::Mismatch,
        _ => Kind::Usage,
    };
    let details = match &error {
        MountError::Mismatch { differences, .. } => Some(Difference::details(differences)),
        _ => None,
    };
    Failure::new(kind, error).with_details(details)
}

/// A hit as JSON, for `search` and `ask`, with the score of the reranker if it has one.
pub fn hit_json(hit: &Citation, rerank_score: Option<f32>) -> Value {
    let found = &hit.found;
    let mut hit = json!({
        "pack": hit.pack, "pack_id": hit.id.to_string(), "document": found.document, "title": found.title, "reference": found.reference,
        "start": found.start, "end": found.end, "score": found.similarity, "text": (!hit.text_damaged).then_some(&found.text),
    });
    if let Some(score) = rerank_score {
        hit["rerank_score"] = json!(score);
    }
    if !found.place.is_empty() {
        hit["location"] = json!(found.place.to_string());
        hit["headings"] = json!(found.place.headings);
    }
    if !found.metadata.is_empty() {
        hit["metadata"] = found.metadata.iter().map(|field| (field.name.clone(), field.to_json())).collect();
    }
    hit
}

/// Where a hit comes from, in one line: its similarity, the score of the reranker if it has one, the place. Names the pack if there are several.
pub fn place(hit: &Citation, rerank_score: Option<f32>, several: bool) -> String {
    let found = &hit.found;
    let pack = if several { format!("{}: ", one_line(&hit.pack)) } else { String::new() };
    let (document, title) = (one_line(&found.document), one_line(&found.title));
    let score = rerank_score.map_or_else(String::new, |score| format!("  {score:.3}"));
    let location = if found.place.is_empty() { String::new() } else { format!("  {}", one_line(&found.place.to_string())) };
    format!("{:.3}{score}  {pack}{document} [{}..{}]  {title}{location}", found.similarity, found.start, found.end)
}

/// The text of a hit, with all lines indented.
pub fn text(hit: &Citation, indent: &str) -> String {
    let text = if hit.text_damaged { "(the text is damaged)" } else { &hit.found.text };
    format!("{indent}{}", text.replace('\n', &format!("\n{indent}")))
}

/// Prints what was left out on standard error.
pub fn report_skipped(skipped: &Skipped) {
    skipped.parts().iter().for_each(|part| errln!("mempack: {part}"));
}

/// What was left out, as JSON.
pub fn skipped_json(skipped: &Skipped) -> Value {
    let part = |part: &mempack_runtime::SkippedPart| {
        json!({
            "pack": part.path, "pack_id": part.id.to_string(), "section": part.section.to_string(), "places": part.places,
            "first": {"offset": part.first.offset, "defect": part.first.defect.to_string()},
        })
    };
    skipped.parts().iter().map(part).collect()
}
