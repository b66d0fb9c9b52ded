//! What can go wrong with a call to OpenRouter or AgentMail, and what may be done about it.

use std::fmt;
use std::time::Duration;

/// A call that failed. Holds no secret: the message is bounded and keys are taken out of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{operation} at {host} failed ({class}{}): {message}",
    status.map(|status| format!(", HTTP {status}")).unwrap_or_default()
)]
pub struct Error {
    /// What was attempted, for example `make_key`.
    pub operation: &'static str,
    /// The host that was called.
    pub host: String,
    /// The HTTP status, where an answer arrived.
    pub status: Option<u16>,
    /// What kind of failure it is.
    pub class: ErrorClass,
    /// What was said, or what went wrong.
    pub message: String,
    pub(crate) sent: Sent,
}

/// How far a failed request got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Nothing left this machine, or no connection was made.
    No,
    /// It left, and what came back does not say what was done.
    Perhaps,
    /// It was refused, so nothing was done.
    Refused,
}

/// The kinds of failure that ask for different behaviour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The account is not configured, or not so that it could be used.
    NotConfigured,
    /// The account's key is dead or may not do this.
    NotAuthorized,
    /// Too many requests: nothing was done, and later it may be.
    RateLimited {
        /// How long to wait, where it was said.
        retry_after: Option<Duration>,
    },
    /// Refused for another reason: a limit of the account, a name that is taken, a bad request.
    Refused,
    /// Passing trouble on their side.
    Transient,
    /// No connection, or it broke.
    Network,
    /// No answer in time.
    Timeout,
    /// An answer that is not what was agreed.
    Undecodable,
}

impl Error {
    /// Whether the same call may be repeated at once, if repeating it does no harm.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self.class,
            ErrorClass::Transient | ErrorClass::Network | ErrorClass::Timeout
        )
    }

    /// Whether something may have been made although the call failed: its answer was lost, cut off
    /// or garbled. It is found again by its name.
    #[must_use]
    pub const fn may_have_happened(&self) -> bool {
        matches!(self.sent, Sent::Perhaps)
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotConfigured => "not configured",
            Self::NotAuthorized => "not authorized",
            Self::RateLimited { .. } => "rate limited",
            Self::Refused => "refused",
            Self::Transient => "transient",
            Self::Network => "network",
            Self::Timeout => "timeout",
            Self::Undecodable => "undecodable",
        })
    }
}
