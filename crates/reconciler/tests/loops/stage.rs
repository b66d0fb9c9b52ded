//! A leader without an API, and its world.
#![expect(
    clippy::unwrap_used,
    reason = "a test has nothing else to do with a broken world"
)]

use std::sync::Arc;
use std::time::Duration;

use pool_agent::AgentClient;
use pool_credentials::{AgentMailSettings, Credentials, OpenRouterSettings};
use pool_db::{Db, DbSettings, instances};
use pool_domain::{OsEntropy, Policy, Redactor, Secret, ServicePrefix};
use pool_planner::{Accounts, Identity};
use pool_railway::{Railway, Token};
use pool_reconciler::{AgentsAnswer, Blueprint, Context, Driver, DriverSettings, Loops};
use pool_simulator::{Options, SeedServices, SeededService, Simulator};
use pool_test_database::TestDatabase;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

const KEY: &str = "the-pools-key";
/// How long anything may take that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);
/// No round comes by itself within a test.
pub(crate) const NEVER: Duration = Duration::from_secs(3_600);

pub(crate) struct Stage {
    pub(crate) railway: Simulator,
    pub(crate) loops: Arc<Loops>,
    wake: Arc<Notify>,
    db: Db,
    client: Client,
    database: TestDatabase,
}

/// A leader that runs.
pub(crate) struct Leader {
    stop: CancellationToken,
    ended: JoinHandle<()>,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let database = TestDatabase::create().await;
        let settings = DbSettings::new(Secret::new(database.url()));
        Self {
            railway: Simulator::start(Options::default()).await.unwrap(),
            loops: Arc::default(),
            wake: Arc::default(),
            db: Db::connect(&settings).await.unwrap(),
            client: database.client().await,
            database,
        }
    }

    /// Begins to lead, with so many idle ones to keep and so much time from round to round.
    pub(crate) fn lead(&self, min_idle: usize, tick_interval: Duration) -> Leader {
        let settings = DriverSettings {
            database: DbSettings::new(Secret::new(self.database.url())),
            holder: "a test".to_owned(),
            keep_events: Duration::from_secs(86_400),
        };
        let policy = Policy {
            min_idle,
            max_total: 1_000,
            tick_interval,
            missing_grace: Duration::from_secs(2),
            ..Policy::default()
        };
        let context = Arc::new(self.context(policy));
        let (wake, loops) = (Arc::clone(&self.wake), Arc::clone(&self.loops));
        let stop = CancellationToken::new();
        let told = stop.clone();
        let driver = Driver::new(context, settings, wake, loops);
        let ended = tokio::spawn(async move { driver.run(told).await });
        Leader { stop, ended }
    }

    fn context(&self, policy: Policy) -> Context {
        let key = Secret::new(KEY);
        let railway = &self.railway;
        let client = Railway::new(pool_railway::Settings {
            api_url: railway.graphql_url(),
            token: Token::Account(Secret::new(railway.token())),
            project_id: railway.project_id(),
            redactor: Redactor::default(),
        });
        let credentials = Credentials::new(pool_credentials::Settings {
            openrouter: Some(OpenRouterSettings {
                management_key: Secret::new(railway.openrouter_key()),
                api_url: railway.openrouter_url(),
                key_limit: 20.0,
                limit_reset: Some("monthly".to_owned()),
            }),
            agentmail: Some(AgentMailSettings {
                api_key: Secret::new(railway.agentmail_key()),
                api_url: railway.agentmail_url(),
                domain: None,
            }),
            redactor: Redactor::default(),
        });
        Context {
            db: self.db.clone(),
            railway: client.unwrap().in_environment(railway.environment_id()),
            agent: AgentClient::new(key.clone()).unwrap(),
            credentials: credentials.unwrap(),
            identity: Arc::new(Identity {
                prefix: ServicePrefix::new("convos-agent-"),
                agent_scheme: "http".to_owned(),
                own_service: None,
                accounts: Accounts {
                    openrouter: true,
                    agentmail: true,
                },
            }),
            blueprint: Arc::new(Blueprint {
                image: "image".to_owned(),
                volume_mount_path: Some("/data".to_owned()),
                variables: vec![("POOL_API_KEY".to_owned(), key.clone())],
                shared_openrouter_key: None,
            }),
            policy: Arc::new(policy),
            pool_api_key: key,
            entropy: Arc::new(OsEntropy),
            redactor: Redactor::default(),
            agents_answer: AgentsAnswer::new(|| None),
        }
    }

    /// Services of this pool that run already.
    pub(crate) fn seed(&self, count: usize) -> Vec<SeededService> {
        let variables = [("POOL_API_KEY".to_owned(), KEY.to_owned())].into();
        let seed = SeedServices {
            count,
            variables,
            mount_path: Some("/data".to_owned()),
            ..SeedServices::default()
        };
        self.railway.seed_services(&seed).unwrap()
    }

    /// A round without a fresh listing, as after a claim.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Retires so many, as a person does.
    pub(crate) async fn drain(&self, count: usize) {
        let drained = instances::drain(&self.db, count, "a test").await.unwrap();
        assert_eq!(drained.len(), count);
        self.wake();
    }

    pub(crate) async fn count(&self, status: &str) -> usize {
        let query = "SELECT count(*) FROM instances WHERE status = $1";
        let row = self.client.query_one(query, &[&status]).await.unwrap();
        usize::try_from(row.get::<_, i64>(0)).unwrap()
    }

    pub(crate) async fn number(&self, query: &str) -> i64 {
        self.client.query_one(query, &[]).await.unwrap().get(0)
    }

    /// How many services stand.
    pub(crate) fn services(&self) -> usize {
        let services = self.railway.view().services;
        services.iter().filter(|it| it.deleted_at.is_none()).count()
    }

    /// How many times Railway was asked this.
    pub(crate) fn asked(&self, operation: &str) -> u64 {
        let counts = self.railway.request_counts();
        let count = counts.by_operation.get(operation).copied();
        count.unwrap_or_default()
    }

    pub(crate) fn building_at(&self) -> String {
        let report = self.loops.report();
        report.and_then(|it| it.building.at).unwrap_or_default()
    }

    pub(crate) async fn until(&self, what: &str, is_so: impl AsyncFn(&Self) -> bool) {
        let began = Instant::now();
        while !is_so(self).await {
            assert!(began.elapsed() < PATIENCE, "waited in vain until {what}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn until_count(&self, status: &str, count: usize) {
        let what = format!("{count} are {status}");
        self.until(&what, async |stage| stage.count(status).await == count)
            .await;
    }
}

impl Leader {
    /// Stops it where it stands.
    pub(crate) fn kill(self) {
        self.ended.abort();
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        timeout(PATIENCE, self.ended).await.unwrap().unwrap();
    }
}
