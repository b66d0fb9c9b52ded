//! The statements of a claim: lease, confirm, release, abandon, expire.

use std::time::Duration;

use pool_domain::status::Next;
use pool_domain::{Event, InstanceId, State, Status};

use super::Database;

/// Names one lease.
pub(crate) type Token = u64;

/// A claim in progress.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    pub(crate) id: InstanceId,
    pub(crate) url: Option<String>,
}

/// What an agent is once it was provisioned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Confirmation {
    pub(crate) agent_name: String,
    pub(crate) conversation_id: Option<String>,
    pub(crate) invite_url: Option<String>,
}

impl Database {
    /// `claims::lease_idle`.
    pub(crate) fn lease_idle(
        &mut self,
        token: Token,
        lease: Duration,
        exclude: &[InstanceId],
    ) -> Option<Lease> {
        if let Some(held) = self.held(token) {
            let row = self.rows.get(&held)?;
            return (row.instance.status == Status::Claiming).then(|| lease_of(&row.instance));
        }
        let free = self
            .rows
            .values()
            .map(|row| &row.instance)
            .filter(|row| row.status == Status::Idle && !exclude.contains(&row.id));
        let oldest = free.min_by_key(|row| (row.created_at, row.id.clone()))?;
        let id = oldest.id.clone();
        let expires_at = self.now + lease;
        self.write(&id, |row| {
            row.instance.status = Status::Claiming;
            row.actor = "claim";
            "leased".clone_into(&mut row.reason);
            row.claim_token = Some(token);
            row.claim_expires_at = Some(expires_at);
        });
        self.rows.get(&id).map(|row| lease_of(&row.instance))
    }

    /// `claims::confirm`: true when it is the claimer's, by this call or by an earlier one.
    pub(crate) fn confirm(&mut self, token: Token, what: &Confirmation) -> bool {
        let Some(id) = self.held(token) else {
            return false;
        };
        let is_leased = self.row(&id).map(|row| row.instance.status) == Some(Status::Claiming);
        if !is_leased {
            return true;
        }
        let now = self.now;
        self.write(&id, |row| {
            let it = &mut row.instance;
            it.status = Status::Claimed;
            it.agent_name = Some(what.agent_name.clone());
            it.conversation_id.clone_from(&what.conversation_id);
            it.invite_url.clone_from(&what.invite_url);
            it.claimed_at = Some(now);
            it.failed_claims = 0;
            row.claim_expires_at = None;
            row.actor = "claim";
            "confirmed".clone_into(&mut row.reason);
        })
    }

    /// `claims::release`.
    pub(crate) fn release(&mut self, token: Token, reason: &str, counts: bool) -> Option<Status> {
        let id = self.leased(token)?;
        let failed_claims = self.row(&id)?.instance.failed_claims;
        let leased = State {
            failed_claims,
            ..State::new(Status::Claiming)
        };
        let to = match leased.apply(Event::Release) {
            Ok(Next::To(next)) if counts => next.status,
            _ => Status::Idle,
        };
        self.settle(&id, to, "claim", reason, u8::from(counts));
        Some(to)
    }

    /// `claims::abandon`.
    pub(crate) fn abandon(&mut self, token: Token, reason: &str) -> bool {
        let Some(id) = self.leased(token) else {
            return false;
        };
        self.settle(&id, Status::Dead, "claim", reason, 0);
        true
    }

    /// `claims::expire`.
    pub(crate) fn expire(&mut self, lease: Duration) -> Vec<InstanceId> {
        let now = self.now;
        let leased = self.rows.values();
        let leased = leased.filter(|row| row.instance.status == Status::Claiming);
        let expired: Vec<_> = leased
            .filter(|row| {
                let usual = row.instance.status_changed_at + lease;
                row.claim_expires_at.unwrap_or(usual) < now
            })
            .map(|row| row.instance.id.clone())
            .collect();
        for id in &expired {
            self.settle(id, Status::Dead, "lease expiry", "lease expired", 0);
        }
        expired
    }

    fn settle(
        &mut self,
        id: &InstanceId,
        to: Status,
        actor: &'static str,
        reason: &str,
        failed: u8,
    ) {
        self.write(id, |row| {
            row.instance.status = to;
            row.instance.failed_claims += failed;
            row.actor = actor;
            reason.clone_into(&mut row.reason);
            row.claim_token = None;
            row.claim_expires_at = None;
        });
    }

    fn held(&self, token: Token) -> Option<InstanceId> {
        let mut rows = self.rows.values();
        let row = rows.find(|row| row.claim_token == Some(token))?;
        Some(row.instance.id.clone())
    }

    fn leased(&self, token: Token) -> Option<InstanceId> {
        let id = self.held(token)?;
        (self.row(&id)?.instance.status == Status::Claiming).then_some(id)
    }
}

fn lease_of(row: &pool_domain::Instance) -> Lease {
    Lease {
        id: row.id.clone(),
        url: row.url.clone(),
    }
}
