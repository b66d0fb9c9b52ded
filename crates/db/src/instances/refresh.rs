//! New observed values of rows whose status stays. Rows that would not change are not written.

use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text, Timestamptz};
use diesel_async::{AsyncConnection, RunQueryDsl};
use pool_domain::write::Refresh;
use pool_domain::{DeploymentStatus, InboxId, Policy, Secret, Term};

use crate::Db;
use crate::answer::answer;
use crate::error::Error;
use crate::fencing::check_term_if_led;
use crate::pool::Connection;
use crate::statement::{column, statement};

/// Writes what differs, and says how many rows did. A change of status raises the epoch, so where a
/// row gets both, this comes first.
///
/// # Errors
///
/// [`Error::StaleTerm`] when another server leads by now; otherwise as every statement: see
/// [`Error`].
pub async fn refresh(db: &Db, term: Term, refreshes: &[Refresh]) -> Result<usize, Error> {
    refresh_if_led(db, Some(term), refreshes).await
}

/// The same for a person, who leads nothing: what a leader changed meanwhile stays as it is, since
/// its change raised the epoch or the next tick writes it again.
///
/// # Errors
///
/// As every statement: see [`Error`].
pub async fn refresh_unled(db: &Db, refreshes: &[Refresh]) -> Result<usize, Error> {
    refresh_if_led(db, None, refreshes).await
}

async fn refresh_if_led(
    db: &Db,
    term: Option<Term>,
    refreshes: &[Refresh],
) -> Result<usize, Error> {
    let mut ordered: Vec<_> = refreshes.iter().collect();
    ordered.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    let mut written = 0;
    let mut connection = db.connection().await?;
    for batch in ordered.chunks(Policy::ROWS_PER_TRANSACTION_MAX) {
        written += refresh_batch(&mut connection, term, batch).await?;
    }
    Ok(written)
}

async fn refresh_batch(
    connection: &mut Connection,
    term: Option<Term>,
    rows: &[&Refresh],
) -> Result<usize, Error> {
    let query = statement(include_str!("refresh.sql"))
        .bind::<Array<Text>, _>(column(rows, |row| row.id.to_string()))
        .bind::<Array<BigInt>, _>(column(rows, |row| row.epoch.0))
        .bind::<Array<Text>, _>(column(rows, |row| row.name.clone()))
        .bind::<Array<Nullable<Text>>, _>(column(rows, |row| row.url.clone()))
        .bind::<Array<Nullable<Text>>, _>(column(rows, |row| {
            let status = row.deploy_status.as_ref();
            status.map(DeploymentStatus::to_string)
        }))
        .bind::<Array<Nullable<Text>>, _>(column(rows, |row| row.runtime_image.clone()))
        .bind::<Array<Nullable<Text>>, _>(column(rows, |row| {
            let token = row.gateway_token.as_ref();
            token.map(Secret::expose).map(str::to_owned)
        }))
        .bind::<Array<Nullable<Text>>, _>(column(rows, |row| {
            row.agentmail_inbox_id.as_ref().map(InboxId::to_string)
        }))
        .bind::<Array<Nullable<Timestamptz>>, _>(column(rows, |row| row.claimed_at))
        .bind::<Array<Nullable<Timestamptz>>, _>(column(rows, |row| row.missing_since))
        .bind::<Array<Bool>, _>(column(rows, |row| row.unasked));
    answer(connection.transaction(async |connection| {
        check_term_if_led(connection, term).await?;
        Ok::<_, Error>(query.execute(connection).await?)
    }))
    .await
}
