//! What a server hears of agents where its claims come to nothing.

use serde::{Deserialize, Serialize};

/// The failures of one server's claims since an agent was last set up, where they are so many that it
/// refuses claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentsReport {
    /// How many times an agent failed.
    pub failures: usize,
    /// Since when, in milliseconds before now.
    pub since_ms: u64,
    /// What was heard the last time.
    pub last_words: String,
    /// Whether none of them answered at all: then it may be this server that reaches nobody.
    pub none_answers: bool,
}
