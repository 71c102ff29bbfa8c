//! Filters beside a table of answers, and beside the interpreter of the crate `cel`.

use std::collections::BTreeMap;
use std::convert::Infallible;

use cel::{Context, Env, Value};
use mempack_filter::{Column, Expression, FieldType, FilterError, MAX_EXPRESSION_BYTES};
use mempack_format::FieldKind;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

/// A field: its type, and the texts of each document's values.
#[derive(Clone, Debug)]
struct Field {
    of: FieldType,
    /// Ascending, each once.
    values: Vec<String>,
    documents: Vec<Vec<u32>>,
}

impl Column for &Field {
    type Error = Infallible;

    fn field_type(&self) -> FieldType {
        self.of
    }

    fn values(&self) -> u32 {
        self.values.len() as u32
    }

    fn value(&self, number: u32) -> Result<&str, Infallible> {
        Ok(&self.values[number as usize])
    }

    fn of_document(&self, document: u32, numbers: &mut Vec<u32>) -> Result<(), Infallible> {
        numbers.clone_from(&self.documents[document as usize]);
        Ok(())
    }
}

type Fields = BTreeMap<String, Field>;

fn field(kind: FieldKind, list: bool, documents: &[&[&str]]) -> Field {
    let mut values: Vec<String> = documents.iter().flat_map(|values| values.iter().map(|&value| value.to_owned())).collect();
    values.sort_unstable();
    values.dedup();
    let number = |value: &&str| values.iter().position(|known| known == value).unwrap() as u32;
    let documents = documents.iter().map(|values| values.iter().map(number).collect()).collect();
    Field { of: FieldType { kind, list }, values, documents }
}

/// Six documents.
fn fields() -> Fields {
    use FieldKind::{Boolean, Date, Integer, Number, Text};
    [
        ("jurisdiction", field(Text, false, &[&["BY"], &["BY"], &["HE"], &["NW"], &[], &["Bayern"]])),
        (
            "date",
            field(Date, false, &[&["2021-01-01"], &["2019-05-31"], &["2021-01-01T00:30:00+01:00"], &[], &["2023-12-24"], &["1969-12-31"]]),
        ),
        ("pages", field(Integer, false, &[&["3"], &["12"], &["-1"], &["9007199254740993"], &[], &["0"]])),
        ("score", field(Number, false, &[&["0.5"], &["2"], &["2.0"], &["1e3"], &["-0.0"], &[]])),
        ("in_force", field(Boolean, false, &[&["true"], &["false"], &["true"], &[], &["true"], &["false"]])),
        ("tags", field(Text, true, &[&["tax", "income"], &["tax"], &[], &["rent", "tax", "rent"], &["家事"], &[""]])),
        ("years", field(Integer, true, &[&["2019", "2021"], &["2021"], &["1999"], &[], &["2024", "2025"], &["2018", "2030"]])),
        ("court.name", field(Text, false, &[&["OLG"], &["LG"], &["OLG \"X\""], &[], &[], &["a.b*"]])),
        ("court name", field(Text, false, &[&["x"], &[], &[], &[], &[], &[]])),
    ]
    .map(|(name, field)| (name.to_owned(), field))
    .into()
}

fn documents(fields: &Fields) -> u32 {
    fields.values().next().map_or(0, |field| field.documents.len() as u32)
}

fn admitted(fields: &Fields, expression: &Expression) -> Result<Vec<usize>, FilterError> {
    let names: Vec<String> = fields.keys().cloned().collect();
    expression.check_names(&names)?;
    let checked = expression.check(|name| fields.get(name).map(|field| field.of))?;
    let Ok(passing) = checked.select(documents(fields), |name| Ok::<_, Infallible>(fields.get(name)));
    Ok(passing.ones().collect())
}

fn filter(text: &str) -> Result<Vec<usize>, FilterError> {
    admitted(&fields(), &Expression::parse(text)?)
}

