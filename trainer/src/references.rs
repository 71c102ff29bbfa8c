//! References of corpora with their embeddings, and the search for those nearest to a query.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mempack_model::{ComputeError, EmbedAs, Embedder, Model, overlaps};
use mempack_retrieval::{Filter, Hit, Index, Query};

use crate::corpora::{CorpusReference, read_references};
use crate::{TrainError, TrainProgress};

/// References with their embeddings. Memory: the tokens, the text, and `4 * dim` bytes for each.
pub(crate) struct References {
    pub items: Vec<CorpusReference>,
    /// Unit vectors, one after the other.
    embeddings: Vec<f32>,
    dim: usize,
}

/// Texts embedded in one call.
const EMBEDDING_BATCH: usize = 512;

impl References {
    /// Cuts corpora into references and embeds them. The folder `cache` keeps the embeddings for when the run is resumed.
    pub fn read(
        model: &Model,
        embedder: &Embedder,
        corpora: &[PathBuf],
        cache: &Path,
        progress: &dyn TrainProgress,
    ) -> Result<Self, TrainError> {
        let items = read_references(model, corpora)?;
        let texts: Vec<_> = items.iter().map(|r| r.text.as_str()).collect();
        let embeddings = embeddings("embedding references", EmbedAs::Passage, &texts, embedder, cache, progress)?;
        Ok(Self { items, embeddings, dim: embedder.dim() })
    }

    /// Indices of the references of each document.
    pub fn by_document(&self) -> BTreeMap<&str, Vec<usize>> {
        let mut map: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, reference) in self.items.iter().enumerate() {
            map.entry(&reference.document).or_default().push(index);
        }
        map
    }

    /// The cosine similarity of a reference to a query, which is a unit vector.
    pub fn similarity(&self, query: &[f32], reference: usize) -> f32 {
        let own = &self.embeddings[reference * self.dim..(reference + 1) * self.dim];
        mempack_numeric::lane_sums(own, query).iter().sum()
    }

    /// What a question reads of `near`, the nearest references with their similarities, the most similar first: at most `count`, as many as
    /// their similarities justify. `gold`, the one that answers it, is always among them.
    pub fn with_gold(
        &self,
        model: &Model,
        query: &[f32],
        near: impl Iterator<Item = (usize, f32)>,
        gold: Option<usize>,
        count: usize,
    ) -> Vec<(usize, f32)> {
        let mut near: Vec<(usize, f32)> = near.take(count).collect();
        near.truncate(model.memory().justified(near.iter().map(|(_, similarity)| *similarity)));
        if let Some(gold) = gold.filter(|gold| near.iter().all(|(reference, _)| reference != gold)) {
            near.truncate(count.saturating_sub(1));
            near.push((gold, self.similarity(query, gold)));
        }
        near
    }

    /// The `max` references nearest to a query, most similar first; of equally similar ones, the first in the corpus. An exact scan.
    pub fn nearest(&self, query: &[f32], max: usize) -> Vec<Hit<usize>> {
        let hits = (0..self.items.len()).map(|reference| Hit { reference, similarity: self.similarity(query, reference) });
        let mut hits: Vec<_> = hits.collect();
        let order = |a: &Hit<usize>, b: &Hit<usize>| b.similarity.total_cmp(&a.similarity).then(a.reference.cmp(&b.reference));
        if max < hits.len() {
            hits.select_nth_unstable_by(max, order);
            hits.truncate(max);
        }
        hits.sort_by(order);
        hits
    }
}

/// The references that the sequences of a batch read, each of which is written once.
#[derive(Default)]
pub(crate) struct Pool(Vec<usize>);

impl Pool {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn contains(&self, reference: usize) -> bool {
        self.0.contains(&reference)
    }

    /// The place of a reference in the batch. It is added if it is not in the pool yet.
    pub fn place(&mut self, reference: usize) -> usize {
        self.0.iter().position(|known| *known == reference).unwrap_or_else(|| {
            self.0.push(reference);
            self.0.len() - 1
        })
    }

    /// The token ids of the references, in the order of their places.
    pub fn ids(&self, items: &[CorpusReference]) -> Vec<Vec<u32>> {
        self.0.iter().filter_map(|reference| Some(items.get(*reference)?.ids.clone())).collect()
    }
}

/// References are named by their index in [`items`](References::items).
impl Index for &References {
    type Reference = usize;
    type Error = TrainError;

    fn nearest(&self, _: &Query<'_>, vector: &[f32], max: usize) -> Result<Vec<Hit<usize>>, TrainError> {
        Ok(References::nearest(self, vector, max))
    }
}

