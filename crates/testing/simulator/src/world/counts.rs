//! How many requests were made.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How many names of operations are counted apart; more are counted under `other`. A client has a
/// few dozen, and the limit keeps a stranger from filling the memory.
const NAMES_MAX: usize = 200;

/// How many requests were made, refused ones too.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestCounts {
    /// HTTP requests in all.
    pub total: u64,
    /// By the name of the operation, else by its first root field.
    pub by_operation: BTreeMap<String, u64>,
    /// By each root field.
    pub by_field: BTreeMap<String, u64>,
}

impl RequestCounts {
    /// How many requests had this operation name or root field.
    #[must_use]
    pub fn of(&self, name: &str) -> u64 {
        let count = self
            .by_operation
            .get(name)
            .or_else(|| self.by_field.get(name));
        count.copied().unwrap_or(0)
    }
}

/// Counts one more under this name.
pub(crate) fn bump(counts: &mut BTreeMap<String, u64>, name: &str) {
    let name = if counts.len() < NAMES_MAX || counts.contains_key(name) {
        name
    } else {
        "other"
    };
    *counts.entry(name.to_owned()).or_default() += 1;
}
