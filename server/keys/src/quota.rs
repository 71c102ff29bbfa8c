//! How often a key may ask.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota as Rate, RateLimiter};

/// The largest number of a quota. More would be less than a nanosecond apart.
pub const MAX_QUOTA: u32 = 1_000_000_000;

/// So many requests in a second, a minute, an hour or a day, written as `60/min`.
///
/// All of them may come at once; each comes back after its part of the time (GCRA, a leaky bucket): of `60/min`, one a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    count: NonZeroU32,
    period: Period,
}

/// The time of a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// A second, `/s`.
    Second,
    /// A minute, `/min`.
    Minute,
    /// An hour, `/h`.
    Hour,
    /// 24 hours, `/day`.
    Day,
}

/// Why a text is no quota.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuotaError {
    /// It has another form.
    #[error("{found:?} is no quota; a quota is a number and a time, such as 60/min, with /s, /min, /h or /day")]
    Form {
        /// The text.
        found: String,
    },
    /// The time is none of those known.
    #[error("the quota {found:?} has the time {period:?}; the times are s, min, h and day")]
    Period {
        /// The text.
        found: String,
        /// The time in it.
        period: String,
    },
    /// The number is zero or too large.
    #[error("the number of the quota {found:?} is not between 1 and {MAX_QUOTA}")]
    Count {
        /// The text.
        found: String,
    },
}

impl Period {
    const ALL: [(Self, &str, u64); 4] =
        [(Self::Second, "s", 1), (Self::Minute, "min", 60), (Self::Hour, "h", 60 * 60), (Self::Day, "day", 24 * 60 * 60)];

    fn row(self) -> (Self, &'static str, u64) {
        let [second, minute, hour, day] = Self::ALL;
        match self {
            Self::Second => second,
            Self::Minute => minute,
            Self::Hour => hour,
            Self::Day => day,
        }
    }

    /// Its length.
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.row().2)
    }
}

impl Quota {
    /// A quota, unless the count is 0 or more than [`MAX_QUOTA`].
    pub fn new(count: u32, period: Period) -> Option<Self> {
        let count = NonZeroU32::new(count).filter(|count| count.get() <= MAX_QUOTA)?;
        Some(Self { count, period })
    }

    /// How many.
    pub fn count(self) -> u32 {
        self.count.get()
    }

    /// In which time.
    pub fn period(self) -> Period {
        self.period
    }

    fn rate(self) -> Rate {
        // At least a nanosecond, because the count is at most MAX_QUOTA.
        let each = self.period.duration() / self.count.get();
        Rate::with_period(each.max(Duration::from_nanos(1)))
            .map_or_else(|| Rate::per_second(self.count), |rate| rate.allow_burst(self.count))
    }
}

impl FromStr for Quota {
    type Err = QuotaError;

    fn from_str(text: &str) -> Result<Self, QuotaError> {
        let found = || text.to_owned();
        let (count, period) = text.split_once('/').ok_or_else(|| QuotaError::Form { found: found() })?;
        if count.is_empty() || !count.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(QuotaError::Form { found: found() });
        }
        let known = Period::ALL.into_iter().find(|(_, word, _)| *word == period);
        let (period, ..) = known.ok_or_else(|| QuotaError::Period { found: found(), period: period.to_owned() })?;
        // Digits alone fail only by being too many.
        count.parse().ok().and_then(|count| Self::new(count, period)).ok_or_else(|| QuotaError::Count { found: found() })
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.period.row().1)
    }
}

/// What is left of a quota.
pub(crate) struct Bucket<C: Clock = DefaultClock> {
    quota: Quota,
    limiter: RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<C::Instant>>,
}

impl Bucket {
    /// A full bucket.
    pub fn new(quota: Quota) -> Self {
        Self::with_clock(quota, DefaultClock::default())
    }
}

impl<C: Clock> Bucket<C> {
    fn with_clock(quota: Quota, clock: C) -> Self {
        Self { quota, limiter: RateLimiter::direct_with_clock(quota.rate(), clock) }
    }

    pub fn quota(&self) -> Quota {
        self.quota
    }

    /// Takes `cost` out, or nothing and gives the time after which there will be enough if nobody takes any. The time is the quota's whole
    /// period if there will never be enough.
    pub fn take(&self, cost: u32) -> Result<(), Duration> {
        let Some(cost) = NonZeroU32::new(cost) else { return Ok(()) };
        match self.limiter.check_n(cost) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(until)) => Err(until.wait_time_from(self.limiter.clock().now())),
            Err(_) => Err(self.quota.period.duration()),
        }
    }
}

