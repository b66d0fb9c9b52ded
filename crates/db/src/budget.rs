//! What was spent of Railway's budget, and what was last heard of its limits: how the servers share
//! one budget. Written in batches, never for a single request; decides nothing.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use pool_domain::budget::{Block, Blocker, Heard, SpentMinute};
use pool_domain::{CallPurpose, Ledger, Spent, Term};

use crate::Db;
use crate::answer::answer;
use crate::error::Error;
use crate::fencing::check_term;
use crate::schema::railway_limits;
use crate::statement::statement;

/// What all servers spent in the last hour, and what was last heard.
pub async fn load(db: &Db) -> Result<Ledger, Error> {
    let mut connection = db.connection().await?;
    answer(read(&mut connection)).await
}

/// Adds what this leader spent and heard, and gives what is known then. After an error it may have
/// been added all the same; adding it once more makes the pool a little more careful for an hour.
pub async fn save(db: &Db, term: Term, unsaved: &Ledger) -> Result<Ledger, Error> {
    exchange(db, Some(term), unsaved).await
}

/// As [`save`], for a process that calls Railway and does not lead.
pub async fn add(db: &Db, unsaved: &Ledger) -> Result<Ledger, Error> {
    exchange(db, None, unsaved).await
}

async fn exchange(db: &Db, term: Option<Term>, unsaved: &Ledger) -> Result<Ledger, Error> {
    let mut connection = db.connection().await?;
    answer(connection.transaction(async |connection| {
        if let Some(term) = term {
            check_term(connection, term).await?;
        }
        spend(connection, &unsaved.minutes).await?;
        if let Some(heard) = &unsaved.heard {
            hear(connection, heard).await?;
        }
        read(connection).await
    }))
    .await
}

async fn spend(connection: &mut AsyncPgConnection, minutes: &[SpentMinute]) -> Result<(), Error> {
    let mut columns: (Vec<DateTime<Utc>>, Vec<&str>, Vec<i64>) = Default::default();
    for SpentMinute { minute, spent } in minutes {
        for purpose in CallPurpose::ALL {
            if spent.on(purpose) > 0 {
                columns.0.push(*minute);
                columns.1.push(purpose.as_str());
                columns.2.push(stored(spent.on(purpose)));
            }
        }
    }
    if columns.0.is_empty() {
        return Ok(());
    }
    statement(include_str!("budget_spend.sql"))
        .bind::<Array<Timestamptz>, _>(columns.0)
        .bind::<Array<Text>, _>(columns.1)
        .bind::<Array<BigInt>, _>(columns.2)
        .execute(connection)
        .await?;
    // Older than an hour it is only for people who wonder where a day's requests went.
    statement("DELETE FROM railway_spending WHERE minute < now() - interval '1 day'")
        .execute(connection)
        .await?;
    Ok(())
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

async fn read(connection: &mut AsyncPgConnection) -> Result<Ledger, Error> {
    let spent: Vec<SpendingRow> = statement(
        "SELECT minute, purpose, requests FROM railway_spending \
         WHERE minute > now() - interval '61 minutes'",
    )
    .load(connection)
    .await?;
    let limits: Option<LimitsRow> = railway_limits::table
        .select(LimitsRow::as_select())
        .first(connection)
        .await
        .optional()?;
    let mut minutes: BTreeMap<_, Spent> = BTreeMap::new();
    for row in spent {
        let spent = minutes.entry(row.minute).or_default();
        spent.add(CallPurpose::named(&row.purpose), read_count(row.requests));
    }
    Ok(Ledger {
        minutes: minutes
            .into_iter()
            .map(|(minute, spent)| SpentMinute { minute, spent })
            .collect(),
        heard: limits.map(Heard::from),
    })
}

fn stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn read_count(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

#[derive(QueryableByName)]
struct SpendingRow {
    #[diesel(sql_type = Timestamptz)]
    minute: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    purpose: String,
    #[diesel(sql_type = BigInt)]
    requests: i64,
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
