//! Railway's deployment statuses, and the seven classes in which the pool thinks of them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The status of a deployment as Railway says it: the 13 values of `DeploymentStatus` in its public
/// schema, and whatever it may say tomorrow.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
#[expect(missing_docs, reason = "the names are Railway's")]
pub enum DeploymentStatus {
    Initializing,
    Queued,
    Waiting,
    NeedsApproval,
    Building,
    Deploying,
    Success,
    Sleeping,
    Crashed,
    Failed,
    Skipped,
    Removing,
    Removed,
    /// A value that this build does not know. Never treated as failed.
    Other(String),
}

impl DeploymentStatus {
    /// Every value that this build knows.
    pub const KNOWN: [Self; 13] = [
        Self::Initializing,
        Self::Queued,
        Self::Waiting,
        Self::NeedsApproval,
        Self::Building,
        Self::Deploying,
        Self::Success,
        Self::Sleeping,
        Self::Crashed,
        Self::Failed,
        Self::Skipped,
        Self::Removing,
        Self::Removed,
    ];

    /// Railway's own spelling.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Initializing => "INITIALIZING",
            Self::Queued => "QUEUED",
            Self::Waiting => "WAITING",
            Self::NeedsApproval => "NEEDS_APPROVAL",
            Self::Building => "BUILDING",
            Self::Deploying => "DEPLOYING",
            Self::Success => "SUCCESS",
            Self::Sleeping => "SLEEPING",
            Self::Crashed => "CRASHED",
            Self::Failed => "FAILED",
            Self::Skipped => "SKIPPED",
            Self::Removing => "REMOVING",
            Self::Removed => "REMOVED",
            Self::Other(text) => text,
        }
    }

    /// The class of a service whose latest deployment has this status.
    ///
    /// `stopped` is Railway's `deploymentStopped`; `active_left` says whether any active deployment
    /// is left, which then still serves although the latest one failed.
    #[must_use]
    pub fn class(&self, stopped: bool, active_left: bool) -> DeployClass {
        match self {
            Self::Initializing
            | Self::Queued
            | Self::Waiting
            | Self::NeedsApproval
            | Self::Building
            | Self::Deploying => DeployClass::InProgress,
            Self::Success if stopped => DeployClass::Stopped,
            Self::Success => DeployClass::Up,
            Self::Failed | Self::Crashed | Self::Skipped | Self::Removed if active_left => {
                DeployClass::Up
            }
            Self::Failed | Self::Crashed | Self::Skipped | Self::Removed => DeployClass::Failed,
            Self::Removing => DeployClass::Going,
            Self::Sleeping => DeployClass::Asleep,
            Self::Other(_) => DeployClass::Unknown,
        }
    }
}

impl From<String> for DeploymentStatus {
    fn from(text: String) -> Self {
        Self::KNOWN
            .into_iter()
            .find(|known| known.as_str() == text)
            .unwrap_or(Self::Other(text))
    }
}

impl From<&str> for DeploymentStatus {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

impl From<DeploymentStatus> for String {
    fn from(status: DeploymentStatus) -> Self {
        status.as_str().to_owned()
    }
}

impl fmt::Display for DeploymentStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a deployment status means to the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeployClass {
    /// On its way up.
    InProgress,
    /// Running.
    Up,
    /// Ran to its end, or was stopped by hand.
    Stopped,
    /// Died, and nothing older serves in its place.
    Failed,
    /// On its way out.
    Going,
    /// Put to sleep by Railway; a request wakes it.
    Asleep,
    /// Never deployed, or a status that this build does not know.
    Unknown,
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_status_has_its_class_and_keeps_its_spelling() {
        let mut table = String::new();
        for status in DeploymentStatus::KNOWN
            .into_iter()
            .chain(["HIBERNATING".into()])
        {
            assert_eq!(DeploymentStatus::from(status.as_str()), status);
            writeln!(
                table,
                "{:<15} {:<11} stopped: {:<11} with an active one: {:?}",
                status.as_str(),
                format!("{:?}", status.class(false, false)),
                format!("{:?}", status.class(true, false)),
                status.class(false, true),
            )
            .unwrap();
        }
        insta::assert_snapshot!(table);
    }

    proptest! {
        #[test]
        fn no_word_makes_it_panic_and_an_unknown_one_is_never_a_failure(word in "[A-Z_]{0,20}|\\PC{0,20}") {
            let status = DeploymentStatus::from(word.as_str());
            prop_assert_eq!(status.to_string(), word);
        }
    }
}
