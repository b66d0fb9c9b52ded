#![doc = include_str!("../README.md")]

use std::time::Duration;

use pool_domain::{Conversation, Secret};

/// The client could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The HTTP client refused to be built.
    #[error("cannot build the HTTP client: {0}")]
    BuildClient(String),
}

/// What a ready agent says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Its version.
    pub version: Option<String>,
    /// Its runtime.
    pub runtime: Option<String>,
}

/// The agent is not ready, or nobody can say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NotReady {
    /// Why, in one sentence.
    pub reason: String,
}

/// What an agent is to become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvisionRequest {
    /// Its name.
    pub agent_name: String,
    /// Its instructions.
    pub instructions: String,
    /// The conversation that it is to join; none to open one of its own.
    pub join_url: Option<String>,
}

/// What an agent became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provisioned {
    /// How others join its conversation.
    pub invite_url: Option<String>,
    /// Its conversation; may be none although it joined one.
    pub conversation_id: Option<String>,
    /// Whether it joined an existing conversation.
    pub joined: bool,
}

/// A provision that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProvisionFailure {
    /// It surely did not happen: no connection was made, or the agent refused.
    #[error("not provisioned: {reason}")]
    Sure {
        /// Why, in one sentence.
        reason: String,
        /// The agent's answer, where there was one.
        status: Option<u16>,
    },
    /// It may have happened.
    #[error("outcome unknown: {reason}")]
    Unknown {
        /// Why, in one sentence.
        reason: String,
        /// Whether it was the time that ran out.
        timed_out: bool,
    },
}

/// Calls agents with the pool's key. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AgentClient;

#[expect(
    missing_docs,
    clippy::unused_async,
    clippy::todo,
    clippy::unused_self,
    clippy::needless_pass_by_value,
    reason = "signatures only"
)]
impl AgentClient {
    pub fn new(pool_api_key: Secret) -> Result<Self, Error> {
        todo!("{pool_api_key:?}")
    }
    pub async fn health(&self, url: &str, timeout: Duration) -> Result<Health, NotReady> {
        todo!("{url}{timeout:?}")
    }
    #[must_use]
    pub fn last_ready_within(&self, url: &str, age: Duration) -> bool {
        todo!("{url}{age:?}")
    }
    pub async fn conversation(&self, url: &str, timeout: Duration) -> Conversation {
        todo!("{url}{timeout:?}")
    }
    pub async fn provision(
        &self,
        url: &str,
        request: &ProvisionRequest,
        timeout: Duration,
    ) -> Result<Provisioned, ProvisionFailure> {
        todo!("{url}{request:?}{timeout:?}")
    }
}
