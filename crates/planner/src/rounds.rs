//! When a round lists anew, when the next one is due, and when it sweeps.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use pool_domain::{Listing, Pace, Policy};

/// Why a round goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// Its time has come.
    Due,
    /// The stock or our own work changed: what Railway shows is not what is new.
    Woken,
}

/// Whether a round looks at the last listing again rather than ask Railway anew: nobody asked for it,
/// and that listing is no older than the ticks' interval, whether it arrived whole or not. So the
/// number of listings does not grow with the number of claims.
#[must_use]
pub fn may_look_again(
    last: &Listing,
    occasion: Occasion,
    somebody_asked: bool,
    now: DateTime<Utc>,
    policy: &Policy,
) -> bool {
    let longest = TimeDelta::from_std(policy.tick_interval).unwrap_or(TimeDelta::MAX);
    occasion == Occasion::Woken && !somebody_asked && now - last.started_at < longest
}

/// When to try creating again, once it was held back or failed. A time that has passed is no reason to
/// hurry: the one instance that is tried is in the making, and its end wakes the next round.
#[must_use]
pub fn try_creating_in(pace: &Pace, now: DateTime<Utc>) -> Duration {
    let longest = Policy::TRY_CREATING_EVERY;
    let until = |at: DateTime<Utc>| (at - now).to_std().unwrap_or_default();
    let stopped = pace.stopped.as_ref().filter(|it| it.try_at > now);
    stopped
        .map_or(longest, |stopped| until(stopped.try_at))
        .clamp(Duration::from_secs(1), longest)
}

/// Whether it is time to sweep. People who wait for a round are not kept waiting, unless that has
/// gone on for long.
#[must_use]
pub fn sweep_is_due(last: Option<DateTime<Utc>>, now: DateTime<Utc>, somebody_waits: bool) -> bool {
    let every = TimeDelta::from_std(Policy::SWEEP_EVERY).unwrap_or(TimeDelta::MAX);
    let patience = if somebody_waits {
        every
    } else {
        TimeDelta::zero()
    };
    last.is_none_or(|last| now - last > every + patience)
}

#[cfg(test)]
mod tests {
    use pool_domain::Completeness;

    use super::*;

    const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

    fn listed(seconds_ago: i64) -> Listing {
        Listing {
            completeness: Completeness::Complete,
            ..Listing::failed(NOW - TimeDelta::seconds(seconds_ago), "")
        }
    }

    #[test]
    fn only_a_wake_looks_again_and_only_at_a_young_listing() {
        let policy = Policy::default();
        let again =
            |last: &Listing, occasion, asked| may_look_again(last, occasion, asked, NOW, &policy);
        assert!(again(&listed(29), Occasion::Woken, false));
        assert!(!again(&listed(30), Occasion::Woken, false));
        assert!(!again(&listed(1), Occasion::Due, false));
        assert!(!again(&listed(1), Occasion::Woken, true));
        let failed = Listing::failed(NOW, "a page is missing");
        assert!(
            again(&failed, Occasion::Woken, false),
            "nothing is inferred from it"
        );
    }

    #[test]
    fn creating_is_tried_again_when_its_pace_allows_and_within_bounds() {
        let mut pace = Pace::default();
        assert_eq!(try_creating_in(&pace, NOW), Policy::TRY_CREATING_EVERY);
        for (at, expected) in [(-5, 20), (0, 20), (7, 7), (900, 20)] {
            pace.stopped = Some(pool_domain::Stopped {
                why: String::new(),
                since: NOW,
                try_at: NOW + TimeDelta::seconds(at),
                until_proven: false,
                tries: 0,
            });
            assert_eq!(try_creating_in(&pace, NOW).as_secs(), expected);
        }
    }

    #[test]
    fn a_sweep_is_due_at_first_then_each_ten_minutes_and_people_come_first() {
        let after = |minutes| NOW + TimeDelta::minutes(minutes);
        assert!(sweep_is_due(None, NOW, true));
        assert!(!sweep_is_due(Some(NOW), after(10), false));
        assert!(sweep_is_due(Some(NOW), after(11), false));
        assert!(!sweep_is_due(Some(NOW), after(11), true));
        assert!(sweep_is_due(Some(NOW), after(21), true));
    }
}
