//! What a client does with deployments: begins, repeats, stops and removes them.

use std::collections::VecDeque;

use pool_domain::{DeploymentId, DeploymentStatus, EnvironmentId};

use super::model::{Cause, Deployment, InstanceKey, Service};
use super::timer::Timer;
use super::{Caller, Refusal, World};

impl World {
    /// `serviceInstanceDeployV2`: deploys what is configured now.
    pub(crate) fn service_instance_deploy(
        &mut self,
        caller: &Caller,
        key: &InstanceKey,
    ) -> Result<DeploymentId, Refusal> {
        self.check_instance(caller, key)?;
        let instance = self.instance(key);
        let config = &instance.ok_or(Refusal::ServiceInstanceNotFound)?.config;
        if config.image().is_none() && config.repo().is_none() {
            return Err(Refusal::ProblemProcessing);
        }
        self.deploy(key, Cause::Asked)
    }

    /// `serviceInstanceRedeploy`: runs again what ran, whatever is configured now.
    pub(crate) fn service_instance_redeploy(
        &mut self,
        caller: &Caller,
        key: &InstanceKey,
    ) -> Result<DeploymentId, Refusal> {
        self.check_instance(caller, key)?;
        let instance = self.instance(key);
        let instance = instance.ok_or(Refusal::ServiceInstanceNotFound)?;
        let active = instance.deployments.iter().rev().find(|d| d.is_active());
        let latest = active.or_else(|| instance.latest());
        let image = again(latest.ok_or(Refusal::RedeployWithoutSnapshot)?)?;
        self.deploy_image(key, Cause::Asked, image)
    }

    pub(crate) fn deployment_redeploy(
        &mut self,
        caller: &Caller,
        id: &DeploymentId,
    ) -> Result<DeploymentId, Refusal> {
        let (service, environment, deployment) = self.find_deployment(caller, id)?;
        let image = again(deployment)?;
        let key = (service.id.clone(), environment.clone());
        self.deploy_image(&key, Cause::Asked, image)
    }

    /// A deployment of a live service by its id, with where it runs.
    pub(crate) fn find_deployment(
        &self,
        caller: &Caller,
        id: &DeploymentId,
    ) -> Result<(&Service, &EnvironmentId, &Deployment), Refusal> {
        let live = self.services.values().filter(|service| service.is_live());
        let (service, environment, deployment) = live
            .flat_map(|service| service.instances.iter().map(move |(e, i)| (service, e, i)))
            .find_map(|(service, environment, instance)| {
                let found = instance.deployments.iter().find(|d| d.id == *id)?;
                Some((service, environment, found))
            })
            .ok_or(Refusal::DeploymentNotFound)?;
        self.environment(caller, environment, None)?;
        Ok((service, environment, deployment))
    }

    /// `deploymentApprove`: what waits for it goes on.
    pub(crate) fn deployment_approve(
        &mut self,
        caller: &Caller,
        id: &DeploymentId,
    ) -> Result<(), Refusal> {
        let (key, status) = self.locate(caller, id)?;
        if status != DeploymentStatus::NeedsApproval {
            return Err(Refusal::ProblemProcessing);
        }
        let (min, max) = (self.settings.deploy_min, self.settings.deploy_max);
        let took = self.random_duration(min, max);
        let now = self.now;
        if let Some(deployment) = self.deployment_mut(&key, id) {
            deployment.upcoming = VecDeque::from([
                (now + took / 3, DeploymentStatus::Deploying),
                (now + took, DeploymentStatus::Success),
            ]);
            self.at(now + took / 3, Timer::Advance(key, id.clone()));
        }
        Ok(())
    }

    /// `deploymentCancel`: what is on its way up is REMOVED.
    pub(crate) fn deployment_cancel(
        &mut self,
        caller: &Caller,
        id: &DeploymentId,
    ) -> Result<(), Refusal> {
        let (key, _) = self.locate(caller, id)?;
        let rising = self.deployment_mut(&key, id);
        if !rising.is_some_and(|deployment| deployment.is_in_progress()) {
            return Err(Refusal::ProblemProcessing);
        }
        self.end_deployment(&key, id, DeploymentStatus::Removed, false);
        Ok(())
    }

