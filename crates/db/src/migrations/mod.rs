//! Brings a database to this build's schema, and back. Expanding only adds; contracting, which is
//! asked for apart, installs the transition trigger, after which the Node service must be stopped.

mod contraction;
mod harness;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};

use crate::answer::answer;
pub use crate::backfill::LegacyTable;
use crate::backfill::{self, Backfill, Forecast, Moved, Tell};
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
    /// The tables of earlier generations that are there now, but for `instances`.
    pub legacy: Vec<LegacyTable>,
    /// What a backfill would do now; empty once it was contracted.
    pub forecast: Vec<Forecast>,
    /// Rows of `instances`, by status.
    pub instances: Vec<Group>,
    /// Rows that were set aside, by reason.
    pub set_aside: Vec<Group>,
}

/// Rows that have something in common.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct Group {
    /// What.
    #[diesel(sql_type = Text)]
    pub name: String,
    /// How many.
    #[diesel(sql_type = BigInt)]
    pub rows: i64,
}

/// What a contraction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contraction {
    /// Whether it was this call that did it.
    pub now: bool,
    /// What it still found to move.
    pub moved: Moved,
}

/// Applies what is pending. Several processes may do this at once: one works, the others wait.
pub async fn run(url: &str) -> Result<Applied, Error> {
    // A server that starts while another process copies a million rows has nothing to wait for.
    if Migrator::look(url).await?.compare().await?.is_current() {
        return Ok(Applied::default());
    }
    let migrations = Migrator::begin(url).await?.run_pending().await?;
    Ok(Applied { migrations })
}

/// Copies the rows of earlier generations into ours, and changes none of theirs. Does nothing before
/// the first migration and after contraction. May be stopped at any moment, and run again.
pub async fn backfill(url: &str, tell: &mut Tell<'_>) -> Result<Moved, Error> {
    let mut migrator = Migrator::begin(url).await?;
    let connection = &mut migrator.connection;
    let Some((_, None)) = recorded(connection).await? else {
        return Ok(Moved::default());
    };
    match Backfill::prepare(connection).await? {
        Some(backfill) => backfill.pass(connection, None, tell).await,
        None => Ok(Moved::default()),
    }
}

/// As [`contract_telling`], with its progress in the log; says whether it was this call that did it.
pub async fn contract(url: &str) -> Result<bool, Error> {
    let mut last_tenth = 0;
    let mut tell = |progress: backfill::Progress| {
        let tenth = progress.done * 10 / progress.total.max(1);
        if tenth != last_tenth {
            last_tenth = tenth;
            tracing::info!(
                progress.done = progress.done,
                progress.total = progress.total,
                "contracting: {}",
                progress.step
            );
        }
    };
    Ok(contract_telling(url, &mut tell).await?.now)
}

/// Runs the backfill once more, and installs the transition trigger and the status CHECK with its
/// last batch, once. From then on claims are served and the Node service must be stopped. Applies
/// nothing that is pending.
pub async fn contract_telling(url: &str, tell: &mut Tell<'_>) -> Result<Contraction, Error> {
    let mut migrator = Migrator::begin(url).await?;
    let url = migrator.url().clone();
    let mut done = Contraction {
        now: false,
        moved: Moved::default(),
    };
    match recorded(&mut migrator.connection).await? {
        Some((_, Some(_))) => {}
        Some((_, None)) => {
            // A newer build's contraction would be another one, an older build's too.
            if let Some(missing) = migrator.compare().await?.pending.as_slice().first() {
                let why = format!("{missing} has to be applied before contraction");
                return Err(Error::Migrate(why));
            }
            done.moved = contraction::contract(&mut migrator.connection, &url, tell).await?;
            done.now = true;
        }
        None => {
            let why = "there is nothing to contract before the first migration";
            return Err(Error::Migrate(why.to_owned()));
        }
    }
    contraction::finish(&mut migrator.connection).await?;
    Ok(done)
}

/// Drops the tables of earlier generations, and says which. Refuses before contraction, and when one
/// of them holds a row that was neither taken over nor set aside.
pub async fn drop_legacy(url: &str) -> Result<Vec<LegacyTable>, Error> {
    let mut migrator = Migrator::begin(url).await?;
    let url = migrator.url().clone();
    let connection = &mut migrator.connection;
    if !is_contracted(connection).await? {
        let why = "the tables of earlier generations are dropped only after contraction";
        return Err(Error::Migrate(why.to_owned()));
    }
    let dropped = connection
        .transaction(async |connection| {
            let limit = "SET LOCAL lock_timeout = '5s'";
            connection.batch_execute(limit).await?;
            backfill::drop_tables(connection).await
        })
        .await;
    harness::naming_the_holder(&url, dropped).await
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
    let mut forecast = Vec::new();
    if contracted_at.is_none()
        && let Some(backfill) = Backfill::prepare(connection).await?
    {
        forecast = backfill.forecast(connection).await?;
    }
    let by_status = "SELECT status AS name, count(*) AS rows FROM instances GROUP BY 1 ORDER BY 1";
    let by_reason = "SELECT reason AS name, count(*) AS rows FROM set_aside GROUP BY 1 ORDER BY 1";
    Ok(SchemaStatus {
        legacy: backfill::tables(connection).await?,
        forecast,
        instances: groups(connection, "instances", by_status).await?,
        set_aside: groups(connection, "set_aside", by_reason).await?,
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

/// None where there is no such table yet.
async fn groups(
    connection: &mut AsyncPgConnection,
    table: &str,
    query: &'static str,
) -> Result<Vec<Group>, Error> {
    if !backfill::exists(connection, table).await? {
        return Ok(Vec::new());
    }
    Ok(statement(query).load(connection).await?)
}

type Recorded = (Vec<String>, Option<DateTime<Utc>>);

/// None when the first migration has not been applied.
async fn recorded(connection: &mut AsyncPgConnection) -> Result<Option<Recorded>, Error> {
    if !answer(backfill::exists(connection, "pool_schema")).await? {
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
struct TableName {
    #[diesel(sql_type = Text)]
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
