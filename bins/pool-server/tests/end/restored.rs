//! A database that was restored is older than its agents: what its rows call free may be somebody's.

use std::time::Duration;

use pool_simulator::AgentFault;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::pool::{Pool, Server};

const STOCK: usize = 5;
const CLAIMED: usize = 3;

/// A stock of five, a dump, and three claims after it. The server of that time goes on.
async fn claimed_since_the_dump(agents: Option<AgentFault>) -> anyhow::Result<(Pool, Server)> {
    let pool = Pool::new(0).await?;
    pool.seed(STOCK)?;
    let server = pool.start().await?;
    server.until_count("idle", STOCK).await?;
    for agent in pool.railway.view().agents {
        let id = agent.service_id.as_str().into();
        pool.railway.set_agent_fault(&id, agents)?;
    }
    pool.dump().await?;
    for n in 0..CLAIMED {
        server.claim(&format!("caller {n}")).await?;
    }
    Ok((pool, server))
}

/// However many ask, those two get an agent whose agents are nobody's.
async fn nothing_is_handed_out_twice_or_lost(pool: &Pool, server: &Server) -> anyhow::Result<()> {
    let mut claimed = 0;
    for n in 0..40 {
        let body = json!({ "agentName": format!("stranger {n}"), "instructions": "Hi." });
        let (status, answer) = server.post("/api/pool/claim", &body).await?;
        assert!(status == 200 || status == 503, "{status} {answer}");
        claimed += usize::from(status == 200);
        sleep(Duration::from_millis(50)).await;
    }
    server.until_count("claimed", STOCK).await?;
    assert_eq!(claimed, STOCK - CLAIMED);
    let view = pool.railway.view();
    assert!(
        view.agents.iter().all(|it| it.provisions == 1),
        "{:?}",
        view.agents
    );
    assert_eq!(pool.live_services().len(), STOCK, "none was destroyed");
    let conversations = "SELECT count(DISTINCT conversation_id) FROM instances";
    assert_eq!(pool.number(conversations).await?, 5);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn restored_under_a_running_server_no_agent_is_handed_out_twice() -> anyhow::Result<()> {
    for agents in [None, Some(AgentFault::TakesAnother)] {
        let (pool, server) = claimed_since_the_dump(agents).await?;
        pool.restore().await?;
        nothing_is_handed_out_twice_or_lost(&pool, &server).await?;
        server.stop().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn restored_before_a_server_starts_no_agent_is_handed_out_twice() -> anyhow::Result<()> {
    for agents in [None, Some(AgentFault::TakesAnother)] {
        let (pool, server) = claimed_since_the_dump(agents).await?;
        server.stop().await?;
        pool.restore().await?;
        let servers = [pool.start().await?, pool.start().await?];
        nothing_is_handed_out_twice_or_lost(&pool, &servers[1]).await?;
        for server in servers {
            server.stop().await?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_was_put_back_is_found_out_by_its_ticks_or_told_by_a_person()
-> anyhow::Result<()> {
    let (pool, server) = claimed_since_the_dump(None).await?;
    server.reconcile().await?;
    // The server's memory of the newest tick is renewed each 5 s.
    sleep(Duration::from_secs(6)).await;
    pool.put_back().await?;
    nothing_is_handed_out_twice_or_lost(&pool, &server).await?;
    server.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_lease_costs_nobody_his_agent() -> anyhow::Result<()> {
    let (pool, server) = claimed_since_the_dump(None).await?;
    server.stop().await?;
    pool.restore().await?;
    // As if the dump had been taken in the middle of these claims.
    pool.execute(
        "UPDATE instances SET status = 'claiming', claim_token = gen_random_uuid(), \
         claim_expires_at = now() - interval '1 hour' WHERE service_id IN \
         (SELECT service_id FROM saved.claimed)",
    )
    .await?;
    let server = pool.start().await?;
    server.until_count("claimed", CLAIMED).await?;
    assert_eq!(pool.live_services().len(), STOCK, "none was destroyed");
    assert_eq!(server.count("dead").await?, 0);
    server.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database_and_agents_out_of_reach_destroy_nothing_and_it_is_said()
-> anyhow::Result<()> {
    const AGENTS: usize = 8;
    let first = Pool::new(0).await?;
    first.give_away(AGENTS).await?;
    let pool = first
        .with_an_empty_database()
        .await?
        .set("pool-stuck-timeout-ms", 3_000);
    for agent in pool.railway.view().agents {
        let id = agent.service_id.as_str().into();
        pool.railway.set_agent_fault(&id, Some(AgentFault::Close))?;
    }
    let server = pool.start().await?;
    server.until_count("starting", AGENTS).await?;
    sleep(Duration::from_secs(8)).await;
    let report = server.reconcile().await?;
    assert_eq!(pool.live_services().len(), AGENTS, "none was destroyed");
    let said = &report["unverified"];
    assert_eq!(said["instances"], AGENTS, "{report}");
    let (_, ready) = server.readiness().await?;
    let sentence = ready["unverified"]["why"].as_str().unwrap_or_default();
    assert!(sentence.contains("may be somebody's"), "{ready}");
    assert_eq!(ready["unverified"], said.clone(), "{ready}");
    for agent in pool.railway.view().agents {
        let id = agent.service_id.as_str().into();
        pool.railway.set_agent_fault(&id, None)?;
    }
    server.until_count("claimed", AGENTS).await?;
    let report = server.reconcile().await?;
    assert_eq!(report["unverified"], Value::Null, "{report}");
    server.stop().await
}
