//! The simulated Railway, as a program.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::{Program, Slot};
use crate::checkout::Metadata;

/// What the simulator prints when it is ready.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Simulated {
    /// Where it answers as Railway,
    pub graphql_url: String,
    /// and where a test tells it what to do.
    pub control_url: String,
    /// The project that the pool lives in,
    pub project_id: String,
    /// and the environment.
    pub environment_id: String,
    /// An account token.
    pub token: String,
    /// Where it answers as OpenRouter,
    pub openrouter_url: String,
    /// and the key that makes keys there.
    pub openrouter_key: String,
    /// Where it answers as AgentMail,
    pub agentmail_url: String,
    /// and the account's key there.
    pub agentmail_key: String,
}

impl Simulated {
    /// Starts it with these arguments, and waits until it is ready.
    pub fn start(
        metadata: &Metadata,
        arguments: &[&str],
        slot: &Slot,
        limit: Duration,
    ) -> Result<(Program, Self)> {
        let binary = metadata.binary("pool-simulator");
        let mut simulator = Program::start("pool-simulator", &binary, arguments, &[], slot.dir())?;
        let line = simulator.first_line(limit)?;
        let simulated = serde_json::from_str(&line);
        let simulated = simulated.with_context(|| format!("pool-simulator printed `{line}`"))?;
        Ok((simulator, simulated))
    }
}
