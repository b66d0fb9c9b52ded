//! Agents that misbehave, for each fault and each call: what the caller is told, what becomes of the
//! row, what is left of the stock. `cargo xtask test -p pool-server whatever_an_agent_does
//! --success-output immediate` prints the table.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use pool_simulator::AgentFault as Fault;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::pool::{PATIENCE, Pool, Server};

/// An hour: ticks come when the test asks for them.
const NO_TICKS_MS: u64 = 3_600_000;

/// At which call the fault is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Health,
    Provision,
}

/// What is to come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Definitely not set up: another agent is, and the one at fault is idle again.
    Definite,
    /// It is somebody's already: it is claimed, and the caller gets another one.
    Bound,
    /// Nobody can know, after an answer or none: 502, and it is dead.
    Indeterminate,
    /// Nobody can know, after the time ran out: 504, and it is dead.
    TimedOut,
}

const fn refuse(status: u16) -> Fault {
    Fault::RefuseProvision { status }
}

const SLOW: Fault = Fault::Slow { ms: 60_000 };

/// None: it is not reached.
const CASES: [(Call, Option<Fault>, End); 34] = {
    use Call::{Health, Provision};
    use End::{Bound, Definite, Indeterminate, TimedOut};
    [
        (Health, None, Definite),
        (Health, Some(Fault::Unready), Definite),
        (Health, Some(Fault::Hang), Definite),
        (Health, Some(Fault::Mute), Definite),
        (Health, Some(Fault::Stall), Definite),
        (Health, Some(SLOW), Definite),
        (Health, Some(Fault::Error), Definite),
        (Health, Some(Fault::Garbage), Definite),
        (Health, Some(Fault::Redirect), Definite),
        (Health, Some(Fault::Huge), Definite),
        (Health, Some(Fault::Close), Definite),
        (Health, Some(Fault::CloseMidAnswer), Definite),
        (Provision, None, Definite),
        (Provision, Some(refuse(400)), Definite),
        (Provision, Some(refuse(401)), Definite),
        (Provision, Some(refuse(403)), Definite),
        (Provision, Some(refuse(404)), Definite),
        (Provision, Some(refuse(413)), Definite),
        (Provision, Some(refuse(503)), Definite),
        (Provision, Some(refuse(409)), Bound),
        (Provision, Some(refuse(429)), Indeterminate),
        (Provision, Some(refuse(500)), Indeterminate),
        (Provision, Some(Fault::Garbage), Indeterminate),
        (Provision, Some(Fault::Redirect), Indeterminate),
        (Provision, Some(Fault::Huge), Indeterminate),
        (Provision, Some(Fault::Close), Indeterminate),
        (Provision, Some(Fault::CloseMidAnswer), Indeterminate),
        (Provision, Some(Fault::ErrorAfterProvision), Indeterminate),
        (Provision, Some(Fault::LoseProvision), Indeterminate),
        (Provision, Some(Fault::Hang), TimedOut),
        (Provision, Some(Fault::Mute), TimedOut),
        (Provision, Some(Fault::Stall), TimedOut),
        (Provision, Some(SLOW), TimedOut),
        (Provision, Some(Fault::HangAfterProvision), TimedOut),
    ]
};

/// The pool, its leader, which has seen the agents ready, and another server, which has not and asks
/// each of them first.
struct Stage {
    pool: Pool,
    leader: Arc<Server>,
    other: Arc<Server>,
    sql: tokio_postgres::Client,
    probed: Mutex<Instant>,
}

impl Stage {
    async fn new(stock: usize, provision_timeout_ms: u64) -> anyhow::Result<Self> {
        let pool = Pool::new(0)
            .await?
            .set("pool-max-total", stock)
            .set("tick-interval-ms", NO_TICKS_MS)
            .set("pool-provision-timeout-ms", provision_timeout_ms);
        let leader = pool.start_with_stock(stock).await?;
        let other = pool.start().await?;
        let probed = Mutex::new(Instant::now());
        leader.reconcile().await?;
        Ok(Self {
            sql: pool_test_database::connect(pool.database.url()).await?,
            pool,
            leader: Arc::new(leader),
            other: Arc::new(other),
            probed,
        })
    }

    async fn text(&self, query: &str) -> anyhow::Result<String> {
        Ok(self.sql.query_one(query, &[]).await?.try_get(0)?)
    }

