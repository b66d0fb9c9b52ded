//! Ends the leases that ran out.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel_async::RunQueryDsl;
use pool_domain::InstanceId;

use crate::Db;
use crate::answer::answer;
use crate::error::Error;
use crate::statement::{milliseconds, statement};

/// Gives up every lease that ran out, and says whose. Every server does this, so that the trouble
/// of one delays nothing. One without an expiry runs out when a lease of this length would have.
///
/// # Errors
/// As every statement: see [`Error`]; whatever ran out is found the next time.
pub async fn expire(db: &Db, lease: Duration) -> Result<Vec<InstanceId>, Error> {
    let (generation, tick) = db.seen().newest();
    let mut connection = db.claim_connection().await?;
    let expired: Vec<Expired> = answer(
        statement(include_str!("expire.sql"))
            .bind::<BigInt, _>(milliseconds(lease))
            .bind::<BigInt, _>(generation)
            .bind::<BigInt, _>(tick)
            .load(&mut connection),
    )
    .await?;
    Ok(expired.into_iter().map(|row| row.id.into()).collect())
}

#[derive(QueryableByName)]
struct Expired {
    #[diesel(sql_type = Text)]
    id: String,
}
