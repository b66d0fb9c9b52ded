//! What was ever recorded as an instance's: the proof by which the sweep knows what is ours. Triggers
//! of `provisions` write it; volumes that were only seen are written here.

use std::collections::HashMap;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Text};
use diesel_async::{AsyncConnection, RunQueryDsl};
use pool_domain::sweep::Belonging;
use pool_domain::{InstanceId, Term, VolumeId};

use crate::Db;
use crate::answer::answer;
use crate::error::Error;
use crate::fencing::check_term;
use crate::statement::milliseconds;
use crate::statement::statement;
use crate::text::storable;

/// Whose each of these is, by its kind and its id outside. What no record knows is absent.
///
/// # Errors
///
/// As every statement: see [`Error`].
pub async fn owners(
    db: &Db,
    asked: &[(Belonging, String)],
) -> Result<HashMap<(Belonging, String), InstanceId>, Error> {
    let (kinds, ids): (Vec<_>, Vec<_>) = asked
        .iter()
        .map(|(kind, id)| (kind.as_str(), storable(id)))
        .unzip();
    let mut connection = db.connection().await?;
    let rows: Vec<Row> = answer(
        statement(include_str!("belongings_owners.sql"))
            .bind::<Array<Text>, _>(kinds)
            .bind::<Array<Text>, _>(ids)
            .load(&mut connection),
    )
    .await?;
    let owners = rows.into_iter().filter_map(|row| {
        let kind = Belonging::parse(&row.kind)?;
        Some(((kind, row.outside_id), row.instance_id.into()))
    });
    Ok(owners.collect())
}

/// Notes that these volumes were seen attached to the services of these instances. One that is known
/// stays as it is.
///
/// # Errors
///
/// [`Error::StaleTerm`] when another server leads by now; otherwise as every statement: see
/// [`Error`].
pub async fn remember_volumes(
    db: &Db,
    term: Term,
    volumes: &[(VolumeId, InstanceId)],
) -> Result<(), Error> {
    let (ids, instances): (Vec<_>, Vec<_>) = volumes
        .iter()
        .map(|(volume, instance)| (storable(volume.as_str()), instance.as_str()))
        .unzip();
    let mut connection = db.connection().await?;
    answer(connection.transaction(async |connection| {
        check_term(connection, term).await?;
        statement(include_str!("belongings_remember_volumes.sql"))
            .bind::<Array<Text>, _>(ids)
            .bind::<Array<Text>, _>(instances)
            .execute(connection)
            .await?;
        Ok::<_, Error>(())
    }))
    .await
}

/// Forgets what was released longer ago than `keep`, at most so many at once, and says how many.
///
/// # Errors
///
/// [`Error::StaleTerm`] when another server leads by now; otherwise as every statement: see
/// [`Error`].
pub async fn prune(db: &Db, term: Term, keep: Duration, at_most: usize) -> Result<usize, Error> {
    let prune = statement(include_str!("belongings_prune.sql"))
        .bind::<BigInt, _>(milliseconds(keep))
        .bind::<BigInt, _>(i64::try_from(at_most).unwrap_or(i64::MAX));
    let mut connection = db.connection().await?;
    answer(connection.transaction(async |connection| {
        check_term(connection, term).await?;
        Ok::<_, Error>(prune.execute(connection).await?)
    }))
    .await
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Text)]
    outside_id: String,
    #[diesel(sql_type = Text)]
    instance_id: String,
}
