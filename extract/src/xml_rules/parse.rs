//! Reads rules: TOML 1.1.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Rule, RuleRole, Source, Step, XmlRules, XmlRulesError};

/// Elements of a path.
const MAX_STEPS: usize = 32;

/// The roles, and the keys that a rule of each may have beside `role`.
const ROLES: [(&str, RuleRole, &[&str]); 18] = [
    ("document", RuleRole::Document, &["id", "title", "fields"]),
    ("title", RuleRole::Title, &["value"]),
    ("section", RuleRole::Section, &["number", "heading", "cite"]),
    ("heading", RuleRole::Heading, &[]),
    ("number", RuleRole::Number, &[]),
    ("paragraph", RuleRole::Paragraph, &["number", "cite"]),
    ("list", RuleRole::List, &[]),
    ("item", RuleRole::Item, &["number"]),
    ("table", RuleRole::Table, &["heading"]),
    ("row", RuleRole::Row, &["header"]),
    ("cell", RuleRole::Cell, &[]),
    ("inline", RuleRole::Inline, &[]),
    ("line", RuleRole::Line, &[]),
    ("note", RuleRole::Note, &[]),
    ("quote", RuleRole::Quote, &[]),
    ("preformatted", RuleRole::Preformatted, &[]),
    ("skip", RuleRole::Skip, &[]),
    ("page", RuleRole::Page, &["number"]),
];

/// How the role begins that makes metadata of an element.
const FIELD: &str = "field:";

const EXAMPLE: &str = "paragraph = \"paragraph\" or article = { role = \"section\", number = \"@no\" }";

impl XmlRules {
    /// The rules of a file.
    ///
    /// # Errors
    /// If the file cannot be read, has more than [`MAX_BYTES`](Self::MAX_BYTES), or is not as [`parse`](Self::parse) demands.
    pub fn read(path: &Path) -> Result<Self, XmlRulesError> {
        let shown = path.display().to_string();
        let failed = |reason: String| XmlRulesError { path: shown.clone(), line: None, reason };
        let file = File::open(path).map_err(|error| failed(format!("cannot be read: {error}")))?;
        let mut bytes = Vec::new();
        file.take(Self::MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| failed(format!("cannot be read: {error}")))?;
        if bytes.len() as u64 > Self::MAX_BYTES {
            return Err(failed(format!("has more than {} bytes, the limit of a file of rules; is it one?", Self::MAX_BYTES)));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            XmlRulesError { path: shown.clone(), line: Some(line_at(before)), reason: "this is not UTF-8; save the file as UTF-8".into() }
        })?;
        Self::parse(&shown, &text)
    }

    /// The rules of a text in TOML. `path` names it in messages.
    ///
    /// # Errors
    /// If it is no TOML, or has keys, roles or elements that are not as they have to be: with the line and what would be right.
    pub fn parse(path: &str, text: &str) -> Result<Self, XmlRulesError> {
        let reader = Reader { path, text: text.trim_start_matches('\u{FEFF}') };
        reader.rules()
    }
}

/// The line after these bytes, counted from 1.
fn line_at(before: &[u8]) -> usize {
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

type Value<'t> = Spanned<DeValue<'t>>;

struct Reader<'a> {
    path: &'a str,
    text: &'a str,
}

