//! What ends leases: confirm, bind, release or abandon, for all who ask at once. Each finds a lease by its
//! token, and by the same token the row of the caller's key, where he gave one.

use std::borrow::Cow;
use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{Array, Bool, Nullable, SmallInt, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use pool_domain::write::FoundConversation;
use pool_domain::{ClaimToken, InstanceId, State, Status};
use uuid::Uuid;

use crate::Db;
use crate::answer::answer;
use crate::batches::{Batched, Batches};
use crate::claims::asks::{Abandon, Bind, Confirmation, Confirmed, EndAsk, Passed, Release};
use crate::claims::idempotency::{FAILED, TIMED_OUT};
use crate::error::Error;
use crate::pool::Connection;
use crate::statement::{column, statement};
use crate::text::{in_short, storable};

/// Makes the leased instance the claimer's. May be repeated, and also succeeds after the expiry
/// while nobody else has decided.
///
/// # Errors
/// As every statement: see [`Error`]. Where [`Error::is_indeterminate`], the confirmation may
/// have taken effect all the same; repeated, it says so.
pub async fn confirm(
    db: &Db,
    token: ClaimToken,
    confirmation: &Confirmation,
) -> Result<Confirmed, Error> {
    let ask = EndAsk {
        token,
        instance: Some(confirmation.instance.clone()),
        ending: confirmation.clone(),
    };
    end(db, &db.asks().confirms, ask).await
}

/// Keeps for somebody the leased instance whose agent says that it is in a conversation already, and
/// lets go of the caller's key. False when the token holds no lease of this instance any more. May be
/// repeated.
///
/// # Errors
/// When the database is away, busy or refuses.
pub async fn bind(
    db: &Db,
    token: ClaimToken,
    instance: &InstanceId,
    conversation: Option<&FoundConversation>,
) -> Result<bool, Error> {
    let ask = EndAsk {
        token,
        instance: Some(instance.clone()),
        ending: Bind {
            instance: instance.clone(),
            conversation: conversation.cloned(),
        },
    };
    end(db, &db.asks().binds, ask).await
}

/// Gives back a lease whose agent was surely not provisioned, lets go of its caller's key, and says
/// where that leads; none when the token holds no lease any more. `counts` says whether the instance
/// is at fault: if so, the second time in a row makes it starting. May be repeated.
///
/// # Errors
/// As every statement: see [`Error`].
pub async fn release(
    db: &Db,
    token: ClaimToken,
    reason: &str,
    counts: bool,
) -> Result<Option<Status>, Error> {
    let ask = EndAsk {
        token,
        instance: None,
        ending: Release {
            reason: in_short(reason),
            counts,
        },
    };
    end(db, &db.asks().releases, ask).await
}

/// Gives up a lease whose outcome nobody knows, and keeps its caller's key; `timed_out` is what he is
/// told when he comes again. False when the token holds no lease any more. May be repeated.
///
/// # Errors
/// As every statement: see [`Error`].
pub async fn abandon(
    db: &Db,
    token: ClaimToken,
    reason: &str,
    timed_out: bool,
) -> Result<bool, Error> {
    let ask = EndAsk {
        token,
        instance: None,
        ending: Abandon {
            reason: in_short(reason),
            timed_out,
        },
    };
    end(db, &db.asks().abandons, ask).await
}

/// One way to end a lease.
pub(crate) trait Ending: Sized + Send + Sync {
    /// What whoever asked is told.
    type Told: Copy + Send;

    /// Ends those leases that nobody else's statement holds, in one statement, and says by their tokens
    /// what became of them.
    fn end_all(
        connection: &mut AsyncPgConnection,
        tokens: Vec<Uuid>,
        endings: Vec<&Self>,
    ) -> impl Future<Output = Result<HashMap<Uuid, Self::Told>, Error>> + Send;

    /// What is told where there is no lease to end. A claim that succeeded leaves its token on a row.
    fn not_leased(has_succeeded: bool) -> Self::Told;
}

/// How often an instance may be found to be held by another statement.
const HELD_MAX: usize = 10;

/// Ends a lease together with others. Where another statement holds the instance, as a lease does for a
/// moment that began before this one was taken, only whoever wants it waits.
async fn end<E: Ending + Clone>(
    db: &Db,
    asks: &Batches<EndAsk<E>, Passed<E::Told>>,
    ask: EndAsk<E>,
) -> Result<E::Told, Error> {
    for _ in 0..HELD_MAX {
        if let Some(told) = asks.ask(db, ask.clone()).await? {
            return Ok(told);
        }
        let mut connection = db.claim_connection().await?;
        let lock = statement("SELECT FROM instances WHERE claim_token = $1 FOR NO KEY UPDATE")
            .bind::<SqlUuid, _>(ask.token.as_uuid());
        answer(lock.execute(&mut connection)).await?;
    }
    Err(Error::Wait("other statements hold the instance".to_owned()))
}

impl<E: Ending> Batched<Db, Passed<E::Told>> for EndAsk<E> {
    fn may_join(&self, _others: &[Self]) -> bool {
        true
    }

    async fn ask_all(
        _: &Db,
        connection: &mut Connection,
        asks: &[Self],
    ) -> Result<Vec<Result<Passed<E::Told>, Error>>, Error> {
        let tokens = column(asks, |ask| ask.token.as_uuid());
        let endings = column(asks, |ask| &ask.ending);
        let ended = answer(E::end_all(connection, tokens.clone(), endings)).await?;
        let others = tokens.into_iter().filter(|it| !ended.contains_key(it));
        let others = instances_of(connection, others.collect()).await?;
        Ok(column(asks, |ask| {
            let token = ask.token.as_uuid();
            let is_named =
                |row: &&Holding| ask.instance.as_ref().is_none_or(|it| it.as_str() == row.id);
            match (ended.get(&token), others.get(&token).filter(is_named)) {
                (Some(told), _) => Ok(Some(*told)),
                (None, Some(row)) if row.may_be_leased() => Ok(None),
                (None, row) => Ok(Some(E::not_leased(row.is_some()))),
            }
        }))
    }
}

/// What these tokens are on.
async fn instances_of(
    connection: &mut AsyncPgConnection,
    tokens: Vec<Uuid>,
) -> Result<HashMap<Uuid, Holding>, Error> {
    if tokens.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<Holding> = answer(
        statement(include_str!("instances_of.sql"))
            .bind::<Array<SqlUuid>, _>(tokens)
            .load(connection),
    )
    .await?;
    Ok(rows.into_iter().map(|row| (row.token, row)).collect())
}

impl Ending for Confirmation {
    type Told = Confirmed;

    async fn end_all(
        connection: &mut AsyncPgConnection,
        tokens: Vec<Uuid>,
        endings: Vec<&Self>,
    ) -> Result<HashMap<Uuid, Confirmed>, Error> {
        fn optional(text: Option<&String>) -> Option<Cow<'_, str>> {
            text.map(|text| storable(text))
        }
        let rows: Vec<Ended> = statement(include_str!("confirm.sql"))
            .bind::<Array<SqlUuid>, _>(tokens)
            .bind::<Array<Text>, _>(column(&endings, |it| storable(&it.agent_name)))
            .bind::<Array<Nullable<Text>>, _>(column(&endings, |it| {
                optional(it.conversation_id.as_ref())
            }))
            .bind::<Array<Nullable<Text>>, _>(column(&endings, |it| {
                optional(it.invite_url.as_ref())
            }))
            .bind::<Array<Text>, _>(column(&endings, |it| storable(&it.instructions)))
            .bind::<Array<Nullable<Text>>, _>(column(&endings, |it| {
                optional(it.source_branch.as_ref())
            }))
            .bind::<Array<Text>, _>(column(&endings, |it| it.instance.as_str()))
            .bind::<Array<Bool>, _>(column(&endings, |it| it.joined))
            .bind::<Array<Bool>, _>(column(&endings, |it| it.invited))
            .load(connection)
            .await?;
        Ok(rows
            .into_iter()
            .map(|row| (row.token, Confirmed::Done))
            .collect())
    }

    fn not_leased(has_succeeded: bool) -> Confirmed {
        if has_succeeded {
            Confirmed::Done
        } else {
            Confirmed::Overtaken
        }
    }
}

