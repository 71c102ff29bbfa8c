//! Values of cells as their formats show them (ISO/IEC 29500-1, 18.8.31).

use calamine::{Data, ExcelDateTime, ExcelDateTimeType};

/// Digits of a number without a format, as Excel shows them.
const GENERAL_DIGITS: usize = 11;
/// Digits after the point that a format asks for, at most.
const MAX_DECIMALS: usize = 30;

/// A value as it is seen; dates are ISO 8601.
pub(super) fn value(value: &Data, format: &str, is_1904: bool) -> String {
    match value {
        Data::Empty => String::new(),
        Data::String(text) => text.clone(),
        Data::Bool(true) => "TRUE".into(),
        Data::Bool(false) => "FALSE".into(),
        Data::Int(number) => shown(*number as f64, format),
        Data::Float(number) => shown(*number, format),
        Data::DateTime(time) => date(time, is_1904),
        Data::DateTimeIso(text) => text.strip_suffix("T00:00:00").unwrap_or(text).to_owned(),
        Data::DurationIso(text) => text.clone(),
        Data::Error(error) => error.to_string(),
    }
}

/// A date, a time, both, or a duration in hours.
fn date(time: &ExcelDateTime, is_1904: bool) -> String {
    let serial = time.as_f64();
    if time.is_duration() || (0.0..1.0).contains(&serial) && serial != 0.0 {
        let seconds = (serial * 86400.0).round();
        let whole = seconds.abs() as u64;
        let sign = if seconds < 0.0 { "-" } else { "" };
        let clock = format!("{sign}{}:{:02}", whole / 3600, whole / 60 % 60);
        return if whole.is_multiple_of(60) { clock } else { format!("{clock}:{:02}", whole % 60) };
    }
    // Whole seconds, so that 12:59:59.9999 is 13:00.
    let rounded = ExcelDateTime::new((serial * 86400.0).round() / 86400.0, ExcelDateTimeType::DateTime, is_1904);
    let (year, month, day, hour, minute, second, _) = rounded.to_ymd_hms_milli();
    match (hour, minute, second) {
        (0, 0, 0) => format!("{year:04}-{month:02}-{day:02}"),
        (_, _, 0) => format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}"),
        _ => format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"),
    }
}

/// A part of a format, for positive or negative numbers or zero.
#[derive(Debug, Default)]
struct Section {
    before: String,
    after: String,
    digits: bool,
    least_whole: usize,
    decimals: usize,
    least_decimals: usize,
    grouped: bool,
    percent: usize,
    thousands: usize,
    /// Whether it is one that is not known, such as a fraction.
    other: bool,
}

/// A number as a format shows it.
fn shown(number: f64, format: &str) -> String {
    if format.is_empty() || format.eq_ignore_ascii_case("general") || format == "@" {
        return general(number);
    }
    let sections = divided(format);
    let (section, magnitude, sign) = match sections.as_slice() {
        [_, negative, ..] if number < 0.0 => (*negative, -number, ""),
        [_, _, zero, ..] if number == 0.0 => (*zero, number, ""),
        [first, ..] if number < 0.0 => (*first, -number, "-"),
        [first, ..] => (*first, number, ""),
        [] => return general(number),
    };
    let section = Section::read(section);
    if section.other || magnitude.abs() >= 1e15 {
        return general(number);
    }
    if !section.digits {
        return if section.before.trim().is_empty() { general(number) } else { section.before.trim().to_owned() };
    }
    let scaled = magnitude * 100f64.powi(section.percent as i32) / 1000f64.powi(section.thousands as i32);
    let mut text = format!("{:.*}", section.decimals, rounded(scaled, section.decimals));
    if let Some(point) = text.find('.') {
        let least = if section.least_decimals == 0 { point } else { point + 1 + section.least_decimals };
        while text.len() > least && text.ends_with(['0', '.']) {
            text.pop();
        }
    }
    let whole = text.find('.').unwrap_or(text.len());
    if whole < section.least_whole {
        text.insert_str(0, &"0".repeat(section.least_whole - whole));
    }
    if section.grouped {
        let mut at = text.find('.').unwrap_or(text.len());
        while at > 3 {
            at -= 3;
            text.insert(at, ',');
        }
    }
    let is_zero = !text.contains(|c: char| ('1'..='9').contains(&c));
    let sign = if is_zero { "" } else { sign };
    format!("{sign}{}{text}{}", section.before, section.after).trim().to_owned()
}

/// A number rounded as a decimal one, so that 1.005 is 1.01 as Excel shows it.
fn rounded(number: f64, decimals: usize) -> f64 {
    let precise = format!("{number:.14e}").parse::<f64>().unwrap_or(number);
    let factor = 10f64.powi(decimals.min(15) as i32);
    let scaled = precise * factor;
    let half = format!("{scaled:.12e}").parse::<f64>().unwrap_or(scaled);
    half.round() / factor
}

