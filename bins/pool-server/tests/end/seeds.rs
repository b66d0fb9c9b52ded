//! Trouble drawn from a seed, against the real server, a real PostgreSQL and real sockets: fewer seeds
//! than `crates/testing/simulation` plays, and nothing modelled but Railway, the accounts and the agents.

use std::time::Duration;

use anyhow::{Context, ensure};
use pool_simulator::faults::draw_any;
use pool_simulator::invariants::{self, Row};
use pool_simulator::operations::{Weights, draw};
use pool_simulator::{Fault, FaultRule, Options, Settings};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::pool::{KEY, PATIENCE, Pool, Server};

/// At once, each with a database and a Railway of its own.
const SEEDS: std::ops::Range<u64> = 0..6;
const TARGET: usize = 3;
/// How often something happens, and how many milliseconds lie in between.
const HAPPENINGS: usize = 14;
const PAUSE_MS: std::ops::Range<u64> = 50..350;

/// The requests that faults are about.
const FIELDS: [&str; 9] = [
    "serviceCreate",
    "volumeCreate",
    "serviceDomainCreate",
    "environmentPatchCommit",
    "serviceDelete",
    "volumeDelete",
    "keyCreate",
    "inboxCreate",
    "environment",
];

#[tokio::test(flavor = "multi_thread")]
async fn seeds_of_trouble_leave_a_real_server_full_and_tidy() -> anyhow::Result<()> {
    let mut runs = JoinSet::new();
    for seed in SEEDS {
        runs.spawn(async move {
            let mut story = Vec::new();
            let survived = survive(seed, &mut story).await;
            survived.with_context(|| format!("seed {seed}: {story:#?}"))
        });
    }
    while let Some(survived) = runs.join_next().await {
        survived??;
    }
    Ok(())
}

async fn survive(seed: u64, story: &mut Vec<String>) -> anyhow::Result<()> {
    let settings = Settings {
        read_lag: Duration::from_millis(200),
        delete_lag: Duration::from_millis(400),
        ..Settings::default()
    };
    let options = Options {
        seed,
        settings,
        ..Options::default()
    };
    let pool = Pool::with(TARGET, options)
        .await?
        .with_accounts(true)
        .set("pool-stuck-timeout-ms", 4_000)
        .set("pool-provision-timeout-ms", 2_000)
        .set("pool-claim-lease-ms", 4_000);
    let server = pool.start().await?;
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut claims = JoinSet::new();
    for number in 0..HAPPENINGS {
        story.push(happen(&pool, &mut rng)?);
        if rng.u8(..3) == 0 {
            claims.spawn(claim(server.base.clone(), format!("Agent {number}")));
        }
        sleep(Duration::from_millis(rng.u64(PAUSE_MS))).await;
    }
    heal(&pool);
    story.push("the trouble is over".to_owned());
    while let Some(answer) = claims.join_next().await {
        if let Some(claimed) = answer? {
            story.push(format!("claimed {claimed}"));
            check_claim(&pool, &claimed).await?;
        }
    }
    until_exact(&pool, &server).await?;
    server.stop().await
}

/// Something befalls a service or an agent, or the next requests meet a fault.
fn happen(pool: &Pool, rng: &mut fastrand::Rng) -> anyhow::Result<String> {
    if rng.u8(..3) == 0 {
        let operation = draw(rng, &Weights::by_themselves());
        return Ok(pool.railway.world(|world| operation.apply(world)));
    }
    let fault = loop {
        let fault = draw_any(rng);
        // Whoever is blocked at the edge leaves Railway alone for minutes.
        if fault != Fault::EdgeBlock {
            break fault;
        }
    };
    let field = FIELDS[rng.usize(..FIELDS.len())];
    let rule = FaultRule::always(fault).on(field).times(rng.u32(1..3));
    let told = format!("{field} meets {:?} {:?} times", rule.fault, rule.count);
    pool.railway.inject(rule)?;
    Ok(told)
}

fn heal(pool: &Pool) {
    pool.railway.clear_faults();
    pool.railway.world(|world| {
        let home = world.home().environment.clone();
        let live = world.live_services();
        let live: Vec<_> = live.iter().map(|service| service.id.clone()).collect();
        for service in live {
            if let Some(agent) = world.agent_mut(&(service, home.clone())) {
                agent.fault = None;
            }
        }
    });
}

