//! The fuse: what is recorded of it, and what it says. It trips when more is lost at once than a
//! pool loses by itself, since then it is more likely that somebody lies. The planner decides.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::write::StatusChange;
use crate::{Epoch, Instance, InstanceId, Policy, Status};

/// What is recorded of the fuse when a tick begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FuseRecord {
    /// Whose loss was carried out lately, and when last. What a person confirmed is not in it.
    pub losses: HashMap<InstanceId, DateTime<Utc>>,
    /// How many rows there were at some moments of the past.
    pub row_counts: Vec<RowCount>,
    /// How the fuse stood after the last tick; none when it was whole.
    pub tripped: Option<FuseReport>,
    /// The instances whose losses, as listed in `tripped`, a person lets through in this tick.
    pub confirmed: HashSet<InstanceId>,
}

/// How many rows there were at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowCount {
    /// When they were counted, by the database.
    pub at: DateTime<Utc>,
    /// Rows that were not to be destroyed.
    pub rows: usize,
}

/// A fuse that has tripped: why, and what it holds back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FuseReport {
    /// When it first held something back, with no tick since in which it was whole.
    pub tripped_at: DateTime<Utc>,
    /// A sentence for a person: how many would be lost, and on whose word.
    pub why: String,
    /// How many instances were lost within the window, each once.
    pub lost: usize,
    /// How many losses wait. Not more than so many of them are listed.
    pub waiting: usize,
    /// How many may be lost within the window.
    pub limit: usize,
    /// The losses that can be confirmed, of claimed instances first.
    pub held: Vec<HeldLoss>,
}

/// A loss that is held back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldLoss {
    /// The instance that would be given up.
    pub id: InstanceId,
    /// The epoch of its row: a confirmation is good for this one alone.
    pub epoch: Epoch,
    /// The status that its row has, and keeps for now.
    pub from: Status,
    /// The status that it would get.
    pub to: Status,
    /// What Railway or its agent said, as the event log would have it.
    pub reason: String,
}

impl FuseRecord {
    /// Whether its loss was carried out within the window that ends now.
    #[must_use]
    pub fn lost_lately(&self, id: &InstanceId, now: DateTime<Utc>) -> bool {
        self.losses
            .get(id)
            .is_some_and(|at| *at > window_start(now))
    }

    /// How many instances were lost within the window that ends now.
    #[must_use]
    pub fn lost(&self, now: DateTime<Utc>) -> usize {
        let start = window_start(now);
        self.losses.values().filter(|at| **at > start).count()
    }

    /// How many rows there were when the window that ends now began: the last count before it, else
    /// the first one after it, else none is known.
    #[must_use]
    pub fn rows_at_start(&self, now: DateTime<Utc>) -> Option<usize> {
        let start = window_start(now);
        let counts = self.row_counts.iter();
        let last_before = counts.clone().filter(|count| count.at <= start);
        let first_after = counts.min_by_key(|count| count.at);
        let count = last_before.max_by_key(|count| count.at).or(first_after);
        count.map(|count| count.rows)
    }

    /// Whether a person lets this very loss through.
    #[must_use]
    pub fn confirms(&self, id: &InstanceId, epoch: Epoch, to: Status) -> bool {
        let listed = |held: &HeldLoss| held.id == *id && held.epoch == epoch && held.to == to;
        self.confirmed.contains(id)
            && self
                .tripped
                .as_ref()
                .is_some_and(|tripped| tripped.held.iter().any(listed))
    }
}

impl From<StatusChange> for HeldLoss {
    fn from(change: StatusChange) -> Self {
        Self {
            id: change.id,
            epoch: change.epoch,
            from: change.from,
            to: change.to,
            reason: change.reason,
        }
    }
}

/// How many may be lost within a window that began with so many rows.
#[must_use]
pub fn limit(rows_at_start: usize) -> usize {
    let share = rows_at_start.saturating_mul(Policy::FUSE_LIMIT_PERCENT) / 100;
    share.max(Policy::FUSE_LIMIT_MIN)
}

/// How many of these rows the limit is a share of: those that are not to be destroyed anyway.
#[must_use]
pub fn counted_rows(rows: &[Instance]) -> usize {
    rows.iter().filter(|row| !row.is_to_be_destroyed()).count()
}

/// When the window that ends now began.
#[must_use]
pub fn window_start(now: DateTime<Utc>) -> DateTime<Utc> {
    let window = TimeDelta::from_std(Policy::FUSE_WINDOW).unwrap_or(TimeDelta::MAX);
    now.checked_sub_signed(window)
        .unwrap_or(DateTime::<Utc>::MIN_UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    #[test]
    fn a_fifth_may_be_lost_and_never_fewer_than_five() {
        let limits = [0, 3, 25, 29, 30, 1_200, usize::MAX / 100].map(limit);
        assert_eq!(limits[..6], [5, 5, 5, 5, 6, 240]);
        assert!(limits[6] > 1_000);
    }

    #[test]
    fn a_loss_is_forgotten_when_the_window_has_passed() {
        let record = FuseRecord {
            losses: [("a".into(), at(0)), ("b".into(), at(1))].into(),
            ..FuseRecord::default()
        };
        let lost: Vec<_> = [1, 599, 600, 601].map(|now| record.lost(at(now))).into();
        assert_eq!(lost, [2, 2, 1, 0]);
    }

    #[test]
    fn the_rows_at_the_start_are_the_last_count_before_it() {
        let mut record = FuseRecord::default();
        assert_eq!(record.rows_at_start(at(1_000)), None);
        record.row_counts = [(700, 9), (390, 5), (401, 7), (100, 2)]
            .map(|(seconds, rows)| RowCount {
                at: at(seconds),
                rows,
            })
            .into();
        let rows = [1_000, 999_999, 50].map(|now| record.rows_at_start(at(now)));
        assert_eq!(rows, [Some(5), Some(9), Some(2)]);
    }
}
