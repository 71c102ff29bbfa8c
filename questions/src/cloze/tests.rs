use std::collections::BTreeSet;

use super::*;

fn document(title: &str, text: &str) -> CorpusDocument {
    CorpusDocument { id: "d".into(), title: title.into(), text: text.into(), ..CorpusDocument::default() }
}

fn made(title: &str, text: &str, seed: u64) -> Vec<Question> {
    Cloze::new(&ClozeOptions { per_document: 4, seed }).questions(&document(title, text))
}

const ENGLISH: &str = "The Harbour Board may refuse a licence to any vessel of foreign build. An appeal must be lodged with the clerk \
    within 45 days after the decision was delivered. In 1912 the fee was raised by Commissioner Alan Brand to $1,250 for each berth. \
    The harbourmaster keeps the register in Portmouth Tower, where anyone may read it.";
const CHINESE: &str =
    "当事人对决定不服的，可以自收到决定书之日起六十日内申请复议。人民法院应当在三个月内作出判决。违反本条规定的，处五万元罚款。";

#[test]
fn every_answer_stands_in_the_document_once_and_not_in_the_question() {
    let mut questions = BTreeSet::new();
    for seed in 0..200 {
        for (title, text, chinese) in [("Harbours", ENGLISH, false), ("", ENGLISH, false), ("复议条例", CHINESE, true)] {
            let made = made(title, text, seed);
            assert!(!made.is_empty());
            for question in made {
                let [answer] = &question.answers[..] else { panic!("{question:?}") };
                assert!(occurs_once(text, answer, chinese), "{question:?}");
                assert!(!question.question.contains(answer.as_str()), "{question:?}");
                assert_eq!(question.gold_ids, ["d"]);
                questions.insert(question.question);
            }
        }
    }
    for expected in [
        "An appeal must be lodged with the clerk within how many days after the decision was delivered?",
        "Who or what may refuse a licence to any vessel of foreign build?",
        "根据《复议条例》，当事人对决定不服的，可以自收到决定书之日起多少日内申请复议？",
        "根据《复议条例》，哪个机关或者组织应当在三个月内作出判决？",
    ] {
        assert!(questions.contains(expected), "{expected}\n{questions:#?}");
    }
    assert!(questions.len() > 150, "{}", questions.len());
}

#[test]
fn the_same_seed_gives_the_same_questions() {
    assert_eq!(made("Harbours", ENGLISH, 3), made("Harbours", ENGLISH, 3));
    assert_ne!(made("Harbours", ENGLISH, 3), made("Harbours", ENGLISH, 4));
}

#[test]
fn what_cannot_be_asked_without_doubt_is_not_asked() {
    assert!(made("", "", 1).is_empty());
    assert!(made("", "It is so and it will be so, as it was and had to be.", 1).is_empty());
    // The number occurs twice.
    assert!(made("", "It may be kept for 12 days and not for 12 days or as of now.", 1).is_empty());
    // The name is the title.
    assert!(made("Portmouth", "We all went down to see the new Portmouth on a day in May.", 1).is_empty());
}

proptest::proptest! {
    #[test]
    fn any_text_is_borne(text in "([a-zA-Z0-9 .,()\"$%中国三十日。《》“”第条\n]{0,300})", seed in 0u64..9) {
        for question in made("t", &text, seed) {
            for answer in question.answers {
                proptest::prop_assert!(text.contains(&answer));
            }
        }
    }
}
