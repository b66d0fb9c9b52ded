//! A primary that dies or vanishes under load, and a standby that is promoted in its place: two servers
//! that know both hosts go on with the new one, and nobody who was answered 200 has lost his agent, or
//! shares it where the standby had not heard of it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use local_postgres::{Halt, Options, Programs, Server as Postgres};
use pool_simulator::{AgentFault, Options as SimulatorOptions};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::database::{committing, set_agents};
use crate::pool::{KEY, PATIENCE, Pool, Server};
use crate::proxy::{Proxy, Wire};

/// From the promotion on.
const RECOVERS_WITHIN: Duration = Duration::from_secs(10);
/// The same where nothing says that the primary is gone: sessions are given up that do not prove themselves
/// for a second, the leader's after 7 s, and one that owes an answer after 20 s.
const NOTICES_WITHIN: Duration = Duration::from_secs(30);
const CALLERS: usize = 6;
/// What an agent takes, so that claims are under way when the primary dies.
const AGENT_TAKES_MS: u64 = 300;
/// More than the callers can take in the time of a test.
const STOCK: usize = 240;

/// How the primary goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// With everything that it wrote at the standby, or on the way there.
    Killed,
    /// After a second in which the standby heard of nothing.
    KilledAhead,
    /// No connection to it is closed, and nothing comes back.
    Vanishes,
}

