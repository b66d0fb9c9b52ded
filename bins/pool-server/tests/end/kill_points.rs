//! A server is killed at every point of a claim, and its caller asks another server with the same
//! key. `cargo xtask test -p pool-server every_point_of_a_claim --success-output immediate` prints
//! what came of each.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use pool_simulator::AgentFault;
use pool_simulator::server::ProvisionView;
use serde_json::{Value, json};
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::pool::{KEY, PATIENCE, Pool, Server, program};

/// How many agents are kept idle.
const TARGET: usize = 4;
/// How many of the servers to be killed run at once, each with 28 connections to the database.
const VICTIMS_AT_ONCE: usize = 3;
/// Long enough for a caller to come back while the lease still runs, on a busy machine too.
const LEASE_MS: u64 = 5_000;
const PROVISION_TIMEOUT_MS: u64 = 4_000;

/// What the caller finds who comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// Nothing had happened: an agent.
    Served,
    /// It had succeeded: the very agent that the row says is claimed.
    Same,
    /// Nobody can know: at first that it runs, and once the lease has run out that.
    Lost,
}

struct Kill {
    at: &'static str,
    /// What every agent does to the claim.
    agents: Option<AgentFault>,
    then: Then,
}

const fn kill(at: &'static str, then: Then) -> Kill {
    let agents = None;
    Kill { at, agents, then }
}

const fn with(agents: AgentFault, at: &'static str, then: Then) -> Kill {
    let agents = Some(agents);
    Kill { at, agents, then }
}

/// Not a failpoint: the process is killed from outside.
pub(crate) const WHILE_CALLED: &str = "(while the agent is called)";

const KILLS: [Kill; 12] = [
    kill("claim.before_lease", Then::Served),
    kill("claim.after_lease", Then::Lost),
    kill("claim.before_provision", Then::Lost),
    with(AgentFault::HangAfterProvision, WHILE_CALLED, Then::Lost),
    kill("claim.before_confirm", Then::Lost),
    kill("claim.after_confirm", Then::Same),
    with(REFUSES, "claim.before_release", Then::Lost),
    with(REFUSES, "claim.after_release", Then::Served),
    with(BOUND, "claim.before_bind", Then::Lost),
    with(BOUND, "claim.after_bind", Then::Served),
    with(BREAKS, "claim.before_abandon", Then::Lost),
    with(BREAKS, "claim.after_abandon", Then::Lost),
];
const REFUSES: AgentFault = AgentFault::RefuseProvision { status: 503 };
const BOUND: AgentFault = AgentFault::RefuseProvision { status: 409 };
const BREAKS: AgentFault = AgentFault::ErrorAfterProvision;

/// A real process, to be killed.
pub(crate) struct Victim {
    pub(crate) process: Child,
    pub(crate) base: String,
    log: PathBuf,
}

impl Victim {
    pub(crate) async fn start(pool: &Pool, n: usize, at: &str) -> anyhow::Result<Self> {
        let name = format!("{}-{n}.log", pool.database.name());
        let log = std::env::temp_dir().join(name);
        let mut command = program(pool.database.url(), &pool.railway);
        command
            .env("POOL_CLAIM_LEASE_MS", LEASE_MS.to_string())
            .env(
                "POOL_PROVISION_TIMEOUT_MS",
                PROVISION_TIMEOUT_MS.to_string(),
            )
            .env("POOL_LOG_FORMAT", "json")
            .stdout(Stdio::null())
            .stderr(Stdio::from(File::create(&log)?));
        if at != WHILE_CALLED {
            command.env("POOL_KILL_AT", at);
        }
        let mut victim = Self {
            process: command.spawn()?,
            base: String::new(),
            log,
        };
        let began = Instant::now();
        while victim.base.is_empty() {
            ensure!(began.elapsed() < PATIENCE, "the server does not listen");
            sleep(Duration::from_millis(20)).await;
            victim.base = victim.address()?.unwrap_or_default();
        }
        Ok(victim)
    }

    /// Where it says that it listens.
    fn address(&self) -> anyhow::Result<Option<String>> {
        let log = std::fs::read_to_string(&self.log)?;
        let mut lines = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let address = lines.find_map(|line| Some(line["server.address"].as_str()?.to_owned()));
        let port = address.and_then(|it| Some(it.rsplit_once(':')?.1.to_owned()));
        Ok(port.map(|port| format!("http://127.0.0.1:{port}")))
    }

