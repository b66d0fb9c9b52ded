//! Diesel's migrations on a connection of their own, under a lock that diesel does not take.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::migration::{CREATE_MIGRATIONS_TABLE, Migration, MigrationSource};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Text};
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use diesel_async::pooled_connection::PoolableConnection;
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use pool_domain::{Secret, chain};
use tokio::time::{Instant, sleep};

use crate::answer::answer;
use crate::connection::{Connector, DbSettings, Session, pooler, version};
use crate::error::{Error, of_message};
use crate::migrations::LockTries;
use crate::schema::pool_schema;
use crate::scope::Scope;
use crate::statement::statement;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations");

/// Any number that nothing else in the database uses: `poolmigr` in ASCII.
const LOCK: i64 = 0x706f_6f6c_6d69_6772;

/// Whoever holds the lock is migrating, which takes seconds; a few minutes with a million rows.
const LOCK_WAIT: Duration = Duration::from_secs(300);
const LOCK_RETRY_AFTER: Duration = Duration::from_millis(200);

type Blocking = AsyncConnectionWrapper<AsyncPgConnection>;
type Source = Box<dyn Migration<Pg>>;
type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;
type Work = fn(&mut Blocking, &dyn Migration<Pg>) -> Outcome;

/// A connection that migrates. Its lock goes with it.
pub struct Migrator {
    connection: AsyncPgConnection,
    scope: Scope,
    url: Secret,
}

/// What a database records of its own schema.
#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
pub struct Recorded {
    /// The tables of earlier generations that were there before the first migration.
    pub found: Vec<String>,
    /// When the transition trigger was installed.
    pub contracted_at: Option<DateTime<Utc>>,
}

/// What the database has and what this build has, in order.
pub(crate) struct Comparison {
    pub(crate) applied: Vec<String>,
    pub(crate) pending: Vec<String>,
    pub(crate) unknown: Vec<String>,
}

impl Comparison {
    pub(crate) const fn is_current(&self) -> bool {
        self.pending.is_empty()
    }
}

impl Migrator {
    /// Waits until no other process migrates.
    ///
    /// # Errors
    /// [`Error::AwaitMigration`] when that takes minutes; otherwise as [`look`](Self::look).
    pub async fn begin(url: &str) -> Result<Self, Error> {
        let mut migrator = Self::look(url).await?;
        migrator.lock().await?;
        Ok(migrator)
    }

    /// Without the lock: for looking only.
    ///
    /// # Errors
    /// [`Error::ThroughPooler`] where a pooler would exchange our sessions; [`Error::TooOld`]; when the database is away, or
    /// does not let us in.
    pub async fn look(url: &str) -> Result<Self, Error> {
        let settings = DbSettings::new(Secret::new(url));
        pooler::refuse(&Connector::of(&settings, Session::MIGRATION)?).await?;
        Self::look_at(&settings).await
    }

