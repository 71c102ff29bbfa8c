//! References of corpora with their embeddings, and the search for those nearest to a query.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mempack_model::{Embedder, Model};

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
        let embeddings = embeddings("embedding references", &texts, embedder, cache, progress)?;
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
        // Sixteen sums fit in one vector register; a single one would add the products one after the other.
        let mut sums = [0.0f32; 16];
        for (own, query) in own.chunks(sums.len()).zip(query.chunks(sums.len())) {
            sums.iter_mut().zip(own.iter().zip(query)).for_each(|(sum, (a, b))| *sum += a * b);
        }
        sums.iter().sum()
    }

    /// The `count` references nearest to a query with their similarities, nearest first; of equally near ones, the first in the corpus.
    pub fn nearest(&self, query: &[f32], count: usize) -> Vec<(usize, f32)> {
        let mut all: Vec<_> = (0..self.items.len()).map(|r| (r, self.similarity(query, r))).collect();
        let order = |a: &(usize, f32), b: &(usize, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if count < all.len() {
            all.select_nth_unstable_by(count, order);
            all.truncate(count);
        }
        all.sort_by(order);
        all
    }
}

/// Embeddings of texts as unit vectors, one after the other. They come from the folder `cache` if it holds those of this embedder and these
/// texts, and are kept there otherwise. `what` names the work for `progress`.
pub(crate) fn embeddings(
    what: &str,
    texts: &[&str],
    embedder: &Embedder,
    cache: &Path,
    progress: &dyn TrainProgress,
) -> Result<Vec<f32>, TrainError> {
    let mut digest = blake3::Hasher::new();
    digest.update(&embedder.identity().digest.0);
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
        let rows = embedder.embed(&part.iter().map(|text| texts[*text]).collect::<Vec<_>>())?;
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
