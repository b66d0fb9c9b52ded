//! Every secret that the server is given, or makes, against everything that it says: its logs, its
//! answers, its page, and the tables that people read.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use clap::Parser;
use pool_server::{Config, Flags, serve};
use pool_simulator::faults::{Fault, FaultRule};
use pool_simulator::{AgentFault, Options};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::pool::{PATIENCE, Pool};

const POOL_KEY: &str = "SECRET-the-pools-key";
const OTHERS: [(&str, &str); 4] = [
    ("BANKR_API_KEY", "SECRET-bankr"),
    ("TELNYX_API_KEY", "SECRET-telnyx"),
    ("OPENROUTER_API_KEY", "SECRET-openrouter-for-all"),
    // The project's token, where there is one, wins over it.
    ("RAILWAY_API_TOKEN", ACCOUNT_TOKEN),
];
const ACCOUNT_TOKEN: &str = "SECRET-account-token";
/// With what Railway's echoes begin.
const QUOTED: &str = "Not for";
/// What callers say is no less theirs.
const INSTRUCTIONS: &str = "SECRET-instructions: never tell";
const JOIN_LINK: &str = "https://join.test/SECRET-join-link";
const WRONG_KEY: &str = "SECRET-key-of-another-service";
const PASSWORD: &str = "SECRET-password-of-the-database";

/// Every kind of call.
const CALLS: [(&str, &str); 13] = [
    ("POST", "/api/pool/drain"),
    ("POST", "/api/pool/reconcile"),
    ("POST", "/api/pool/replenish"),
    ("DELETE", "/api/pool/instances/nobody"),
    ("GET", "/api/pool/nothing"),
    ("GET", "/"),
    ("GET", "/page/live"),
    ("GET", "/page/script.js"),
    ("GET", "/readyz"),
    ("GET", "/version"),
    ("GET", "/api/pool/agents"),
    ("GET", "/api/pool/status"),
    ("POST", "/api/pool/claim"),
];
/// The tables that hold no secret by design.
const TABLES: [&str; 7] = [
    "ticks",
    "commands",
    "instance_events",
    "service_fates",
    "leader_terms",
    "set_aside",
    "claim_requests",
];

/// Everything that is logged, at the level of debug and ours at trace.
#[derive(Clone, Default)]
struct Logs(Arc<Mutex<Vec<u8>>>);

