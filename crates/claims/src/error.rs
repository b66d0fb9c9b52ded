//! Why a claim gave no agent.

use std::time::Duration;

use pool_domain::InstanceId;

/// Why a claim gave no agent.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The stock is empty.
    #[error("no instance is idle")]
    NoIdle,
    /// Too many claims are under way.
    #[error("too many claims are under way")]
    Crowded,
    /// Several instances in a row failed, and a trial is not due.
    #[error("the last agents that were tried all failed")]
    BreakerOpen {
        /// When to ask again.
        retry_after: Duration,
    },
    /// The database is not yet taken over from the previous generation.
    #[error("the database is not taken over yet")]
    NotContracted,
    /// The records may be older than the world, and are being verified.
    #[error("the records may be older than the world")]
    Unverified,
    /// This server is stopping.
    #[error("the server is stopping")]
    ShuttingDown,
    /// Every instance that was tried definitely failed.
    #[error("{tried} instances were tried and definitely failed; the last one: {reason}")]
    AllFailed {
        /// How many were tried, each another one.
        tried: usize,
        /// Why the last one failed. Internal: it may name addresses.
        reason: String,
    },
    /// Two instances refused the request itself.
    #[error("two agents refused the request with status {status}")]
    RequestRefused {
        /// What both answered: 400, or 413 where the request is too large.
        status: u16,
    },
    /// Nobody can know whether an agent was provisioned.
    #[error("the outcome is indeterminate: {reason}")]
    Indeterminate {
        /// Whether it was the time that ran out.
        timed_out: bool,
        /// What is known. Internal: it may name addresses.
        reason: String,
        /// Whether it was so of an earlier claim under the same key, whose answer this one repeats.
        is_replayed: bool,
    },
    /// The key was used for another request.
    #[error("the key was used for another request")]
    KeyReused,
    /// The first claim under this key is still running.
    #[error("a claim under the same key is running")]
    KeyInProgress {
        /// When it is decided at the latest.
        decided_in: Duration,
    },
    /// The claim under this key succeeded, and its instance was destroyed since.
    #[error("{id}, which was claimed under this key, was destroyed since")]
    Destroyed {
        /// The instance that is gone.
        id: InstanceId,
    },
    /// The database gave no lease: it is away, or it refused the statement.
    #[error("cannot lease an instance")]
    Lease(#[source] pool_db::Error),
}

impl ClaimError {
    /// Whether it repeats what an earlier claim under the same key was told.
    #[must_use]
    pub const fn is_replayed(&self) -> bool {
        matches!(
            self,
            Self::Indeterminate {
                is_replayed: true,
                ..
            } | Self::Destroyed { .. }
        )
    }
}
