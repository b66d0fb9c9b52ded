//! Who leads: the holder of an advisory lock on a connection of its own. Taking the lock begins a
//! new term, and every write of a leader checks its term, so one that does not know yet that it
//! leads no more can do nothing.

use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Bool, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use futures_util::{FutureExt, StreamExt};
use pool_domain::Term;
use tokio::time::timeout;

use crate::connection::{Connector, DbSettings, Session};
use crate::error::Error;
use crate::scope::Scope;
use crate::statement::statement;

/// Any number that nothing else in the database uses: `poollead` in ASCII.
const LOCK: i64 = 0x706f_6f6c_6c65_6164;

/// How long the database may take to answer the leader. It ends a leader's session that it has not
/// heard of for 8 s (`Session::LEADER`); a leader asks every 2 s, and so stops before another can
/// begin.
const PING_LIMIT: Duration = Duration::from_secs(5);
/// Taking the lead waits for the last transactions of the leader before, which take 5 s at most.
const LEAD_LIMIT: Duration = Duration::from_secs(10);

/// A server that leads, or would. After any error its connection is not to be trusted: drop it, and
/// the lock with it, and connect again.
pub struct Candidate {
    connection: AsyncPgConnection,
    scope: Scope,
    holder: String,
    term: Option<Term>,
}

impl Candidate {
    /// Connects. `holder` names this server in `leader_terms`.
    ///
    /// # Errors
    ///
    /// [`Error`] when the address cannot be used, when there is no database there, or when it does
    /// not let us in.
    pub async fn connect(settings: &DbSettings, holder: &str) -> Result<Self, Error> {
        let mut connection = Connector::of(settings, Session::LEADER)?.connect().await?;
        Ok(Self {
            scope: Scope::of(&mut connection).await?,
            connection,
            holder: holder.to_owned(),
            term: None,
        })
    }

    /// The term in which this server leads; none when it does not.
    #[must_use]
    pub const fn term(&self) -> Option<Term> {
        self.term
    }

    /// Takes the lead if nobody has it, and listens for commands from then on; none when somebody has
    /// it. Does not wait for it. A standby does not listen: what it heard would pile up.
    ///
    /// # Errors
    ///
    /// [`Error`] when the connection is lost, or the database refuses; whether the lead was taken
    /// is then not known, and it is free again when the database notices that this connection is
    /// gone.
    pub async fn try_lead(&mut self) -> Result<Option<Term>, Error> {
        if self.term.is_some() {
            return Ok(self.term);
        }
        let lock: Locked = within(
            PING_LIMIT,
            statement("SELECT pg_try_advisory_lock($1) AS locked")
                .bind::<BigInt, _>(self.scope.lock(LOCK))
                .get_result(&mut self.connection),
        )
        .await?;
        if lock.locked {
            let mut raised: Vec<Raised> = within(
                LEAD_LIMIT,
                statement("SELECT pool_raise_term($1) AS term")
                    .bind::<Text, _>(self.holder.clone())
                    .load(&mut self.connection),
            )
            .await?;
            let listen = format!("LISTEN {}", self.scope.wake_channel());
            within(PING_LIMIT, self.connection.batch_execute(&listen)).await?;
            self.term = raised.pop().map(|raised| Term(raised.term));
        }
        Ok(self.term)
    }

    /// Makes sure that the connection still stands, and that its session is the one which holds the
    /// lock, whatever may stand between.
    ///
    /// # Errors
    ///
    /// [`Error`] when the connection does not stand any more, or nothing is heard from it in time:
    /// the lead is lost.
    pub async fn ping(&mut self) -> Result<(), Error> {
        let asked = statement(include_str!("lead_held.sql"))
            .bind::<BigInt, _>(self.scope.lock(LOCK))
            .get_result(&mut self.connection);
        let lock: Locked = within(PING_LIMIT, asked).await?;
        if self.term.is_some() && !lock.locked {
            return Err(Error::Lose(
                "this session does not hold the lead".to_owned(),
            ));
        }
        Ok(())
    }

    /// Waits until somebody wakes the leader; several calls at once are one. Fails when the
    /// connection is lost. May be dropped and called again without missing a call.
    ///
    /// # Errors
    ///
    /// [`Error`] when the connection is lost, and with it the lead.
    pub async fn woken(&mut self) -> Result<(), Error> {
        let mut calls = std::pin::pin!(self.connection.notifications_stream());
        let lost = || Error::Lose("the leader's connection has ended".to_owned());
        calls.next().await.ok_or_else(lost)??;
        while let Some(another) = calls.next().now_or_never() {
            another.ok_or_else(lost)??;
        }
        Ok(())
    }

    /// Ends its term and gives the lead away at once, rather than when the database notices.
    ///
    /// # Errors
    ///
    /// [`Error`] when the database does not hear of it: it gives the lead away when it notices that
    /// this connection is gone.
    pub async fn resign(mut self) -> Result<(), Error> {
        let Some(term) = self.term.take() else {
            return Ok(());
        };
        // The lock goes with the connection, also when this fails.
        within(
            PING_LIMIT,
            statement("UPDATE leader_terms SET ended_at = now() WHERE term = $1")
                .bind::<BigInt, _>(term.0)
                .execute(&mut self.connection),
        )
        .await
        .map(drop)
    }
}

impl std::fmt::Debug for Candidate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Candidate")
            .field("holder", &self.holder)
            .field("term", &self.term)
            .finish_non_exhaustive()
    }
}

async fn within<T>(
    limit: Duration,
    question: impl Future<Output = diesel::QueryResult<T>>,
) -> Result<T, Error> {
    timeout(limit, question)
        .await
        .map_err(|_| Error::Wait(format!("no answer within {} s", limit.as_secs())))?
        .map_err(Error::from)
}

#[derive(QueryableByName)]
struct Locked {
    #[diesel(sql_type = Bool)]
    locked: bool,
}

#[derive(QueryableByName)]
struct Raised {
    #[diesel(sql_type = BigInt)]
    term: i64,
}
