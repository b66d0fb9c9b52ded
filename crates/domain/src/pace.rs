//! How fast instances are made: slowly at first, not at all once too much failed, and then one at a
//! time until one is whole. It stands in every report, so that a restart does not forget it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::Policy;

/// How fast instances are made by themselves. What a person asks for ignores the slow start, and
/// nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Pace {
    /// How many one tick may make.
    pub per_tick: usize,
    /// How many failed since the last one that became whole.
    pub failed_in_row: usize,
    /// Why none is made, and when one is tried again; none while they are made.
    pub stopped: Option<Stopped>,
}

/// Why no instance is made but the one that tries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stopped {
    /// A sentence for a person: what failed last.
    pub why: String,
    /// When the last one failed, which is what stopped it.
    pub since: DateTime<Utc>,
    /// From when on a single one is tried.
    pub try_at: DateTime<Utc>,
}

/// How the creations of one tick went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Creations {
    /// Instances that became whole.
    pub whole: usize,
    /// Steps that failed; a commit of several instances is one.
    pub failed: usize,
    /// The last failure, in words.
    pub last_error: Option<String>,
    /// What Railway said, where it wants no more of them: its plan allows no more, or they came too
    /// quickly.
    pub limit: Option<String>,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            per_tick: Policy::SLOW_START,
            failed_in_row: 0,
            stopped: None,
        }
    }
}

impl Pace {
    /// How many may be made now: the pace, one where a single one is to be tried, none in between.
    #[must_use]
    pub fn allows(&self, now: DateTime<Utc>) -> usize {
        match &self.stopped {
            None => self.per_tick,
            Some(stopped) => usize::from(stopped.try_at <= now),
        }
    }

    /// Whether what is known by now of creations is to be learned from: trouble at once, and success
    /// when all that were begun have ended, so that the pace doubles once for them.
    #[must_use]
    pub const fn may_learn(creations: &Creations, in_flight: usize) -> bool {
        creations.failed > 0 || creations.limit.is_some() || (in_flight == 0 && creations.whole > 0)
    }

    /// Learns from the creations of a tick that ended now. Where nothing was tried, nothing is
    /// learned.
    pub fn learn(&mut self, tried: &Creations, now: DateTime<Utc>) {
        if (tried.whole, tried.failed) == (0, 0) {
            return;
        }
        self.failed_in_row = match tried.whole {
            0 => self.failed_in_row.saturating_add(tried.failed),
            _ => tried.failed,
        };
        if let Some(said) = &tried.limit {
            self.stop(format!("Railway said: {said}"), now);
        } else if self.failed_in_row >= Policy::CREATE_FAILURES_MAX {
            let last = tried.last_error.as_deref().unwrap_or("no reason given");
            self.stop(
                format!("{} failed in a row, the last: {last}", self.failed_in_row),
                now,
            );
        } else if tried.whole > 0 {
            self.go_on(tried.failed > 0);
        } else if tried.failed > 0 {
            self.back_off(now);
        }
    }

    /// Nobody knows what is left of a try that did not end, so the next one waits as well.
    fn back_off(&mut self, now: DateTime<Utc>) {
        self.per_tick = (self.per_tick / 2).max(1);
        if let Some(stopped) = &mut self.stopped {
            stopped.try_at = now + Policy::TRY_CREATING_EVERY;
        }
    }

    fn go_on(&mut self, some_failed: bool) {
        self.per_tick = match (&self.stopped, some_failed) {
            (Some(_), _) | (None, true) => (self.per_tick / 2).max(1),
            (None, false) => self.per_tick.saturating_mul(2),
        };
        self.per_tick = self.per_tick.min(Policy::CREATES_PER_TICK_MAX);
        self.stopped = None;
    }

    fn stop(&mut self, why: String, now: DateTime<Utc>) {
        let since = self.stopped.as_ref().map_or(now, |stopped| stopped.since);
        self.per_tick = Policy::SLOW_START;
        self.stopped = Some(Stopped {
            why,
            since,
            try_at: now + Policy::TRY_CREATING_EVERY,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: DateTime<Utc> = DateTime::UNIX_EPOCH;

    fn went(whole: usize, failed: usize) -> Creations {
        Creations {
            whole,
            failed,
            last_error: (failed > 0).then(|| "refused".to_owned()),
            limit: None,
        }
    }

    fn limited() -> Creations {
        Creations {
            limit: Some("resource provision limit exceeded".to_owned()),
            ..went(0, 1)
        }
    }

    #[test]
    fn it_starts_slowly_and_doubles_up_to_the_limit_of_a_tick() {
        let mut pace = Pace::default();
        let mut seen = Vec::new();
        for _ in 0..5 {
            seen.push(pace.allows(BEGIN));
            pace.learn(&went(pace.per_tick, 0), BEGIN);
        }
        assert_eq!(seen, [4, 8, 16, 20, 20]);
    }

    #[test]
    fn failures_halve_it_and_the_fifth_in_a_row_stops_it() {
        let mut pace = Pace::default();
        let mut seen = Vec::new();
        for _ in 0..5 {
            pace.learn(&went(0, 1), BEGIN);
            seen.push(pace.allows(BEGIN));
        }
        assert_eq!(seen, [2, 1, 1, 1, 0]);
        let why = pace.stopped.unwrap().why;
        assert_eq!(why, "5 failed in a row, the last: refused");
    }

    #[test]
    fn one_that_becomes_whole_ends_the_row_of_failures() {
        let mut pace = Pace::default();
        for _ in 0..10 {
            pace.learn(&went(0, 3), BEGIN);
            pace.learn(&went(1, 0), BEGIN);
        }
        assert_eq!(pace.stopped, None);
    }

    #[test]
    fn a_limit_stops_it_at_once_until_a_single_one_became_whole() {
        let mut pace = Pace::default();
        pace.learn(&limited(), BEGIN);
        let mut at = BEGIN;
        for _ in 0..3 {
            assert_eq!(pace.allows(at), 0);
            at += Policy::TRY_CREATING_EVERY;
            assert_eq!(pace.allows(at), 1, "a single one is tried");
            pace.learn(&limited(), at);
        }
        assert_eq!(pace.stopped.as_ref().unwrap().since, BEGIN);
        at += Policy::TRY_CREATING_EVERY;
        pace.learn(&went(1, 0), at);
        assert_eq!((&pace.stopped, pace.allows(at)), (&None, 2));
    }

    #[test]
    fn a_tick_that_tries_nothing_does_not_put_off_the_next_try() {
        let mut pace = Pace::default();
        pace.learn(&went(0, Policy::CREATE_FAILURES_MAX), BEGIN);
        let half = BEGIN + Policy::TRY_CREATING_EVERY / 2;
        pace.learn(&Creations::default(), half);
        assert_eq!(pace.allows(BEGIN + Policy::TRY_CREATING_EVERY), 1);
        assert!(pace.stopped.unwrap().why.ends_with("refused"));
    }

    #[test]
    fn a_single_one_that_fails_for_another_reason_waits_as_well() {
        let mut pace = Pace::default();
        pace.learn(&limited(), BEGIN);
        let at = BEGIN + Policy::TRY_CREATING_EVERY;
        pace.learn(&went(0, 1), at);
        assert_eq!(pace.allows(at), 0);
        assert_eq!(pace.allows(at + Policy::TRY_CREATING_EVERY), 1);
        pace.learn(&Creations::default(), at);
        assert!(pace.stopped.is_some(), "nothing tried, nothing learned");
    }
}
