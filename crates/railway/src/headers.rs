//! What an answer's headers say of Railway's limits. How the end of the window is written is not
//! documented, so every plausible way is read; `RateLimit-Policy` is left alone.

use std::time::Duration;

use chrono::{DateTime, Utc};
use pool_domain::{Clock, SystemClock};
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

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

/// The window, if the answer comes from Railway's own limiter.
pub(crate) fn window(headers: &HeaderMap) -> Option<Window> {
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

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    text(headers, name)?.parse().ok()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

#[cfg(test)]
mod tests {
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
}
