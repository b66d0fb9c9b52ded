//! What people ask for: kill, drain, dismiss.

use pool_domain::{InstanceId, State, Status};

use super::Database;

/// What became of the wish to destroy an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Killed {
    Requested,
    AlreadyGone,
    Claiming,
}

impl Database {
    /// `instances::drain`.
    pub(crate) fn drain(&mut self, count: usize) -> Vec<InstanceId> {
        let rows = self.rows.values().map(|row| &row.instance);
        let mut oldest: Vec<_> = rows
            .filter(|row| matches!(row.status, Status::Idle | Status::Starting) && !row.unasked)
            .map(|row| (row.created_at, row.id.clone()))
            .collect();
        oldest.sort();
        oldest.truncate(count);
        let ids: Vec<_> = oldest.into_iter().map(|(_, id)| id).collect();
        for id in &ids {
            self.ledger.asked_for(id);
            self.write(id, |row| {
                row.instance.status = Status::Dead;
                row.actor = "a person";
                "drain".clone_into(&mut row.reason);
            });
        }
        ids
    }

    /// `instances::kill`.
    pub(crate) fn kill(&mut self, id: &InstanceId) -> Killed {
        let Some(state) = self.row(id).map(|row| row.instance.state()) else {
            return Killed::AlreadyGone;
        };
        let Ok(next) = state.kill() else {
            return Killed::Claiming;
        };
        self.write_state(id, state, next, "kill");
        Killed::Requested
    }

    /// `instances::dismiss`.
    pub(crate) fn dismiss(&mut self, id: &InstanceId) -> bool {
        let Some(state) = self.row(id).map(|row| row.instance.state()) else {
            return false;
        };
        let Ok(next) = state.dismiss() else {
            return false;
        };
        self.write_state(id, state, next, "dismiss");
        true
    }

    fn write_state(&mut self, id: &InstanceId, from: State, to: State, reason: &str) {
        if from == to {
            return;
        }
        let now = self.now;
        self.ledger.asked_for(id);
        self.write(id, |row| {
            let it = &mut row.instance;
            it.unasked = it.unasked && it.status == to.status;
            it.status = to.status;
            if to.delete_requested {
                it.delete_requested_at = it.delete_requested_at.or(Some(now));
            }
            row.actor = "a person";
            reason.clone_into(&mut row.reason);
        });
    }
}
