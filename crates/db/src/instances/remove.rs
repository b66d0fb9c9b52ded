//! Rows go when nothing is left of them outside.

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Text};
use diesel_async::{AsyncConnection, RunQueryDsl};
use pool_domain::{Epoch, InstanceId, Policy, Term};

use crate::Db;
use crate::answer::answer;
use crate::error::Error;
use crate::fencing::check_term;
use crate::statement::statement;

/// Removes those that are dead or delete requested and have not moved on, and says which.
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
) -> Result<Vec<InstanceId>, Error> {
    let mut removed = Vec::new();
    let mut connection = db.connection().await?;
    for batch in rows.chunks(Policy::ROWS_PER_TRANSACTION_MAX) {
        let ids: Vec<_> = batch.iter().map(|(id, _)| id.to_string()).collect();
        let epochs: Vec<_> = batch.iter().map(|(_, epoch)| epoch.0).collect();
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
        removed.extend(gone.into_iter().map(|row| InstanceId::from(row.id)));
    }
    Ok(removed)
}

#[derive(QueryableByName)]
struct Gone {
    #[diesel(sql_type = Text)]
    id: String,
}
