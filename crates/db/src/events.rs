//! The event log, and what became of each service by it. The transition trigger writes both; here the one
//! is kept short and the other is asked.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel_async::{AsyncConnection, RunQueryDsl};
use pool_domain::{InstanceId, LastEvent, ServiceId, Term};

use crate::Db;
use crate::answer::answer;
use crate::error::Error;
use crate::fencing::check_term;
use crate::schema::service_fates;
use crate::statement::milliseconds;
use crate::statement::statement;
use crate::text::storable;

/// What the log last said of each of these services, however long ago; a service that it never heard
/// of is absent.
///
/// # Errors
///
/// As every statement: see [`Error`].
pub async fn last_by_service(
    db: &Db,
    services: &[ServiceId],
) -> Result<HashMap<ServiceId, LastEvent>, Error> {
    let mut connection = db.connection().await?;
    let rows: Vec<(String, String)> = answer(
        service_fates::table
            .filter(service_fates::service_id.eq_any(services.iter().map(ServiceId::as_str)))
            .select((service_fates::service_id, service_fates::fate))
            .load(&mut connection),
    )
    .await?;
    Ok(rows
        .into_iter()
        .map(|(service, fate)| (service.into(), last_event(&fate)))
        .collect())
}

/// Which of these instances had a row that was removed since: the last event of any service of theirs
/// says so.
///
/// # Errors
///
/// As every statement: see [`Error`].
pub async fn removed(db: &Db, ids: &[InstanceId]) -> Result<HashSet<InstanceId>, Error> {
    let ids = ids.iter().map(|id| storable(id.as_str()));
    let mut connection = db.connection().await?;
    let rows: Vec<(String, String)> = answer(
        service_fates::table
            .filter(service_fates::instance_id.eq_any(ids))
            .distinct_on(service_fates::instance_id)
            .order((service_fates::instance_id, service_fates::event_id.desc()))
            .select((service_fates::instance_id, service_fates::fate))
            .load(&mut connection),
    )
    .await?;
    let removed = rows
        .into_iter()
        .filter(|(_, fate)| last_event(fate) == LastEvent::Removed);
    Ok(removed.map(|(id, _)| id.into()).collect())
}

/// Makes the log's parts for the months to come, and drops one of which everything is older than `keep`:
/// what is kept is no shorter than that, and a month longer at most.
///
/// # Errors
///
/// [`Error::StaleTerm`] when another server leads by now; [`Error::Wait`] when the part could not be had at
/// once, so that nobody waits behind; otherwise as every statement: see [`Error`].
pub async fn prune(db: &Db, term: Term, keep: Duration) -> Result<(), Error> {
    let keep_events = statement("SELECT pool_keep_events($1 * interval '1 millisecond')")
        .bind::<BigInt, _>(milliseconds(keep));
    let mut connection = db.connection().await?;
    answer(connection.transaction(async |connection| {
        check_term(connection, term).await?;
        keep_events.execute(connection).await?;
        Ok::<_, Error>(())
    }))
    .await
}

fn last_event(fate: &str) -> LastEvent {
    match fate {
        "removed" => LastEvent::Removed,
        "claimed" => LastEvent::ClaimedOrCrashed,
        _ => LastEvent::Other,
    }
}
