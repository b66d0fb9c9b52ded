//! Connections of one kind, kept for whoever needs one next. Hands out only sessions that can still
//! write, and lets callers wait for one that is in use where the database has no more to give.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diesel::connection::{Instrumentation, InstrumentationEvent};
use diesel::{ConnectionError, QueryResult};
use diesel_async::pooled_connection::deadpool::{Object, Pool as Deadpool, PoolError};
use diesel_async::pooled_connection::{
    AsyncDieselConnectionManager, ManagerConfig, PoolError as ManagerError, RecyclingMethod,
};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all, pending};
use tokio::time::{Instant, sleep, timeout};

use crate::connection::{Connector, DbSettings, Session};
use crate::error::{Error, ends_session};
use crate::statement::statement;

/// How long a caller waits for a connection: one that is in use, or a new one.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(5);
/// How long one may take to prove that it is of use: one that hangs is replaced.
const PROOF_LIMIT: Duration = Duration::from_secs(1);
/// A session that was proven so lately is handed out without a question, which would double what a
/// statement of a claim costs.
const PROOF_HOLDS: Duration = Duration::from_secs(1);
/// When the database had no connection to give, nobody asks it for one for so long.
const CROWDED_FOR: Duration = Duration::from_secs(1);
/// Between two looks whether one of those that we have is free.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);

pub(crate) type Connection = Object<AsyncPgConnection>;

/// A pool. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Pool {
    connections: Deadpool<AsyncPgConnection>,
    crowd: Arc<Crowd>,
}

impl Pool {
    /// Connects to nothing yet.
    pub(crate) fn new(settings: &DbSettings, session: Session, size: usize) -> Result<Self, Error> {
        let connector = Connector::of(settings, session)?;
        let crowd = Arc::<Crowd>::default();
        let mut config = ManagerConfig::default();
        config.recycling_method = RecyclingMethod::CustomFunction(Box::new(prove));
        let told = Arc::clone(&crowd);
        config.custom_setup = Box::new(move |_| connect(connector.clone(), &told).boxed());
        // The URL stays with the connector: the manager never sees the password.
        let manager = AsyncDieselConnectionManager::new_with_config("", config);
        let connections = Deadpool::builder(manager)
            .max_size(size.max(1))
            .recycle_timeout(Some(PROOF_LIMIT))
            .runtime(deadpool::Runtime::Tokio1)
            .build()
            .map_err(|error| Error::Connect(error.to_string()))?;
        Ok(Self { connections, crowd })
    }

    /// One that is free, or a new one.
    pub(crate) async fn get(&self) -> Result<Connection, Error> {
        let got = timeout(ACQUIRE_LIMIT, self.queue());
        let others = async {
            sleep(PROOF_LIMIT).await;
            self.prove_all().await;
            pending::<()>().await;
        };
        tokio::select! {
            biased;
            got = got => got.map_err(|_| Error::Acquire)?,
            () = others => Err(Error::Acquire),
        }
    }

    /// Has all that are free prove themselves at once: where one hangs, the host is gone without a word
    /// mostly, and whoever met them one after the other would wait a second for each.
    async fn prove_all(&self) {
        let free = self.connections.status().available;
        let proven = (0..free).map(|_| async { drop(self.connections.get().await) });
        join_all(proven).await;
    }

    /// Those that we have serve everybody in turn when the database has no more to give.
    async fn queue(&self) -> Result<Connection, Error> {
        loop {
            match self.connections.get().await {
                Err(_) if self.crowd.is_there() && self.connections.status().size > 0 => {
                    sleep(LOOK_AGAIN_AFTER).await;
                }
                got => return Ok(got?),
            }
        }
    }

