//! Answers lost and processes killed: what was begun is finished or destroyed, and nothing is made
//! twice.

use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::ensure;
use pool_simulator::{Fault, FaultRule};
use tokio::time::{Instant, sleep};

use crate::pool::{PATIENCE, Pool, program};

/// The pool is full and nothing is left over: a service, a volume, a row and a record each.
async fn is_exact(pool: &Pool, target: usize) -> anyhow::Result<bool> {
    let idle = pool
        .number("SELECT count(*) FROM instances WHERE status = 'idle'")
        .await?;
    let rows = pool.number("SELECT count(*) FROM instances").await?;
    let records = pool
        .number("SELECT count(*) FROM provisions WHERE step = 'created'")
        .await?;
    let open = pool
        .number("SELECT count(*) FROM provisions WHERE step <> 'created'")
        .await?;
    let target_rows = i64::try_from(target)?;
    Ok([idle, rows, records] == [target_rows; 3]
        && open == 0
        && pool.live_services().len() == target
        && pool.live_volumes() == target)
}

async fn until_exact(pool: &Pool, target: usize, after: &str) -> anyhow::Result<()> {
    let began = Instant::now();
    while !is_exact(pool, target).await? {
        let view = pool.railway.view();
        ensure!(
            began.elapsed() < PATIENCE,
            "not exactly {target} after {after}: {view:#?}"
        );
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

async fn survives(field: &str, fault: Fault) -> anyhow::Result<()> {
    let pool = Pool::new(3).await?;
    pool.railway.inject(FaultRule::once(fault).on(field))?;
    let server = pool.start().await?;
    until_exact(&pool, 3, field).await?;
    let deploys = pool
        .railway
        .view()
        .services
        .into_iter()
        .map(|service| service.deploys);
    ensure!(deploys.max() == Some(1), "each was deployed once");
    server.stop().await
}

fn lost() -> Fault {
    Fault::AnswerLost {
        how: pool_simulator::faults::Lost::Dropped,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_whose_answer_was_lost_is_found_again_by_its_name() -> anyhow::Result<()> {
    survives("serviceCreate", lost()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_whose_answer_was_lost_is_not_made_twice() -> anyhow::Result<()> {
    survives("volumeCreate", lost()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_whose_answer_was_lost_is_not_made_twice() -> anyhow::Result<()> {
    survives("serviceDomainCreate", lost()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_was_lost_deploys_once() -> anyhow::Result<()> {
    survives("environmentPatchCommit", lost()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_is_refused_is_taken_again() -> anyhow::Result<()> {
    survives("volumeCreate", Fault::CreationThrottle).await
}

fn spawn(pool: &Pool, port: u16) -> anyhow::Result<Child> {
    Ok(program(pool.database.url(), &pool.railway)
        .env("POOL_MIN_IDLE", "6")
        .env("TICK_INTERVAL_MS", "300")
        .env("POOL_MISSING_GRACE_MS", "1500")
        .env("PORT", port.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?)
}

/// Each life is a little longer than the one before, so that it ends at another step.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_again_and_again_makes_exactly_the_target() -> anyhow::Result<()> {
    let pool = Pool::new(6).await?;
    for life in 1..=8_u64 {
        let mut server = spawn(&pool, 0)?;
        sleep(Duration::from_millis(350 + 250 * life)).await;
        server.kill()?;
        server.wait()?;
    }
    let mut server = spawn(&pool, 0)?;
    let exact = until_exact(&pool, 6, "eight kills").await;
    server.kill()?;
    server.wait()?;
    exact
}
