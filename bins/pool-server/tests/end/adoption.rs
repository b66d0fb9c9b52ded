//! Services that run already are taken over, all of them, and none twice.

use std::time::Duration;

use pool_simulator::AgentFault;
use serde_json::Value;
use tokio::time::sleep;

use crate::pool::Pool;

#[tokio::test(flavor = "multi_thread")]
async fn twelve_hundred_services_are_adopted_with_three_requests_a_tick() -> anyhow::Result<()> {
    let pool = Pool::new(0)
        .await?
        .set("pool-max-total", 2_000)
        .set("tick-interval-ms", 3_600_000);
    pool.seed(1_200)?;
    let before = pool.live_services();
    let server = pool.start().await?;
    server
        .until("all are adopted", async |server| {
            Ok(server.count("starting").await? + server.count("idle").await? == 1_200)
        })
        .await?;
    server
        .until("all are idle", async |server| {
            server.reconcile().await?;
            Ok(server.count("idle").await? == 1_200)
        })
        .await?;
    pool.railway.reset_request_counts();
    let report = server.reconcile().await?;
    assert_eq!(pool.railway.request_counts().total, 3, "{report}");
    assert_eq!(report["listing"]["services"], 1_200);
    assert_eq!(server.count("idle").await?, 1_200);
    assert_eq!(
        pool.live_services(),
        before,
        "none was lost and none was made"
    );
    server.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn adoption_adds_one_request_and_none_once_all_are_known() -> anyhow::Result<()> {
    let pool = Pool::new(0).await?.set("tick-interval-ms", 3_600_000);
    let server = pool.start().await?;
    server.reconcile().await?;
    pool.seed(20)?;
    pool.railway.reset_request_counts();
    let report = server.reconcile().await?;
    assert_eq!(pool.railway.request_counts().total, 2, "{report}");
    server.reconcile().await?;
    assert_eq!(pool.railway.request_counts().total, 3);
    server.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_with_anothers_key_is_reported_and_never_touched() -> anyhow::Result<()> {
    let pool = Pool::new(2).await?.set("tick-interval-ms", 3_600_000);
    let variables = [("POOL_API_KEY".to_owned(), "anothers".to_owned())];
    pool.railway.seed_services(&pool_simulator::SeedServices {
        count: 1,
        variables: variables.into(),
        ..pool_simulator::SeedServices::default()
    })?;
    let name = pool.live_services().remove(0);
    let server = pool.start().await?;
    let report = server.reconcile().await?;
    assert_eq!(
        report["foreign"][0]["name"],
        Value::from(name.clone()),
        "{report}"
    );
    server
        .until("the stock is full", async |server| {
            server.reconcile().await?;
            Ok(server.count("idle").await? == 2)
        })
        .await?;
    pool.railway.reset_request_counts();
    server.reconcile().await?;
    assert_eq!(pool.railway.request_counts().total, 1, "it is remembered");
    assert!(pool.live_services().contains(&name));
    server.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adopted_agent_whose_edge_hides_what_it_says_is_nobodys_to_hand_out()
-> anyhow::Result<()> {
    const AGENTS: usize = 3;
    let first = Pool::new(0).await?;
    first.give_away(AGENTS).await?;
    let pool = first.with_an_empty_database().await?;
    let agents = pool.railway.view().agents;
    for agent in &agents {
        let hidden = Some(AgentFault::EdgeHidesStatus);
        pool.railway
            .set_agent_fault(&agent.service_id.as_str().into(), hidden)?;
    }
    let server = pool.start().await?;
    server.until_count("starting", AGENTS).await?;
    for _ in 0..10 {
        server.reconcile().await?;
        assert_eq!(
            server.count("idle").await?,
            0,
            "nobody knows whose they are"
        );
        sleep(Duration::from_millis(300)).await;
    }
    for agent in &agents {
        pool.railway
            .set_agent_fault(&agent.service_id.as_str().into(), None)?;
    }
    server.until_count("claimed", AGENTS).await?;
    let agents = pool.railway.view().agents;
    assert!(
        agents.iter().all(|agent| agent.provisions == 1),
        "{agents:?}"
    );
    server.stop().await
}
