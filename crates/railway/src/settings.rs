//! What the client needs to know.

use pool_domain::{ProjectId, Redactor, Secret};

/// What the client needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Railway's endpoint, for example `https://backboard.railway.com/graphql/v2`.
    pub api_url: String,
    /// How we prove who we are.
    pub token: Token,
    /// The project that the agents run in, and nothing else is looked at.
    pub project_id: ProjectId,
    /// What must not be told even if Railway quotes it. The token is known without.
    pub redactor: Redactor,
}

/// The two kinds of token, which go into different headers.
#[derive(Debug, Clone)]
pub enum Token {
    /// One environment of one project: `Project-Access-Token`.
    Project(Secret),
    /// An account's or a workspace's: `Authorization: Bearer`.
    Account(Secret),
}

impl Token {
    pub(crate) const fn secret(&self) -> &Secret {
        match self {
            Self::Project(secret) | Self::Account(secret) => secret,
        }
    }
}
