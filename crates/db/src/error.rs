//! What can go wrong with the database. [`Error::is_unavailable`] parts what passes from what is a
//! bug.

use diesel::ConnectionError;
use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind};
use pool_domain::InstanceId;

use crate::AddressError;

/// What can go wrong with the database.
///
/// Every statement may fail because the database is away, busy or out of something, which passes
/// ([`is_unavailable`](Self::is_unavailable)), or because it refuses, which is a bug. A write that
/// failed changed nothing, unless its answer was lost ([`is_indeterminate`](Self::is_indeterminate));
/// it may then be repeated where its function does not say otherwise. A leader that meets
/// [`StaleTerm`](Self::StaleTerm) meets it for ever, and has to stop.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be used.
    #[error(transparent)]
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
    /// A pooler stands between us, and gives each transaction another session.
    #[error(
        "DATABASE_URL leads to a pooler that gives each transaction another session, so that two servers \
         may lead at once: name the database's own address, or a pool that keeps a client's session \
         (PgBouncer: pool_mode = session)"
    )]
    ThroughPooler,
    /// It lacks what ends the lead of a server that is frozen.
    #[error(
        "the database is PostgreSQL {version}, and {oldest} is the oldest that will do: upgrade it, or name \
         another one in DATABASE_URL"
    )]
    TooOld {
        /// Which it is, in its own words.
        version: String,
        /// Which it has to be.
        oldest: i32,
    },
    /// None of the schemas that its sessions look in exists.
    #[error(
        "the schema that DATABASE_URL selects does not exist (its search_path names none that does): \
         create it first, with CREATE SCHEMA"
    )]
    FindSchema,
    /// Every connection of the pool was in use for too long.
    #[error("no connection to the database became free in time")]
    Acquire,
    /// The connection broke, or the database is going down.
    #[error("the connection to the database was lost: {0}")]
    Lose(String),
    /// The database took too long, or waited too long for somebody's lock.
    #[error("the database did not answer in time: {0}")]
    Wait(String),
    /// The database has no disk, no memory or no connection left for it.
    #[error("the database is out of something: {0}")]
    Exhaust(String),
    /// Another server leads by now: this one's decisions are stale and change nothing.
    #[error("another server leads by now, so nothing was written")]
    StaleTerm,
    /// The records may be older than the world, so nobody decides from them: see
    /// [`record::verify`](crate::record::verify).
    #[error("the records may be older than the world, so nothing was written")]
    UnverifiedRecord,
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
            Self::Connect(_)
                | Self::RefuseLogin(_)
                | Self::Acquire
                | Self::Lose(_)
                | Self::Wait(_)
                | Self::Exhaust(_)
        )
    }

    /// The same for another one who waited for the same statement.
    pub(crate) fn for_another(&self) -> Self {
        match self {
            Self::Connect(text) => Self::Connect(text.clone()),
            Self::RefuseLogin(text) => Self::RefuseLogin(text.clone()),
            Self::Acquire => Self::Acquire,
            Self::Lose(text) => Self::Lose(text.clone()),
            Self::Wait(text) => Self::Wait(text.clone()),
            Self::Exhaust(text) => Self::Exhaust(text.clone()),
            other => Self::Read(other.to_string()),
        }
    }

    /// Whether the database understood, and refused what was to be written: for the transition trigger,
    /// or for a constraint or a trigger that is not ours. Nothing of it was done.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        use diesel::result::Error::DatabaseError;
        matches!(self, Self::RefuseChange(_) | Self::Query(DatabaseError(..)))
    }

    /// Whether what was asked for may have taken effect all the same: the statement was sent, and no
    /// answer to it was understood.
    #[must_use]
    pub const fn is_indeterminate(&self) -> bool {
        use diesel::result::Error::DatabaseError;
        match self {
            Self::Lose(_) | Self::Wait(_) => true,
            Self::Query(error) => !matches!(error, DatabaseError(..)),
            _ => false,
        }
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
            // A standby after a failover; the next connection finds the primary.
            DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, information) => {
                Self::Lose(information.message().to_owned())
            }
            DatabaseError(_, information) => {
                of_server(&**information).unwrap_or(Self::Query(error))
            }
            BrokenTransactionManager => Self::Lose("its transaction is broken".to_owned()),
            _ => Self::Query(error),
        }
    }
}

