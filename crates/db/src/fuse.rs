//! What is recorded of the fuse. The losses themselves are written with the changes of status (see
//! `instances::change_statuses`), so that neither is there without the other. Decides nothing.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Jsonb, Nullable, Text, Timestamptz};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use pool_domain::{FuseRecord, FuseReport, Policy, RowCount, Term};
use serde_json::Value;

use crate::Db;
use crate::answer::answer;
use crate::error::Error;
use crate::fencing::check_term;
use crate::statement::milliseconds;
use crate::statement::statement;
use crate::text::storable_json;

/// What is recorded; nothing is confirmed in it.
///
/// # Errors
///
/// As every statement: see [`Error`]. [`Error::Read`] where this build does not understand what is
/// stored.
pub async fn load(db: &Db) -> Result<FuseRecord, Error> {
    let mut connection = db.connection().await?;
    answer(async {
        let losses: Vec<LossRow> = statement("SELECT instance_id, at FROM fuse_losses")
            .load(&mut connection)
            .await?;
        let row_counts: Vec<CountRow> = statement("SELECT at, rows FROM fuse_row_counts")
            .load(&mut connection)
            .await?;
        Ok::<_, Error>(FuseRecord {
            losses: losses
                .into_iter()
                .map(|row| (row.instance_id.into(), row.at))
                .collect(),
            row_counts: row_counts.into_iter().map(RowCount::from).collect(),
            tripped: read(&mut connection).await?,
            confirmed: HashSet::new(),
        })
    })
    .await
}

/// Why it has tripped, and what it holds back; none while it is whole.
///
/// # Errors
///
/// As every statement: see [`Error`]. [`Error::Read`] where this build does not understand what is
/// stored.
pub async fn tripped(db: &Db) -> Result<Option<FuseReport>, Error> {
    let mut connection = db.connection().await?;
    answer(read(&mut connection)).await
}

/// Stores how the fuse stands and how many rows there are, and forgets what no window reaches any
/// more.
///
/// # Errors
///
/// [`Error::StaleTerm`] when another server leads by now; otherwise as every statement: see
/// [`Error`].
pub async fn save(
    db: &Db,
    term: Term,
    tripped: Option<&FuseReport>,
    rows: usize,
) -> Result<(), Error> {
    let report = tripped.map(serde_json::to_value).transpose();
    let report = report
        .map(|report| report.map(storable_json))
        .map_err(|error| Error::Read(format!("fuse.report cannot be written: {error}")))?;
    let rows = i64::try_from(rows).unwrap_or(i64::MAX);
    let window = milliseconds(Policy::FUSE_WINDOW);
    let mut connection = db.connection().await?;
    answer(connection.transaction(async |connection| {
        check_term(connection, term).await?;
        statement(include_str!("fuse_set.sql"))
            .bind::<Nullable<Jsonb>, _>(report)
            .execute(connection)
            .await?;
        statement(include_str!("fuse_count_rows.sql"))
            .bind::<BigInt, _>(rows)
            .execute(connection)
            .await?;
        statement(include_str!("fuse_forget_counts.sql"))
            .bind::<BigInt, _>(window)
            .execute(connection)
            .await?;
        statement("DELETE FROM fuse_losses WHERE at <= now() - $1 * interval '1 millisecond'")
            .bind::<BigInt, _>(window)
            .execute(connection)
            .await?;
        Ok::<_, Error>(())
    }))
    .await
}

async fn read(connection: &mut AsyncPgConnection) -> Result<Option<FuseReport>, Error> {
    let row: Option<StateRow> = statement("SELECT report FROM fuse WHERE report IS NOT NULL")
        .get_result(connection)
        .await
        .optional()?;
    // Another build's report says nothing to this one, whose next tick judges anew.
    Ok(row.and_then(|row| {
        serde_json::from_value(row.report)
            .inspect_err(|error| tracing::warn!("fuse.report cannot be read: {error}"))
            .ok()
    }))
}

#[derive(QueryableByName)]
struct StateRow {
    #[diesel(sql_type = Jsonb)]
    report: Value,
}

#[derive(QueryableByName)]
struct LossRow {
    #[diesel(sql_type = Text)]
    instance_id: String,
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct CountRow {
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
    #[diesel(sql_type = BigInt)]
    rows: i64,
}

impl From<CountRow> for RowCount {
    fn from(row: CountRow) -> Self {
        Self {
            at: row.at,
            rows: usize::try_from(row.rows).unwrap_or_default(),
        }
    }
}
