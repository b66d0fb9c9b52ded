//! How what is left of an hour's budget is shared out: which call may still be sent, and how often
//! a listing. Pure. What is not kept for something may be spent as fast as it comes.

use std::time::Duration;

use super::Task;
use crate::limits::{
    BURST_PERCENT, CREATE_REQUESTS, DESTROYING_PERCENT, DESTROYING_PERCENT_MAX, LISTING_PERCENT,
    MIN_KEPT_FOR_DESTROYING, SLOW_LISTING_PERCENT, SLOWEST_LISTING, WINDOW,
};

/// A window of Railway's, as it stands now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    /// Requests that it allows.
    pub(crate) limit: u64,
    /// Requests left.
    pub(crate) remaining: u64,
    /// How long it lasts.
    pub(crate) left: Duration,
    /// What one listing takes.
    pub(crate) listing_requests: u64,
    /// How often a listing is asked for.
    pub(crate) listing_interval: Duration,
}

impl Standing {
    /// Whether a call may still be sent. A listing may always: how often it is made is said by
    /// [`Self::listing_every`].
    pub(crate) fn allows(&self, task: Task) -> bool {
        match task {
            Task::FirstPage | Task::NextPage | Task::Setup => true,
            Task::Begin => self.creates_left() > 0,
            Task::Finish | Task::Adoption => self.remaining > self.kept_for_destroying(),
            Task::Destroy => self.remaining > self.kept_for_slow_listing(),
        }
    }

    /// How many instances may still be begun.
    pub(crate) fn creates_left(&self) -> u64 {
        let kept = self.kept_for_listing() + self.kept_for_destroying();
        self.remaining.saturating_sub(kept) / CREATE_REQUESTS
    }

    /// What creating leaves alone so that listings go on as asked for; where the limit is small, no
    /// more than their share of it.
    pub(crate) fn kept_for_listing(&self) -> u64 {
        let share = part(self.percent(LISTING_PERCENT), self.left, WINDOW);
        self.requests_at(self.listing_interval).min(share)
    }

    /// What creating, adopting and listing leave alone.
    pub(crate) fn kept_for_destroying(&self) -> u64 {
        self.percent(DESTROYING_PERCENT)
            .max(MIN_KEPT_FOR_DESTROYING)
            .min(self.percent(DESTROYING_PERCENT_MAX))
    }

    /// What destroying leaves alone: a listing now and then, without which the stock cannot be kept.
    fn kept_for_slow_listing(&self) -> u64 {
        self.requests_at(SLOWEST_LISTING)
            .min(self.percent(SLOW_LISTING_PERCENT))
    }

    /// From one listing to the next. As asked for while what is left keeps up with an even use of
    /// the window, or nearly so; else what is left is spread over the rest of it.
    pub(crate) fn listing_every(&self) -> Duration {
        let asked = self.listing_interval;
        let slowest = SLOWEST_LISTING.max(asked);
        if !self.is_behind() {
            return asked;
        }
        let kept = self.kept_for_destroying();
        let affordable = self.remaining.saturating_sub(kept) / self.listing_requests.max(1);
        match u32::try_from(affordable) {
            Ok(0) => slowest,
            Ok(affordable) => (self.left / affordable).clamp(asked, slowest),
            Err(_more_than_anybody_needs) => asked,
        }
    }

    /// Why listings are not made more often.
    pub(crate) fn why_not_more_often(&self) -> String {
        let Self {
            limit,
            remaining,
            left,
            listing_interval,
            ..
        } = self;
        let every = self.listing_every();
        let asked = if every > *listing_interval {
            format!(", not every {} s", listing_interval.as_secs())
        } else {
            String::new()
        };
        format!(
            "Railway allows {limit} requests an hour, and of the {remaining} left for {} min {} are \
             kept for destroying, so it can be listed every {} s{asked}",
            left.as_secs().div_ceil(60),
            self.kept_for_destroying().min(*remaining),
            every.as_secs(),
        )
    }

    fn percent(&self, percent: u64) -> u64 {
        u64::try_from(u128::from(self.limit) * u128::from(percent) / 100).unwrap_or(u64::MAX)
    }

    /// Whether less is left than after an even use of the window until now, by more than a burst
    /// takes. What a burst may take shrinks with the window, or the last of it would be creating's.
    pub(crate) fn is_behind(&self) -> bool {
        let kept = self.kept_for_destroying();
        let to_spend = (self.limit - kept).saturating_sub(self.percent(BURST_PERCENT));
        self.remaining < kept + part(to_spend, self.left, WINDOW)
    }

    /// What listings at this interval take until the window ends.
    fn requests_at(&self, interval: Duration) -> u64 {
        let listings = self.left.as_millis().div_ceil(interval.as_millis().max(1));
        u64::try_from(listings)
            .unwrap_or(u64::MAX)
            .saturating_mul(self.listing_requests.max(1))
    }
}

