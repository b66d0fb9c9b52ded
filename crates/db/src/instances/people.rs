//! What people ask for. They need no leader: the row says what they want, and a tick does it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable, Text, Timestamptz};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use pool_domain::{IllegalTransition, InstanceId, Stage, State, Status};
use tokio::time::sleep;

use crate::Db;
use crate::answer::answer;
use crate::error::Error;
use crate::provisions;
use crate::statement::statement;
use crate::text::storable;

/// What became of the wish to destroy an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Killed {
    /// It will be destroyed, or is being destroyed already.
    Requested,
    /// There is no such instance any more.
    AlreadyGone,
    /// Refused: somebody is claiming it.
    Claiming {
        /// When to ask again.
        expires_in: Duration,
    },
}

/// When to look again where fewer were found than asked for: a leader's write holds the rows of its
/// statement for milliseconds, and they are passed over meanwhile.
const DRAIN_AGAIN_AFTER: [Duration; 3] = [
    Duration::from_millis(10),
    Duration::from_millis(50),
    Duration::from_millis(200),
];

/// Retires up to `count` unclaimed instances, oldest first, and says which.
///
/// # Errors
///
/// As every statement: see [`Error`]. Whoever repeats it asks for more.
pub async fn drain(db: &Db, count: usize, actor: &str) -> Result<Vec<InstanceId>, Error> {
    let mut drained = drain_free(db, count, actor).await?;
    for pause in DRAIN_AGAIN_AFTER {
        if drained.len() >= count {
            break;
        }
        sleep(pause).await;
        match drain_free(db, count - drained.len(), actor).await {
            Ok(more) => drained.extend(more),
            // Those that are retired are told.
            Err(_) if !drained.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(drained)
}

/// Retires those that nobody holds at this moment.
async fn drain_free(db: &Db, count: usize, actor: &str) -> Result<Vec<InstanceId>, Error> {
    let mut connection = db.connection().await?;
    let drained: Vec<Drained> = answer(
        statement(include_str!("drain.sql"))
            .bind::<BigInt, _>(i64::try_from(count).unwrap_or(i64::MAX))
            .bind::<Text, _>(actor.to_owned())
            .load(&mut connection),
    )
    .await?;
    Ok(drained.into_iter().map(|row| row.id.into()).collect())
}

/// Has one instance destroyed, unless somebody is claiming it at this moment. One that is being made and
/// has no row yet gets none, and what was made of it is destroyed.
///
/// # Errors
///
/// As every statement: see [`Error`].
pub async fn kill(db: &Db, id: &InstanceId, actor: &str) -> Result<Killed, Error> {
    let mut connection = db.connection().await?;
    answer(connection.transaction(async |connection| {
        let mut row = lock(connection, id).await?;
        if row.is_none() {
            let step = provisions::step(connection, id).await?;
            // Its row may have come meanwhile; from here on it cannot.
            row = lock(connection, id).await?;
            if let (None, Some(Stage::Creating(_))) = (&row, step) {
                provisions::cancel(connection, id).await?;
                return Ok(Killed::Requested);
            }
        }
        let Some(row) = row else {
            return Ok(Killed::AlreadyGone);
        };
        let Some(state) = row.state() else {
            return Err(Error::Read(row.unreadable(id)));
        };
        match state.kill() {
            Ok(next) => write(connection, id, state, next, actor, "kill").await?,
            Err(_) => return Ok(row.claiming()),
        }
        Ok(Killed::Requested)
    }))
    .await
}

/// Has a crashed instance destroyed; false when there is no crashed one of this id.
///
/// # Errors
///
/// As every statement: see [`Error`].
pub async fn dismiss(db: &Db, id: &InstanceId, actor: &str) -> Result<bool, Error> {
    let mut connection = db.connection().await?;
    answer(connection.transaction(async |connection| {
        let row = lock(connection, id).await?;
        let Some(state) = row.as_ref().and_then(Locked::state) else {
            return Ok(false);
        };
        match state.dismiss() {
            Ok(next) => write(connection, id, state, next, actor, "dismiss").await?,
            Err(IllegalTransition { .. }) => return Ok(false),
        }
        Ok::<_, Error>(true)
    }))
    .await
}

async fn lock(
    connection: &mut AsyncPgConnection,
    id: &InstanceId,
) -> Result<Option<Locked>, Error> {
    // Ids come from addresses that people type; one that cannot be stored is nobody's.
    let row = statement(include_str!("lock_one.sql"))
        .bind::<Text, _>(storable(id.as_str()))
        .get_result(connection)
        .await
        .optional()?;
    Ok(row)
}

/// Writes the state that the state machine gave, where it differs.
async fn write(
    connection: &mut AsyncPgConnection,
    id: &InstanceId,
    from: State,
    to: State,
    actor: &str,
    reason: &str,
) -> Result<(), Error> {
    if from == to {
        return Ok(());
    }
    statement(include_str!("write_state.sql"))
        .bind::<Text, _>(id.to_string())
        .bind::<Text, _>(to.status.as_str())
        .bind::<Bool, _>(to.delete_requested)
        .bind::<Text, _>(actor.to_owned())
        .bind::<Text, _>(reason.to_owned())
        .execute(connection)
        .await?;
    Ok(())
}

#[derive(QueryableByName)]
struct Drained {
    #[diesel(sql_type = Text)]
    id: String,
}

#[derive(QueryableByName)]
struct Locked {
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = Bool)]
    delete_requested: bool,
    #[diesel(sql_type = Bool)]
    unasked: bool,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    claim_expires_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Timestamptz)]
    now: DateTime<Utc>,
}

impl Locked {
    fn state(&self) -> Option<State> {
        Status::parse(&self.status).map(|status| State {
            delete_requested: self.delete_requested,
            unasked: self.unasked,
            ..State::new(status)
        })
    }

    fn unreadable(&self, id: &InstanceId) -> String {
        let status = &self.status;
        format!("instances.status of row {id}: `{status}` is not a status of this build")
    }

    fn claiming(&self) -> Killed {
        let left = self.claim_expires_at.map(|at| at - self.now);
        Killed::Claiming {
            expires_in: left.and_then(|left| left.to_std().ok()).unwrap_or_default(),
        }
    }
}
