//! A pool for one test: a database of its own, agents, and the claims under test.
#![expect(
    clippy::unwrap_used,
    reason = "a test has nothing else to do with a broken database"
)]

use std::sync::Arc;
use std::time::Duration;

use pool_agent::AgentClient;
use pool_claims::{ClaimError, ClaimRequest, ClaimSettings, Claimed, Claims};
use pool_db::{Db, DbSettings};
use pool_domain::{IdempotencyKey, Secret, SeededEntropy};
use pool_test_database::TestDatabase;

use crate::agents::Agents;
use crate::wire::Wire;

pub(crate) struct Stage {
    pub(crate) agents: Agents,
    pub(crate) claims: Claims,
    pub(crate) database: TestDatabase,
    client: Arc<Client>,
}

type Client = tokio_postgres::Client;

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::with(ClaimSettings {
            provision_timeout: Duration::from_secs(20),
            source_branch: Some("main".to_owned()),
            ..ClaimSettings::default()
        })
        .await
    }

    /// Agents that say nothing are given up after a moment.
    pub(crate) async fn impatient() -> Self {
        Self::with(ClaimSettings {
            provision_timeout: Duration::from_millis(300),
            ..ClaimSettings::default()
        })
        .await
    }

    pub(crate) async fn with(settings: ClaimSettings) -> Self {
        let database = TestDatabase::create().await;
        let url = database.url().to_owned();
        Self::at(&url, database, settings).await
    }

    /// A server that reaches its database over a wire that can be cut.
    pub(crate) async fn wired() -> (Self, Wire) {
        Self::wired_with(ClaimSettings::default()).await
    }

    pub(crate) async fn wired_with(settings: ClaimSettings) -> (Self, Wire) {
        let database = TestDatabase::create().await;
        let wire = Wire::to(database.url()).await;
        let stage = Self::at(&wire.url, database, settings).await;
        (stage, wire)
    }

    async fn at(url: &str, database: TestDatabase, settings: ClaimSettings) -> Self {
        Self {
            agents: Agents::start().await,
            claims: server(url, 1, settings).await,
            client: Arc::new(database.client().await),
            database,
        }
    }

    /// Another server on the same database.
    pub(crate) async fn other_server(&self) -> Claims {
        server(self.database.url(), 2, ClaimSettings::default()).await
    }

    /// Idle instances of these names, the first one the oldest, each with its agent.
    pub(crate) async fn stock(&self, names: &[&str]) {
        for (age, name) in names.iter().rev().enumerate() {
            let url = self.agents.url(name);
            self.stock_at(name, Some(&url), i32::try_from(age).unwrap())
                .await;
        }
    }

    /// An idle instance that is said to answer there.
    pub(crate) async fn stock_at(&self, name: &str, url: Option<&str>, age_s: i32) {
        let sql = "INSERT INTO instances (id, service_id, name, url, status, gateway_token, \
                   created_at) VALUES ($1, 's-' || $1, 'convos-agent-' || $1, $2, 'idle', \
                   'token-' || $1, now() - $3 * interval '1 second')";
        self.client
            .execute(sql, &[&name, &url, &f64::from(age_s)])
            .await
            .unwrap();
    }

    pub(crate) async fn claim(&self) -> Result<Claimed, ClaimError> {
        self.claims.claim(request()).await
    }

    pub(crate) async fn status(&self, name: &str) -> String {
        self.column(name, "status").await.unwrap()
    }

    pub(crate) async fn failed_claims(&self, name: &str) -> String {
        self.column(name, "failed_claims").await.unwrap()
    }

    /// A column of an instance as text.
    pub(crate) async fn column(&self, name: &str, column: &str) -> Option<String> {
        let sql = format!("SELECT {column}::text FROM instances WHERE id = $1");
        self.client.query_one(&sql, &[&name]).await.unwrap().get(0)
    }

    pub(crate) async fn number(&self, sql: &str) -> i64 {
        self.client.query_one(sql, &[]).await.unwrap().get(0)
    }

    pub(crate) async fn sql(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap();
    }

    /// Takes the database away: connections break and no new one is accepted.
    pub(crate) async fn go_away(&self) {
        let own: i32 = {
            let row = self.client.query_one("SELECT pg_backend_pid()", &[]).await;
            row.unwrap().get(0)
        };
        let name = self.database.name();
        self.accept_connections(false).await;
        let maintenance = self.maintenance().await;
        let end = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = '{name}' AND pid <> {own}"
        );
        maintenance.batch_execute(&end).await.unwrap();
    }

    /// Gives it back.
    pub(crate) async fn come_back(&self) {
        self.accept_connections(true).await;
    }

    async fn accept_connections(&self, accept: bool) {
        let sql = format!(
            "ALTER DATABASE {} ALLOW_CONNECTIONS {accept}",
            self.database.name()
        );
        let maintenance = self.maintenance().await;
        maintenance.batch_execute(&sql).await.unwrap();
    }

    async fn maintenance(&self) -> Client {
        let url = self
            .database
            .url()
            .replace(self.database.name(), "postgres");
        pool_test_database::connect(&url).await.unwrap()
    }

    /// Waits until the instance has this status.
    pub(crate) async fn until(&self, name: &str, status: &str) {
        let seen = async {
            while self.status(name).await != status {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), seen)
            .await
            .unwrap_or_else(|_| panic!("{name} did not become {status} in time"));
    }
}

async fn server(url: &str, seed: u64, settings: ClaimSettings) -> Claims {
    let few_connections = DbSettings {
        pool_size: 2,
        leader_pool_size: 1,
        claim_pool_size: 4,
        ..DbSettings::new(Secret::new(url))
    };
    let db = Db::connect(&few_connections).await.unwrap();
    let agent = AgentClient::new(Secret::new("the-key")).unwrap();
    Claims::new(db, agent, Arc::new(SeededEntropy::new(seed)), settings)
}

pub(crate) fn request() -> ClaimRequest {
    ClaimRequest {
        agent_name: "Ada".to_owned(),
        instructions: "Be kind.".into(),
        join_url: None,
        idempotency_key: None,
    }
}

/// The same under a key.
pub(crate) fn keyed(key: &str) -> ClaimRequest {
    ClaimRequest {
        idempotency_key: Some(IdempotencyKey::parse(key.as_bytes()).unwrap()),
        ..request()
    }
}
