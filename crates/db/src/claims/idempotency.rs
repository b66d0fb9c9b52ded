//! Claims that their callers may repeat. What became of the claim under a key stands in
//! `claim_requests`, written by the statements of the lease and of what decides it: a server that is
//! killed leaves both or neither. Nothing secret is stored a second time; an answer is put together
//! again from the instance's own row.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Bytea, Nullable, Text};
use diesel_async::RunQueryDsl;
use pool_domain::{InstanceId, Secret, Status};

use crate::Db;
use crate::answer::answer;
use crate::claims::asks::KeyedRequest;
use crate::error::Error;
use crate::statement::statement;

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
    /// Its claim succeeded: the answer that it gave, which a repetition gets too.
    Claimed(Answer),
    /// Its claim succeeded, and the instance was destroyed since.
    Destroyed {
        /// The instance that is gone, so that the caller can be told.
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
    /// The instance that is the caller's.
    pub id: InstanceId,
    /// How others join its conversation, as its agent said.
    pub invite_url: Option<String>,
    /// The conversation that its agent is in; none where the agent named none.
    pub conversation_id: Option<String>,
    /// Whether it joined an existing conversation.
    pub joined: bool,
    /// The token of its gateway.
    pub gateway_token: Option<Secret>,
    /// Where its gateway answers.
    pub url: Option<String>,
}

/// What is known of a key, and of a claim with this body under it.
///
/// # Errors
/// As every statement: see [`Error`].
pub async fn look(db: &Db, request: &KeyedRequest) -> Result<Known, Error> {
    let mut connection = db.claim_connection().await?;
    let row: Option<Row> = answer(async {
        statement(include_str!("key_known.sql"))
            .bind::<Text, _>(request.key.as_str().to_owned())
            .get_result(&mut connection)
            .await
            .optional()
    })
    .await?;
    Ok(match row {
        None => Known::Nothing,
        Some(row) if row.fingerprint != request.fingerprint.0 => Known::OtherBody,
        Some(row) => row.into(),
    })
}

/// Forgets keys that ran out, at most so many at once, and says how many.
///
/// # Errors
/// As every statement: see [`Error`]; they are forgotten the next time.
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
pub(super) const FAILED: &str = "failed";
pub(super) const TIMED_OUT: &str = "timed out";

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
