//! Rows go when nothing is left of them outside.

use std::slice;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Text};
use diesel_async::{AsyncConnection, RunQueryDsl};
use pool_domain::{Epoch, InstanceId, Policy, Term};

use crate::Db;
use crate::answer::answer;
use crate::error::Error;
use crate::fencing::check_term;
use crate::pool::Connection;
use crate::statement::statement;

/// What became of rows that were to be removed; those in neither list have moved on.
#[derive(Debug, Default)]
pub struct Removed {
    /// They are gone.
    pub ids: Vec<InstanceId>,
    /// Something of somebody else's holds them in the database: a foreign key, or a trigger.
    pub held: Vec<(InstanceId, Error)>,
}

/// Removes those that are dead or delete requested and have not moved on. One that the database does
/// not let go holds back no other.
///
/// # Errors
///
/// [`Error::StaleTerm`] when another server leads by now; otherwise as every statement: see
/// [`Error`].
pub async fn remove(
    db: &Db,
    term: Term,
    rows: &[(InstanceId, Epoch)],
    actor: &str,
) -> Result<Removed, Error> {
    let mut removed = Removed::default();
    let mut connection = db.connection().await?;
    for batch in rows.chunks(Policy::ROWS_PER_TRANSACTION_MAX) {
        match remove_all(&mut connection, term, batch, actor).await {
            Err(error) if error.is_refusal() => {}
            gone => {
                removed.ids.extend(gone?);
                continue;
            }
        }
        for row in batch {
            match remove_all(&mut connection, term, slice::from_ref(row), actor).await {
                Err(error) if error.is_refusal() => removed.held.push((row.0.clone(), error)),
                gone => removed.ids.extend(gone?),
            }
        }
    }
    Ok(removed)
}

/// All of them that have not moved on, or none.
async fn remove_all(
    connection: &mut Connection,
    term: Term,
    rows: &[(InstanceId, Epoch)],
    actor: &str,
) -> Result<Vec<InstanceId>, Error> {
    let ids: Vec<_> = rows.iter().map(|(id, _)| id.to_string()).collect();
    let epochs: Vec<_> = rows.iter().map(|(_, epoch)| epoch.0).collect();
    let name_remover = statement(include_str!("name_remover.sql"))
        .bind::<Array<Text>, _>(ids.clone())
        .bind::<Array<BigInt>, _>(epochs.clone())
        .bind::<Text, _>(actor.to_owned());
    let delete = statement(include_str!("remove.sql"))
        .bind::<Array<Text>, _>(ids)
        .bind::<Array<BigInt>, _>(epochs);
    let gone: Vec<Gone> = answer(connection.transaction(async |connection| {
        check_term(connection, term).await?;
        name_remover.execute(connection).await?;
        Ok::<_, Error>(delete.load(connection).await?)
    }))
    .await?;
    Ok(gone.into_iter().map(|row| row.id.into()).collect())
}

#[derive(QueryableByName)]
struct Gone {
    #[diesel(sql_type = Text)]
    id: String,
}
