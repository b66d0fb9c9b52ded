//! Who leads, what each tick left, and what people asked of the leader.

use std::time::Duration;

use chrono::{DateTime, Utc};
use pool_domain::{InstanceId, Pace, Term};

use super::{Database, DbError, Lock};
use crate::scheduler::Owner;

/// What a person asked of the leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    Reconcile,
    /// Let these losses through.
    ConfirmFuse(Vec<InstanceId>),
    Replenish(usize),
}

impl Database {
    /// Begins every transaction of a leader.
    pub(super) fn check_term(&self, term: Term) -> Result<(), DbError> {
        if term.0 == self.term && !self.term_ended {
            Ok(())
        } else {
            Err(DbError::StaleTerm)
        }
    }

    /// The advisory lock and the next term, where nobody has them.
    pub(crate) fn try_lead(&mut self, owner: Owner) -> Option<Term> {
        if self.lock_holder().is_some() {
            return None;
        }
        self.lock = Some(Lock {
            owner,
            frees_at: None,
        });
        self.term += 1;
        self.term_ended = false;
        Some(Term(self.term))
    }

    /// Who holds the lock, as far as the database knows.
    pub(crate) fn lock_holder(&self) -> Option<Owner> {
        let lock = self.lock.as_ref()?;
        let is_free = lock.frees_at.is_some_and(|at| at <= self.now);
        (!is_free).then_some(lock.owner)
    }

    /// The database notices after this time that the holder is gone.
    pub(crate) fn lose_lock(&mut self, owner: Owner, after: Duration) {
        let frees_at = self.now + after;
        if let Some(lock) = self.lock.as_mut().filter(|lock| lock.owner == owner) {
            lock.frees_at = Some(lock.frees_at.map_or(frees_at, |at| at.min(frees_at)));
        }
    }

    /// Ends a term and frees the lock.
    pub(crate) fn resign(&mut self, owner: Owner, term: Term) {
        if term.0 == self.term {
            self.term_ended = true;
        }
        if self.lock.as_ref().is_some_and(|lock| lock.owner == owner) {
            self.lock = None;
        }
    }

    pub(crate) fn ask(&mut self, command: Command) {
        self.commands_made += 1;
        self.commands.push((self.commands_made, command));
    }

    /// `commands::pending`.
    pub(crate) fn pending(&self, term: Term) -> Result<Vec<(u64, Command)>, DbError> {
        self.check_term(term)?;
        Ok(self.commands.clone())
    }

    pub(crate) fn has_commands(&self) -> bool {
        !self.commands.is_empty()
    }

    /// `commands::finish`.
    pub(crate) fn finish(&mut self, term: Term, done: &[u64]) -> Result<(), DbError> {
        self.check_term(term)?;
        self.commands.retain(|(number, _)| !done.contains(number));
        Ok(())
    }

    /// `ticks::record`, as far as the next leader reads it.
    pub(crate) fn record_tick(
        &mut self,
        term: Term,
        complete: Option<DateTime<Utc>>,
        pace: &Pace,
    ) -> Result<(), DbError> {
        self.check_term(term)?;
        self.last_complete_at = complete.or(self.last_complete_at);
        self.pace = pace.clone();
        Ok(())
    }
}