impl Ending for Bind {
    type Told = bool;

    async fn end_all(
        connection: &mut AsyncPgConnection,
        tokens: Vec<Uuid>,
        endings: Vec<&Self>,
    ) -> Result<HashMap<Uuid, bool>, Error> {
        let found = column(&endings, |it| it.conversation.as_ref());
        let ids = column(&found, |it| it.map(|it| storable(&it.conversation_id)));
        let invite_urls = column(&found, |it| (*it)?.invite_url.as_deref().map(storable));
        let rows: Vec<Ended> = statement(include_str!("bind.sql"))
            .bind::<Array<SqlUuid>, _>(tokens)
            .bind::<Array<Text>, _>(column(&endings, |it| it.instance.as_str()))
            .bind::<Array<Nullable<Text>>, _>(ids)
            .bind::<Array<Nullable<Text>>, _>(invite_urls)
            .load(connection)
            .await?;
        Ok(rows.into_iter().map(|row| (row.token, true)).collect())
    }

    fn not_leased(_has_succeeded: bool) -> bool {
        false
    }
}

impl Ending for Release {
    type Told = Option<Status>;

    async fn end_all(
        connection: &mut AsyncPgConnection,
        tokens: Vec<Uuid>,
        endings: Vec<&Self>,
    ) -> Result<HashMap<Uuid, Option<Status>>, Error> {
        let rows: Vec<Released> = statement(include_str!("release.sql"))
            .bind::<Array<SqlUuid>, _>(tokens)
            .bind::<Array<Text>, _>(column(&endings, |it| it.reason.as_str()))
            .bind::<Array<SmallInt>, _>(column(&endings, |it| i16::from(it.counts)))
            .bind::<Array<Text>, _>(column(&endings, |it| status_after_release(0, it.counts)))
            .bind::<Array<Text>, _>(column(&endings, |it| status_after_release(1, it.counts)))
            .load(connection)
            .await?;
        let status = |row: Released| (row.token, Status::parse(&row.status));
        Ok(rows.into_iter().map(status).collect())
    }

