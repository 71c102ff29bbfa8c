//! What a page says is what the pack holds: sizes, kept tokens, nearest references, links.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::ControlFlow;

use common::{GOLDEN, Node, all, attribute, elements, golden, inside, nodes, number, page, rows, text, with_bytes};
use mempack_format::{PrivateKey, sign_file};
use mempack_report::{ReportOptions, report};
use mempack_runtime::{MappedPack, MemoryCache};

#[test]
fn the_sizes_of_all_sections_add_up_to_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut files: Vec<_> = GOLDEN.map(golden).into();
    let signed = folder.path().join("signed.mpk");
    sign(&golden("v1.5.mpk"), &signed);
    files.push(signed);
    for path in files {
        let pack = MappedPack::open(&path).unwrap();
        let nodes = nodes(&page(&path, &ReportOptions::default()));
        let rows = rows(inside(&nodes, "sizes"));
        let sizes: BTreeMap<&str, u64> = rows.iter().map(|row| (row[0].as_str(), number(&row[2]))).collect();
        assert_eq!(sizes.len(), rows.len(), "every part once");
        for section in pack.sections() {
            assert_eq!(sizes.get(section.tag.to_string().as_str()), Some(&section.length), "{}: {}", path.display(), section.tag);
        }
        let file = fs::metadata(&path).unwrap().len();
        assert_eq!(sizes["File"], file);
        assert_eq!(sizes.values().sum::<u64>(), 2 * file, "the parts add up to the file");
        let percent: f64 = rows.iter().map(|row| row[3].trim_end_matches('%').parse::<f64>().unwrap()).sum();
        assert!((percent - 200.0).abs() < 0.05 * rows.len() as f64, "{percent}");
    }
}

/// A signed copy.
fn sign(from: &std::path::Path, to: &std::path::Path) {
    sign_file(from, &PrivateKey::from_bytes(&[7; 32]), to, &mut |_, _| ControlFlow::Continue(())).unwrap();
}

#[test]
fn kept_tokens_are_those_of_the_decoded_memory() {
    for name in GOLDEN {
        let path = golden(name);
        let pack = MappedPack::open(&path).unwrap();
        let model = &pack.manifest().model;
        let nodes = nodes(&page(&path, &all()));
        let cache = MemoryCache::default();
        assert_eq!(elements(&nodes, "article", None).len(), pack.manifest().counts.references as usize);
        for reference in 0..pack.manifest().counts.references {
            let memory = cache.get(&pack, reference).unwrap();
            let article = inside(&nodes, &format!("reference-{reference}"));
            let table = rows(elements(article, "details", None)[0]);
            let mut counts = BTreeMap::<usize, usize>::new();
            for (layer, row) in table.iter().enumerate() {
                assert_eq!(row[0], (model.first_memory_layer as usize + layer).to_string());
                for (head, cell) in row[1..].iter().enumerate() {
                    let listed: Vec<usize> = cell.split_whitespace().map(|position| position.parse().unwrap()).collect();
                    // The slots by the format's definition: layer by layer, head by head, 255 where a slot is empty.
                    let slots = memory.shape.slots_of(layer * model.shape.heads as usize + head);
                    let stored = memory.positions[slots].iter().filter(|position| **position != 255).map(|position| usize::from(*position));
                    assert_eq!(listed, stored.collect::<Vec<_>>(), "{name}: reference {reference}, layer {layer}, head {head}");
                    listed.iter().for_each(|position| *counts.entry(*position).or_default() += 1);
                }
            }
            assert_eq!(table.len(), model.shape.layers as usize);
            let cells = elements(elements(article, "p", Some("cells"))[0], "span", Some("token"));
            assert!(cells.len() >= usize::from(pack.reference(reference).unwrap().tokens));
            for (token, cell) in cells.iter().enumerate() {
                let count = counts.get(&token).copied().unwrap_or_default();
                let title = attribute(cell, "title");
                assert!(title.starts_with(&format!("token {token}: kept by ")), "{title}");
                let said = title.split_whitespace().nth(4).unwrap();
                assert_eq!(said, if count == 0 { "no".to_owned() } else { count.to_string() }, "{name}: {title}");
                assert_eq!(attribute(cell, "class").ends_with("k0"), count == 0, "{title}");
                assert_eq!(text(cell), token.to_string());
            }
            assert!(counts.keys().all(|token| *token < cells.len()), "every kept token has a cell");
        }
    }
}

