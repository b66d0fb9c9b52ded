//! Days on which one thing goes wrong, for minutes and again and again: what a little of everything
//! hides.

use std::fmt;

/// What goes wrong on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadDay {
    /// OpenRouter or AgentMail takes requests and never answers.
    AccountHangs,
    /// Railway takes commits and never answers.
    CommitHangs,
    /// Every second agent takes requests and never answers.
    AgentsHang,
    /// An account wants no more: 402, or 429 with a long `Retry-After`.
    Quota,
    /// The image is bad: nothing that is deployed ever gets ready.
    BadImage,
    /// Agents are healthy and refuse to be provisioned, all alike.
    AgentsRefuse,
    /// Agents are in conversations of which no row tells.
    AgentsBound,
    /// The database fails over, and for some seconds its sessions can only read.
    ReadOnly,
}

impl BadDay {
    /// Each, by the name that `--day` takes.
    pub const ALL: [(&'static str, Self); 8] = [
        ("account-hangs", Self::AccountHangs),
        ("commit-hangs", Self::CommitHangs),
        ("agents-hang", Self::AgentsHang),
        ("quota", Self::Quota),
        ("bad-image", Self::BadImage),
        ("agents-refuse", Self::AgentsRefuse),
        ("agents-bound", Self::AgentsBound),
        ("read-only", Self::ReadOnly),
    ];

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(its, _)| *its == name);
        found.map(|(_, day)| *day)
    }
}

impl fmt::Display for BadDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(_, day)| day == self);
        f.write_str(name.map_or("", |(name, _)| name))
    }
}