    /// Makes every connection, and lets them go into the pool. When only some can be made, because
    /// the database has no more to give, those have to do.
    pub(crate) async fn fill(&self) -> Result<(), Error> {
        let wanted = self.connections.status().max_size;
        let results = join_all((0..wanted).map(|_| self.connections.get())).await;
        let made = results.iter().filter(|result| result.is_ok()).count();
        match results.into_iter().find_map(Result::err) {
            Some(error) if made == 0 => Err(error.into()),
            Some(error) => {
                tracing::warn!(
                    connections.made = made,
                    connections.wanted = wanted,
                    "the pool has fewer connections than wanted: {}",
                    Error::from(error)
                );
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// Whether the database has refused a connection lately since it has no more.
#[derive(Debug, Default)]
struct Crowd(Mutex<Option<Instant>>);

impl Crowd {
    fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn is_there(&self) -> bool {
        let noted = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.is_some_and(|at| at.elapsed() < CROWDED_FOR)
    }
}

fn connect(
    connector: Connector,
    crowd: &Arc<Crowd>,
) -> impl Future<Output = Result<AsyncPgConnection, ConnectionError>> + Send + use<> {
    let crowd = Arc::clone(crowd);
    async move {
        if crowd.is_there() {
            let why = "the database has no connection left for us".to_owned();
            return Err(ConnectionError::BadConnection(why));
        }
        match connector.connect().await {
            Ok(mut connection) => {
                connection.set_instrumentation(Record::new());
                Ok(connection)
            }
            Err(error) => {
                if matches!(error, Error::Exhaust(_)) {
                    crowd.note();
                }
                Err(ConnectionError::BadConnection(match error {
                    Error::Connect(text) | Error::Exhaust(text) => text,
                    other => other.to_string(),
                }))
            }
        }
    }
}

/// What is known of a session. It stands where diesel has its instrumentation, which is told of the
/// beginning and the end of each statement. Errors that come after the first row it is not told of, so
/// that a proof is good for a moment only.
struct Record {
    proven_at: Instant,
    /// A statement failed, or nobody waited for its end.
    is_in_doubt: bool,
    /// The database said that nothing can be done with it any more.
    is_of_no_use: bool,
}

impl Record {
    fn new() -> Self {
        Self {
            proven_at: Instant::now(),
            is_in_doubt: false,
            is_of_no_use: false,
        }
    }
}

impl Instrumentation for Record {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        match event {
            InstrumentationEvent::StartQuery { .. } => self.is_in_doubt = true,
            InstrumentationEvent::FinishQuery { error, .. } => {
                self.is_in_doubt = error.is_some();
                self.is_of_no_use |= error.is_some_and(ends_session);
            }
            _ => {}
        }
    }
}

/// Lets a connection be handed out again, or not: one that may only read, that hangs, or whose session
/// is of no use, is replaced by a new one.
fn prove(connection: &mut AsyncPgConnection) -> BoxFuture<'_, QueryResult<()>> {
    async move {
        if let Some(record) = record(connection) {
            if record.is_of_no_use {
                return Err(diesel::result::Error::BrokenTransactionManager);
            }
            if !record.is_in_doubt && record.proven_at.elapsed() < PROOF_HOLDS {
                return Ok(());
            }
        }
        let may_write = "SELECT 1 WHERE current_setting('transaction_read_only') = 'off'";
        if statement(may_write).execute(connection).await? != 1 {
            return Err(diesel::result::Error::NotFound);
        }
        if let Some(record) = record(connection) {
            record.proven_at = Instant::now();
        }
        Ok(())
    }
    .boxed()
}

fn record(connection: &mut AsyncPgConnection) -> Option<&mut Record> {
    connection.instrumentation().downcast_mut()
}

impl From<PoolError> for Error {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(ManagerError::ConnectionError(error)) => error.into(),
            other => Self::Connect(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use diesel::QueryableByName;
    use diesel::sql_types::Integer;
    use diesel_async::SimpleAsyncConnection;
    use pool_domain::Secret;
    use pool_test_database::TestDatabase;

    use super::*;

    #[derive(QueryableByName)]
    struct Process {
        #[diesel(sql_type = Integer)]
        pid: i32,
    }

    fn pool(url: &str, size: usize) -> Pool {
        Pool::new(&DbSettings::new(Secret::new(url)), Session::CLAIM, size).unwrap()
    }

    async fn process(connection: &mut Connection) -> i32 {
        let found: Process = statement("SELECT pg_backend_pid() AS pid")
            .get_result(connection)
            .await
            .unwrap();
        found.pid
    }

    #[tokio::test]
    async fn a_session_that_may_only_read_is_replaced() {
        let database = TestDatabase::empty().await;
        let pool = pool(database.url(), 1);
        let mut connection = pool.get().await.unwrap();
        let first = process(&mut connection).await;
        let read_only = "SET default_transaction_read_only = on";
        connection.batch_execute(read_only).await.unwrap();
        sleep(PROOF_HOLDS).await;
        drop(connection);
        let mut connection = pool.get().await.unwrap();
        let second = process(&mut connection).await;
        assert_ne!(first, second);
        // One that was told so is replaced at once.
        connection.batch_execute(read_only).await.unwrap();
        let refused = connection.batch_execute("CREATE TABLE t ()").await;
        let error = Error::from(refused.unwrap_err());
        assert!(error.is_unavailable(), "{error:?}");
        drop(connection);
        let mut connection = pool.get().await.unwrap();
        assert_ne!(process(&mut connection).await, second);
    }

    #[tokio::test]
    async fn a_session_is_kept_when_a_statement_is_refused_or_given_up() {
        let database = TestDatabase::empty().await;
        let pool = pool(database.url(), 1);
        let mut connection = pool.get().await.unwrap();
        let first = process(&mut connection).await;
        connection.batch_execute("SELEKT").await.unwrap_err();
        drop(connection);
        let mut connection = pool.get().await.unwrap();
        assert_eq!(process(&mut connection).await, first);
        let slow = connection.batch_execute("SELECT pg_sleep(0.3)");
        timeout(Duration::from_millis(50), slow).await.unwrap_err();
        drop(connection);
        let mut connection = pool.get().await.unwrap();
        assert_eq!(process(&mut connection).await, first);
        // One that does not come to an end is not waited for.
        let hangs = connection.batch_execute("SELECT pg_sleep(60)");
        timeout(Duration::from_millis(50), hangs).await.unwrap_err();
        drop(connection);
        let mut connection = pool.get().await.unwrap();
        assert_ne!(process(&mut connection).await, first);
    }

    #[tokio::test]
    async fn callers_wait_their_turn_where_the_database_has_no_more_connections() {
        let database = TestDatabase::empty().await;
        let client = database.client().await;
        let prepare = "DO $$ BEGIN EXECUTE format( \
                       'CREATE ROLE %1$I LOGIN PASSWORD ''x'' CONNECTION LIMIT 1', \
                       'few_' || current_database()); END $$";
        client.batch_execute(prepare).await.unwrap();
        let name = "SELECT 'few_' || current_database()";
        let role: String = client.query_one(name, &[]).await.unwrap().get(0);
        let after_login = database.url().split_once('@').unwrap().1;
        let pool = pool(&format!("postgres://{role}:x@{after_login}"), 8);
        pool.fill().await.unwrap();
        let callers = (0..16).map(|_| async {
            let mut connection = pool.get().await?;
            connection.batch_execute("SELECT pg_sleep(0.05)").await?;
            Ok::<_, Error>(())
        });
        let served = join_all(callers).await;
        drop(pool);
        let end = format!(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = '{role}'; \
             DROP ROLE {role}"
        );
        client.batch_execute(&end).await.unwrap();
        for caller in served {
            caller.unwrap();
        }
    }
}