/// The part of a number that a time is of another.
fn part(whole: u64, of: Duration, from: Duration) -> u64 {
    let of = of.min(from).as_millis();
    u64::try_from(u128::from(whole) * of / from.as_millis().max(1)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(limit: u64, remaining: u64) -> Standing {
        Standing {
            limit,
            remaining,
            left: WINDOW,
            listing_requests: 1,
            listing_interval: Duration::from_secs(30),
        }
    }

    fn half_an_hour(limit: u64, remaining: u64) -> Standing {
        Standing {
            left: WINDOW / 2,
            ..hour(limit, remaining)
        }
    }

    #[test]
    fn each_plan_has_its_shares() {
        let shares = |limit| {
            let standing = hour(limit, limit);
            (
                standing.kept_for_listing(),
                standing.kept_for_destroying(),
                standing.kept_for_slow_listing(),
                standing.creates_left(),
            )
        };
        assert_eq!(shares(100), (40, 20, 12, 10));
        assert_eq!(shares(1_000), (120, 100, 12, 195));
        assert_eq!(shares(10_000), (120, 1_000, 12, 2_220));
        assert_eq!(shares(0), (0, 0, 0, 0));
        assert_eq!(shares(u64::MAX).0, 120);
    }

    #[test]
    fn creating_stops_first_then_adopting_and_finishing_and_destroying_last() {
        let allowed = |remaining| {
            let standing = half_an_hour(1_000, remaining);
            [Task::Begin, Task::Finish, Task::Adoption, Task::Destroy]
                .map(|task| standing.allows(task))
        };
        assert_eq!(allowed(164), [true, true, true, true]);
        assert_eq!(allowed(163), [false, true, true, true]);
        assert_eq!(allowed(101), [false, true, true, true]);
        assert_eq!(allowed(100), [false, false, false, true]);
        assert_eq!(allowed(7), [false, false, false, true]);
        assert_eq!(allowed(6), [false, false, false, false]);
        for task in [Task::FirstPage, Task::NextPage, Task::Setup] {
            assert!(half_an_hour(1_000, 0).allows(task));
        }
    }

    #[test]
    fn a_listing_keeps_its_pace_until_the_budget_falls_behind() {
        let every = |standing: Standing| standing.listing_every().as_secs();
        assert_eq!(every(hour(10_000, 10_000)), 30);
        assert_eq!(every(half_an_hour(1_000, 500)), 30);
        // Far behind an even use, and still enough for each tick.
        assert_eq!(every(half_an_hour(1_000, 160)), 30);
        assert_eq!(every(half_an_hour(1_000, 130)), 60);
        assert_eq!(every(half_an_hour(1_000, 100)), 300);
        assert_eq!(every(half_an_hour(1_000, 0)), 300);
        // A free plan: 80 of its 100 requests are for listings, unless instances are made.
        assert_eq!(every(hour(100, 100)), 30);
        assert_eq!(every(half_an_hour(100, 54)), 52);
        assert_eq!(every(half_an_hour(100, 57)), 30);
        let slow = Standing {
            listing_interval: Duration::from_hours(1),
            ..half_an_hour(100, 20)
        };
        assert_eq!(slow.listing_every(), Duration::from_hours(1));
    }

    #[test]
    fn a_listing_of_more_pages_is_made_less_often() {
        let standing = Standing {
            listing_requests: 3,
            ..half_an_hour(1_000, 280)
        };
        assert_eq!(standing.kept_for_listing(), 180);
        assert_eq!(standing.listing_every().as_secs(), 30);
        let standing = Standing {
            remaining: 190,
            ..standing
        };
        assert_eq!(standing.listing_every().as_secs(), 60);
    }

    /// An hour of ticks on the smallest plan, with instances made whenever the shares allow it.
    #[test]
    fn on_a_free_plan_neither_starves_the_other() {
        let (mut listings, mut made) = (0, 0);
        let mut standing = hour(100, 100);
        let mut next = Duration::ZERO;
        for second in 0..3_600 {
            let now = Duration::from_secs(second);
            standing.left = WINDOW.saturating_sub(now);
            if now >= next && standing.remaining > 0 {
                standing.remaining -= 1;
                listings += 1;
                next = now + standing.listing_every();
            }
            if second % 60 == 0 && standing.allows(Task::Begin) {
                standing.remaining -= CREATE_REQUESTS;
                made += 1;
            }
        }
        assert!((8..=12).contains(&made), "{made} made");
        assert!((34..=50).contains(&listings), "{listings} listings");
        assert!((10..=24).contains(&standing.remaining), "{standing:?}");
    }
}
