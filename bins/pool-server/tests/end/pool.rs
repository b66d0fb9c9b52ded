//! A pool of a test's own: a database, a simulated Railway, and one server or several.

use std::collections::HashMap;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Parser;
use pool_server::{Config, Flags, Surroundings, serve};
use pool_simulator::{Options, SeedServices, Simulator};
use pool_test_database::TestDatabase;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

pub(crate) const KEY: &str = "the-pools-key";
/// How long anything may take that a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A database and a Railway. Servers come and go.
pub(crate) struct Pool {
    pub(crate) database: TestDatabase,
    pub(crate) railway: Simulator,
    pub(crate) http: reqwest::Client,
    /// Where the servers and the tests find the database.
    url: String,
    settings: HashMap<&'static str, String>,
    secrets: HashMap<&'static str, String>,
}

pub(crate) struct Server {
    pub(crate) base: String,
    pub(crate) stop: CancellationToken,
    pub(crate) ended: JoinHandle<anyhow::Result<()>>,
    http: reqwest::Client,
}

impl Pool {
    pub(crate) async fn new(target: usize) -> anyhow::Result<Self> {
        Self::with(target, Options::default()).await
    }

    pub(crate) async fn with(target: usize, options: Options) -> anyhow::Result<Self> {
        Self::on(TestDatabase::create().await, target, options).await
    }