impl Reader<'_> {
    fn wrong(&self, at: usize, reason: impl Into<String>) -> XmlRulesError {
        let before = self.text.as_bytes().get(..at).unwrap_or(self.text.as_bytes());
        XmlRulesError { path: self.path.to_owned(), line: Some(line_at(before)), reason: reason.into() }
    }

    fn rules(&self) -> Result<XmlRules, XmlRulesError> {
        let file = DeTable::parse(self.text).map_err(|error| {
            let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
            self.wrong(error.span().map_or(0, |span| span.start), format!("this is no TOML: {message}"))
        })?;
        let file = file.get_ref();
        self.known(file, &["root", "elements"], "a file of rules")?;
        let roots = file.get("root").map_or(Ok(Vec::new()), |value| self.roots(value))?;
        let elements = file.get("elements").ok_or_else(|| self.wrong(0, format!("the table [elements] is missing; in it, {EXAMPLE}")))?;
        let expected = || self.wrong(elements.span().start, format!("elements is to be a table, [elements]; in it, {EXAMPLE}"));
        let table = elements.get_ref().as_table().ok_or_else(expected)?;
        if table.is_empty() {
            return Err(self.wrong(elements.span().start, format!("[elements] has no rule; in it, {EXAMPLE}")));
        }
        if table.len() > XmlRules::MAX_RULES {
            return Err(self.wrong(elements.span().start, format!("there are more than {} rules", XmlRules::MAX_RULES)));
        }
        let mut entries: Vec<_> = table.iter().map(|(key, value)| (key.span().start, key.get_ref(), value)).collect();
        entries.sort_by_key(|(at, ..)| *at);
        let mut rules: Vec<Rule> = Vec::with_capacity(entries.len());
        let mut seen: HashMap<Vec<Step>, usize> = HashMap::new();
        for (at, key, value) in entries {
            let rule = self.rule(at, key, value)?;
            if let Some(first) = seen.insert(rule.steps.clone(), at) {
                let line = line_at(&self.text.as_bytes()[..first]);
                return Err(self.wrong(at, format!("{key:?} has a rule in line {line} already")));
            }
            rules.push(rule);
        }
        let condition = |step: &Step| step.condition.as_ref().map_or(0, |(_, value)| 1 + usize::from(value.is_some()));
        let conditions = |rule: &Rule| rule.steps.iter().map(condition).sum::<usize>();
        rules.sort_by_key(|rule| std::cmp::Reverse((rule.steps.len(), conditions(rule))));
        Ok(XmlRules { path: self.path.to_owned(), roots, rules })
    }

    /// Refuses keys that are not `known`.
    fn known(&self, table: &DeTable<'_>, known: &[&str], of: &str) -> Result<(), XmlRulesError> {
        let mut unknown: Vec<_> = table.keys().filter(|key| !known.contains(&key.get_ref().as_ref())).collect();
        unknown.sort_by_key(|key| key.span().start);
        let Some(key) = unknown.first() else { return Ok(()) };
        let name = key.get_ref();
        Err(self.wrong(key.span().start, format!("{of} has no key {name:?}{}", choices(name, known))))
    }

    fn text<'v>(&self, key: &str, value: &'v Value<'_>) -> Result<&'v str, XmlRulesError> {
        let found = value.get_ref().as_str().map(str::trim);
        found.ok_or_else(|| {
            self.wrong(value.span().start, format!("{key} is to be a text in quotes, not of the kind {}", value.get_ref().type_str()))
        })
    }

    fn roots(&self, value: &Value<'_>) -> Result<Vec<String>, XmlRulesError> {
        let name = |value: &Value<'_>| -> Result<String, XmlRulesError> {
            let name = self.text("root", value)?;
            self.name(value.span().start, name)?;
            Ok(name.rsplit(':').next().unwrap_or(name).to_owned())
        };
        match value.get_ref().as_array() {
            Some(list) if list.is_empty() => {
                Err(self.wrong(value.span().start, "root names no element; leave it out if the rules are for all XML files"))
            }
            Some(list) => list.iter().map(name).collect(),
            None => Ok(vec![name(value)?]),
        }
    }

    fn rule(&self, at: usize, written: &str, value: &Value<'_>) -> Result<Rule, XmlRulesError> {
        let steps = self.steps(at, written)?;
        let no_keys = DeTable::new();
        let (role_at, name, table) = match value.get_ref() {
            DeValue::String(role) => (value.span().start, role.as_ref(), &no_keys),
            DeValue::Table(table) => match table.get("role") {
                Some(role) => (role.span().start, self.text("role", role)?, table),
                // `a.b = "skip"` is a table `b` in a table `a`.
                None if !has_keys(table) => {
                    return Err(self.wrong(at, format!("{written:?} has no role; an element whose name has a point is to be in quotes")));
                }
                None => return Err(self.wrong(at, format!("{written:?} has no role; say {EXAMPLE}"))),
            },
            _ => return Err(self.wrong(value.span().start, format!("{written:?} is to be a role or a table with one: {EXAMPLE}"))),
        };
        let (role, keys) = self.role(role_at, name.trim())?;
        let known: Vec<&str> = std::iter::once("role").chain(keys.iter().copied()).collect();
        self.known(table, &known, &format!("the role {}", name.trim()))?;
        let source = |key: &str| table.get(key).map(|value| self.source(key, value)).transpose();
        let cite = table.get("cite").map(|value| self.text("cite", value).map(str::to_owned)).transpose()?;
        let header = match table.get("header") {
            None => false,
            Some(value) => value.get_ref().as_bool().ok_or_else(|| self.wrong(value.span().start, "header is to be true or false"))?,
        };
        let mut fields = Vec::new();
        if let Some(value) = table.get("fields") {
            let expected = || self.wrong(value.span().start, "fields is to be a table, such as { date = \"@issued\" }");
            let table = value.get_ref().as_table().ok_or_else(expected)?;
            let mut entries: Vec<_> = table.iter().collect();
            entries.sort_by_key(|(key, _)| key.span().start);
            for (key, value) in entries {
                fields.push((self.field(key.span().start, key.get_ref())?, self.source(key.get_ref(), value)?));
            }
        }
        Ok(Rule {
            written: written.to_owned(),
            steps,
            role,
            number: source("number")?,
            heading: source("heading")?,
            id: source("id")?,
            title: source("title")?,
            value: source("value")?,
            cite,
            header,
            fields,
        })
    }

    /// A role, and the keys of its rules.
    fn role(&self, at: usize, name: &str) -> Result<(RuleRole, &'static [&'static str]), XmlRulesError> {
        if let Some(field) = name.strip_prefix(FIELD) {
            return Ok((RuleRole::Field(self.field(at, field.trim())?), &["value"]));
        }
        match ROLES.iter().find(|(known, ..)| *known == name) {
            Some((_, role, keys)) => Ok((role.clone(), keys)),
            None => {
                let names: Vec<&str> = ROLES.iter().map(|(name, ..)| *name).chain(["field:NAME"]).collect();
                Err(self.wrong(at, format!("there is no role {name:?}{}", choices(name, &names))))
            }
        }
    }

    /// The name of a field.
    fn field(&self, at: usize, name: &str) -> Result<String, XmlRulesError> {
        let valid = !name.is_empty() && name.len() <= 100 && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
        if valid {
            return Ok(name.to_owned());
        }
        let reason = format!("{name:?} is no name of a field: letters, digits, points and hyphens, such as field:author");
        Err(self.wrong(at, reason))
    }

    /// Refuses what is no name of an element or an attribute.
    fn name(&self, at: usize, name: &str) -> Result<(), XmlRulesError> {
        let starts = name.starts_with(|c: char| c.is_alphabetic() || matches!(c, '_' | ':'));
        if starts && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '·')) {
            return Ok(());
        }
        let why = if name.contains('*') { ": a star stands for none; leave it out" } else { "" };
        Err(self.wrong(at, format!("{name:?} is no name of an XML element or attribute{why}")))
    }

    /// `article/para`, `note[@type="editor"]`.
    fn steps(&self, at: usize, written: &str) -> Result<Vec<Step>, XmlRulesError> {
        let mut steps = Vec::new();
        let mut rest = written.trim();
        loop {
            let end = rest.find(['/', '[']).unwrap_or(rest.len());
            let name = rest[..end].trim();
            if name.is_empty() {
                let reason = format!("{written:?} lacks a name; a path is one element in another, such as \"article/para\"");
                return Err(self.wrong(at, reason));
            }
            self.name(at, name)?;
            rest = rest[end..].trim_start();
            let mut condition = None;
            if let Some(inner) = rest.strip_prefix('[') {
                let (found, after) = self.condition(at, written, inner)?;
                condition = Some(found);
                rest = after.trim_start();
            }
            steps.push(Step { name: name.to_owned(), condition });
            if steps.len() > MAX_STEPS {
                return Err(self.wrong(at, format!("{written:?} has more than {MAX_STEPS} elements")));
            }
            match rest.strip_prefix('/') {
                Some(after) => rest = after,
                None if rest.is_empty() => return Ok(steps),
                None => return Err(self.bad_condition(at, written)),
            }
        }
    }

    fn bad_condition(&self, at: usize, written: &str) -> XmlRulesError {
        self.wrong(at, format!("{written:?} has no condition that is known: [@type] or [@type=\"editor\"], one for an element"))
    }

    /// A condition after its bracket, and what follows it.
    fn condition<'w>(&self, at: usize, written: &str, inner: &'w str) -> Result<((String, Option<String>), &'w str), XmlRulesError> {
        let bad = || self.bad_condition(at, written);
        let attribute = inner.trim_start().strip_prefix('@').ok_or_else(bad)?;
        let end = attribute.find(['=', ']']).ok_or_else(bad)?;
        let (name, rest) = (attribute[..end].trim(), &attribute[end..]);
        self.name(at, name)?;
        if let Some(after) = rest.strip_prefix(']') {
            return Ok(((name.to_owned(), None), after));
        }
        let value = rest[1..].trim_start();
        let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\'')).ok_or_else(bad)?;
        let (value, after) = value[1..].split_once(quote).ok_or_else(bad)?;
        let after = after.trim_start().strip_prefix(']').ok_or_else(bad)?;
        Ok(((name.to_owned(), Some(value.to_owned())), after))
    }

    /// `num`, `head/num`, `@no`, `head/num/@value`, and words in quotes.
    fn source(&self, key: &str, value: &Value<'_>) -> Result<Source, XmlRulesError> {
        let (written, at) = (self.text(key, value)?, value.span().start);
        let quoted = ['\'', '"'].iter().find_map(|quote| written.strip_prefix(*quote)?.strip_suffix(*quote));
        if let Some(words) = quoted.filter(|words| !words.trim().is_empty()) {
            return Ok(Source { written: written.to_owned(), path: Vec::new(), attribute: None, literal: Some(words.to_owned()) });
        }
        let (mut path, mut attribute) = (Vec::new(), None);
        for part in written.split('/').map(str::trim) {
            if attribute.is_some() || part.is_empty() || path.len() == MAX_STEPS {
                let reason = format!("{key} = {written:?} is to be an element, a path or an attribute: \"num\", \"head/num\", \"@no\"");
                return Err(self.wrong(at, reason));
            }
            let name = part.strip_prefix('@').unwrap_or(part);
            self.name(at, name)?;
            if part.starts_with('@') {
                attribute = Some(name.to_owned());
            } else {
                path.push(name.to_owned());
            }
        }
        Ok(Source { written: written.to_owned(), path, attribute, literal: None })
    }
}

