//! New rows: for instances that we make, and for services of ours that had none.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};
use diesel_async::{AsyncConnection, RunQueryDsl};
use pool_domain::write::{Adoption, NewInstance};
use pool_domain::{DeploymentStatus, InstanceId, Policy, Secret, Stage, Status, Term};

use crate::Db;
use crate::answer::answer;
use crate::error::Error;
use crate::fencing::{check_term, check_term_if_led};
use crate::provisions;
use crate::schema::instances;
use crate::statement::statement;

/// Inserts the row of an instance that is being made: unasked where its making began before the records
/// were last found to be possibly older than the world. Repeated, it only brings the key and the inbox up
/// to date. False where it is to be destroyed by now: then there must be no row.
///
/// # Errors
///
/// [`Error::InsertInstance`] when its id or its service is another row's, which stays so.
/// [`Error::StaleTerm`] when another server leads by now; otherwise as every statement: see
/// [`Error`].
pub async fn insert_created(db: &Db, term: Term, new: &NewInstance) -> Result<bool, Error> {
    let mut row = NewRow {
        status: Status::Starting.as_str(),
        openrouter_key_hash: new.openrouter_key_hash.as_ref().map(ToString::to_string),
        agentmail_inbox_id: new.agentmail_inbox_id.as_ref().map(ToString::to_string),
        gateway_token: new.gateway_token.as_ref().map(Secret::expose),
        runtime_image: new.runtime_image.as_deref(),
        status_reason: "created",
        ..NewRow::of(&new.id, new.service_id.as_str(), &new.name)
    };
    let mut connection = db.connection().await?;
    answer(connection.transaction(async |connection| {
        check_term(connection, term).await?;
        if provisions::step(connection, &new.id).await? == Some(Stage::Destroying) {
            return Ok(false);
        }
        let begun: Option<Begun> = statement(include_str!("was_begun_before.sql"))
            .bind::<Text, _>(row.id)
            .get_result(connection)
            .await
            .optional()?;
        row.unasked = begun.is_some_and(|it| it.is_unverified);
        let inserted = diesel::insert_into(instances::table)
            .values(&row)
            .on_conflict_do_nothing()
            .execute(connection)
            .await?;
        if inserted == 0 {
            // A key whose secret died with the run that made it was made anew since.
            let same = diesel::update(instances::table)
                .filter(instances::id.eq(row.id))
                .filter(instances::service_id.eq(row.service_id))
                .set((
                    instances::openrouter_key_hash.eq(&row.openrouter_key_hash),
                    instances::agentmail_inbox_id.eq(&row.agentmail_inbox_id),
                ))
                .execute(connection)
                .await?;
            if same == 0 {
                return Err(Error::InsertInstance { id: new.id.clone() });
            }
        }
        Ok(true)
    }))
    .await
}

/// Notes where the agent of one that is being made will answer, before any listing shows it. A url
/// that is known stays.
///
/// # Errors
///
/// [`Error::StaleTerm`] when another server leads by now; otherwise as every statement: see
/// [`Error`].
pub async fn set_url(db: &Db, term: Term, id: &InstanceId, url: &str) -> Result<(), Error> {
    let mut connection = db.connection().await?;
    answer(connection.transaction(async |connection| {
        check_term(connection, term).await?;
        diesel::update(instances::table)
            .filter(instances::id.eq(id.as_str()))
            .filter(instances::url.is_null())
            .filter(instances::status.eq(Status::Starting.as_str()))
            .set(instances::url.eq(url))
            .execute(connection)
            .await?;
        Ok::<_, Error>(())
    }))
    .await
}

/// Inserts a row for each of these services, unless it or its id has one by now, and says which.
/// Each that begins as starting is *unasked*: before it may be idle, its agent has to be asked for a
/// conversation. Of one that begins as crashed the records say that it is somebody's.
///
/// # Errors
///
/// [`Error::AdoptTooEarly`] before contraction. [`Error::StaleTerm`] when another server leads by
/// now; otherwise as every statement: see [`Error`].
pub async fn insert_adopted(
    db: &Db,
    term: Term,
    adoptions: &[Adoption],
) -> Result<Vec<InstanceId>, Error> {
    insert_adopted_if_led(db, Some(term), adoptions).await
}

