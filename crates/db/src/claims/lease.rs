//! Takes the oldest idle instances, for all who ask at once, in one statement.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::result::DatabaseErrorKind;
use diesel::sql_types::{
    Array, BigInt, Bool, Bytea, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use pool_domain::{ClaimToken, Epoch, InstanceId, Secret};
use uuid::Uuid;

use crate::Db;
use crate::answer::answer;
use crate::batches::Batched;
use crate::claims::asks::{KeyedRequest, Lease, LeaseAsk, Leased};
use crate::error::Error;
use crate::pool::Connection;
use crate::statement::{column, milliseconds, statement};

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
    let ask = LeaseAsk {
        token,
        lease,
        exclude: exclude.to_vec(),
        request: request.cloned(),
    };
    db.asks().leases.ask(db, ask).await
}

impl Batched<Db, Leased> for LeaseAsk {
    /// Those who do not want the same instances; nobody who asks twice, or under a key that is asked for
    /// already.
    fn may_join(&self, others: &[Self]) -> bool {
        let key = |ask: &Self| ask.request.as_ref().map(|it| it.key.clone());
        let own_key = key(self);
        others
            .first()
            .is_none_or(|first| first.lease == self.lease && first.exclude == self.exclude)
            && others.iter().all(|other| {
                other.token != self.token && (own_key.is_none() || key(other) != own_key)
            })
    }

    async fn ask_all(
        db: &Db,
        connection: &mut Connection,
        asks: &[Self],
    ) -> Result<Vec<Result<Leased, Error>>, Error> {
        let Some(first) = asks.first() else {
            return Ok(Vec::new());
        };
        let seen = db.seen().newest();
        let rows = match answer(ask(connection, first, asks, seen)).await {
            // The first ask with one of these tokens was still under way, and has its lease now.
            Err(Error::Query(diesel::result::Error::DatabaseError(
                DatabaseErrorKind::UniqueViolation,
                _,
            ))) => answer(ask(connection, first, asks, seen)).await,
            other => other,
        };
        let mut rows: HashMap<_, _> = rows?.into_iter().map(|row| (row.token, row)).collect();
        let leased = asks
            .iter()
            .map(|ask| match rows.remove(&ask.token.as_uuid()) {
                None => Ok(Leased::NoneIdle),
                Some(row) => Ok(row.into()),
            });
        Ok(leased.collect())
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
    first: &LeaseAsk,
    asks: &[LeaseAsk],
    (generation, tick): (i64, i64),
) -> Result<Vec<Row>, Error> {
    let requests = || asks.iter().map(|ask| ask.request.as_ref());
    let keys = requests().map(|it| it.map(|it| it.key.as_str()));
    let fingerprints = requests().map(|it| it.map(|it| it.fingerprint.0.as_slice()));
    let keeps = requests().map(|it| it.map(|it| milliseconds(it.keep.saturating_add(first.lease))));
    let before = requests().map(|it| it.and_then(|it| it.leased_before).map(ClaimToken::as_uuid));
    Ok(statement(include_str!("lease_idle.sql"))
        .bind::<Array<SqlUuid>, _>(column(asks, |ask| ask.token.as_uuid()))
        .bind::<BigInt, _>(milliseconds(first.lease))
        .bind::<Array<Text>, _>(texts(&first.exclude))
        .bind::<Array<Nullable<Text>>, _>(keys.collect::<Vec<_>>())
        .bind::<Array<Nullable<Bytea>>, _>(fingerprints.collect::<Vec<_>>())
        .bind::<Array<Nullable<BigInt>>, _>(keeps.collect::<Vec<_>>())
        .bind::<Array<Nullable<SqlUuid>>, _>(before.collect::<Vec<_>>())
        .bind::<BigInt, _>(generation)
        .bind::<BigInt, _>(tick)
        .load(connection)
        .await?)
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
    #[diesel(sql_type = SqlUuid)]
    token: Uuid,
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

impl From<Row> for Leased {
    fn from(row: Row) -> Self {
        match row.refusal.as_deref() {
            None => Self::Yes(row.into()),
            Some("key taken") => Self::KeyTaken,
            Some(_unverified) => Self::Unverified,
        }
    }
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
