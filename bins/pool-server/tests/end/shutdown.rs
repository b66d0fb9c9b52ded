//! SIGTERM: claims in flight finish, then the program ends well.

use std::time::Duration;

use pool_simulator::AgentFault;
use serde_json::json;

use crate::pool::{KEY, Pool};

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_in_flight_finishes_when_the_server_is_told_to_stop() -> anyhow::Result<()> {
    let pool = Pool::new(1).await?;
    let server = pool.start().await?;
    server.until_count("idle", 1).await?;
    let service = pool.railway.view().services[0].id.clone();
    let slow = AgentFault::Slow { ms: 1_500 };
    pool.railway
        .set_agent_fault(&service.as_str().into(), Some(slow))?;

    let url = format!("{}/api/pool/claim", server.base);
    let body = json!({ "agentName": "Ada", "instructions": "x" });
    let claim = pool.http.post(url).bearer_auth(KEY).json(&body).send();
    let claim = tokio::spawn(claim);
    server.until_count("claiming", 1).await?;
    server.stop.cancel();
    let answer = tokio::time::timeout(Duration::from_secs(20), claim).await???;
    assert_eq!(answer.status().as_u16(), 200);
    server.stop().await?;
    assert_eq!(
        pool.number("SELECT count(*) FROM instances WHERE status = 'claimed'")
            .await?,
        1
    );
    Ok(())
}
