//! SIGTERM: claims in flight finish, then the program ends well.

use std::time::Duration;

use anyhow::ensure;
use pool_simulator::{AgentFault, Fault, FaultRule};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

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
    let answer = timeout(Duration::from_secs(20), claim).await???;
    assert_eq!(answer.status().as_u16(), 200);
    server.stop().await?;
    assert_eq!(
        pool.number("SELECT count(*) FROM instances WHERE status = 'claimed'")
            .await?,
        1
    );
    Ok(())
}

/// A tick that takes longer than the interval is followed by the next one at once, but not by one
/// that begins after the end was asked for. Several lives, since it was a matter of chance.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_told_to_stop_begins_no_other_tick() -> anyhow::Result<()> {
    let pool = Pool::new(2).await?.set("tick-interval-ms", 100);
    for life in 1..=4 {
        let server = pool.start().await?;
        server.until_count("idle", 2).await?;
        let slow = FaultRule::always(Fault::Latency { ms: 700 });
        pool.railway.inject(slow.on("EnvironmentListing"))?;
        let slow_ticks = "SELECT count(*) FROM ticks AS it, leader_terms AS last \
                          WHERE it.term = last.term AND last.ended_at IS NULL \
                          AND (report->>'durationMs')::int8 >= 700";
        server
            .until("a tick is slow", async |_| {
                Ok(pool.number(slow_ticks).await? > 0)
            })
            .await?;
        server.stop.cancel();
        let asked = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8";
        let asked = pool.number(asked).await?;
        server.stop().await?;
        let begun = format!(
            "SELECT count(*) FROM ticks WHERE started_at > to_timestamp({asked} / 1000000.0)"
        );
        assert_eq!(pool.number(&begun).await?, 0, "in life {life}");
        pool.railway.clear_faults();
    }
    Ok(())
}

/// Over one connection, as a client that does not wait for answers sends them, or a proxy.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_behind_a_reconcile_is_answered_by_a_server_that_stops() -> anyhow::Result<()> {
    let pool = Pool::new(1).await?;
    let server = pool.start().await?;
    server.until_count("idle", 1).await?;
    let slow = FaultRule::always(Fault::Latency { ms: 5_000 });
    pool.railway.inject(slow.on("EnvironmentListing"))?;

    let mut stream = TcpStream::connect(server.base.trim_start_matches("http://")).await?;
    let claim = r#"{"agentName":"Ada","instructions":"x"}"#;
    for (path, body) in [("reconcile", "{}"), ("claim", claim)] {
        let request = format!(
            "POST /api/pool/{path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await?;
    }
    sleep(Duration::from_millis(300)).await;
    server.stop.cancel();
    let mut said = String::new();
    timeout(Duration::from_secs(20), stream.read_to_string(&mut said)).await??;
    let answers: Vec<_> = said.matches("HTTP/1.1 ").collect();
    ensure!(answers.len() == 2, "{said}");
    ensure!(
        said.matches("503 Service Unavailable").count() == 2,
        "{said}"
    );
    ensure!(said.matches("retry-after: 2").count() == 2, "{said}");
    server.stop().await?;
    let claimed = "SELECT count(*) FROM instances WHERE status IN ('claimed', 'claiming')";
    ensure!(pool.number(claimed).await? == 0);
    Ok(())
}
