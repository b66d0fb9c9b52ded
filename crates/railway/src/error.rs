//! What can go wrong with a call to Railway, and what may be done about it.

use std::fmt;
use std::time::Duration;

/// A call to Railway that failed. Holds no secret: the message is bounded, secrets are taken out of
/// it, and a page of HTML is reduced to its title.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{operation} at {host} failed ({class}{}): {message}",
    status.map(|status| format!(", HTTP {status}")).unwrap_or_default()
)]
pub struct Error {
    /// The GraphQL operation, for example `ServiceCreate`.
    pub operation: &'static str,
    /// The host that was called.
    pub host: String,
    /// The HTTP status, where an answer arrived.
    pub status: Option<u16>,
    /// What kind of failure it is.
    pub class: ErrorClass,
    /// Railway's own words, or ours where it had none.
    pub message: String,
    /// Railway's id of the failure, for a question to its support.
    pub trace_id: Option<String>,
    pub(crate) sent: Sent,
    /// Whether it is Railway's GraphQL that says so, and no limiter or gateway before it.
    pub(crate) is_graphql: bool,
}

/// How far a failed request got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Nothing left this machine, or no connection was made.
    No,
    /// It left, and what came back does not say what Railway did.
    Perhaps,
    /// Railway refused, so it was not done.
    Refused,
}

/// The kinds of failure that ask for different behaviour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The token is dead, or has no access, or what it names is already gone.
    NotAuthorized,
    /// A service of that name exists: a create whose answer was lost, found again.
    NameTaken,
    /// "You are creating … too quickly": nothing was created.
    CreationThrottled,
    /// The plan allows no more of it.
    ResourceLimit,
    /// Railway's limiter, or our own spacing, wants us to wait.
    RateLimited {
        /// How long, where it is known.
        retry_after: Option<Duration>,
    },
    /// The edge in front of Railway blocked us: minutes to a day.
    EdgeBlocked,
    /// Railway is not ready for it yet: a new service's instance, an operation in progress.
    TooEarly,
    /// What it names does not exist.
    NotFound,
    /// Passing trouble on Railway's side.
    Transient,
    /// The request itself is at fault.
    BadRequest,
    /// No connection, or it broke.
    Network,
    /// No answer in time.
    Timeout,
    /// An answer that is not what the schema promises.
    Undecodable,
    /// A message that this build does not know.
    Unknown,
}

impl Error {
    /// What kind of failure it is.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        self.class
    }

    /// Whether Railway answered, and could not answer what was asked: what asks for less may do.
    pub(crate) const fn is_of_question(&self) -> bool {
        match self.class {
            ErrorClass::Undecodable => true,
            ErrorClass::Transient | ErrorClass::BadRequest | ErrorClass::Unknown => self.is_graphql,
            _ => false,
        }
    }

    /// Whether the same read may be repeated at once. The client has done so already, as often as
    /// it may.
    #[must_use]
    pub const fn is_retryable_read(&self) -> bool {
        matches!(
            self.class,
            ErrorClass::Transient | ErrorClass::Network | ErrorClass::Timeout
        )
    }

    /// Whether any write may be repeated at once: nothing was sent, and the cause may pass.
    #[must_use]
    pub const fn is_retryable_write(&self) -> bool {
        matches!(self.sent, Sent::No)
            && matches!(self.class, ErrorClass::Network | ErrorClass::Timeout)
    }

    /// Whether a write may have been done although it failed: its answer was lost, cut off, not
    /// GraphQL's, or only says that there was a problem.
    #[must_use]
    pub const fn may_have_happened(&self) -> bool {
        matches!(self.sent, Sent::Perhaps)
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAuthorized => "not authorized",
            Self::NameTaken => "name taken",
            Self::CreationThrottled => "creation throttled",
            Self::ResourceLimit => "resource limit",
            Self::RateLimited { .. } => "rate limited",
            Self::EdgeBlocked => "blocked at the edge",
            Self::TooEarly => "too early",
            Self::NotFound => "not found",
            Self::Transient => "transient",
            Self::BadRequest => "bad request",
            Self::Network => "network",
            Self::Timeout => "timeout",
            Self::Undecodable => "undecodable",
            Self::Unknown => "unknown",
        })
    }
}
