//! The migrated database that every test's own is a copy of: made once per state of the sources.

use std::time::Duration;

use tokio::runtime;
use tokio_postgres::Client;

use crate::Error;
use crate::server::ServerAddress;

/// Taken when this crate was built; see build.rs.
const NAME: &str = concat!("pool_template_", env!("MIGRATIONS_HASH"));
const UNFINISHED: &str = concat!("pool_template_", env!("MIGRATIONS_HASH"), "_unfinished");

/// Any number that nothing else on the server uses: `test_tpl` in ASCII.
const LOCK: i64 = 0x7465_7374_5f74_706c;

/// Migrating takes a second; the others wait for the one that does it.
const LOCK_WAIT_S: u64 = 60;

/// The name of the template, which exists when this returns.
pub(crate) async fn ensure(server: &ServerAddress, client: &Client) -> Result<&'static str, Error> {
    if exists(client).await? {
        return Ok(NAME);
    }
    let failed = |source| Error::CreateDatabase {
        database: NAME.to_owned(),
        source,
    };
    let lock = format!(
        "SET lock_timeout = '{LOCK_WAIT_S}s'; SELECT pg_advisory_lock({LOCK}); \
         SET lock_timeout = 0"
    );
    client.batch_execute(&lock).await.map_err(failed)?;
    if !exists(client).await? {
        make(server, client).await?;
    }
    let unlock = format!("SELECT pg_advisory_unlock({LOCK})");
    client.batch_execute(&unlock).await.map_err(failed)?;
    Ok(NAME)
}

async fn exists(client: &Client) -> Result<bool, Error> {
    let found = client
        .query_opt("SELECT FROM pg_database WHERE datname = $1", &[&NAME])
        .await;
    let failed = |source| Error::CreateDatabase {
        database: NAME.to_owned(),
        source,
    };
    Ok(found.map_err(failed)?.is_some())
}

/// Under another name until it is whole, so that a killed test never leaves half a template.
async fn make(server: &ServerAddress, client: &Client) -> Result<(), Error> {
    let statement = |sql: String| async move {
        let done = client.batch_execute(&sql).await;
        done.map_err(|source| Error::CreateDatabase {
            database: NAME.to_owned(),
            source,
        })
    };
    statement(format!("DROP DATABASE IF EXISTS {UNFINISHED} WITH (FORCE)")).await?;
    statement(format!(
        "CREATE DATABASE {UNFINISHED} TEMPLATE template0 ENCODING 'UTF8'"
    ))
    .await?;
    migrate(server.url(UNFINISHED)).await?;
    // What the migrations connected with may still be closing, and a connected database can be
    // neither renamed nor copied.
    statement(format!(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{UNFINISHED}'"
    ))
    .await?;
    // Its age, by which a template of sources long gone is found.
    statement(format!(
        "DO $$ BEGIN EXECUTE format('COMMENT ON DATABASE {UNFINISHED} IS %L', \
         extract(epoch FROM now())::bigint::text); END $$"
    ))
    .await?;
    statement(format!("ALTER DATABASE {UNFINISHED} RENAME TO {NAME}")).await
}

/// On a runtime of its own: diesel's migrations block the thread that they run on, which the
/// single-threaded runtime of a test does not permit.
async fn migrate(url: String) -> Result<(), Error> {
    let migrated = tokio::task::spawn_blocking(move || {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let done = runtime.block_on(async move {
            pool_db::migrations::run(&url).await?;
            pool_legacy_schema::contract_telling(&url, &mut |_| ()).await
        });
        runtime.shutdown_timeout(Duration::from_secs(5));
        done.map(|_| ()).map_err(|error| with_sources(&error))
    });
    match migrated.await {
        Ok(done) => done.map_err(Error::Migrate),
        Err(panic) => Err(Error::Migrate(panic.to_string())),
    }
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