/// Somebody who claims again and again, at one server.
struct Caller {
    base: String,
    name: String,
    http: reqwest::Client,
    stop: Arc<AtomicBool>,
    promoted: Arc<AtomicBool>,
    may_be_unknown: bool,
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
                // Whoever's confirmation went to one that vanished, or whose lease was lost.
                (502 | 504, _) if self.may_be_unknown => {}
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
    /// Between the servers and the primary.
    wire: Proxy,
    /// Between the standby and the primary.
    replication: Proxy,
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
        let replication = Proxy::start(port).await?;
        let standby = primary.standby(&options, replication.port())?;
        if synchronous {
            let admin = pool_test_database::connect(&primary.url("postgres")).await?;
            let name = "ALTER SYSTEM SET synchronous_standby_names = '*'";
            admin.batch_execute(name).await?;
            admin.batch_execute("SELECT pg_reload_conf()").await?;
        }
        let wire = Proxy::start(port).await?;
        let url = wire.instead_of(&primary.url("pool"))?;
        let (hosts, database) = url.rsplit_once('/').context("an address has a path")?;
        let url = format!("{hosts},127.0.0.1:{}/{database}", standby.port());
        let pool = Pool::with(0, SimulatorOptions::default()).await?;
        let pool = pool
            .set("pool-max-total", STOCK * 2)
            .set("pool-provision-timeout-ms", 8_000)
            .set("pool-claim-lease-ms", 12_000)
            .reaching(format!("{url}?target_session_attrs=read-write"));
        pool.seed(STOCK)?;
        let servers = [pool.start().await?, pool.start().await?];
        servers[0].until_count("idle", STOCK).await?;
        set_agents(&pool, Some(AgentFault::Slow { ms: AGENT_TAKES_MS }))?;
        Ok(Self {
            primary,
            standby,
            wire,
            replication,
            pool,
            servers,
        })
    }

    /// Ends the primary under load, and promotes the standby a second later. What callers were told.
    async fn fail_over(&mut self, end: End) -> anyhow::Result<HashSet<String>> {
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
                    may_be_unknown: end != End::Killed,
                };
                tokio::spawn(caller.run())
            })
            .collect();
        sleep(Duration::from_secs(1)).await;
        let standby = pool_test_database::connect(&self.standby.url("pool")).await?;
        if end == End::KilledAhead {
            self.replication.set(Wire::Cut);
        }
        sleep(Duration::from_secs(1)).await;
        let known = claimed(&self.primary).await?;
        match end {
            End::Killed | End::KilledAhead => self.primary.halt(Halt::Immediate)?,
            End::Vanishes => self.wire.set(Wire::Cut),
        }
        sleep(Duration::from_secs(1)).await;
        let lost = known.difference(&claimed(&self.standby).await?).count();
        println!("{end:?}: the standby had not heard of {lost} claims");
        ensure!(end != End::KilledAhead || lost > 0, "nothing was lost");
        standby.query("SELECT pg_promote()", &[]).await?;
        promoted.store(true, Ordering::SeqCst);
        let at = Instant::now();
        let within = match end {
            End::Killed | End::KilledAhead => RECOVERS_WITHIN,
            End::Vanishes => NOTICES_WITHIN,
        };
        self.is_led_again(at, within).await?;
        println!("{end:?}: led again after {:?}", at.elapsed());
        if end == End::Vanishes {
            sleep_until(at + NOTICES_WITHIN).await;
        }
        sleep(Duration::from_secs(2)).await;
        stop.store(true, Ordering::SeqCst);
        let mut granted = HashSet::new();
        for caller in callers {
            let told = timeout(PATIENCE, caller).await???;
            let recovered = told.recovered.context("a caller was never served again")?;
            let took = recovered - at;
            println!("{end:?}: a caller is served again after {took:?}");
            ensure!(took < within, "no claim {took:?} after the promotion");
            for id in told.granted {
                ensure!(granted.insert(id.clone()), "{id} was handed out twice");
            }
        }
        Ok(granted)
    }

    /// Somebody ticks on the new primary.
    async fn is_led_again(&self, at: Instant, within: Duration) -> anyhow::Result<()> {
        let ticked = "SELECT count(*) FROM ticks WHERE started_at > \
                      (SELECT max(started_at) FROM leader_terms) AND term > \
                      (SELECT min(term) FROM leader_terms)";
        let client = pool_test_database::connect(&self.standby.url("pool")).await?;
        while client.query_one(ticked, &[]).await?.get::<_, i64>(0) == 0 {
            let waited = at.elapsed();
            ensure!(waited < within, "nobody leads {waited:?} after");
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

/// Which instances are somebody's by the records of this host.
async fn claimed(postgres: &Postgres) -> anyhow::Result<HashSet<String>> {
    let client = pool_test_database::connect(&postgres.url("pool")).await?;
    let claimed = "SELECT id FROM instances WHERE status = 'claimed'";
    let rows = client.query(claimed, &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// How many of these are claimed, with their conversation, by the records of the new primary.
async fn kept(stage: &Stage, granted: &HashSet<String>) -> anyhow::Result<usize> {
    let client = pool_test_database::connect(&stage.standby.url("pool")).await?;
    let ids: Vec<_> = granted.iter().map(String::as_str).collect();
    let kept = "SELECT count(*) FROM instances WHERE status = 'claimed' \
                AND conversation_id IS NOT NULL AND id = ANY ($1)";
    let kept: i64 = client.query_one(kept, &[&ids]).await?.get(0);
    Ok(usize::try_from(kept)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_to_a_synchronous_standby_loses_nothing_that_was_answered() -> anyhow::Result<()>
{
    let mut stage = Stage::new(true).await?;
    let granted = stage.fail_over(End::Killed).await?;
    assert_eq!(kept(&stage, &granted).await?, granted.len());
    assert_eq!(stage.handed_out_twice(), 0);
    stage.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_to_an_asynchronous_standby_hands_nothing_out_twice() -> anyhow::Result<()> {
    let mut stage = Stage::new(false).await?;
    stage.fail_over(End::Killed).await?;
    assert_eq!(stage.handed_out_twice(), 0);
    stage.end().await
}

/// What the standby calls idle is in somebody's conversation, and its agent says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_failover_that_loses_claims_hands_none_of_their_agents_out_again() -> anyhow::Result<()> {
    let mut stage = Stage::new(false).await?;
    let granted = stage.fail_over(End::KilledAhead).await?;
    assert_eq!(stage.handed_out_twice(), 0);
    let began = Instant::now();
    while kept(&stage, &granted).await? < granted.len() {
        ensure!(began.elapsed() < PATIENCE, "somebody lost his agent");
        sleep(Duration::from_millis(100)).await;
    }
    let live = stage.pool.live_services().len();
    assert_eq!(live, STOCK, "none was destroyed");
    stage.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_vanishes_without_a_word_is_given_up_in_time() -> anyhow::Result<()> {
    let mut stage = Stage::new(true).await?;
    stage.fail_over(End::Vanishes).await?;
    assert_eq!(stage.handed_out_twice(), 0);
    stage.end().await
}
