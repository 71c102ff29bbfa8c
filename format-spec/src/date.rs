//! Dates (ISO 8601) and times (RFC 3339).

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// The instant that a text names: a date such as `2024-05-01` (ISO 8601), which is its midnight in UTC, or a date with a time and an offset from
/// UTC such as `2024-05-01T12:30:00.25+02:00` (RFC 3339, section 5.6). In microseconds since the beginning of 1970 in UTC; finer fractions are
/// cut off. `None` for any other text, and for dates that the calendar does not have.
///
/// A leap second, at the end of a month in UTC, is the instant after it.
pub fn instant(text: &str) -> Option<i64> {
    let (date, rest) = text.as_bytes().split_at_checked(10)?;
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = *date else { return None };
    let year = 100 * two(y0, y1)? + two(y2, y3)?;
    let (month, day) = (two(m0, m1)?, two(d0, d1)?);
    if day == 0 || day > days_of_month(year, month)? {
        return None;
    }
    let midnight = DAY * days_since_1970(year, month, day);
    let Some((separator, time)) = rest.split_first() else { return Some(midnight) };
    let (clock, rest) = time.split_at_checked(8)?;
    let [h0, h1, b':', m0, m1, b':', s0, s1] = *clock else { return None };
    let (hour, minute, second) = (two(h0, h1)?, two(m0, m1)?, two(s0, s1)?);
    if !matches!(separator, b'T' | b't' | b' ') || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (fraction, rest) = fraction(rest)?;
    let minutes = 60 * hour + minute - offset(rest)?;
    let start = midnight + 60_000_000 * minutes;
    if second < 60 {
        return Some(start + 1_000_000 * second + fraction);
    }
    // The second after 23:59:59 of the last day of a month.
    let next = start + 60_000_000;
    (next % DAY == 0 && is_first_of_month(next / DAY)).then_some(next)
}

/// Microseconds of a fraction of a second, if there is one, and what follows.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(digits) = text.strip_prefix(b".") else { return Some((0, text)) };
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = digits.split_at_checked(count).filter(|_| count > 0)?;
    let padded = digits.iter().chain(b"000000").take(6);
    Some((padded.fold(0, |sum, digit| 10 * sum + i64::from(digit - b'0')), rest))
}

/// Minutes that a place is ahead of UTC.
fn offset(text: &[u8]) -> Option<i64> {
    match *text {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h0, h1, b':', m0, m1] => {
            let (hours, minutes) = (two(h0, h1)?, two(m0, m1)?);
            let ahead = (hours < 24 && minutes < 60).then_some(60 * hours + minutes)?;
            Some(if sign == b'-' { -ahead } else { ahead })
        }
        _ => None,
    }
}

/// A number of two digits.
fn two(tens: u8, ones: u8) -> Option<i64> {
    let digit = |byte: u8| byte.is_ascii_digit().then(|| i64::from(byte - b'0'));
    Some(10 * digit(tens)? + digit(ones)?)
}

fn days_of_month(year: i64, month: i64) -> Option<i64> {
    Some(match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)),
        _ => return None,
    })
}

/// Days from 1970-01-01 to a date of the Gregorian calendar.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March here, so that the leap day is the last of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // Five months from March on, and five from August on, have 153 days.
    let before_month = (153 * month + 2) / 5;
    // From March 1 of the year 0 to 1970-01-01.
    365 * year + leap_days + before_month + day - 1 - 719_468
}

