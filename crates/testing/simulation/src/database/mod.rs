//! The modelled database: rows, provisions, events, terms and ticks, with the rules of the real
//! one's trigger and of its statements. Every statement is one call: all of it or nothing.

mod claims;
mod fuse;
mod leading;
mod people;
mod provisions;
mod rows;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use pool_domain::{Epoch, FuseRecord, Instance, InstanceId, Pace, Provision, ServiceId, Status};

pub(crate) use claims::{Confirmation, Lease, Token};
pub(crate) use leading::Command;
pub(crate) use provisions::{Made, NewProvision};

use crate::ledger::Ledger;
use crate::scheduler::Owner;

/// A row of `instances`, with what the planner does not read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) instance: Instance,
    pub(crate) claim_token: Option<Token>,
    pub(crate) claim_expires_at: Option<DateTime<Utc>>,
    pub(crate) actor: &'static str,
    pub(crate) reason: String,
}

/// A row of `instance_events`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) service_id: ServiceId,
    pub(crate) to: Option<Status>,
}

/// Why a statement failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DbError {
    /// The connection broke: nobody can know whether it was done.
    Unavailable,
    /// Another leads by now.
    StaleTerm,
    /// The row's id or its service is another's.
    InsertInstance(InstanceId),
}

impl std::fmt::Display for DbError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unavailable => f.write_str("the database did not answer"),
            Self::StaleTerm => f.write_str("another server leads by now"),
            Self::InsertInstance(id) => write!(f, "the row of {id} cannot be inserted"),
        }
    }
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Database {
    pub(crate) now: DateTime<Utc>,
    rows: BTreeMap<InstanceId, Row>,
    provisions: BTreeMap<InstanceId, Provision>,
    events: Vec<Event>,
    term: i64,
    term_ended: bool,
    lock: Option<Lock>,
    commands: Vec<(u64, Command)>,
    commands_made: u64,
    /// Of the last tick of any leader.
    pub(crate) last_complete_at: Option<DateTime<Utc>>,
    pub(crate) pace: Pace,
    fuse: FuseRecord,
    /// Sees every change.
    pub(crate) ledger: Ledger,
}

#[derive(Debug)]
struct Lock {
    owner: Owner,
    /// When the database notices that its holder is gone.
    frees_at: Option<DateTime<Utc>>,
}

impl Database {
    pub(crate) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }

    pub(crate) fn row(&self, id: &InstanceId) -> Option<&Row> {
        self.rows.get(id)
    }

    pub(crate) fn row_of_service(&self, id: &ServiceId) -> Option<&Row> {
        self.rows
            .values()
            .find(|row| row.instance.service_id == *id)
    }

    pub(crate) fn provisions(&self) -> impl Iterator<Item = &Provision> {
        self.provisions.values()
    }

    pub(crate) fn provision(&self, id: &InstanceId) -> Option<&Provision> {
        self.provisions.get(id)
    }

    /// `events::last_by_service`.
    pub(crate) fn last_event(&self, service: &ServiceId) -> Option<pool_domain::LastEvent> {
        let last = self.events.iter().rev().find(|e| e.service_id == *service);
        last.map(|event| match event.to {
            None => pool_domain::LastEvent::Removed,
            Some(Status::Claimed | Status::Crashed) => pool_domain::LastEvent::ClaimedOrCrashed,
            Some(_) => pool_domain::LastEvent::Other,
        })
    }

    /// How many rows have each status, as the API counts them: without those to be deleted.
    pub(crate) fn count(&self, status: Status) -> usize {
        let rows = self.rows.values().map(|row| &row.instance);
        rows.filter(|row| row.status == status && row.delete_requested_at.is_none())
            .count()
    }

    /// The trigger: refuses what the state machine does not allow, counts, dates, and writes the
    /// event.
    fn write(&mut self, id: &InstanceId, change: impl FnOnce(&mut Row)) -> bool {
        let Some(old) = self.rows.get(id) else {
            return false;
        };
        let mut new = old.clone();
        change(&mut new);
        new.instance.epoch = old.instance.epoch;
        new.instance.status_changed_at = old.instance.status_changed_at;
        if let Some(why) = refusal(&old.instance, &new.instance) {
            self.ledger.refused_by_trigger(&old.instance, &why);
            return false;
        }
        let moved = old.instance.status != new.instance.status
            || old.instance.delete_requested_at != new.instance.delete_requested_at;
        if moved {
            new.instance.epoch = Epoch(old.instance.epoch.0 + 1);
            new.instance.status_changed_at = self.now;
            self.events.push(Event {
                service_id: new.instance.service_id.clone(),
                to: Some(new.instance.status),
            });
        }
        self.ledger.changed(Some(old), Some(&new), self.now);
        self.rows.insert(id.clone(), new);
        true
    }

    fn insert(&mut self, row: Row) {
        self.events.push(Event {
            service_id: row.instance.service_id.clone(),
            to: Some(row.instance.status),
        });
        self.ledger.changed(None, Some(&row), self.now);
        self.rows.insert(row.instance.id.clone(), row);
    }

    fn delete(&mut self, id: &InstanceId) {
        if let Some(row) = self.rows.remove(id) {
            self.events.push(Event {
                service_id: row.instance.service_id.clone(),
                to: None,
            });
            self.ledger.changed(Some(&row), None, self.now);
        }
    }
}

/// What the trigger says of a change, where it refuses it.
fn refusal(old: &Instance, new: &Instance) -> Option<String> {
    let (from, to) = (old.status, new.status);
    if new.status == Status::Idle && new.unasked {
        return Some("cannot be unasked while idle".to_owned());
    }
    if from != to {
        let legal = pool_domain::status::legal_changes().contains(&(from, to));
        if !legal {
            return Some(format!("cannot change from {from} to {to}"));
        }
        if old.delete_requested_at.is_some() || new.delete_requested_at.is_some() {
            return Some(format!("{from} to {to} once its destruction was asked for"));
        }
        if from == Status::Starting && to == Status::Claimed && !old.unasked {
            return Some("claimed without a lease".to_owned());
        }
    } else if old.delete_requested_at != new.delete_requested_at {
        if old.delete_requested_at.is_some() {
            return Some("cannot take back that its destruction was asked for".to_owned());
        }
        if !matches!(to, Status::Claimed | Status::Crashed) {
            return Some(format!("{to} goes by being dead"));
        }
    }
    None
}
