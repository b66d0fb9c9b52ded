//! How many instances to create: up to the target, within the cap.

use chrono::TimeDelta;
use pool_domain::{
    Instance, Policy, Report, ResourceRecord, ServiceId, Stage, Status, report::ReplenishReport,
};

use crate::{History, Index, Snapshot};

/// The stock as it stands after adoption.
pub(crate) struct Stock<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) index: &'a Index<'a>,
    pub(crate) history: &'a History,
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
    /// Now.
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
        let wanted = by_itself + self.snapshot.requested_creates;
        let create = wanted.min(room);
        report.hold_back(
            "creating instances",
            "POOL_MAX_TOTAL is reached",
            wanted - create,
        );
        report.replenish = ReplenishReport {
            min_idle: policy.min_idle,
            towards_target,
            max_total: policy.max_total,
            towards_cap,
            create,
            pace: self.history.pace().clone(),
        };
        Wanted { create, held_back }
    }

    fn by_itself(&self, missing: usize, report: &mut Report) -> usize {
        if !self.snapshot.listing.is_complete() {
            report.hold_back("creating instances", "the listing is incomplete", missing);
            return 0;
        }
        let by_itself = missing.min(self.allowed);
        let held_back = missing - by_itself;
        match &self.history.pace().stopped {
            Some(stopped) => {
                let why = format!("one at a time is tried: {}", stopped.why);
                report.hold_back("creating instances", why, held_back);
            }
            None => report.hold_back("creating instances", "begun slowly", held_back),
        }
        by_itself
    }

    fn towards_target(&self) -> usize {
        let rows = self
            .snapshot
            .rows
            .iter()
            .filter(|row| self.row_counts(row))
            .count();
        let undecided = self
            .undecided
            .iter()
            .filter(|id| self.undecided_counts(id))
            .count();
        (rows + self.proven_late + self.open_intents() + self.adopted_starting + undecided)
            .saturating_sub(self.given_up)
    }

    fn row_counts(&self, row: &Instance) -> bool {
        counts_towards_target(row, self.snapshot)
    }

    fn undecided_counts(&self, id: &ServiceId) -> bool {
        let since = self
            .history
            .candidate_since(id)
            .unwrap_or(self.snapshot.now);
        self.snapshot.now - since <= delta(Policy::UNDECIDED_COUNTS_FOR)
    }

    fn towards_cap(&self) -> usize {
        let rows = self
            .snapshot
            .rows
            .iter()
            .filter(|row| !self.is_gone(row))
            .count();
        rows + self.open_intents()
            + self.adopted_starting
            + self.adopted_crashed
            + self.undecided.len()
    }

    /// To be destroyed, and a complete listing lacks its service already.
    fn is_gone(&self, row: &Instance) -> bool {
        row.is_to_be_destroyed()
            && self.snapshot.listing.is_complete()
            && self.index.service(&row.service_id).is_none()
    }

    fn open_intents(&self) -> usize {
        self.snapshot
            .provisions
            .iter()
            .filter(|provision| self.is_open_intent(provision))
            .count()
    }

    /// Being made, and not a row yet.
    fn is_open_intent(&self, provision: &ResourceRecord) -> bool {
        matches!(provision.stage, Stage::Creating(_)) && self.index.row(&provision.id).is_none()
    }
}

/// Idle, or starting for under five minutes.
pub(crate) fn counts_towards_target(row: &Instance, snapshot: &Snapshot) -> bool {
    match row.status {
        Status::Idle => true,
        Status::Starting => {
            snapshot.now - row.status_changed_at <= delta(Policy::STARTING_COUNTS_FOR)
        }
        _ => false,
    }
}

fn delta(duration: std::time::Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}