#[test]
fn the_budget_is_the_shapes() {
    let nodes = nodes(&page(&golden("v1.2-budget.mpk"), &ReportOptions::default()));
    assert_eq!(rows(inside(&nodes, "budget")), [["1", "3", "0", "3"], ["2", "1", "7", "8"]]);
    let nodes = self::nodes(&page(&golden("v1.0.mpk"), &ReportOptions::default()));
    assert_eq!(rows(inside(&nodes, "budget")), [["1", "4", "4", "8"], ["2", "4", "4", "8"]]);
}

#[test]
fn the_loss_is_what_the_pack_records() {
    let path = golden("v1.1.mpk");
    let nodes = nodes(&page(&path, &ReportOptions::default()));
    let losses = rows(inside(&nodes, "codec"));
    let quality = MappedPack::open(&path).unwrap().quality().unwrap().clone();
    assert_eq!(losses.len(), quality.layers.len());
    for ((row, loss), layer) in losses.iter().zip(&quality.layers).zip(1..) {
        assert_eq!([&row[0], &row[1], &row[3]], [&layer.to_string(), &format!("{:.6}", loss.keys), &format!("{:.6}", loss.values)]);
    }
    let said = text(inside(&nodes, "codec"));
    assert!(said.contains("300 memories") && said.contains("0.0312 nats a token"), "{said}");
    let without = self::nodes(&page(&golden("v1.0.mpk"), &ReportOptions::default()));
    assert!(text(inside(&without, "codec")).contains("records no loss"));
}

#[test]
fn nearest_references_are_those_of_all_cosines() {
    let path = golden("v1.5.mpk");
    let pack = MappedPack::open(&path).unwrap();
    let vector = |reference| -> Vec<f64> { pack.embedding(reference).unwrap().iter().map(|x| f64::from(x.get())).collect() };
    let nodes = nodes(&page(&path, &ReportOptions { references: 6, neighbours: 4, ..ReportOptions::default() }));
    let shown: BTreeSet<String> = ids(&nodes).into_iter().collect();
    let sample = elements(inside(&nodes, "references"), "article", None);
    assert_eq!(sample.len(), 6);
    for article in sample {
        let reference: u32 = attribute(article, "id").strip_prefix("reference-").unwrap().parse().unwrap();
        let own = vector(reference);
        let cosine = |other: u32| own.iter().zip(vector(other)).map(|(a, b)| a * b).sum::<f64>();
        let mut best: Vec<f64> = (0..pack.manifest().counts.references).filter(|other| *other != reference).map(cosine).collect();
        best.sort_by(|a, b| b.total_cmp(a));
        let tables = elements(article, "table", None);
        let near = rows(tables.last().unwrap());
        assert_eq!(near.len(), 4);
        for (row, best) in near.iter().zip(best) {
            let said: f64 = row[1].parse().unwrap();
            let other: u32 = row[0].strip_prefix("Reference ").unwrap().parse().unwrap();
            assert!((said - best).abs() < 1e-4 && (cosine(other) - best).abs() < 1e-4 && other != reference, "{row:?}: {best}");
        }
    }
    for link in elements(&nodes, "a", None) {
        let target = attribute(link, "href").strip_prefix('#').expect("links stay inside the page");
        assert!(shown.contains(target), "{target} is not in the page");
    }
    assert_eq!(shown.len(), ids(&nodes).len(), "ids are unique");
}

fn ids(nodes: &[Node]) -> Vec<String> {
    let id = |node: &Node| if let Node::Open(_, attributes) = node { attributes.get("id").cloned() } else { None };
    nodes.iter().filter_map(id).collect()
}

#[test]
fn a_page_loads_nothing_and_runs_nothing() {
    let page = page(&golden("v1.5.mpk"), &all());
    for word in ["<script", "<link", "<img", "<iframe", "http://", "https://", "url(", "@import", "javascript:"] {
        assert!(!page.contains(word), "{word}");
    }
    assert!(page.contains("default-src 'none'"));
    assert_eq!(page, self::page(&golden("v1.5.mpk"), &all()), "the same pack gives the same page");
}

