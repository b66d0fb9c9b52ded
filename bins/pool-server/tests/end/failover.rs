//! A primary that dies under load, and a standby that is promoted in its place: two servers that know
//! both hosts go on with the new one, and nobody who was answered 200 has lost his agent.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use local_postgres::{Halt, Options, Programs, Server as Postgres};
use pool_simulator::{AgentFault, Options as SimulatorOptions};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::database::{committing, set_agents};
use crate::pool::{KEY, PATIENCE, Pool, Server};

/// From the promotion on.
const RECOVERS_WITHIN: Duration = Duration::from_secs(10);
const CALLERS: usize = 6;
/// What an agent takes, so that claims are under way when the primary dies.
const AGENT_TAKES_MS: u64 = 300;
/// More than the callers can take in the time of a test.
const STOCK: usize = 240;

/// Somebody who claims again and again, at one server.
struct Caller {
    base: String,
    name: String,
    http: reqwest::Client,
    stop: Arc<AtomicBool>,
    promoted: Arc<AtomicBool>,
}

/// What a caller was told.
#[derive(Debug, Default)]
struct Told {
    /// The instances that came with 200.
    granted: Vec<String>,
    /// When the first claim was granted that was sent after the promotion.
    recovered: Option<Instant>,
}

impl Caller {
    async fn run(self) -> anyhow::Result<Told> {
        let mut told = Told::default();
        while !self.stop.load(Ordering::SeqCst) {
            let is_after = self.promoted.load(Ordering::SeqCst);
            let (status, body) = self.claim().await?;
            match (status, body["instanceId"].as_str()) {
                (200, Some(id)) => {
                    told.granted.push(id.to_owned());
                    if is_after && told.recovered.is_none() {
                        told.recovered = Some(Instant::now());
                    }
                }
                (503, _) => sleep(Duration::from_millis(100)).await,
                _ => anyhow::bail!("a claim was answered {status}: {body}"),
            }
        }
        Ok(told)
    }

    async fn claim(&self) -> anyhow::Result<(u16, Value)> {
        let request = self.http.post(format!("{}/api/pool/claim", self.base));
        let body = json!({ "agentName": self.name, "instructions": "x" });
        let answer = request.bearer_auth(KEY).json(&body).send();
        let answer = timeout(PATIENCE, answer).await.context("a claim hung")??;
        Ok((answer.status().as_u16(), answer.json().await?))
    }
}

struct Stage {
    primary: Postgres,
    standby: Postgres,
    pool: Pool,
    servers: [Server; 2],
}

impl Stage {
    async fn new(synchronous: bool) -> anyhow::Result<Self> {
        let options = committing(Options::temporary(Programs::find(&[])?));
        let mut primary = Postgres::start(&options)?;
        let admin = pool_test_database::connect(&primary.url("postgres")).await?;
        admin.batch_execute("CREATE DATABASE pool").await?;
        let port = primary.port();
        let standby = primary.standby(&options, port)?;
        if synchronous {
            let admin = pool_test_database::connect(&primary.url("postgres")).await?;
            let name = "ALTER SYSTEM SET synchronous_standby_names = '*'";
            admin.batch_execute(name).await?;
            admin.batch_execute("SELECT pg_reload_conf()").await?;
        }
        let both = format!("127.0.0.1:{port},127.0.0.1:{}", standby.port());
        let url = primary
            .url("pool")
            .replace(&format!("127.0.0.1:{port}"), &both);
        let pool = Pool::with(0, SimulatorOptions::default()).await?;
        let pool = pool
            .set("pool-max-total", STOCK * 2)
            .reaching(format!("{url}?target_session_attrs=read-write"));
        pool.seed(STOCK)?;
        let servers = [pool.start().await?, pool.start().await?];
        servers[0].until_count("idle", STOCK).await?;
        set_agents(&pool, Some(AgentFault::Slow { ms: AGENT_TAKES_MS }))?;
        Ok(Self {
            primary,
            standby,
            pool,
            servers,
        })
    }

    /// Kills the primary under load, and promotes the standby a second later. What callers were told.
    async fn fail_over(&mut self) -> anyhow::Result<HashSet<String>> {
        let stop = Arc::new(AtomicBool::new(false));
        let promoted = Arc::new(AtomicBool::new(false));
        let callers: Vec<JoinHandle<anyhow::Result<Told>>> = (0..CALLERS)
            .map(|number| {
                let caller = Caller {
                    base: self.servers[number % 2].base.clone(),
                    name: format!("caller {number}"),
                    http: self.pool.http.clone(),
                    stop: Arc::clone(&stop),
                    promoted: Arc::clone(&promoted),
                };
                tokio::spawn(caller.run())
            })
            .collect();
        sleep(Duration::from_secs(2)).await;
        self.primary.halt(Halt::Immediate)?;
        sleep(Duration::from_secs(1)).await;
        let standby = pool_test_database::connect(&self.standby.url("pool")).await?;
        standby.query("SELECT pg_promote()", &[]).await?;
        promoted.store(true, Ordering::SeqCst);
        let at = Instant::now();
        self.is_led_again(at).await?;
        sleep(Duration::from_secs(2)).await;
        stop.store(true, Ordering::SeqCst);
        let mut granted = HashSet::new();
        for caller in callers {
            let told = timeout(PATIENCE, caller).await???;
            let recovered = told.recovered.context("a caller was never served again")?;
            let took = recovered - at;
            ensure!(
                took < RECOVERS_WITHIN,
                "no claim {took:?} after the promotion"
            );
            for id in told.granted {
                ensure!(granted.insert(id.clone()), "{id} was handed out twice");
            }
        }
        Ok(granted)
    }

    /// Somebody ticks on the new primary.
    async fn is_led_again(&self, at: Instant) -> anyhow::Result<()> {
        let ticked = "SELECT count(*) FROM ticks WHERE started_at > \
                      (SELECT max(started_at) FROM leader_terms) AND term > \
                      (SELECT min(term) FROM leader_terms)";
        while self.pool.number(ticked).await? == 0 {
            let waited = at.elapsed();
            ensure!(waited < RECOVERS_WITHIN, "nobody leads {waited:?} after");
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    fn handed_out_twice(&self) -> usize {
        let agents = self.pool.railway.view().agents;
        agents.iter().filter(|agent| agent.provisions > 1).count()
    }

    async fn end(self) -> anyhow::Result<()> {
        for server in &self.servers {
            server.reconcile().await?;
        }
        for server in self.servers {
            server.stop().await?;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_to_a_synchronous_standby_loses_nothing_that_was_answered() -> anyhow::Result<()>
{
    let mut stage = Stage::new(true).await?;
    let granted = stage.fail_over().await?;
    let ids: Vec<_> = granted.iter().map(|id| format!("'{id}'")).collect();
    let kept = format!(
        "SELECT count(*) FROM instances WHERE status = 'claimed' AND conversation_id IS NOT NULL \
         AND id IN ({})",
        ids.join(", ")
    );
    let kept = stage.pool.number(&kept).await?;
    assert_eq!(usize::try_from(kept)?, granted.len());
    assert_eq!(stage.handed_out_twice(), 0);
    stage.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_to_an_asynchronous_standby_hands_nothing_out_twice() -> anyhow::Result<()> {
    let mut stage = Stage::new(false).await?;
    stage.fail_over().await?;
    assert_eq!(stage.handed_out_twice(), 0);
    stage.end().await
}
