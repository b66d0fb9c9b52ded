//! What the invariants look at, and what they find.

use std::fmt;

use pool_domain::ServiceId;

/// A row of the manager, as far as the invariants care.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub id: String,
    pub service_id: ServiceId,
    /// Its status, as the manager spells it.
    pub status: String,
    /// The agent name that it was claimed for.
    pub claimed_by: Option<String>,
    /// A person asked for its end.
    pub delete_requested: bool,
}

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    pub rule: &'static str,
    pub sentence: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.sentence)
    }
}

/// Collects violations.
#[derive(Debug, Default)]
pub(super) struct Found(pub(super) Vec<Violation>);

impl Found {
    pub(super) fn unless(
        &mut self,
        holds: bool,
        rule: &'static str,
        sentence: impl FnOnce() -> String,
    ) {
        if !holds {
            self.0.push(Violation {
                rule,
                sentence: sentence(),
            });
        }
    }
}
