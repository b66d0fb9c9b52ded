//! The database's side of a claim: lease, then confirm, release or abandon, each one statement. No
//! transaction is held while an agent is called, and nothing here sends a notification, which would
//! make claims wait for one another.

pub mod keyed;
mod lease;

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Nullable, SmallInt, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use pool_domain::{ClaimToken, InstanceId, State, Status};

pub use lease::{Lease, idle_exists, lease_idle};

use crate::Db;
use crate::db::answer;
use crate::error::Error;
use crate::schema::instances;
use crate::statement::statement;
use crate::text::{in_short, storable};

/// What an agent is once it was provisioned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmation {
    /// The instance whose agent was provisioned.
    pub instance: InstanceId,
    /// The name that its claimer gave it.
    pub agent_name: String,
    /// The conversation it is in, where it says.
    pub conversation_id: Option<String>,
    /// How others join it.
    pub invite_url: Option<String>,
    /// What its claimer told it to be.
    pub instructions: String,
    /// The branch that this server was built from.
    pub source_branch: Option<String>,
}

/// What a confirmation found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmed {
    /// It is the claimer's, by this call or by an earlier one.
    Done,
    /// The lease was decided otherwise: the instance is not the claimer's.
    Overtaken,
}

/// Makes the leased instance the claimer's. May be repeated, and also succeeds after the expiry
/// while nobody else has decided.
pub async fn confirm(
    db: &Db,
    token: ClaimToken,
    confirmation: &Confirmation,
) -> Result<Confirmed, Error> {
    let mut connection = db.claim_connection().await?;
    answer(confirm_on(&mut connection, token, confirmation)).await
}

async fn confirm_on(
    connection: &mut AsyncPgConnection,
    token: ClaimToken,
    confirmation: &Confirmation,
) -> Result<Confirmed, Error> {
    let changed = statement(include_str!("confirm.sql"))
        .bind::<SqlUuid, _>(token.as_uuid())
        .bind::<Text, _>(storable(&confirmation.agent_name))
        .bind::<Nullable<Text>, _>(confirmation.conversation_id.as_deref().map(storable))
        .bind::<Nullable<Text>, _>(confirmation.invite_url.as_deref().map(storable))
        .bind::<Text, _>(storable(&confirmation.instructions))
        .bind::<Nullable<Text>, _>(confirmation.source_branch.as_deref().map(storable))
        .bind::<Text, _>(confirmation.instance.to_string())
        .execute(connection)
        .await?;
    if changed > 0 {
        return Ok(Confirmed::Done);
    }
    // Only a claim that succeeded leaves its token on a row.
    let confirmed_before: i64 = instances::table
        .filter(instances::claim_token.eq(token.as_uuid()))
        .filter(instances::id.eq(confirmation.instance.as_str()))
        .filter(instances::status.ne(Status::Claiming.as_str()))
        .count()
        .get_result(connection)
        .await?;
    Ok(if confirmed_before > 0 {
        Confirmed::Done
    } else {
        Confirmed::Overtaken
    })
}

/// Gives back a lease whose agent was surely not provisioned, and says where that leads; none when
/// the token holds no lease any more. `counts` says whether the instance is at fault: if so, the
/// second time in a row makes it starting and the third dead.
pub async fn release(
    db: &Db,
    token: ClaimToken,
    reason: &str,
    counts: bool,
) -> Result<Option<Status>, Error> {
    let mut connection = db.claim_connection().await?;
    answer(release_on(&mut connection, token, reason, counts)).await
}

async fn release_on(
    connection: &mut AsyncPgConnection,
    token: ClaimToken,
    reason: &str,
    counts: bool,
) -> Result<Option<Status>, Error> {
    let released: Option<Released> = statement(include_str!("release.sql"))
        .bind::<SqlUuid, _>(token.as_uuid())
        .bind::<Text, _>(in_short(reason))
        .bind::<SmallInt, _>(i16::from(counts))
        .bind::<Array<Text>, _>(statuses_after_release(counts))
        .get_result(connection)
        .await
        .optional()?;
    Ok(released.and_then(|row| Status::parse(&row.status)))
}

/// Gives up a lease whose outcome nobody knows. False when the token holds no lease any more.
pub async fn abandon(db: &Db, token: ClaimToken, reason: &str) -> Result<bool, Error> {
    let mut connection = db.claim_connection().await?;
    answer(abandon_on(&mut connection, token, reason)).await
}

async fn abandon_on(
    connection: &mut AsyncPgConnection,
    token: ClaimToken,
    reason: &str,
) -> Result<bool, Error> {
    let changed = statement(include_str!("abandon.sql"))
        .bind::<SqlUuid, _>(token.as_uuid())
        .bind::<Text, _>(in_short(reason))
        .execute(connection)
        .await?;
    Ok(changed > 0)
}

/// Gives up every lease that ran out, and says whose. Every server does this, so that the trouble
/// of one delays nothing. One without an expiry runs out when a lease of this length would have.
pub async fn expire(db: &Db, lease: Duration) -> Result<Vec<InstanceId>, Error> {
    let mut connection = db.claim_connection().await?;
    let expired: Vec<Expired> = answer(
        statement(include_str!("expire.sql"))
            .bind::<BigInt, _>(milliseconds(lease))
            .load(&mut connection),
    )
    .await?;
    Ok(expired.into_iter().map(|row| row.id.into()).collect())
}

/// As the database takes a duration. Longer than 292 million years is for ever.
pub(crate) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The state machine decides; the database only looks up, by the claims that failed before.
fn statuses_after_release(counts: bool) -> Vec<&'static str> {
    (0..=2)
        .map(|failed_claims| {
            let leased = State {
                failed_claims,
                ..State::new(Status::Claiming)
            };
            match leased.release() {
                Ok(next) if counts => next.status.as_str(),
                _ => Status::Idle.as_str(),
            }
        })
        .collect()
}

#[derive(QueryableByName)]
struct Released {
    #[diesel(sql_type = Text)]
    status: String,
}

#[derive(QueryableByName)]
struct Expired {
    #[diesel(sql_type = Text)]
    id: String,
}
