//! What happens by itself as time passes, and what is done to a running deployment.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use pool_domain::{DeploymentId, DeploymentStatus};

use super::agent::{AgentCall, AgentReply, Liveness};
use super::model::{Cause, Deployment, InstanceKey};
use super::timer::Timer;
use super::{Refusal, World};
use crate::faults::{AgentFault, Fault};

/// How long a replaced deployment is REMOVING before it is REMOVED.
const REMOVAL: Duration = Duration::from_secs(1);

/// How many deployments of one instance are kept. The latest and the one that it replaces matter;
/// the rest is for a person who looks.
const DEPLOYMENTS_KEPT: usize = 10;

impl World {
    /// Lets time pass until `now`: everything that was due happens, in its order, at its own time.
    /// A time before the world's own changes nothing.
    pub fn step(&mut self, now: DateTime<Utc>) {
        while let Some(entry) = self.timers.first_entry() {
            let due = entry.key().0;
            if due > now {
                break;
            }
            let timer = entry.remove();
            self.now = self.now.max(due);
            match timer {
                Timer::Advance(key, deployment) => self.advance(&key, &deployment),
                Timer::Purge(volume) => {
                    self.volumes.remove(&volume);
                }
            }
        }
        self.now = self.now.max(now);
        self.faults.expire(self.now);
    }

    /// When the next thing happens by itself, if anything does.
    #[must_use]
    pub fn next_event_at(&self) -> Option<DateTime<Utc>> {
        self.timers.keys().next().map(|(due, _)| *due)
    }

    pub(super) fn at(&mut self, due: DateTime<Utc>, timer: Timer) {
        let seq = self.next_seq();
        self.timers.insert((due, seq), timer);
    }

    /// Begins a deployment of what is configured now.
    pub(super) fn deploy(&mut self, key: &InstanceKey, cause: Cause) -> Result<(), Refusal> {
        let faults = self.faults.strike_deployment(&mut self.rng);
        let id = DeploymentId::new(self.new_id());
        let upcoming = self.plan_of_deploy(&faults);
        let instance = self
            .instance_mut(key)
            .ok_or(Refusal::ServiceInstanceNotFound)?;
        for fault in faults {
            if let Fault::BornBroken { fault } = fault {
                instance.agent.fault = Some(fault);
            }
        }
        // A deployment that is still on its way up is overtaken by the new one.
        let older = instance.deployments.iter_mut();
        for older in older.filter(|d| d.is_in_progress()) {
            older.end(&DeploymentStatus::Removed, false);
        }
        let first_due = upcoming.front().map(|(due, _)| *due);
        let variables = Arc::new(instance.config.variables());
        instance.deployments.push_back(Deployment {
            id: id.clone(),
            status: DeploymentStatus::Initializing,
            stopped: false,
            running_since: None,
            variables,
            upcoming,
        });
        if instance.deployments.len() > DEPLOYMENTS_KEPT {
            instance.deployments.pop_front();
        }
        *instance.deploys_by_cause.entry(cause).or_default() += 1;
        if let Some(due) = first_due {
            self.at(due, Timer::Advance(key.clone(), id));
        }
        Ok(())
    }

    /// There is no build, since the source is an image.
    fn plan_of_deploy(&mut self, faults: &[Fault]) -> VecDeque<(DateTime<Utc>, DeploymentStatus)> {
        if faults.contains(&Fault::DeploySticks) {
            return VecDeque::new();
        }
        let took = self.random_duration(self.settings.deploy_min, self.settings.deploy_max);
        let now = self.now;
        let held = faults.iter().find_map(|fault| match fault {
            Fault::DeployHolds { status } => Some(status.clone()),
            _ => None,
        });
        if let Some(status) = held {
            return VecDeque::from([(now + took / 5, status)]);
        }
        let last = if faults.contains(&Fault::DeployFails) {
            DeploymentStatus::Failed
        } else {
            DeploymentStatus::Success
        };
        VecDeque::from([
            (now + took / 3, DeploymentStatus::Deploying),
            (now + took, last),
        ])
    }

