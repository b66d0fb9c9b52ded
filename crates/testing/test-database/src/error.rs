//! Why a test got no database.
#![expect(
    missing_docs,
    reason = "the sentence of each error says what its fields are"
)]

use std::path::PathBuf;

/// Why a test got no database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No server: the programs are missing, or it did not start.
    #[error("the PostgreSQL server for tests could not be had: {0}")]
    FindServer(#[source] local_postgres::Error),
    /// The directory of the shared server could not be emptied.
    #[error("{} could not be removed", dir.display())]
    RemoveServer {
        dir: PathBuf,
        source: std::io::Error,
    },
    /// The server's address is no URL that names a database.
    #[error("{variable} must be a URL such as postgres://user:password@host:port/database")]
    ReadUrl { variable: &'static str },
    /// The server did not accept us.
    #[error("the PostgreSQL server for tests did not accept a connection")]
    Connect(#[source] tokio_postgres::Error),
    /// Creating a database failed, or asking about those that exist.
    #[error("the database `{database}` for tests could not be made")]
    CreateDatabase {
        database: String,
        source: tokio_postgres::Error,
    },
    /// The migrations failed.
    #[error("the template database could not be migrated: {0}")]
    Migrate(String),
    /// Something on the way took too long.
    #[error("no test database within {seconds} s")]
    TakeTooLong { seconds: u64 },
}
