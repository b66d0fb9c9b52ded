//! What an agent can do to whoever calls it, beyond the plain failures.

use std::time::Duration;

use pool_simulator::AgentFault;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{PATIENCE, Result, ailing, read_much, running, started_with_one};

const ASKS_FOR_HEALTH: &[u8] = b"GET /pool/health HTTP/1.1\r\nhost: a\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_may_take_the_connection_and_read_nothing() -> Result<()> {
    let (_simulator, client, domain) = ailing(AgentFault::Mute).await?;
    assert!(timeout(PATIENCE, client.health(&domain)).await.is_err());
    // A client that has more to say than the buffers hold cannot even finish saying it.
    let mut stream = TcpStream::connect(&domain).await?;
    let much = vec![b'x'; 64 * 1024 * 1024];
    let said = timeout(PATIENCE, stream.write_all(&much));
    assert!(said.await.is_err(), "somebody read 64 MiB");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_nobody_answered_are_given_up_with_their_clients() -> Result<()> {
    let (simulator, client, domain) = ailing(AgentFault::Mute).await?;
    let well = simulator.seed_services(&running(1))?;
    // More than are served at once by all agents together.
    for _ in 0..300 {
        let mut stream = TcpStream::connect(&domain).await?;
        stream.write_all(ASKS_FOR_HEALTH).await?;
    }
    client.until_ready(&well[0].domain).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_may_begin_its_answer_and_never_end_it() -> Result<()> {
    let (_simulator, _client, domain) = ailing(AgentFault::Stall).await?;
    let mut stream = TcpStream::connect(&domain).await?;
    stream.write_all(ASKS_FOR_HEALTH).await?;
    let mut begun = vec![0; 1024];
    let count = timeout(Duration::from_secs(10), stream.read(&mut begun)).await??;
    assert!(String::from_utf8_lossy(&begun[..count]).starts_with("HTTP/1.1 200 OK"));
    let mut rest = Vec::new();
    let rest = timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    assert!(rest.is_err(), "it ended");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_may_send_its_callers_in_a_circle() -> Result<()> {
    let (simulator, client, domain) = ailing(AgentFault::Redirect).await?;
    let answer = client.straight(&domain, "/pool/health").await?;
    assert_eq!(answer.status, 307);
    assert_eq!(answer.header("location"), Some("/pool/health"));
    let followed = client.provision(&domain, "Ada").await;
    assert!(followed.is_err(), "it never ends");
    assert_eq!(simulator.view().agents[0].provisions, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_edge_may_hide_an_agents_status() -> Result<()> {
    let (_simulator, client, domain) = ailing(AgentFault::EdgeHidesStatus).await?;
    let hidden = client.straight(&domain, "/convos/status").await?;
    assert_eq!(hidden.status, 404);
    assert_eq!(hidden.json()["message"], json!("Application not found"));
    assert_eq!(client.health(&domain).await?.status, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_may_take_another() -> Result<()> {
    let (_simulator, client, domain) = ailing(AgentFault::TakesAnother).await?;
    for name in ["Ada", "Bob"] {
        assert_eq!(client.provision(&domain, name).await?.status, 200);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_may_answer_two_gigabytes() -> Result<()> {
    let (_simulator, _client, domain) = ailing(AgentFault::Huge).await?;
    // Enough to see that it is streamed; whoever wants all of it may go on.
    let request = str::from_utf8(ASKS_FOR_HEALTH)?;
    read_much(&domain, request, 64 * 1024 * 1024).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_may_be_provisioned_and_never_say_so() -> Result<()> {
    let (simulator, client, domain) = ailing(AgentFault::HangAfterProvision).await?;
    assert_eq!(client.health(&domain).await?.status, 200);
    let asked = timeout(PATIENCE, client.provision(&domain, "Ada"));
    assert!(asked.await.is_err());
    let name = simulator.view().agents[0].agent_name.clone();
    assert_eq!(name.as_deref(), Some("Ada"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_given_an_agent_is_told_after_its_service_is_gone() -> Result<()> {
    let (simulator, client, seeded) = started_with_one().await?;
    client.until_ready(&seeded.domain).await?;
    for name in ["Ada", "Bob"] {
        client.provision(&seeded.domain, name).await?;
    }
    simulator.delete_service(&seeded.service_id.as_str().into())?;
    let calls = client.read("provisions").await?;
    for (nth, name, outcome) in [(0, "Ada", "done"), (1, "Bob", "twice")] {
        let mut call = calls[nth].clone();
        call["at"].take();
        let told = json!({"serviceId": seeded.service_id, "agentName": name, "outcome": outcome,
                          "at": null});
        assert_eq!(call, told);
    }
    Ok(())
}
