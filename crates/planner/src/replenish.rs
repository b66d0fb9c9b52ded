//! How many instances to create: up to the target, within the cap.

use std::collections::HashSet;

use chrono::TimeDelta;
use pool_domain::{
    DeployClass, Epoch, Instance, InstanceId, Policy, Report, ResourceRecord, ServiceId, Stage,
    Status, report::ReplenishReport,
};

use crate::probing::class_of;
use crate::{History, Index, Snapshot};

/// What says whether a row is stock: one that a caller may have soon.
#[derive(Clone, Copy)]
pub(crate) struct Counting<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) index: &'a Index<'a>,
    pub(crate) history: &'a History,
    /// Those whose loss waits behind the fuse.
    pub(crate) held: &'a HashSet<InstanceId>,
}

/// The stock as it stands after adoption.
pub(crate) struct Stock<'a> {
    pub(crate) counting: Counting<'a>,
    /// Adopted in this very plan.
    pub(crate) adopted_starting: usize,
    pub(crate) adopted_crashed: usize,
    /// Services that may be ours, and of which nothing is known yet.
    pub(crate) undecided: &'a [ServiceId],
    /// Rows that this very plan gives up, and that counted towards the target until now. They
    /// still exist outside, so the cap counts them on.
    pub(crate) given_up: usize,
    /// Rows that this very plan makes idle, and that did not count towards the target any more.
    pub(crate) proven_late: usize,
    /// How many the pace still allows in this tick.
    pub(crate) allowed: usize,
}

/// How many to create.
pub(crate) struct Wanted {
    pub(crate) create: usize,
    /// And that the pace holds back.
    pub(crate) held_back: usize,
}

impl Stock<'_> {
    /// How many to create now. What is held back, and why, goes to the report.
    pub(crate) fn wanted(&self, policy: &Policy, report: &mut Report) -> Wanted {
        let towards_target = self.towards_target();
        let towards_cap = self.towards_cap();
        let missing = policy.min_idle.saturating_sub(towards_target);
        let room = policy.max_total.saturating_sub(towards_cap);
        let by_itself = self.by_itself(missing, report);
        let held_back = missing.min(room).saturating_sub(by_itself);
        let wanted = by_itself + self.counting.snapshot.requested_creates;
        let create = wanted.min(room);
        report.hold_back(
            "creating instances",
            "POOL_MAX_TOTAL is reached",
            wanted - create,
        );
        let surplus = self.surplus(policy);
        report.hold_back(
            "retiring instances above the target",
            "each is a running service with what belongs to it, and is paid for until it is claimed or \
             drained",
            surplus,
        );
        report.replenish = ReplenishReport {
            surplus,
            min_idle: policy.min_idle,
            towards_target,
            max_total: policy.max_total,
            towards_cap,
            create,
            pace: self.counting.history.pace().clone(),
        };
        Wanted { create, held_back }
    }

    /// How many are idle beyond the target.
    fn surplus(&self, policy: &Policy) -> usize {
        let rows = self.counting.snapshot.rows.iter();
        let idle = rows.filter(|row| row.status == Status::Idle).count();
        idle.saturating_sub(policy.min_idle)
    }

    fn by_itself(&self, missing: usize, report: &mut Report) -> usize {
        if !self.counting.snapshot.listing.is_complete() {
            report.hold_back("creating instances", "the listing is incomplete", missing);
            return 0;
        }
        let by_itself = missing.min(self.allowed);
        let held_back = missing - by_itself;
        let pace = self.counting.history.pace();
        let why = match (&pace.stopped, &pace.trouble) {
            (Some(stopped), _) => format!("one at a time is tried: {}", stopped.why),
            (None, None) if pace.at_once < Policy::UNPROVEN_MAX => {
                "begun slowly, until those that were made are ready".to_owned()
            }
            (None, None) => {
                "no more are made at once than Railway's budget lets be made".to_owned()
            }
            (None, Some(trouble)) => format!("begun slowly: {}", trouble.last),
        };
        report.hold_back("creating instances", why, held_back);
        by_itself
    }

    fn towards_target(&self) -> usize {
        let rows = self.counting.snapshot.rows.iter();
        let rows = rows.filter(|row| self.counting.is_stock(row)).count();
        let undecided = self
            .undecided
            .iter()
            .filter(|id| self.undecided_counts(id))
            .count();
        (rows + self.proven_late + self.open_intents() + self.adopted_starting + undecided)
            .saturating_sub(self.given_up)
    }

    fn undecided_counts(&self, id: &ServiceId) -> bool {
        let Counting {
            snapshot, history, ..
        } = self.counting;
        let since = history.candidate_since(id).unwrap_or(snapshot.now);
        snapshot.now - since <= delta(Policy::UNDECIDED_COUNTS_FOR)
    }

    fn towards_cap(&self) -> usize {
        let rows = self.counting.snapshot.rows.iter();
        let rows = rows.filter(|row| !self.is_gone(row)).count();
        rows + self.counting.snapshot.unreadable.len()
            + self.open_intents()
            + self.adopted_starting
            + self.adopted_crashed
            + self.undecided.len()
    }

    /// To be destroyed, and a complete listing lacks its service already.
    fn is_gone(&self, row: &Instance) -> bool {
        row.is_to_be_destroyed()
            && self.counting.snapshot.listing.is_complete()
            && self.counting.index.service(&row.service_id).is_none()
    }

    fn open_intents(&self) -> usize {
        let provisions = self.counting.snapshot.provisions.iter();
        provisions.filter(|it| self.is_open_intent(it)).count()
    }

    /// Being made, and not a row yet.
    fn is_open_intent(&self, provision: &ResourceRecord) -> bool {
        matches!(provision.stage, Stage::Creating(_))
            && self.counting.index.row(&provision.id).is_none()
    }
}

impl Counting<'_> {
    /// Idle, or starting and to be expected soon. What waits behind the fuse is neither, unless its
    /// agent says itself that it is ready.
    pub(crate) fn is_stock(self, row: &Instance) -> bool {
        if self.is_held_and_silent(row) {
            return false;
        }
        match row.status {
            Status::Idle => true,
            Status::Starting => self.is_expected(row),
            _ => false,
        }
    }

    /// The idle ones that are no stock for it, which a claim would meet all the same.
    pub(crate) fn silent_ones_held(self) -> Vec<(InstanceId, Epoch)> {
        let idle = self.snapshot.rows.iter();
        idle.filter(|row| row.status == Status::Idle && self.is_held_and_silent(row))
            .map(|row| (row.id.clone(), row.epoch))
            .collect()
    }

    fn is_held_and_silent(self, row: &Instance) -> bool {
        self.held.contains(&row.id) && !self.history.is_ready(&row.id)
    }

    /// Being made, or waiting for Railway, which others would only queue up behind; or up for under
    /// five minutes. One that was ready before and does not answer is not to be relied upon.
    fn is_expected(self, row: &Instance) -> bool {
        let made = self.index.provision(&row.id);
        let is_being_made = made.is_some_and(|it| matches!(it.stage, Stage::Creating(_)));
        if is_being_made || class_of(row, self.index) == DeployClass::InProgress {
            return true;
        }
        let is_silent = row.epoch > Epoch(0) && self.history.failing(&row.id).is_some();
        let since = self.history.could_be_ready_since(row);
        !is_silent && self.snapshot.now - since <= delta(Policy::STARTING_COUNTS_FOR)
    }
}

fn delta(duration: std::time::Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}
