//! What an agent can do to whoever calls it, beyond the plain failures.

use std::time::Duration;

use pool_simulator::{AgentFault, Options, Simulator};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Client, KEY, Result, read_much, running, started};

const PATIENCE: Duration = Duration::from_millis(500);

async fn ailing(fault: AgentFault) -> Result<(Simulator, Client, String)> {
    let (simulator, client) = started(Options::default()).await?;
    let seeded = simulator.seed_services(&running(1))?;
    simulator.set_agent_fault(&seeded[0].service_id.as_str().into(), Some(fault))?;
    Ok((simulator, client, seeded[0].domain.clone()))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_may_take_the_connection_and_read_nothing() -> Result<()> {
    let (_simulator, client, domain) = ailing(AgentFault::Mute).await?;
    let asked = client.agent(&domain, "/pool/health", KEY);
    assert!(tokio::time::timeout(PATIENCE, asked).await.is_err());
    // A client that has more to say than the buffers hold cannot even finish saying it.
    let mut stream = tokio::net::TcpStream::connect(&domain).await?;
    let much = vec![b'x'; 64 * 1024 * 1024];
    let said = tokio::time::timeout(PATIENCE, stream.write_all(&much));
    assert!(said.await.is_err(), "somebody read 64 MiB");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_nobody_answered_are_given_up_with_their_clients() -> Result<()> {
    let (simulator, client, domain) = ailing(AgentFault::Mute).await?;
    let well = simulator.seed_services(&running(1))?;
    // More than are served at once by all agents together.
    for _ in 0..300 {
        let mut stream = tokio::net::TcpStream::connect(&domain).await?;
        stream
            .write_all(b"GET /pool/health HTTP/1.1\r\nhost: a\r\n\r\n")
            .await?;
    }
    client.until_ready(&well[0].domain, KEY).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_may_begin_its_answer_and_never_end_it() -> Result<()> {
    let (_simulator, _client, domain) = ailing(AgentFault::Stall).await?;
    let mut stream = tokio::net::TcpStream::connect(&domain).await?;
    stream
        .write_all(b"GET /pool/health HTTP/1.1\r\nhost: a\r\n\r\n")
        .await?;
    let mut begun = vec![0; 1024];
    let count = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut begun)).await??;
    assert!(String::from_utf8_lossy(&begun[..count]).starts_with("HTTP/1.1 200 OK"));
    let rest = async {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await
    };
    assert!(
        tokio::time::timeout(PATIENCE, rest).await.is_err(),
        "it ended"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_may_send_its_callers_in_a_circle() -> Result<()> {
    let (simulator, client, domain) = ailing(AgentFault::Redirect).await?;
    let answer = client.straight(&domain, "/pool/health", KEY).await?;
    assert_eq!(
        (answer.status, answer.header("location")),
        (307, Some("/pool/health"))
    );
    let body = json!({"agentName": "Ada", "instructions": ""});
    assert!(
        client.provision(&domain, KEY, body).await.is_err(),
        "followed, it never ends"
    );
    assert_eq!(simulator.view().agents[0].provisions, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_edge_may_hide_an_agents_status() -> Result<()> {
    let (_simulator, client, domain) = ailing(AgentFault::EdgeHidesStatus).await?;
    let hidden = client.agent(&domain, "/convos/status", KEY).await?;
    let message = &hidden.json()["message"];
    assert_eq!(
        (hidden.status, message),
        (404, &json!("Application not found"))
    );
    let health = client.agent(&domain, "/pool/health", KEY).await?;
    assert_eq!(health.status, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_may_take_another() -> Result<()> {
    let (_simulator, client, domain) = ailing(AgentFault::TakesAnother).await?;
    for name in ["Ada", "Bob"] {
        let body = json!({"agentName": name, "instructions": ""});
        assert_eq!(client.provision(&domain, KEY, body).await?.status, 200);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_may_answer_two_gigabytes() -> Result<()> {
    let (_simulator, _client, domain) = ailing(AgentFault::Huge).await?;
    // Enough to see that it is streamed; whoever wants all of it may go on.
    let request = "GET /pool/health HTTP/1.1\r\nhost: a\r\n\r\n";
    read_much(&domain, request, 64 * 1024 * 1024).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_may_be_provisioned_and_never_say_so() -> Result<()> {
    let (simulator, client, domain) = ailing(AgentFault::HangAfterProvision).await?;
    assert_eq!(
        client.agent(&domain, "/pool/health", KEY).await?.status,
        200
    );
    let body = json!({"agentName": "Ada", "instructions": ""});
    let asked = client.provision(&domain, KEY, body);
    assert!(tokio::time::timeout(PATIENCE, asked).await.is_err());
    assert_eq!(
        simulator.view().agents[0].agent_name.as_deref(),
        Some("Ada")
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_given_an_agent_is_told_after_its_service_is_gone() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let seeded = simulator.seed_services(&running(1))?.remove(0);
    client.until_ready(&seeded.domain, KEY).await?;
    for name in ["Ada", "Bob"] {
        let body = json!({"agentName": name, "instructions": ""});
        client.provision(&seeded.domain, KEY, body).await?;
    }
    simulator.delete_service(&seeded.service_id.as_str().into())?;
    let calls = client.read("provisions").await?;
    let told = |nth: usize| {
        let call = &calls[nth];
        (
            call["serviceId"].clone(),
            call["agentName"].clone(),
            call["outcome"].clone(),
        )
    };
    let service = json!(seeded.service_id);
    assert_eq!(told(0), (service.clone(), json!("Ada"), json!("done")));
    assert_eq!(told(1), (service, json!("Bob"), json!("twice")));
    Ok(())
}
