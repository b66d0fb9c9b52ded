//! What a leader remembers from tick to tick: rows of failures in a row, and the times in which it
//! saw nothing. A new leader begins with none of it, which only ever delays a decision; but the pace
//! of creating it takes over from the last one.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use pool_domain::{
    Creations, DeployClass, Epoch, Instance, InstanceId, Pace, Policy, Probe, ServiceId, Status,
};

use crate::probing::class_of;
use crate::{Identity, Index, Snapshot, adoption};

/// How many tick intervals may lie between two complete listings before the time between them
/// counts as unobserved: one tick may fail by a slow page without any harm.
const GAP_AFTER_INTERVALS: u32 = 3;

/// One leader's memory.
#[derive(Debug, Clone, Default)]
pub struct History {
    streaks: HashMap<InstanceId, Streak>,
    gaps: Vec<Gap>,
    last_complete_at: Option<DateTime<Utc>>,
    /// The listing that was taken in last: a round may look at it again.
    listing_began_at: Option<DateTime<Utc>>,
    missed_since_complete: bool,
    candidates_since: HashMap<ServiceId, DateTime<Utc>>,
    pace: Pace,
}

#[derive(Debug, Clone, Default)]
struct Streak {
    epoch: Epoch,
    failed_probes: u32,
    not_ready: u32,
    /// What the last probe said, where it failed.
    last_failure: Option<String>,
}

#[derive(Debug, Clone, Copy)]
struct Gap {
    from: DateTime<Utc>,
    until: DateTime<Utc>,
}

impl History {
    /// The memory of a leader that begins now; `last_complete_at` is when the last complete listing
    /// of any leader began, as recorded with its tick.
    #[must_use]
    pub fn new(last_complete_at: Option<DateTime<Utc>>) -> Self {
        Self {
            last_complete_at,
            ..Self::default()
        }
    }

    /// With the pace at which the last leader made instances, as recorded with its tick: what
    /// stopped that one stops this one too.
    #[must_use]
    pub fn at_pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// How fast instances are made.
    #[must_use]
    pub const fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Takes in how creations went, once [`Pace::may_learn`](pool_domain::Pace::may_learn) says so.
    pub fn record_creations(&mut self, creations: &Creations, now: DateTime<Utc>) {
        self.pace.learn(creations, now);
    }

    /// Takes in what this tick observed. Called once a tick, before `plan` and with the same index.
    pub fn record(
        &mut self,
        snapshot: &Snapshot,
        index: &Index<'_>,
        policy: &Policy,
        identity: &Identity,
    ) {
        let is_new = self.listing_began_at != Some(snapshot.listing.started_at);
        self.listing_began_at = Some(snapshot.listing.started_at);
        self.record_listing(snapshot, policy);
        self.record_candidates(snapshot, index, identity);
        let mut streaks = HashMap::with_capacity(snapshot.rows.len());
        for row in &snapshot.rows {
            let known = self
                .streaks
                .get(&row.id)
                .filter(|streak| streak.epoch == row.epoch);
            let mut streak = known.cloned().unwrap_or(Streak {
                epoch: row.epoch,
                ..Streak::default()
            });
            streak.add(row, snapshot, index, is_new);
            streaks.insert(row.id.clone(), streak);
        }
        self.streaks = streaks;
    }

    /// How many probes of it failed in a row, within and across rounds, and what the last one said;
    /// none when the last one did not fail. A round in which it was not probed changes nothing of that,
    /// so that a loss which waits does so until its agent answers.
    pub(crate) fn failing(&self, id: &InstanceId) -> Option<(u32, &str)> {
        let streak = self.streaks.get(id)?;
        Some((streak.failed_probes, streak.last_failure.as_deref()?))
    }

    /// At how many observations in a row it was not ready.
    pub(crate) fn not_ready(&self, id: &InstanceId) -> u32 {
        self.streaks.get(id).map_or(0, |streak| streak.not_ready)
    }

    /// How long it has had its status, without the times in which nothing was observed.
    pub(crate) fn observed_age(&self, row: &Instance, now: DateTime<Utc>) -> Duration {
        let unobserved: TimeDelta = self
            .gaps
            .iter()
            .map(|gap| {
                (gap.until.min(now) - gap.from.max(row.status_changed_at)).max(TimeDelta::zero())
            })
            .sum();
        (now - row.status_changed_at - unobserved)
            .to_std()
            .unwrap_or_default()
    }

