//! What happens to services without anybody asking Railway for it, and what a test puts there.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use pool_domain::{DeploymentId, DeploymentStatus, EnvironmentId, ServiceId};

use super::model::{Cause, Deployment, Environment, InstanceKey};
use super::{NewService, Refusal, World};
use crate::Caller;

/// How long ago a seeded service was made: past every grace period that a manager may have.
const SEEDED_AGE: Duration = Duration::from_hours(1);

/// Something that befalls a service instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incident {
    /// Its process dies: CRASHED.
    Crash,
    /// It ends, or a person stops it: SUCCESS and stopped.
    Stop,
    /// Railway puts it to sleep: SLEEPING, until a request wakes it.
    Sleep,
    /// Railway deploys it anew by itself.
    Redeploy,
    /// What is on its way up fails, else what runs: FAILED.
    Fail,
}

impl World {
    /// Lets something befall a service instance. False where it is in no state for that.
    pub fn happen(&mut self, key: &InstanceKey, happening: Incident) -> bool {
        match happening {
            Incident::Crash => self.end_active(key, &DeploymentStatus::Crashed, false),
            Incident::Stop => self.end_active(key, &DeploymentStatus::Success, true),
            Incident::Sleep => self.end_active(key, &DeploymentStatus::Sleeping, false),
            Incident::Fail => self.fail_latest(key),
            Incident::Redeploy => {
                let deployable = self.instance(key).is_some_and(|i| i.latest().is_some());
                deployable && self.deploy(key, Cause::Railway).is_ok()
            }
        }
    }

    /// Gives the latest deployment any status, as a test wants it. False where there is none.
    pub(crate) fn set_deploy_status(
        &mut self,
        key: &InstanceKey,
        status: &DeploymentStatus,
        stopped: bool,
    ) -> bool {
        let now = self.now;
        let deployments = self.instance_mut(key).map(|it| &mut it.deployments);
        let Some(latest) = deployments.and_then(VecDeque::back_mut) else {
            return false;
        };
        latest.end(status, stopped);
        if latest.is_active() {
            latest.running_since = Some(now);
            let id = latest.id.clone();
            self.retire_others(key, &id);
        }
        true
    }

    /// Puts a service there that runs in `environment` since long ago, and is ready.
    pub(crate) fn seed_running(
        &mut self,
        environment: &EnvironmentId,
        name: String,
        image: &str,
        variables: BTreeMap<String, String>,
    ) -> Result<ServiceId, Refusal> {
        let new = NewService {
            variables,
            ..NewService::named(self.home.project.clone(), name)
        };
        let id = self.service_create(&Caller::Account, new)?;
        let long_ago = self.now - SEEDED_AGE - self.settings.boot - self.settings.read_lag;
        let deployment_id = DeploymentId::new(self.new_id());
        let key = (id.clone(), environment.clone());
        if let Some(service) = self.services.get_mut(&id) {
            service.created_at = long_ago;
        }
        let instance = self
            .instance_mut(&key)
            .ok_or(Refusal::ServiceInstanceNotFound)?;
        instance
            .config
            .patch(&serde_json::json!({"source": {"image": image}}))?;
        instance.created_at = long_ago;
        instance.deployments.push_back(Deployment {
            id: deployment_id,
            status: DeploymentStatus::Success,
            stopped: false,
            running_since: Some(long_ago),
            variables: Arc::new(instance.config.variables()),
            upcoming: VecDeque::new(),
        });
        instance.deploys_by_cause.insert(Cause::Seeded, 1);
        Ok(id)
    }

    /// A name of the pool's shape that nobody has: the prefix and so many random characters.
    pub(crate) fn free_name(&mut self, prefix: &str, id_length: usize) -> String {
        const ALPHABET: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz-";
        let mut name = prefix.to_owned();
        for _ in 0..id_length {
            name.push(char::from(ALPHABET[self.rng.usize(..ALPHABET.len())]));
        }
        name
    }

    /// Adds an environment to the project; a fork is reached by a service only when asked.
    pub fn add_environment(&mut self, name: &str, is_fork: bool) -> EnvironmentId {
        let id = EnvironmentId::new(self.new_id());
        self.environments.push(Environment {
            id: id.clone(),
            name: name.to_owned(),
            is_fork,
        });
        id
    }
}