impl<C: Clock> fmt::Debug for Bucket<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({})", self.quota)
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;
    use proptest::prelude::*;

    use super::*;

    fn quota(text: &str) -> Quota {
        text.parse().unwrap()
    }

    #[test]
    fn quotas_are_a_number_and_a_time() {
        for (text, count, period) in [
            ("60/min", 60, Period::Minute),
            ("1/s", 1, Period::Second),
            ("5000/h", 5000, Period::Hour),
            ("1000000000/day", MAX_QUOTA, Period::Day),
        ] {
            assert_eq!(Some(quota(text)), Quota::new(count, period));
            assert_eq!(quota(text).to_string(), text);
        }
        for text in ["", "60", "/min", "60 /min", "-1/min", "+1/min", "1.5/min", "sixty/min", "٣/min", "0x3/s"] {
            assert!(matches!(text.parse::<Quota>(), Err(QuotaError::Form { found }) if found == text), "{text}");
        }
        for (text, time) in [("60/", ""), ("60/m", "m"), ("60/min ", "min "), ("60/MIN", "MIN"), ("60/min/s", "min/s"), ("60/d", "d")] {
            assert_eq!(text.parse::<Quota>(), Err(QuotaError::Period { found: text.into(), period: time.into() }));
        }
        for text in ["0/s", "1000000001/s", "4294967296/s", "99999999999999999999999/s"] {
            assert_eq!(text.parse::<Quota>(), Err(QuotaError::Count { found: text.into() }));
        }
    }

    #[test]
    fn what_is_taken_comes_back_bit_by_bit() {
        let clock = FakeRelativeClock::default();
        let bucket = Bucket::with_clock(quota("60/min"), clock.clone());
        assert_eq!(bucket.take(0), Ok(()));
        (0..60).for_each(|_| assert_eq!(bucket.take(1), Ok(())));
        assert_eq!(bucket.take(0), Ok(()));
        assert_eq!(bucket.take(1), Err(Duration::from_secs(1)));
        assert_eq!(bucket.take(30), Err(Duration::from_secs(30)));
        clock.advance(Duration::from_millis(999));
        assert_eq!(bucket.take(1), Err(Duration::from_millis(1)));
        clock.advance(Duration::from_millis(1));
        assert_eq!(bucket.take(1), Ok(()));
        assert_eq!(bucket.take(1), Err(Duration::from_secs(1)));
        // What nobody takes does not add up to more than the quota.
        clock.advance(Duration::from_secs(24 * 60 * 60));
        assert_eq!(bucket.take(61), Err(Duration::from_secs(60)));
        assert_eq!(bucket.take(60), Ok(()));
        assert!(bucket.take(1).is_err());
    }

    fn quotas() -> impl Strategy<Value = Quota> {
        let period = prop::sample::select(Period::ALL.map(|(period, ..)| period).to_vec());
        (prop_oneof![1..200u32, 1..=MAX_QUOTA], period).prop_map(|(count, period)| Quota::new(count, period).unwrap())
    }

    proptest! {
        #[test]
        fn quotas_are_read_as_they_are_written(quota in quotas()) {
            prop_assert_eq!(quota.to_string().parse::<Quota>(), Ok(quota));
        }

        #[test]
        fn any_text_is_read_or_refused(text in r"[0-9]{0,12}\PC?/?(s|min|h|day|\PC{0,3})") {
            if let Ok(quota) = text.parse::<Quota>() {
                prop_assert_eq!(quota.to_string(), text.trim_start_matches('0'));
            }
        }

        /// Beside the burst of a full bucket no more is taken than the rate gives, and after the time that a refusal names there is enough.
        #[test]
        fn quotas_hold(quota in quotas(), asked in prop::collection::vec((0..3u64, 1..50u32), 1..100)) {
            let clock = FakeRelativeClock::default();
            let bucket = Bucket::with_clock(quota, clock.clone());
            let each = quota.period().duration().as_nanos() / u128::from(quota.count());
            let (mut passed, mut taken) = (0u128, 0u128);
            for (wait, cost) in asked {
                let cost = cost.min(quota.count());
                // Up to twice what the cost takes.
                let wait = u64::try_from(each * u128::from(cost)).unwrap().saturating_mul(wait);
                clock.advance(Duration::from_nanos(wait));
                passed += u128::from(wait);
                if let Err(time) = bucket.take(cost) {
                    prop_assert!(time > Duration::ZERO);
                    clock.advance(time);
                    passed += time.as_nanos();
                    prop_assert_eq!(bucket.take(cost), Ok(()));
                }
                taken += u128::from(cost);
                prop_assert!(taken <= u128::from(quota.count()) + passed / each, "{taken} in {passed} ns of {quota}");
            }
        }
    }
}
