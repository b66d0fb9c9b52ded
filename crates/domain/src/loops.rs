//! The loops of a leader, as told to people: when each last went round, and what keeps it.

use serde::{Deserialize, Serialize};

/// The three loops, none of which waits for another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LoopsReport {
    /// Probes agents, and makes starting ones idle.
    pub promoting: LoopReport,
    /// Lists, plans, writes rows, and hands over what is to be made and destroyed.
    pub reconciling: LoopReport,
    /// Makes and destroys what was handed over.
    pub building: LoopReport,
}

/// How one of the loops fares, as `/readyz` says it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LoopReport {
    /// How long ago it last went round; none before the first time.
    pub last_round_age_ms: Option<u64>,
    /// What it is at, and so what keeps it where it does not go round.
    pub at: Option<String>,
    /// What went wrong when it last went round; none when nothing did.
    pub trouble: Option<String>,
}
