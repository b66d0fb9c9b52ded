//! How both accounts refuse.

/// Why an account did not do as asked, as its interface says it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{status} {message}")]
pub struct AccountRefusal {
    pub status: u16,
    pub message: &'static str,
}

impl AccountRefusal {
    pub(crate) const fn new(status: u16, message: &'static str) -> Self {
        Self { status, message }
    }
}
