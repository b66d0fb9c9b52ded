//! What Railway and the agents said: the observed side of every decision. Not knowing is a value
//! here, never a default.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use crate::write::FoundConversation;
use crate::{
    DeployClass, DeploymentId, DeploymentStatus, InboxId, ManagerId, Secret, ServiceId, VolumeId,
};

/// One listing of the environment: every page of services and volumes that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// When its first request was sent, by the database's clock.
    pub started_at: DateTime<Utc>,
    /// Whether every page arrived without an error.
    pub completeness: Completeness,
    /// The services that were seen.
    pub services: Vec<ObservedService>,
    /// The volumes that were seen.
    pub volumes: Vec<ObservedVolume>,
    /// How many HTTP requests it took.
    pub requests: u32,
}

impl Listing {
    /// A listing of which nothing arrived.
    #[must_use]
    pub fn failed(started_at: DateTime<Utc>, reason: impl Into<String>) -> Self {
        Self {
            started_at,
            completeness: Completeness::Incomplete(reason.into()),
            services: Vec::new(),
            volumes: Vec::new(),
            requests: 0,
        }
    }

    /// Whether absence from it means anything.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        !matches!(self.completeness, Completeness::Incomplete(_))
    }

    /// What is missing of it, or of what it says of each service; none where nothing is.
    #[must_use]
    pub fn lacks(&self) -> Option<&str> {
        match &self.completeness {
            Completeness::Complete => None,
            Completeness::NamesOnly(why) | Completeness::Incomplete(why) => Some(why),
        }
    }
}

/// Whether a listing holds everything there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Completeness {
    /// Every page, without an error.
    Complete,
    /// Every service and volume, but of services their names alone: all that is there to be said of them
    /// could not be had, for this reason.
    NamesOnly(String),
    /// Something is missing, for this reason: nothing may be inferred from absence.
    Incomplete(String),
}

/// A service as Railway shows it in our environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedService {
    /// By which Railway deletes it; a name may be given to another later.
    pub service_id: ServiceId,
    /// Its name, unique in the project.
    pub name: String,
    /// When its instance in our environment was made.
    pub created_at: DateTime<Utc>,
    /// Whether the listing says what follows. If not, that is not known: it is not none.
    pub has_details: bool,
    /// Its latest deployment; none when it was never deployed.
    pub deployment: Option<ObservedDeployment>,
    /// Whether any deployment of it is active.
    pub has_active_deployment: bool,
    /// Its first service domain. No scheme; may carry a port.
    pub host: Option<String>,
    /// The image it is to run.
    pub image: Option<String>,
}

impl ObservedService {
    /// What its latest deployment means to the pool.
    #[must_use]
    pub fn class(&self) -> DeployClass {
        self.deployment
            .as_ref()
            .map_or(DeployClass::Unknown, |deployment| {
                deployment
                    .status
                    .class(deployment.stopped, self.has_active_deployment)
            })
    }

    /// Its latest deployment's status as Railway says it.
    #[must_use]
    pub fn deploy_status(&self) -> Option<&DeploymentStatus> {
        self.deployment
            .as_ref()
            .map(|deployment| &deployment.status)
    }
}

/// A deployment as Railway shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedDeployment {
    /// Another one whenever the service is deployed anew.
    pub id: DeploymentId,
    /// What Railway says of it; what that means is [`ObservedService::class`].
    pub status: DeploymentStatus,
    /// Railway's `deploymentStopped`: it ran to its end, or was stopped by hand.
    pub stopped: bool,
}

/// A volume as Railway shows it in our environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedVolume {
    /// The volume, whatever it is attached to: not the one of its instance in an environment.
    pub volume_id: VolumeId,
    /// The service it is attached to; none when detached.
    pub service_id: Option<ServiceId>,
    /// Deleted, and kept by Railway for 48 hours more.
    pub pending_deletion: bool,
}

/// What one agent answered to the probes since the last round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// It answered 200 and says that it is ready.
    Ready,
    /// No answer, not 200, or not ready; with the reason of the last of them.
    Failed {
        /// How many failed in a row since then.
        times: u32,
        /// The last one's reason.
        reason: String,
    },
    /// It answered that it is ready, and failed after that: what failed before counts no more.
    Relapsed {
        /// How many failed in a row since it was ready.
        times: u32,
        /// The last one's reason.
        reason: String,
    },
}

impl Probe {
    /// What two answers in a row amount to.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        match (self, later) {
            (_, later @ (Self::Ready | Self::Relapsed { .. })) => later,
            (Self::Ready, Self::Failed { times, reason }) => Self::Relapsed { times, reason },
            (Self::Failed { times: before, .. }, Self::Failed { times, reason }) => Self::Failed {
                times: before.saturating_add(times),
                reason,
            },
            (Self::Relapsed { times: before, .. }, Self::Failed { times, reason }) => {
                Self::Relapsed {
                    times: before.saturating_add(times),
                    reason,
                }
            }
        }
    }

    /// Why it is not ready; none where it is.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        match self {
            Self::Ready => None,
            Self::Failed { reason, .. } | Self::Relapsed { reason, .. } => Some(reason),
        }
    }
}

/// What an adopted instance's agent said of its conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conversation {
    /// It is in this one.
    In(FoundConversation),
    /// It answered in words that it is in none.
    None,
    /// It answered itself that it does not know the question, as the oldest runtimes do.
    Unsupported,
    /// It did not say, so it has to be asked again.
    NoAnswer,
}

impl Conversation {
    /// The one that it named.
    #[must_use]
    pub fn named(self) -> Option<FoundConversation> {
        match self {
            Self::In(named) => Some(named),
            _ => None,
        }
    }

    /// What it amounts to beside what the agent said of its health in the same breath: one that does
    /// not know the question is in none only while it is ready. Before that, whoever answers for it
    /// may not know yet what it knows.
    #[must_use]
    pub fn beside(self, probe: Option<&Probe>) -> Self {
        match self {
            Self::Unsupported if probe == Some(&Probe::Ready) => Self::None,
            Self::Unsupported => Self::NoAnswer,
            said => said,
        }
    }
}

/// What the variables of a service tell about whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceVariables {
    /// Whether its `POOL_API_KEY` equals ours.
    pub has_our_key: bool,
    /// Its `OPENCLAW_GATEWAY_TOKEN`, which is what its gateway asks for.
    pub gateway_token: Option<Secret>,
    /// Its `AGENTMAIL_INBOX_ID`, which is deleted with it.
    pub inbox_id: Option<InboxId>,
    /// Its `POOL_MANAGER_ID`: who made it.
    pub manager_id: Option<ManagerId>,
}

impl ServiceVariables {
    /// Reads them from a service's variables. An empty value counts as none.
    #[must_use]
    pub fn read<S: std::hash::BuildHasher>(
        variables: &HashMap<String, Secret, S>,
        pool_api_key: &Secret,
    ) -> Self {
        let value = |name| {
            variables
                .get(name)
                .filter(|secret| !secret.expose().is_empty())
        };
        Self {
            has_our_key: value("POOL_API_KEY") == Some(pool_api_key),
            gateway_token: value("OPENCLAW_GATEWAY_TOKEN").cloned(),
            inbox_id: value("AGENTMAIL_INBOX_ID").map(|secret| InboxId::new(secret.expose())),
            manager_id: value("POOL_MANAGER_ID").map(|secret| ManagerId::new(secret.expose())),
        }
    }
}
