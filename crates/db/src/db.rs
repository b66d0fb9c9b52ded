//! The handle that everything else takes: three pools, one of them for claims alone, and one for the
//! leader.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};
use diesel_async::RunQueryDsl;

use crate::answer::answer;
use crate::batches::Via;
use crate::claims::Asks;
use crate::connection::{DbSettings, Session};
use crate::error::Error;
use crate::migrations;
use crate::pool::{Connection, Pool};
use crate::scope::Scope;
use crate::seen::Seen;
use crate::statement::statement;

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    pool: Pool,
    claim_pool: Pool,
    leader_pool: Pool,
    scope: Arc<Scope>,
    contracted: Arc<AtomicBool>,
    seen: Seen,
    asks: Arc<Asks>,
}

impl Db {
    /// Connects, and fills the pools: sixteen cold connections would cost the first burst of claims
    /// half a second.
    ///
    /// # Errors
    ///
    /// [`Error`] when the address cannot be used, when there is no database there, or when it does
    /// not let us in; one that has only some of the connections to give is no error.
    pub async fn connect(settings: &DbSettings) -> Result<Self, Error> {
        let pool = Pool::new(settings, Session::GENERAL, settings.pool_size)?;
        let claim_pool = Pool::new(settings, Session::CLAIM, settings.claim_pool_size)?;
        let leader_pool = Pool::new(settings, Session::GENERAL, settings.leader_pool_size)?;
        for pool in [&pool, &claim_pool, &leader_pool] {
            pool.fill().await?;
        }
        let scope = Scope::of(&mut *pool.get().await?).await?;
        Ok(Self {
            pool,
            claim_pool,
            leader_pool,
            scope: Arc::new(scope),
            contracted: Arc::default(),
            seen: Seen::default(),
            asks: Arc::default(),
        })
    }

    /// The same database for the leader's loops: on connections of their own, however many ask the API.
    #[must_use]
    pub fn for_leading(&self) -> Self {
        Self {
            pool: self.leader_pool.clone(),
            ..self.clone()
        }
    }

    /// Asks the database for nothing but an answer.
    ///
    /// # Errors
    ///
    /// As every statement: see [`Error`].
    pub async fn ping(&self) -> Result<(), Error> {
        self.now().await.map(drop)
    }

    /// Writes, on a connection for claims, what changes nothing: a database that answers may be
    /// read-only, a standby, or without a disk to write to. Waits for nobody's lock.
    ///
    /// # Errors
    ///
    /// As every statement: see [`Error`].
    pub async fn write(&self) -> Result<(), Error> {
        let mut connection = self.claim_connection().await?;
        let locks = "SELECT FROM pool_schema FOR NO KEY UPDATE SKIP LOCKED";
        answer(statement(locks).execute(&mut connection)).await?;
        Ok(())
    }

    /// The time by the database's clock, by which all ages and expiries are judged.
    ///
    /// # Errors
    ///
    /// As every statement: see [`Error`].
    pub async fn now(&self) -> Result<DateTime<Utc>, Error> {
        diesel::define_sql_function! { fn clock_timestamp() -> Timestamptz; }
        let mut connection = self.connection().await?;
        answer(diesel::select(clock_timestamp()).get_result(&mut connection)).await
    }

    /// Whether the transition trigger is installed. Until then the Node service may run beside us,
    /// and claims have to be refused.
    ///
    /// # Errors
    ///
    /// As every statement: see [`Error`].
    pub async fn is_contracted(&self) -> Result<bool, Error> {
        if AtomicBool::load(&self.contracted, Ordering::Relaxed) {
            return Ok(true);
        }
        let mut connection = self.connection().await?;
        let contracted = migrations::is_contracted(&mut connection).await?;
        self.contracted.store(contracted, Ordering::Relaxed);
        Ok(contracted)
    }

    /// What is this pool's alone in the database.
    pub(crate) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// What this server has seen of the records.
    pub(crate) const fn seen(&self) -> &Seen {
        &self.seen
    }

    /// What claims of this server ask at this moment.
    pub(crate) fn asks(&self) -> &Asks {
        &self.asks
    }

    /// A connection for anything but claims.
    pub(crate) async fn connection(&self) -> Result<Connection, Error> {
        self.pool.get().await
    }

    /// A connection for claims.
    pub(crate) async fn claim_connection(&self) -> Result<Connection, Error> {
        self.claim_pool.get().await
    }
}

impl Via for Db {
    type Session = Connection;

    async fn session(&self) -> Result<Connection, Error> {
        self.claim_connection().await
    }
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db").finish_non_exhaustive()
    }
}
