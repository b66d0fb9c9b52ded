//! Claims that their callers may repeat. What became of the claim under a key stands in
//! `claim_requests`, written in the transaction of the lease and of what decides it: a server that
//! is killed leaves both or neither. Nothing secret is stored a second time; an answer is put
//! together again from the instance's own row.

use std::time::Duration;

use diesel::prelude::*;
use diesel::result::DatabaseErrorKind;
use diesel::sql_types::{BigInt, Bool, Bytea, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use pool_domain::{ClaimToken, Fingerprint, IdempotencyKey, InstanceId, Secret, Status};

use crate::Db;
use crate::claims::lease::{Lease, ask};
use crate::claims::{self, Confirmation, Confirmed, milliseconds};
use crate::db::answer;
use crate::error::Error;
use crate::schema::claim_requests;
use crate::statement::statement;

/// What a caller may repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyed {
    /// Its name.
    pub key: IdempotencyKey,
    /// What it asks for.
    pub fingerprint: Fingerprint,
    /// For how long its outcome is kept, from the end of its lease.
    pub keep: Duration,
}

/// What a lease under a key found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leased {
    /// The key and this instance are this claim's.
    Yes(Lease),
    /// Every idle instance is taken at this moment. Nothing was written.
    NoneIdle,
    /// Another claim has the key. Nothing was written.
    KeyTaken,
}

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// Nothing: it was not used, or surely in vain, or too long ago.
    Nothing,
    /// It was used for another body.
    OtherBody,
    /// Its claim is running.
    Running {
        /// When it is decided at the latest.
        decided_in: Duration,
    },
    /// Its claim succeeded.
    Claimed(Answer),
    /// Its claim succeeded, and the instance was destroyed since.
    Destroyed {
        /// Which.
        id: InstanceId,
    },
    /// Nobody can know what became of its claim.
    Unknown {
        /// Whether it was the time that ran out.
        timed_out: bool,
    },
}

/// What a claim that succeeded was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The instance.
    pub id: InstanceId,
    /// How others join its conversation, as its agent said.
    pub invite_url: Option<String>,
    /// Its conversation.
    pub conversation_id: Option<String>,
    /// Whether it joined an existing conversation.
    pub joined: bool,
    /// The token of its gateway.
    pub gateway_token: Option<Secret>,
    /// Where its gateway answers.
    pub url: Option<String>,
}

/// As [`claims::lease_idle`], and notes in the same transaction that the key is this claim's.
/// `before` is the lease that the same claim took before and has not given back.
pub async fn lease_idle(
    db: &Db,
    keyed: &Keyed,
    before: Option<ClaimToken>,
    token: ClaimToken,
    lease: Duration,
    exclude: &[InstanceId],
) -> Result<Leased, Error> {
    let mut connection = db.claim_connection().await?;
    let mut once = async || {
        let leased = connection.transaction(async |connection| {
            let Some(leased) = ask(connection, token, lease, exclude).await? else {
                return Ok(Leased::NoneIdle);
            };
            if !note(connection, keyed, before, token, lease, &leased.id).await? {
                return Err(Undone::KeyTaken);
            }
            fail::fail_point!("claim.in_lease");
            Ok(Leased::Yes(leased))
        });
        match answer(async { Ok::<_, Error>(leased.await) }).await? {
            Ok(leased) => Ok(leased),
            Err(Undone::KeyTaken) => Ok(Leased::KeyTaken),
            Err(Undone::Failed(error)) => Err(error),
        }
    };
    match once().await {
        // The first ask with this token was still under way, and has its lease now.
        Err(Error::Query(diesel::result::Error::DatabaseError(
            DatabaseErrorKind::UniqueViolation,
            _,
        ))) => once().await,
        other => other,
    }
}

/// Why a transaction is rolled back.
enum Undone {
    KeyTaken,
    Failed(Error),
}

