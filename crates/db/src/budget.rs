//! What was last heard of Railway's limits: how the servers share one budget. Written with a tick,
//! never for a single request; decides nothing.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use pool_domain::Term;
use pool_domain::budget::{Block, Blocker, Heard};

use crate::Db;
use crate::answer::answer;
use crate::error::Error;
use crate::fencing::check_term;
use crate::schema::railway_limits;
use crate::statement::statement;

/// What was last heard, by any server.
///
/// # Errors
///
/// As every statement: see [`Error`].
pub async fn load(db: &Db) -> Result<Option<Heard>, Error> {
    let mut connection = db.connection().await?;
    answer(read(&mut connection)).await
}

/// Stores what this leader heard, and gives what is known then.
///
/// # Errors
///
/// As [`load`]; [`Error::StaleTerm`] where another leads. After an error it may be stored all the same,
/// which does no harm.
pub async fn save(db: &Db, term: Term, heard: &Heard) -> Result<Option<Heard>, Error> {
    exchange(db, Some(term), heard).await
}

/// As [`save`], for a process that calls Railway and does not lead.
///
/// # Errors
///
/// As [`load`].
pub async fn add(db: &Db, heard: &Heard) -> Result<Option<Heard>, Error> {
    exchange(db, None, heard).await
}

async fn exchange(db: &Db, term: Option<Term>, heard: &Heard) -> Result<Option<Heard>, Error> {
    let mut connection = db.connection().await?;
    answer(connection.transaction(async |connection| {
        if let Some(term) = term {
            check_term(connection, term).await?;
        }
        hear(connection, heard).await?;
        read(connection).await
    }))
    .await
}

async fn hear(connection: &mut AsyncPgConnection, heard: &Heard) -> Result<(), Error> {
    statement(include_str!("budget_hear.sql"))
        .bind::<Timestamptz, _>(heard.at)
        .bind::<Nullable<BigInt>, _>(heard.limit.map(stored))
        .bind::<Nullable<BigInt>, _>(heard.remaining.map(stored))
        .bind::<Nullable<Timestamptz>, _>(heard.resets_at)
        .bind::<Nullable<Text>, _>(heard.block.map(|block| block.by.as_str()))
        .bind::<Nullable<Timestamptz>, _>(heard.block.map(|block| block.until))
        .bind::<Integer, _>(i32::try_from(heard.edge_blocks).unwrap_or(i32::MAX))
        .execute(connection)
        .await?;
    Ok(())
}

async fn read(connection: &mut AsyncPgConnection) -> Result<Option<Heard>, Error> {
    let limits: Option<LimitsRow> = railway_limits::table
        .select(LimitsRow::as_select())
        .first(connection)
        .await
        .optional()?;
    Ok(limits.map(Heard::from))
}

fn stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn read_count(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = railway_limits, check_for_backend(diesel::pg::Pg))]
struct LimitsRow {
    heard_at: DateTime<Utc>,
    hourly_limit: Option<i64>,
    remaining: Option<i64>,
    resets_at: Option<DateTime<Utc>>,
    blocked_by: Option<String>,
    blocked_until: Option<DateTime<Utc>>,
    edge_blocks: i32,
}

impl From<LimitsRow> for Heard {
    fn from(row: LimitsRow) -> Self {
        let by = row.blocked_by.as_deref().and_then(Blocker::named);
        Self {
            at: row.heard_at,
            limit: row.hourly_limit.map(read_count),
            remaining: row.remaining.map(read_count),
            resets_at: row.resets_at,
            block: by
                .zip(row.blocked_until)
                .map(|(by, until)| Block { by, until }),
            edge_blocks: u32::try_from(row.edge_blocks).unwrap_or(0),
        }
    }
}
