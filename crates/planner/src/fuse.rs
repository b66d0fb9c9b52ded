//! The fuse. Losses are held back, all of them, when too many come together, or when a complete
//! listing knows nothing of ours any more: then it is more likely that somebody lies. Creating,
//! destroying what is dead already, and removing its row are not its business.

use std::collections::HashSet;

use chrono::TimeDelta;
use pool_domain::write::StatusChange;
use pool_domain::{
    Epoch, Event, FuseReport, HeldLoss, Instance, InstanceId, Policy, Report, Status, fuse,
};

use crate::{Index, Snapshot};

/// Whether the fuse counts what this event does to the row: an instance is given up on somebody's
/// word, or is stock no more.
pub(crate) fn is_loss(row: &Instance, event: Event) -> bool {
    match event {
        Event::Missing => matches!(
            row.status,
            Status::Starting | Status::Idle | Status::Claimed
        ),
        Event::DeploymentFailed => matches!(
            row.status,
            Status::Starting | Status::Idle | Status::Claimed
        ),
        Event::ProbesFailed | Event::NotServing => row.status == Status::Idle,
        Event::Stuck => row.status == Status::Starting,
        _ => false,
    }
}

/// Whether an instance was never anything to anybody: starting, never ready, and not adopted. A row
/// begins as starting in epoch 0, and every way back to starting leads through idle.
fn was_never_ready(row: &Instance) -> bool {
    row.status == Status::Starting && row.epoch == Epoch(0) && !row.unasked
}

/// Takes out of the changes what is to be held back, says in the report why, and whose it is. What a
/// person confirmed stays, and counts as a loss no more.
pub(crate) fn hold_back(
    changes: &mut Vec<StatusChange>,
    snapshot: &Snapshot,
    index: &Index<'_>,
    policy: &Policy,
    report: &mut Report,
) -> HashSet<InstanceId> {
    let record = &snapshot.fuse;
    let fuse = Fuse {
        snapshot,
        index,
        policy,
        waiting: changes
            .iter()
            .filter(|change| change.is_loss && !is_cheap(change, index))
            .collect(),
    };
    let tripped = fuse.trips();
    for change in changes.iter_mut().filter(|change| change.is_loss) {
        if record.confirms(&change.id, change.epoch, change.to) {
            change.is_loss = false;
            report.confirmed.push(change.id.clone());
        }
    }
    let Some((why, limit)) = tripped else {
        return hold_back_cheap_ones(changes, snapshot, index, report);
    };
    let (held, done) = std::mem::take(changes)
        .into_iter()
        .partition(|change| change.is_loss);
    *changes = done;
    let held: Vec<StatusChange> = held;
    report.hold_back(
        "losing instances",
        format!("the fuse has tripped: {why}"),
        held.len(),
    );
    let ids = held.iter().map(|change| change.id.clone()).collect();
    report.fuse = Some(listed(held, why, limit, snapshot, index));
    ids
}

/// A loss that costs nobody anything but the time of another start: it does not trip the fuse, since
/// what never gets ready has to go in the end. But no more of them go within a window than its limit,
/// so that a listing that lies does not end all that is being started.
fn is_cheap(change: &StatusChange, index: &Index<'_>) -> bool {
    let row = index.row(&change.id);
    row.is_some_and(|row| was_never_ready(row) && index.service(&row.service_id).is_some())
}

fn hold_back_cheap_ones(
    changes: &mut Vec<StatusChange>,
    snapshot: &Snapshot,
    index: &Index<'_>,
    report: &mut Report,
) -> HashSet<InstanceId> {
    let limit = limit(snapshot);
    let others = |change: &&StatusChange| change.is_loss && !is_cheap(change, index);
    let lost = snapshot.fuse.lost(snapshot.now) + changes.iter().filter(others).count();
    let mut left = limit.saturating_sub(lost);
    let mut held = HashSet::new();
    changes.retain(|change| {
        if !change.is_loss || !is_cheap(change, index) {
            return true;
        }
        let goes = left > 0;
        left = left.saturating_sub(1);
        if !goes {
            held.insert(change.id.clone());
        }
        goes
    });
    let why = format!(
        "{limit} instances may be given up within {} min, and the others follow after that",
        Policy::FUSE_WINDOW.as_secs() / 60
    );
    report.hold_back("giving up instances that were never ready", why, held.len());
    held
}

