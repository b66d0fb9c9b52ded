//! Railway's own limiter, so many requests an hour and a second, told in headers; and the edge's.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use super::{EdgeLimit, RateLimits, ResetFormat};

/// The window that `X-RateLimit-Limit` counts in.
const WINDOW: TimeDelta = TimeDelta::hours(1);

/// What was spent of the limits.
#[derive(Debug, Clone, Default)]
pub(super) struct Limiter {
    window_end: Option<DateTime<Utc>>,
    spent: u32,
    second_end: Option<DateTime<Utc>>,
    spent_in_second: u32,
}

/// What the headers of an answer say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateHeaders {
    /// `X-RateLimit-Limit`.
    pub limit: u32,
    /// `X-RateLimit-Remaining`.
    pub remaining: u32,
    /// `X-RateLimit-Reset`, in the configured form.
    pub reset: String,
    /// `RateLimit-Policy`.
    pub policy: String,
}

impl Limiter {
    /// Spends so many points for one request. Gives the headers of its answer, none where there is no limit an hour,
    /// and for how many seconds it is refused.
    pub(super) fn spend(
        &mut self,
        now: DateTime<Utc>,
        limits: &RateLimits,
        points: u32,
    ) -> (Option<RateHeaders>, Option<u64>) {
        if self.window_end.is_none_or(|end| end <= now) {
            self.window_end = Some(now + WINDOW);
            self.spent = 0;
        }
        if self.second_end.is_none_or(|end| end <= now) {
            self.second_end = Some(now + TimeDelta::seconds(1));
            self.spent_in_second = 0;
        }
        let refused_for = self.refusal(now, limits);
        if refused_for.is_none() {
            self.spent = self.spent.saturating_add(points);
            self.spent_in_second = self.spent_in_second.saturating_add(1);
        }
        (
            limits.per_hour.map(|limit| self.headers(limit, limits)),
            refused_for,
        )
    }

    /// For how many seconds the next request is refused.
    fn refusal(&self, now: DateTime<Utc>, limits: &RateLimits) -> Option<u64> {
        let until = |end: Option<DateTime<Utc>>| {
            let millis = end.map_or(0, |end| (end - now).num_milliseconds());
            u64::try_from(millis).unwrap_or(0).div_ceil(1000).max(1)
        };
        if limits.per_hour.is_some_and(|limit| self.spent >= limit) {
            Some(until(self.window_end))
        } else if limits
            .per_second
            .is_some_and(|limit| self.spent_in_second >= limit)
        {
            Some(until(self.second_end))
        } else {
            None
        }
    }

    fn headers(&self, limit: u32, limits: &RateLimits) -> RateHeaders {
        let end = self.window_end.unwrap_or_default();
        RateHeaders {
            limit,
            remaining: limit.saturating_sub(self.spent),
            reset: match limits.reset {
                ResetFormat::UnixSeconds => end.timestamp().to_string(),
                ResetFormat::UnixMillis => end.timestamp_millis().to_string(),
                ResetFormat::Iso => end.to_rfc3339_opts(SecondsFormat::Millis, true),
            },
            policy: format!("{limit};w={}", WINDOW.num_seconds()),
        }
    }
}

/// The limiter of the edge: blocks for a while whoever asked too often.
#[derive(Debug, Clone, Default)]
pub(super) struct Edge {
    second_end: Option<DateTime<Utc>>,
    asked_in_second: u32,
    blocked_until: Option<DateTime<Utc>>,
}

impl Edge {
    /// Counts a request, and says whether it is blocked.
    pub(super) fn blocks(&mut self, now: DateTime<Utc>, limit: &EdgeLimit) -> bool {
        if self.blocked_until.is_some_and(|until| now < until) {
            return true;
        }
        if self.second_end.is_none_or(|end| end <= now) {
            self.second_end = Some(now + TimeDelta::seconds(1));
            self.asked_in_second = 0;
        }
        self.asked_in_second = self.asked_in_second.saturating_add(1);
        let exceeded = self.asked_in_second > limit.per_second;
        if exceeded {
            self.blocked_until = Some(now + Duration::from_millis(limit.block_ms));
        }
        exceeded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(per_hour: u32, per_second: u32) -> RateLimits {
        RateLimits {
            per_hour: Some(per_hour),
            per_second: Some(per_second),
            ..RateLimits::default()
        }
    }

    #[test]
    fn the_hour_is_refused_when_spent_and_begins_anew() {
        let mut limiter = Limiter::default();
        let start = DateTime::UNIX_EPOCH;
        assert_eq!(limiter.spend(start, &limits(2, 50), 1).1, None);
        let later = start + TimeDelta::minutes(59);
        assert_eq!(limiter.spend(later, &limits(2, 50), 1).1, None);
        let (headers, refused) = limiter.spend(later, &limits(2, 50), 1);
        assert_eq!(refused, Some(60));
        let headers = headers.expect("headers are sent where there is a limit");
        assert_eq!((headers.remaining, headers.reset.as_str()), (0, "3600"));
        assert_eq!(
            limiter
                .spend(start + TimeDelta::hours(1), &limits(2, 50), 1)
                .1,
            None
        );
    }

    #[test]
    fn a_burst_within_one_second_is_refused_for_that_second_only() {
        let mut limiter = Limiter::default();
        let start = DateTime::UNIX_EPOCH;
        for _ in 0..3 {
            assert_eq!(limiter.spend(start, &limits(100, 3), 1).1, None);
        }
        assert_eq!(limiter.spend(start, &limits(100, 3), 1).1, Some(1));
        assert_eq!(
            limiter
                .spend(start + TimeDelta::seconds(1), &limits(100, 3), 1)
                .1,
            None
        );
    }
}