    async fn until_killed(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait()? {
                ensure!(status.signal() == Some(9), "it ended by itself: {status}");
                return Ok(());
            }
            ensure!(began.elapsed() < PATIENCE, "it was not killed");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if !std::thread::panicking() {
            let _ = std::fs::remove_file(&self.log);
        }
    }
}

/// The caller's claim, under a key and for an agent of its own.
async fn claim(pool: &Pool, base: &str, name: &str) -> reqwest::Result<(u16, String)> {
    let body = json!({ "agentName": name, "instructions": "Answer in one sentence." });
    let request = pool
        .http
        .post(format!("{base}/api/pool/claim"))
        .bearer_auth(KEY)
        .header("idempotency-key", format!("\"{name}\""))
        .json(&body);
    let answer = request.send().await?;
    let status = answer.status().as_u16();
    assert!(
        status != 409 || answer.headers().contains_key("retry-after"),
        "whoever is to wait is told for how long"
    );
    Ok((status, answer.text().await?))
}

/// Every agent that is nobody's gets the fault, or is healed.
fn tell_agents(pool: &Pool, fault: Option<AgentFault>) -> anyhow::Result<()> {
    for agent in pool.railway.view().agents {
        let service = agent.service_id.as_str().into();
        pool.railway.set_agent_fault(&service, fault)?;
    }
    Ok(())
}

/// How often an agent was set up under this name.
fn set_up(pool: &Pool, name: &str) -> usize {
    let calls = pool.railway.world(|world| ProvisionView::all(world));
    calls
        .iter()
        .filter(|call| call.agent_name == name && call.outcome != "refused")
        .count()
}

/// Kills a server in the middle of a claim, and says what its caller is told who asks another one
/// at once.
async fn kill_one(
    pool: &Pool,
    survivor: &Server,
    one_at_a_time: &Mutex<()>,
    n: usize,
) -> anyhow::Result<u16> {
    let (kill, name) = (&KILLS[n], format!("caller {n}"));
    let mut victim = Victim::start(pool, n, kill.at).await?;
    let _turn = one_at_a_time.lock().await;
    until_some_are_idle(pool).await?;
    tell_agents(pool, kill.agents)?;
    let base = victim.base.clone();
    let unanswered = async {
        let answer = claim(pool, &base, &name).await;
        ensure!(answer.is_err(), "the caller was answered: {answer:?}");
        Ok(())
    };
    tokio::try_join!(unanswered, async {
        if kill.at == WHILE_CALLED {
            let began = Instant::now();
            while set_up(pool, &name) == 0 {
                ensure!(began.elapsed() < PATIENCE, "the agent was not called");
                sleep(Duration::from_millis(5)).await;
            }
            victim.process.kill()?;
        }
        victim.until_killed().await
    })?;
    tell_agents(pool, None)?;
    Ok(claim(pool, &survivor.base, &name).await?.0)
}