    /// As [`begin`](Self::begin), with the settings of a server.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub async fn begin_at(settings: &DbSettings) -> Result<Self, Error> {
        let mut migrator = Self::look_at(settings).await?;
        migrator.lock().await?;
        Ok(migrator)
    }

    async fn look_at(settings: &DbSettings) -> Result<Self, Error> {
        let connector = Connector::of(settings, Session::MIGRATION)?;
        let mut connection = connector.connect().await?;
        version::refuse_old(&mut connection).await?;
        Ok(Self {
            scope: Scope::of(&mut connection).await?,
            connection,
            url: settings.url.clone(),
        })
    }

    /// Applies what is pending, each migration in a transaction of its own.
    pub(crate) async fn run_pending(mut self) -> Result<Vec<String>, Error> {
        self.connection
            .batch_execute(CREATE_MIGRATIONS_TABLE)
            .await?;
        let pending = self.compare().await?.pending;
        let mut done = Vec::new();
        let url = self.url.clone();
        for name in pending {
            let applied = self
                .with_migration(&name, |connection, migration| {
                    connection.run_migration(migration).map(drop)
                })
                .await;
            self = naming_the_holder(&url, applied).await?;
            tracing::info!(migration.name = name, "applied a migration");
            done.push(name);
        }
        Ok(done)
    }

    /// Takes back the newest migration.
    pub(crate) async fn revert_newest(mut self) -> Result<Option<String>, Error> {
        let compared = self.compare().await?;
        if let Some(version) = compared.unknown.last() {
            return Err(Error::Migrate(format!(
                "{version} was applied by another build, which has to take it back"
            )));
        }
        let mut applied = compared.applied;
        let Some(name) = applied.pop() else {
            return Ok(None);
        };
        let url = self.url.clone();
        let reverted = self
            .with_migration(&name, |connection, migration| {
                connection.revert_migration(migration).map(drop)
            })
            .await;
        naming_the_holder(&url, reverted).await?;
        tracing::info!(migration.name = name, "took back a migration");
        Ok(Some(name))
    }

    /// What the database has and what this build has.
    pub(crate) async fn compare(&mut self) -> Result<Comparison, Error> {
        let versions = self.applied_versions().await?;
        let ours = sources()?;
        let is_ours = |version: &String| ours.iter().any(|source| version_of(source) == *version);
        let unknown = versions.iter().filter(|version| !is_ours(version));
        let unknown = unknown.cloned().collect();
        let (applied, pending): (Vec<_>, Vec<_>) = ours
            .iter()
            .partition(|source| versions.contains(&version_of(source)));
        let names = |sources: Vec<&Source>| {
            let names = sources.into_iter().map(|source| source.name().to_string());
            names.collect()
        };
        Ok(Comparison {
            applied: names(applied),
            pending: names(pending),
            unknown,
        })
    }

    /// Diesel's own question would make its table where there is none.
    async fn applied_versions(&mut self) -> Result<Vec<String>, Error> {
        let exists: Truth =
            statement("SELECT to_regclass('__diesel_schema_migrations') IS NOT NULL AS truth")
                .get_result(&mut self.connection)
                .await?;
        if !exists.truth {
            return Ok(Vec::new());
        }
        let versions: Vec<Line> = statement(
            "SELECT version::text AS line FROM __diesel_schema_migrations ORDER BY version",
        )
        .load(&mut self.connection)
        .await?;
        Ok(versions.into_iter().map(|row| row.line).collect())
    }

    /// As often as it takes to have its locks.
    async fn with_migration(mut self, name: &str, work: Work) -> Result<Self, Error> {
        let mut tries = LockTries::default();
        loop {
            let (migrator, done) = self.try_migration(name, work).await?;
            self = migrator;
            match done {
                Ok(()) => return Ok(self),
                Err(error) if tries.again_after(&error).await => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Diesel's migrations block the thread that they run on, which a runtime of one thread does
    /// not permit; a thread made for blocking is right on every runtime.
    async fn try_migration(
        self,
        name: &str,
        work: Work,
    ) -> Result<(Self, Result<(), Error>), Error> {
        let wanted = name.to_owned();
        let worked = tokio::task::spawn_blocking(move || {
            let sources = sources()?;
            let source = sources
                .iter()
                .find(|source| source.name().to_string() == wanted)
                .ok_or_else(|| Error::Migrate(format!("there is no migration {wanted}")))?;
            let mut connection = Blocking::from(self.connection);
            let done = work(&mut connection, &**source);
            let mut migrator = Self {
                connection: connection.into_inner(),
                scope: self.scope,
                url: self.url,
            };
            let is_gone = migrator.connection.is_broken();
            let done = done.map_err(|error| failure(&wanted, &*error, is_gone));
            Ok((migrator, done))
        });
        worked
            .await
            .map_err(|panic| Error::Migrate(format!("{name}: {panic}")))?
    }

    /// Its connection, on which a statement may take minutes.
    pub const fn connection(&mut self) -> &mut AsyncPgConnection {
        &mut self.connection
    }

    /// The migrations of this build that the database lacks, in their order.
    ///
    /// # Errors
    /// As every statement: see [`Error`].
    pub async fn pending(&mut self) -> Result<Vec<String>, Error> {
        Ok(self.compare().await?.pending)
    }

    /// What the database records of itself; none before the first migration.
    ///
    /// # Errors
    /// As every statement: see [`Error`].
    pub async fn recorded(&mut self) -> Result<Option<Recorded>, Error> {
        recorded(&mut self.connection).await
    }

    /// The same, but an error that a lock was not to be had also says who holds one of our tables.
    ///
    /// # Errors
    /// That of `done`.
    pub async fn naming_the_holder<T>(&self, done: Result<T, Error>) -> Result<T, Error> {
        naming_the_holder(&self.url, done).await
    }

    async fn lock(&mut self) -> Result<(), Error> {
        if self.try_lock().await? {
            return Ok(());
        }
        let holder = self.holder().await?;
        tracing::info!("waiting for another process that migrates{holder}");
        let until = Instant::now() + LOCK_WAIT;
        // Asked for again and again, and not waited for in the database: a session that waits there
        // is an open transaction, and an index that is built beside other work waits for those.
        while !self.try_lock().await? {
            if Instant::now() >= until {
                return Err(Error::AwaitMigration {
                    seconds: LOCK_WAIT.as_secs(),
                    holder: self.holder().await?,
                });
            }
            sleep(LOCK_RETRY_AFTER).await;
        }
        Ok(())
    }

    async fn try_lock(&mut self) -> Result<bool, Error> {
        let free: Truth = statement("SELECT pg_try_advisory_lock($1) AS truth")
            .bind::<BigInt, _>(self.scope.lock(LOCK))
            .get_result(&mut self.connection)
            .await?;
        Ok(free.truth)
    }

    /// Who migrates, as an addition to a sentence.
    async fn holder(&mut self) -> Result<String, Error> {
        let found: Option<Line> = statement(include_str!("lock_holder.sql"))
            .bind::<BigInt, _>(self.scope.lock(LOCK))
            .get_result(&mut self.connection)
            .await
            .optional()?;
        Ok(found.map_or_else(String::new, |row| format!(": {}", row.line)))
    }
}

/// None when the first migration has not been applied.
pub(super) async fn recorded(
    connection: &mut AsyncPgConnection,
) -> Result<Option<Recorded>, Error> {
    if !answer(exists(connection, "pool_schema")).await? {
        return Ok(None);
    }
    answer(async {
        pool_schema::table
            .select((pool_schema::found, pool_schema::contracted_at))
            .first(connection)
            .await
            .optional()
    })
    .await
}

/// Whether there is a table of this name.
pub(super) async fn exists(connection: &mut AsyncPgConnection, table: &str) -> Result<bool, Error> {
    let found: Truth = statement("SELECT to_regclass($1) IS NOT NULL AS truth")
        .bind::<Text, _>(table)
        .get_result(connection)
        .await?;
    Ok(found.truth)
}

/// Who keeps others from our tables longest is told with an error that a lock was not to be had.
async fn naming_the_holder<T>(url: &Secret, done: Result<T, Error>) -> Result<T, Error> {
    let why = match done {
        Err(Error::Wait(why)) if why.contains("lock timeout") => why,
        other => return other,
    };
    // Asked on a new connection: the other one is in a failed transaction, or gone.
    let holder = async {
        let mut migrator = Migrator::look(url.expose()).await?;
        let found: Option<Line> = statement(include_str!("table_holder.sql"))
            .get_result(&mut migrator.connection)
            .await
            .optional()?;
        Ok::<_, Error>(found)
    };
    match holder.await {
        Ok(Some(holder)) => Err(Error::Wait(format!("{why}; held by {}", holder.line))),
        _ => Err(Error::Wait(why)),
    }
}

/// Diesel tells the cause only as the end of a text. Nothing of the migration remains, so one that
/// could not have its lock, or whose connection is gone, may simply be run again.
fn failure(name: &str, error: &dyn std::error::Error, is_gone: bool) -> Error {
    let text = chain(error);
    let cause = text.rsplit(" with: ").next().unwrap_or(&text);
    match of_message(cause) {
        Some(Error::Wait(why)) => Error::Wait(format!("{name}: {why}")),
        Some(Error::Exhaust(why)) => Error::Exhaust(format!("{name}: {why}")),
        Some(Error::Lose(why)) => Error::Lose(format!("{name}: {why}")),
        _ if is_gone => Error::Lose(format!("{name}: {cause}")),
        _ => Error::Migrate(format!("{name}: {cause}")),
    }
}

/// This build's migrations, in order.
fn sources() -> Result<Vec<Source>, Error> {
    let mut sources: Vec<Source> = MIGRATIONS
        .migrations()
        .map_err(|error| Error::Migrate(chain(&*error)))?;
    sources.sort_by_key(version_of);
    Ok(sources)
}

fn version_of(source: &Source) -> String {
    source.name().version().to_string()
}

#[derive(QueryableByName)]
struct Truth {
    #[diesel(sql_type = Bool)]
    truth: bool,
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}
