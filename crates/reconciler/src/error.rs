//! What can end a round. Everything else is a failure of one action, noted in the report.

/// A round that could not be carried through.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Rows could not be read or written. Also: another server leads now.
    #[error("the database refused a step of the leader")]
    Database(#[from] pool_db::Error),
}

impl Error {
    /// Whether another server leads now, so that this one must stop.
    #[must_use]
    pub const fn is_stale_term(&self) -> bool {
        matches!(self, Self::Database(pool_db::Error::StaleTerm))
    }
}
