//! Packs that mean harm: no text of theirs becomes markup, and none ends the program.

mod common;

use std::fs;

use common::{Words, all, elements, inside, nodes, page, skeleton, text};
use mempack_format::Digest;
use mempack_hostile::{Plan, Random, script, seeds};
use mempack_report::{ReportOptions, report};
use mempack_runtime::MappedPack;
use proptest::prelude::*;

const EVIL: &str = "</p></bdi></style><script>alert(1)</script><img src=x onerror=alert(1)>\" onmouseover=\"x' &lt;!-- ]]>";

fn words<'a>(evil: &'a str, file: &'a str, references: &'a [(&'a str, u16)]) -> Words<'a> {
    Words {
        file,
        model: evil,
        template: "{text}",
        tokenizer: Digest::of(b"none"),
        document: [evil, evil, evil],
        field: [evil, evil],
        references,
    }
}

/// What a page shows of a text.
fn shown(text: &str) -> String {
    let is_obeyed = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || ['\u{2028}', '\u{2029}'].contains(&c)
            || ('\u{202a}'..='\u{202e}').contains(&c)
            || ('\u{2066}'..='\u{2069}').contains(&c)
    };
    let text = text.replace("\r\n", "\n");
    text.chars().map(|c| if is_obeyed(c) { c.escape_default().to_string() } else { c.to_string() }).collect()
}

#[test]
fn markup_in_every_text_is_shown_and_not_obeyed() {
    let folder = tempfile::tempdir().unwrap();
    let file = "a<script>alert(1)<b onload=x>&amp;\"'";
    let evil = words(EVIL, file, &[(EVIL, 9), ("<script>", 3)]).write(folder.path());
    let benign = words("benign", "file", &[("one", 9), ("two", 3)]).write(folder.path());
    let (evil, benign) = (page(&evil, &all()), page(&benign, &all()));
    assert_eq!(skeleton(&evil), skeleton(&benign));
    assert!(!evil.contains("<script") && !evil.contains("<img"));
    let nodes = nodes(&evil);
    assert_eq!(text(elements(inside(&nodes, "reference-0"), "p", Some("words"))[0]), shown(EVIL));
    assert!(text(elements(&nodes, "title", None)[0]).starts_with(file));
    assert!(text(inside(&nodes, "identity")).contains(EVIL) && text(inside(&nodes, "metadata")).contains(EVIL));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_text_changes_the_elements_of_a_page(
        // Names are stored once, so an empty one would be left out of the page.
        name in r#"[<>&"'a-z/=\-!\[\]\x00-\x1f\u{202e}\u{2028}é法]{1,40}"#,
        one in r#"[<>&"'a-z/= \r\n\t\x00-\x1f\u{202e}é法]{1,80}"#,
        two in "\\PC{1,60}",
    ) {
        let folder = tempfile::tempdir().unwrap();
        let evil = words(&name, "evil", &[(&one, 9), (&two, 3)]).write(folder.path());
        let benign = words("benign", "benign", &[("one", 9), ("two", 3)]).write(folder.path());
        let evil = page(&evil, &all());
        prop_assert_eq!(skeleton(&evil), skeleton(&page(&benign, &all())));
        let nodes = nodes(&evil);
        for (id, expected) in [("reference-0", &one), ("reference-1", &two)] {
            prop_assert_eq!(text(elements(inside(&nodes, id), "p", Some("words"))[0]), shown(expected));
        }
    }
}

#[test]
fn a_long_text_is_cut_and_said_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let long = "é<b>".repeat(100_000);
    let title = "t".repeat(500_000);
    let mut words = words("model", "long", &[]);
    let references = [(long.as_str(), 9)];
    words.references = &references;
    words.document = ["id", &title, "source"];
    let page = page(&words.write(folder.path()), &all());
    assert!(page.len() < 100_000, "{}", page.len());
    assert!(text(elements(inside(&nodes(&page), "reference-0"), "p", Some("words"))[0]).ends_with(" more"));
}

#[test]
fn a_pack_without_references_has_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let page = page(&words("model", "empty", &[]).write(folder.path()), &all());
    assert!(text(inside(&nodes(&page), "references")).contains("none to show"));
}

#[test]
fn packs_of_every_form_have_a_page_that_is_well_formed() {
    let folder = tempfile::tempdir().unwrap();
    let options = ReportOptions { references: 7, neighbours: 3, ..ReportOptions::default() };
    for (number, plan) in [Plan::wide(), Plan::large(), Plan::ragged(mempack_format::CodecSpec::BF16)].into_iter().enumerate() {
        let path = folder.path().join(format!("{number}.mpk"));
        plan.write(&path).unwrap();
        let page = page(&path, &options);
        assert_eq!(elements(inside(&nodes(&page), "references"), "article", None).len(), 7);
        let by_graph = page.contains("that the search graph finds");
        assert_eq!(by_graph, plan.references > mempack_runtime::EXACT_UP_TO);
    }
}

#[test]
fn any_bytes_give_a_page_or_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("any.mpk");
    let seeds = seeds::of_packs();
    let mut random = Random::new(21);
    let mut pages = 0;
    for run in 0..600 {
        let mut input = seeds[random.below(seeds.len() as u64) as usize].clone();
        for _ in 0..=random.below(3) {
            random.mutate(&mut input);
        }
        let _ = fs::remove_file(&path);
        fs::write(&path, script::file(&input)).unwrap();
        let Ok(pack) = MappedPack::open(&path) else { continue };
        match report(&pack, &ReportOptions { references: 6, ..ReportOptions::default() }) {
            Ok(page) => {
                pages += 1;
                assert!(nodes(&page).len() > 100, "run {run}");
            }
            Err(error) => assert!(error.is_damage() && error.to_string().contains("section"), "run {run}: {error}"),
        }
    }
    assert!(pages > 20, "{pages}");
}