    /// On a database that may hold anything.
    pub(crate) async fn on(
        database: TestDatabase,
        target: usize,
        options: Options,
    ) -> anyhow::Result<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let railway = Simulator::start(options).await?;
        let settings = [
            ("pool-min-idle", target.to_string()),
            ("pool-max-total", (target + 50).to_string()),
            ("tick-interval-ms", "500".to_owned()),
            ("pool-missing-grace-ms", "2000".to_owned()),
            ("pool-agent-scheme", "http".to_owned()),
            ("railway-api-url", railway.graphql_url()),
            ("railway-project-id", railway.project_id().into_string()),
            (
                "railway-environment-id",
                railway.environment_id().into_string(),
            ),
        ];
        Ok(Self {
            url: database.url().to_owned(),
            database,
            railway,
            http: reqwest::Client::builder().no_proxy().build()?,
            settings: settings.into(),
            secrets: HashMap::new(),
        })
    }

    /// With the accounts that the simulator has, or without them again.
    pub(crate) fn with_accounts(mut self, are_configured: bool) -> Self {
        let secrets = [
            ("OPENROUTER_MANAGEMENT_KEY", self.railway.openrouter_key()),
            ("AGENTMAIL_API_KEY", self.railway.agentmail_key()),
        ];
        self.secrets = secrets.into_iter().filter(|_| are_configured).collect();
        let (openrouter, agentmail) = (self.railway.openrouter_url(), self.railway.agentmail_url());
        self.set("openrouter-api-url", openrouter)
            .set("agentmail-api-url", agentmail)
    }

    pub(crate) fn secret(mut self, name: &'static str, value: &str) -> Self {
        self.secrets.insert(name, value.to_owned());
        self
    }

    /// With another value for a setting, named as its flag is.
    pub(crate) fn set(mut self, name: &'static str, value: impl std::fmt::Display) -> Self {
        self.settings.insert(name, format!("{value}"));
        self
    }

    /// With another database than the tests' own.
    pub(crate) fn reaching(mut self, url: String) -> Self {
        self.url = url;
        self
    }

    fn config_at(&self, url: &str) -> anyhow::Result<Config> {
        let flags = self
            .settings
            .iter()
            .map(|(name, value)| format!("--{name}={value}"));
        let arguments = std::iter::once("pool-server".to_owned()).chain(flags);
        let flags = Flags::try_parse_from(arguments)?;
        let secrets = [
            ("DATABASE_URL", url.to_owned()),
            ("POOL_API_KEY", KEY.to_owned()),
            ("RAILWAY_API_TOKEN", self.railway.token()),
        ];
        let secret = |name: &str| {
            let secret = secrets.iter().find(|(known, _)| *known == name);
            let secret = secret.map(|(_, value)| value.clone());
            secret.or_else(|| self.secrets.get(name).cloned())
        };
        Ok(Config::resolve(&flags, secret)?)
    }

    pub(crate) async fn start(&self) -> anyhow::Result<Server> {
        self.start_at(&self.url).await
    }

    /// A server that finds the database elsewhere than the others do.
    pub(crate) async fn start_at(&self, url: &str) -> anyhow::Result<Server> {
        self.start_in(url, Surroundings::default()).await
    }

    /// A server that reaches the world in another way than the others do.
    pub(crate) async fn start_in(
        &self,
        url: &str,
        surroundings: Surroundings,
    ) -> anyhow::Result<Server> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let base = format!("http://{}", listener.local_addr()?);
        let stop = CancellationToken::new();
        let config = self.config_at(url)?;
        let serving = serve::serve_in(config, listener, surroundings, stop.clone());
        let ended = tokio::spawn(serving);
        let server = Server {
            base,
            stop,
            ended,
            http: self.http.clone(),
        };
        server
            .until("the server answers", async |server| {
                let answer = server
                    .http
                    .get(format!("{}/healthz", server.base))
                    .send()
                    .await;
                Ok(answer.is_ok_and(|answer| answer.status().is_success()))
            })
            .await?;
        Ok(server)
    }

    /// Services of this pool that run already.
    pub(crate) fn seed(&self, count: usize) -> anyhow::Result<()> {
        let variables = [
            ("POOL_API_KEY".to_owned(), KEY.to_owned()),
            ("OPENCLAW_GATEWAY_TOKEN".to_owned(), "gateway".to_owned()),
        ];
        let mount_path = Some("/data".to_owned());
        let variables = variables.into();
        self.railway.seed_services(&SeedServices {
            count,
            variables,
            mount_path,
            ..SeedServices::default()
        })?;
        Ok(())
    }

    /// Services that run, and a server that leads and found all of them ready.
    pub(crate) async fn start_with_stock(&self, stock: usize) -> anyhow::Result<Server> {
        self.seed(stock)?;
        let leader = self.start().await?;
        leader
            .until("all are idle", async |leader| {
                leader.reconcile().await?;
                Ok(leader.count("idle").await? == stock)
            })
            .await?;
        Ok(leader)
    }

    /// Services that run, each in somebody's conversation, and no server any more.
    pub(crate) async fn give_away(&self, count: usize) -> anyhow::Result<()> {
        let server = self.start_with_stock(count).await?;
        for n in 0..count {
            server.claim(&format!("caller {n}")).await?;
        }
        server.stop().await
    }

    /// The same Railway, and a database in which nothing was ever written.
    pub(crate) async fn with_an_empty_database(mut self) -> anyhow::Result<Self> {
        self.database = TestDatabase::create().await;
        self.url = self.database.url().to_owned();
        Ok(self)
    }

    /// Copies what every table holds now, to be put back later.
    pub(crate) async fn dump(&self) -> anyhow::Result<()> {
        self.execute(
            "CREATE SCHEMA saved; \
             DO $$ DECLARE it text; BEGIN \
                 FOR it IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP \
                     EXECUTE format('CREATE TABLE saved.%1$I AS TABLE public.%1$I', it); \
                 END LOOP; \
             END $$",
        )
        .await
    }

    /// Puts it back as a restore from a dump does, the identity of the record too.
    pub(crate) async fn restore(&self) -> anyhow::Result<()> {
        self.bring_back("TRUE").await
    }

    /// Puts it back as a disk is: nothing in it tells.
    pub(crate) async fn put_back(&self) -> anyhow::Result<()> {
        self.bring_back("tablename <> 'record_identity'").await
    }

    /// Beside it, `saved.claimed` says what was claimed since.
    async fn bring_back(&self, which: &str) -> anyhow::Result<()> {
        self.execute(&format!(
            "BEGIN; \
             CREATE TABLE saved.claimed AS SELECT service_id FROM instances WHERE status = 'claimed'; \
             SET LOCAL session_replication_role = replica; \
             DO $$ DECLARE it text; BEGIN \
                 FOR it IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND {which} LOOP \
                     EXECUTE format('TRUNCATE public.%1$I', it); \
                     EXECUTE format('INSERT INTO public.%1$I OVERRIDING SYSTEM VALUE SELECT * FROM saved.%1$I', it); \
                 END LOOP; \
             END $$; \
             COMMIT"
        ))
        .await
    }

    /// A statement of a person's, or several.
    pub(crate) async fn execute(&self, sql: &str) -> anyhow::Result<()> {
        let client = pool_test_database::connect(&self.url).await?;
        Ok(client.batch_execute(sql).await?)
    }

    /// The names of the services that are alive, in order.
    pub(crate) fn live_services(&self) -> Vec<String> {
        let services = self.railway.view().services.into_iter();
        let mut names: Vec<_> = services
            .filter(|it| it.deleted_at.is_none())
            .map(|it| it.name)
            .collect();
        names.sort();
        names
    }

    /// The services that have a volume which nobody deleted.
    pub(crate) fn live_volumes(&self) -> usize {
        self.railway
            .view()
            .volumes
            .iter()
            .filter(|volume| !volume.pending_deletion)
            .count()
    }

    /// One number from the database.
    pub(crate) async fn number(&self, query: &str) -> anyhow::Result<i64> {
        let client = pool_test_database::connect(&self.url).await?;
        Ok(client.query_one(query, &[]).await?.try_get(0)?)
    }
}

