//! How many instances are made at once: few at first, not at all once too much failed, and then one at
//! a time. It learns from what becomes of them: one that was proven ready is good, one that is given up
//! before it ever was is bad, and so is a step of making that fails. It stands in every report, so that
//! a restart or another leader does not forget it.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::{InstanceId, Policy};

/// How many instances are made at once by themselves. What a person asks for ignores the slow start,
/// and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Pace {
    /// How many may be in the making, or made and not proven ready yet: few while nobody knows what
    /// becomes of them, and as many as Railway's budget lets be made once some were proven.
    pub at_once: usize,
    /// What is known of the image that they are made from.
    pub image: ProvenImage,
    /// How many steps failed since the last instance that became whole.
    pub failed_in_row: usize,
    /// How many were given up before they were ever ready, since the last one that was.
    pub died_in_row: usize,
    /// What became of the last ones, the latest last: whether they were proven.
    pub recent: Vec<bool>,
    /// How the last steps of making went, likewise.
    pub recent_steps: Vec<bool>,
    /// What goes wrong; none once something went well.
    pub trouble: Option<Trouble>,
    /// Why none is made, and when one is tried again; none while they are made.
    pub stopped: Option<Stopped>,
    /// Those that were begun, and of which it is not known yet what becomes of them.
    pub unproven: Vec<Unproven>,
}

/// What is known of the image that instances are made from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProvenImage {
    /// Which one; empty before any was made.
    pub name: String,
    /// How many were proven ready since it was last in doubt: another image, a stop, many that died.
    pub proven: usize,
    /// When the last one was: a tag may point to another image by tomorrow.
    pub last_at: Option<DateTime<Utc>>,
}

/// What goes wrong with making instances, for whoever has to see to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trouble {
    /// Since when.
    pub since: DateTime<Utc>,
    /// How often it went wrong since then.
    pub failed: usize,
    /// The last words of Railway, of the account or of the agent.
    pub last: String,
    /// What a person can do.
    pub what_to_do: String,
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
    /// Whether only one that is proven ready ends it, and not one that is merely made.
    #[serde(default)]
    pub until_proven: bool,
    /// How many that tried were given up since.
    #[serde(default)]
    pub tries: u32,
}

/// An instance of which it is not known yet what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unproven {
    /// Which one.
    pub id: InstanceId,
    /// When its making was begun, or was last taken up again: what went well and was begun before a
    /// stop says nothing of its cause.
    pub begun_at: DateTime<Utc>,
}

/// How the steps of making went lately.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Creations {
    /// Instances that became whole.
    pub whole: Vec<InstanceId>,
    /// Steps that failed; a commit of several instances is one.
    pub failed: usize,
    /// The last failure, in words.
    pub last_error: Option<String>,
    /// Who wants no more of them, and in which words.
    pub limit: Option<Limit>,
}

/// Somebody wants no more of what was to be made: Railway's plan, an account's quota, a throttle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// Who says what.
    pub said: String,
    /// How long to wait, where that was said.
    pub wait: Option<Duration>,
    /// What a person can do.
    pub what_to_do: String,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            at_once: Policy::SLOW_START,
            image: ProvenImage::default(),
            failed_in_row: 0,
            died_in_row: 0,
            recent: Vec::new(),
            recent_steps: Vec::new(),
            trouble: None,
            stopped: None,
            unproven: Vec::new(),
        }
    }
}

impl Creations {
    /// Whether there is anything to learn from.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.failed == 0
    }
}

impl Pace {
    /// How many may be begun now beside those that are under way, which `is_under_way` tells: being
    /// made, or deployed and not given up. Where it is stopped: one, when its time has come and no
    /// other tries.
    #[must_use]
    pub fn allows(&self, now: DateTime<Utc>, is_under_way: impl Fn(&InstanceId) -> bool) -> usize {
        let mut under_way = self.unproven.iter().filter(|it| is_under_way(&it.id));
        match &self.stopped {
            None => self.at_once.saturating_sub(under_way.count()),
            Some(stopped) => {
                let tries = under_way.any(|it| it.begun_at >= stopped.since);
                usize::from(stopped.try_at <= now && !tries)
            }
        }
    }