/// The same for a person, who leads nothing.
///
/// # Errors
///
/// [`Error::AdoptTooEarly`] before contraction. As every statement: see [`Error`].
pub async fn insert_adopted_unled(
    db: &Db,
    adoptions: &[Adoption],
) -> Result<Vec<InstanceId>, Error> {
    insert_adopted_if_led(db, None, adoptions).await
}

async fn insert_adopted_if_led(
    db: &Db,
    term: Option<Term>,
    adoptions: &[Adoption],
) -> Result<Vec<InstanceId>, Error> {
    // Until then a service without a row may be a claimed one whose row is still to be copied.
    if !adoptions.is_empty() && !db.is_contracted().await? {
        return Err(Error::AdoptTooEarly);
    }
    let mut inserted = Vec::new();
    let mut connection = db.connection().await?;
    for batch in adoptions.chunks(Policy::ROWS_PER_TRANSACTION_MAX) {
        let rows: Vec<_> = batch.iter().map(NewRow::adopting).collect();
        let ids: Vec<String> = answer(connection.transaction(async |connection| {
            check_term_if_led(connection, term).await?;
            let ids = diesel::insert_into(instances::table)
                .values(&rows)
                .on_conflict_do_nothing()
                .returning(instances::id)
                .get_results(connection)
                .await?;
            Ok::<_, Error>(ids)
        }))
        .await?;
        inserted.extend(ids.into_iter().map(InstanceId::from));
    }
    Ok(inserted)
}

#[derive(QueryableByName)]
struct Begun {
    #[diesel(sql_type = Bool)]
    is_unverified: bool,
}

#[derive(Insertable)]
#[diesel(table_name = instances)]
struct NewRow<'a> {
    id: &'a str,
    service_id: &'a str,
    name: &'a str,
    url: Option<&'a str>,
    status: &'a str,
    deploy_status: Option<&'a str>,
    openrouter_key_hash: Option<String>,
    agentmail_inbox_id: Option<String>,
    gateway_token: Option<&'a str>,
    runtime_image: Option<&'a str>,
    created_at: Option<DateTime<Utc>>,
    claimed_at: Option<DateTime<Utc>>,
    status_actor: &'a str,
    status_reason: &'a str,
    unasked: bool,
}

impl<'a> NewRow<'a> {
    fn of(id: &'a InstanceId, service_id: &'a str, name: &'a str) -> Self {
        Self {
            id: id.as_str(),
            service_id,
            name,
            url: None,
            status: Status::Starting.as_str(),
            deploy_status: None,
            openrouter_key_hash: None,
            agentmail_inbox_id: None,
            gateway_token: None,
            runtime_image: None,
            // None leaves it to the column's default, which is now.
            created_at: None,
            claimed_at: None,
            status_actor: "reconciler",
            status_reason: "",
            unasked: false,
        }
    }

    fn adopting(adoption: &'a Adoption) -> Self {
        Self {
            url: adoption.url.as_deref(),
            status: adoption.status.as_str(),
            deploy_status: adoption
                .deploy_status
                .as_ref()
                .map(DeploymentStatus::as_str),
            agentmail_inbox_id: adoption
                .agentmail_inbox_id
                .as_ref()
                .map(ToString::to_string),
            gateway_token: adoption.gateway_token.as_ref().map(Secret::expose),
            runtime_image: adoption.runtime_image.as_deref(),
            created_at: Some(adoption.created_at),
            claimed_at: adoption.claimed_at,
            status_reason: &adoption.reason,
            unasked: adoption.status == Status::Starting,
            ..Self::of(&adoption.id, adoption.service_id.as_str(), &adoption.name)
        }
    }
}
