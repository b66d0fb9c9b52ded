//! Makes connections, and sets each session's limits: what waits for the database, or holds its
//! locks, never does so for ever.

use std::time::Duration;

use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use pool_domain::{Secret, chain};
use tokio::time::timeout;
use tokio_postgres::Config;
use tokio_postgres::error::SqlState;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::connection::{Address, DbSettings, Dialer, hosts, tls};
use crate::error::Error;

/// Name lookup, TCP, TLS and password together; a healthy server takes 50 ms.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// TCP alone, for each address that the name has.
const TCP_CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// A vanished host is noticed after this and two more probes,
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
/// this far apart,
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
/// so that what waits for its answer fails within 15 s.
const KEEPALIVE_RETRIES: u32 = 2;
/// What was sent and not acknowledged for this long is lost.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(10);

/// What a session is for, and what it is limited to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Session {
    /// How the database shows it.
    pub(crate) name: &'static str,
    /// How long one statement may take.
    pub(crate) statement_limit: Duration,
    /// How long it may wait for a lock.
    pub(crate) lock_limit: Duration,
    /// How long it may leave a transaction open without saying anything. We take milliseconds; one
    /// that takes longer is frozen or cut off, and others wait for what it holds.
    pub(crate) silence_limit: Duration,
    /// More settings, as SQL.
    pub(crate) more: &'static str,
}

impl Session {
    /// Everything but claims: no statement reads more than 100,000 rows, which takes under 1 s.
    pub(crate) const GENERAL: Self = Self {
        name: "pool-server",
        statement_limit: Duration::from_secs(10),
        lock_limit: Duration::from_secs(5),
        silence_limit: Duration::from_secs(5),
        more: "",
    };
    /// Claims: a person waits. Their statements are planned once for batches of any size; the planner
    /// takes batches for larger than they are, and would plan each small one anew.
    pub(crate) const CLAIM: Self = Self {
        name: "pool-server claims",
        statement_limit: Duration::from_secs(5),
        lock_limit: Duration::from_secs(2),
        more: "SET plan_cache_mode = force_generic_plan;",
        ..Self::GENERAL
    };
    /// The leader's lock lives as long as this session. Whoever leads or would lead says something
    /// every 2 s; one that has been silent for 8 s is dead, frozen or cut off, and the database ends
    /// its session, whatever its host's TCP may say. A leader that hears nothing gives up after 7 s
    /// by itself. PostgreSQL 13 has no such limit, and must notice by TCP that the host has vanished;
    /// on a Unix socket those settings do nothing.
    pub(crate) const LEADER: Self = Self {
        name: "pool-server leader",
        more: "SELECT set_config('idle_session_timeout', '8000', false) \
               WHERE current_setting('server_version_num')::int >= 140000; \
               SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; \
               SET tcp_keepalives_count = 2; SET tcp_user_timeout = 10000;",
        ..Self::GENERAL
    };
    /// Migrations: an index over a million rows takes seconds. What may not wait for locks that
    /// long sets its own limit. Between two statements they take milliseconds, so one that is silent
    /// for a minute is frozen or cut off; others, every new leader among them, wait for its lock.
    pub(crate) const MIGRATION: Self = Self {
        name: "pool-migrate",
        statement_limit: Duration::from_secs(600),
        silence_limit: Duration::from_secs(600),
        // Older generations may hold times without a zone, which were written in UTC.
        // What looks through a million rows once is not worth a compiler's half second.
        more: "SET timezone = 'UTC'; SET jit = off; \
               SELECT set_config('idle_session_timeout', '60000', false) \
               WHERE current_setting('server_version_num')::int >= 140000;",
        ..Self::GENERAL
    };

    /// Whatever the role and the database have as their defaults. Claims take the row that is free
    /// now, which only READ COMMITTED can see; whoever was answered must be remembered, so a commit is
    /// waited for; and a connection that waits in a pool is no idle session (nor is there a limit on
    /// transactions, which only newer databases know). Rows that somebody's policies hide are an error,
    /// and not rows that do not exist. What passes by itself is known by the
    /// database's messages, so these are in English where we may choose: only a superuser may.
    fn settings(&self) -> String {
        let statement_limit_ms = self.statement_limit.as_millis();
        let lock_limit_ms = self.lock_limit.as_millis();
        let silence_limit_ms = self.silence_limit.as_millis();
        format!(
            "SET statement_timeout = {statement_limit_ms}; SET lock_timeout = {lock_limit_ms}; \
             SET idle_in_transaction_session_timeout = {silence_limit_ms}; \
             SET default_transaction_isolation = 'read committed'; SET row_security = off; \
             SELECT set_config(name, '0', false) FROM pg_settings \
             WHERE name IN ('idle_session_timeout', 'transaction_timeout'); \
             SELECT set_config('synchronous_commit', 'on', false) \
             WHERE current_setting('synchronous_commit') = 'off'; \
             DO $$ BEGIN PERFORM set_config('lc_messages', 'C', false); \
             EXCEPTION WHEN insufficient_privilege THEN NULL; END $$; {}",
            self.more
        )
    }
}

/// What does not pass by waiting: somebody has to change the address, or the server.
const REFUSED: [SqlState; 3] = [
    SqlState::INVALID_CATALOG_NAME,
    SqlState::INVALID_PASSWORD,
    SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
];

/// Makes sessions of one kind.
#[derive(Clone)]
pub(crate) struct Connector {
    config: Config,
    /// The same for each host alone.
    hosts: Vec<Config>,
    tls: MakeRustlsConnect,
    session: Session,
    dialer: Option<Dialer>,
}

