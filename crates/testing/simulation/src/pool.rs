//! How the simulated pool is known to its agents and on Railway.

/// What proves a service ours.
pub(crate) const API_KEY: &str = "the-pools-key";
/// What the names of our services begin with.
pub(crate) const PREFIX: &str = "convos-agent-";
