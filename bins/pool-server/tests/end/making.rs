//! Making instances while something is wrong with them, or with an account: it costs a handful, it is
//! told in words, and it goes on by itself.

use std::time::Duration;

use anyhow::{Context, ensure};
use pool_domain::DeploymentStatus;
use pool_simulator::world::LimitBody;
use pool_simulator::{AgentFault, Fault, FaultRule};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::pool::{Pool, Server};

/// Long enough for hundreds to be made and thrown away by whoever does not learn.
const TROUBLE: Duration = Duration::from_secs(10);
/// The first four, and one in the place of each that died before the fifth did.
const A_HANDFUL: usize = 8;
/// Less than a first silent agent costs a claim.
const AT_ONCE: Duration = Duration::from_millis(900);

async fn making(pool: &Pool, server: &Server) -> anyhow::Result<Value> {
    let ready = pool.http.get(format!("{}/readyz", server.base));
    let ready: Value = ready.send().await?.json().await?;
    Ok(ready["making"].clone())
}

/// Every instance fails in this way, and then none does.
async fn costs_a_handful(fault: Fault, last_words: &str) -> anyhow::Result<()> {
    let pool = Pool::new(6)
        .await?
        .with_accounts(true)
        .set("pool-stuck-timeout-ms", 2_000);
    pool.railway.inject(FaultRule::always(fault))?;
    let server = pool.start().await?;
    server
        .until("it says that none is made", async |server| {
            Ok(!making(&pool, server).await?["stopped"].is_null())
        })
        .await?;
    sleep(TROUBLE).await;
    let told = making(&pool, &server).await?;
    let trouble = &told["trouble"];
    let last = trouble["last"].as_str().context("its last words")?;
    ensure!(last.contains(last_words), "{told}");
    ensure!(trouble["failed"].as_u64() >= Some(5), "{told}");
    ensure!(trouble["whatToDo"].is_string() && trouble["since"].is_string());
    let view = pool.railway.view();
    let made = view.services.len();
    ensure!(made <= A_HANDFUL, "{made} services were made");
    let accounts = pool.railway.account_request_counts();
    let (keys, inboxes) = (accounts.of("keyCreate"), accounts.of("inboxCreate"));
    let most = u64::try_from(A_HANDFUL)?;
    ensure!(
        keys <= most && inboxes <= most,
        "{keys} keys, {inboxes} inboxes"
    );
    ensure!(view.volumes.len() <= A_HANDFUL);

    pool.railway.clear_faults();
    server.until_count("idle", 6).await?;
    server
        .until("all is well again", async |server| {
            Ok(making(&pool, server).await?.is_null())
        })
        .await?;
    server.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn deployments_that_fail_cost_a_handful_and_making_goes_on_by_itself() -> anyhow::Result<()> {
    costs_a_handful(Fault::DeployFails, "FAILED").await
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_that_never_get_ready_cost_a_handful_and_making_goes_on_by_itself()
-> anyhow::Result<()> {
    let fault = AgentFault::Unready;
    costs_a_handful(Fault::BornBroken { fault }, "not ready after").await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_leader_knows_that_none_is_made() -> anyhow::Result<()> {
    let pool = Pool::new(6).await?;
    pool.railway.inject(FaultRule::always(Fault::DeployFails))?;
    let first = pool.start().await?;
    let stopped = async |server: &Server| Ok(!making(&pool, server).await?["stopped"].is_null());
    first.until("it stopped", stopped).await?;
    first.stop().await?;
    let made = pool.railway.view().services.len();
    let next = pool.start().await?;
    for _ in 0..5 {
        let report = next.reconcile().await?;
        ensure!(
            !report["replenish"]["pace"]["stopped"].is_null(),
            "{report}"
        );
    }
    let more = pool.railway.view().services.len() - made;
    ensure!(more <= 1, "{more} more were made");
    next.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_in_railways_queue_is_neither_stuck_nor_made_anew() -> anyhow::Result<()> {
    let pool = Pool::new(4).await?.set("pool-stuck-timeout-ms", 1_000);
    let status = DeploymentStatus::Queued;
    let rule = FaultRule::always(Fault::DeployHolds { status });
    pool.railway.inject(rule)?;
    let server = pool.start().await?;
    server.until_count("starting", 4).await?;
    sleep(TROUBLE / 2).await;
    let services = pool.railway.view().services;
    ensure!(services.len() == 4, "{} were made", services.len());
    let given_up = services.iter().filter(|it| it.deleted_at.is_some()).count();
    ensure!(given_up == 0, "{given_up} lost their place in the queue");
    server.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_of_inboxes_holds_what_is_half_made_and_remakes_nothing() -> anyhow::Result<()> {
    let pool = Pool::new(2)
        .await?
        .with_accounts(true)
        .set("pool-stuck-timeout-ms", 2_000);
    let rule = FaultRule::always(Fault::ProvisionLimit).on("inboxCreate");
    pool.railway.inject(rule)?;
    let server = pool.start().await?;
    server
        .until("it says that none is made", async |server| {
            Ok(!making(&pool, server).await?["stopped"].is_null())
        })
        .await?;
    sleep(TROUBLE).await;
    let accounts = pool.railway.account_request_counts();
    ensure!(accounts.of("keyCreate") == 2, "{accounts:?}");
    ensure!(accounts.of("keyDelete") == 0 && accounts.of("inboxDelete") == 0);
    ensure!(accounts.of("inboxCreate") <= 4, "{accounts:?}");
    let told = making(&pool, &server).await?;
    let why = told["stopped"]["why"].as_str().context("why")?;
    let words = "AgentMail: the plan's limit of inboxes is reached";
    ensure!(why.starts_with(words), "{told}");
    ensure!(!told.to_string().contains("not authorized"), "{told}");

    pool.railway.clear_faults();
    server.until_count("idle", 2).await?;
    let accounts = pool.railway.account_request_counts();
    ensure!(accounts.of("keyCreate") == 2, "{accounts:?}");
    server.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_asks_to_wait_is_left_alone() -> anyhow::Result<()> {
    let pool = Pool::new(2).await?.with_accounts(true);
    let limited = Fault::RateLimited {
        retry_after_s: 600,
        body: LimitBody::Json,
    };
    let rule = FaultRule::always(limited).on("agentmail");
    pool.railway.inject(rule)?;
    let server = pool.start().await?;
    server
        .until("it says that none is made", async |server| {
            Ok(!making(&pool, server).await?["stopped"].is_null())
        })
        .await?;
    let calls = |pool: &Pool| pool.railway.account_request_counts().of("agentmail");
    let before = calls(&pool);
    ensure!(before <= 2, "{before} calls");
    sleep(TROUBLE).await;
    server.reconcile().await?;
    let accounts = pool.railway.account_request_counts();
    ensure!(calls(&pool) == before, "{accounts:?}");
    ensure!(accounts.of("keyDelete") == 0, "{accounts:?}");
    let told = making(&pool, &server).await?.to_string();
    ensure!(told.contains("AgentMail: no more calls for"), "{told}");
    server.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_lies_about_ready_agents_takes_nothing_from_the_stock() -> anyhow::Result<()>
{
    let pool = Pool::new(8).await?;
    let server = pool.start().await?;
    server.until_count("idle", 8).await?;
    // Older than the grace, so that the listing would count.
    sleep(Duration::from_millis(2_500)).await;
    for status in [DeploymentStatus::Building, DeploymentStatus::Sleeping] {
        let rule = FaultRule::always(Fault::EveryStatus { status });
        pool.railway.inject(rule)?;
        let report = server.reconcile().await?;
        ensure!(report["fuse"]["waiting"] == 8, "{report}");
        ensure!(server.count("idle").await? == 8);
        ensure!(pool.railway.view().services.len() == 8, "none is made");
        pool.railway.clear_faults();
        let report = server.reconcile().await?;
        ensure!(report["fuse"].is_null(), "{report}");
    }
    server.claim("Ada").await?;
    server.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_idle_agents_hang_callers_soon_get_new_ones() -> anyhow::Result<()> {
    let pool = Pool::new(8).await?.set("pool-provision-timeout-ms", 3_000);
    let server = pool.start().await?;
    server.until_count("idle", 8).await?;
    for service in pool.railway.view().services {
        let agent = service.id.into();
        pool.railway
            .set_agent_fault(&agent, Some(AgentFault::Hang))?;
    }
    // Each of three failed probes may hang for 5 s; then others are made.
    for _ in 0..5 {
        server
            .until("a caller gets an agent", async |server| {
                Ok(server.claim("Ada").await.is_ok())
            })
            .await?;
    }
    server.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_agents_that_hang_for_good_are_claimed_last() -> anyhow::Result<()> {
    const STOCK: usize = 8;
    let pool = Pool::new(STOCK).await?;
    let leader = pool.start().await?;
    leader.until_count("idle", STOCK).await?;
    let mut hanging = Vec::new();
    for service in pool.railway.view().services {
        hanging.push(format!("'{}'", service.id));
        let agent = service.id.into();
        pool.railway
            .set_agent_fault(&agent, Some(AgentFault::Hang))?;
    }
    let hanging = hanging.join(", ");
    let well = format!(
        "SELECT count(*) FROM instances WHERE status = 'idle' AND service_id NOT IN ({hanging})"
    );
    leader
        .until("as many are made as were lost", async |_| {
            Ok(pool.number(&well).await? == i64::try_from(STOCK)?)
        })
        .await?;
    // It has heard of none of them.
    let other = pool.start().await?;
    for server in [&other, &leader].repeat(STOCK / 2) {
        let began = Instant::now();
        let claimed = server.claim("Ada").await?;
        let took = began.elapsed();
        ensure!(took < AT_ONCE, "{took:?} for {claimed}");
    }
    let held = format!(
        "SELECT count(*) FROM instances WHERE status = 'idle' AND service_id IN ({hanging})"
    );
    ensure!(pool.number(&held).await? > 0, "the fuse holds some");
    leader.stop().await
}