/// How many may be lost within the window.
fn limit(snapshot: &Snapshot) -> usize {
    let at_start = snapshot.fuse.rows_at_start(snapshot.now);
    fuse::limit(at_start.unwrap_or(fuse::counted_rows(&snapshot.rows)))
}

struct Fuse<'a> {
    snapshot: &'a Snapshot,
    index: &'a Index<'a>,
    policy: &'a Policy,
    /// Every loss that this tick's observation makes.
    waiting: Vec<&'a StatusChange>,
}

impl Fuse<'_> {
    /// Why it trips or stays tripped, and the limit; none when it is whole.
    fn trips(&self) -> Option<(String, usize)> {
        let Snapshot {
            now, fuse: record, ..
        } = self.snapshot;
        let limit = limit(self.snapshot);
        let again = |change: &&&StatusChange| record.lost_lately(&change.id, *now);
        // Each row once: one that was lost a while ago and is to be lost again is one.
        let new = self.waiting.len() - self.waiting.iter().filter(again).count();
        let lost = record.lost(*now);
        if lost + new > limit {
            let why = format!(
                "{lost} instances were lost within {} min and {} more would be; \
                 {limit} are the limit",
                Policy::FUSE_WINDOW.as_secs() / 60,
                self.waiting.len(),
            );
            return Some((why, limit));
        }
        if let Some(of) = self.sees_none_of() {
            let why = format!("a complete listing holds none of the services of our {of} rows");
            return Some((why, limit));
        }
        // What an incomplete listing does not show is unknown, and so is whether anybody still lies.
        let before = record.tripped.as_ref()?;
        (!self.snapshot.listing.is_complete()).then(|| (before.why.clone(), limit))
    }

    /// How many rows a complete listing should show a service of, where it shows none.
    fn sees_none_of(&self) -> Option<usize> {
        let listing = &self.snapshot.listing;
        if !listing.is_complete() {
            return None;
        }
        let grace = TimeDelta::from_std(self.policy.missing_grace).unwrap_or(TimeDelta::MAX);
        let mut expected = self
            .snapshot
            .rows
            .iter()
            .filter(|row| !row.is_to_be_destroyed() && row.status != Status::Crashed)
            .filter(|row| listing.started_at - row.created_at > grace)
            .peekable();
        expected.peek()?;
        let mut count = 0;
        for row in expected {
            if self.index.service(&row.service_id).is_some() {
                return None;
            }
            count += 1;
        }
        Some(count)
    }
}

/// What the tripped fuse says: since when, and what it holds back.
fn listed(
    held: Vec<StatusChange>,
    why: String,
    limit: usize,
    snapshot: &Snapshot,
    index: &Index<'_>,
) -> FuseReport {
    let before = snapshot.fuse.tripped.as_ref();
    let mut losses: Vec<_> = held.into_iter().map(HeldLoss::from).collect();
    if let Some(before) = before.filter(|_| !snapshot.listing.is_complete()) {
        let known: HashSet<InstanceId> = losses.iter().map(|loss| loss.id.clone()).collect();
        let unseen = before.held.iter().filter(|loss| {
            // Unseen in this listing, and still as it was when it was held back.
            !known.contains(&loss.id)
                && index
                    .row(&loss.id)
                    .is_some_and(|row| row.epoch == loss.epoch)
        });
        losses.extend(unseen.cloned());
    }
    let waiting = losses.len();
    losses.sort_by(|a, b| {
        let urgency = |loss: &HeldLoss| (loss.from != Status::Claimed, loss.id.clone());
        urgency(a).cmp(&urgency(b))
    });
    losses.truncate(Policy::FUSE_LISTED_MAX);
    FuseReport {
        tripped_at: before.map_or(snapshot.now, |before| before.tripped_at),
        why,
        lost: snapshot.fuse.lost(snapshot.now),
        waiting,
        limit,
        held: losses,
    }
}
