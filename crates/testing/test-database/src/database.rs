//! One database for one test.

use std::error::Error as _;
use std::thread;
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::{Client, NoTls};

use crate::server::ServerAddress;
use crate::{Error, leftovers, template};

/// Starting the server, migrating the template and copying it take two seconds on idle cores; a
/// machine that compiles beside it takes ten times that.
const CREATE_LIMIT_S: u64 = 120;

/// Dropping takes 20 ms; a server that does not answer must not hold up the end of a test.
const DROP_LIMIT: Duration = Duration::from_secs(10);

/// The name tells the age, by which the leftovers of killed tests are found.
const NEW_NAME: &str = "SELECT 'pool_test_' || extract(epoch FROM now())::bigint || '_' \
                        || replace(gen_random_uuid()::text, '-', '')";

/// A database of one test's own, dropped with this value.
pub struct TestDatabase {
    server: ServerAddress,
    name: String,
    url: String,
}

impl TestDatabase {
    /// A migrated database, ready for use.
    ///
    /// # Panics
    /// When there is none to be had; the message says why and what to install.
    pub async fn create() -> Self {
        or_panic(Self::try_create().await)
    }

    /// A database without a single table.
    ///
    /// # Panics
    /// When there is none to be had; the message says why and what to install.
    pub async fn empty() -> Self {
        or_panic(Self::try_empty().await)
    }

    /// As [`create`](Self::create), with the error as a value.
    ///
    /// # Errors
    ///
    /// Where no server can be found or started, or its template cannot be migrated.
    pub async fn try_create() -> Result<Self, Error> {
        within_limit(async {
            let (server, client) = admin().await?;
            let template = template::ensure(&server, &client).await?;
            Self::copy_of(template, server, &client).await
        })
        .await
    }

    /// As [`empty`](Self::empty), with the error as a value.
    ///
    /// # Errors
    ///
    /// Where no server can be found or started.
    pub async fn try_empty() -> Result<Self, Error> {
        within_limit(async {
            let (server, client) = admin().await?;
            Self::copy_of("template0", server, &client).await
        })
        .await
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its name on the server.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A plain connection to it, for what the code under test cannot do.
    ///
    /// # Panics
    /// When the server does not accept it.
    pub async fn client(&self) -> Client {
        or_panic(connect(&self.url).await)
    }

    async fn copy_of(
        template: &str,
        server: ServerAddress,
        client: &Client,
    ) -> Result<Self, Error> {
        // Only housekeeping: whatever hinders it hinders no test.
        let _ = leftovers::drop_some(client).await;
        let failed = |database: &str| {
            let database = database.to_owned();
            move |source| Error::CreateDatabase { database, source }
        };
        let row = client
            .query_one(NEW_NAME, &[])
            .await
            .map_err(failed("pool_test"))?;
        let name: String = row.get(0);
        let create = format!("CREATE DATABASE {name} TEMPLATE {template}");
        client.batch_execute(&create).await.map_err(failed(&name))?;
        Ok(Self {
            url: server.url(&name),
            server,
            name,
        })
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let url = self.server.maintenance_url();
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // On a thread of its own, because the runtime of the test may be ending, or be this thread.
        let dropping = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .ok()?;
            runtime.block_on(async {
                let work = async { connect(&url).await.ok()?.batch_execute(&sql).await.ok() };
                timeout(DROP_LIMIT, work).await.ok().flatten()
            })
        });
        // A database that stays is dropped as a leftover later.
        drop(dropping.join());
    }
}

impl std::fmt::Debug for TestDatabase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestDatabase")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A plain connection without TLS, driven by a task of the runtime that calls this.
///
/// # Errors
///
/// Where the server does not answer or refuses.
pub async fn connect(url: &str) -> Result<Client, Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .map_err(Error::Connect)?;
    // It ends when the client is dropped or the server goes; either way the client tells.
    tokio::spawn(connection);
    Ok(client)
}

async fn admin() -> Result<(ServerAddress, Client), Error> {
    let server = ServerAddress::find().await?;
    let client = connect(&server.maintenance_url()).await?;
    Ok((server, client))
}

async fn within_limit<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let limit = Duration::from_secs(CREATE_LIMIT_S);
    let late = Error::TakeTooLong {
        seconds: CREATE_LIMIT_S,
    };
    timeout(limit, work).await.unwrap_or(Err(late))
}

/// A test has nothing else to do with such an error.
fn or_panic<T>(result: Result<T, Error>) -> T {
    result.unwrap_or_else(|error| match error.source() {
        Some(source) => panic!("{error}: {source:?}"),
        None => panic!("{error}"),
    })
}
