//! What can go wrong with a call to Railway, in the classes that decide what to do about it.
//! GraphQL error codes are useless for this (nearly everything is `INTERNAL_SERVER_ERROR`), so the
//! class comes from the HTTP status first and from the message's text second.

use std::time::Duration;

/// A call to Railway that failed. Holds no secret: the message is bounded, and HTML is reduced to
/// its title.
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
    /// Railway's own words, or ours where it had none. At most [`Error::MAX_MESSAGE_CHARS`].
    pub message: String,
    /// Railway's id of the failure, for a question to its support.
    pub trace_id: Option<String>,
    pub(crate) sent: Sent,
}

/// How far a failed request got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Nothing left this machine, or no connection was made.
    No,
    /// It left, and what came back does not say what Railway did.
    Perhaps,
    /// Railway answered with GraphQL errors, so it is known not to have been done.
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
    /// A message longer than this is cut: a line of a log, not a page. The longest that Railway is
    /// known to send is about 120 characters.
    pub const MAX_MESSAGE_CHARS: usize = 300;

    /// What kind of failure it is.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        self.class
    }
}

impl Error {
    /// Whether the same read may be repeated at once.
    #[must_use]
    pub const fn is_retryable_read(&self) -> bool {
        matches!(
            self.class,
            ErrorClass::Transient | ErrorClass::Network | ErrorClass::Timeout
        )
    }

    /// Whether the same write may be repeated at once: only when it surely was not done, and the
    /// cause may pass.
    #[must_use]
    pub const fn is_retryable_write(&self) -> bool {
        matches!(self.sent, Sent::No)
            && matches!(self.class, ErrorClass::Network | ErrorClass::Timeout)
    }

    /// Whether a write may have been done although it failed: its answer was lost, cut off or not
    /// GraphQL's.
    #[must_use]
    pub const fn may_have_happened(&self) -> bool {
        matches!(self.sent, Sent::Perhaps)
    }
}

impl std::fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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