    async fn column(&self, id: &str, column: &str) -> anyhow::Result<String> {
        self.text(&format!(
            "SELECT {column}::text FROM instances WHERE id = '{id}'"
        ))
        .await
    }

    async fn idle(&self) -> anyhow::Result<i64> {
        self.pool
            .number("SELECT count(*) FROM instances WHERE status = 'idle'")
            .await
    }

    fn tell(&self, service_id: &str, fault: Option<Fault>) -> anyhow::Result<()> {
        Ok(self
            .pool
            .railway
            .set_agent_fault(&service_id.into(), fault)?)
    }

    /// The instance that is claimed next.
    async fn next(&self) -> anyhow::Result<String> {
        self.text(
            "UPDATE instances SET put_back_at = timestamptz '2000-01-01' WHERE id = (SELECT id \
             FROM instances WHERE status = 'idle' ORDER BY coalesce(put_back_at, created_at), id \
             LIMIT 1) RETURNING id",
        )
        .await
    }

    /// Well again, forgiven, and the last to be claimed.
    async fn set_apart(&self, id: &str, url: &str) -> anyhow::Result<()> {
        self.tell(&self.column(id, "service_id").await?, None)?;
        self.text(&format!(
            "UPDATE instances SET put_back_at = now() + interval '1 day', failed_claims = 0, \
             url = '{url}' WHERE id = '{id}' RETURNING id"
        ))
        .await?;
        Ok(())
    }

    /// The last good probes must be younger than 10 s.
    async fn probe_again(&self) -> anyhow::Result<()> {
        let mut probed = self.probed.lock().await;
        if probed.elapsed() > Duration::from_secs(4) {
            *probed = Instant::now();
            self.leader.reconcile().await?;
        }
        Ok(())
    }

    /// A claim that meets an agent with this fault, which is under way.
    async fn begin(&self, call: Call, fault: Option<Fault>) -> anyhow::Result<Begun> {
        let server = match call {
            Call::Health => &self.other,
            Call::Provision => &self.leader,
        };
        self.probe_again().await?;
        let id = self.next().await?;
        let url = self.column(&id, "url").await?;
        if let Some(fault) = fault {
            self.tell(&self.column(&id, "service_id").await?, Some(fault))?;
        } else {
            let nowhere = format!(
                "UPDATE instances SET url = 'http://127.0.0.1:1' WHERE id = '{id}' RETURNING id"
            );
            self.text(&nowhere).await?;
        }
        let server = Arc::clone(server);
        let claim = tokio::spawn(async move {
            let body = json!({ "agentName": "Ada", "instructions": "Answer in one sentence." });
            server.post("/api/pool/claim", &body).await
        });
        let began = Instant::now();
        while !claim.is_finished() && self.column(&id, "status").await? == "idle" {
            ensure!(began.elapsed() < PATIENCE, "{id} is not claimed");
            sleep(Duration::from_millis(5)).await;
        }
        Ok(Begun { id, url, claim })
    }
}