    /// Notes that the making of these begins, or goes on.
    pub fn begin(&mut self, ids: impl IntoIterator<Item = InstanceId>, now: DateTime<Utc>) {
        for id in ids {
            self.unproven.retain(|it| it.id != id);
            self.unproven.push(Unproven { id, begun_at: now });
        }
    }

    /// Learns from the steps of making. Where nothing was tried, nothing is learned.
    pub fn learn(&mut self, tried: &Creations, now: DateTime<Utc>) {
        if tried.is_empty() {
            return;
        }
        self.failed_in_row = match tried.whole.len() {
            0 => self.failed_in_row.saturating_add(tried.failed),
            _ => tried.failed,
        };
        remember(&mut self.recent_steps, tried.whole.len(), tried.failed);
        if tried.failed > 0 {
            self.note_failed_steps(tried, now);
            return;
        }
        if self.died_in_row == 0 && self.stopped.is_none() {
            self.trouble = None;
        }
        if tried.whole.iter().any(|id| self.ends_stop(id, false)) {
            self.go_on();
        }
    }

    /// Learns which ones are ready, the first time that anybody can say so.
    pub fn proven(&mut self, ids: &[InstanceId], now: DateTime<Utc>) {
        let ends_stop = ids.iter().any(|id| self.ends_stop(id, true));
        let ids: HashSet<_> = ids.iter().collect();
        self.unproven.retain(|it| !ids.contains(&it.id));
        if ids.is_empty() {
            return;
        }
        self.died_in_row = 0;
        if ends_stop {
            self.go_on();
        } else if self.stopped.is_none() {
            self.trouble = None;
            self.image.proven += ids.len();
            self.at_once = if self.image.proven < Policy::SLOW_START || goes_badly(&self.recent) {
                (self.at_once + ids.len()).min(Policy::UNPROVEN_MAX)
            } else {
                Policy::UNPROVEN_MAX
            };
        }
        self.image.last_at = Some(now);
    }

    /// Learns at the end of a round that these are given up and were never ready, with the reasons;
    /// and how many it has proven: what one round shows is judged together, since nobody knows in which
    /// order it happened.
    pub fn died(&mut self, ids: &[(InstanceId, String)], proven: usize, now: DateTime<Utc>) {
        remember(&mut self.recent, proven, ids.len());
        let Some((_, last)) = ids.last() else {
            return;
        };
        let was_trying = ids.iter().any(|(id, _)| self.was_begun_since_stop(id));
        self.unproven
            .retain(|it| ids.iter().all(|(id, _)| *id != it.id));
        // Beside others that were proven only so many are in a row as stand between two of these.
        self.died_in_row = self.died_in_row.saturating_add(ids.len() / (proven + 1));
        self.note(ids.len(), last, WHEN_THEY_DIE, now);
        if let Some(stopped) = &mut self.stopped {
            if was_trying {
                stopped.tries = stopped.tries.saturating_add(1);
                stopped.try_at = now + Policy::try_creating_after(stopped.tries);
            }
        } else if self.died_in_row >= Policy::CREATE_FAILURES_MAX {
            let why = format!(
                "{} in a row were given up before they were ever ready, the last: {last}",
                self.died_in_row
            );
            self.stop(why, true, Policy::TRY_CREATING_EVERY, now);
        } else if goes_badly(&self.recent) {
            self.halve();
        }
    }

    /// Takes in which image instances are made from. Another one, or one of which none was proven for
    /// long, has to be proven first.
    pub fn made_from(&mut self, image: &str, now: DateTime<Utc>) {
        let is_recent = |at: DateTime<Utc>| now - at <= proven_for();
        if self.image.name == image && self.image.last_at.is_none_or(is_recent) {
            return;
        }
        self.image = ProvenImage {
            name: image.to_owned(),
            ..ProvenImage::default()
        };
        self.at_once = self.at_once.min(Policy::SLOW_START);
    }

    /// Forgets those of which nothing will be known.
    pub fn forget(&mut self, is_forgotten: impl Fn(&InstanceId) -> bool) {
        self.unproven.retain(|it| !is_forgotten(&it.id));
    }

