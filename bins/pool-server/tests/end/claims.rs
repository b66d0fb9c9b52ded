//! Nothing is handed out twice.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::pool::Pool;

const AGENTS: usize = 400;
const CALLERS: usize = 16;

#[tokio::test(flavor = "multi_thread")]
async fn four_hundred_agents_go_to_sixteen_callers_while_ticks_run_none_twice() -> anyhow::Result<()>
{
    let pool = Pool::new(0).await?.set("pool-max-total", 1_000);
    pool.seed(AGENTS)?;
    let server = Arc::new(pool.start().await?);
    server.until_count("idle", AGENTS).await?;

    let done = Arc::new(AtomicBool::new(false));
    let ticking = tokio::spawn(reconcile_until(Arc::clone(&server), Arc::clone(&done)));
    let begin = Arc::new(Barrier::new(CALLERS));
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (server, begin) = (Arc::clone(&server), Arc::clone(&begin));
        callers.spawn(async move {
            begin.wait().await;
            let mut got = Vec::new();
            for n in 0..AGENTS / CALLERS {
                let answer = server.claim(&format!("caller {caller}, agent {n}")).await?;
                got.push(answer["instanceId"].as_str().unwrap_or_default().to_owned());
            }
            anyhow::Ok(got)
        });
    }
    let mut claimed = Vec::new();
    while let Some(got) = callers.join_next().await {
        claimed.extend(got??);
    }
    done.store(true, Ordering::SeqCst);
    let ticks = ticking.await??;

    assert!(ticks > 0, "ticks ran beside the claims");
    assert_eq!(claimed.len(), AGENTS);
    assert_eq!(
        claimed.iter().collect::<HashSet<_>>().len(),
        AGENTS,
        "none twice"
    );
    let twice = pool
        .railway
        .view()
        .agents
        .iter()
        .filter(|agent| agent.provisions != 1)
        .count();
    assert_eq!(twice, 0, "every agent was provisioned exactly once");
    let rows = pool
        .number("SELECT count(*) FROM instances WHERE status = 'claimed'")
        .await?;
    assert_eq!(
        usize::try_from(rows)?,
        AGENTS,
        "every caller's row is claimed"
    );
    let body = json!({ "agentName": "x", "instructions": "y" });
    let (status, answer) = server.post("/api/pool/claim", &body).await?;
    assert_eq!(status, 503);
    assert_eq!(
        answer["error"],
        "No idle instances available. Try again in a few minutes."
    );
    Ok(())
}

async fn reconcile_until(
    server: Arc<crate::pool::Server>,
    done: Arc<AtomicBool>,
) -> anyhow::Result<usize> {
    let mut ticks = 0;
    while !done.load(Ordering::SeqCst) {
        server.reconcile().await?;
        ticks += 1;
    }
    Ok(ticks)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_answers_with_what_the_agent_said() -> anyhow::Result<()> {
    let pool = Pool::new(1).await?;
    let server = pool.start().await?;
    server.until_count("idle", 1).await?;
    let answer = server.claim("Ada").await?;
    let mut fields: Vec<_> = answer
        .as_object()
        .into_iter()
        .flat_map(|object| object.keys().cloned())
        .collect();
    fields.sort();
    let expected = [
        "conversationId",
        "gatewayToken",
        "gatewayUrl",
        "instanceId",
        "inviteUrl",
        "joined",
    ];
    assert_eq!(fields, expected);
    let agents = server.get("/api/pool/agents").await?;
    assert_eq!(agents["claimed"][0]["agentName"], "Ada");
    assert_eq!(
        agents["claimed"][0]["conversationId"],
        answer["conversationId"]
    );
    assert_eq!(agents["claimed"][0]["inviteUrl"], answer["inviteUrl"]);
    server.stop().await
}
