//! Mutations of deployments.
#![expect(clippy::unused_async, reason = "resolvers have to be async functions")]

use async_graphql::{Context, Object, Result};
use pool_domain::{DeploymentId, EnvironmentId, ServiceId};

use super::super::deployment::{self, Deployment};
use super::super::{refusal, scope, shared};
use crate::Refusal;
use crate::world::{Caller, InstanceKey, World};

#[derive(Debug, Default)]
pub(in crate::server) struct DeploymentMutations;

#[Object]
impl DeploymentMutations {
    async fn deployment_approve(&self, context: &Context<'_>, id: String) -> Result<bool> {
        done(context, |world, caller| {
            world.deployment_approve(caller, &DeploymentId::new(id))
        })
    }

    async fn deployment_cancel(&self, context: &Context<'_>, id: String) -> Result<bool> {
        done(context, |world, caller| {
            world.deployment_cancel(caller, &DeploymentId::new(id))
        })
    }

    async fn deployment_redeploy(
        &self,
        context: &Context<'_>,
        id: String,
        use_previous_image_tag: Option<bool>,
    ) -> Result<Deployment> {
        // Every tag stays what it was, so that the previous one is the present one.
        let _ = use_previous_image_tag;
        let (id, caller) = (DeploymentId::new(id), &scope(context)?.caller);
        let begun = shared(context)?.world(|w| w.deployment_redeploy(caller, &id));
        deployment::find(context, &begun.map_err(refusal)?)
    }

    async fn deployment_remove(&self, context: &Context<'_>, id: String) -> Result<bool> {
        done(context, |world, caller| {
            world.deployment_remove(caller, &DeploymentId::new(id))
        })
    }

    async fn deployment_restart(&self, context: &Context<'_>, id: String) -> Result<bool> {
        done(context, |world, caller| {
            world.deployment_restart(caller, &DeploymentId::new(id))
        })
    }

    async fn deployment_stop(&self, context: &Context<'_>, id: String) -> Result<bool> {
        done(context, |world, caller| {
            world.deployment_stop(caller, &DeploymentId::new(id))
        })
    }

    async fn service_instance_deploy(
        &self,
        context: &Context<'_>,
        commit_sha: Option<String>,
        environment_id: String,
        latest_commit: Option<bool>,
        service_id: String,
    ) -> Result<bool> {
        // Commits are not modelled.
        let _ = (commit_sha, latest_commit);
        let key = key_of(service_id, environment_id);
        done(context, |world, caller| {
            world.service_instance_deploy(caller, &key).map(drop)
        })
    }

    #[graphql(name = "serviceInstanceDeployV2")]
    async fn service_instance_deploy_v2(
        &self,
        context: &Context<'_>,
        commit_sha: Option<String>,
        environment_id: String,
        service_id: String,
    ) -> Result<String> {
        let _ = commit_sha;
        let key = key_of(service_id, environment_id);
        let caller = &scope(context)?.caller;
        let begun = shared(context)?.world(|w| w.service_instance_deploy(caller, &key));
        begun.map(DeploymentId::into_string).map_err(refusal)
    }

    async fn service_instance_redeploy(
        &self,
        context: &Context<'_>,
        environment_id: String,
        service_id: String,
    ) -> Result<bool> {
        let key = key_of(service_id, environment_id);
        done(context, |world, caller| {
            world.service_instance_redeploy(caller, &key).map(drop)
        })
    }
}

fn key_of(service: String, environment: String) -> InstanceKey {
    (ServiceId::new(service), EnvironmentId::new(environment))
}

fn done(
    context: &Context<'_>,
    act: impl FnOnce(&mut World, &Caller) -> Result<(), Refusal>,
) -> Result<bool> {
    let caller = &scope(context)?.caller;
    let acted = shared(context)?.world(|world| act(world, caller));
    acted.map(|()| true).map_err(refusal)
}
