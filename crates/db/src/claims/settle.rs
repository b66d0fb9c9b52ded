//! What ends a lease: confirm, bind, release or abandon. Each finds the lease by its token, and by the same
//! token the row of the caller's key, where he gave one.

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Nullable, SmallInt, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use pool_domain::write::FoundConversation;
use pool_domain::{ClaimToken, InstanceId, State, Status};

use crate::Db;
use crate::answer::answer;
use crate::claims::idempotency::{FAILED, TIMED_OUT};
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
    /// Whether it joined an existing conversation.
    pub joined: bool,
    /// Whether the invite link is the agent's own answer, and not its claimer's join link.
    pub invited: bool,
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
///
/// # Errors
/// As every statement: see [`Error`]. Where [`Error::is_indeterminate`], the confirmation may
/// have taken effect all the same; repeated, it says so.
pub async fn confirm(
    db: &Db,
    token: ClaimToken,
    confirmation: &Confirmation,
) -> Result<Confirmed, Error> {
    let mut connection = db.claim_connection().await?;
    let changed: Vec<Count> = answer(
        statement(include_str!("confirm.sql"))
            .bind::<SqlUuid, _>(token.as_uuid())
            .bind::<Text, _>(storable(&confirmation.agent_name))
            .bind::<Nullable<Text>, _>(confirmation.conversation_id.as_deref().map(storable))
            .bind::<Nullable<Text>, _>(confirmation.invite_url.as_deref().map(storable))
            .bind::<Text, _>(storable(&confirmation.instructions))
            .bind::<Nullable<Text>, _>(confirmation.source_branch.as_deref().map(storable))
            .bind::<Text, _>(confirmation.instance.to_string())
            .bind::<Bool, _>(confirmation.joined)
            .bind::<Bool, _>(confirmation.invited)
            .load(&mut connection),
    )
    .await?;
    if changed.iter().any(|it| it.confirmed > 0) {
        return Ok(Confirmed::Done);
    }
    // Only a claim that succeeded leaves its token on a row. A statement of its own, because one
    // that waited for an earlier confirmation of this lease does not see what that one wrote. It locks
    // the row, which is a write: where a standby is synchronous, what the earlier one wrote is there as
    // well before this one is answered. That one may have been cut off while it waited for that.
    let confirmed_before: Vec<String> = answer(
        instances::table
            .filter(instances::claim_token.eq(token.as_uuid()))
            .filter(instances::id.eq(confirmation.instance.as_str()))
            .filter(instances::status.ne(Status::Claiming.as_str()))
            .select(instances::id)
            .for_no_key_update()
            .load(&mut connection),
    )
    .await?;
    Ok(if confirmed_before.is_empty() {
        Confirmed::Overtaken
    } else {
        Confirmed::Done
    })
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
    let mut connection = db.claim_connection().await?;
    let found = conversation.map(|it| storable(&it.conversation_id));
    let invite_url = conversation.and_then(|it| it.invite_url.as_deref().map(storable));
    let changed = answer(
        statement(include_str!("bind.sql"))
            .bind::<SqlUuid, _>(token.as_uuid())
            .bind::<Text, _>(instance.to_string())
            .bind::<Nullable<Text>, _>(found)
            .bind::<Nullable<Text>, _>(invite_url)
            .execute(&mut connection),
    )
    .await?;
    Ok(changed > 0)
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
    let mut connection = db.claim_connection().await?;
    let mut released: Vec<Released> = answer(
        statement(include_str!("release.sql"))
            .bind::<SqlUuid, _>(token.as_uuid())
            .bind::<Text, _>(in_short(reason))
            .bind::<SmallInt, _>(i16::from(counts))
            .bind::<Array<Text>, _>(statuses_after_release(counts))
            .load(&mut connection),
    )
    .await?;
    Ok(released.pop().and_then(|row| Status::parse(&row.status)))
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
    let mut connection = db.claim_connection().await?;
    let changed = answer(
        statement(include_str!("abandon.sql"))
            .bind::<SqlUuid, _>(token.as_uuid())
            .bind::<Text, _>(in_short(reason))
            .bind::<Text, _>(if timed_out { TIMED_OUT } else { FAILED })
            .execute(&mut connection),
    )
    .await?;
    Ok(changed > 0)
}

/// The state machine decides; the database only looks up, by the claims that failed before.
fn statuses_after_release(counts: bool) -> Vec<&'static str> {
    (0..=1)
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
struct Count {
    #[diesel(sql_type = BigInt)]
    confirmed: i64,
}

#[derive(QueryableByName)]
struct Released {
    #[diesel(sql_type = Text)]
    status: String,
}
