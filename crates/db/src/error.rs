//! What can go wrong with the database. [`Error::is_unavailable`] parts what passes from what is a
//! bug.

use diesel::ConnectionError;
use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind};
use diesel_async::pooled_connection::PoolError as ManagerError;
use diesel_async::pooled_connection::deadpool::PoolError;
use pool_domain::InstanceId;

use crate::AddressError;

/// What can go wrong with the database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be used.
    #[error("{0}")]
    ReadAddress(#[from] AddressError),
    /// The certificates for TLS cannot be used.
    #[error("the certificates to verify the database with cannot be used: {0}")]
    LoadCertificates(String),
    /// No connection could be made.
    #[error("the database cannot be reached: {0}")]
    Connect(String),
    /// It answered, and knows no such database or user, or another password.
    #[error("the database does not let us in: {0}")]
    RefuseLogin(String),
    /// Every connection of the pool was in use for too long.
    #[error("no connection to the database became free in time")]
    Acquire,
    /// The connection broke, or the database is going down.
    #[error("the connection to the database was lost: {0}")]
    Lose(String),
    /// The database took too long, or waited too long for somebody's lock.
    #[error("the database did not answer in time: {0}")]
    Wait(String),
    /// Another server leads by now: this one's decisions are stale and change nothing.
    #[error("another server leads by now, so nothing was written")]
    StaleTerm,
    /// The transition trigger refused the change.
    #[error("the database refused the change: {0}")]
    RefuseChange(String),
    /// The row of another instance stands in the way.
    #[error("instances: {id} cannot be inserted, its id or its service belongs to another row")]
    InsertInstance {
        /// Whose row was to be inserted.
        id: InstanceId,
    },
    /// Rows of earlier generations may still be missing, so a service without a row may be somebody's.
    #[error("no service is adopted before the rows of earlier generations are taken over")]
    AdoptTooEarly,
    /// Something stored cannot be read by this build.
    #[error("{0}")]
    Read(String),
    /// Several processes migrate, and this one waited too long for the others.
    #[error("another process has been migrating the database for over {seconds} s{holder}")]
    AwaitMigration {
        /// How long was waited.
        seconds: u64,
        /// Who it is, as far as the database tells.
        holder: String,
    },
    /// A migration failed. Each is one transaction, so nothing of it remains.
    #[error("the migrations failed: {0}")]
    Migrate(String),
    /// The database refused a statement, or its answer was not understood.
    #[error("a statement failed")]
    Query(#[source] diesel::result::Error),
}

impl Error {
    /// Whether it may pass by itself: the database is away or too busy.
    #[must_use]
    pub const fn is_unavailable(&self) -> bool {
        matches!(
            self,
            Self::Connect(_) | Self::RefuseLogin(_) | Self::Acquire | Self::Lose(_) | Self::Wait(_)
        )
    }
}

impl From<diesel::result::Error> for Error {
    fn from(error: diesel::result::Error) -> Self {
        use diesel::result::Error::{BrokenTransactionManager, DatabaseError};
        match &error {
            DatabaseError(
                DatabaseErrorKind::UnableToSendCommand | DatabaseErrorKind::ClosedConnection,
                information,
            ) => Self::Lose(information.message().to_owned()),
            DatabaseError(_, information) => {
                of_server(&**information).unwrap_or(Self::Query(error))
            }
            BrokenTransactionManager => Self::Lose("its transaction is broken".to_owned()),
            _ => Self::Query(error),
        }
    }
}

/// Diesel hides the SQLSTATE, so our own errors are known by the constraint that they name.
fn of_server(information: &dyn DatabaseErrorInformation) -> Option<Error> {
    match information.constraint_name() {
        Some("newest_leader_term") => return Some(Error::StaleTerm),
        Some("instances_legal_change") => {
            return Some(Error::RefuseChange(information.message().to_owned()));
        }
        _ => {}
    }
    of_message(information.message())
}

/// And what passes by itself by how the server's message begins. A server that does not speak
/// English makes a bug of it: whoever asked is told so, and the next tick tries again all the same.
pub(crate) fn of_message(message: &str) -> Option<Error> {
    let begins = |starts: &[&str]| starts.iter().any(|start| message.starts_with(start));
    if begins(&["canceling statement", "deadlock detected"]) {
        return Some(Error::Wait(message.to_owned()));
    }
    begins(&[
        "terminating connection",
        "the database system is",
        "sorry, too many clients",
        "remaining connection slots",
        "cannot execute", // … in a read-only transaction: a standby after a failover
    ])
    .then(|| Error::Lose(message.to_owned()))
}

impl From<PoolError> for Error {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Timeout(deadpool::managed::TimeoutType::Wait) => Self::Acquire,
            PoolError::Backend(ManagerError::ConnectionError(error)) => error.into(),
            other => Self::Connect(other.to_string()),
        }
    }
}

impl From<ConnectionError> for Error {
    fn from(error: ConnectionError) -> Self {
        Self::Connect(match error {
            ConnectionError::BadConnection(text) => text,
            other => other.to_string(),
        })
    }
}

/// An error and everything that led to it, in one line.
pub(crate) fn in_one_line(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
