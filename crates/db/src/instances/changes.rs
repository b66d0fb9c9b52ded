//! Changes of status that the leader decided. Each is guarded by the status and epoch that it was
//! decided from.

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text};
use diesel_async::{AsyncConnection, RunQueryDsl};
use pool_domain::write::StatusChange;
use pool_domain::{InstanceId, Policy, Term, chain};

use crate::Db;
use crate::answer::answer;
use crate::error::Error;
use crate::fencing::check_term;
use crate::pool::Connection;
use crate::statement::{column, statement};
use crate::text::{in_short, storable};

/// Makes the changes whose rows have not moved on, and says which. Those that are losses are counted
/// for the fuse.
///
/// A change that the transition trigger refuses is a bug of whoever decided it; one that somebody
/// else's constraint refuses is that one's. It is logged and left out, and the others are made.
///
/// # Errors
///
/// [`Error::StaleTerm`] when another server leads by now; otherwise as every statement: see
/// [`Error`].
pub async fn change_statuses(
    db: &Db,
    term: Term,
    changes: &[StatusChange],
    actor: &str,
) -> Result<Vec<InstanceId>, Error> {
    let mut ordered: Vec<_> = changes.iter().collect();
    ordered.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    let mut done = Vec::new();
    let mut connection = db.connection().await?;
    for batch in ordered.chunks(Policy::ROWS_PER_TRANSACTION_MAX) {
        match change(&mut connection, term, batch, actor).await {
            Ok(ids) => done.extend(ids),
            Err(error) if error.is_refusal() => {
                done.extend(one_by_one(&mut connection, term, batch, actor).await?);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

async fn one_by_one(
    connection: &mut Connection,
    term: Term,
    changes: &[&StatusChange],
    actor: &str,
) -> Result<Vec<InstanceId>, Error> {
    let mut done = Vec::new();
    for single in changes {
        match change(connection, term, &[single], actor).await {
            Ok(ids) => done.extend(ids),
            Err(error) if error.is_refusal() => tracing::error!(
                instance.id = %single.id,
                status.from = %single.from,
                status.to = %single.to,
                error = %chain(&error),
                "a change of status was not made"
            ),
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

async fn change(
    connection: &mut Connection,
    term: Term,
    changes: &[&StatusChange],
    actor: &str,
) -> Result<Vec<InstanceId>, Error> {
    let query = statement(include_str!("change_statuses.sql"))
        .bind::<Array<Text>, _>(column(changes, |change| change.id.to_string()))
        .bind::<Array<Text>, _>(column(changes, |change| change.from.as_str()))
        .bind::<Array<BigInt>, _>(column(changes, |change| change.epoch.0))
        .bind::<Array<Text>, _>(column(changes, |change| change.to.as_str()))
        .bind::<Array<Text>, _>(column(changes, |change| in_short(&change.reason)))
        .bind::<Array<Nullable<Text>>, _>(column(changes, |change| {
            let found = change.conversation.as_ref();
            found.map(|found| storable(&found.conversation_id))
        }))
        .bind::<Array<Nullable<Text>>, _>(column(changes, |change| {
            let found = change.conversation.as_ref();
            found.and_then(|found| found.invite_url.as_deref().map(storable))
        }))
        .bind::<Text, _>(actor.to_owned())
        .bind::<Array<Bool>, _>(column(changes, |change| change.is_loss));
    let rows: Vec<Changed> = answer(connection.transaction(async |connection| {
        check_term(connection, term).await?;
        Ok::<_, Error>(query.load(connection).await?)
    }))
    .await?;
    Ok(rows.into_iter().map(|row| row.id.into()).collect())
}

#[derive(QueryableByName)]
struct Changed {
    #[diesel(sql_type = Text)]
    id: String,
}
