//! `provisions`: the statements of pool-db's `provisions`, word for word in Rust.

use std::time::Duration;

use pool_domain::write::Belongings;
use pool_domain::{
    CreateStep, DestroyStep, InboxId, InstanceId, KeyHash, Provision, Secret, ServiceId, Stage,
    Term, VolumeId,
};

use super::{Database, DbError};

/// The intent to create one instance.
#[derive(Debug, Clone)]
pub(crate) struct NewProvision {
    pub(crate) id: InstanceId,
    pub(crate) name: String,
    pub(crate) gateway_token: Secret,
}

/// What a step made.
#[derive(Debug, Clone)]
pub(crate) enum Made {
    Key(KeyHash),
    Inbox(InboxId),
    Service(ServiceId),
    Volume(VolumeId),
    Nothing,
}

impl Database {
    /// `provisions::load`: oldest first.
    pub(crate) fn load_provisions(&self) -> Vec<Provision> {
        let mut all: Vec<_> = self.provisions.values().cloned().collect();
        all.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        all
    }

    /// `provisions::intend`.
    pub(crate) fn intend(&mut self, term: Term, new: &[NewProvision]) -> Result<usize, DbError> {
        self.check_term(term)?;
        for new in new {
            let mut provision = self.blank_provision(new.id.clone(), new.name.clone());
            provision.gateway_token = Some(new.gateway_token.clone());
            provision.next_attempt_at = Some(self.now);
            self.provisions.entry(new.id.clone()).or_insert(provision);
        }
        Ok(new.len())
    }

    /// `provisions::begin_step`.
    pub(crate) fn begin_step(
        &mut self,
        term: Term,
        id: &InstanceId,
        step: CreateStep,
    ) -> Result<bool, DbError> {
        self.check_term(term)?;
        let now = self.now;
        let Some(it) = self.provisions.get_mut(id) else {
            return Ok(false);
        };
        if it.stage == Stage::Destroying {
            return Ok(false);
        }
        it.stage = Stage::Creating(step);
        it.step_began_at = now;
        it.next_attempt_at = None;
        Ok(true)
    }

    /// `provisions::advance`.
    pub(crate) fn advance(
        &mut self,
        term: Term,
        id: &InstanceId,
        made: Made,
        next: Stage,
    ) -> Result<bool, DbError> {
        self.check_term(term)?;
        let now = self.now;
        let Some(it) = self.provisions.get_mut(id) else {
            return Ok(false);
        };
        let is_ending = it.stage == Stage::Destroying;
        if it.stage != next {
            it.attempts = 0;
            it.last_error = None;
        }
        it.next_attempt_at = (next != Stage::Created && !is_ending).then_some(now);
        if !is_ending {
            it.stage = next;
        }
        it.step_began_at = now;
        match made {
            Made::Key(hash) => it.openrouter_key_hash = Some(hash),
            Made::Inbox(inbox) => it.agentmail_inbox_id = Some(inbox),
            Made::Service(service) => it.service_id = Some(service),
            Made::Volume(volume) => it.volume_id = Some(volume),
            Made::Nothing => {}
        }
        Ok(true)
    }

    /// `provisions::failed`.
    pub(crate) fn failed(
        &mut self,
        term: Term,
        id: &InstanceId,
        error: &str,
        retry_after: Duration,
    ) -> Result<bool, DbError> {
        self.check_term(term)?;
        let due = self.now + retry_after;
        let Some(it) = self.provisions.get_mut(id) else {
            return Ok(false);
        };
        it.attempts += 1;
        it.last_error = Some(error.to_owned());
        it.next_attempt_at = Some(due);
        Ok(true)
    }

    /// `provisions::begin_destruction`.
    pub(crate) fn begin_destruction(&mut self, term: Term, of: &Belongings) -> Result<(), DbError> {
        self.check_term(term)?;
        let now = self.now;
        let blank = self.blank_provision(of.id.clone(), of.name.clone());
        let it = self.provisions.entry(of.id.clone()).or_insert(blank);
        if it.stage != Stage::Destroying {
            it.stage = Stage::Destroying;
            it.step_began_at = now;
            it.attempts = 0;
            it.next_attempt_at = None;
            it.last_error = None;
        }
        fill(&mut it.service_id, of.service_id.as_ref());
        fill(&mut it.volume_id, of.volume_ids.first());
        fill(&mut it.openrouter_key_hash, of.openrouter_key_hash.as_ref());
        fill(&mut it.agentmail_inbox_id, of.agentmail_inbox_id.as_ref());
        Ok(())
    }

    /// `provisions::mark_destroyed`.
    pub(crate) fn mark_destroyed(
        &mut self,
        term: Term,
        id: &InstanceId,
        step: DestroyStep,
    ) -> Result<bool, DbError> {
        self.check_term(term)?;
        let now = self.now;
        let Some(it) = self.provisions.get_mut(id) else {
            return Ok(false);
        };
        if !it.destroyed.contains(&step) {
            it.destroyed.push(step);
        }
        if step == DestroyStep::Service {
            it.service_deleted_at = Some(now);
        }
        Ok(true)
    }

    /// `provisions::remove`.
    pub(crate) fn remove_provisions(
        &mut self,
        term: Term,
        ids: &[InstanceId],
    ) -> Result<(), DbError> {
        self.check_term(term)?;
        for id in ids {
            self.provisions.remove(id);
        }
        Ok(())
    }

    fn blank_provision(&self, id: InstanceId, name: String) -> Provision {
        Provision {
            id,
            name,
            service_id: None,
            volume_id: None,
            openrouter_key_hash: None,
            agentmail_inbox_id: None,
            gateway_token: None,
            stage: Stage::Creating(CreateStep::Key),
            attempts: 0,
            next_attempt_at: None,
            last_error: None,
            created_at: self.now,
            step_began_at: self.now,
            service_deleted_at: None,
            destroyed: Vec::new(),
        }
    }
}

fn fill<T: Clone>(recorded: &mut Option<T>, found: Option<&T>) {
    if recorded.is_none() {
        *recorded = found.cloned();
    }
}
