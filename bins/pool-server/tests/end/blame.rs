//! Who is to blame when agents fail: an outage that hits every agent alike, or one server alone, costs
//! no instance, and a caller hears nothing of those that others get past.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use axum::body::{Body, Bytes};
use axum::http::{Request, Response};
use pool_http_client::Transport;
use pool_server::Surroundings;
use pool_simulator::AgentFault;
use reqwest::header::RETRY_AFTER;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::pool::{KEY, Pool, Server};

/// An hour: ticks come when the test asks for them.
const NO_TICKS_MS: u64 = 3_600_000;

fn tell_all(pool: &Pool, fault: Option<AgentFault>) -> anyhow::Result<()> {
    for agent in pool.railway.view().agents {
        pool.railway
            .set_agent_fault(&agent.service_id.as_str().into(), fault)?;
    }
    Ok(())
}

/// How many claims gave an instance up, or sent one back to prove itself.
async fn cost(pool: &Pool) -> anyhow::Result<i64> {
    pool.number(
        "SELECT count(*) FROM instance_events WHERE from_status = 'claiming' \
         AND to_status IN ('dead', 'starting')",
    )
    .await
}

/// A claim that is repeated as the answers say, for so long.
async fn patient_caller(pool: &Pool, server: &Server, lasts: Duration) -> anyhow::Result<u32> {
    let began = Instant::now();
    let mut refused = 0;
    while began.elapsed() < lasts {
        let answer = pool
            .http
            .post(format!("{}/api/pool/claim", server.base))
            .bearer_auth(KEY)
            .json(&json!({ "agentName": "Ada", "instructions": "Hi." }))
            .send()
            .await?;
        ensure!(answer.status().is_server_error(), "{}", answer.status());
        refused += 1;
        let after = answer.headers().get(RETRY_AFTER);
        let after = after.and_then(|it| it.to_str().ok()?.parse().ok());
        sleep(Duration::from_secs(after.unwrap_or(0))).await;
    }
    Ok(refused)
}

#[tokio::test(flavor = "multi_thread")]
async fn while_every_agent_refuses_alike_a_patient_caller_costs_no_instance() -> anyhow::Result<()>
{
    for fault in [
        AgentFault::OtherKey,
        AgentFault::RefuseProvision { status: 401 },
    ] {
        let pool = Pool::new(0).await?.set("pool-max-total", 20);
        let leader = pool.start_with_stock(8).await?;
        tell_all(&pool, Some(fault))?;
        let refused = patient_caller(&pool, &leader, Duration::from_secs(12)).await?;
        let cost = cost(&pool).await?;
        let live = pool.live_services().len();
        println!(
            "{fault:?}: {refused} refused, {cost} lost or sent back, {live} of 8 services left"
        );
        ensure!(cost == 0 && live == 8, "{cost} and {live}");
        let (status, said) = leader.readiness().await?;
        ensure!(status == 200, "the others fare no better: {said}");
        let words = said["agents"]["lastWords"].as_str().unwrap_or_default();
        ensure!(words.contains("401"), "{said}");
        ensure!(
            said["why"].is_string() && said["agents"]["noneAnswers"] == false,
            "{said}"
        );
        let report = leader.reconcile().await?;
        ensure!(report["agents"]["lastWords"] == words, "{report}");
        let page = pool.http.get(&leader.base).send().await?.text().await?;
        ensure!(
            page.contains("Claims are refused") && page.contains(words),
            "{page}"
        );
        tell_all(&pool, None)?;
        leader
            .until("claims are served again", async |leader| {
                let body = json!({ "agentName": "Ada", "instructions": "Hi." });
                Ok(leader.post("/api/pool/claim", &body).await?.0 == 200)
            })
            .await?;
        leader.stop().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_fifth_of_the_stock_dead_at_the_network_every_caller_is_served() -> anyhow::Result<()>
{
    const STOCK: usize = 100;
    let pool = Pool::new(0)
        .await?
        .set("pool-max-total", STOCK)
        .set("tick-interval-ms", NO_TICKS_MS);
    let leader = Arc::new(pool.start_with_stock(STOCK).await?);
    let other = Arc::new(pool.start().await?);
    let sql = pool_test_database::connect(pool.database.url()).await?;
    // Nobody listens where ten of those are that claims take first, and nothing is where ten more are.
    sql.batch_execute(
        "UPDATE instances SET url = CASE WHEN place <= 10 THEN 'http://127.0.0.1:1' \
         ELSE 'http://192.0.2.1' END FROM (SELECT id, row_number() OVER (ORDER BY created_at, id) \
         AS place FROM instances) AS placed WHERE placed.id = instances.id AND place <= 20",
    )
    .await?;
    let began = Instant::now();
    // One after another first: nobody has shown yet that any agent answers.
    for n in 0..5 {
        other.claim(&format!("alone {n}")).await?;
    }
    let alone = began.elapsed();
    let mut callers = JoinSet::new();
    for n in 0..60 {
        let server = Arc::clone(if n % 2 == 0 { &leader } else { &other });
        callers.spawn(async move { server.claim(&format!("caller {n}")).await });
    }
    while let Some(answer) = callers.join_next().await {
        answer??;
    }
    let cost = cost(&pool).await?;
    println!("65 of 65 served, the first five in {alone:?}; {cost} lost or sent back");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_reaches_no_agent_blames_nobody_and_is_not_ready() -> anyhow::Result<()> {
    let pool = Pool::new(0).await?.set("tick-interval-ms", 2_000);
    let leader = pool.start_with_stock(6).await?;
    let no_network = tower::service_fn(async |_: Request<Bytes>| {
        Err::<Response<Body>, _>(io::Error::from(io::ErrorKind::ConnectionRefused))
    });
    let cut_off = Surroundings {
        transport: Transport::in_process(no_network),
        ..Surroundings::default()
    };
    let other = pool.start_in(pool.database.url(), cut_off).await?;
    let refused = patient_caller(&pool, &other, Duration::from_secs(10)).await?;
    let cost = cost(&pool).await?;
    println!("{refused} refused, {cost} lost or sent back");
    ensure!(cost == 0, "{cost}");
    let blamed = "SELECT count(*) FROM instances WHERE failed_claims > 0";
    ensure!(pool.number(blamed).await? == 0);
    other
        .until("it says that it is not ready", async |other| {
            let (status, said) = other.readiness().await?;
            let why = said["why"].as_str().unwrap_or_default();
            Ok(status == 503 && why.starts_with("This server has reached no agent for"))
        })
        .await?;
    let (status, said) = leader.readiness().await?;
    ensure!(status == 200, "{said}");
    leader.claim("Ada").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_that_are_only_slow_are_waited_for_at_any_server() -> anyhow::Result<()> {
    let pool = Pool::new(0).await?.set("tick-interval-ms", NO_TICKS_MS);
    let leader = pool.start_with_stock(12).await?;
    let other = pool.start().await?;
    tell_all(&pool, Some(AgentFault::Slow { ms: 1_500 }))?;
    for n in 0..4 {
        other.claim(&format!("at the other {n}")).await?;
        leader.claim(&format!("at the leader {n}")).await?;
    }
    let cost = cost(&pool).await?;
    let left = leader.count("idle").await?;
    println!("8 of 8 served, {cost} lost or sent back, {left} of 4 left");
    ensure!(cost == 0 && left == 4, "{cost} and {left}");
    Ok(())
}
