//! A destruction: its beginning, its steps, and its end.

use diesel::prelude::*;
use diesel::sql_types::{Nullable, Text};
use diesel_async::{AsyncConnection, RunQueryDsl};
use pool_domain::write::OwnedResources;
use pool_domain::{DestroyStep, InstanceId, Term};

use crate::Db;
use crate::answer::answer;
use crate::error::Error;
use crate::fencing::check_term;
use crate::provisions::create::write;
use crate::schema::provisions;
use crate::statement::statement;

/// Notes everything outside that is to be destroyed, before the first call. Repeated, it only fills
/// in what was not known before.
///
/// # Errors
///
/// [`Error::StaleTerm`] when another server leads by now; otherwise as every statement: see
/// [`Error`].
pub async fn begin_destruction(db: &Db, term: Term, of: &OwnedResources) -> Result<(), Error> {
    let begin = statement(include_str!("begin_destruction.sql"))
        .bind::<Text, _>(of.id.to_string())
        .bind::<Text, _>(of.name.clone())
        .bind::<Nullable<Text>, _>(of.service_id.as_ref().map(ToString::to_string))
        .bind::<Nullable<Text>, _>(of.volume_ids.as_slice().first().map(ToString::to_string))
        .bind::<Nullable<Text>, _>(of.openrouter_key_hash.as_ref().map(ToString::to_string))
        .bind::<Nullable<Text>, _>(of.agentmail_inbox_id.as_ref().map(ToString::to_string));
    write(db, term, begin).await.map(drop)
}

/// Notes that this step is done; of the service also when, since a listing begun before that may
/// still show it. False when the provision is gone.
///
/// # Errors
///
/// [`Error::StaleTerm`] when another server leads by now; otherwise as every statement: see
/// [`Error`].
pub async fn mark_destroyed(
    db: &Db,
    term: Term,
    id: &InstanceId,
    step: DestroyStep,
) -> Result<bool, Error> {
    let mark = statement(include_str!("mark_destroyed.sql"))
        .bind::<Text, _>(id.to_string())
        .bind::<Text, _>(step.as_str());
    write(db, term, mark).await
}

/// Forgets provisions of which nothing is left outside, and says how many there were.
///
/// # Errors
///
/// [`Error::StaleTerm`] when another server leads by now; otherwise as every statement: see
/// [`Error`].
pub async fn remove(db: &Db, term: Term, ids: &[InstanceId]) -> Result<usize, Error> {
    let mut connection = db.connection().await?;
    let ids: Vec<_> = ids.iter().map(InstanceId::as_str).collect();
    answer(connection.transaction(async |connection| {
        check_term(connection, term).await?;
        let removed = diesel::delete(provisions::table.filter(provisions::id.eq_any(&ids)))
            .execute(connection)
            .await?;
        Ok::<_, Error>(removed)
    }))
    .await
}