/// The program itself on this database and this Railway, listening where there is room.
pub(crate) fn program(database_url: &str, railway: &Simulator) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_pool-server"));
    program
        .env_clear()
        .env("DATABASE_URL", database_url)
        .env("POOL_API_KEY", KEY)
        .env("POOL_AGENT_SCHEME", "http")
        .env("PORT", "0")
        .env("RAILWAY_API_TOKEN", railway.token())
        .env("RAILWAY_PROJECT_ID", railway.project_id().as_str())
        .env("RAILWAY_ENVIRONMENT_ID", railway.environment_id().as_str())
        .env("RAILWAY_API_URL", railway.graphql_url());
    program
}

impl Server {
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let request = self
            .http
            .get(format!("{}{path}", self.base))
            .bearer_auth(KEY);
        Ok(request.send().await?.error_for_status()?.json().await?)
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<(u16, Value)> {
        let request = self
            .http
            .post(format!("{}{path}", self.base))
            .bearer_auth(KEY)
            .json(body);
        let answer = request.send().await?;
        Ok((answer.status().as_u16(), answer.json().await?))
    }

    /// `/readyz`: the status and the body.
    pub(crate) async fn readiness(&self) -> anyhow::Result<(u16, Value)> {
        let answer = self
            .http
            .get(format!("{}/readyz", self.base))
            .send()
            .await?;
        Ok((answer.status().as_u16(), answer.json().await?))
    }

    pub(crate) async fn delete(&self, path: &str) -> anyhow::Result<(u16, Value)> {
        let request = self
            .http
            .delete(format!("{}{path}", self.base))
            .bearer_auth(KEY);
        let answer = request.send().await?;
        Ok((answer.status().as_u16(), answer.json().await?))
    }

    pub(crate) async fn claim(&self, name: &str) -> anyhow::Result<Value> {
        let body = json!({ "agentName": name, "instructions": "Answer in one sentence." });
        let (status, answer) = self.post("/api/pool/claim", &body).await?;
        ensure!(status == 200, "the claim was answered {status}: {answer}");
        Ok(answer)
    }

    pub(crate) async fn count(&self, status: &str) -> anyhow::Result<usize> {
        let counts = self.get("/api/pool/counts").await?;
        let count = counts[status].as_u64().context("a count is a number")?;
        Ok(usize::try_from(count)?)
    }

    /// Waits until it is so.
    pub(crate) async fn until(
        &self,
        what: &str,
        is_so: impl AsyncFn(&Self) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let began = Instant::now();
        while !is_so(self).await? {
            ensure!(!self.ended.is_finished(), "the server ended before {what}");
            ensure!(
                began.elapsed() < PATIENCE,
                "waited {PATIENCE:?} in vain until {what}"
            );
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    pub(crate) async fn until_count(&self, status: &str, count: usize) -> anyhow::Result<()> {
        let what = format!("{count} are {status}");
        self.until(&what, async |server| {
            Ok(server.count(status).await? == count)
        })
        .await
    }

    /// A tick now, and its report.
    pub(crate) async fn reconcile(&self) -> anyhow::Result<Value> {
        let (status, answer) = self.post("/api/pool/reconcile", &json!({})).await?;
        ensure!(status == 200, "reconcile was answered {status}: {answer}");
        Ok(answer["report"].clone())
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        timeout(PATIENCE, self.ended)
            .await
            .context("the server did not stop")??
    }
}
