//! The score of a text for a query (Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009, equation 3.15).

/// The parameters of the score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bm25 {
    /// How soon repetitions of a term stop counting.
    pub k1: f32,
    /// How much longer texts are held back, 0 to 1.
    pub b: f32,
}

impl Default for Bm25 {
    fn default() -> Self {
        Self { k1: 1.2, b: 0.75 }
    }
}

/// What the score needs to know of all texts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Corpus {
    /// Texts.
    pub texts: u32,
    /// The mean number of terms of a text.
    pub mean_length: f32,
}

impl Bm25 {
    /// How much a term weighs that `having` of the texts have. Never below 0: a term that more than half of the texts have counts little, and
    /// not against a text.
    pub fn weight(&self, corpus: &Corpus, having: u32) -> f32 {
        let (texts, having) = (f64::from(corpus.texts), f64::from(having));
        (1.0 + (texts - having + 0.5).max(0.0) / (having + 0.5)).ln() as f32
    }

    /// What a term of this weight adds to the score of a text of `length` terms that has it `count` times.
    pub fn score(&self, corpus: &Corpus, weight: f32, count: u32, length: u32) -> f32 {
        let relative = if corpus.mean_length > 0.0 { length as f32 / corpus.mean_length } else { 1.0 };
        let count = count as f32;
        weight * count * (self.k1 + 1.0) / (count + self.k1 * (1.0 - self.b + self.b * relative))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_those_of_the_formula() {
        let (bm25, corpus) = (Bm25::default(), Corpus { texts: 1000, mean_length: 40.0 });
        // ln(1 + 990.5 / 10.5), worked out by hand.
        let weight = bm25.weight(&corpus, 10);
        assert!((weight - 4.557_38).abs() < 1e-4, "{weight}");
        // 2 * 2.2 / (2 + 1.2 * (0.25 + 0.75 * 0.5)) = 4.4 / 2.75 = 1.6.
        assert!((bm25.score(&corpus, weight, 2, 20) / weight - 1.6).abs() < 1e-6);
        assert!(bm25.weight(&corpus, 1000) > 0.0 && bm25.weight(&corpus, 2000) >= 0.0);
    }

    #[test]
    fn rare_terms_repetitions_and_short_texts_count_more() {
        let (bm25, corpus) = (Bm25::default(), Corpus { texts: 100, mean_length: 10.0 });
        assert!((1..100).all(|having| bm25.weight(&corpus, having) > bm25.weight(&corpus, having + 1)));
        let score = |count, length| bm25.score(&corpus, 1.0, count, length);
        assert!(score(2, 10) > score(1, 10) && score(1, 5) > score(1, 10) && score(1000, 10) < 2.2);
        let empty = Corpus { texts: 0, mean_length: 0.0 };
        assert!(bm25.score(&empty, bm25.weight(&empty, 0), 1, 1).is_finite());
    }
}
