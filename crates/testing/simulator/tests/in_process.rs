//! A simulator without sockets, on a clock of the test's own.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Bytes, to_bytes};
use chrono::{DateTime, Utc};
use http::{Request, Response, StatusCode};
use pool_domain::{Clock, ServiceId};
use pool_simulator::{AgentFault, InProcess, Options, SeedServices, Simulator};
use serde_json::{Value, json};
use tokio::time::Instant;
use tower::ServiceExt;

type TestResult = Result<(), Box<dyn StdError>>;

const KEY: &str = "the-pools-own-key";

/// Time that passes when tokio's does.
#[derive(Debug)]
struct VirtualClock(Instant);

impl Clock for VirtualClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + self.0.elapsed()
    }
}

fn start() -> (Simulator, InProcess) {
    Simulator::in_process(Options {
        clock: Arc::new(VirtualClock(Instant::now())),
        ..Options::default()
    })
}

fn running(count: usize) -> SeedServices {
    SeedServices {
        count,
        variables: [("POOL_API_KEY".to_owned(), KEY.to_owned())].into(),
        ..SeedServices::default()
    }
}

async fn get(service: &InProcess, url: &str) -> io::Result<Response<axum::body::Body>> {
    let request = Request::get(url).header("authorization", format!("Bearer {KEY}"));
    let request = request.body(Bytes::new()).map_err(io::Error::other)?;
    service.clone().oneshot(request).await
}

/// Asks Railway for a service, and for a deployment of it.
async fn create_service(
    simulator: &Simulator,
    service: &InProcess,
) -> Result<ServiceId, Box<dyn StdError>> {
    let ask = async |query: &str, variables: Value| -> Result<Value, Box<dyn StdError>> {
        let body = json!({"query": query, "variables": variables}).to_string();
        let request = Request::post(simulator.graphql_url())
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {}", simulator.token()));
        let answer = service.clone().oneshot(request.body(Bytes::from(body))?);
        let body = to_bytes(answer.await?.into_body(), 4096).await?;
        Ok(serde_json::from_slice(&body)?)
    };
    let create = "mutation($input: ServiceCreateInput!) { serviceCreate(input: $input) { id } }";
    let input = json!({"projectId": simulator.project_id(), "name": "a"});
    let made = ask(create, json!({ "input": input })).await?;
    let id = made["data"]["serviceCreate"]["id"].as_str();
    let id = id.ok_or("no service was made")?;
    let commit = "mutation($id: String!, $patch: EnvironmentConfig!) \
                  { environmentPatchCommit(environmentId: $id, patch: $patch) }";
    let patch = json!({"services": {id: {"source": {"image": "an-image"}}}});
    let environment = simulator.environment_id();
    ask(commit, json!({"id": environment, "patch": patch})).await?;
    Ok(ServiceId::new(id))
}

#[tokio::test(start_paused = true)]
async fn a_deployment_goes_on_with_virtual_time_and_only_with_it() -> TestResult {
    let (simulator, service) = start();
    let id = create_service(&simulator, &service).await?;
    let status = || {
        let view = simulator.view();
        let found = view.services.into_iter().find(|s| s.id == id.as_str());
        found.and_then(|service| service.deploy_status)
    };
    let before = status();
    assert_eq!(status(), before);
    tokio::time::advance(Duration::from_secs(5)).await;
    assert_ne!(status(), before);
    Ok(())
}

#[tokio::test]
async fn agents_have_names_that_nobody_answers_to_once_they_are_gone() -> TestResult {
    let (simulator, service) = start();
    let agents = simulator.seed_services(&running(2))?;
    assert_eq!(agents[1].domain, "agent-2.up.simulated");
    let url = format!("https://{}/pool/health", agents[1].domain);
    assert_eq!(get(&service, &url).await?.status(), StatusCode::OK);
    simulator.delete_service(&ServiceId::new(&agents[1].service_id))?;
    for url in [url.as_str(), "http://nobody.up.simulated/pool/health"] {
        let refused = get(&service, url).await.err().map(|error| error.kind());
        assert_eq!(refused, Some(io::ErrorKind::ConnectionRefused));
    }
    drop(simulator);
    let url = format!("https://{}/pool/health", agents[0].domain);
    let refused = get(&service, &url).await.err().map(|error| error.kind());
    assert_eq!(refused, Some(io::ErrorKind::ConnectionRefused));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_call_to_an_agent_ends_with_the_agent() -> TestResult {
    let (simulator, service) = start();
    let agents = simulator.seed_services(&running(1))?;
    let id = ServiceId::new(&agents[0].service_id);
    simulator.set_agent_fault(&id, Some(AgentFault::Mute))?;
    let url = format!("http://{}/pool/health", agents[0].domain);
    let call = tokio::spawn(async move { get(&service, &url).await });
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(!call.is_finished());
    simulator.delete_service(&id)?;
    let ended = call.await?.err().map(|error| error.kind());
    assert_eq!(ended, Some(io::ErrorKind::ConnectionReset));
    Ok(())
}