/// What a caller is given, where it is answered 200.
async fn claim(base: String, agent_name: String) -> Option<Value> {
    let http = reqwest::Client::builder().no_proxy().build().ok()?;
    let body = json!({ "agentName": agent_name, "instructions": "Answer in one sentence." });
    let request = http.post(format!("{base}/api/pool/claim")).bearer_auth(KEY);
    let answer = timeout(PATIENCE, request.json(&body).send()).await.ok()?;
    let answer = answer.ok().filter(|answer| answer.status().is_success())?;
    answer.json().await.ok()
}

/// Whoever was answered 200 finds the row claimed, or crashed since, with what it was told.
async fn check_claim(pool: &Pool, claimed: &Value) -> anyhow::Result<()> {
    let client = pool_test_database::connect(pool.database.url()).await?;
    let id = claimed["instanceId"].as_str().context("an id")?;
    let query = "SELECT status, conversation_id FROM instances WHERE id = $1";
    let row = client.query_one(query, &[&id]).await?;
    let (status, conversation): (String, Option<String>) = (row.try_get(0)?, row.try_get(1)?);
    ensure!(
        ["claimed", "crashed"].contains(&status.as_str()),
        "{id} was given to a caller and is {status}"
    );
    ensure!(conversation.as_deref() == claimed["conversationId"].as_str());
    Ok(())
}

/// A person destroys what is claimed or crashed and confirms what the fuse holds back; then there is
/// the target, whole, and nothing else, twice in a row.
async fn until_exact(pool: &Pool, server: &Server) -> anyhow::Result<()> {
    let client = pool_test_database::connect(pool.database.url()).await?;
    let began = Instant::now();
    let mut times_exact = 0;
    while times_exact < 2 {
        let somebodys = "SELECT id FROM instances \
                         WHERE status IN ('claimed', 'crashed') AND delete_requested_at IS NULL";
        for row in client.query(somebodys, &[]).await? {
            let id: String = row.try_get(0)?;
            let (status, answer) = server.delete(&format!("/api/pool/instances/{id}")).await?;
            ensure!(status == 200, "{id} is not destroyed: {answer}");
        }
        client
            .execute(
                "INSERT INTO commands (kind, arguments, requested_by) \
                 SELECT 'confirm_fuse', jsonb_build_object('ids', \
                     (SELECT jsonb_agg(held->'id') FROM jsonb_array_elements(report->'held') held)), \
                     'a test' \
                 FROM fuse WHERE report IS NOT NULL \
                     AND NOT EXISTS (SELECT FROM commands WHERE done_at IS NULL)",
                &[],
            )
            .await?;
        let left = left(pool, &client).await?;
        times_exact = if left.is_empty() { times_exact + 1 } else { 0 };
        ensure!(began.elapsed() < PATIENCE, "left over: {left:#?}");
        sleep(Duration::from_millis(300)).await;
    }
    Ok(())
}

/// What is left over or missing, a sentence each.
async fn left(pool: &Pool, client: &tokio_postgres::Client) -> anyhow::Result<Vec<String>> {
    let query = "SELECT id, service_id, status, agent_name, delete_requested_at IS NOT NULL \
                 FROM instances";
    let mut rows = Vec::new();
    for found in client.query(query, &[]).await? {
        let service: String = found.try_get(1)?;
        rows.push(Row {
            id: found.try_get(0)?,
            service_id: service.into(),
            status: found.try_get(2)?,
            claimed_by: found.try_get(3)?,
            delete_requested: found.try_get(4)?,
        });
    }
    let records = "SELECT count(*) FILTER (WHERE step = 'created'), count(*) FROM provisions";
    let records = client.query_one(records, &[]).await?;
    let (whole, all): (i64, i64) = (records.try_get(0)?, records.try_get(1)?);
    Ok(pool.railway.world(|world| {
        let found = invariants::consistent(world);
        let found = found.into_iter().chain(invariants::sound(world, &rows));
        let found = found.chain(invariants::tidy(world, &rows, "convos-agent-"));
        let mut left: Vec<_> = found.map(|violation| violation.to_string()).collect();
        let idle = rows.iter().filter(|row| row.status == "idle").count();
        let volumes = world.volumes().values();
        let volumes = volumes.filter(|volume| !volume.is_pending_deletion());
        let counts = [
            ("rows", rows.len()),
            ("idle ones", idle),
            ("whole records", usize::try_from(whole).unwrap_or_default()),
            ("records", usize::try_from(all).unwrap_or_default()),
            ("services", world.live_services().len()),
            ("volumes", volumes.count()),
            ("keys", world.openrouter().keys().count()),
            ("inboxes", world.agentmail().inboxes().count()),
        ];
        let wrong = counts.into_iter().filter(|(_, count)| *count != TARGET);
        left.extend(wrong.map(|(what, count)| format!("{count} {what}, not {TARGET}")));
        left
    }))
}