/// Whether a day, counted from 1970-01-01, is the first of a month.
fn is_first_of_month(day: i64) -> bool {
    // 146,097 days are 400 years; a day's month and that of the day before are in this year or the ones beside it.
    let about = 1970 + (400 * day).div_euclid(146_097);
    (about - 1..=about + 1).any(|year| (1..=12).any(|month| days_since_1970(year, month, 1) == day))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn instants_are_those_of_the_calendar() {
        // Seconds as `date -u -d TEXT +%s` of GNU coreutils prints them.
        for (text, seconds, micros) in [
            ("1970-01-01", 0, 0),
            ("1969-12-31", -86_400, 0),
            ("2000-02-29", 951_782_400, 0),
            ("2024-05-01", 1_714_521_600, 0),
            ("1600-02-29", -11_670_998_400, 0),
            ("0001-01-01", -62_135_596_800, 0),
            ("9999-12-31", 253_402_214_400, 0),
            ("1985-04-12T23:20:50.52Z", 482_196_050, 520_000),
            ("1996-12-19T16:39:57-08:00", 851_042_397, 0),
            ("1937-01-01T12:00:27.87+00:20", -1_041_337_173, 870_000),
            ("2024-05-01t00:00:00z", 1_714_521_600, 0),
            ("2024-05-01 02:00:00+02:00", 1_714_521_600, 0),
            ("2024-05-01T00:00:00-00:00", 1_714_521_600, 0),
            ("2024-05-01T00:00:00.1234569Z", 1_714_521_600, 123_456),
            ("1990-12-31T23:59:60Z", 662_688_000, 0),
            ("1990-12-31T15:59:60-08:00", 662_688_000, 0),
            ("1969-12-31T23:59:59.999999Z", -1, 999_999),
        ] {
            assert_eq!(instant(text), Some(1_000_000 * seconds + micros), "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_dates() {
        for text in [
            "",
            "2024",
            "2024-05",
            "2024-5-1",
            "20240501",
            "2024/05/01",
            "24-05-01",
            "2024-13-01",
            "2024-00-01",
            "2024-05-00",
            "2024-04-31",
            "2023-02-29",
            "1900-02-29",
            "-024-05-01",
            "+2024-05-01",
            "2024-05-01 ",
            " 2024-05-01",
            "2024-05-01T",
            "2024-05-01T10:00Z",
            "2024-05-01T10:00:00",
            "2024-05-01T24:00:00Z",
            "2024-05-01T10:60:00Z",
            "2024-05-01T10:00:61Z",
            "2024-05-01T10:00:60Z",
            "2024-05-15T23:59:60Z",
            "2024-05-01T10:00:00.Z",
            "2024-05-01T10:00:00Z ",
            "2024-05-01T10:00:00+0200",
            "2024-05-01T10:00:00+24:00",
            "2024-05-01T10:00:00+02:60",
            "2024-05-01_10:00:00Z",
            "2024-05-01T10:00:00,5Z",
            "2024-05-0١",
            "２０２４-05-01",
        ] {
            assert_eq!(instant(text), None, "{text:?}");
        }
    }

    #[test]
    fn days_follow_one_another() {
        let mut last = instant("0000-01-01").unwrap() - DAY;
        for (year, month) in (0..=9999).flat_map(|year| (1..=12).map(move |month| (year, month))) {
            for day in 1..=days_of_month(year, month).unwrap() {
                let found = instant(&format!("{year:04}-{month:02}-{day:02}")).unwrap();
                assert_eq!(found, last + DAY, "{year}-{month}-{day}");
                assert_eq!(is_first_of_month(found / DAY), day == 1);
                last = found;
            }
        }
    }

    proptest! {
        #[test]
        fn an_offset_moves_an_instant(
            day in 0i64..3_000_000, time in 0i64..86_400, micros in 0i64..1_000_000, hours in 0i64..24, minutes in 0i64..60, ahead: bool,
        ) {
            // The year by search, so that nothing of the parser is used but what is under test.
            let year = (1970 + day / 366..=1970 + day / 365).rev().find(|year| days_since_1970(*year, 1, 1) <= day).unwrap();
            let month = (1..=12).rev().find(|month| days_since_1970(year, *month, 1) <= day).unwrap();
            let date = format!("{year:04}-{month:02}-{:02}", day - days_since_1970(year, month, 1) + 1);
            prop_assume!(year < 10_000);
            let clock = format!("{:02}:{:02}:{:02}.{micros:06}", time / 3600, time / 60 % 60, time % 60);
            let text = format!("{date}T{clock}{}{hours:02}:{minutes:02}", if ahead { '+' } else { '-' });
            let offset = 60_000_000 * (60 * hours + minutes) * if ahead { 1 } else { -1 };
            prop_assert_eq!(instant(&text), Some(day * DAY + time * 1_000_000 + micros - offset), "{}", text);
        }

        #[test]
        fn any_text_is_read(text in "\\PC{0,30}|[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]?[0-9:.Zz+é-]{0,20}") {
            let _ = instant(&text);
        }
    }
}
