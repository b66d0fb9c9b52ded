//! The client against modelled agents, over sockets and in process: it hears the same.

use std::error::Error as StdError;
use std::time::Duration;

use futures_util::future::join_all;
use pool_agent::{AgentClient, ProvisionRequest};
use pool_domain::{Redactor, Secret, ServiceId};
use pool_http_client::Transport;
use pool_simulator::{AgentFault, Options, SeedServices, Simulator};

type TestResult<T = ()> = Result<T, Box<dyn StdError>>;

const KEY: &str = "the-pools-own-key";
/// Longer than an answer takes and shorter than a slow one.
const SOON: Duration = Duration::from_secs(1);
/// Long enough for a port to be given up.
const CLOSING: Duration = Duration::from_millis(200);

const FAULTS: &[AgentFault] = &[
    AgentFault::Unready,
    AgentFault::Hang,
    AgentFault::Mute,
    AgentFault::Stall,
    AgentFault::Redirect,
    AgentFault::Huge,
    AgentFault::Slow { ms: 10_000 },
    AgentFault::Error,
    AgentFault::Garbage,
    AgentFault::Close,
    AgentFault::CloseMidAnswer,
    AgentFault::RefuseProvision { status: 503 },
    AgentFault::ErrorAfterProvision,
    AgentFault::LoseProvision,
    AgentFault::HangAfterProvision,
];

/// All that a client hears from an agent.
async fn heard(client: &AgentClient, domain: &str, fault: &str) -> String {
    let url = format!("http://{domain}");
    let request = ProvisionRequest {
        agent_name: "Ada".to_owned(),
        instructions: "Help.".into(),
        join_url: None,
    };
    let health = client.health(&url, SOON).await;
    let conversation = client.conversation(&url, SOON).await;
    let provisioned = client.provision(&url, &request, SOON).await;
    let provisioned = provisioned.map(|made| made.conversation_id.is_some());
    format!("{fault}: {health:?}, {conversation:?}, {provisioned:?}")
}

async fn story(simulator: &Simulator, transport: &Transport) -> TestResult<Vec<String>> {
    let client = AgentClient::with_transport(Secret::new(KEY), &Redactor::default(), transport)?;
    let seed = SeedServices {
        count: FAULTS.len() + 2,
        variables: [("POOL_API_KEY".to_owned(), KEY.to_owned())].into(),
        ..SeedServices::default()
    };
    let agents = simulator.seed_services(&seed)?;
    let faults = FAULTS.iter().copied().map(Some).chain([None, None]);
    let mut calls = Vec::new();
    for (agent, fault) in agents.iter().zip(faults) {
        simulator.set_agent_fault(&ServiceId::new(&agent.service_id), fault)?;
        let client = &client;
        calls.push(async move { heard(client, &agent.domain, &format!("{fault:?}")).await });
    }
    let mut story = join_all(calls).await;
    let last = agents.last().ok_or("there are agents")?;
    simulator.delete_service(&ServiceId::new(&last.service_id))?;
    tokio::time::sleep(CLOSING).await;
    story.push(heard(&client, &last.domain, "deleted").await);
    Ok(story)
}

#[tokio::test]
async fn the_same_is_heard_of_an_agent_in_process_as_over_sockets() -> TestResult {
    let over_sockets = Simulator::start(Options::default()).await?;
    let (simulator, service) = Simulator::in_process(Options::default());
    let (network, in_process) = (Transport::default(), Transport::in_process(service));
    let expected = story(&over_sockets, &network);
    let (expected, heard) = tokio::join!(expected, story(&simulator, &in_process));
    assert_eq!(heard?.join("\n"), expected?.join("\n"));
    Ok(())
}
