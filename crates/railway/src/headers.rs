//! What an answer's headers say of Railway's limits. How the end of the window and the policy are
//! written is not documented, so every plausible way is read, and whatever else there is says nothing.

use std::num::NonZeroU32;
use std::time::Duration;

use chrono::{DateTime, Utc};
use pool_domain::{Clock, SystemClock};
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

use crate::limits::{SECOND_LIMIT_MAX, SECOND_WINDOW};

/// What the headers say of the limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// The current window of an hour.
    pub(crate) hour: Option<Window>,
    /// How many requests a second are allowed.
    pub(crate) per_second: Option<NonZeroU32>,
}

/// The current window, as Railway sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) limit: Option<u64>,
    pub(crate) remaining: u64,
    pub(crate) resets_at: Option<DateTime<Utc>>,
    /// How long it still lasts, by the server's own clock where the answer tells it.
    pub(crate) left: Option<Duration>,
}

const LIMIT: &str = "x-ratelimit-limit";
const REMAINING: &str = "x-ratelimit-remaining";
const RESET: &str = "x-ratelimit-reset";
const POLICY: &str = "ratelimit-policy";

/// What the answer says of the limits, if it comes from Railway's own limiter.
pub(crate) fn limits(headers: &HeaderMap) -> Said {
    let quota = |seconds| policy(headers).find(|quota| quota.seconds == seconds);
    let mut said = Said {
        hour: window(headers),
        per_second: quota(1).and_then(|quota| NonZeroU32::new(quota.requests.try_into().ok()?)),
    };
    if let Some(second) = said.hour.filter(Window::is_of_a_second) {
        let limit = second.limit.and_then(|limit| limit.try_into().ok());
        said.per_second = limit.and_then(NonZeroU32::new).or(said.per_second);
        said.hour = None;
    }
    if let Some(hour) = &mut said.hour {
        let of_policy = || quota(3_600).map(|quota| quota.requests);
        hour.limit = hour.limit.or_else(of_policy);
    }
    said
}

impl Window {
    /// The limit a second is told by the same headers. Taking it for the hour's would keep the pool
    /// from creating anything.
    fn is_of_a_second(&self) -> bool {
        self.left.is_some_and(|left| left <= SECOND_WINDOW)
            && self.limit.is_some_and(|limit| limit <= SECOND_LIMIT_MAX)
    }
}

/// One quota of a policy.
struct Quota {
    requests: u64,
    seconds: u64,
}

/// `10;w=1, 1000;w=3600`, or `"burst";q=10;w=1`, as two drafts of the IETF have it. Whatever is
/// neither is passed over.
fn policy(headers: &HeaderMap) -> impl Iterator<Item = Quota> {
    /// Far more than anybody sends; the rest of a longer one is not read.
    const QUOTAS_MAX: usize = 20;
    let lines = headers.get_all(POLICY).iter();
    let items = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','));
    items.take(QUOTAS_MAX).filter_map(|item| {
        let mut parts = item.split(';').map(str::trim);
        let name = parts.next()?;
        let (mut requests, mut seconds) = (name.parse().ok(), None);
        for part in parts {
            match part.split_once('=') {
                Some(("q", value)) => requests = value.trim().parse().ok(),
                Some(("w", value)) => seconds = value.trim().parse().ok(),
                _ => {}
            }
        }
        Some(Quota {
            requests: requests?,
            seconds: seconds?,
        })
    })
}

/// The window, if the answer tells one.
fn window(headers: &HeaderMap) -> Option<Window> {
    let remaining = number(headers, REMAINING)?;
    let now = server_time(headers);
    let resets_at = text(headers, RESET).and_then(|text| time(text, now));
    Some(Window {
        limit: number(headers, LIMIT),
        remaining,
        resets_at,
        left: resets_at.and_then(|at| (at - now).to_std().ok()),
    })
}

/// Whether Railway's own limiter has seen the request: the edge in front of it sends none of these.
pub(crate) fn come_from_railway(headers: &HeaderMap) -> bool {
    [LIMIT, REMAINING, RESET]
        .into_iter()
        .any(|name| headers.contains_key(name))
}

/// `Retry-After`, in seconds or as a date.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = text(headers, RETRY_AFTER.as_str())?;
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = DateTime::parse_from_rfc2822(text).ok()?;
    (at.to_utc() - server_time(headers)).to_std().ok()
}

fn server_time(headers: &HeaderMap) -> DateTime<Utc> {
    text(headers, DATE.as_str())
        .and_then(|text| DateTime::parse_from_rfc2822(text).ok())
        .map_or_else(|| SystemClock.now(), |at| at.to_utc())
}

/// Unix seconds, unix milliseconds, seconds from now, or ISO 8601.
fn time(text: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    /// Up to here (28 hours) a number is a number of seconds from now; as unix time it would be
    /// January 1970.
    const LONGEST_WINDOW_SECONDS: i64 = 100_000;
    /// From here on (the year 5138 in seconds, 1973 in milliseconds) a number is milliseconds.
    const FIRST_MILLISECONDS: i64 = 100_000_000_000;
    let Ok(number) = text.parse::<f64>() else {
        return DateTime::parse_from_rfc3339(text)
            .ok()
            .map(|at| at.to_utc());
    };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the cast saturates, and what is out of range is refused below"
    )]
    let number = number as i64;
    match number {
        ..0 => None,
        0..=LONGEST_WINDOW_SECONDS => Some(now + chrono::Duration::seconds(number)),
        FIRST_MILLISECONDS.. => DateTime::from_timestamp_millis(number),
        _ => DateTime::from_timestamp(number, 0),
    }
}

