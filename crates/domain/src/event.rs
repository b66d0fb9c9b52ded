//! What can happen to an instance: the verbs of the state machine.

use std::fmt;

/// Something that was observed, or that somebody asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// Up or unknown, and the agent says ready. Of a crashed one: up and ready.
    Ready,
    /// The agent of an instance of unverified ownership names a conversation.
    ConversationFound,
    /// The records may be older than the world: restored, or failed over with a loss.
    Restored,
    /// Starting for longer than the stuck timeout.
    Stuck,
    /// The deployment failed or was stopped. Of a claimed one: and its agent does not answer ready.
    DeploymentFailed,
    /// As many probes in a row as the policy allows have failed.
    ProbesFailed,
    /// In progress, going or asleep: not serving now.
    NotServing,
    /// Absent from two complete listings, past the grace.
    Missing,
    /// Drained by a person.
    Drain,
    /// Killed by a person.
    Kill,
    /// Dismissed by a person.
    Dismiss,
    /// A claimer takes it.
    Lease,
    /// The claimer's agent was provisioned.
    Confirm,
    /// The claimer's agent says that it is in somebody's conversation already.
    Bound,
    /// The claimer surely did not provision it.
    Release,
    /// The outcome of the claim is unknown, or the lease ran out.
    Abandon,
    /// Everything is destroyed outside, and a complete listing begun after that agrees.
    Remove,
}

impl Event {
    /// Every event, in the order of the table in `docs/LIFECYCLE.md`.
    pub const ALL: [Self; 17] = [
        Self::Ready,
        Self::ConversationFound,
        Self::Restored,
        Self::Stuck,
        Self::DeploymentFailed,
        Self::ProbesFailed,
        Self::NotServing,
        Self::Missing,
        Self::Drain,
        Self::Kill,
        Self::Dismiss,
        Self::Lease,
        Self::Confirm,
        Self::Bound,
        Self::Release,
        Self::Abandon,
        Self::Remove,
    ];

    /// The verb as errors and reasons write it.
    #[must_use]
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::ConversationFound => "conversation found",
            Self::Restored => "restored",
            Self::Stuck => "stuck",
            Self::DeploymentFailed => "deployment failed",
            Self::ProbesFailed => "probes failed",
            Self::NotServing => "not serving",
            Self::Missing => "service gone",
            Self::Drain => "drain",
            Self::Kill => "kill",
            Self::Dismiss => "dismiss",
            Self::Lease => "lease",
            Self::Confirm => "confirm",
            Self::Bound => "bound",
            Self::Release => "release",
            Self::Abandon => "abandon",
            Self::Remove => "remove",
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.verb())
    }
}
