//! The handle that everything else takes: two pools, one of them for claims alone.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::ConnectionError;
use diesel_async::pooled_connection::deadpool::{Object, Pool};
use diesel_async::pooled_connection::{
    AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod,
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures_util::FutureExt;
use futures_util::future::join_all;

use crate::answer::{ANSWER_LIMIT, answer};
use crate::connection::{Connector, DbSettings, Session};
use crate::error::Error;
use crate::migrations;

/// How long a caller waits for a connection to become free.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(5);

pub(crate) type Connection = Object<AsyncPgConnection>;

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    pool: Pool<AsyncPgConnection>,
    claim_pool: Pool<AsyncPgConnection>,
    contracted: Arc<AtomicBool>,
}

impl Db {
    /// Connects, and fills both pools: sixteen cold connections would cost the first burst of
    /// claims half a second.
    ///
    /// # Errors
    ///
    /// [`Error`] when the address cannot be used, when there is no database there, or when it does
    /// not let us in; one that has only some of the connections to give is no error.
    pub async fn connect(settings: &DbSettings) -> Result<Self, Error> {
        let db = Self {
            pool: pool(settings, Session::GENERAL, settings.pool_size)?,
            claim_pool: pool(settings, Session::CLAIM, settings.claim_pool_size)?,
            contracted: Arc::default(),
        };
        for pool in [&db.pool, &db.claim_pool] {
            fill(pool).await?;
        }
        Ok(db)
    }

    /// Asks the database for nothing but an answer.
    ///
    /// # Errors
    ///
    /// As every statement: see [`Error`].
    pub async fn ping(&self) -> Result<(), Error> {
        self.now().await.map(drop)
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

    /// A connection for anything but claims.
    pub(crate) async fn connection(&self) -> Result<Connection, Error> {
        Ok(self.pool.get().await?)
    }

    /// A connection for claims.
    pub(crate) async fn claim_connection(&self) -> Result<Connection, Error> {
        Ok(self.claim_pool.get().await?)
    }
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db").finish_non_exhaustive()
    }
}

/// Makes every connection of a pool, and lets them go into it. When only some can be made, because
/// the database has no more to give, those have to do.
async fn fill(pool: &Pool<AsyncPgConnection>) -> Result<(), Error> {
    let wanted = pool.status().max_size;
    let results = join_all((0..wanted).map(|_| pool.get())).await;
    let made = results.iter().filter(|result| result.is_ok()).count();
    for result in results {
        match result {
            Err(error) if made == 0 => return Err(error.into()),
            Err(error) => {
                tracing::warn!(
                    connections.made = made,
                    connections.wanted = wanted,
                    "the pool has fewer connections than wanted: {}",
                    Error::from(error)
                );
                return Ok(());
            }
            Ok(_) => {}
        }
    }
    Ok(())
}

fn pool(
    settings: &DbSettings,
    session: Session,
    size: usize,
) -> Result<Pool<AsyncPgConnection>, Error> {
    let connector = Connector::of(settings, session)?;
    let mut config = ManagerConfig::default();
    // A closed connection is noticed without asking it; a hung one by its keepalives.
    config.recycling_method = RecyclingMethod::Fast;
    config.custom_setup = Box::new(move |_| {
        let connector = connector.clone();
        async move {
            connector.connect().await.map_err(|error| {
                ConnectionError::BadConnection(match error {
                    Error::Connect(text) => text,
                    other => other.to_string(),
                })
            })
        }
        .boxed()
    });
    // The URL stays with the connector: the manager never sees the password.
    let manager = AsyncDieselConnectionManager::new_with_config("", config);
    Pool::builder(manager)
        .max_size(size.max(1))
        .wait_timeout(Some(ACQUIRE_LIMIT))
        .create_timeout(Some(ANSWER_LIMIT))
        .recycle_timeout(Some(ACQUIRE_LIMIT))
        .runtime(deadpool::Runtime::Tokio1)
        .build()
        .map_err(|error| Error::Connect(error.to_string()))
}