/// Refuses references that repeat the query's context (arXiv 2407.01178, equation 6): they would give its text away.
pub(crate) struct RepeatFilter<'a> {
    pub model: &'a Model,
    pub references: &'a References,
    /// The maximum [overlap](mempack_model::overlap) with the context, a share.
    pub max_overlap: f64,
}

impl Filter<usize> for RepeatFilter<'_> {
    type Error = ComputeError;

    fn admits(&self, query: &Query<'_>, hit: &Hit<usize>) -> Result<bool, ComputeError> {
        let ids = self.model.tokenizer().encode_plain(&self.references.items[hit.reference].text)?;
        Ok(!overlaps(query.context, &ids, self.max_overlap))
    }

    fn spare(&self) -> usize {
        // For most chunks, one of the four nearest references is admitted.
        3
    }
}

/// Embeddings of texts as unit vectors, one after the other. They come from the folder `cache` if it holds those of this embedder and these
/// texts, and are kept there otherwise. `what` names the work for `progress`.
pub(crate) fn embeddings(
    what: &str,
    embed_as: EmbedAs,
    texts: &[&str],
    embedder: &Embedder,
    cache: &Path,
    progress: &dyn TrainProgress,
) -> Result<Vec<f32>, TrainError> {
    let mut digest = blake3::Hasher::new();
    digest.update(&embedder.identity().digest.0);
    // Nothing for an embedder without prompts, whose vectors do not depend on it.
    digest.update(embedder.prompt(embed_as).as_bytes());
    for text in texts {
        digest.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
    }
    let digest = digest.finalize();
    let path = cache.join(format!("embeddings-{}.f32", &digest.to_hex()[..16]));
    let size = texts.len() * embedder.dim();
    // The file begins with the whole digest. A file of other texts, or one cut short, is replaced.
    if let Ok(bytes) = std::fs::read(&path)
        && let Some((head, floats)) = bytes.split_at_checked(digest.as_bytes().len())
        && head == digest.as_bytes()
        && floats.len() == 4 * size
    {
        return Ok(floats.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect());
    }
    // Texts of similar length go together: the embedder then makes fewer and larger products.
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_by_key(|text| texts[*text].len());
    let mut all = vec![0.0; size];
    progress.begin(what, Some(texts.len() as u64));
    for part in order.chunks(EMBEDDING_BATCH) {
        let rows = embedder.embed(embed_as, &part.iter().map(|text| texts[*text]).collect::<Vec<_>>())?;
        for (text, row) in part.iter().zip(rows.chunks_exact(embedder.dim())) {
            all[text * embedder.dim()..][..row.len()].copy_from_slice(row);
        }
        progress.advance(part.len() as u64);
    }
    let mut bytes = digest.as_bytes().to_vec();
    bytes.extend(all.iter().flat_map(|x: &f32| x.to_le_bytes()));
    let part = path.with_extension("part");
    std::fs::write(&part, bytes).and_then(|()| std::fs::rename(&part, &path)).map_err(TrainError::io(&path))?;
    Ok(all)
}

#[cfg(test)]
mod tests {
    use mempack_model::{LoadOptions, Precision};

    use super::*;
    use crate::NoProgress;

    /// Texts that are queries and passages must not get each other's vectors from the folder that keeps them.
    #[test]
    fn vectors_of_queries_and_passages_are_kept_apart() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let source = std::env::var_os("MEMPACK_EMBEDDER").map_or_else(|| root.join("models/all-MiniLM-L6-v2"), PathBuf::from);
        let source = source.canonicalize().expect("the embedder is in place; `make` puts it there");
        let folder = tempfile::tempdir().unwrap();
        for file in ["config.json", "tokenizer.json", "model.safetensors"] {
            std::os::unix::fs::symlink(source.join(file), folder.path().join(file)).unwrap();
        }
        let prompts = r#"{"prompts": {"query": "query: ", "passage": "passage: "}}"#;
        std::fs::write(folder.path().join("config_sentence_transformers.json"), prompts).unwrap();
        let embedder = Embedder::load(folder.path(), &LoadOptions { precision: Precision::F32, ..LoadOptions::default() }).unwrap();
        let texts = ["The rent is due on the first.", "A lease ends with notice."];
        // Each once computed, and once from the folder.
        for embed_as in [EmbedAs::Query, EmbedAs::Passage, EmbedAs::Query, EmbedAs::Passage] {
            let found = embeddings("embedding", embed_as, &texts, &embedder, folder.path(), &NoProgress).unwrap();
            let expected = embedder.embed(embed_as, &texts).unwrap();
            assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5), "{embed_as:?}");
            assert_eq!(found.len(), expected.len());
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().flatten().filter(|e| e.path().extension() == Some("f32".as_ref())).count(), 2);
    }
}
