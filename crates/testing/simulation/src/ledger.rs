//! What was promised, and whether it is kept. It sees every change of a row, every answer to a
//! caller and every deletion outside, and says in a sentence what must not be.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::{DateTime, Utc};
use pool_domain::{Instance, InstanceId, Status};

use crate::database::{Confirmation, Row};

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which rule.
    pub rule: String,
    /// What is wrong.
    pub sentence: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.sentence)
    }
}

/// How many violations are kept: the first is the one that matters.
const KEPT: usize = 20;

/// The promises.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    violations: Vec<Violation>,
    /// What a caller was told with a 200.
    promises: BTreeMap<InstanceId, Confirmation>,
    /// What a person wants to be gone.
    asked: BTreeSet<InstanceId>,
    /// Keys that a leader made when it led no more.
    pub(crate) stale_keys: BTreeSet<String>,
}

impl Ledger {
    pub(crate) fn violations(&self) -> &[Violation] {
        &self.violations
    }

    pub(crate) fn violated(&mut self, rule: impl Into<String>, sentence: impl Into<String>) {
        let violation = Violation {
            rule: rule.into(),
            sentence: sentence.into(),
        };
        if self.violations.len() < KEPT && !self.violations.contains(&violation) {
            self.violations.push(violation);
        }
    }

    /// A person asked for its end.
    pub(crate) fn asked_for(&mut self, id: &InstanceId) {
        self.asked.insert(id.clone());
    }

    /// A caller is answered 200: the row must say so, and nobody else may have been told the same.
    pub(crate) fn promise(&mut self, row: Option<&Row>, id: &InstanceId, what: &Confirmation) {
        if self
            .promises
            .insert(id.clone(), what.clone())
            .is_some_and(|before| before != *what)
        {
            self.violated("one-claimer", format!("{id} was given to two callers"));
        }
        self.check_promise(id, row);
    }

    /// Whatever the state machine refuses, nobody may even attempt.
    pub(crate) fn refused_by_trigger(&mut self, row: &Instance, why: &str) {
        self.violated("legal-change", format!("{}: {why}", row.id));
    }

    pub(crate) fn changed(
        &mut self,
        before: Option<&Row>,
        after: Option<&Row>,
        _now: DateTime<Utc>,
    ) {
        let Some(id) = before.or(after).map(|row| row.instance.id.clone()) else {
            return;
        };
        if self.promises.contains_key(&id) {
            self.check_promise(&id, after);
        }
        let Some(before) = before.map(|row| &row.instance) else {
            return;
        };
        let was_somebodys = matches!(before.status, Status::Claimed | Status::Crashed);
        if was_somebodys && !self.asked.contains(&id) {
            match after.map(|row| &row.instance) {
                None => self.violated("claimed-kept", format!("the row of {id} was removed")),
                Some(after) => {
                    let same = after.conversation_id == before.conversation_id
                        && after.agent_name == before.agent_name;
                    if !same {
                        self.violated(
                            "conversation-kept",
                            format!("{id} lost who it is talking to"),
                        );
                    }
                }
            }
        }
        let actor = after.map(|row| row.actor);
        let is_given_up = before.status == Status::Claiming
            && after.map(|row| row.instance.status) == Some(Status::Dead);
        if is_given_up && !matches!(actor, Some("claim" | "lease expiry")) {
            self.violated(
                "claiming-kept",
                format!("{id} was ended by {actor:?} while it was claimed"),
            );
        }
    }

    /// Something of an instance is about to be deleted outside.
    pub(crate) fn deletes(&mut self, what: &str, row: Option<&Row>) {
        let Some(row) = row.map(|row| &row.instance) else {
            return;
        };
        if !row.is_to_be_destroyed() {
            let sentence = format!(
                "the {what} of {} is deleted, which is {}",
                row.id, row.status
            );
            self.violated("destroyed-alive", sentence);
        } else if row.delete_requested_at.is_some() && !self.asked.contains(&row.id) {
            let sentence = format!("the {what} of {} is deleted, and nobody asked", row.id);
            self.violated("destroyed-unasked", sentence);
        }
    }

    fn check_promise(&mut self, id: &InstanceId, row: Option<&Row>) {
        let Some(promised) = self.promises.get(id) else {
            return;
        };
        if self.asked.contains(id) {
            return;
        }
        let sentence = match row.map(|row| &row.instance) {
            None => "has no row any more".to_owned(),
            Some(row) if !matches!(row.status, Status::Claimed | Status::Crashed) => {
                format!("is {}", row.status)
            }
            Some(row) => {
                let is_kept = row.agent_name.as_deref() == Some(&promised.agent_name)
                    && row.conversation_id == promised.conversation_id
                    && row.invite_url == promised.invite_url;
                if is_kept {
                    return;
                }
                "is claimed with other data".to_owned()
            }
        };
        self.violated(
            "promise-kept",
            format!("{id} was given to a caller, and {sentence}"),
        );
    }
}
