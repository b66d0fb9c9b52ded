//! What can go wrong with a call to OpenRouter or AgentMail, and what may be done about it.

use std::fmt;
use std::time::Duration;

/// A call that failed. Holds no secret: the message is bounded and keys are taken out of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{service}: {} ({operation} at {host}{}): {message}",
    self.in_words(),
    status.map(|status| format!(", HTTP {status}")).unwrap_or_default()
)]
pub struct Error {
    /// Whose account it is: `OpenRouter` or `AgentMail`.
    pub service: &'static str,
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
    /// The account's plan, or its credit, allows no more of what was to be made.
    QuotaReached,
    /// Too many requests: nothing was done, and later it may be.
    RateLimited {
        /// How long to wait, where it was said.
        retry_after: Option<Duration>,
    },
    /// Refused for another reason: a name that is taken, a bad request.
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

impl Error {
    /// Whether everything else that is to be made with this account will meet the same until
    /// somebody or some time has changed it: a quota, a limit of calls, a key that is refused.
    #[must_use]
    pub const fn is_limit(&self) -> bool {
        matches!(
            self.class,
            ErrorClass::QuotaReached | ErrorClass::RateLimited { .. } | ErrorClass::NotAuthorized
        )
    }

    /// How long the account is left alone after it, where that is known.
    #[must_use]
    pub const fn wait(&self) -> Option<Duration> {
        match self.class {
            ErrorClass::RateLimited { retry_after } => retry_after,
            _ => None,
        }
    }

    /// What a person can do about it; none where it passes by itself.
    #[must_use]
    pub fn what_to_do(&self) -> Option<String> {
        let Self { service, class, .. } = self;
        match class {
            ErrorClass::QuotaReached => Some(format!(
                "raise the plan of the {service} account or delete {} that are not needed",
                self.what_is_made()
            )),
            ErrorClass::NotAuthorized => {
                Some(format!("give the server a key that {service} accepts"))
            }
            _ => None,
        }
    }

    fn in_words(&self) -> String {
        match self.class {
            ErrorClass::NotConfigured => "the account cannot be used".to_owned(),
            ErrorClass::NotAuthorized => "the account's key is refused".to_owned(),
            ErrorClass::QuotaReached => {
                format!("the plan's limit of {} is reached", self.what_is_made())
            }
            ErrorClass::RateLimited {
                retry_after: Some(wait),
            } => format!("no more calls for {} s", wait.as_secs()),
            ErrorClass::RateLimited { retry_after: None } => "too many calls".to_owned(),
            ErrorClass::Refused => "the call was refused".to_owned(),
            ErrorClass::Transient => "transient trouble".to_owned(),
            ErrorClass::Network => "no connection".to_owned(),
            ErrorClass::Timeout => "no answer in time".to_owned(),
            ErrorClass::Undecodable => "an answer that cannot be read".to_owned(),
        }
    }

    const fn what_is_made(&self) -> &'static str {
        match self.service.as_bytes() {
            b"AgentMail" => "inboxes",
            _ => "keys",
        }
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotConfigured => "not configured",
            Self::NotAuthorized => "not authorized",
            Self::QuotaReached => "quota reached",
            Self::RateLimited { .. } => "rate limited",
            Self::Refused => "refused",
            Self::Transient => "transient",
            Self::Network => "network",
            Self::Timeout => "timeout",
            Self::Undecodable => "undecodable",
        })
    }
}