    fn advance(&mut self, key: &InstanceKey, id: &DeploymentId) {
        let now = self.now;
        let has_volume = self.volume_of(key).is_some();
        let Some(instance) = self.instance_mut(key) else {
            return;
        };
        let Some(deployment) = instance.deployments.iter_mut().find(|d| d.id == *id) else {
            return;
        };
        let Some((_, status)) = deployment.upcoming.pop_front_if(|(due, _)| *due <= now) else {
            return;
        };
        deployment.running_since = (status == DeploymentStatus::Success).then_some(now);
        deployment.status = status.clone();
        if let Some((next, _)) = deployment.upcoming.front() {
            let next = *next;
            self.at(next, Timer::Advance(key.clone(), id.clone()));
        }
        // Two containers cannot hold one volume, so there the old one goes before the new one runs.
        let replaces = status == DeploymentStatus::Success
            || (status == DeploymentStatus::Deploying && has_volume);
        if replaces {
            self.retire_others(key, id);
        }
    }

    pub(super) fn retire_others(&mut self, key: &InstanceKey, keep: &DeploymentId) {
        let now = self.now;
        let Some(instance) = self.instance_mut(key) else {
            return;
        };
        let mut retired = Vec::new();
        let others = instance.deployments.iter_mut();
        for other in others.filter(|d| d.id != *keep && d.is_active()) {
            other.end(&DeploymentStatus::Removing, false);
            let gone = (now + REMOVAL, DeploymentStatus::Removed);
            other.upcoming.push_back(gone);
            retired.push(other.id.clone());
        }
        for id in retired {
            self.at(now + REMOVAL, Timer::Advance(key.clone(), id));
        }
    }

    /// Ends what runs, with this status. False where nothing runs.
    pub(super) fn end_active(
        &mut self,
        key: &InstanceKey,
        status: &DeploymentStatus,
        stopped: bool,
    ) -> bool {
        let deployments = self.instance_mut(key).map(|it| &mut it.deployments);
        let active = deployments.into_iter().flatten().filter(|d| d.is_active());
        let ended = active.map(|deployment| deployment.end(status, stopped));
        ended.count() > 0
    }

    /// Ends what is on its way up with FAILED, else what runs. False where there is neither.
    pub(super) fn fail_latest(&mut self, key: &InstanceKey) -> bool {
        let latest = self
            .instance_mut(key)
            .and_then(|it| it.deployments.back_mut());
        let failing = latest.filter(|d| d.is_in_progress() || d.is_active());
        let failed = failing.map(|latest| latest.end(&DeploymentStatus::Failed, false));
        failed.is_some()
    }

    /// What the address `domain` answers: the agent, or the edge in its place.
    pub fn agent_call(&mut self, domain: &str, call: AgentCall<'_>) -> AgentReply {
        let not_found = || AgentReply::edge(404, "Application not found");
        let now = self.now;
        let boot = self.settings.boot;
        let Some(key) = self.domains.get(domain).cloned() else {
            return not_found();
        };
        let Self { services, rng, .. } = self;
        let instance = services
            .get_mut(&key.0)
            .filter(|service| service.is_live())
            .and_then(|service| service.instances.get_mut(&key.1));
        let Some(instance) = instance else {
            return not_found();
        };
        let Some(running) = instance
            .deployments
            .iter_mut()
            .rev()
            .find(|d| d.is_active())
        else {
            return not_found();
        };
        if running.status == DeploymentStatus::Sleeping {
            // The request wakes it, and is itself lost.
            running.status = DeploymentStatus::Success;
            running.running_since = Some(now);
            return AgentReply::edge(502, "Application failed to respond");
        }
        let liveness = Liveness {
            booted: running
                .running_since
                .is_some_and(|since| since + boot <= now),
            key: running.variables.get("POOL_API_KEY").cloned(),
        };
        instance.agent.answer(now, rng, &liveness, call)
    }

    /// What the agent at this address does to its callers.
    pub(crate) fn agent_fault_at(&self, domain: &str) -> Option<AgentFault> {
        self.instance(self.domains.get(domain)?)?.agent.fault
    }

    /// The variables that the deployment which serves now was started with.
    #[must_use]
    pub fn running_variables(&self, key: &InstanceKey) -> Option<&BTreeMap<String, String>> {
        let running = self
            .instance(key)?
            .deployments
            .iter()
            .rev()
            .find(|d| d.is_active())?;
        Some(&running.variables)
    }
}
