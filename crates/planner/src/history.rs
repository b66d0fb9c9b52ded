//! What a leader remembers from tick to tick: rows of failures in a row, and the times in which it
//! saw nothing. A new leader begins with none of it, which only ever delays a decision; but the pace
//! of creating it takes over from the last one.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use pool_domain::{
    Creations, DeployClass, Epoch, Instance, InstanceId, Pace, Policy, Probe, ServiceId, Stage,
    Status,
};

use crate::probing::class_of;
use crate::rounds::{Movement, is_watched};
use crate::{Identity, Index, Snapshot, adoption};

/// How many times as long as intended may lie between two complete listings before the time between
/// them counts as unobserved: one may fail by a slow page without any harm.
const GAP_AFTER_INTERVALS: u32 = 3;

/// What one leader remembers from tick to tick, and the next one does not know.
#[derive(Debug, Clone, Default)]
pub struct History {
    streaks: HashMap<InstanceId, Streak>,
    gaps: Vec<Gap>,
    last_complete_at: Option<DateTime<Utc>>,
    /// When anything moved last, as far as rounds saw; none before the first.
    moved_at: Option<DateTime<Utc>>,
    /// The listing that was taken in last: a round may look at it again.
    listing_began_at: Option<DateTime<Utc>>,
    missed_since_complete: bool,
    candidates_since: HashMap<ServiceId, DateTime<Utc>>,
    pace: Pace,
    /// How many this round has proven.
    proven_now: usize,
}

#[derive(Debug, Clone, Default)]
struct Streak {
    epoch: Epoch,
    failed_probes: u32,
    not_ready: u32,
    /// What the last probe said, where it failed.
    last_failure: Option<String>,
    /// Whether the last probe found it ready.
    is_ready: bool,
    /// When Railway last said that its deployment is in progress.
    in_progress_until: Option<DateTime<Utc>>,
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

    /// Takes in which image instances are made from: one that is not proven is made slowly at first.
    pub fn record_image(&mut self, image: &str, now: DateTime<Utc>) {
        self.pace.made_from(image, now);
    }

    /// How fast instances are made.
    #[must_use]
    pub const fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Takes in how the steps of making went.
    pub fn record_creations(&mut self, creations: &Creations, now: DateTime<Utc>) {
        self.pace.learn(creations, now);
    }

    /// Takes in which ones are made from now on.
    pub fn record_begun(&mut self, ids: impl IntoIterator<Item = InstanceId>, now: DateTime<Utc>) {
        self.pace.begin(ids, now);
    }

    /// Takes in which ones a plan gives up that were never ready, whether or not the fuse lets it.
    pub fn record_died(&mut self, died: &[(InstanceId, String)], now: DateTime<Utc>) {
        let proven = std::mem::take(&mut self.proven_now);
        self.pace.died(died, proven, now);
    }

    /// Whether nobody knows yet what becomes of this one, which was made for the stock.
    pub(crate) fn is_unproven(&self, id: &InstanceId) -> bool {
        self.pace.unproven.iter().any(|it| it.id == *id)
    }

    /// What is known of movement.
    #[must_use]
    pub fn movement(&self, now: DateTime<Utc>) -> Movement {
        Movement {
            last_at: self.moved_at,
            is_watched: is_watched(&self.pace, now),
        }
    }

    /// Takes in at the end of a round whether anything moves. A status that changed since the last
    /// one, by a claim for example, did.
    pub fn record_moves(&mut self, moves: bool, snapshot: &Snapshot) {
        let before = self.moved_at.filter(|_| !moves).unwrap_or(snapshot.now);
        let changed = snapshot.rows.iter().map(|row| row.status_changed_at).max();
        self.moved_at = Some(changed.map_or(before, |at| before.max(at)));
    }