/// A number, after which a policy may follow.
fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    let text = text(headers, name)?;
    let number = text.split([',', ';']).next()?;
    number.trim().parse().ok()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn the_end_of_the_window_is_read_however_it_is_written() {
        for reset in [
            "1790000060",
            "1790000060.0",
            "1790000060000",
            "60",
            "2026-09-21T14:14:20Z",
            "2026-09-21T16:14:20.000+02:00",
        ] {
            let window = window(&headers(&[
                (LIMIT, "1000"),
                (REMAINING, "7"),
                (RESET, reset),
                ("date", "Mon, 21 Sep 2026 14:13:20 GMT"),
            ]))
            .unwrap();
            assert_eq!(window.left, Some(Duration::from_mins(1)), "{reset}");
            assert_eq!((window.limit, window.remaining), (Some(1000), 7));
        }
    }

    #[test]
    fn an_end_that_makes_no_sense_is_unknown() {
        for reset in ["soon", "-5", "", "NaN-ish", "99999999999999999999999"] {
            let window = window(&headers(&[(REMAINING, "7"), (RESET, reset)])).unwrap();
            assert_eq!(window.left, None, "{reset}");
        }
        assert_eq!(window(&headers(&[(RESET, "60")])), None);
    }

    fn per_second(policy: &str) -> Option<u32> {
        let said = limits(&headers(&[(POLICY, policy)]));
        said.per_second.map(NonZeroU32::get)
    }

    #[test]
    fn the_policy_tells_the_limit_a_second_and_nonsense_tells_nothing() {
        assert_eq!(per_second("10;w=1, 1000;w=3600"), Some(10));
        assert_eq!(
            per_second("\"day\";q=9;w=86400,\"burst\";q=50;w=1"),
            Some(50)
        );
        for nonsense in [
            "",
            ";;;,,,=",
            "0;w=1",
            "-1;w=1",
            "10",
            "10;w=",
            "ten;w=1",
            "q=1;w=1",
            "99999999999999999999;w=1",
            "{\"limit\": 10}",
        ] {
            assert_eq!(per_second(nonsense), None, "{nonsense}");
        }
        let mut bytes = HeaderMap::new();
        bytes.insert(
            POLICY,
            reqwest::header::HeaderValue::from_bytes(b"\xff\xfe;w=1").unwrap(),
        );
        bytes.insert(REMAINING, "7".parse().unwrap());
        assert_eq!(limits(&bytes).per_second, None);
        assert_eq!(limits(&bytes).hour.unwrap().remaining, 7);
    }

    #[test]
    fn the_hours_limit_is_also_read_from_the_policy() {
        let said = limits(&headers(&[(REMAINING, "7"), (POLICY, "1000;w=3600")]));
        assert_eq!(said.hour.unwrap().limit, Some(1_000));
        let said = limits(&headers(&[
            (REMAINING, "7, 1000;w=3600"),
            (LIMIT, "500;w=3600"),
            (POLICY, "1000;w=3600"),
        ]));
        let hour = said.hour.unwrap();
        assert_eq!((hour.remaining, hour.limit), (7, Some(500)));
    }

    #[test]
    fn a_limit_a_second_is_not_taken_for_the_hours() {
        let said = |limit, reset| {
            let pairs = [(LIMIT, limit), (REMAINING, "3"), (RESET, reset)];
            let said = limits(&headers(&pairs));
            (said.per_second.map(NonZeroU32::get), said.hour.is_some())
        };
        assert_eq!(said("10", "1"), (Some(10), false));
        assert_eq!(said("50", "0"), (Some(50), false));
        assert_eq!(said("50", "60"), (None, true));
        assert_eq!(said("100", "1"), (None, true));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let seconds = headers(&[("retry-after", "31")]);
        assert_eq!(retry_after(&seconds), Some(Duration::from_secs(31)));
        let date = headers(&[
            ("retry-after", "Mon, 21 Sep 2026 14:13:30 GMT"),
            ("date", "Mon, 21 Sep 2026 14:13:20 GMT"),
        ]);
        assert_eq!(retry_after(&date), Some(Duration::from_secs(10)));
        assert_eq!(retry_after(&headers(&[("retry-after", "later")])), None);
    }

    proptest! {
        #[test]
        fn no_headers_make_it_panic(
            values in prop::collection::vec("[-+0-9.eE,;=wq\" ]{0,40}|[ -~]{0,40}", 6),
        ) {
            let names = [LIMIT, REMAINING, RESET, POLICY, "retry-after", "date"];
            let pairs: Vec<_> = names.into_iter().zip(values.iter().map(String::as_str)).collect();
            let headers = headers(&pairs);
            let said = limits(&headers);
            let _ = (retry_after(&headers), come_from_railway(&headers));
            if let Some(window) = said.hour {
                prop_assert!(window.left.is_none() || window.resets_at.is_some());
            }
        }

        #[test]
        fn seconds_are_read_back(seconds in any::<u64>()) {
            let headers = headers(&[("retry-after", &seconds.to_string())]);
            prop_assert_eq!(retry_after(&headers), Some(Duration::from_secs(seconds)));
        }
    }
}
