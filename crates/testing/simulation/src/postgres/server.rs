//! The server that all seeds share, and a database for each thread that runs them.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use futures_executor::block_on;
use local_postgres::{Options, Programs, Server};
use pool_domain::Secret;
use tokio::runtime::Runtime;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Row};

use super::connect::Address;

/// Threads that run seeds, each with the connections of three servers: 3 × (12 + 16 + 1), and ours.
const CONNECTIONS_MAX: u16 = 900;

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
    pub(crate) address: Address,
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
        ] {
            options = options.setting(name, value);
        }
        let server = Server::start(&options.max_connections(CONNECTIONS_MAX))?;
        let url = server.url("postgres");
        let address = url.parse::<tokio_postgres::Config>()?;
        let port = *address
            .get_ports()
            .first()
            .context("the server has a port")?;
        let postgresql = Self {
            address: Address::new(SocketAddr::from(([127, 0, 0, 1], port)))?,
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
        Ok(Database {
            client,
            url: Secret::new(url),
            address: self.address,
            _runtime: runtime,
        })
    }
}

/// A database that one seed after the other uses.
pub(crate) struct Database {
    /// Our own connection, which nothing of the simulation hinders. It is driven by a runtime of its
    /// own, so that a question is answered while the simulation stands still.
    client: Client,
    pub(crate) url: Secret,
    pub(crate) address: Address,
    _runtime: Runtime,
}

impl Database {
    /// Asks, while the simulation stands still.
    pub(crate) fn query(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
        Ok(block_on(self.client.query(sql, values))?)
    }

    /// Everything that a seed writes goes, and numbers begin anew.
    pub(crate) fn empty(&self) -> Result<()> {
        Ok(block_on(self.client.batch_execute(EMPTY))?)
    }
}

/// Sessions of the seed before may still be ending.
const EMPTY: &str = "
    SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid();
    DO $$ DECLARE tables text; BEGIN
        SELECT string_agg(format('%I', tablename), ', ') INTO tables FROM pg_tables
        WHERE schemaname = 'public' AND tablename NOT IN
            ('__diesel_schema_migrations', 'pool_schema', 'record_identity');
        EXECUTE 'TRUNCATE ' || tables || ' RESTART IDENTITY CASCADE';
    END $$;
    UPDATE pool_schema SET manager_id = NULL";

async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
