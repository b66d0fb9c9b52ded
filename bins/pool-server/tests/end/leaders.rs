//! Several servers on one database: one leads, the target is met exactly, and any may be asked.

use pool_simulator::{Fault, FaultRule};
use serde_json::Value;

use crate::pool::Pool;

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_meet_the_target_exactly_and_either_may_be_asked() -> anyhow::Result<()> {
    let pool = Pool::new(6).await?;
    let (one, other) = tokio::try_join!(pool.start(), pool.start())?;
    one.until_count("idle", 6).await?;
    assert_eq!(one.reconcile().await?["replenish"]["create"], 0);
    assert_eq!(other.reconcile().await?["replenish"]["create"], 0);
    assert_eq!(pool.live_services().len(), 6);
    assert_eq!(
        pool.number("SELECT count(*) FROM leader_terms").await?,
        1,
        "only one ever led"
    );

    one.claim("Ada").await?;
    other.until_count("claimed", 1).await?;
    other.until_count("idle", 6).await?;
    one.stop().await?;
    other.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_takes_over_when_the_leader_stops() -> anyhow::Result<()> {
    let pool = Pool::new(2).await?;
    let first = pool.start().await?;
    first.until_count("idle", 2).await?;
    let second = pool.start().await?;
    first.stop().await?;
    second.claim("Ada").await?;
    second.until_count("idle", 2).await?;
    assert_eq!(pool.number("SELECT count(*) FROM leader_terms").await?, 2);
    second.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_railway_does_not_know_serves_claims_says_why_it_cannot_lead_and_leads_later()
-> anyhow::Result<()> {
    let pool = Pool::new(1).await?;
    let before = pool.start().await?;
    before.until_count("idle", 1).await?;
    before.stop().await?;

    pool.railway
        .inject(FaultRule::always(Fault::NotAuthorized))?;
    let pool = pool
        .set("railway-environment-id", "")
        .set("railway-environment-name", "Production");
    let server = pool.start().await?;
    let readyz = async || -> anyhow::Result<Value> {
        let answer = pool.http.get(format!("{}/readyz", server.base));
        Ok(answer.send().await?.json().await?)
    };
    let why = "RAILWAY_ENVIRONMENT_NAME cannot be resolved with this RAILWAY_API_TOKEN and \
               RAILWAY_PROJECT_ID, of which one is wrong: ";
    server
        .until("it says so", async |_| {
            let said = &readyz().await?["cannotLead"];
            Ok(said.as_str().is_some_and(|said| said.starts_with(why)))
        })
        .await?;
    server.claim("Ada").await?;

    pool.railway.clear_faults();
    server.until_count("idle", 1).await?;
    assert_eq!(readyz().await?["cannotLead"], Value::Null);
    server.stop().await
}
