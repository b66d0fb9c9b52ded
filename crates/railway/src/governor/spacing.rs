//! Keeps calls apart in time, so that no second sees more of them than its limiter takes.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

use crate::Limits;

/// A leaky bucket: calls leave at an even rate, and after a pause a few of them at once.
#[derive(Debug)]
pub(super) struct Spacing {
    interval: Duration,
    at_once: u32,
    /// When the bucket is empty, and the next burst complete.
    empty_at: Option<Instant>,
    limits: Limits,
}

impl Spacing {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            interval: every(limits.requests_per_second),
            at_once: limits.burst_requests.get(),
            empty_at: None,
            limits,
        }
    }

    /// How long the next call has to wait.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        let ahead = self.interval * (self.at_once - 1);
        self.empty_at.map_or(Duration::ZERO, |empty_at| {
            empty_at
                .saturating_duration_since(now)
                .saturating_sub(ahead)
        })
    }

    /// Notes that a call leaves, so that the next ones keep their distance.
    pub(super) fn sent(&mut self, now: Instant) {
        let from = self.empty_at.map_or(now, |empty_at| empty_at.max(now));
        self.empty_at = Some(from + self.interval);
    }

    /// Takes in how many calls a second Railway says that it allows. More than we send by ourselves
    /// changes nothing, since the edge in front of Railway has a limit of its own.
    pub(super) fn told(&mut self, per_second: NonZeroU32) {
        let ours = self.limits.requests_per_second.get() + self.limits.burst_requests.get();
        if per_second.get() >= ours {
            self.interval = every(self.limits.requests_per_second);
            self.at_once = self.limits.burst_requests.get();
        } else {
            // One fewer, since a second that begins just before a call holds one more than the rate.
            let rate = NonZeroU32::new(per_second.get() - 1);
            self.interval = every(rate.unwrap_or(NonZeroU32::MIN));
            self.at_once = 1;
        }
    }
}

fn every(per_second: NonZeroU32) -> Duration {
    Duration::from_secs(1) / per_second.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The most calls that any second sees, out of a long row of them after a pause.
    fn most_in_a_second(spacing: &mut Spacing) -> usize {
        let start = spacing.empty_at.unwrap_or_else(Instant::now) + Duration::from_secs(10);
        let mut now = start;
        let mut left = Vec::new();
        for _ in 0..100 {
            now += spacing.wait(now);
            spacing.sent(now);
            left.push(now - start);
        }
        let second = Duration::from_secs(1);
        let within = |from: Duration| {
            left.iter()
                .filter(move |at| (from..=from + second).contains(at))
        };
        left.iter().map(|from| within(*from).count()).max().unwrap()
    }

    #[tokio::test]
    async fn no_second_sees_as_many_as_ten_by_default() {
        assert_eq!(most_in_a_second(&mut Spacing::new(Limits::default())), 9);
    }

    #[tokio::test]
    async fn a_lower_limit_is_kept_as_long_as_railway_says_it() {
        let told = |n| NonZeroU32::new(n).unwrap();
        let mut spacing = Spacing::new(Limits::default());
        spacing.told(told(5));
        assert_eq!(most_in_a_second(&mut spacing), 5);
        spacing.told(told(50));
        assert_eq!(most_in_a_second(&mut spacing), 9);
        spacing.told(told(1));
        assert!(most_in_a_second(&mut spacing) <= 2);
    }
}