/// Whether the session of which this was said is of no use any more: it is over, it may only read, or
/// it and the database do not agree on what was prepared.
pub(crate) fn ends_session(error: &diesel::result::Error) -> bool {
    use diesel::result::Error::{BrokenTransactionManager, DatabaseError};
    match error {
        DatabaseError(
            DatabaseErrorKind::UnableToSendCommand
            | DatabaseErrorKind::ClosedConnection
            | DatabaseErrorKind::ReadOnlyTransaction,
            _,
        )
        | BrokenTransactionManager => true,
        DatabaseError(_, information) => {
            matches!(of_message(information.message()), Some(Error::Lose(_)))
        }
        _ => false,
    }
}

/// Diesel hides the SQLSTATE, so our own errors are known by the constraint that they name.
fn of_server(information: &dyn DatabaseErrorInformation) -> Option<Error> {
    match information.constraint_name() {
        Some("newest_leader_term") => return Some(Error::StaleTerm),
        Some("unbroken_record") => return Some(Error::UnverifiedRecord),
        Some("instances_legal_change") => {
            return Some(Error::RefuseChange(information.message().to_owned()));
        }
        _ => {}
    }
    of_message(information.message())
}

/// And what passes by itself by the server's message. Every session asks for English messages
/// (`Session::settings`), which only a superuser is granted. A server that speaks another language
/// all the same makes a bug of it: whoever asked is told so, and the next tick tries again.
pub(crate) fn of_message(message: &str) -> Option<Error> {
    let begins = |starts: &[&str]| starts.iter().any(|start| message.starts_with(start));
    let holds = |parts: &[&str]| parts.iter().any(|part| message.contains(part));
    if begins(&["canceling statement", "deadlock detected"]) {
        return Some(Error::Wait(message.to_owned()));
    }
    if begins(&["out of memory", "out of shared memory"])
        || holds(&[
            "No space left on device",
            "Disk quota exceeded",
            "Cannot allocate memory",
            "Too many open files",
            "Input/output error",
        ])
    {
        return Some(Error::Exhaust(message.to_owned()));
    }
    let is_lost = begins(&["terminating connection", "the database system is"])
        || holds(&["in a read-only transaction", "during recovery", "while recovery is in progress"])
        // Somebody changed a table under a session, or a pooler exchanged the session.
        || message == "cached plan must not change result type"
        || begins(&["prepared statement \""]);
    is_lost.then(|| Error::Lose(message.to_owned()))
}

impl From<ConnectionError> for Error {
    fn from(error: ConnectionError) -> Self {
        Self::Connect(match error {
            ConnectionError::BadConnection(text) => text,
            other => other.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_by_itself_is_told_from_a_bug_by_the_servers_message() {
        let kind = |message: &str| match of_message(message) {
            Some(error) if !error.is_unavailable() => "a bug that passes",
            Some(Error::Wait(_)) => "wait",
            Some(Error::Exhaust(_)) => "exhausted",
            Some(_) => "lost",
            None => "a bug",
        };
        let said = [
            ("canceling statement due to lock timeout", "wait"),
            ("deadlock detected", "wait"),
            ("terminating connection due to idle-session timeout", "lost"),
            ("the database system is in recovery mode", "lost"),
            ("cannot execute UPDATE in a read-only transaction", "lost"),
            ("cannot execute LISTEN during recovery", "lost"),
            ("cached plan must not change result type", "lost"),
            ("prepared statement \"s2\" does not exist", "lost"),
            (
                "could not extend file \"base/5/16384\": No space left on device",
                "exhausted",
            ),
            (
                "could not write to file \"pg_wal/xlogtemp.7\": No space left on device",
                "exhausted",
            ),
            ("out of shared memory", "exhausted"),
            (
                "could not open file \"base/5/1\": Too many open files in system",
                "exhausted",
            ),
            ("column \"nope\" does not exist", "a bug"),
            ("syntax error at or near \"SELCT\"", "a bug"),
        ];
        for (message, expected) in said {
            assert_eq!(kind(message), expected, "{message}");
        }
    }
}
