//! Moments: when a key was made, ends or was revoked.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;

/// A text is no moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no date or date with time; write 2027-01-31, which is its first moment in UTC, or 2027-01-31T12:00:00Z")]
pub struct MomentError {
    /// The text.
    pub found: String,
}

/// A moment since 1970, to the second: a date (its first moment in UTC), or a date with time and offset as in RFC 3339.
///
/// # Errors
/// If it is neither.
pub fn moment(text: &str) -> Result<Timestamp, MomentError> {
    let refused = || MomentError { found: text.to_owned() };
    // The library also reads forms that RFC 3339 does not have.
    let usual =
        text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b':' | b'.' | b'T' | b't' | b'Z' | b'z' | b' '));
    let bytes = text.as_bytes();
    if !usual || bytes.get(4) != Some(&b'-') || bytes.get(7) != Some(&b'-') {
        return Err(refused());
    }
    let parsed = match bytes.len() {
        10 => text.parse::<Date>().and_then(|date| Offset::UTC.to_timestamp(date.at(0, 0, 0, 0))),
        _ => text.parse::<Timestamp>(),
    };
    let whole = parsed.and_then(|moment| Timestamp::from_second(moment.as_second()));
    whole.ok().filter(|moment| moment.as_second() >= 0).ok_or_else(refused)
}

/// The moment now, to the second.
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn moments_are_dates_or_rfc_3339() {
        for (text, second) in [
            ("1970-01-01", 0),
            ("2027-01-31", 1_801_353_600),
            ("2027-01-31T12:00:00Z", 1_801_396_800),
            ("2027-01-31 12:00:00z", 1_801_396_800),
            ("2027-01-31T12:00:00+02:00", 1_801_389_600),
            ("2027-01-31T12:00:00.999Z", 1_801_396_800),
            ("2028-02-29T23:59:59-00:30", 1_835_483_399),
        ] {
            assert_eq!(moment(text).map(Timestamp::as_second), Ok(second), "{text}");
        }
        for text in [
            "",
            "tomorrow",
            "2027",
            "2027-02-29",
            "2027-13-01",
            "2027-1-1",
            "01-31-2027",
            "2027-01-31T12:00:00",
            "20270131",
            "2027-01-31T25:00:00Z",
            "2027-01-31T12:00:00Z[UTC]",
            "-002027-01-31",
            "1969-12-31",
            "0000-01-01T00:00:00+23:00",
            "２０２７-01-31",
        ] {
            assert_eq!(moment(text), Err(MomentError { found: text.to_owned() }));
        }
    }

    proptest! {
        #[test]
        fn moments_are_read_as_they_are_written(second in 0..253_402_200_000i64) {
            let time = Timestamp::from_second(second).unwrap();
            prop_assert_eq!(moment(&time.to_string()), Ok(time));
        }

        #[test]
        fn any_text_is_read_or_refused(text in r"\PC*|[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{0,9})?)?(Z|[+-][0-9]{2}:[0-9]{2})?)?") {
            if let Ok(time) = moment(&text) {
                prop_assert_eq!(moment(&time.to_string()), Ok(time));
            }
        }
    }
}
