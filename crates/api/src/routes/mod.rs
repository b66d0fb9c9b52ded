//! One file for each noun of the API.

pub(crate) mod agents;
pub(crate) mod claim;
pub(crate) mod commands;
pub(crate) mod counts;
pub(crate) mod drain;
pub(crate) mod health;
pub(crate) mod instances;
pub(crate) mod status;

/// Whom the event log names for what a person asked of the API.
const ACTOR: &str = "api";
