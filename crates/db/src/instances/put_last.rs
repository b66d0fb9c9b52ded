//! Idle ones that claims take last for a while, since they are no good to anybody as far as is known.

use std::time::Duration;

use diesel::sql_types::{Array, BigInt, Text};
use diesel_async::{AsyncConnection, RunQueryDsl};
use pool_domain::{Epoch, InstanceId, Policy, Term};

use crate::Db;
use crate::answer::answer;
use crate::error::Error;
use crate::fencing::check_term;
use crate::statement::{milliseconds, statement};

/// Puts those that are idle and have not moved on behind all others, for so long.
///
/// # Errors
///
/// [`Error::StaleTerm`] when another server leads by now; otherwise as every statement: see
/// [`Error`].
pub async fn put_last(
    db: &Db,
    term: Term,
    rows: &[(InstanceId, Epoch)],
    lasts: Duration,
) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut connection = db.connection().await?;
    for batch in rows.chunks(Policy::ROWS_PER_TRANSACTION_MAX) {
        let ids: Vec<_> = batch.iter().map(|(id, _)| id.to_string()).collect();
        let epochs: Vec<_> = batch.iter().map(|(_, epoch)| epoch.0).collect();
        let query = statement(include_str!("put_last.sql"))
            .bind::<Array<Text>, _>(ids)
            .bind::<Array<BigInt>, _>(epochs)
            .bind::<BigInt, _>(milliseconds(lasts));
        answer(connection.transaction(async |connection| {
            check_term(connection, term).await?;
            query.execute(connection).await?;
            Ok::<_, Error>(())
        }))
        .await?;
    }
    Ok(())
}
