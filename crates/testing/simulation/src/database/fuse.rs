//! What is recorded of the fuse.

use chrono::TimeDelta;
use pool_domain::{FuseRecord, FuseReport, InstanceId, Policy, RowCount, Term, fuse};

use super::{Database, DbError};

impl Database {
    /// `fuse::load`: nothing is confirmed in it.
    pub(crate) fn load_fuse(&self) -> FuseRecord {
        self.fuse.clone()
    }

    /// `fuse::save`.
    pub(crate) fn save_fuse(
        &mut self,
        term: Term,
        tripped: Option<&FuseReport>,
        rows: usize,
    ) -> Result<(), DbError> {
        self.check_term(term)?;
        self.fuse.tripped = tripped.cloned();
        let now = self.now;
        let often_enough = now - TimeDelta::seconds(30);
        if self.fuse.row_counts.iter().all(|it| it.at <= often_enough) {
            self.fuse.row_counts.push(RowCount { at: now, rows });
        }
        let window = TimeDelta::from_std(Policy::FUSE_WINDOW).unwrap_or(TimeDelta::MAX);
        self.fuse.losses.retain(|_, at| *at > now - window);
        let before = self.fuse.row_counts.iter().map(|count| count.at);
        let kept_from = before.filter(|at| *at <= now - window).max();
        self.fuse
            .row_counts
            .retain(|count| kept_from.is_none_or(|from| count.at >= from));
        Ok(())
    }

    /// A loss that is carried out counts from now on; more than the limit must never be.
    pub(super) fn lose(&mut self, id: &InstanceId) {
        self.fuse.losses.insert(id.clone(), self.now);
        let rows = self.fuse.rows_at_start(self.now);
        let rows = rows.unwrap_or_else(|| fuse::counted_rows(&self.load_rows()));
        let (lost, limit) = (self.fuse.lost(self.now), fuse::limit(rows));
        if lost > limit {
            let sentence = format!("{lost} were lost within ten minutes, and the limit is {limit}");
            self.ledger.violated("fuse-kept", sentence);
        }
    }
}