/// A number without a format: eleven digits.
fn general(number: f64) -> String {
    if !number.is_finite() {
        return String::new();
    }
    if number.abs() >= 1e21 || number != 0.0 && number.abs() < 1e-9 {
        return format!("{number:E}");
    }
    if number.fract() == 0.0 {
        return format!("{number:.0}");
    }
    let whole = if number.abs() >= 1.0 { number.abs().log10().floor() as usize + 1 } else { 1 };
    let text = format!("{number:.*}", GENERAL_DIGITS.saturating_sub(whole).max(1));
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".into() } else { text.to_owned() }
}

/// The parts of a format between semicolons that are none of its words.
fn divided(format: &str) -> Vec<&str> {
    let (mut sections, mut from, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, c) in format.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' | '_' | '*' if !quoted => escaped = true,
            '"' => quoted = !quoted,
            ';' if !quoted => {
                sections.push(&format[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    sections.push(&format[from..]);
    sections
}

impl Section {
    fn read(format: &str) -> Self {
        let mut section = Self::default();
        let mut chars = format.chars().peekable();
        let (mut point, mut commas) = (false, 0);
        while let Some(c) = chars.next() {
            match c {
                '0' | '#' | '?' => {
                    if commas > 0 {
                        section.grouped = true;
                        commas = 0;
                    }
                    section.digits = true;
                    match (point, c) {
                        (false, '0') => section.least_whole += 1,
                        (true, _) if section.decimals < MAX_DECIMALS => {
                            section.decimals += 1;
                            section.least_decimals = if c == '0' { section.decimals } else { section.least_decimals };
                        }
                        _ => {}
                    }
                }
                '.' if section.digits || matches!(chars.peek(), Some('0' | '#' | '?')) => point = true,
                ',' if section.digits => commas += 1,
                '%' => {
                    section.percent += 1;
                    section.word('%');
                }
                'E' | 'e' if section.digits => section.other = true,
                '/' if section.digits => section.other = true,
                '@' => section.other = true,
                '"' => chars.by_ref().take_while(|c| *c != '"').for_each(|c| section.word(c)),
                '\\' => chars.next().into_iter().for_each(|c| section.word(c)),
                '_' => {
                    chars.next();
                }
                '*' => {
                    chars.next();
                }
                '[' => {
                    // `[$€-407]` is a currency; others are colours and conditions.
                    let inner: String = chars.by_ref().take_while(|c| *c != ']').collect();
                    let currency = inner.strip_prefix('$').and_then(|inner| inner.split('-').next()).unwrap_or_default();
                    currency.chars().for_each(|c| section.word(c));
                    section.other |= inner.starts_with(['<', '>', '=']);
                }
                'G' if chars.clone().take(6).collect::<String>() == "eneral" => section.other = true,
                c => section.word(c),
            }
        }
        section.thousands = commas;
        section.other |= section.percent > 3 || section.thousands > 5 || section.least_whole > 20;
        section
    }

    fn word(&mut self, c: char) {
        if self.digits { self.after.push(c) } else { self.before.push(c) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_their_formats_show_them() {
        for (number, format, expected) in [
            (0.1 + 0.2, "General", "0.3"),
            (1234.5, "", "1234.5"),
            (1.0 / 3.0, "General", "0.3333333333"),
            (40.0, "General", "40"),
            (-0.0000000001, "General", "-1E-10"),
            (1234567.891, "#,##0.00", "1,234,567.89"),
            (0.125, "0.0%", "12.5%"),
            (0.5, "0%", "50%"),
            (1.005, "0.00", "1.01"),
            (-12.5, "#,##0.00;(#,##0.00)", "(12.50)"),
            (-12.5, "0.0", "-12.5"),
            (-0.01, "0.0", "0.0"),
            (0.0, "0;-0;\"none\"", "none"),
            (1250.0, "[$€-407] #,##0.00", "€ 1,250.00"),
            (1250.0, "#,##0.00\\ \"€\"", "1,250.00 €"),
            (7.0, "000", "007"),
            (5.0, "0.##", "5"),
            (5.25, "0.0#", "5.25"),
            (1500000.0, "0.0,,\" M\"", "1.5 M"),
            (12.0, "0\" mg\"", "12 mg"),
            (12345.0, "0.00E+00", "12345"),
            (0.5, "# ?/?", "0.5"),
            (3.0, "_(* #,##0_);_(* (#,##0);_(* \"-\"_);_(@_)", "3"),
            (0.0, "_(* #,##0_);_(* (#,##0);_(* \"-\"_);_(@_)", "-"),
        ] {
            assert_eq!(shown(number, format), expected, "{number} {format}");
        }
    }

    #[test]
    fn dates_are_iso() {
        let at = |serial, kind| date(&ExcelDateTime::new(serial, kind, false), false);
        assert_eq!(at(46095.0, ExcelDateTimeType::DateTime), "2026-03-14");
        assert_eq!(at(46095.5, ExcelDateTimeType::DateTime), "2026-03-14 12:00");
        assert_eq!(at(0.75, ExcelDateTimeType::DateTime), "18:00");
        assert_eq!(at(1.5, ExcelDateTimeType::TimeDelta), "36:00");
    }
}
