//! Takes the oldest idle instance, in one statement.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::result::DatabaseErrorKind;
use diesel::sql_types::{
    Array, BigInt, Bool, Bytea, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use pool_domain::{ClaimToken, Epoch, InstanceId, Secret, ServiceId};

use crate::Db;
use crate::answer::answer;
use crate::claims::idempotency::KeyedRequest;
use crate::error::Error;
use crate::statement::{milliseconds, statement};

/// A claim in progress: this instance is nobody else's until the lease is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The instance that was taken, the oldest idle one.
    pub id: InstanceId,
    /// Its service on Railway.
    pub service_id: ServiceId,
    /// The service's name, for logs and for people.
    pub name: String,
    /// Where its agent answers.
    pub url: Option<String>,
    /// The token of its gateway, for the claimer.
    pub gateway_token: Option<Secret>,
    /// When it runs out, by the database's clock.
    pub expires_at: DateTime<Utc>,
    /// The epoch that the lease began.
    pub epoch: Epoch,
    /// Claims that surely failed on it before, in a row.
    pub failed_claims: u8,
}

/// What asking for a lease found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leased {
    /// This instance is this claim's, and so is the key, where one was given.
    Yes(Lease),
    /// Every idle instance is taken at this moment. Nothing was written.
    NoneIdle,
    /// Another claim has the key. Nothing was written.
    KeyTaken,
    /// The records may be older than the world: see [`verify`](crate::record::verify). Nothing was
    /// written.
    Unverified,
}

/// Leases the oldest idle instance that is not excluded. Asked again with the same token, it gives the
/// same lease. Where the caller gave a key, its row is written first, in the same statement.
///
/// # Errors
/// As every statement: see [`Error`]. Where [`Error::is_indeterminate`], the lease may have
/// been taken all the same: it is found by asking again, and given back by
/// [`release`](super::release), with the same token.
pub async fn lease_idle(
    db: &Db,
    token: ClaimToken,
    lease: Duration,
    exclude: &[InstanceId],
    request: Option<&KeyedRequest>,
) -> Result<Leased, Error> {
    let mut connection = db.claim_connection().await?;
    let seen = db.seen().newest();
    match answer(ask(&mut connection, token, lease, exclude, request, seen)).await {
        // The first ask with this token was still under way, and has its lease now.
        Err(Error::Query(diesel::result::Error::DatabaseError(
            DatabaseErrorKind::UniqueViolation,
            _,
        ))) => answer(ask(&mut connection, token, lease, exclude, request, seen)).await,
        other => other,
    }
}

/// Whether any instance looks idle, also one that somebody is taking at this moment.
///
/// # Errors
/// As every statement: see [`Error`].
pub async fn idle_exists(db: &Db, exclude: &[InstanceId]) -> Result<bool, Error> {
    let mut connection = db.claim_connection().await?;
    let found: Found = answer(
        statement(
            "SELECT EXISTS (SELECT FROM instances WHERE status = 'idle' AND id <> ALL ($1)) \
             AS found",
        )
        .bind::<Array<Text>, _>(texts(exclude))
        .get_result(&mut connection),
    )
    .await?;
    Ok(found.found)
}

/// An idle instance whose agent may be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextIdle {
    /// Which.
    pub id: InstanceId,
    /// Where its agent answers.
    pub url: String,
}

/// Those that claims take next, but not of the excluded ones. Leases nothing.
///
/// # Errors
/// When the database is away, busy or refuses.
pub async fn next_idle(
    db: &Db,
    exclude: &[InstanceId],
    at_most: usize,
) -> Result<Vec<NextIdle>, Error> {
    let mut connection = db.claim_connection().await?;
    let rows: Vec<NextRow> = answer(
        statement(include_str!("next_idle.sql"))
            .bind::<Array<Text>, _>(texts(exclude))
            .bind::<BigInt, _>(i64::try_from(at_most).unwrap_or(i64::MAX))
            .load(&mut connection),
    )
    .await?;
    let next = rows.into_iter().map(|row| NextIdle {
        id: row.id.into(),
        url: row.url,
    });
    Ok(next.collect())
}

async fn ask(
    connection: &mut AsyncPgConnection,
    token: ClaimToken,
    lease: Duration,
    exclude: &[InstanceId],
    request: Option<&KeyedRequest>,
    (generation, tick): (i64, i64),
) -> Result<Leased, Error> {
    let keep = request.map(|it| milliseconds(it.keep.saturating_add(lease)));
    let before = request.and_then(|it| it.leased_before);
    let mut rows: Vec<Row> = statement(include_str!("lease_idle.sql"))
        .bind::<SqlUuid, _>(token.as_uuid())
        .bind::<BigInt, _>(milliseconds(lease))
        .bind::<Array<Text>, _>(texts(exclude))
        .bind::<Nullable<Text>, _>(request.map(|it| it.key.as_str().to_owned()))
        .bind::<Nullable<Bytea>, _>(request.map(|it| it.fingerprint.0.to_vec()))
        .bind::<Nullable<BigInt>, _>(keep)
        .bind::<Nullable<SqlUuid>, _>(before.map(ClaimToken::as_uuid))
        .bind::<BigInt, _>(generation)
        .bind::<BigInt, _>(tick)
        .load(connection)
        .await?;
    Ok(match rows.pop() {
        None => Leased::NoneIdle,
        Some(row) => match row.refusal.as_deref() {
            None => Leased::Yes(row.into()),
            Some("key taken") => Leased::KeyTaken,
            Some(_unverified) => Leased::Unverified,
        },
    })
}

fn texts(ids: &[InstanceId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = Bool)]
    found: bool,
}

#[derive(QueryableByName)]
struct NextRow {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Text)]
    url: String,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Nullable<Text>)]
    refusal: Option<String>,
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Text)]
    service_id: String,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Nullable<Text>)]
    url: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    gateway_token: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    claim_expires_at: DateTime<Utc>,
    #[diesel(sql_type = BigInt)]
    epoch: i64,
    #[diesel(sql_type = SmallInt)]
    failed_claims: i16,
}

impl From<Row> for Lease {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.into(),
            service_id: row.service_id.into(),
            name: row.name,
            url: row.url,
            gateway_token: row.gateway_token.map(Secret::new),
            expires_at: row.claim_expires_at,
            epoch: Epoch(row.epoch),
            failed_claims: u8::try_from(row.failed_claims).unwrap_or(u8::MAX),
        }
    }
}
