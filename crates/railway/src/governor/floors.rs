//! Two floors under what is left of an hour's budget: one kept for listing, one for destroying. Each
//! is a number that follows from the plan, and none moves with the time that is left. Pure.

use std::time::Duration;

use tokio::time::Instant;

use super::Task;
use super::window::Window;
use crate::limits::{
    CREATE_REQUESTS, DESTROYING_PERCENT, DESTROYING_PERCENT_MAX, LISTING_PERCENT,
    MIN_KEPT_FOR_DESTROYING, SLOW_LISTING_PERCENT, SLOWEST_LISTING, WINDOW,
};

/// What is kept of an hour's requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Floors {
    /// What creating leaves for listing.
    pub(super) listing: u64,
    /// What creating, adopting and listing leave for destroying.
    pub(super) destroying: u64,
    /// What destroying leaves for a listing now and then, without which the stock cannot be kept.
    slow_listing: u64,
    limit: u64,
    listing_interval: Duration,
    /// The time between listings that take, evenly spread, what is kept for listing at most.
    even_listing: Duration,
}

impl Floors {
    /// Of so many requests an hour, where a listing takes so many and is asked for so often.
    pub(super) fn of(limit: u64, listing_requests: u64, listing_interval: Duration) -> Self {
        let percent = |percent: u64| {
            u64::try_from(u128::from(limit) * u128::from(percent) / 100).unwrap_or(u64::MAX)
        };
        let an_hour_at = |interval: Duration| {
            let listings = WINDOW.as_millis().div_ceil(interval.as_millis().max(1));
            let listings = u64::try_from(listings).unwrap_or(u64::MAX);
            listings.saturating_mul(listing_requests.max(1))
        };
        Self {
            listing: an_hour_at(listing_interval).min(percent(LISTING_PERCENT)),
            destroying: percent(DESTROYING_PERCENT)
                .max(MIN_KEPT_FOR_DESTROYING)
                .min(percent(DESTROYING_PERCENT_MAX)),
            slow_listing: an_hour_at(SLOWEST_LISTING).min(percent(SLOW_LISTING_PERCENT)),
            limit,
            listing_interval,
            even_listing: WINDOW
                .saturating_mul(u32::try_from(listing_requests.max(1)).unwrap_or(u32::MAX))
                / u32::try_from(percent(LISTING_PERCENT).max(1)).unwrap_or(u32::MAX),
        }
    }

    /// Whether a call may still be sent with so much left. A listing may always: how often it is made
    /// is said by [`Self::between_listings`].
    pub(super) const fn allow(&self, task: Task, remaining: u64) -> bool {
        match task {
            Task::FirstPage | Task::NextPage | Task::Setup => true,
            Task::Begin => self.creates_left(remaining) > 0,
            Task::Finish | Task::Adoption => remaining > self.destroying,
            Task::Destroy => remaining > self.slow_listing,
        }
    }

    /// How many instances may still be begun with so much left.
    pub(super) const fn creates_left(&self, remaining: u64) -> u64 {
        let kept = self.listing.saturating_add(self.destroying);
        remaining.saturating_sub(kept) / CREATE_REQUESTS
    }

    /// The least time between two listings with so much left: never less than spreads their pages
    /// evenly over the hour. That is a moment where a plan is large enough, so that whatever wakes a
    /// tick is seen at once in the first half of the budget; in the second half it is the interval
    /// asked for; and below the floor of destroying the longest.
    pub(super) fn between_listings(&self, remaining: u64) -> Duration {
        let between = if remaining > self.limit / 2 {
            Duration::ZERO
        } else if remaining > self.destroying {
            self.listing_interval
        } else {
            SLOWEST_LISTING.max(self.listing_interval)
        };
        between.max(self.even_listing)
    }

    /// Why listings are made less often than asked for, if they are.
    pub(super) fn why_slower(
        &self,
        window: &Window,
        asked: Duration,
        now: Instant,
    ) -> Option<String> {
        let every = self.between_listings(window.remaining);
        if window.is_assumed || every <= asked {
            return None;
        }
        if every == self.even_listing {
            return Some(format!(
                "Railway allows {} requests an hour, of which listings take {LISTING_PERCENT} % at \
                 most, so it is listed every {} s, not every {} s",
                window.limit,
                every.as_secs(),
                asked.as_secs(),
            ));
        }
        Some(format!(
            "Railway allows {} requests an hour, and the {} left for {} min are kept for destroying, so \
             it is listed every {} s, not every {} s",
            window.limit,
            window.remaining,
            window.left(now).as_secs().div_ceil(60),
            every.as_secs(),
            asked.as_secs(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floors(limit: u64) -> Floors {
        Floors::of(limit, 1, Duration::from_secs(30))
    }

    #[test]
    fn each_plan_has_its_floors() {
        let kept = |limit| {
            let floors = floors(limit);
            (
                floors.listing,
                floors.destroying,
                floors.slow_listing,
                floors.creates_left(limit),
            )
        };
        assert_eq!(kept(100), (40, 20, 12, 10));
        assert_eq!(kept(1_000), (120, 100, 12, 195));
        assert_eq!(kept(10_000), (120, 1_000, 12, 2_220));
        assert_eq!(kept(0), (0, 0, 0, 0));
        assert_eq!(kept(u64::MAX).0, 120);
        let of_three_pages = Floors::of(1_000, 3, Duration::from_secs(30));
        assert_eq!(
            (of_three_pages.listing, of_three_pages.slow_listing),
            (360, 36)
        );
    }

    #[test]
    fn creating_stops_first_then_adopting_and_finishing_and_destroying_last() {
        let allowed = |remaining| {
            [Task::Begin, Task::Finish, Task::Adoption, Task::Destroy]
                .map(|task| floors(1_000).allow(task, remaining))
        };
        assert_eq!(allowed(224), [true, true, true, true]);
        assert_eq!(allowed(223), [false, true, true, true]);
        assert_eq!(allowed(101), [false, true, true, true]);
        assert_eq!(allowed(100), [false, false, false, true]);
        assert_eq!(allowed(13), [false, false, false, true]);
        assert_eq!(allowed(12), [false, false, false, false]);
        for task in [Task::FirstPage, Task::NextPage, Task::Setup] {
            assert!(floors(1_000).allow(task, 0));
        }
    }

    #[test]
    fn the_pages_of_many_services_are_spread_over_the_hour() {
        let between = |limit, pages| {
            let floors = Floors::of(limit, pages, Duration::from_secs(30));
            floors.between_listings(limit).as_secs()
        };
        assert_eq!((between(10_000, 1), between(10_000, 20)), (0, 18));
        assert_eq!((between(1_000, 1), between(1_000, 20)), (9, 180));
        assert_eq!((between(100, 1), between(100, 20)), (90, 1_800));
    }

    #[test]
    fn listings_become_rarer_in_two_steps() {
        let between = |limit, remaining| floors(limit).between_listings(remaining).as_secs();
        assert_eq!((between(1_000, 501), between(1_000, 500)), (9, 30));
        assert_eq!((between(1_000, 101), between(1_000, 100)), (30, 300));
        assert_eq!(
            (between(100, 21), between(100, 20), between(100, 0)),
            (90, 300, 300)
        );
        let hourly = Floors::of(100, 1, Duration::from_hours(1));
        assert_eq!(hourly.between_listings(0), Duration::from_hours(1));
    }
}
