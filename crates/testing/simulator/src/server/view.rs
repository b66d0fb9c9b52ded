//! The world as the control API shows it.

use serde::{Deserialize, Serialize};

use crate::faults::FaultRule;
use crate::world::{Outcome, RequestCounts, Service, World};

/// Everything that a test wants to see at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorldView {
    /// Every service there ever was, oldest first.
    pub services: Vec<ServiceView>,
    /// Every volume, those pending deletion too, oldest first.
    pub volumes: Vec<VolumeView>,
    /// Every agent of a live service in the pool's environment that has a domain.
    pub agents: Vec<AgentView>,
    /// Every key that OpenRouter has, oldest first.
    #[serde(default)]
    pub keys: Vec<KeyView>,
    /// Every inbox that AgentMail has, oldest first.
    #[serde(default)]
    pub inboxes: Vec<InboxView>,
    /// How many requests were made to Railway.
    pub requests: RequestCounts,
    /// How many requests were made to OpenRouter and AgentMail.
    #[serde(default)]
    pub account_requests: RequestCounts,
    /// The faults that are switched on.
    pub faults: Vec<FaultRule>,
}

/// A service, as it is in the pool's environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceView {
    pub id: String,
    pub name: String,
    /// The environments that it has an instance in.
    pub environment_ids: Vec<String>,
    /// The image that it is to run.
    pub image: Option<String>,
    /// The status of its latest deployment.
    pub deploy_status: Option<String>,
    /// Whether its latest deployment ran to its end or was stopped.
    pub deployment_stopped: bool,
    /// How many deployments it had.
    pub deploys: u32,
    pub domain: Option<String>,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// When it was deleted, RFC 3339.
    pub deleted_at: Option<String>,
}

/// A volume, as it is in the pool's environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeView {
    pub id: String,
    /// The service that it is attached to.
    pub service_id: Option<String>,
    /// Whether it was deleted and is kept for a while.
    pub pending_deletion: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentView {
    /// The service that it runs in.
    pub service_id: String,
    /// Its address.
    pub domain: String,
    /// How many calls handed it to somebody; more than one is a violation.
    pub provisions: usize,
    /// How many calls it refused.
    pub refused: usize,
    /// Who it is in its conversation.
    pub agent_name: Option<String>,
    pub conversation_id: Option<String>,
}

/// A call that asked an agent to be provisioned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProvisionView {
    /// The service that the agent runs in.
    pub service_id: String,
    /// When, RFC 3339.
    pub at: String,
    pub agent_name: String,
    /// `done`, `refused`, or `twice`: done, and somebody else's already.
    pub outcome: String,
}

/// A key of OpenRouter's that was not deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyView {
    /// By which it is deleted.
    pub hash: String,
    pub name: String,
}

/// An inbox of AgentMail's that was not deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InboxView {
    /// Its address.
    pub inbox_id: String,
    /// What the client calls it.
    pub client_id: Option<String>,
}

impl WorldView {
    /// What there is to see.
    #[must_use]
    pub fn of(world: &World) -> Self {
        let mut services: Vec<_> = world.services().values().collect();
        services.sort_unstable_by_key(|service| service.seq);
        let mut volumes: Vec<_> = world.volumes().values().collect();
        volumes.sort_unstable_by_key(|volume| volume.seq);
        let home = &world.home().environment;
        let keys = world.openrouter().keys().map(|key| KeyView {
            hash: key.hash.clone(),
            name: key.name.clone(),
        });
        let inboxes = world.agentmail().inboxes().map(|inbox| InboxView {
            inbox_id: inbox.inbox_id.clone(),
            client_id: inbox.client_id.clone(),
        });
        Self {
            services: services.iter().map(|s| ServiceView::of(s, home)).collect(),
            volumes: volumes
                .iter()
                .map(|volume| VolumeView {
                    id: volume.id.to_string(),
                    service_id: volume.service.as_ref().map(ToString::to_string),
                    pending_deletion: volume.is_pending_deletion(),
                })
                .collect(),
            agents: services
                .iter()
                .filter(|service| service.is_live())
                .filter_map(|service| AgentView::of(service, home))
                .collect(),
            keys: keys.collect(),
            inboxes: inboxes.collect(),
            requests: world.request_counts().clone(),
            account_requests: world.account_request_counts().clone(),
            faults: world.faults.rules().to_vec(),
        }
    }
}

impl ProvisionView {
    /// Every call in the pool's environment, those to services that are gone too.
    #[must_use]
    pub fn all(world: &World) -> Vec<Self> {
        let home = &world.home().environment;
        let of_service = |service: &Service| {
            let agent = service.instances.get(home).map(|instance| &instance.agent);
            let calls = agent.map(|agent| agent.provisions.clone());
            calls.unwrap_or_default().into_iter().map({
                let service_id = service.id.to_string();
                move |call| Self {
                    service_id: service_id.clone(),
                    at: call.at.to_rfc3339(),
                    agent_name: call.agent_name,
                    outcome: match call.outcome {
                        Outcome::Done => "done",
                        Outcome::Twice => "twice",
                        Outcome::Refused => "refused",
                    }
                    .to_owned(),
                }
            })
        };
        world.services().values().flat_map(of_service).collect()
    }
}

impl ServiceView {
    fn of(service: &Service, home: &pool_domain::EnvironmentId) -> Self {
        let instance = service.instances.get(home);
        let latest = instance.and_then(|instance| instance.latest());
        Self {
            id: service.id.to_string(),
            name: service.name.clone(),
            environment_ids: service.instances.keys().map(ToString::to_string).collect(),
            image: instance.and_then(|i| i.config.image()).map(str::to_owned),
            deploy_status: latest.map(|deployment| deployment.status.to_string()),
            deployment_stopped: latest.is_some_and(|deployment| deployment.stopped),
            deploys: instance.map_or(0, |i| i.deploys_by_cause.values().sum()),
            domain: instance
                .and_then(|i| i.domains.first())
                .map(|d| d.domain.clone()),
            created_at: service.created_at.to_rfc3339(),
            deleted_at: service.deleted_at.map(|at| at.to_rfc3339()),
        }
    }
}

impl AgentView {
    fn of(service: &Service, home: &pool_domain::EnvironmentId) -> Option<Self> {
        let instance = service.instances.get(home)?;
        let agent = &instance.agent;
        let conversation = agent.conversation.as_ref();
        Some(Self {
            service_id: service.id.to_string(),
            domain: instance.domains.first()?.domain.clone(),
            provisions: agent.times_handed_out(),
            refused: agent
                .provisions
                .iter()
                .filter(|p| p.outcome == Outcome::Refused)
                .count(),
            agent_name: conversation.map(|c| c.agent_name.clone()),
            conversation_id: conversation.map(|c| c.id.clone()),
        })
    }
}