    /// `deploymentRemove`: REMOVED, whatever it was.
    pub(crate) fn deployment_remove(
        &mut self,
        caller: &Caller,
        id: &DeploymentId,
    ) -> Result<(), Refusal> {
        let (key, _) = self.locate(caller, id)?;
        self.end_deployment(&key, id, DeploymentStatus::Removed, false);
        Ok(())
    }

    /// `deploymentStop`: its status stays SUCCESS, and it is stopped.
    pub(crate) fn deployment_stop(
        &mut self,
        caller: &Caller,
        id: &DeploymentId,
    ) -> Result<(), Refusal> {
        let (key, _) = self.locate(caller, id)?;
        let running = self.deployment_mut(&key, id);
        if !running.is_some_and(|deployment| deployment.is_active()) {
            return Err(Refusal::ProblemProcessing);
        }
        self.end_deployment(&key, id, DeploymentStatus::Success, true);
        Ok(())
    }

    /// `deploymentRestart`: the same container boots again.
    pub(crate) fn deployment_restart(
        &mut self,
        caller: &Caller,
        id: &DeploymentId,
    ) -> Result<(), Refusal> {
        let (key, _) = self.locate(caller, id)?;
        let now = self.now;
        let latest = self.instance(&key).and_then(|instance| instance.latest());
        let is_latest = latest.is_some_and(|latest| latest.id == *id);
        match self.deployment_mut(&key, id) {
            Some(deployment) if is_latest && deployment.has_snapshot => {
                deployment.status = DeploymentStatus::Success;
                deployment.stopped = false;
                deployment.running_since = Some(now);
                deployment.status_updated_at = now;
            }
            _ => return Err(Refusal::ProblemProcessing),
        }
        self.retire_others(&key, id);
        Ok(())
    }

    /// Gives the latest deployment any status, as a test wants it. False where there is none.
    pub(crate) fn set_deploy_status(
        &mut self,
        key: &InstanceKey,
        status: &DeploymentStatus,
        stopped: bool,
    ) -> bool {
        let now = self.now;
        let latest = self.instance(key).and_then(|instance| instance.latest());
        let Some(id) = latest.map(|deployment| deployment.id.clone()) else {
            return false;
        };
        self.end_deployment(key, &id, status.clone(), stopped);
        let Some(deployment) = self.deployment_mut(key, &id) else {
            return false;
        };
        if deployment.is_active() {
            deployment.running_since = Some(now);
            deployment.has_snapshot = true;
            self.retire_others(key, &id);
        }
        true
    }

    fn end_deployment(
        &mut self,
        key: &InstanceKey,
        id: &DeploymentId,
        status: DeploymentStatus,
        stopped: bool,
    ) {
        let now = self.now;
        if let Some(deployment) = self.deployment_mut(key, id) {
            deployment.upcoming.clear();
            deployment.status = status;
            deployment.stopped = stopped;
            deployment.running_since = None;
            deployment.status_updated_at = now;
        }
    }

    fn locate(
        &self,
        caller: &Caller,
        id: &DeploymentId,
    ) -> Result<(InstanceKey, DeploymentStatus), Refusal> {
        let (service, environment, deployment) = self.find_deployment(caller, id)?;
        let key = (service.id.clone(), environment.clone());
        Ok((key, deployment.status.clone()))
    }
}

/// The image of a deployment that is to run again, if it can.
fn again(deployment: &Deployment) -> Result<Option<String>, Refusal> {
    if deployment.is_in_progress() {
        Err(Refusal::RedeployTooEarly)
    } else if deployment.has_snapshot {
        Ok(deployment.image.clone())
    } else {
        Err(Refusal::RedeployWithoutSnapshot)
    }
}
