//! What can go wrong with a call to OpenRouter or AgentMail.

/// A call that failed. Holds no secret, and at most 300 characters of the answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{operation} at {host} failed{}: {message}", status.map(|status| format!(" (HTTP {status})")).unwrap_or_default())]
pub struct Error {
    /// For example `make_key`.
    pub operation: &'static str,
    /// The host that was called.
    pub host: String,
    /// The HTTP status, where an answer arrived.
    pub status: Option<u16>,
    /// What was said, or what went wrong.
    pub message: String,
    pub(crate) perhaps_done: bool,
}

impl Error {
    /// Whether a write may have been done although it failed.
    #[must_use]
    pub const fn may_have_happened(&self) -> bool {
        self.perhaps_done
    }
}