/// Whether a table has a key of rules.
fn has_keys(table: &DeTable<'_>) -> bool {
    table.keys().any(|key| ROLES.iter().any(|(_, _, keys)| keys.contains(&key.get_ref().as_ref())))
}

/// The names that there are, and the one that is meant, if one is near: `; did you mean "section"? There are ...`.
fn choices(name: &str, known: &[&str]) -> String {
    let near = known.iter().map(|known| (strsim::osa_distance(&name.to_lowercase(), known), known)).min();
    let all = known.join(", ");
    match near {
        Some((distance, known)) if distance <= 1 + name.chars().count() / 4 => format!("; did you mean {known:?}? There are {all}"),
        _ => format!("; there are {all}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<XmlRules, XmlRulesError> {
        XmlRules::parse("r.toml", text)
    }

    #[test]
    fn rules_are_read_in_the_order_in_which_they_count() {
        let rules = parse(
            "root = ['act', 'x:order']\n[elements]\nnote = \"note\"\n'note[@type=\"editor\"]' = 'skip'\n\"body / note\" = 'inline'\n\
             act = { role = 'document', id = '@nr', title = 'head/name', fields = { date = 'head/@issued' } }\n",
        )
        .unwrap();
        assert_eq!((rules.path(), rules.roots()), ("r.toml", &["act".to_owned(), "order".into()][..]));
        let written: Vec<&str> = rules.rules.iter().map(|rule| rule.written.as_str()).collect();
        assert_eq!(written, ["body / note", "note[@type=\"editor\"]", "note", "act"]);
        let act = &rules.rules[3];
        assert_eq!(act.role, RuleRole::Document);
        let sources: Vec<_> =
            act.sources().map(|(key, source)| (key.to_string(), source.path.join("/"), source.attribute.clone())).collect();
        let expected = [("id", "", Some("nr")), ("title", "head/name", None), ("fields.date", "head", Some("issued"))]
            .map(|(key, path, attribute)| (key.to_owned(), path.to_owned(), attribute.map(str::to_owned)));
        assert_eq!(sources, expected);
        let editor = Some(("type".to_owned(), Some("editor".to_owned())));
        assert_eq!(rules.rules[1].steps, [Step { name: "note".into(), condition: editor }]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, expected) in [
            ("", "r.toml, line 1: the table [elements] is missing"),
            ("elements = 5", "line 1: elements is to be a table"),
            ("[elements]\n", "line 1: [elements] has no rule"),
            ("a = = 1", "line 1: this is no TOML: "),
            (
                "\n[element]\na = 'skip'",
                "line 2: a file of rules has no key \"element\"; did you mean \"elements\"? There are root, elements",
            ),
            ("root = 5\n[elements]\na = 'skip'", "line 1: root is to be a text in quotes, not of the kind integer"),
            ("root = []\n[elements]\na = 'skip'", "line 1: root names no element"),
            ("root = 'a b'\n[elements]\na = 'skip'", "line 1: \"a b\" is no name of an XML element"),
            ("[elements]\n\na = 'secton'", "line 3: there is no role \"secton\"; did you mean \"section\"? There are document, title, "),
            ("[elements]\na = 'banana'", "line 2: there is no role \"banana\"; there are document"),
            ("[elements]\na = 5", "line 2: \"a\" is to be a role or a table with one"),
            ("[elements]\na = { number = '@n' }", "line 2: \"a\" has no role; say "),
            ("[elements]\na.b = 'skip'", "line 2: \"a\" has no role; an element whose name has a point is to be in quotes"),
            (
                "[elements]\na = { role = 'section', nummer = '@n' }",
                "line 2: the role section has no key \"nummer\"; did you mean \"number\"?",
            ),
            ("[elements]\na = { role = 'skip', number = '@n' }", "line 2: the role skip has no key \"number\"; there are role"),
            ("[elements]\na = { role = 'section', number = '@' }", "line 2: \"\" is no name of an XML element or attribute"),
            ("[elements]\na = { role = 'section', number = '@n/b' }", "number = \"@n/b\" is to be an element, a path or an attribute"),
            ("[elements]\na = { role = 'section', number = \"''\" }", "line 2: \"''\" is no name of an XML element"),
            ("[elements]\na = { role = 'section', number = 5 }", "line 2: number is to be a text in quotes"),
            ("[elements]\na = { role = 'row', header = 'yes' }", "line 2: header is to be true or false"),
            ("[elements]\na = 'field:'", "line 2: \"\" is no name of a field"),
            ("[elements]\na = 'field:a b'", "line 2: \"a b\" is no name of a field"),
            ("[elements]\n'a//b' = 'skip'", "line 2: \"a//b\" lacks a name"),
            ("[elements]\n'*' = 'skip'", "line 2: \"*\" is no name of an XML element or attribute: a star stands for none"),
            ("[elements]\n'a[1]' = 'skip'", "line 2: \"a[1]\" has no condition that is known"),
            ("[elements]\n'a[@b=c]' = 'skip'", "line 2: \"a[@b=c]\" has no condition that is known"),
            ("[elements]\n'a[@b=\"c\"]d' = 'skip'", "has no condition that is known"),
            ("[elements]\n'a/b' = 'skip'\n' a / b' = 'skip'", "line 3: \" a / b\" has a rule in line 2 already"),
            ("[elements]\na = 'skip'\na = 'skip'", "line 3: this is no TOML: duplicate key"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}\n{error}");
        }
    }

    #[test]
    fn a_file_that_is_no_file_of_rules_is_refused() {
        let missing = XmlRules::read(Path::new("/no/such/rules.toml")).unwrap_err();
        assert!(missing.to_string().starts_with("/no/such/rules.toml cannot be read: "), "{missing}");
        let mut many = String::from("[elements]\n");
        (0..=XmlRules::MAX_RULES).for_each(|number| many.push_str(&format!("a{number} = 'skip'\n")));
        assert!(parse(&many).unwrap_err().reason.contains("more than 10000 rules"));
        let long = format!("[elements]\n'{}' = 'skip'\n", ["a"; MAX_STEPS + 1].join("/"));
        assert!(parse(&long).unwrap_err().reason.contains("has more than 32 elements"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_text_is_rules_or_an_error(
            head in prop::sample::select(vec!["", "[elements]\n", "[elements]\n'", "[elements]\na = {role='section', number='", "root = "]),
            tail in "[a-c/@\\[\\]=\"' .:{}\n*é]{0,40}",
        ) {
            if let Err(error) = parse(&format!("{head}{tail}")) {
                prop_assert!(error.line.is_some());
            }
        }
    }
}