/// Counted in the database: what a server counts may be a second old.
async fn until_some_are_idle(pool: &Pool) -> anyhow::Result<()> {
    let began = Instant::now();
    while pool
        .number("SELECT count(*) FROM instances WHERE status = 'idle'")
        .await?
        < 3
    {
        ensure!(began.elapsed() < PATIENCE, "the stock does not refill");
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Asks until the claim is decided.
async fn until_decided(pool: &Pool, base: &str, name: &str) -> anyhow::Result<(u16, String)> {
    let began = Instant::now();
    loop {
        let (status, text) = claim(pool, base, name).await?;
        if status != 409 {
            return Ok((status, text));
        }
        ensure!(began.elapsed() < PATIENCE, "still running: {text}");
        sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_point_of_a_claim_nothing_is_lost_or_done_twice() -> anyhow::Result<()> {
    let pool = Pool::new(TARGET)
        .await?
        .set("pool-claim-lease-ms", LEASE_MS)
        .set("pool-provision-timeout-ms", PROVISION_TIMEOUT_MS);
    let pool = Arc::new(pool);
    let survivor = Arc::new(pool.start().await?);
    survivor.until_count("idle", TARGET).await?;

    let at_once = at_once(&pool, &survivor).await?;
    let mut table = format!("{:<28}at once  in the end\n", "killed at");
    let mut handed_out = HashMap::new();
    for (n, kill) in KILLS.iter().enumerate() {
        let name = format!("caller {n}");
        let (status, text) = until_decided(&pool, &survivor.base, &name).await?;
        let _ = writeln!(table, "{:<28}{:<9}{status}", kill.at, at_once[&n]);
        check(&pool, kill, &name, status, &text)
            .await
            .context(kill.at)?;
        let again = claim(&pool, &survivor.base, &name).await?;
        ensure!(
            again == (status, text.clone()),
            "{}: then {again:?}",
            kill.at
        );
        if status == 200 {
            let id = serde_json::from_str::<Value>(&text)?["instanceId"].clone();
            let before = handed_out.insert(id.to_string(), kill.at);
            ensure!(before.is_none(), "{id} twice: {before:?} and {}", kill.at);
        }
        ensure!(set_up(&pool, &name) <= 1, "{}: two agents", kill.at);
    }
    print!("{table}");
    let waited = at_once.values().filter(|&&status| status == 409).count();
    ensure!(waited > 0, "nobody came back while a lease still ran");

    // Nobody else gets what was lost, and the stock is whole again.
    survivor.until_count("claiming", 0).await?;
    survivor.until_count("idle", TARGET).await?;
    let revived = "SELECT count(*) FROM instance_events AS later WHERE to_status <> 'dead' AND \
                   EXISTS (SELECT FROM instance_events AS earlier WHERE to_status = 'dead' AND \
                   earlier.instance_id = later.instance_id AND earlier.id < later.id)";
    ensure!(pool.number(revived).await? == 0, "what is dead stays dead");
    let calls = pool.railway.world(|world| ProvisionView::all(world));
    ensure!(
        calls.iter().all(|call| call.outcome != "twice"),
        "{calls:?}"
    );
    // One that refused was released: it stands in the queue, before those that were made since.
    let set_up = calls.iter().filter(|call| call.outcome != "refused");
    let used: HashSet<_> = set_up.map(|call| call.service_id.clone()).collect();
    let fresh = survivor.claim("somebody else").await?;
    let query = format!(
        "SELECT service_id FROM instances WHERE id = {}",
        quoted(&fresh)
    );
    ensure!(
        !used.contains(&text(&pool, &query).await?),
        "an agent used before"
    );
    Ok(())
}

/// Kills them all, and says what each caller was told at once.
async fn at_once(pool: &Arc<Pool>, survivor: &Arc<Server>) -> anyhow::Result<HashMap<usize, u16>> {
    let (room, turn) = (Arc::new(Semaphore::new(VICTIMS_AT_ONCE)), Arc::default());
    let mut killing = JoinSet::new();
    for (n, kill) in KILLS.iter().enumerate() {
        let (pool, survivor) = (Arc::clone(pool), Arc::clone(survivor));
        let (room, turn): (_, Arc<Mutex<()>>) = (Arc::clone(&room), Arc::clone(&turn));
        killing.spawn(async move {
            let _room = room.acquire().await;
            let told = kill_one(&pool, &survivor, &turn, n).await;
            told.map(|status| (n, status)).context(kill.at)
        });
    }
    let mut all = HashMap::new();
    while let Some(told) = killing.join_next().await {
        let (n, status) = told??;
        all.insert(n, status);
    }
    Ok(all)
}

/// Whether the caller was told what is true.
async fn check(
    pool: &Pool,
    kill: &Kill,
    name: &str,
    status: u16,
    answer: &str,
) -> anyhow::Result<()> {
    let claimed = format!(
        "SELECT coalesce(string_agg(id, ','), '') FROM instances \
         WHERE status = 'claimed' AND agent_name = '{name}'"
    );
    let claimed = text(pool, &claimed).await?;
    match kill.then {
        Then::Served | Then::Same => {
            ensure!(status == 200, "{status} {answer}");
            let answer: Value = serde_json::from_str(answer)?;
            ensure!(
                answer["instanceId"] == claimed.as_str(),
                "{answer}, and {claimed}"
            );
            ensure!(answer["gatewayToken"].is_string(), "{answer}");
            ensure!(set_up(pool, name) == 1, "set up once");
        }
        Then::Lost => {
            ensure!(status == 502, "{status} {answer}");
            let sentence = "An agent failed while it was being set up.";
            ensure!(answer.contains(sentence), "{answer}");
            ensure!(claimed.is_empty(), "nobody was told of {claimed}");
        }
    }
    Ok(())
}

async fn text(pool: &Pool, query: &str) -> anyhow::Result<String> {
    let client = pool_test_database::connect(pool.database.url()).await?;
    Ok(client.query_one(query, &[]).await?.try_get(0)?)
}

fn quoted(answer: &Value) -> String {
    format!("'{}'", answer["instanceId"].as_str().unwrap_or_default())
}
