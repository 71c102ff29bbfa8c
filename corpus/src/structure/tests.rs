use super::*;

/// The lines above a part of a text that begins with `from`, as they stand in the outline, and `|` before each place that is bound.
fn above(text: &str, from: &str) -> Vec<String> {
    let outline = Scanner::default().scan(text);
    let at = text.find(from).unwrap_or_else(|| panic!("{from} is not in the text"));
    let chain = outline.chain_at(at).map(|chain| outline.chains()[chain].iter().map(|above| above.text.clone()).collect());
    chain.unwrap_or_default()
}

#[test]
fn lines_know_what_is_above_them() {
    let table = "# Zelmarin\n\n## Doses\n\nTable 1: oral doses\n\n| Patient | Dose |\n|---|---|\n| Adult | 500 mg |\n| Child | 125 mg, with food |\n\nKeep dry.";
    let nested =
        "The insurer pays:\n\n- for cars:\n  - 10 tallen a day\n  - 20 tallen a night\n- for ships 5 tallen\n\nNothing else is paid.";
    let statute = "(a) Scope. This section holds for all.\n(b) Small group market:\n(1) The ratio is—\n(i) 80 percent in towns;\n(ii) 75 percent elsewhere.\n\
                   (2) The ratio is reported.\n(c) Large group market: 85 percent. It is reported yearly.";
    let chinese =
        "第二章 期限\n第十条 有下列情形之一的，期限为三十日：\n（一）货物受损；\n（二）货物迟到。\n第十一条 其他情形的期限为十日。";
    let many = "Fees\n1. Entry\n   1. Adults 5\n   2. Children 2\n2. Guides 9";
    let cases: Vec<(&str, &str, Vec<&str>)> = vec![
        (table, "## Doses", vec!["Zelmarin"]),
        (table, "| Adult", vec!["Zelmarin", "Doses", "Table 1: oral doses", "| Patient | Dose |"]),
        (table, "125 mg", vec!["Zelmarin", "Doses", "Table 1: oral doses", "| Patient | Dose |", "| Child |"]),
        (table, "Keep", vec!["Zelmarin", "Doses"]),
        (nested, "- for cars", vec!["The insurer pays:"]),
        (nested, "- 20", vec!["The insurer pays:", "- for cars:"]),
        (nested, "- for ships", vec!["The insurer pays:"]),
        (nested, "Nothing", vec![]),
        (statute, "(b)", vec![]),
        (statute, "(ii)", vec!["(b) Small group market:", "(1) The ratio is—"]),
        (statute, "(2)", vec!["(b) Small group market:"]),
        (statute, "It is reported", vec!["(c) Large group market:"]),
        (chinese, "（二）", vec!["第二章 期限", "第十条 有下列情形之一的，期限为三十日："]),
        (chinese, "第十一条", vec!["第二章 期限"]),
        (many, "2. Children", vec!["Fees", "1. Entry"]),
        (many, "2. Guides", vec!["Fees"]),
        ("a | b | c\n1 | 2 | 3\n4 | 5 | 6", "4", vec!["a | b | c"]),
        ("name\tdose\tunit\nA\t1\tmg\nB\t2\tmg", "B", vec!["name\tdose\tunit"]),
        ("+---+---+\n| a | b |\n+---+---+\n| 1 | 2 |\n| 3 | 4 |", "| 3", vec!["| a | b |"]),
        ("Doses\n-----\nFive a day.", "Five", vec!["Doses"]),
        ("(b) (1) A fee is due.\n(2) It is small.\n(c) End.", "(2)", vec!["(b)"]),
        ("(a) One.\n\n(b) Two. More.\n\n(c) Three.", "More", vec!["(b) Two."]),
        (
            "(b) Fees: (1) the first fee; (2) the second one, which is small; and (3) none.",
            "which",
            vec!["(b) Fees:", "(2) the second one, which is small;"],
        ),
        ("(b) Fees: (1) the first fee; (2) the second one; and (3) none.", "(3)", vec!["(b) Fees:"]),
        ("(b) As paragraphs (a), (b) and (c) say, it holds. More.", "More", vec!["(b) As paragraphs (a), (b) and (c) say,"]),
        ("第一条 为了保护公民，制定本法。第二条 国家负责。任何人不得侵犯。", "任何", vec!["第二条 国家负责。"]),
        ("第一条 为了保护公民，制定本法。第二条 国家负责。", "第二条", vec![]),
        ("(g) x y z\n(h) x y z\n(i) x y z\n(j) x y z", "(j)", vec![]),
        ("- a:\n* b, which is long", "b,", vec!["* b, which is long"]),
        ("Rules:\n- a child\n- an adult\nThe tenant pays.", "The tenant", vec![]),
        ("```\n# no heading\n- no item\n```\nWords.", "Words", vec![]),
        ("Prose of a page. It was the\n12. of May, as I\nremember. A | B.", "remember", vec![]),
        ("Section 4 of the Act holds. More of it.", "More", vec![]),
        ("Article 5. The tenant pays. He pays at once.", "He", vec!["Article 5. The tenant pays."]),
    ];
    for (text, from, expected) in cases {
        assert_eq!(above(text, from), expected, "{from} in {text}");
    }
}

#[test]
fn what_belongs_together_is_bound() {
    let text = "# Doses\n\nGive:\n- one\n\n| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n";
    let outline = Scanner::default().scan(text);
    let bond = |from: &str, further: usize| outline.bonds([text.find(from).unwrap() + further].into_iter())[0];
    assert_eq!(bond("Give", 0), Bond::Lead);
    assert_eq!(bond("- one", 0), Bond::Lead);
    assert_eq!(bond("|---", 0), Bond::Row);
    assert_eq!(bond("| 1", 0), Bond::Row);
    assert_eq!(bond("| 3", 0), Bond::None);
    assert_eq!(bond("| 3", 4), Bond::Row);
}

#[test]
fn structure_goes_on_in_the_next_block() {
    let mut scanner = Scanner::default();
    scanner.scan("## Fees\n\n| Ship | Fee |\n|---|---|\n| Brig | 5 |\n");
    let outline = scanner.scan("| Sloop | 7 |\n| Bar");
    let chain =
        |outline: &Outline, at| outline.chains()[outline.chain_at(at).unwrap()].iter().map(|above| above.text.clone()).collect::<Vec<_>>();
    assert_eq!(chain(&outline, 0), ["Fees", "| Ship | Fee |"]);
    let outline = scanner.scan("que | 9 |\n| Raft | 1 |\n");
    assert_eq!(chain(&outline, 0), ["Fees", "| Ship | Fee |"]);
    assert_eq!(chain(&outline, 10), ["Fees", "| Ship | Fee |"]);
}

#[test]
fn a_line_of_marks_is_scanned_in_linear_time() {
    for part in ["(", "(a),", "(a) b; ", "第一条", "|", "- ", "`"] {
        let text = part.repeat((64 << 10) / part.len());
        let begin = std::time::Instant::now();
        Scanner::default().scan(&text);
        assert!(begin.elapsed().as_secs() < 5, "{part}: {:?}", begin.elapsed());
    }
}
