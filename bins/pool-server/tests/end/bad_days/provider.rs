//! The provider has a bad day: one deletion never returns or is refused for ever, or nothing works for
//! a while.

use std::time::Duration;

use pool_simulator::{Fault, FaultRule};
use serde_json::json;
use tokio::time::sleep;

use super::process::Process;
use crate::pool::Pool;

const OUTAGE: Duration = Duration::from_secs(8);
const AFTERWARDS: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_never_returns_holds_up_nothing_else() -> anyhow::Result<()> {
    let pool = Pool::new(3).await?;
    let process = Process::start(&pool, &[]).await?;
    process.until_count("idle", 3).await?;
    let hangs = FaultRule::once(Fault::Hang).on("serviceDelete");
    pool.railway.inject(hangs)?;
    let (status, answer) = process
        .post("/api/pool/drain", &json!({ "count": 3 }))
        .await?;
    assert_eq!(status, 200, "{answer}");
    // One of them hangs for longer than this test lasts.
    process.until_count("dead", 1).await?;
    process.until_count("idle", 3).await?;
    assert_eq!(pool.live_services().len(), 4, "two of three are gone");
    let (status, answer) = process.claim().await?;
    assert_eq!(status, 200, "{answer}");
    process.until_count("idle", 3).await?;
    assert_eq!(
        pool.live_services().len(),
        5,
        "three, Ada's and the one that hangs"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn deletions_that_are_refused_for_ever_count_and_the_cap_holds() -> anyhow::Result<()> {
    let pool = Pool::new(2).await?.set("pool-max-total", 4);
    let server = pool.start().await?;
    server.until_count("idle", 2).await?;
    let refused = FaultRule::always(Fault::ProblemProcessing).on("serviceDelete");
    pool.railway.inject(refused)?;
    server
        .post("/api/pool/drain", &json!({ "count": 2 }))
        .await?;
    server.until_count("idle", 2).await?;
    server.claim("Ada").await?;
    for _ in 0..5 {
        server.reconcile().await?;
        assert!(pool.live_services().len() <= 4, "the cap holds");
        sleep(Duration::from_millis(200)).await;
    }
    server.claim("Bob").await?;
    pool.railway.clear_faults();
    server.until_count("idle", 2).await?;
    server.until_count("dead", 0).await?;
    assert_eq!(pool.live_services().len(), 4, "two, Ada's and Bob's");
    server.stop().await
}

/// Begun in the middle of making, destroying and claiming.
#[tokio::test(flavor = "multi_thread")]
async fn after_an_outage_of_the_provider_all_is_as_before_without_a_storm() -> anyhow::Result<()> {
    let pool = Pool::new(4).await?;
    let server = pool.start().await?;
    server.until_count("idle", 4).await?;
    server
        .post("/api/pool/drain", &json!({ "count": 1 }))
        .await?;
    server.claim("Ada").await?;
    let outage = FaultRule::always(Fault::Gateway { status: 503 });
    pool.railway.inject(outage)?;
    pool.railway.reset_request_counts();
    sleep(OUTAGE).await;
    server.claim("Bob").await?;
    let during = pool.railway.request_counts().total;
    pool.railway.clear_faults();
    pool.railway.reset_request_counts();
    sleep(AFTERWARDS).await;
    let after = pool.railway.request_counts().total;
    println!("{during} requests in {OUTAGE:?} of outage, {after} in {AFTERWARDS:?} after it");
    assert!(during <= 10 * OUTAGE.as_secs() && after <= 10 * AFTERWARDS.as_secs());

    server.until_count("idle", 4).await?;
    server.until_count("dead", 0).await?;
    server.until_count("starting", 0).await?;
    let open = "SELECT count(*) FROM provisions WHERE step <> 'created'";
    assert_eq!(pool.number(open).await?, 0, "nothing is in progress");
    assert_eq!(pool.live_services().len(), 6, "four, Ada's and Bob's");
    server.stop().await
}