    /// Since when a service has been a candidate for adoption.
    pub(crate) fn candidate_since(&self, id: &ServiceId) -> Option<DateTime<Utc>> {
        self.candidates_since.get(id).copied()
    }

    fn record_listing(&mut self, snapshot: &Snapshot, policy: &Policy) {
        if !snapshot.listing.is_complete() {
            self.missed_since_complete = true;
            return;
        }
        let until = snapshot.listing.started_at;
        let longest = policy.tick_interval * GAP_AFTER_INTERVALS;
        let from = self.last_complete_at.unwrap_or(DateTime::<Utc>::MIN_UTC);
        let is_long = (until - from).to_std().is_ok_and(|length| length > longest);
        if until > from && (self.missed_since_complete || is_long) {
            self.gaps.push(Gap { from, until });
        }
        self.last_complete_at = Some(until);
        self.missed_since_complete = false;
        let oldest = snapshot.rows.iter().map(|row| row.status_changed_at).min();
        self.gaps
            .retain(|gap| oldest.is_some_and(|oldest| gap.until > oldest));
        self.merge_oldest_gaps();
    }

    /// Bounds the list: what lies between the two oldest counts as unobserved too, which only
    /// delays a decision.
    fn merge_oldest_gaps(&mut self) {
        const GAPS_MAX: usize = 1_000;
        while self.gaps.len() > GAPS_MAX {
            let oldest = self.gaps.remove(0);
            if let Some(next) = self.gaps.first_mut() {
                next.from = oldest.from;
            }
        }
    }

    fn record_candidates(&mut self, snapshot: &Snapshot, index: &Index<'_>, identity: &Identity) {
        let candidates = adoption::candidates(index, &snapshot.listing, identity);
        let present: HashMap<_, _> = candidates
            .into_iter()
            .map(|service| {
                let id = service.service_id.clone();
                let since = self
                    .candidates_since
                    .get(&id)
                    .copied()
                    .unwrap_or(snapshot.now);
                (id, since)
            })
            .collect();
        // A listing that lost half its pages must not make the other half young again.
        if snapshot.listing.is_complete() {
            self.candidates_since = present;
        } else {
            self.candidates_since.extend(present);
        }
    }
}

impl Streak {
    /// `is_new`: a listing that was counted before is no further observation.
    fn add(&mut self, row: &Instance, snapshot: &Snapshot, index: &Index<'_>, is_new: bool) {
        if row.status == Status::Claimed && !is_down(row, index) {
            // What it said when its deployment was down the last time says nothing of the next.
            self.last_failure = None;
        }
        match snapshot.probes.get(&row.id) {
            Some(Probe::Ready) => {
                self.failed_probes = 0;
                self.not_ready = 0;
                self.last_failure = None;
            }
            Some(Probe::Failed { times, reason }) => {
                self.failed_probes = self.failed_probes.saturating_add(*times);
                self.not_ready = self.not_ready.saturating_add(1);
                self.last_failure = Some(reason.clone());
            }
            Some(Probe::Relapsed { times, reason }) => {
                self.failed_probes = *times;
                self.not_ready = 1;
                self.last_failure = Some(reason.clone());
            }
            None if is_new && row.status == Status::Starting && nothing_to_probe(row, index) => {
                self.not_ready = self.not_ready.saturating_add(1);
            }
            None => {}
        }
    }
}

/// Whether Railway says that its deployment failed or was stopped.
fn is_down(row: &Instance, index: &Index<'_>) -> bool {
    matches!(
        class_of(row, index),
        DeployClass::Failed | DeployClass::Stopped
    )
}

/// Seen, and there is nothing that could be asked: that is an observation of not being ready.
fn nothing_to_probe(row: &Instance, index: &Index<'_>) -> bool {
    let seen = index.service(&row.service_id).is_some();
    let going = matches!(
        class_of(row, index),
        DeployClass::InProgress | DeployClass::Going
    );
    seen && (row.url.is_none() || going)
}
