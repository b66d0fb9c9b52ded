//! Everybody the reconciler talks to.

use std::fmt;
use std::sync::Arc;

use pool_agent::AgentClient;
use pool_credentials::Credentials;
use pool_db::Db;
use pool_domain::{AgentsReport, Entropy, Policy, Redactor, Secret};
use pool_planner::Identity;
use pool_railway::EnvironmentClient;

use crate::Blueprint;

/// The clients, and what they are used with. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Context {
    /// The pool's database: rows, records and events.
    pub db: Db,
    /// Railway, in our environment.
    pub railway: EnvironmentClient,
    /// The client of every agent.
    pub agent: AgentClient,
    /// The clients of OpenRouter and AgentMail, where they are configured.
    pub credentials: Credentials,
    /// How our services are named and reached.
    pub identity: Arc<Identity>,
    /// What a new agent is made of.
    pub blueprint: Arc<Blueprint>,
    /// The limits that every decision keeps to.
    pub policy: Arc<Policy>,
    /// The key that proves a service ours.
    pub pool_api_key: Secret,
    /// Where ids and secrets come from.
    pub entropy: Arc<dyn Entropy>,
    /// Takes secrets out of the names in reports.
    pub redactor: Redactor,
    /// What agents answer to this server's claims, for its report.
    pub agents_answer: AgentsAnswer,
}

/// Asks what agents answer to this server's claims, where it refuses claims for that.
#[derive(Clone)]
pub struct AgentsAnswer(Arc<dyn Fn() -> Option<AgentsReport> + Send + Sync>);

impl AgentsAnswer {
    /// `ask` gives none while claims are served.
    pub fn new(ask: impl Fn() -> Option<AgentsReport> + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }

    pub(crate) fn report(&self) -> Option<AgentsReport> {
        (self.0)()
    }
}

impl fmt::Debug for AgentsAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AgentsAnswer").field(&self.report()).finish()
    }
}

impl Context {
    /// Whether each instance gets an OpenRouter key of its own.
    pub(crate) fn makes_keys(&self) -> bool {
        self.blueprint.shared_openrouter_key.is_none() && self.credentials.has_openrouter()
    }
}
