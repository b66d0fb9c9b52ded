//! Brings a database to this build's schema, and back. Expanding only adds; contracting, which is
//! asked for apart, installs the transition trigger, after which the Node service must be stopped.

mod harness;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};

use crate::db::answer;
use crate::error::Error;
use crate::migrations::harness::Migrator;
use crate::schema::pool_schema;
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
    /// The tables of earlier generations that were there before the first migration; before that,
    /// those that are there now.
    pub found: Vec<String>,
    /// When it was contracted.
    pub contracted_at: Option<DateTime<Utc>>,
}

/// Applies what is pending. Several processes may do this at once: one works, the others wait.
pub async fn run(url: &str) -> Result<Applied, Error> {
    let migrations = Migrator::begin(url).await?.run_pending().await?;
    Ok(Applied { migrations })
}

/// Installs the transition trigger and the status CHECK, once; from then on claims are served and
/// the Node service must be stopped. Says whether it was this call that did it. Applies nothing
/// that is pending.
pub async fn contract(url: &str) -> Result<bool, Error> {
    let mut migrator = Migrator::begin(url).await?;
    match recorded(&mut migrator.connection).await? {
        Some((_, Some(_))) => return Ok(false),
        Some((found, None)) => refuse_untaken(&found)?,
        None => {
            let why = "there is nothing to contract before the first migration";
            return Err(Error::Migrate(why.to_owned()));
        }
    }
    migrator
        .connection
        .transaction(async |connection| {
            connection
                .batch_execute(include_str!("contract.sql"))
                .await?;
            Ok::<_, Error>(true)
        })
        .await
}

/// Looks, and changes nothing.
pub async fn status(url: &str) -> Result<SchemaStatus, Error> {
    let mut migrator = Migrator::look(url).await?;
    let compared = migrator.compare().await?;
    let connection = &mut migrator.connection;
    let (found, contracted_at) = match recorded(connection).await? {
        Some(recorded) => recorded,
        None => (legacy_tables(connection).await?, None),
    };
    Ok(SchemaStatus {
        applied: compared.applied,
        pending: compared.pending,
        unknown: compared.unknown,
        found,
        contracted_at,
    })
}

/// Takes back the newest migration, and says which; none when there was none left.
pub async fn revert_one(url: &str) -> Result<Option<String>, Error> {
    Migrator::begin(url).await?.revert_newest().await
}

/// Whether the transition trigger is installed.
pub(crate) async fn is_contracted(connection: &mut AsyncPgConnection) -> Result<bool, Error> {
    let recorded = recorded(connection).await?;
    Ok(recorded.is_some_and(|(_, contracted_at)| contracted_at.is_some()))
}

/// Claimed agents may be among their rows, and this build cannot take them over.
fn refuse_untaken(found: &[String]) -> Result<(), Error> {
    let untaken = found.iter().filter(|table| *table != "instances");
    let untaken: Vec<_> = untaken.map(String::as_str).collect();
    if untaken.is_empty() {
        return Ok(());
    }
    Err(Error::Migrate(format!(
        "the rows of {} are not taken over by this build, so it does not contract",
        untaken.join(" and ")
    )))
}

type Recorded = (Vec<String>, Option<DateTime<Utc>>);

/// None when the first migration has not been applied.
async fn recorded(connection: &mut AsyncPgConnection) -> Result<Option<Recorded>, Error> {
    let exists: Exists = answer(
        statement("SELECT to_regclass('pool_schema') IS NOT NULL AS exists").get_result(connection),
    )
    .await?;
    if !exists.exists {
        return Ok(None);
    }
    answer(async {
        pool_schema::table
            .select((pool_schema::found, pool_schema::contracted_at))
            .first(connection)
            .await
            .optional()
    })
    .await
}

#[derive(QueryableByName)]
struct Exists {
    #[diesel(sql_type = Bool)]
    exists: bool,
}

#[derive(QueryableByName)]
struct TableName {
    #[diesel(sql_type = diesel::sql_types::Text)]
    name: String,
}

async fn legacy_tables(connection: &mut AsyncPgConnection) -> Result<Vec<String>, Error> {
    let names: Vec<TableName> = answer(
        statement(
            "SELECT name FROM unnest(ARRAY['agent_metadata', 'instances', 'pool_instances']) \
             AS legacy (name) WHERE to_regclass(name) IS NOT NULL ORDER BY name",
        )
        .load(connection),
    )
    .await?;
    Ok(names.into_iter().map(|table| table.name).collect())
}
