//! References of a corpus, and which of them are near a question.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mempack_corpus::{CorpusItem, Documents, Input, Segmenter, reference_text};
use mempack_model::{Embedder, Model};

use crate::{Progress, TrainError};

/// References held in memory with their embeddings: the tokens, the text, and `4 * dim` bytes each.
pub(crate) struct References {
    pub items: Vec<Reference>,
    /// Unit vectors, one after the other.
    embeddings: Vec<f32>,
    dim: usize,
}

pub(crate) struct Reference {
    /// The document's id.
    pub document: String,
    /// What model and embedder read of it.
    pub text: String,
    pub ids: Vec<u32>,
}

/// Texts that are embedded at a time.
const BATCH: usize = 512;

impl References {
    /// Cuts and embeds corpora. Embeddings are kept in the folder `cache`, for when the run goes on.
    pub fn read(
        model: &Model,
        embedder: &Embedder,
        corpora: &[PathBuf],
        cache: &Path,
        progress: &dyn Progress,
    ) -> Result<Self, TrainError> {
        let inputs: Vec<_> = corpora.iter().cloned().map(Input::Path).collect();
        let mut items = Vec::new();
        let segmenter = Segmenter::new(model)?;
        for item in Documents::new(&inputs, std::io::stdin()) {
            let CorpusItem::Document(document) = item? else { continue };
            let Some(passages) = segmenter.cut(document)? else { continue };
            let document = passages.metadata().id.clone();
            for passage in passages {
                let passage = passage?;
                let text = reference_text(&passage.lead, &passage.text).into_owned();
                items.push(Reference { document: document.clone(), text, ids: passage.ids });
            }
        }
        let texts: Vec<_> = items.iter().map(|r| r.text.as_str()).collect();
        let embeddings = embeddings("embedding references", &texts, embedder, cache, progress)?;
        Ok(Self { items, embeddings, dim: embedder.dim() })
    }

    /// References by document.
    pub fn by_document(&self) -> BTreeMap<&str, Vec<usize>> {
        let mut map: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (number, reference) in self.items.iter().enumerate() {
            map.entry(&reference.document).or_default().push(number);
        }
        map
    }

    /// The similarity of a reference to a query's unit vector.
    pub fn similarity(&self, query: &[f32], reference: usize) -> f32 {
        let own = &self.embeddings[reference * self.dim..(reference + 1) * self.dim];
        mempack_numeric::lane_sums(own, query).iter().sum()
    }

    /// The `count` references nearest to a query, nearest first; of equally near ones the first.
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

/// Embeddings of texts, from the cache if it has those of this embedder and these texts.
pub(crate) fn embeddings(
    what: &str,
    texts: &[&str],
    embedder: &Embedder,
    cache: &Path,
    progress: &dyn Progress,
) -> Result<Vec<f32>, TrainError> {
    let mut digest = blake3::Hasher::new();
    digest.update(&embedder.identity().digest.0);
    for text in texts {
        digest.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
    }
    let digest = digest.finalize();
    let path = cache.join(format!("embeddings-{}.f32", &digest.to_hex()[..16]));
    let size = texts.len() * embedder.dim();
    // The file begins with the whole digest; one that is of other texts, or cut short, is made again.
    if let Ok(bytes) = std::fs::read(&path)
        && let Some((head, floats)) = bytes.split_at_checked(digest.as_bytes().len())
        && head == digest.as_bytes()
        && floats.len() == 4 * size
    {
        return Ok(floats.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect());
    }
    // Texts of like length together: the embedder then has fewer and larger products to make.
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_by_key(|text| texts[*text].len());
    let mut all = vec![0.0; size];
    progress.begin(what, Some(texts.len() as u64));
    for part in order.chunks(BATCH) {
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
