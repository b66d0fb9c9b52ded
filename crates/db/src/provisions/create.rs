//! A creation, step by step: the intent, the beginning of each step, and what it made.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel_async::{AsyncConnection, RunQueryDsl};
use pool_domain::{
    CreateStep, InboxId, InstanceId, KeyHash, Policy, Secret, ServiceId, Stage, Term, VolumeId,
};

use serde_json::Value;

use crate::Db;
use crate::answer::answer;
use crate::commands::{CommandId, note_done};
use crate::error::Error;
use crate::fencing::check_term;
use crate::schema::{now, provisions};
use crate::statement::milliseconds;
use crate::statement::{Statement, Values, statement};
use crate::text::in_short;

/// The intent to create one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewProvision {
    /// Drawn before anything is made: its service bears it in its name.
    pub id: InstanceId,
    /// The name of its service, key and inbox.
    pub name: String,
    /// The token of its gateway.
    pub gateway_token: Secret,
}

/// What a step made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// An OpenRouter key, which is deleted by this hash.
    Key(KeyHash),
    /// An AgentMail inbox, which is deleted by this address.
    Inbox(InboxId),
    /// A service with nothing but its name.
    Service(ServiceId),
    /// A volume, attached to that service.
    Volume(VolumeId),
    /// Nothing that has an id, or nothing at all because the step was not needed.
    Nothing,
}

/// Writes intents, before the first call outside, and says how many were new. `answers` says for that
/// number which commands are done with it, and how each is answered: in the same transaction, so that
/// no leader does again what was done.
///
/// # Errors
///
/// [`Error::StaleTerm`] when another server leads by now; otherwise as every statement: see
/// [`Error`].
pub async fn intend(
    db: &Db,
    term: Term,
    new: &[NewProvision],
    answers: impl Fn(usize) -> Vec<(CommandId, Value)> + Send + Sync,
) -> Result<usize, Error> {
    let mut connection = db.connection().await?;
    answer(connection.transaction(async |connection| {
        check_term(connection, term).await?;
        let mut written = 0;
        for batch in new.chunks(Policy::ROWS_PER_TRANSACTION_MAX) {
            let rows: Vec<_> = batch
                .iter()
                .map(|new| {
                    (
                        provisions::id.eq(new.id.as_str()),
                        provisions::name.eq(&new.name),
                        provisions::gateway_token.eq(new.gateway_token.expose()),
                        // Due, and surely not begun.
                        provisions::next_attempt_at.eq(now().nullable()),
                    )
                })
                .collect();
            written += diesel::insert_into(provisions::table)
                .values(&rows)
                .on_conflict_do_nothing()
                .execute(connection)
                .await?;
        }
        for (command, result) in answers(written) {
            note_done(connection, command, None, &result).await?;
        }
        Ok::<_, Error>(written)
    }))
    .await
}

/// Notes that this step begins, before its call outside: from then on no attempt is due, until the
/// step has an answer, or its silence is settled. False when the provision is gone or being
/// destroyed, or its row is to be: the call must not be made.
///
/// # Errors
///
/// [`Error::StaleTerm`] when another server leads by now; otherwise as every statement: see
/// [`Error`].
pub async fn begin_step(
    db: &Db,
    term: Term,
    id: &InstanceId,
    step: CreateStep,
) -> Result<bool, Error> {
    let begin = statement(
        "UPDATE provisions SET step = $2, step_began_at = now(), next_attempt_at = NULL \
         WHERE id = $1 AND step <> 'destroying' AND NOT EXISTS (SELECT FROM instances \
         WHERE instances.id = $1 AND (status = 'dead' OR delete_requested_at IS NOT NULL))",
    )
    .bind::<Text, _>(id.to_string())
    .bind::<Text, _>(Stage::Creating(step).as_str());
    write(db, term, begin).await
}

/// Notes what the present step made, and goes on to the next stage. False when the provision is
/// gone. One that is being destroyed by now stays so, and what was made is destroyed with it.
///
/// # Errors
///
/// [`Error::StaleTerm`] when another server leads by now; otherwise as every statement: see
/// [`Error`].
pub async fn advance(
    db: &Db,
    term: Term,
    id: &InstanceId,
    made: Made,
    next: Stage,
) -> Result<bool, Error> {
    let (mut key, mut inbox, mut service, mut volume) = (None, None, None, None);
    match made {
        Made::Key(hash) => key = Some(hash.into_string()),
        Made::Inbox(id) => inbox = Some(id.into_string()),
        Made::Service(id) => service = Some(id.into_string()),
        Made::Volume(id) => volume = Some(id.into_string()),
        Made::Nothing => {}
    }
    let advance = statement(include_str!("advance.sql"))
        .bind::<Text, _>(id.to_string())
        .bind::<Text, _>(next.as_str())
        .bind::<Nullable<Text>, _>(key)
        .bind::<Nullable<Text>, _>(inbox)
        .bind::<Nullable<Text>, _>(service)
        .bind::<Nullable<Text>, _>(volume);
    write(db, term, advance).await
}

/// Notes that the present step failed, of a creation or of a destruction, and when it is tried
/// again. False when the provision is gone.
///
/// # Errors
///
/// [`Error::StaleTerm`] when another server leads by now; otherwise as every statement: see
/// [`Error`].
pub async fn failed(
    db: &Db,
    term: Term,
    id: &InstanceId,
    error: &str,
    retry_after: Duration,
) -> Result<bool, Error> {
    let failed = statement(
        "UPDATE provisions SET attempts = attempts + 1, last_error = $2, \
         next_attempt_at = now() + $3 * interval '1 millisecond' WHERE id = $1",
    )
    .bind::<Text, _>(id.to_string())
    .bind::<Text, _>(in_short(error))
    .bind::<BigInt, _>(milliseconds(retry_after));
    write(db, term, failed).await
}

/// Notes that the present step of a creation waits for somebody's limit, and when it is tried again.
/// That is no failure of its own, so it counts as none. False when the provision is gone.
///
/// # Errors
///
/// [`Error::StaleTerm`] when another server leads by now; otherwise as every statement: see
/// [`Error`].
pub async fn held(
    db: &Db,
    term: Term,
    id: &InstanceId,
    why: &str,
    retry_after: Duration,
) -> Result<bool, Error> {
    let held = statement(
        "UPDATE provisions SET last_error = $2, \
         next_attempt_at = now() + $3 * interval '1 millisecond' WHERE id = $1",
    )
    .bind::<Text, _>(id.to_string())
    .bind::<Text, _>(in_short(why))
    .bind::<BigInt, _>(milliseconds(retry_after));
    write(db, term, held).await
}

/// Runs one statement in the leader's term, and says whether it changed anything.
pub(super) async fn write<V: Values + Send + Sync>(
    db: &Db,
    term: Term,
    statement: Statement<V>,
) -> Result<bool, Error> {
    let mut connection = db.connection().await?;
    let changed = answer(connection.transaction(async |connection| {
        check_term(connection, term).await?;
        Ok::<_, Error>(statement.execute(connection).await?)
    }))
    .await?;
    Ok(changed > 0)
}