impl From<diesel::result::Error> for Undone {
    fn from(error: diesel::result::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<Error> for Undone {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

async fn note(
    connection: &mut AsyncPgConnection,
    keyed: &Keyed,
    before: Option<ClaimToken>,
    token: ClaimToken,
    lease: Duration,
    id: &InstanceId,
) -> Result<bool, Error> {
    let keep = keyed.keep.saturating_add(lease);
    let noted = statement(include_str!("key_note.sql"))
        .bind::<Text, _>(keyed.key.as_str().to_owned())
        .bind::<Bytea, _>(keyed.fingerprint.0.to_vec())
        .bind::<SqlUuid, _>(token.as_uuid())
        .bind::<Text, _>(id.to_string())
        .bind::<BigInt, _>(milliseconds(keep))
        .bind::<Nullable<SqlUuid>, _>(before.map(ClaimToken::as_uuid))
        .execute(connection)
        .await?;
    Ok(noted > 0)
}

/// As [`claims::confirm`], and notes what the agent said that the instance's row does not hold.
pub async fn confirm(
    db: &Db,
    token: ClaimToken,
    confirmation: &Confirmation,
    joined: bool,
    invited: bool,
) -> Result<Confirmed, Error> {
    let mut connection = db.claim_connection().await?;
    answer(connection.transaction(async |connection| {
        let confirmed = claims::confirm_on(connection, token, confirmation).await?;
        if confirmed == Confirmed::Done {
            statement(include_str!("key_claimed.sql"))
                .bind::<SqlUuid, _>(token.as_uuid())
                .bind::<Bool, _>(joined)
                .bind::<Bool, _>(invited)
                .execute(connection)
                .await?;
            fail::fail_point!("claim.in_confirm");
        }
        Ok::<_, Error>(confirmed)
    }))
    .await
}

/// As [`claims::release`], and lets go of the key: nothing happened, so its caller may try again.
/// Where the claim has gone on to another lease meanwhile, the key stays with that one.
pub async fn release(
    db: &Db,
    token: ClaimToken,
    reason: &str,
    counts: bool,
) -> Result<Option<Status>, Error> {
    let mut connection = db.claim_connection().await?;
    answer(connection.transaction(async |connection| {
        let released = claims::release_on(connection, token, reason, counts).await?;
        let of_token = claim_requests::claim_token.eq(token.as_uuid());
        diesel::delete(claim_requests::table.filter(of_token))
            .execute(connection)
            .await?;
        fail::fail_point!("claim.in_release");
        Ok::<_, Error>(released)
    }))
    .await
}

/// As [`claims::abandon`], and notes what the caller is told.
pub async fn abandon(
    db: &Db,
    token: ClaimToken,
    reason: &str,
    timed_out: bool,
) -> Result<bool, Error> {
    let mut connection = db.claim_connection().await?;
    answer(connection.transaction(async |connection| {
        let abandoned = claims::abandon_on(connection, token, reason).await?;
        let of_token = claim_requests::claim_token.eq(token.as_uuid());
        diesel::update(claim_requests::table.filter(of_token))
            .set(claim_requests::outcome.eq(if timed_out { TIMED_OUT } else { FAILED }))
            .execute(connection)
            .await?;
        fail::fail_point!("claim.in_abandon");
        Ok::<_, Error>(abandoned)
    }))
    .await
}

/// What is known of a key, and of a claim with this body under it.
pub async fn look(db: &Db, keyed: &Keyed) -> Result<Known, Error> {
    let mut connection = db.claim_connection().await?;
    let row: Option<Row> = answer(async {
        statement(include_str!("key_known.sql"))
            .bind::<Text, _>(keyed.key.as_str().to_owned())
            .get_result(&mut connection)
            .await
            .optional()
    })
    .await?;
    Ok(match row {
        None => Known::Nothing,
        Some(row) if row.fingerprint != keyed.fingerprint.0 => Known::OtherBody,
        Some(row) => row.into(),
    })
}

/// Forgets keys that ran out, at most so many at once, and says how many.
pub async fn prune(db: &Db, at_most: usize) -> Result<usize, Error> {
    let mut connection = db.claim_connection().await?;
    answer(
        statement(include_str!("key_prune.sql"))
            .bind::<BigInt, _>(i64::try_from(at_most).unwrap_or(i64::MAX))
            .execute(&mut connection),
    )
    .await
}

const CLAIMED: &str = "claimed";
const FAILED: &str = "failed";
const TIMED_OUT: &str = "timed out";

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Bytea)]
    fingerprint: Vec<u8>,
    #[diesel(sql_type = Nullable<Text>)]
    outcome: Option<String>,
    #[diesel(sql_type = Nullable<Bool>)]
    joined: Option<bool>,
    #[diesel(sql_type = Nullable<Bool>)]
    invited: Option<bool>,
    #[diesel(sql_type = Text)]
    instance_id: String,
    #[diesel(sql_type = Nullable<Text>)]
    status: Option<String>,
    #[diesel(sql_type = Bool)]
    is_ending: bool,
    #[diesel(sql_type = Nullable<BigInt>)]
    lease_left_ms: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    conversation_id: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    invite_url: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    url: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    gateway_token: Option<String>,
}

impl From<Row> for Known {
    fn from(row: Row) -> Self {
        let status = row.status.as_deref().and_then(Status::parse);
        match (row.outcome.as_deref(), status) {
            (Some(CLAIMED), Some(_)) if !row.is_ending => Self::Claimed(row.into()),
            (Some(CLAIMED), _) => Self::Destroyed {
                id: row.instance_id.into(),
            },
            (None, Some(Status::Claiming)) => {
                let left_ms = u64::try_from(row.lease_left_ms.unwrap_or(0)).unwrap_or(0);
                Self::Running {
                    decided_in: Duration::from_millis(left_ms),
                }
            }
            // Its lease ran out: the server that held it is gone, and so is the token.
            (outcome, _) => Self::Unknown {
                timed_out: outcome == Some(TIMED_OUT),
            },
        }
    }
}

impl From<Row> for Answer {
    fn from(row: Row) -> Self {
        Self {
            id: row.instance_id.into(),
            invite_url: row.invite_url.filter(|_| row.invited == Some(true)),
            conversation_id: row.conversation_id,
            joined: row.joined == Some(true),
            gateway_token: row.gateway_token.map(Secret::new),
            url: row.url,
        }
    }
}
