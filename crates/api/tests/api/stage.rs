//! The API over a database of its own, with one agent that every instance shares.
#![expect(
    clippy::unwrap_used,
    reason = "a test has nothing else to do with a broken database"
)]

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use http::{HeaderMap, Method, Request, StatusCode};
use pool_api::App;
use pool_claims::{AgentClient, ClaimSettings, Claims};
use pool_db::leadership::Candidate;
use pool_db::{Db, DbSettings};
use pool_domain::{Secret, SeededEntropy};
use pool_test_database::TestDatabase;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

pub(crate) const KEY: &str = "the-key-of-the-pool";

pub(crate) struct Stage {
    pub(crate) router: Router,
    pub(crate) agent: MockServer,
    pub(crate) database: TestDatabase,
    client: tokio_postgres::Client,
}

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::in_environment("staging").await
    }

    pub(crate) async fn in_environment(environment: &str) -> Self {
        let database = TestDatabase::create().await;
        let settings = DbSettings {
            pool_size: 4,
            leader_pool_size: 1,
            claim_pool_size: 2,
            ..DbSettings::new(Secret::new(database.url()))
        };
        let db = Db::connect(&settings).await.unwrap();
        let claims = Claims::new(
            db.clone(),
            AgentClient::new(Secret::new(KEY)).unwrap(),
            Arc::new(SeededEntropy::new(1)),
            ClaimSettings {
                provision_timeout: Duration::from_secs(2),
                source_branch: Some("main".to_owned()),
                ..ClaimSettings::default()
            },
        );
        let router = pool_api::router(App {
            db,
            claims,
            key: Secret::new(KEY),
            environment: environment.to_owned(),
            version: "1.2.3".to_owned(),
            tick_interval: Duration::from_secs(30),
            wake: Arc::default(),
            loops: pool_api::LiveLoops::none(),
        });
        let client = database.client().await;
        let agent = MockServer::start().await;
        let health = ResponseTemplate::new(200).set_body_json(json!({ "ready": true }));
        Mock::given(method("GET"))
            .and(path("/pool/health"))
            .respond_with(health)
            .mount(&agent)
            .await;
        Self {
            router,
            agent,
            database,
            client,
        }
    }

    /// What the agent answers when it is to be provisioned.
    pub(crate) async fn agent_answers(&self, answer: ResponseTemplate) {
        Mock::given(method("POST"))
            .and(path("/pool/provision"))
            .respond_with(answer)
            .mount(&self.agent)
            .await;
    }

    /// An instance; its columns are told by its name, its age in days by its last character.
    pub(crate) async fn instance(&self, name: &str, status: &str) {
        let sql = "INSERT INTO instances (id, service_id, name, url, status, deploy_status, \
                   agent_name, conversation_id, invite_url, instructions, created_at, claimed_at, \
                   source_branch, openrouter_key_hash, agentmail_inbox_id, gateway_token, \
                   runtime_image) VALUES ($1, 's-' || $1, 'convos-agent-' || $1, $3, $2, \
                   'SUCCESS', 'agent ' || $1, 'c-' || $1, 'https://join.test/' || $1, \
                   'instructions of ' || $1, \
                   timestamptz '2026-11-01T10:00:00.123456Z' + ascii(right($1, 1)) * interval '1 day', \
                   '2026-11-20T10:00:00Z', 'main', 'hash-' || $1, 'inbox-' || $1, \
                   'secret-token-' || $1, 'image:' || $1)";
        let url = self.agent.uri();
        self.client
            .execute(sql, &[&name, &status, &url])
            .await
            .unwrap();
    }

    pub(crate) async fn sql(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap();
    }

    /// The one value of a query, as text.
    pub(crate) async fn value(&self, sql: &str) -> Option<String> {
        self.client.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// Leads, and listens as the leader does.
    pub(crate) async fn listen(&self) -> Candidate {
        let settings = DbSettings::new(Secret::new(self.database.url()));
        let mut leader = Candidate::connect(&settings, "a test").await.unwrap();
        leader.try_lead().await.unwrap().unwrap();
        leader
    }

    /// Waits until what was read before is shown no more.
    pub(crate) async fn forgets(&self) {
        tokio::time::sleep(Duration::from_millis(600)).await;
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None, None).await
    }

    pub(crate) async fn get_with_key(&self, path: &str) -> Answer {
        self.send(Method::GET, path, Some(KEY), None).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<String>) -> Answer {
        self.send(Method::POST, path, Some(KEY), Some(body.into()))
            .await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, Some(KEY), None).await
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: Option<String>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let body = body.map_or_else(Body::empty, Body::from);
        self.ask(request.body(body).unwrap()).await
    }

    /// A claim with an `Idempotency-Key` for each of these.
    pub(crate) async fn claim_with_keys(&self, keys: &[&str], body: &str) -> Answer {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri("/api/pool/claim")
            .header("authorization", format!("Bearer {KEY}"));
        for key in keys {
            request = request.header("idempotency-key", *key);
        }
        self.ask(request.body(Body::from(body.to_owned())).unwrap())
            .await
    }

    pub(crate) async fn ask(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    /// Takes the database away: connections break and no new one is accepted.
    pub(crate) async fn database_goes_away(&self) {
        let name = self.database.name();
        let url = self.database.url().replace(name, "postgres");
        let maintenance = pool_test_database::connect(&url).await.unwrap();
        let no_more = format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false");
        maintenance.batch_execute(&no_more).await.unwrap();
        let end = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        );
        maintenance.batch_execute(&end).await.unwrap();
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    pub(crate) fn error(&self) -> String {
        self.json()["error"].as_str().unwrap().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}
