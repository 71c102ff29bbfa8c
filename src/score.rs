//! How an answer is compared with the accepted ones.

/// Whether the answer is one of the accepted ones, after the normalisation of SQuAD (arXiv 1606.05250, section 6.1):
/// lower case, no punctuation, no articles, single spaces.
pub fn exact_match(answer: &str, accepted: &[String]) -> bool {
    let answer = normalise(answer);
    accepted.iter().any(|a| normalise(a) == answer)
}

fn normalise(text: &str) -> String {
    let lower = text.to_lowercase();
    let kept: String = lower.chars().filter(|c| !c.is_ascii_punctuation()).collect();
    let words: Vec<_> = kept.split_whitespace().filter(|word| !matches!(*word, "a" | "an" | "the")).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_punctuation_and_articles_do_not_count() {
        let accepted = ["the Corn Exchange".to_owned(), "40 mg".to_owned()];
        assert!(exact_match("Corn exchange.", &accepted));
        assert!(exact_match(" 40  mg.", &accepted));
        assert!(!exact_match("40 mg daily.", &accepted));
        assert!(!exact_match("", &accepted));
    }
}