    /// Takes in what this tick observed. Called once a tick, before `plan` and with the same index.
    pub fn record(
        &mut self,
        snapshot: &Snapshot,
        index: &Index<'_>,
        policy: &Policy,
        identity: &Identity,
    ) {
        let is_first = self.listing_began_at.is_none();
        let is_new = self.listing_began_at != Some(snapshot.listing.started_at);
        self.listing_began_at = Some(snapshot.listing.started_at);
        if is_first {
            self.take_over_unproven(snapshot, index);
        }
        self.record_unproven(snapshot, index);
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

    /// Whether its agent said that it is ready when it was last asked.
    pub(crate) fn is_ready(&self, id: &InstanceId) -> bool {
        self.streaks.get(id).is_some_and(|streak| streak.is_ready)
    }

    /// Since when it could have got ready: since it has its status, or since Railway last said that its
    /// deployment is in progress.
    pub(crate) fn could_be_ready_since(&self, row: &Instance) -> DateTime<Utc> {
        let streak = self.streaks.get(&row.id);
        let in_progress = streak.and_then(|streak| streak.in_progress_until);
        in_progress.map_or(row.status_changed_at, |until| {
            until.max(row.status_changed_at)
        })
    }

    /// At how many observations in a row it was not ready.
    pub(crate) fn not_ready(&self, id: &InstanceId) -> u32 {
        self.streaks.get(id).map_or(0, |streak| streak.not_ready)
    }

    /// How long ago that is, without the times in which nothing was observed.
    pub(crate) fn observed_since(&self, since: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
        let unobserved: TimeDelta = self
            .gaps
            .iter()
            .map(|gap| (gap.until.min(now) - gap.from.max(since)).max(TimeDelta::zero()))
            .sum();
        (now - since - unobserved).to_std().unwrap_or_default()
    }

    /// Since when a service has been a candidate for adoption.
    pub(crate) fn candidate_since(&self, id: &ServiceId) -> Option<DateTime<Utc>> {
        self.candidates_since.get(id).copied()
    }

    /// Those of which the last leader's record does not tell: made by another build, or just then.
    fn take_over_unproven(&mut self, snapshot: &Snapshot, index: &Index<'_>) {
        for row in &snapshot.rows {
            let made = index
                .provision(&row.id)
                .filter(|it| it.stage == Stage::Created && is_unproven(row));
            if let Some(made) = made.filter(|_| !self.is_unproven(&row.id)) {
                self.pace.begin([row.id.clone()], made.step_began_at);
            }
        }
    }

    /// What became of them, as far as the rows tell. What is given up without ever having been ready is
    /// the plan's to say, which knows why.
    fn record_unproven(&mut self, snapshot: &Snapshot, index: &Index<'_>) {
        let now_idle = |id: &InstanceId| {
            index.row(id).is_some_and(|row| {
                row.epoch > Epoch(0) && (row.status != Status::Dead || row.epoch > Epoch(1))
            })
        };
        let unproven = self.pace.unproven.iter().map(|it| &it.id);
        let proven: Vec<_> = unproven.filter(|id| now_idle(id)).cloned().collect();
        self.pace.proven(&proven, snapshot.now);
        self.proven_now = proven.len();
        self.pace.forget(|id| {
            if let Some(row) = index.row(id) {
                return !is_unproven(row);
            }
            let is_being_made = index
                .provision(id)
                .is_some_and(|it| matches!(it.stage, Stage::Creating(_)));
            !is_being_made && !snapshot.in_flight.making.contains(id)
        });
    }

    fn record_listing(&mut self, snapshot: &Snapshot, policy: &Policy) {
        if !snapshot.listing.is_complete() {
            self.missed_since_complete = true;
            return;
        }
        let until = snapshot.listing.started_at;
        let from = self.last_complete_at.unwrap_or(DateTime::<Utc>::MIN_UTC);
        let was_quiet = self.moved_at.is_some_and(|at| at < from);
        let every = if was_quiet {
            policy.quiet_listing_every()
        } else {
            policy.tick_interval
        };
        let longest = every * GAP_AFTER_INTERVALS;
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
        if snapshot.listing.lacks().is_none() {
            self.candidates_since = present;
        } else {
            self.candidates_since.extend(present);
        }
    }
}

impl Streak {
    /// A leader that takes over knows from the row what the last one saw.
    fn note_progress(&mut self, row: &Instance, snapshot: &Snapshot, index: &Index<'_>) {
        let stored = row.deploy_status.as_ref();
        let was = stored.is_some_and(|it| it.class(false, true) == DeployClass::InProgress);
        let is = index
            .service(&row.service_id)
            .is_some_and(|it| it.class() == DeployClass::InProgress);
        if is || was {
            self.in_progress_until = Some(snapshot.now);
        }
    }

    /// `is_new`: a listing that was counted before is no further observation.
    fn add(&mut self, row: &Instance, snapshot: &Snapshot, index: &Index<'_>, is_new: bool) {
        if row.status == Status::Claimed && !is_down(row, index) {
            // What it said when its deployment was down the last time says nothing of the next.
            self.last_failure = None;
        }
        self.note_progress(row, snapshot, index);
        self.is_ready = match snapshot.probes.get(&row.id) {
            None => self.is_ready,
            Some(probe) => *probe == Probe::Ready,
        };
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

/// Whether it is as it was made: starting, and never ready.
fn is_unproven(row: &Instance) -> bool {
    row.status == Status::Starting && row.epoch == Epoch(0) && !row.unasked
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