impl Connector {
    pub(crate) fn new(url: &Secret, session: Session) -> Result<Self, Error> {
        let Address { mut config, tls } = Address::parse(url)?;
        if config.get_application_name().is_none() {
            config.application_name(session.name);
        }
        config
            .connect_timeout(TCP_CONNECT_LIMIT)
            .keepalives(true)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_RETRIES)
            .tcp_user_timeout(TCP_USER_TIMEOUT);
        Ok(Self {
            hosts: hosts::each(&config),
            config,
            tls: tls::connector(&tls)?,
            session,
            dialer: None,
        })
    }

    /// As the settings say, with a session of this kind.
    pub(crate) fn of(settings: &DbSettings, session: Session) -> Result<Self, Error> {
        Ok(Self {
            dialer: settings.dialer.clone(),
            ..Self::new(&settings.url, session)?
        })
    }

    /// A session of this kind.
    pub(crate) async fn connect(&self) -> Result<AsyncPgConnection, Error> {
        in_time(async {
            let mut connection = self.establish().await?;
            connection.batch_execute(&self.session.settings()).await?;
            Ok(connection)
        })
        .await
    }

    /// A session that is set to nothing: what is behind the address may share it with others.
    pub(crate) async fn connect_bare(&self) -> Result<AsyncPgConnection, Error> {
        in_time(self.establish()).await
    }

    async fn establish(&self) -> Result<AsyncPgConnection, Error> {
        match &self.dialer {
            Some(dialer) => Ok(dialer.dial(self.config.clone()).await?),
            None => hosts::first_of(&self.hosts, |host| self.reach(host)).await,
        }
    }

    async fn reach(&self, host: &Config) -> Result<AsyncPgConnection, Error> {
        let refused = |error: tokio_postgres::Error| {
            let why = chain(&error);
            match error.code() {
                Some(code) if REFUSED.contains(code) => Error::RefuseLogin(why),
                Some(code) if *code == SqlState::TOO_MANY_CONNECTIONS => Error::Exhaust(why),
                _ => Error::Connect(why),
            }
        };
        let (client, connection) = host.connect(self.tls.clone()).await.map_err(refused)?;
        Ok(AsyncPgConnection::try_from_client_and_connection(client, connection).await?)
    }
}

async fn in_time<T>(connecting: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let late = || Error::Connect(format!("no answer within {} s", CONNECT_LIMIT.as_secs()));
    timeout(CONNECT_LIMIT, connecting)
        .await
        .map_err(|_| late())?
}

#[cfg(test)]
mod tests {
    use diesel::QueryableByName;
    use diesel::sql_types::Text;
    use diesel_async::RunQueryDsl;
    use pool_test_database::TestDatabase;

    use super::*;
    use crate::statement::statement;

    #[derive(QueryableByName)]
    struct Setting {
        #[diesel(sql_type = Text)]
        value: String,
    }

    async fn setting(url: &str, session: Session, name: &str) -> String {
        let connector = Connector::new(&Secret::new(url), session).unwrap();
        let mut connection = connector.connect().await.unwrap();
        let shown: Setting = statement("SELECT current_setting($1) AS value")
            .bind::<Text, _>(name.to_owned())
            .get_result(&mut connection)
            .await
            .unwrap();
        shown.value
    }

    /// The databases of the tests have no other language than English, by another name.
    #[tokio::test]
    async fn the_database_speaks_english_where_we_may_choose_and_is_used_where_not() {
        let database = TestDatabase::empty().await;
        let client = database.client().await;
        let role = "SELECT 'role_of_' || current_database()";
        let role: String = client.query_one(role, &[]).await.unwrap().get(0);
        let prepare = format!(
            "CREATE ROLE {role} LOGIN PASSWORD 'x'; \
             DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET lc_messages = ''POSIX''', current_database()); \
             END $$;"
        );
        client.batch_execute(&prepare).await.unwrap();
        let url = database.url();
        let as_superuser = setting(url, Session::CLAIM, "lc_messages").await;
        let after_login = url.split_once('@').unwrap().1;
        let url = format!("postgres://{role}:x@{after_login}");
        let as_user = setting(&url, Session::CLAIM, "lc_messages").await;
        let drop_role = format!("DROP ROLE {role}");
        client.batch_execute(&drop_role).await.unwrap();
        assert_eq!((as_superuser.as_str(), as_user.as_str()), ("C", "POSIX"));
    }

    #[tokio::test]
    async fn who_holds_a_lock_that_others_wait_for_may_not_be_silent() {
        let database = TestDatabase::empty().await;
        let limit = |session| setting(database.url(), session, "idle_session_timeout");
        assert_eq!(limit(Session::LEADER).await, "8s");
        assert_eq!(limit(Session::MIGRATION).await, "1min");
        assert_eq!(limit(Session::GENERAL).await, "0");
        assert_eq!(limit(Session::CLAIM).await, "0");
    }

    #[tokio::test]
    async fn what_a_database_sets_for_everybody_is_not_ours() {
        let database = TestDatabase::empty().await;
        let client = database.client().await;
        for (name, theirs, ours) in [
            (
                "default_transaction_isolation",
                "serializable",
                "read committed",
            ),
            ("statement_timeout", "100ms", "5s"),
            ("lock_timeout", "100ms", "2s"),
            ("idle_session_timeout", "2s", "0"),
            ("idle_in_transaction_session_timeout", "100ms", "5s"),
            ("row_security", "on", "off"),
            ("synchronous_commit", "off", "on"),
            ("synchronous_commit", "local", "local"),
        ] {
            let set = format!("ALTER DATABASE {} SET {name} = '{theirs}'", database.name());
            client.batch_execute(&set).await.unwrap();
            let set = setting(database.url(), Session::CLAIM, name).await;
            assert_eq!(set, ours, "{name}");
        }
    }
}
