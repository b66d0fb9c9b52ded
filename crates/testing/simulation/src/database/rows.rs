//! `instances` as the leader writes it: guarded by term, status and epoch.

use std::collections::BTreeSet;

use pool_domain::write::{Adoption, NewInstance, Refresh, StatusChange};
use pool_domain::{Epoch, Instance, InstanceId, Status, Term};

use super::{Database, DbError, Row};

const LEADER: &str = "reconciler";

impl Database {
    /// `instances::load`.
    pub(crate) fn load_rows(&self) -> Vec<Instance> {
        self.rows.values().map(|row| row.instance.clone()).collect()
    }

    /// `instances::refresh`.
    pub(crate) fn refresh(&mut self, term: Term, refreshes: &[Refresh]) -> Result<usize, DbError> {
        self.check_term(term)?;
        let mut written = 0;
        for asked in refreshes {
            let is_unmoved = self.rows.get(&asked.id).is_some_and(|row| {
                row.instance.epoch == asked.epoch && row.instance.status != Status::Claiming
            });
            if is_unmoved {
                written += usize::from(self.write(&asked.id, |row| lay_over(row, asked)));
            }
        }
        Ok(written)
    }

    /// `instances::change_statuses`.
    pub(crate) fn change_statuses(
        &mut self,
        term: Term,
        changes: &[StatusChange],
    ) -> Result<usize, DbError> {
        self.check_term(term)?;
        let now = self.now;
        let mut done = 0;
        for asked in changes {
            let is_unmoved = self.rows.get(&asked.id).is_some_and(|row| {
                row.instance.epoch == asked.epoch && row.instance.status == asked.from
            });
            if !is_unmoved {
                continue;
            }
            let is_done = self.write(&asked.id, |row| {
                let it = &mut row.instance;
                it.status = asked.to;
                it.unasked = false;
                row.actor = LEADER;
                row.reason.clone_from(&asked.reason);
                if let Some(found) = &asked.conversation {
                    it.conversation_id = Some(found.conversation_id.clone());
                    it.invite_url = found.invite_url.clone().or(it.invite_url.take());
                }
                if asked.to == Status::Claimed {
                    it.claimed_at = it.claimed_at.or(Some(now));
                }
            });
            if is_done && asked.is_loss {
                self.lose(&asked.id);
            }
            done += usize::from(is_done);
        }
        Ok(done)
    }

    /// `instances::insert_created`.
    pub(crate) fn insert_created(&mut self, term: Term, new: &NewInstance) -> Result<(), DbError> {
        self.check_term(term)?;
        if self.is_taken(&new.id, &new.service_id) {
            let same = self.rows.get(&new.id);
            if same.is_none_or(|row| row.instance.service_id != new.service_id) {
                return Err(DbError::InsertInstance(new.id.clone()));
            }
            self.write(&new.id, |row| {
                let it = &mut row.instance;
                it.openrouter_key_hash.clone_from(&new.openrouter_key_hash);
                it.agentmail_inbox_id.clone_from(&new.agentmail_inbox_id);
            });
            return Ok(());
        }
        let instance = Instance {
            openrouter_key_hash: new.openrouter_key_hash.clone(),
            agentmail_inbox_id: new.agentmail_inbox_id.clone(),
            gateway_token: new.gateway_token.clone(),
            runtime_image: new.runtime_image.clone(),
            ..self.blank(&new.id, &new.service_id, &new.name)
        };
        self.insert(row_of(instance, "created"));
        Ok(())
    }

    /// `instances::insert_adopted`.
    pub(crate) fn insert_adopted(
        &mut self,
        term: Term,
        adoptions: &[Adoption],
    ) -> Result<usize, DbError> {
        self.check_term(term)?;
        let mut inserted = 0;
        for it in adoptions {
            if self.is_taken(&it.id, &it.service_id) {
                continue;
            }
            let instance = Instance {
                url: it.url.clone(),
                status: it.status,
                deploy_status: it.deploy_status.clone(),
                agentmail_inbox_id: it.agentmail_inbox_id.clone(),
                gateway_token: it.gateway_token.clone(),
                runtime_image: it.runtime_image.clone(),
                created_at: it.created_at,
                claimed_at: it.claimed_at,
                unasked: true,
                ..self.blank(&it.id, &it.service_id, &it.name)
            };
            self.insert(row_of(instance, &it.reason));
            inserted += 1;
        }
        Ok(inserted)
    }

    /// `instances::remove`.
    pub(crate) fn remove_rows(
        &mut self,
        term: Term,
        asked: &[(InstanceId, Epoch)],
    ) -> Result<BTreeSet<InstanceId>, DbError> {
        self.check_term(term)?;
        let mut removed = BTreeSet::new();
        for (id, epoch) in asked {
            let may_go = self.rows.get(id).is_some_and(|row| {
                row.instance.epoch == *epoch && row.instance.is_to_be_destroyed()
            });
            if may_go {
                self.delete(id);
                removed.insert(id.clone());
            }
        }
        Ok(removed)
    }

    fn is_taken(&self, id: &InstanceId, service: &pool_domain::ServiceId) -> bool {
        self.rows.contains_key(id) || self.row_of_service(service).is_some()
    }

    /// The columns' defaults.
    fn blank(&self, id: &InstanceId, service: &pool_domain::ServiceId, name: &str) -> Instance {
        Instance {
            id: id.clone(),
            service_id: service.clone(),
            name: name.to_owned(),
            url: None,
            status: Status::Starting,
            deploy_status: None,
            agent_name: None,
            conversation_id: None,
            invite_url: None,
            created_at: self.now,
            claimed_at: None,
            source_branch: None,
            openrouter_key_hash: None,
            agentmail_inbox_id: None,
            gateway_token: None,
            runtime_image: None,
            epoch: Epoch(0),
            status_changed_at: self.now,
            failed_claims: 0,
            missing_since: None,
            delete_requested_at: None,
            unasked: false,
        }
    }
}

fn row_of(instance: Instance, reason: &str) -> Row {
    Row {
        instance,
        claim_token: None,
        claim_expires_at: None,
        actor: LEADER,
        reason: reason.to_owned(),
    }
}

fn lay_over(row: &mut Row, asked: &Refresh) {
    let it = &mut row.instance;
    it.name.clone_from(&asked.name);
    if asked.url.is_some() {
        it.url.clone_from(&asked.url);
    }
    it.deploy_status.clone_from(&asked.deploy_status);
    it.runtime_image.clone_from(&asked.runtime_image);
    it.gateway_token.clone_from(&asked.gateway_token);
    it.agentmail_inbox_id.clone_from(&asked.agentmail_inbox_id);
    it.claimed_at = asked.claimed_at;
    it.missing_since = asked.missing_since;
    it.unasked = asked.unasked;
}