    fn note_failed_steps(&mut self, tried: &Creations, now: DateTime<Utc>) {
        let last = tried.last_error.as_deref().unwrap_or("no reason given");
        let what_to_do = tried.limit.as_ref().map(|it| it.what_to_do.as_str());
        let what_to_do = what_to_do.unwrap_or(WHEN_STEPS_FAIL);
        self.note(tried.failed, last, what_to_do, now);
        if let Some(limit) = &tried.limit {
            let wait = limit.wait.unwrap_or_default().min(Policy::LIMIT_HOLDS_MAX);
            let wait = wait.max(Policy::TRY_CREATING_EVERY);
            self.stop(limit.said.clone(), false, wait, now);
        } else if self.failed_in_row >= Policy::CREATE_FAILURES_MAX {
            let why = format!("{} failed in a row, the last: {last}", self.failed_in_row);
            self.stop(why, false, Policy::TRY_CREATING_EVERY, now);
        } else if let Some(stopped) = &mut self.stopped {
            // Nobody knows what is left of a try that did not end, so the next one waits as well.
            stopped.try_at = now + Policy::TRY_CREATING_EVERY;
        } else if goes_badly(&self.recent_steps) {
            self.halve();
        }
    }

    /// Whether it shows that the cause of the stop is over.
    fn ends_stop(&self, id: &InstanceId, is_proven: bool) -> bool {
        let needs_proof = self.stopped.as_ref().is_some_and(|it| it.until_proven);
        (is_proven || !needs_proof) && self.was_begun_since_stop(id)
    }

    fn was_begun_since_stop(&self, id: &InstanceId) -> bool {
        let begun = self.unproven.iter().find(|it| it.id == *id);
        let stopped = self.stopped.as_ref();
        begun
            .zip(stopped)
            .is_some_and(|(it, stopped)| it.begun_at >= stopped.since)
    }

    fn halve(&mut self) {
        self.at_once = (self.at_once / 2).max(1);
        self.image.proven = 0;
    }

    fn note(&mut self, failed: usize, last: &str, what_to_do: &str, now: DateTime<Utc>) {
        let before = self.trouble.take();
        self.trouble = Some(Trouble {
            since: before.as_ref().map_or(now, |it| it.since),
            failed: before.map_or(0, |it| it.failed).saturating_add(failed),
            last: last.to_owned(),
            what_to_do: what_to_do.to_owned(),
        });
    }

    fn go_on(&mut self) {
        self.stopped = None;
        self.trouble = None;
        self.recent.clear();
        self.recent_steps.clear();
        self.image.proven = 0;
        (self.failed_in_row, self.died_in_row) = (0, 0);
        self.at_once = (Policy::SLOW_START / 2).max(1);
    }

    fn stop(&mut self, why: String, until_proven: bool, wait: Duration, now: DateTime<Utc>) {
        let before = self.stopped.take();
        let wait = TimeDelta::from_std(wait).unwrap_or(TimeDelta::MAX);
        self.at_once = Policy::SLOW_START;
        self.stopped = Some(Stopped {
            why,
            since: before.as_ref().map_or(now, |it| it.since),
            try_at: now + wait,
            until_proven: until_proven || before.as_ref().is_some_and(|it| it.until_proven),
            tries: before.map_or(0, |it| it.tries),
        });
    }
}

/// Those that went badly stand evenly between the others.
fn remember(recent: &mut Vec<bool>, well: usize, badly: usize) {
    let all = well + badly;
    recent.extend((0..all).map(|n| (n + 1) * badly / all == n * badly / all));
    let over = recent.len().saturating_sub(Policy::RECENT_CREATIONS);
    recent.drain(..over);
}

/// Whether a third of the last ones went badly. A few alone say nothing of the others.
fn goes_badly(recent: &[bool]) -> bool {
    let badly = recent.iter().filter(|well| !**well).count();
    badly * 3 >= recent.len().max(Policy::JUDGED_BY_MIN)
}

fn proven_for() -> TimeDelta {
    TimeDelta::from_std(Policy::PROVEN_FOR).unwrap_or(TimeDelta::MAX)
}

const WHEN_THEY_DIE: &str = "look at the log of such a deployment on Railway, and at \
     RAILWAY_RUNTIME_IMAGE and the variables that agents are given; one at a time is tried until one is \
     ready, and then making goes on by itself";
const WHEN_STEPS_FAIL: &str = "look at what the step answered; it is tried again, and making goes on by \
     itself once it succeeds";

#[cfg(test)]
#[path = "pace_tests.rs"]
mod tests;
