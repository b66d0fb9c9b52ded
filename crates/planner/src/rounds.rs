//! When a round lists anew, when the next one is due, and when it sweeps.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use pool_domain::{Instance, Listing, Pace, Policy, Probe, ResourceRecord, Stage, Status};

use crate::{Plan, Snapshot};

/// Why a round goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// Its time has come.
    Due,
    /// The stock or our own work changed: what Railway shows is not what is new.
    Woken,
}

/// What rounds know of movement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Movement {
    /// When anything moved last; none where that is not known, or something goes wrong just now.
    pub last_at: Option<DateTime<Utc>>,
    /// Whether one that was begun lately is not proven yet, so that Railway is watched.
    pub is_watched: bool,
}

/// Whether a round looks at the last listing again rather than ask Railway anew: nobody asked for it,
/// and that listing is young enough, whether it arrived whole or not.
///
/// One that something woke takes it up to the ticks' interval, so that the number of listings does not
/// grow with the number of claims; less where Railway is watched. One whose time has come takes it where
/// nothing has moved: for as long as that was before the listing, up to some ticks. So a quiet pool is
/// listed after one, two and then each four of them, and with each tick as soon as something moves.
#[must_use]
pub fn may_look_again(
    last: &Listing,
    occasion: Occasion,
    movement: Movement,
    now: DateTime<Utc>,
    policy: &Policy,
) -> bool {
    let good_for = match (occasion, movement.last_at) {
        (Occasion::Woken, _) if movement.is_watched => policy.watched_every(),
        (Occasion::Woken, _) => policy.tick_interval,
        (Occasion::Due, None) => Duration::ZERO,
        (Occasion::Due, Some(at)) => {
            let quiet = (last.started_at - at).to_std().unwrap_or_default();
            let ticks = quiet.min(policy.quiet_listing_every());
            // None below one tick, and a fifth of one less, since a tick may come a tenth early.
            ticks
                .checked_sub(policy.tick_interval)
                .map_or(Duration::ZERO, |more| more + policy.tick_interval * 4 / 5)
        }
    };
    let good_for = TimeDelta::from_std(good_for).unwrap_or(TimeDelta::MAX);
    now - last.started_at < good_for
}

/// Whether anything moves, or may soon: something is begun, waits, goes wrong or was just changed. What
/// an agent says is seen without Railway; what becomes of a deployment is not.
#[must_use]
pub fn moves(snapshot: &Snapshot, plan: &Plan) -> bool {
    let is_settled = |row: &Instance| {
        matches!(row.status, Status::Idle | Status::Claimed | Status::Crashed)
            && !row.is_to_be_destroyed()
            && row.missing_since.is_none()
    };
    let is_made = |it: &ResourceRecord| it.stage == Stage::Created;
    let probes = &mut snapshot.probes.values();
    !plan.is_idle()
        || !snapshot.listing.is_complete()
        || snapshot.requested_creates > 0
        || !snapshot.in_flight.is_empty()
        || !snapshot.rows.iter().all(is_settled)
        || !snapshot.provisions.iter().all(is_made)
        || probes.any(|probe| *probe != Probe::Ready)
}

/// Whether one that was begun lately is not proven yet: only a listing tells that its deployment failed.
pub(crate) fn is_watched(pace: &Pace, now: DateTime<Utc>) -> bool {
    let lately = TimeDelta::from_std(Policy::STARTING_COUNTS_FOR).unwrap_or(TimeDelta::MAX);
    pace.unproven.iter().any(|it| now - it.begun_at < lately)
}

/// Within which time to go round again, and list, though nothing wakes the round.
#[must_use]
pub fn watches_in(
    movement: Movement,
    last: &Listing,
    now: DateTime<Utc>,
    policy: &Policy,
) -> Option<Duration> {
    let every = policy.watched_every();
    let since = (now - last.started_at).to_std().unwrap_or_default();
    // An older one was looked at again since the budget allows no other: that is not hurried.
    let left = every.checked_sub(since).filter(|left| !left.is_zero());
    movement.is_watched.then(|| left.unwrap_or(every))
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
    fn a_wake_looks_again_at_a_young_listing() {
        let policy = Policy::default();
        let again = |last: &Listing, occasion, is_watched| {
            let movement = Movement {
                last_at: None,
                is_watched,
            };
            may_look_again(last, occasion, movement, NOW, &policy)
        };
        assert!(again(&listed(29), Occasion::Woken, false));
        assert!(!again(&listed(30), Occasion::Woken, false));
        assert!(again(&listed(9), Occasion::Woken, true));
        assert!(!again(&listed(10), Occasion::Woken, true), "it is watched");
        assert!(!again(&listed(1), Occasion::Due, false));
        let failed = Listing::failed(NOW, "a page is missing");
        assert!(
            again(&failed, Occasion::Woken, false),
            "nothing is inferred from it"
        );
    }

    #[test]
    fn what_is_not_proven_is_watched_each_ten_seconds_and_never_in_a_hurry() {
        let policy = Policy::default();
        let watched = Movement {
            last_at: None,
            is_watched: true,
        };
        let within = |ago| watches_in(watched, &listed(ago), NOW, &policy).map(|it| it.as_secs());
        assert_eq!([0, 4, 10, 60].map(within), [10, 6, 10, 10].map(Some));
        assert_eq!(
            watches_in(Movement::default(), &listed(0), NOW, &policy),
            None
        );
    }

    #[test]
    fn a_quiet_pool_is_listed_after_one_two_and_then_four_ticks() {
        let policy = Policy::default();
        let mut last = listed(0);
        let since = |at| Movement {
            last_at: at,
            is_watched: false,
        };
        let mut listed_at = Vec::new();
        for tick in 1..=20 {
            let now = NOW + TimeDelta::seconds(30 * tick - (tick % 3));
            if !may_look_again(&last, Occasion::Due, since(Some(NOW)), now, &policy) {
                last.started_at = now;
                listed_at.push(tick);
            }
        }
        assert_eq!(listed_at, [1, 2, 4, 8, 12, 16, 20]);
        let now = last.started_at + TimeDelta::seconds(30);
        let again = |at| may_look_again(&last, Occasion::Due, since(at), now, &policy);
        assert!(again(Some(NOW)));
        assert!(!again(Some(now)), "something moved");
        assert!(!again(None), "nobody knows since when nothing has");
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
