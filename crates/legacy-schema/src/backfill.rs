//! Copies the rows of earlier generations into `instances` and `set_aside`, in batches. It never
//! changes the tables that it reads, can be stopped at any moment, and is run again as a whole: what
//! is there already is not written twice. It does not install anything: see `contraction`.

use diesel::sql_types::{BigInt, Bool};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use pool_db::Error;

use crate::progress::{Forecast, Moved, Progress, Tell};
use crate::tables::Legacy;

/// So many rows are copied in one transaction: about 50 ms, for which nobody else's row is locked.
const BATCH_ROWS: i64 = 2_000;

/// Rows are counted as changed this many transactions too early rather than one too late.
const AGE_MARGIN: i64 = 1_000;

/// One session's backfill. Its queue is a temporary table, so a killed one leaves nothing behind.
pub(crate) struct Backfill {
    legacy: Legacy,
}

impl Backfill {
    /// None when there is no table to read.
    pub(crate) async fn prepare(connection: &mut AsyncPgConnection) -> Result<Option<Self>, Error> {
        let legacy = Legacy::find(connection).await?;
        if legacy.is_empty() {
            return Ok(None);
        }
        connection.batch_execute(&legacy.views()).await?;
        let verdicts = include_str!("verdicts.sql");
        connection.batch_execute(verdicts).await?;
        Ok(Some(Self { legacy }))
    }

    /// Looks, and writes nothing that lasts.
    pub(crate) async fn forecast(
        &self,
        connection: &mut AsyncPgConnection,
    ) -> Result<Vec<Forecast>, Error> {
        fill_queue(connection, None).await?;
        let query = sql_query(include_str!("forecast.sql"));
        Ok(query.load(connection).await?)
    }

    /// Every row, or those that changed since then, in batches, each a transaction of its own.
    pub(crate) async fn pass(
        &self,
        connection: &mut AsyncPgConnection,
        since: Option<Watermark>,
        tell: &mut Tell<'_>,
    ) -> Result<Moved, Error> {
        let total = fill_queue(connection, since).await?;
        demote(connection).await?;
        let mut moved = Moved::default();
        let mut done = 0;
        while done < total {
            let until = total.min(done + BATCH_ROWS);
            copy(connection, done, until, &mut moved).await?;
            done = until;
            tell(Progress {
                step: if since.is_none() {
                    "copying rows"
                } else {
                    "copying what changed meanwhile"
                },
                done: done.unsigned_abs(),
                total: total.unsigned_abs(),
            });
        }
        Ok(moved)
    }

    /// What changed since then, within the caller's transaction. Whoever would write to the legacy
    /// tables waits until it ends; whoever claims an instance does not.
    pub(crate) async fn last_batch(
        &self,
        connection: &mut AsyncPgConnection,
        since: Watermark,
    ) -> Result<Moved, Error> {
        connection.batch_execute(&self.legacy.lock()).await?;
        let total = fill_queue(connection, Some(since)).await?;
        demote(connection).await?;
        let mut moved = Moved::default();
        copy(connection, 0, total, &mut moved).await?;
        Ok(moved)
    }
}

/// Before this, every transaction is seen by a pass that begins now.
pub(crate) async fn watermark(connection: &mut AsyncPgConnection) -> Result<Watermark, Error> {
    let oldest = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS n";
    let count: Count = sql_query(oldest).get_result(connection).await?;
    Ok(Watermark(count.n))
}

/// The number of places in the queue.
async fn fill_queue(
    connection: &mut AsyncPgConnection,
    since: Option<Watermark>,
) -> Result<i64, Error> {
    let empty = "TRUNCATE backfill_queue, backfill_changed";
    connection.batch_execute(empty).await?;
    if let Some(Watermark(since)) = since {
        sql_query(include_str!("changed.sql"))
            .bind::<BigInt, _>(since)
            .bind::<BigInt, _>(AGE_MARGIN)
            .execute(connection)
            .await?;
        // How many they are decides how the rows beside them are found.
        connection.batch_execute("ANALYZE backfill_changed").await?;
    }
    let queued = sql_query(include_str!("queue.sql"))
        .bind::<Bool, _>(since.is_none())
        .execute(connection)
        .await?;
    connection.batch_execute("ANALYZE backfill_queue").await?;
    Ok(i64::try_from(queued).unwrap_or(i64::MAX))
}

/// Takes away copies made earlier, of rows that lost their claim to a service since.
async fn demote(connection: &mut AsyncPgConnection) -> Result<(), Error> {
    let query = sql_query(include_str!("demote.sql"));
    query.execute(connection).await?;
    Ok(())
}

async fn copy(
    connection: &mut AsyncPgConnection,
    after: i64,
    until: i64,
    moved: &mut Moved,
) -> Result<(), Error> {
    let copied: Copied = sql_query(include_str!("copy.sql"))
        .bind::<BigInt, _>(after)
        .bind::<BigInt, _>(until)
        .get_result(connection)
        .await?;
    moved.taken += copied.taken.unsigned_abs();
    moved.filled += copied.filled.unsigned_abs();
    moved.set_aside += copied.aside.unsigned_abs();
    Ok(())
}

/// A moment in the order of the database's transactions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watermark(i64);

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

#[derive(QueryableByName)]
struct Copied {
    #[diesel(sql_type = BigInt)]
    taken: i64,
    #[diesel(sql_type = BigInt)]
    filled: i64,
    #[diesel(sql_type = BigInt)]
    aside: i64,
}