impl Logs {
    fn start() -> anyhow::Result<Self> {
        let logs = Self::default();
        let writer = logs.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter("debug,pool_server=trace,pool_api=trace,pool_db=trace,hyper=trace")
            .with_ansi(false)
            .with_writer(move || writer.clone());
        let started = subscriber.try_init();
        anyhow::ensure!(started.is_ok(), "logging was started before");
        Ok(logs)
    }

    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    async fn until_said(&self, what: &str) -> anyhow::Result<()> {
        let began = Instant::now();
        while !self.text().contains(what) {
            anyhow::ensure!(began.elapsed() < PATIENCE, "the logs never say {what}");
            sleep(std::time::Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

impl Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut logs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        logs.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Which of Railway's tokens are set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tokens {
    Both,
    /// Only the account's, which the simulator knows.
    Account,
}

/// A server with every secret set, on a database at this address.
fn config(pool: &Pool, database_url: &str, tokens: Tokens) -> anyhow::Result<Config> {
    let railway = &pool.railway;
    let flags = [
        "--pool-min-idle=3".to_owned(),
        "--pool-max-total=20".to_owned(),
        "--tick-interval-ms=500".to_owned(),
        "--pool-agent-scheme=http".to_owned(),
        "--pool-provision-timeout-ms=2000".to_owned(),
        format!("--railway-api-url={}", railway.graphql_url()),
        format!("--railway-project-id={}", railway.project_id()),
        format!("--railway-environment-id={}", railway.environment_id()),
        format!("--openrouter-api-url={}", railway.openrouter_url()),
        format!("--agentmail-api-url={}", railway.agentmail_url()),
    ];
    let flags = Flags::try_parse_from(std::iter::once("pool-server".to_owned()).chain(flags))?;
    let secrets = [
        ("DATABASE_URL", database_url.to_owned()),
        ("POOL_API_KEY", POOL_KEY.to_owned()),
        ("RAILWAY_TOKEN", railway.project_token()),
        ("OPENROUTER_MANAGEMENT_KEY", railway.openrouter_key()),
        ("AGENTMAIL_API_KEY", railway.agentmail_key()),
    ];
    let others = OTHERS.map(|(name, value)| (name, value.to_owned()));
    let secret = |name: &str| {
        match (tokens, name) {
            (Tokens::Account, "RAILWAY_TOKEN") => return None,
            (Tokens::Account, "RAILWAY_API_TOKEN") => return Some(railway.token()),
            _ => {}
        }
        let mut all = secrets.iter().chain(&others);
        all.find(|(known, _)| *known == name)
            .map(|(_, value)| value.clone())
    };
    let config = Config::resolve(&flags, secret)?;
    Ok(config)
}

/// What the server made for the agents that there are, which their variables hold.
async fn made(pool: &Pool) -> anyhow::Result<BTreeSet<String>> {
    let railway = &pool.railway;
    let query = json!({
        "query": "query($id: String!) { environment(id: $id) { config(decryptVariables: true) } }",
        "variables": { "id": railway.environment_id() },
    });
    let request = pool
        .http
        .post(railway.graphql_url())
        .bearer_auth(railway.token());
    let answer: Value = request.json(&query).send().await?.json().await?;
    let services = answer["data"]["environment"]["config"]["services"].as_object();
    let names = [
        "OPENCLAW_GATEWAY_TOKEN",
        "SETUP_PASSWORD",
        "PRIVATE_WALLET_KEY",
        "OPENROUTER_API_KEY",
    ];
    let made = services
        .into_iter()
        .flat_map(serde_json::Map::values)
        .flat_map(|service| names.map(|name| service["variables"][name]["value"].as_str()))
        .flatten()
        .map(str::to_owned)
        .collect();
    Ok(made)
}

/// What must not be told.
async fn secrets(pool: &Pool) -> anyhow::Result<BTreeSet<String>> {
    let railway = &pool.railway;
    let mut secrets = made(pool).await?;
    anyhow::ensure!(
        secrets.len() >= 6,
        "few secrets were made: {}",
        secrets.len()
    );
    secrets.extend([
        POOL_KEY.to_owned(),
        WRONG_KEY.to_owned(),
        PASSWORD.to_owned(),
        railway.project_token(),
        railway.openrouter_key(),
        railway.agentmail_key(),
    ]);
    secrets.extend(OTHERS.map(|(_, value)| value.to_owned()));
    Ok(secrets)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_told_whatever_goes_wrong() -> anyhow::Result<()> {
    let logs = Logs::start()?;
    let pool = Pool::with(3, Options::default()).await?;
    a_database_that_is_not_there(&pool, &logs).await?;

    let config = config(&pool, pool.database.url(), Tokens::Both)?;
    let mut said = vec![format!("{config:?}")];
    let server = Running::start(&pool, Tokens::Both, &logs).await?;
    server.until_three_are_idle(&logs).await?;
    // Those of agents that are lost on the way, and destroyed soon after, count too.
    let mut secrets = secrets(&pool).await?;
    said.extend(server.claims().await?);
    said.extend(server.echoes().await?);
    for (method, path) in CALLS {
        for key in [POOL_KEY, WRONG_KEY] {
            let body = json!({ "count": 1, "joinUrl": 7 });
            said.push(server.ask(method, path, key, body).await?.1);
        }
    }
    said.push(tables(&pool).await?);
    secrets.extend(made(&pool).await?);
    server.stop().await?;

    let logs = logs.text();
    assert!(
        logs.contains("claimed") && logs.contains("provision failed"),
        "{logs}"
    );
    none_is_in(&secrets, &said, &logs);
    for callers_own in [INSTRUCTIONS, JOIN_LINK] {
        assert!(!logs.contains(callers_own), "{callers_own}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_accounts_token_alone_no_secret_is_told_either() -> anyhow::Result<()> {
    let logs = Logs::start()?;
    let pool = Pool::with(3, Options::default()).await?;
    let config = config(&pool, pool.database.url(), Tokens::Account)?;
    let mut said = vec![format!("{config:?}")];
    let server = Running::start(&pool, Tokens::Account, &logs).await?;
    server.until_three_are_idle(&logs).await?;
    said.extend(server.echoes().await?);
    said.push(tables(&pool).await?);
    let mut secrets = secrets(&pool).await?;
    secrets.insert(pool.railway.token());
    server.stop().await?;
    none_is_in(&secrets, &said, &logs.text());
    Ok(())
}

/// A server in this process.
struct Running<'a> {
    pool: &'a Pool,
    tokens: Tokens,
    base: String,
    stop: CancellationToken,
    ended: JoinHandle<anyhow::Result<()>>,
}

impl<'a> Running<'a> {
    async fn start(pool: &'a Pool, tokens: Tokens, logs: &Logs) -> anyhow::Result<Self> {
        let config = config(pool, pool.database.url(), tokens)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let base = format!("http://{}", listener.local_addr()?);
        let stop = CancellationToken::new();
        let ended = tokio::spawn(serve::serve(config, listener, stop.clone()));
        logs.until_said("listening").await?;
        Ok(Self {
            pool,
            tokens,
            base,
            stop,
            ended,
        })
    }

    async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.ended.await?
    }

    /// The status, and headers and body in one text.
    async fn ask(
        &self,
        method: &str,
        path: &str,
        key: &str,
        body: Value,
    ) -> anyhow::Result<(u16, String)> {
        let method = reqwest::Method::from_bytes(method.as_bytes())?;
        let request = self
            .pool
            .http
            .request(method, format!("{}{path}", self.base));
        let answer = request.bearer_auth(key).json(&body).send().await?;
        let status = answer.status().as_u16();
        let headers = format!("{:?}", answer.headers());
        Ok((status, format!("{headers} {}", answer.text().await?)))
    }

    async fn until_three_are_idle(&self, logs: &Logs) -> anyhow::Result<()> {
        let began = Instant::now();
        while !self
            .ask("GET", "/api/pool/counts", POOL_KEY, json!({}))
            .await?
            .1
            .contains("\"idle\":3")
        {
            let waited = began.elapsed();
            anyhow::ensure!(waited < PATIENCE, "never three: {}", logs.text());
            sleep(std::time::Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// One claim that succeeds, whose answer holds a secret by design, and some that do not.
    async fn claims(&self) -> anyhow::Result<Vec<String>> {
        let claim = json!({
            "agentName": "Ada", "instructions": INSTRUCTIONS, "joinUrl": JOIN_LINK,
        });
        let ask = || self.ask("POST", "/api/pool/claim", POOL_KEY, claim.clone());
        let (status, _with_its_gateway_token) = ask().await?;
        assert_eq!(status, 200);
        let mut said = Vec::new();
        for fault in [
            AgentFault::Error,
            AgentFault::Garbage,
            AgentFault::RefuseProvision { status: 400 },
        ] {
            for service in self.pool.railway.view().services {
                let service = service.id.as_str().into();
                let _ = self.pool.railway.set_agent_fault(&service, Some(fault));
            }
            let (status, answer) = ask().await?;
            assert_ne!(status, 200, "{answer}");
            said.push(answer);
        }
        Ok(said)
    }

    /// Railway quotes every secret that a server has, beside its data and instead of them.
    async fn echoes(&self) -> anyhow::Result<Vec<String>> {
        let railway = &self.pool.railway;
        let mut all = vec![
            POOL_KEY.to_owned(),
            match self.tokens {
                Tokens::Both => railway.project_token(),
                Tokens::Account => railway.token(),
            },
            railway.openrouter_key(),
            railway.agentmail_key(),
            self.pool.database.url().to_owned(),
        ];
        all.extend(OTHERS.map(|(_, value)| value.to_owned()));
        if self.tokens == Tokens::Account {
            all.retain(|secret| secret != ACCOUNT_TOKEN);
        }
        let message = format!("{QUOTED} {}", all.join(" "));
        let mut said = Vec::new();
        for fault in [
            Fault::HtmlOk,
            Fault::ErrorBesideData {
                message: message.clone(),
            },
            Fault::Error {
                message,
                code: None,
            },
        ] {
            railway.inject(FaultRule::always(fault))?;
            for (method, path) in [
                ("POST", "/api/pool/reconcile"),
                ("GET", "/page/live"),
                ("GET", "/api/pool/status"),
            ] {
                said.push(self.ask(method, path, POOL_KEY, json!({})).await?.1);
            }
            railway.clear_faults();
        }
        let was_quoted = format!("{QUOTED} [REDACTED]");
        assert!(
            said.iter().any(|text| text.contains(&was_quoted)),
            "{said:?}"
        );
        Ok(said)
    }
}

fn none_is_in(secrets: &BTreeSet<String>, said: &[String], logs: &str) {
    for secret in secrets {
        for text in said {
            is_not_in(secret, text);
        }
        is_not_in(secret, logs);
    }
}

/// What people read in the database.
async fn tables(pool: &Pool) -> anyhow::Result<String> {
    let client = pool_test_database::connect(pool.database.url()).await?;
    let mut all = String::new();
    for table in TABLES {
        let rows = format!("SELECT coalesce(string_agg(t::text, ' '), '') FROM {table} t");
        let rows: String = client.query_one(&rows, &[]).await?.try_get(0)?;
        all.push_str(&rows);
    }
    Ok(all)
}

/// Tells what stands before it, and not the secret.
fn is_not_in(secret: &str, text: &str) {
    if let Some((before, _)) = text.split_once(secret) {
        let near: Vec<char> = before.chars().rev().take(300).collect();
        let near: String = near.into_iter().rev().collect();
        panic!("a secret of {} characters follows {near}", secret.len());
    }
}

/// Warned of, with its address taken apart and its password left out.
async fn a_database_that_is_not_there(pool: &Pool, logs: &Logs) -> anyhow::Result<()> {
    let url = format!("postgres://user:{PASSWORD}@127.0.0.1:1/none");
    let config = config(pool, &url, Tokens::Both)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let stop = CancellationToken::new();
    let server = tokio::spawn(serve::serve(config, listener, stop.clone()));
    logs.until_said("the database is not available yet").await?;
    stop.cancel();
    let error = server.await?.err();
    let said = error.map(|error| format!("{error:?} {}", pool_domain::chain(&*error)));
    assert!(said.is_some_and(|said| !said.contains(PASSWORD)));
    Ok(())
}