#[test]
fn documents_pass_as_the_expression_says() {
    for (text, expected) in [
        (r#"jurisdiction == "BY""#, &[0, 1][..]),
        (r#"'BY' == jurisdiction"#, &[0, 1]),
        (r#"jurisdiction == "BY" && date >= "2021-01-01""#, &[0]),
        (r#"jurisdiction != "BY""#, &[2, 3, 5]),
        (r#"!(jurisdiction == "BY")"#, &[2, 3, 5]),
        (r#"!has(metadata.jurisdiction) || jurisdiction != "BY""#, &[2, 3, 4, 5]),
        (r#"jurisdiction in ["HE", "NW", "??"]"#, &[2, 3]),
        (r#"!(jurisdiction in [])"#, &[0, 1, 2, 3, 5]),
        (r#"jurisdiction < "HE""#, &[0, 1, 5]),
        // Dates are instants: half past midnight in Berlin is the day before in UTC.
        (r#"date >= "2021-01-01""#, &[0, 4]),
        (r#"date < "2021-01-01""#, &[1, 2, 5]),
        (r#"date == "2021-01-01T01:00:00+01:00""#, &[0]),
        (r#"timestamp("1970-01-01T00:00:00Z") > date"#, &[5]),
        (r#"date in ["2023-12-24T00:00:00Z", "2019-05-31"]"#, &[1, 4]),
        ("pages > 2.5", &[0, 1, 3]),
        ("pages == 9007199254740992.0", &[]),
        ("pages == 9007199254740993", &[3]),
        ("pages <= -1", &[2]),
        ("pages < 18446744073709551615u", &[0, 1, 2, 3, 5]),
        ("score == 2", &[1, 2]),
        ("score >= 0.5 && score < 1000.0", &[0, 1, 2]),
        ("score == 0.0", &[4]),
        ("in_force", &[0, 2, 4]),
        ("!in_force", &[1, 5]),
        ("in_force == false", &[1, 5]),
        (r#""tax" in tags"#, &[0, 1, 3]),
        (r#"!("tax" in tags)"#, &[4, 5]),
        (r#"tags.exists(t, t.startsWith("r") || t == "income")"#, &[0, 3]),
        (r#"tags.all(t, t == "tax" || t == "rent")"#, &[1, 3]),
        (r#"tags.exists(t, t.contains("家"))"#, &[4]),
        (r#"tags.exists(t, t == "")"#, &[5]),
        ("years.exists(y, y >= 2020 && y < 2024)", &[0, 1]),
        ("years.all(y, y >= 2020)", &[1, 4]),
        ("years.all(y, true)", &[0, 1, 2, 4, 5]),
        (r#"court.name == "OLG""#, &[0]),
        (r#"metadata.court.name.endsWith("\"X\"")"#, &[2]),
        (r#"court.name.matches("^O.G")"#, &[0, 2]),
        (r#"court.name.contains("b*")"#, &[5]),
        (r#"has(court.name)"#, &[0, 1, 2, 5]),
        (r#"has(metadata.tags)"#, &[0, 1, 3, 4, 5]),
        (r#"metadata["court name"] == "x""#, &[0]),
        ("true", &[0, 1, 2, 3, 4, 5]),
        ("false || in_force && true", &[0, 2, 4]),
        // An answer that is decided without the unknown one.
        (r#"in_force || jurisdiction == "NW""#, &[0, 2, 3, 4]),
        (r#"!(in_force && jurisdiction == "HE")"#, &[0, 1, 3, 5]),
    ] {
        assert_eq!(filter(text).map_err(|error| error.to_string()).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    for (text, at, expected) in [
        ("", 1, "the expression is not complete"),
        ("pages ==", 9, "the expression is not complete"),
        ("pages = 3", 7, "= is no part of an expression"),
        ("jurisdiction == x\"BY\"", 18, "a text cannot stand here"),
        ("jurisdiction == \"\\U00110000\"", 17, "an escape that is no character"),
        ("jurisdiction == \"\\ud800\"", 17, "an escape that is no character"),
        ("jurisdiction == b\"\\xff\"", 17, "filters have no bytes"),
        ("pages == 99999999999999999999", 10, "the number is out of range"),
        ("pages == 1e999", 10, "the number is out of range"),
        ("in_force &&\n  pages ==", 23, "the expression is not complete"),
        ("pages 3", 7, "3 cannot stand here"),
        (
            r#"jurisdictoin == "BY""#,
            1,
            r#"no document has a field "jurisdictoin"; the fields are court name, court.name, date, in_force, juris"#,
        ),
        (r#""é" == jurisdiction && has(metadata.nothing)"#, 29, r#"no document has a field "nothing""#),
        ("date == 5", 9, r#"date is a date, and 5 is not: a date such as "2021-01-31""#),
        (r#"date == "yesterday""#, 9, r#"date is a date, and "yesterday" is not"#),
        (r#"in_force && "2021-13-01" < date"#, 13, r#"date is a date, and "2021-13-01" is not"#),
        (r#"pages == "3""#, 10, r#"pages is an integer, and "3" is not: a number without quotes is expected"#),
        ("jurisdiction == 3", 17, "jurisdiction is a text, and 3 is not: a text in quotes is expected"),
        ("in_force == 1", 13, "in_force is a boolean, and 1 is not: true or false is expected"),
        ("in_force < true", 12, "for which there is no order"),
        ("years.exists(y, y == \"x\")", 22, "years is an integer, and \"x\" is not"),
        ("jurisdiction", 1, "for which there is no test by itself; compare it"),
        ("tags == \"tax\"", 1, "tags is a list; test its values with `x in tags`"),
        ("pages.contains(\"3\")", 16, "for which there is no contains()"),
        ("jurisdiction.matches(\"(\")", 22, "the regular expression does not parse"),
        ("jurisdiction == null", 17, "filters have no null; ask with has("),
        ("has(jurisdiction)", 5, "has() takes a field with a dot"),
        ("size(tags) > 2", 5, "filters have no function size(); there are =="),
        ("pages + 1 == 2", 7, "filters have no arithmetic"),
        ("pages == date", 7, "filters have no comparisons of two fields"),
        ("1 == 1", 3, "filters have no comparisons of two constants"),
        ("pages == 1 ? true : false", 12, "filters have no choice by ? and :"),
        ("tags.exists(t, pages == 3)", 16, "filters have no tests of other fields for each value"),
        ("tags.map(t, t) == [\"x\"]", 19, "filters have no comparisons with this"),
        ("{\"a\": 1}", 1, "filters have no"),
        ("jurisdiction.startsWith(date)", 25, "filters have no startsWith() of anything but a text"),
    ] {
        let error = filter(text).expect_err(text);
        assert!(error.problem.to_string().contains(expected), "{text}: {error}");
        assert_eq!(error.at, at, "{text}: {error}");
        assert!(error.to_string().starts_with(&format!("character {at} of the filter `")), "{error}");
    }
}

#[test]
fn long_expressions_are_read_or_refused() {
    let list: Vec<String> = (0..5000).map(|number| format!("\"{number}\"")).collect();
    assert_eq!(filter(&format!("jurisdiction in [{}, \"HE\"]", list.join(","))), Ok(vec![2]));
    let many = vec!["pages == 12"; 3000].join(" || ");
    assert_eq!(filter(&many), Ok(vec![1]));
    assert_eq!(filter(&format!("{}in_force", "!".repeat(64))), Ok(vec![0, 2, 4]));
    for deep in [format!("{}in_force{}", "(".repeat(5000), ")".repeat(5000)), format!("{}in_force", "!(".repeat(2000)), "a.".repeat(9000)] {
        assert!(filter(&deep).unwrap_err().to_string().contains("there are more than"));
    }
    let error = filter(&format!("jurisdiction == \"{}\"", "x".repeat(MAX_EXPRESSION_BYTES))).unwrap_err().to_string();
    assert!(error.contains("the most is 65536") && error.len() < 400, "{error}");
}

#[test]
fn joined_expressions_admit_what_both_admit() {
    let (own, asked) = (Expression::parse("in_force").unwrap(), Expression::parse("pages >= 0 || true").unwrap());
    assert_eq!(admitted(&fields(), &own.clone().and(asked.clone())), Ok(vec![0, 2, 4]));
    assert_eq!(own.and(asked).fields(), ["in_force", "pages"]);
    // Quotes and parentheses of one cannot close those of the other.
    for text in ["false) || (true", "true\" || \"a\" == \"a"] {
        Expression::parse(text).unwrap_err();
    }
}

#[test]
fn a_field_that_only_other_packs_have_is_unknown() {
    let fields = fields();
    let select = |text: &str| {
        let checked = Expression::parse(text).unwrap().check(|name| fields.get(name).map(|field| field.of)).unwrap();
        let Ok(passing) = checked.select(6, |name| Ok::<_, Infallible>(fields.get(name)));
        passing.ones().collect::<Vec<_>>()
    };
    assert_eq!(select("elsewhere == 3"), []);
    assert_eq!(select("!(elsewhere == 3) || in_force"), [0, 2, 4]);
    assert_eq!(select("!has(metadata.elsewhere)"), [0, 1, 2, 3, 4, 5]);
}

/// The texts of atoms over `fields()`, by the interpreter's types. Dates are left out: there they are texts.
fn atom() -> impl Strategy<Value = String> {
    let comparison = prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let text = prop::sample::select(vec!["", "BY", "HE", "NW", "Bayern", "tax", "rent", "income", "OLG", "a"]);
    let integer = prop::sample::select(vec![-1i64, 0, 3, 12, 1999, 2019, 2021, 2024, 9_007_199_254_740_993]);
    let number = prop::sample::select(vec!["-0.5", "0.0", "0.5", "2.0", "1000.0", "2021.5"]);
    let one_text = prop::sample::select(vec!["jurisdiction", "court.name"]);
    let test = prop::sample::select(vec!["contains", "startsWith", "endsWith"]);
    let quantifier = prop::sample::select(vec!["exists", "all"]);
    prop_oneof![
        (one_text.clone(), comparison.clone(), text.clone()).prop_map(|(field, is, value)| format!("{field} {is} \"{value}\"")),
        (one_text.clone(), test.clone(), text.clone()).prop_map(|(field, test, value)| format!("{field}.{test}(\"{value}\")")),
        (one_text, prop::collection::vec(text.clone(), 0..4)).prop_map(|(field, values)| format!("{field} in {values:?}")),
        (comparison.clone(), integer.clone()).prop_map(|(is, value)| format!("pages {is} {value}")),
        (comparison.clone(), number.clone()).prop_map(|(is, value)| format!("score {is} {value}")),
        (comparison.clone(), number).prop_map(|(is, value)| format!("{value} {is} pages")),
        Just("in_force".to_owned()),
        Just("in_force != true".to_owned()),
        text.clone().prop_map(|value| format!("\"{value}\" in tags")),
        integer.clone().prop_map(|value| format!("{value} in years")),
        (quantifier.clone(), test, text.clone(), text)
            .prop_map(|(quantifier, test, a, b)| { format!("tags.{quantifier}(t, t.{test}(\"{a}\") || !(t == \"{b}\"))") }),
        (quantifier, comparison, integer).prop_map(|(quantifier, is, value)| format!("years.{quantifier}(y, y {is} {value})")),
        prop::sample::select(vec!["true", "false"]).prop_map(str::to_owned),
    ]
}

fn expression() -> impl Strategy<Value = String> {
    atom().prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|of| format!("!({of})")),
            prop::collection::vec(inner.clone(), 2..4).prop_map(|of| format!("({})", of.join(" && "))),
            prop::collection::vec(inner, 2..4).prop_map(|of| format!("({})", of.join(" || "))),
        ]
    })
}

/// A document as variables of the interpreter. Fields that it does not have are not set, so that naming them is an error.
fn context(fields: &Fields, document: usize) -> Context<'static, 'static> {
    let mut context = Context::with_env(std::sync::Arc::new(Env::stdlib()));
    let value = |kind, text: &str| match kind {
        FieldKind::Boolean => Value::Bool(text == "true"),
        FieldKind::Integer => Value::Int(text.parse().unwrap()),
        FieldKind::Number => Value::Float(text.parse().unwrap()),
        FieldKind::Date | FieldKind::Text => Value::String(text.to_owned().into()),
    };
    for (name, field) in fields {
        let values: Vec<Value> =
            field.documents[document].iter().map(|number| value(field.of.kind, &field.values[*number as usize])).collect();
        let value = match values.as_slice() {
            [] => continue,
            [..] if field.of.list => Value::List(values.into()),
            [one, ..] => one.clone(),
        };
        match name.split_once('.') {
            Some((outer, inner)) => context.add_variable_from_value(
                outer,
                BTreeMap::from([(inner.to_owned(), value)]).into_iter().collect::<std::collections::HashMap<_, _>>(),
            ),
            None => context.add_variable_from_value(name.as_str(), value),
        }
    }
    context
}

#[test]
fn a_thousand_random_expressions_admit_what_the_interpreter_admits() {
    let fields = fields();
    let contexts: Vec<Context<'_, '_>> = (0..documents(&fields) as usize).map(|document| context(&fields, document)).collect();
    let env = std::sync::Arc::new(Env::stdlib());
    let mut passed = 0;
    let mut runner = TestRunner::new(Config { cases: 1000, rng_seed: RngSeed::Fixed(18), failure_persistence: None, ..Config::default() });
    let mut counted = std::cell::Cell::new(0);
    runner
        .run(&expression(), |text| {
            let program = env.compile(&text).unwrap();
            let expected: Vec<usize> =
                (0..contexts.len()).filter(|&document| matches!(program.execute(&contexts[document]), Ok(Value::Bool(true)))).collect();
            counted.set(counted.get() + expected.len());
            let found = admitted(&fields, &Expression::parse(&text).unwrap()).unwrap();
            prop_assert_eq!(found, expected, "{}", text);
            Ok(())
        })
        .unwrap();
    passed += *counted.get_mut();
    // Neither nothing nor everything passes.
    assert!((1000..5000).contains(&passed), "{passed}");
}

proptest! {
    #[test]
    fn any_text_is_an_expression_or_an_error(text in "\\PC{0,40}|[a-z \"'().&|!=<>\\[\\],0-9x]{0,60}") {
        if let Err(error) = filter(&text) {
            prop_assert!(error.at <= text.chars().count() + 1, "{}", error);
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
