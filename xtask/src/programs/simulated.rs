//! The simulated Railway, as a program.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::{Program, Slot};
use crate::checkout::Metadata;

/// What the simulator prints when it is ready.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Simulated {
    pub(crate) graphql_url: String,
    pub(crate) control_url: String,
    pub(crate) project_id: String,
    pub(crate) environment_id: String,
    pub(crate) token: String,
    pub(crate) openrouter_url: String,
    pub(crate) openrouter_key: String,
    pub(crate) agentmail_url: String,
    pub(crate) agentmail_key: String,
}

impl Simulated {
    /// Starts it with these arguments, and waits until it is ready.
    pub(crate) fn start(
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
