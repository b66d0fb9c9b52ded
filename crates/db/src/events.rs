//! The event log. The transition trigger writes it; here it is asked and kept short.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel_async::{AsyncConnection, RunQueryDsl};
use pool_domain::{InstanceId, LastEvent, ServiceId, Status, Term};

use crate::Db;
use crate::answer::answer;
use crate::error::Error;
use crate::fencing::check_term;
use crate::schema::instance_events;
use crate::statement::milliseconds;
use crate::statement::statement;
use crate::text::storable;

/// What the log last said of each of these services; a service that it never heard of is absent.
///
/// # Errors
///
/// As every statement: see [`Error`].
pub async fn last_by_service(
    db: &Db,
    services: &[ServiceId],
) -> Result<HashMap<ServiceId, LastEvent>, Error> {
    let mut connection = db.connection().await?;
    let rows: Vec<(String, Option<String>)> = answer(
        instance_events::table
            .filter(instance_events::service_id.eq_any(services.iter().map(ServiceId::as_str)))
            .distinct_on(instance_events::service_id)
            .order((instance_events::service_id, instance_events::id.desc()))
            .select((instance_events::service_id, instance_events::to_status))
            .load(&mut connection),
    )
    .await?;
    Ok(rows
        .into_iter()
        .map(|(service, to)| (service.into(), last_event(to.as_deref())))
        .collect())
}

/// Which of these instances had a row that was removed since: their last event says so.
///
/// # Errors
///
/// As every statement: see [`Error`].
pub async fn removed(db: &Db, ids: &[InstanceId]) -> Result<HashSet<InstanceId>, Error> {
    let ids = ids.iter().map(|id| storable(id.as_str()));
    let mut connection = db.connection().await?;
    let rows: Vec<(String, Option<String>)> = answer(
        instance_events::table
            .filter(instance_events::instance_id.eq_any(ids))
            .distinct_on(instance_events::instance_id)
            .order((instance_events::instance_id, instance_events::id.desc()))
            .select((instance_events::instance_id, instance_events::to_status))
            .load(&mut connection),
    )
    .await?;
    let removed = rows.into_iter().filter(|(_, to)| to.is_none());
    Ok(removed.map(|(id, _)| id.into()).collect())
}

/// Forgets events older than `keep`, at most so many at once, and says how many. The last event of
/// each service is kept for ever: adoption asks for it, however long ago it was.
///
/// # Errors
///
/// [`Error::StaleTerm`] when another server leads by now; otherwise as every statement: see
/// [`Error`].
pub async fn prune(db: &Db, term: Term, keep: Duration, at_most: usize) -> Result<usize, Error> {
    let prune = statement(include_str!("events_prune.sql"))
        .bind::<BigInt, _>(milliseconds(keep))
        .bind::<BigInt, _>(i64::try_from(at_most).unwrap_or(i64::MAX));
    let mut connection = db.connection().await?;
    answer(connection.transaction(async |connection| {
        check_term(connection, term).await?;
        Ok::<_, Error>(prune.execute(connection).await?)
    }))
    .await
}

fn last_event(to: Option<&str>) -> LastEvent {
    match to.map(Status::parse) {
        None => LastEvent::Removed,
        Some(Some(Status::Claimed | Status::Crashed)) => LastEvent::ClaimedOrCrashed,
        Some(_) => LastEvent::Other,
    }
}
