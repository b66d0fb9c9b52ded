//! Both accounts as the simulator models them, over sockets and in process: they say the same.

use std::error::Error as StdError;

use pool_credentials::{AgentMailSettings, Credentials, Error, OpenRouterSettings, Settings};
use pool_domain::{InboxId, KeyHash, Redactor, Secret};
use pool_http_client::Transport;
use pool_simulator::faults::Lost;
use pool_simulator::{Fault, FaultRule, Options, Simulator};

type TestResult<T = ()> = Result<T, Box<dyn StdError>>;

fn credentials(simulator: &Simulator, transport: &Transport) -> Result<Credentials, Error> {
    let settings = Settings {
        openrouter: Some(OpenRouterSettings {
            management_key: Secret::new(simulator.openrouter_key()),
            api_url: simulator.openrouter_url(),
            key_limit: 20.0,
            limit_reset: Some("monthly".to_owned()),
        }),
        agentmail: Some(AgentMailSettings {
            api_key: Secret::new(simulator.agentmail_key()),
            api_url: simulator.agentmail_url(),
            domain: None,
        }),
        redactor: Redactor::default(),
    };
    Credentials::with_transport(settings, transport)
}

/// A call's outcome in words without the address.
fn told<T>(outcome: Result<T, Error>) -> String {
    outcome.map_or_else(
        |e| {
            let (class, status, message) = (e.class, e.status, &e.message);
            format!("{class} {status:?} {} {message}", e.may_have_happened())
        },
        |_| "done".to_owned(),
    )
}

async fn story(simulator: &Simulator, transport: &Transport) -> TestResult<Vec<String>> {
    let credentials = credentials(simulator, transport)?;
    let mut story = Vec::new();
    for fault in [
        Fault::Latency { ms: 20 },
        Fault::Dropped,
        Fault::Truncated,
        Fault::CutShort,
        Fault::Huge,
        Fault::AnswerLost { how: Lost::Dropped },
        Fault::Gateway { status: 502 },
        Fault::NotAuthorized,
    ] {
        for operation in ["keyCreate", "inboxCreate", "keyDelete", "inboxDelete"] {
            simulator.inject(FaultRule::once(fault.clone()).on(operation))?;
        }
        let name = format!("agent-{}", story.len());
        let key = credentials.make_key(&name).await;
        let inbox = credentials.make_inbox(&name).await;
        story.push(format!("{fault:?}: {}, {}", told(key), told(inbox)));
        let key = credentials.delete_key(&KeyHash::new("none")).await;
        let inbox = credentials.delete_inbox(&InboxId::new("none")).await;
        story.push(format!("  {}, {}", told(key), told(inbox)));
        simulator.clear_faults();
    }
    Ok(story)
}

#[tokio::test]
async fn the_accounts_say_the_same_in_process_as_over_sockets() -> TestResult {
    let over_sockets = Simulator::start(Options::default()).await?;
    let (simulator, service) = Simulator::in_process(Options::default());
    let (network, in_process) = (Transport::default(), Transport::in_process(service));
    let expected = story(&over_sockets, &network);
    let (expected, said) = tokio::join!(expected, story(&simulator, &in_process));
    assert_eq!(said?.join("\n"), expected?.join("\n"));
    Ok(())
}
