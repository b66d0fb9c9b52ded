//! The server that all seeds share, and a database for each thread that runs them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use futures_executor::block_on;
use local_postgres::{Options, Programs, Server};
use pool_domain::Secret;
use tokio::runtime::Runtime;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Row, Statement};

use super::backends::Backends;
use super::connect::Nowhere;

/// What each thread that runs seeds takes: the connections of three servers, of those that were
/// killed and are not missed yet, and ours.
const CONNECTIONS_A_THREAD: u16 = 90;

/// Files that are made in memory cost nothing, and a seed makes a hundred.
const MEMORY: &str = "/dev/shm";
/// What a server may come to take of it, its log of writes included.
const MEMORY_NEEDED_BYTES: u64 = 1 << 30;

/// `now()` and its like as the simulation has them: a session is told the time by a setting. They
/// are found before the real ones, by the database's own code too, since the search path of the whole
/// server names their schema first.
const CLOCK: &str = "
    CREATE SCHEMA simulation;
    CREATE FUNCTION simulation.now() RETURNS timestamptz LANGUAGE sql STABLE AS $$
        SELECT coalesce(nullif(pg_catalog.current_setting('simulation.now', true), '')::timestamptz, pg_catalog.now())
    $$;
    CREATE FUNCTION simulation.clock_timestamp() RETURNS timestamptz LANGUAGE sql STABLE AS $$
        SELECT coalesce(nullif(pg_catalog.current_setting('simulation.now', true), '')::timestamptz, pg_catalog.clock_timestamp())
    $$;";

/// When the schema was made is the same in all runs. The second statement on `record_identity` lets it go
/// on naming the transaction that wrote it.
const SAME_TIME: &str = "
    UPDATE pool_schema SET found_at = timestamptz '2027-01-01', contracted_at = timestamptz '2027-01-01';
    UPDATE record_identity SET verified_at = timestamptz '2027-01-01';
    UPDATE record_identity SET written_by = xmin";

/// Tables are made in the first schema, and functions found in the first that has them.
const SEARCH_PATH: &str = "public, simulation, pg_catalog";

const TEMPLATE: &str = "simulation_template";

/// A PostgreSQL server for seeds alone: nothing of it has to outlive it.
pub(crate) struct PostgreSql {
    server: Server,
    nowhere: Nowhere,
}

impl PostgreSql {
    /// Starts it, and migrates the database that all others are copies of.
    pub(crate) fn start() -> Result<Self> {
        let mut options = Options::temporary(Programs::find(&[])?);
        for (name, value) in [
            ("search_path", SEARCH_PATH.to_owned()),
            // What it does, and when, depends on the real time.
            ("autovacuum", "off".to_owned()),
            ("max_parallel_workers_per_gather", "0".to_owned()),
            ("jit", "off".to_owned()),
            // Each statement is planned once a session, and costs a sixth less.
            ("plan_cache_mode", "force_generic_plan".to_owned()),
            // What nobody looks at.
            ("update_process_title", "off".to_owned()),
            ("track_activities", "off".to_owned()),
            ("track_counts", "off".to_owned()),
            ("wal_level", "minimal".to_owned()),
            ("max_wal_senders", "0".to_owned()),
            ("max_wal_size", "128MB".to_owned()),
            // What is looked through for each look at the locks.
            ("max_pred_locks_per_transaction", "10".to_owned()),
            ("max_locks_per_transaction", "32".to_owned()),
            // Below its own folder, which nobody else may enter.
            ("unix_socket_directories", ".".to_owned()),
        ] {
            options = options.setting(name, value);
        }
        if has_memory() {
            options = options.below(MEMORY);
        }
        let threads = u16::try_from(threads()).unwrap_or(u16::MAX);
        let connections = CONNECTIONS_A_THREAD.saturating_mul(threads);
        let server = Server::start(&options.max_connections(connections))?;
        let postgresql = Self {
            nowhere: Nowhere::new()?,
            server,
        };
        postgresql.make_template()?;
        Ok(postgresql)
    }

    fn make_template(&self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let admin = connect(&self.server.url("postgres")).await?;
            admin
                .batch_execute(&format!("CREATE DATABASE {TEMPLATE}"))
                .await?;
            let url = self.server.url(TEMPLATE);
            let client = connect(&url).await?;
            client.batch_execute(CLOCK).await?;
            pool_db::migrations::run(&url).await?;
            pool_legacy_schema::contract_telling(&url, &mut |_| ()).await?;
            client.batch_execute(SAME_TIME).await?;
            anyhow::Ok(())
        })
    }

    /// A database of its own for one thread.
    pub(crate) fn database(&self, number: usize) -> Result<Database> {
        let runtime = Runtime::new()?;
        let url = self.server.url(&format!("seeds_{number}"));
        let client = runtime.block_on(async {
            let admin = connect(&self.server.url("postgres")).await?;
            // The template's own connections may still be ending.
            let end = format!(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
                 WHERE datname = '{TEMPLATE}'"
            );
            admin.batch_execute(&end).await?;
            admin
                .batch_execute(&format!(
                    "CREATE DATABASE seeds_{number} TEMPLATE {TEMPLATE}"
                ))
                .await?;
            connect(&url).await
        })?;
        let backends = Backends::new(&url.parse()?, &self.server.dir().join("data"));
        Ok(Database {
            client,
            prepared: Mutex::default(),
            backends: Arc::new(backends),
            url: Secret::new(url),
            nowhere: self.nowhere,
            _runtime: runtime,
        })
    }
}

/// A database that one seed after the other uses.
pub(crate) struct Database {
    /// Our own connection, which nothing of the simulation hinders. It is driven by a runtime of its
    /// own, so that a question is answered while the simulation stands still.
    client: Client,
    prepared: Mutex<BTreeMap<String, Statement>>,
    pub(crate) backends: Arc<Backends>,
    pub(crate) url: Secret,
    pub(crate) nowhere: Nowhere,
    _runtime: Runtime,
}

impl Database {
    /// Asks, while the simulation stands still.
    pub(crate) fn query(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
        let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        if !prepared.contains_key(sql) {
            prepared.insert(sql.to_owned(), block_on(self.client.prepare(sql))?);
        }
        Ok(block_on(self.client.query(&prepared[sql], values))?)
    }

    /// Everything that a seed writes goes, and numbers begin anew.
    pub(crate) fn empty(&self) -> Result<()> {
        Ok(block_on(self.client.batch_execute(EMPTY))?)
    }
}

const EMPTY: &str = "
    DO $$ DECLARE tables text; BEGIN
        SELECT string_agg(format('%I', tablename), ', ') INTO tables FROM pg_tables
        WHERE schemaname = 'public' AND tablename NOT IN
            ('__diesel_schema_migrations', 'pool_schema', 'record_identity');
        EXECUTE 'TRUNCATE ' || tables || ' RESTART IDENTITY CASCADE';
    END $$;
    UPDATE pool_schema SET manager_id = NULL";

/// How many seeds run at once.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Whether there is a place in memory, and room in it.
fn has_memory() -> bool {
    let found = rustix::fs::statvfs(MEMORY);
    found.is_ok_and(|it| it.f_bavail.saturating_mul(it.f_frsize) >= MEMORY_NEEDED_BYTES)
}

async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
