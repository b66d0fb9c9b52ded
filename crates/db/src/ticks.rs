//! What the leader's ticks reported.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel_async::{AsyncConnection, RunQueryDsl};
use pool_domain::{Report, Term};

use crate::Db;
use crate::answer::answer;
use crate::error::Error;
use crate::fencing::check_term;
use crate::schema::{now, ticks};
use crate::statement::statement;
use crate::text::storable_json;

/// A day and more at 30 s each is 2,880; the last eight hours are enough to look back, at up to
/// 100 KiB a report.
const KEEP_TICKS: i64 = 1_000;

/// The newest tick of any leader.
#[derive(Debug, Clone, PartialEq)]
pub struct LastTick {
    /// Counts up, whichever server leads.
    pub id: i64,
    /// The term of the leader that went round.
    pub term: Term,
    /// When its round began, by the database's clock.
    pub started_at: DateTime<Utc>,
    /// When it was recorded, which is how old a leader's sign of life is.
    pub ended_at: DateTime<Utc>,
    /// How long ago that is, by the database's clock.
    pub age: Duration,
    /// What it said; none when another build wrote it so that this one cannot read it.
    pub report: Option<Report>,
}

/// Records a tick that just ended, and forgets all but the last 1,000. Gives its number.
///
/// # Errors
///
/// [`Error::StaleTerm`] when another server leads by now; otherwise as every statement: see
/// [`Error`].
pub async fn record(
    db: &Db,
    term: Term,
    started_at: DateTime<Utc>,
    report: &Report,
) -> Result<i64, Error> {
    let json = serde_json::to_value(report)
        .map(storable_json)
        .map_err(|error| Error::Read(format!("ticks.report cannot be written: {error}")))?;
    let mut connection = db.connection().await?;
    answer(connection.transaction(async |connection| {
        check_term(connection, term).await?;
        let id: i64 = diesel::insert_into(ticks::table)
            .values((
                ticks::term.eq(term.0),
                ticks::started_at.eq(started_at),
                ticks::complete.eq(report.listing.complete),
                ticks::report.eq(&json),
            ))
            .returning(ticks::id)
            .get_result(connection)
            .await?;
        statement(
            "DELETE FROM ticks WHERE id <= \
             (SELECT id FROM ticks ORDER BY id DESC OFFSET $1 LIMIT 1)",
        )
        .bind::<BigInt, _>(KEEP_TICKS)
        .execute(connection)
        .await?;
        Ok::<_, Error>(id)
    }))
    .await
}

/// The newest tick; none before the first.
///
/// # Errors
///
/// As every statement: see [`Error`]. [`Error::Read`] where this build does not understand what is
/// stored.
pub async fn last(db: &Db) -> Result<Option<LastTick>, Error> {
    let mut connection = db.connection().await?;
    let row: Option<Row> = answer(async {
        ticks::table
            .select((
                ticks::id,
                ticks::term,
                ticks::started_at,
                ticks::ended_at,
                now(),
                ticks::report,
            ))
            .order(ticks::id.desc())
            .first(&mut connection)
            .await
            .optional()
    })
    .await?;
    Ok(row.map(LastTick::from))
}

/// When the last tick began whose listing of Railway was complete, among those that are kept.
///
/// # Errors
///
/// As every statement: see [`Error`].
pub async fn last_complete_at(db: &Db) -> Result<Option<DateTime<Utc>>, Error> {
    let mut connection = db.connection().await?;
    answer(async {
        ticks::table
            .filter(ticks::complete)
            .select(ticks::started_at)
            .order(ticks::id.desc())
            .first(&mut connection)
            .await
            .optional()
    })
    .await
}

type Row = (
    i64,
    i64,
    DateTime<Utc>,
    DateTime<Utc>,
    DateTime<Utc>,
    serde_json::Value,
);

impl From<Row> for LastTick {
    fn from((id, term, started_at, ended_at, now, report): Row) -> Self {
        Self {
            id,
            term: Term(term),
            started_at,
            ended_at,
            age: (now - ended_at).to_std().unwrap_or_default(),
            report: serde_json::from_value(report)
                .inspect_err(|error| {
                    tracing::warn!("ticks.report of row {id} cannot be read: {error}");
                })
                .ok(),
        }
    }
}
