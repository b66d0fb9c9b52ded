//! Contraction: everything that takes long first, beside the work that goes on; then one short
//! transaction with the last batch, the rules for rows, and what guards them from then on.

use diesel::sql_types::{Bool, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use pool_db::Error;
use pool_db::migrations::{LockTries, Migrator};

use crate::backfill::{Backfill, watermark};
use crate::progress::{Moved, Progress, Tell};

/// An index as it has to be: its name, whether it is unique, and what follows `USING`.
struct Index(&'static str, bool, &'static str);

const INDEXES: [Index; 4] = [
    Index("idx_instances_service_id", true, "btree (service_id)"),
    Index(
        "idx_instances_status",
        false,
        "btree (status) WHERE ((status <> 'idle'::text) AND (status <> 'claimed'::text))",
    ),
    Index(
        "idx_instances_queue",
        false,
        "btree (COALESCE(put_back_at, created_at), id) WHERE (status = 'idle'::text)",
    ),
    Index(
        "idx_instances_claim_token",
        true,
        "btree (claim_token) WHERE (claim_token IS NOT NULL)",
    ),
];

/// Brings the rows over and the guards in.
pub(crate) async fn contract(migrator: &mut Migrator, tell: &mut Tell<'_>) -> Result<Moved, Error> {
    let connection = migrator.connection();
    let mut since = watermark(connection).await?;
    let backfill = Backfill::prepare(connection).await?;
    let mut moved = Moved::default();
    if let Some(backfill) = &backfill {
        moved = backfill.pass(connection, None, tell).await?;
    }
    make_indexes(connection, tell).await?;
    // All of that may have taken minutes; what came meanwhile takes seconds, and leaves little for
    // the last batch, during which the older service's writes wait.
    if let Some(backfill) = &backfill {
        let later = watermark(connection).await?;
        moved += backfill.pass(connection, Some(since), tell).await?;
        since = later;
    }
    let mut tries = LockTries::default();
    loop {
        let finished = connection
            .transaction(async |connection| {
                let limits = format!(
                    "SET LOCAL lock_timeout = {}; SET LOCAL statement_timeout = '60s'",
                    LockTries::LIMIT_MS
                );
                connection.batch_execute(&limits).await?;
                let mut last = Moved::default();
                if let Some(backfill) = &backfill {
                    last = backfill.last_batch(connection, since).await?;
                }
                let rules = include_str!("contract.sql");
                connection.batch_execute(rules).await?;
                Ok::<_, Error>(last)
            })
            .await;
        if let Err(error) = &finished
            && tries.again_after(error).await
        {
            tell(Progress {
                step: "waiting for the lock on instances",
                done: tries.made().into(),
                total: LockTries::ALL.into(),
            });
            continue;
        }
        moved += migrator.naming_the_holder(finished).await?;
        return Ok(moved);
    }
}

/// What is left of a contraction: looking through every row for the CHECK, which nobody waits for.
pub(crate) async fn finish(connection: &mut AsyncPgConnection) -> Result<(), Error> {
    let left: Truth = sql_query(
        "SELECT EXISTS (SELECT FROM pg_constraint WHERE conname = 'instances_status_check' \
         AND conrelid = to_regclass('instances') AND NOT convalidated) AS truth",
    )
    .get_result(connection)
    .await?;
    if left.truth {
        connection
            .batch_execute("ALTER TABLE instances VALIDATE CONSTRAINT instances_status_check")
            .await?;
    }
    Ok(())
}

/// Under names of their own; the last transaction gives them theirs. One that a killed run left
/// half made is made anew.
async fn make_indexes(
    connection: &mut AsyncPgConnection,
    tell: &mut Tell<'_>,
) -> Result<(), Error> {
    if !is_service_unique(connection).await? {
        let query = sql_query(include_str!("part_services.sql"));
        query.execute(connection).await?;
    }
    for (done, Index(name, unique, how)) in (1..).zip(INDEXES) {
        if is_right(connection, name, unique, how).await? {
            continue;
        }
        let drop = format!("DROP INDEX CONCURRENTLY IF EXISTS {name}_made");
        connection.batch_execute(&drop).await?;
        let unique = if unique { "UNIQUE " } else { "" };
        let create =
            format!("CREATE {unique}INDEX CONCURRENTLY {name}_made ON instances USING {how}");
        connection.batch_execute(&create).await?;
        tell(Progress {
            step: "building indexes",
            done,
            total: INDEXES.len() as u64,
        });
    }
    Ok(())
}

async fn is_right(
    connection: &mut AsyncPgConnection,
    name: &str,
    unique: bool,
    how: &str,
) -> Result<bool, Error> {
    let found: Truth = sql_query(include_str!("index_is_right.sql"))
        .bind::<Text, _>(name)
        .bind::<Bool, _>(unique)
        .bind::<Text, _>(how)
        .get_result(connection)
        .await?;
    Ok(found.truth)
}

async fn is_service_unique(connection: &mut AsyncPgConnection) -> Result<bool, Error> {
    let found: Truth = sql_query(
        "SELECT EXISTS (SELECT FROM pg_index WHERE indrelid = 'instances'::regclass \
         AND indisunique AND indisvalid \
         AND pg_get_indexdef(indexrelid) LIKE '%USING btree (service_id)') AS truth",
    )
    .get_result(connection)
    .await?;
    Ok(found.truth)
}

#[derive(QueryableByName)]
struct Truth {
    #[diesel(sql_type = Bool)]
    truth: bool,
}