    fn not_leased(_has_succeeded: bool) -> Option<Status> {
        None
    }
}

impl Ending for Abandon {
    type Told = bool;

    async fn end_all(
        connection: &mut AsyncPgConnection,
        tokens: Vec<Uuid>,
        endings: Vec<&Self>,
    ) -> Result<HashMap<Uuid, bool>, Error> {
        let outcome = |it: &&Self| if it.timed_out { TIMED_OUT } else { FAILED };
        let rows: Vec<Ended> = statement(include_str!("abandon.sql"))
            .bind::<Array<SqlUuid>, _>(tokens)
            .bind::<Array<Text>, _>(column(&endings, |it| it.reason.as_str()))
            .bind::<Array<Text>, _>(column(&endings, outcome))
            .load(connection)
            .await?;
        Ok(rows.into_iter().map(|row| (row.token, true)).collect())
    }

    fn not_leased(_has_succeeded: bool) -> bool {
        false
    }
}

/// The state machine decides; the database only looks up, by whether claims had failed before.
fn status_after_release(failed_claims: u8, counts: bool) -> &'static str {
    let leased = State {
        failed_claims,
        ..State::new(Status::Claiming)
    };
    match leased.release() {
        Ok(next) if counts => next.status.as_str(),
        _ => Status::Idle.as_str(),
    }
}

#[derive(QueryableByName)]
struct Ended {
    #[diesel(sql_type = SqlUuid)]
    token: Uuid,
}

#[derive(QueryableByName)]
struct Released {
    #[diesel(sql_type = SqlUuid)]
    token: Uuid,
    #[diesel(sql_type = Text)]
    status: String,
}

#[derive(QueryableByName)]
struct Holding {
    #[diesel(sql_type = SqlUuid)]
    token: Uuid,
    #[diesel(sql_type = Text)]
    id: String,
    /// None where another statement holds it.
    #[diesel(sql_type = Nullable<Text>)]
    status: Option<String>,
}

impl Holding {
    /// A lease that was held when it was to be ended, or is still.
    fn may_be_leased(&self) -> bool {
        let status = self.status.as_deref();
        status.is_none_or(|it| it == Status::Claiming.as_str())
    }
}
