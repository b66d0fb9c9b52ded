//! Brings a database to this build's schema, and back. Every migration only adds; what completes the
//! schema, and takes over the rows of earlier generations, is in `pool-legacy-schema`.

mod harness;
mod lock_tries;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::error::Error;
pub use crate::migrations::harness::{Migrator, Recorded};
pub use crate::migrations::lock_tries::LockTries;
use crate::statement::statement;

/// What a run applied; empty when there was nothing to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// The migrations, in their order.
    pub migrations: Vec<String>,
}

/// How far a database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaStatus {
    /// Migrations that it has, in their order.
    pub applied: Vec<String>,
    /// Migrations of this build that it lacks, in their order.
    pub pending: Vec<String>,
    /// Migrations that it has and this build does not know: a newer build made them.
    pub unknown: Vec<String>,
    /// When it was contracted.
    pub contracted_at: Option<DateTime<Utc>>,
    /// Rows of `instances`, by status.
    pub instances: Vec<Group>,
    /// Rows that were set aside, by reason.
    pub set_aside: Vec<Group>,
}

/// Rows that have something in common.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct Group {
    /// What they have in common, in a word.
    #[diesel(sql_type = Text)]
    pub name: String,
    /// How many rows that are.
    #[diesel(sql_type = BigInt)]
    pub rows: i64,
}

/// Applies what is pending. Several processes may do this at once: one works, the others wait.
///
/// # Errors
/// [`Error::AwaitMigration`] when another process migrates for too long; [`Error::Migrate`] when a
/// migration fails, of which nothing remains; otherwise when the database is away, busy or refuses.
pub async fn run(url: &str) -> Result<Applied, Error> {
    // A server that starts while another process copies a million rows has nothing to wait for.
    if Migrator::look(url).await?.compare().await?.is_current() {
        return Ok(Applied::default());
    }
    let mut migrator = Migrator::begin(url).await?;
    let free = free_instances(migrator.connection()).await?;
    let migrations = migrator.run_pending().await?;
    let tells_now = migrations.iter().any(|name| name.ends_with(TELLS_RESTORED));
    if free > 0 && tells_now {
        tracing::warn!(
            instances = free,
            "from now on the database tells when its records were put back to an earlier state, and of \
             the time before nothing is known: if it was restored and has not been led since, stop the \
             servers and run `pool-migrate after-restore` before they hand out what is in use"
        );
    }
    Ok(Applied { migrations })
}

/// The migration since which records tell that they were restored.
const TELLS_RESTORED: &str = "tell_restored_records";

/// How many instances are nobody's by the records.
async fn free_instances(connection: &mut AsyncPgConnection) -> Result<i64, Error> {
    let by_status = "SELECT status AS name, count(*) AS rows FROM instances \
                     WHERE status IN ('starting', 'idle', 'claiming') GROUP BY 1";
    let groups = groups(connection, "instances", by_status).await?;
    Ok(groups.iter().map(|group| group.rows).sum())
}

/// Looks, and changes nothing.
///
/// # Errors
/// As every statement: see [`Error`].
pub async fn status(url: &str) -> Result<SchemaStatus, Error> {
    let mut migrator = Migrator::look(url).await?;
    let compared = migrator.compare().await?;
    let recorded = migrator.recorded().await?;
    let connection = migrator.connection();
    let by_status = "SELECT status AS name, count(*) AS rows FROM instances GROUP BY 1 ORDER BY 1";
    let by_reason = "SELECT reason AS name, count(*) AS rows FROM set_aside GROUP BY 1 ORDER BY 1";
    Ok(SchemaStatus {
        instances: groups(connection, "instances", by_status).await?,
        set_aside: groups(connection, "set_aside", by_reason).await?,
        applied: compared.applied,
        pending: compared.pending,
        unknown: compared.unknown,
        contracted_at: recorded.and_then(|it| it.contracted_at),
    })
}

/// Takes back the newest migration, and says which; none when there was none left.
///
/// # Errors
/// [`Error::Migrate`] when another build applied it; otherwise when the database is away, busy or
/// refuses. Nothing of it is taken back then.
pub async fn revert_one(url: &str) -> Result<Option<String>, Error> {
    Migrator::begin(url).await?.revert_newest().await
}

/// Whether the transition trigger is installed.
pub(crate) async fn is_contracted(connection: &mut AsyncPgConnection) -> Result<bool, Error> {
    let recorded = harness::recorded(connection).await?;
    Ok(recorded.is_some_and(|it| it.contracted_at.is_some()))
}

/// None where there is no such table yet.
async fn groups(
    connection: &mut AsyncPgConnection,
    table: &str,
    query: &'static str,
) -> Result<Vec<Group>, Error> {
    if !harness::exists(connection, table).await? {
        return Ok(Vec::new());
    }
    Ok(statement(query).load(connection).await?)
}