#[test]
fn signatures_are_named_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let signed = folder.path().join("signed.mpk");
    sign(&golden("v1.0.mpk"), &signed);
    let said = |path: &std::path::Path| text(inside(&nodes(&page(path, &ReportOptions::default())), "signatures"));
    let id = PrivateKey::from_bytes(&[7; 32]).public().id().to_string();
    assert!(said(&signed).contains(&id) && said(&signed).contains("right") && !said(&signed).contains("wrong"), "{}", said(&signed));
    let mut bytes = fs::read(&signed).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    let wrong = said(&with_bytes(folder.path(), &bytes));
    assert!(wrong.contains(&id) && wrong.contains("wrong"), "{wrong}");
    assert!(said(&golden("v1.0.mpk")).contains("Nobody"));
}

#[test]
fn damage_is_an_error_that_names_the_section_or_is_of_no_effect() {
    let folder = tempfile::tempdir().unwrap();
    let whole = fs::read(golden("v1.5.mpk")).unwrap();
    let name = |bytes: &[u8]| with_bytes(folder.path(), bytes);
    let expected = page(&name(&whole), &all());
    let sections = MappedPack::open(golden("v1.5.mpk")).unwrap().sections().to_vec();
    let mut refused = BTreeSet::new();
    for section in sections {
        let tag = section.tag.to_string();
        for at in [0, 1, section.length / 3, section.length / 2, section.length - 1] {
            let mut bytes = whole.clone();
            bytes[(section.offset + at) as usize] ^= 0x10;
            let error = match MappedPack::open(name(&bytes)) {
                Err(error) => Some((error.is_damage(), error.to_string())),
                Ok(pack) => match report(&pack, &all()) {
                    Ok(page) => {
                        assert_eq!(page, expected, "{tag} at byte {at}: another page");
                        None
                    }
                    Err(error) => Some((error.is_damage(), error.to_string())),
                },
            };
            if let Some((is_damage, said)) = error {
                // A wrong index of texts is found by the text that it leads to.
                let named = said.contains(&format!("section {tag}")) || (tag == "TEXTINDX" && said.contains("section TEXT"));
                assert!(is_damage && named && said.contains("changed.mpk"), "{tag} at byte {at}: {said}");
                refused.insert(tag.clone());
            }
        }
    }
    for tag in ["MEMORIES", "LEAVES", "EMBED", "REFS", "ORIGINS", "TEXT", "DOCINDEX", "DOCS", "CODEC", "METADATA", "QUALITY", "MANIFEST"] {
        assert!(refused.contains(tag), "damage of {tag} is not seen: {refused:?}");
    }
}

#[test]
fn text_has_contrast_in_both_themes() {
    let style = include_str!("../src/style.css");
    let colour = |name: &str, theme: usize| {
        let pair = style.split(&format!("--{name}: light-dark(")).nth(1).unwrap_or_else(|| panic!("no {name}"));
        let hex = pair.split(')').next().unwrap().split(',').nth(theme).unwrap().trim().trim_start_matches('#');
        let linear = |at: usize| {
            let value = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(0) + 0.7152 * linear(2) + 0.0722 * linear(4)
    };
    for theme in [0, 1] {
        let of_text = ["ground", "surface", "k0", "k1", "k2", "k3"].map(|ground| ("text", ground));
        let rest = [
            ("muted", "ground"),
            ("muted", "surface"),
            ("accent", "ground"),
            ("accent", "surface"),
            ("on-strong", "k4"),
            ("on-strong", "k5"),
        ];
        for (front, behind) in of_text.into_iter().chain(rest) {
            let (a, b) = (colour(front, theme), colour(behind, theme));
            let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
            assert!(contrast >= 4.5, "{front} on {behind} in theme {theme}: {contrast:.2}");
        }
        // Shades ascend or descend, so that they are told apart without colour.
        let shades: Vec<f64> = (0..6).map(|level| colour(&format!("k{level}"), theme)).collect();
        let steps: Vec<bool> = shades.windows(2).skip(1).map(|pair| pair[0] > pair[1]).collect();
        assert!(steps.iter().all(|step| *step == (theme == 0)), "{shades:?}");
    }
}