struct Begun {
    id: String,
    url: String,
    claim: JoinHandle<anyhow::Result<(u16, Value)>>,
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_an_agent_does_its_caller_the_row_and_the_stock_are_as_they_should_be()
-> anyhow::Result<()> {
    // Two each: of what is somebody's the caller gets another one, and after a loss one is set up.
    let two = |end: End| matches!(end, End::Bound | End::Indeterminate);
    let stock = CASES.len() + CASES.iter().filter(|case| two(case.2)).count() + 4;
    let stage = Stage::new(stock, 4_000).await?;
    let mut table = format!("{:<11}{:<34}answer  row\n", "call", "fault");
    let mut waiting = Vec::new();
    for (call, fault, end) in CASES {
        let begun = stage.begin(call, fault).await?;
        if end == End::TimedOut {
            // Those go on together.
            waiting.push((call, fault, begun));
            continue;
        }
        let shown = finish(&stage, begun, end).await;
        let shown = shown.with_context(|| format!("{call:?}, {fault:?}"))?;
        let _ = writeln!(table, "{}{shown}", named(call, fault));
    }
    for (call, fault, begun) in waiting {
        let shown = finish(&stage, begun, End::TimedOut).await;
        let shown = shown.with_context(|| format!("{call:?}, {fault:?}"))?;
        let _ = writeln!(table, "{}{shown}", named(call, fault));
    }
    let left = stage.idle().await?;
    let _ = writeln!(table, "{left} of {stock} are left");
    print!("{table}");
    // Each claim took one: the one that it got, or the one that is lost; and some are somebody's.
    ensure!(left == 4, "{left} are left");
    let twice = stage.pool.railway.view().agents;
    ensure!(twice.iter().all(|agent| agent.provisions <= 1), "{twice:?}");
    Ok(())
}

/// Waits for the claim and looks at its agent's row.
async fn finish(stage: &Stage, begun: Begun, end: End) -> anyhow::Result<String> {
    let Begun { id, url, claim } = begun;
    let (status, answer) = claim.await??;
    // From the log: a tick may have destroyed it and taken its row away.
    let row = format!(
        "SELECT to_status FROM instance_events WHERE instance_id = '{id}' \
         AND from_status = 'claiming' ORDER BY id DESC LIMIT 1"
    );
    let row = stage.text(&row).await?;
    let told = answer["error"].as_str().unwrap_or_default();
    match end {
        End::Definite => {
            ensure!(status == 200, "{status} {answer}");
            ensure!(answer["instanceId"] != id.as_str(), "{answer}");
            ensure!(row == "idle", "{row}");
            stage.set_apart(&id, &url).await?;
        }
        End::Bound => {
            ensure!(status == 200, "{status} {answer}");
            ensure!(answer["instanceId"] != id.as_str(), "{answer}");
            ensure!(row == "claimed", "{row}");
        }
        End::Indeterminate => {
            ensure!(status == 502, "{status} {answer}");
            ensure!(told.starts_with("An agent failed while it was"), "{told}");
            ensure!(row == "dead", "{row}");
            // Until one is set up again, each is asked whether it is ready before.
            stage.leader.claim("well").await?;
        }
        End::TimedOut => {
            ensure!(status == 504, "{status} {answer}");
            ensure!(
                told.starts_with("An agent did not answer in time"),
                "{told}"
            );
            ensure!(row == "dead", "{row}");
        }
    }
    Ok(format!("{status}     {row}"))
}

fn named(call: Call, fault: Option<Fault>) -> String {
    let call = format!("{call:?}").to_lowercase();
    let fault = fault.map_or_else(|| "not reached".to_owned(), |fault| format!("{fault:?}"));
    format!("{call:<11}{fault:<34}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_agents_refuse_burns_no_stock() -> anyhow::Result<()> {
    let stage = Stage::new(3, 20_000).await?;
    for status in [400, 413] {
        for agent in stage.pool.railway.view().agents {
            stage.tell(&agent.service_id, Some(refuse(status)))?;
        }
        let body = json!({ "agentName": "Ada", "instructions": "Hi.", "joinUrl": "no-such-slug" });
        for server in [&stage.leader, &stage.other] {
            for _ in 0..6 {
                let (told, answer) = server.post("/api/pool/claim", &body).await?;
                ensure!(told == 502, "{told} {answer}");
                let sentence = answer["error"].as_str().unwrap_or_default();
                ensure!(
                    sentence.starts_with("Two agents refused this request"),
                    "{answer}"
                );
            }
        }
        ensure!(stage.idle().await? == 3, "all are idle");
        let blamed = "SELECT count(*) FROM instances WHERE failed_claims > 0";
        ensure!(stage.pool.number(blamed).await? == 0, "nobody is blamed");
    }
    for agent in stage.pool.railway.view().agents {
        ensure!(agent.provisions == 0, "nobody was set up");
        stage.tell(&agent.service_id, None)?;
    }
    for server in [&stage.leader, &stage.other, &stage.leader] {
        server.claim("Ada").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_says_nothing_keeps_nobody_else_waiting() -> anyhow::Result<()> {
    const OTHERS: usize = 8;
    // Nothing here waits for this long: the claim of the silent agent outlasts the test.
    let stage = Stage::new(OTHERS + 3, 80_000).await?;
    let mut silent = Vec::new();
    for fault in [Fault::Hang, Fault::Mute, Fault::HangAfterProvision] {
        silent.push(stage.begin(Call::Provision, Some(fault)).await?);
    }
    for n in 0..OTHERS {
        let server = if n % 2 == 0 {
            &stage.leader
        } else {
            &stage.other
        };
        server.claim(&format!("caller {n}")).await?;
    }
    stage.leader.reconcile().await?;
    for begun in silent {
        ensure!(!begun.claim.is_finished(), "it still waits");
        ensure!(stage.column(&begun.id, "status").await? == "claiming");
    }
    Ok(())
}
