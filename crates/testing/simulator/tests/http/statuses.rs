//! Where a deployment can be, and what happens to it unasked.

use std::time::Duration;

use pool_domain::DeploymentStatus;
use pool_simulator::{AgentFault, Fault, FaultRule, Options};
use serde_json::{Value, json};

use crate::support::{Client, KEY, Result, running, started, text};

async fn latest(client: &Client) -> Result<Value> {
    let answer = client.snapshot(1, None).await?.json();
    let node = &answer["data"]["environment"]["serviceInstances"]["edges"][0]["node"];
    Ok(node.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_may_have_each_status_and_one_that_nobody_knows() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let seeded = simulator.seed_services(&running(1))?;
    let path = format!("services/{}/status", seeded[0].service_id);
    for status in DeploymentStatus::KNOWN {
        let wanted = json!({"status": status.as_str()});
        assert_eq!(client.control(&path, wanted).await?.status, 200);
        let node = latest(&client).await?;
        assert_eq!(node["latestDeployment"]["status"], json!(status.as_str()));
        let is_active = matches!(status.as_str(), "SUCCESS" | "SLEEPING");
        assert_eq!(
            node["activeDeployments"] != json!([]),
            is_active,
            "{status}"
        );
    }
    client.control(&path, json!({"status": "TOMORROW"})).await?;
    assert_eq!(
        latest(&client).await?["latestDeployment"]["status"],
        json!("HIBERNATING")
    );
    client
        .control(&path, json!({"status": "INITIALIZING", "stopped": true}))
        .await?;
    let shown = latest(&client).await?["latestDeployment"].clone();
    assert_eq!(
        (&shown["deploymentStopped"], &shown["statusUpdatedAt"]),
        (&json!(true), &Value::Null)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_may_fail_stick_or_wait_for_an_approval() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let seeded = simulator.seed_services(&running(1))?;
    let id = &seeded[0].service_id;
    let until = async |status: &str| -> Result<String> {
        loop {
            let found = latest(&client).await?["latestDeployment"].clone();
            if found["status"] == json!(status) {
                return text(&found, "/id");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let held = Fault::DeployHolds {
        status: DeploymentStatus::NeedsApproval,
    };
    let cases = [
        (Fault::DeployFails, "FAILED"),
        (Fault::DeploySticks, "INITIALIZING"),
        (held, "NEEDS_APPROVAL"),
    ];
    let patience = Duration::from_secs(20);
    for (fault, status) in cases {
        simulator.inject(FaultRule::once(fault))?;
        client
            .control(&format!("services/{id}/redeploy"), json!({}))
            .await?;
        tokio::time::timeout(patience, until(status)).await??;
    }
    let waiting = text(&latest(&client).await?, "/latestDeployment/id")?;
    let approve = "mutation($id: String!) { deploymentApprove(id: $id) }";
    client.data(approve, json!({ "id": waiting })).await?;
    tokio::time::timeout(patience, until("SUCCESS")).await??;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_may_be_born_broken() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let fault = AgentFault::Error;
    simulator.inject(FaultRule::always(Fault::BornBroken { fault }))?;
    let seeded = simulator.seed_services(&running(1))?;
    let (id, domain) = (&seeded[0].service_id, &seeded[0].domain);
    assert_eq!(client.agent(domain, "/pool/health", KEY).await?.status, 200);
    client
        .control(&format!("services/{id}/redeploy"), json!({}))
        .await?;
    assert_eq!(client.agent(domain, "/pool/health", KEY).await?.status, 500);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_deployment_may_stand_beside_one_that_serves() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let seeded = simulator.seed_services(&running(1))?;
    let (id, domain) = (&seeded[0].service_id, &seeded[0].domain);
    for verb in ["redeploy", "fail"] {
        client
            .control(&format!("services/{id}/{verb}"), json!({}))
            .await?;
    }
    let node = latest(&client).await?;
    assert_eq!(node["latestDeployment"]["status"], json!("FAILED"));
    assert_eq!(node["activeDeployments"][0]["status"], json!("SUCCESS"));
    client.until_ready(domain, KEY).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_reaches_other_environments_and_no_fork_over_http() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let fork = json!({"name": "pr-1", "isFork": true});
    let fork = text(
        &client.control("environments", fork).await?.json(),
        "/environmentId",
    )?;
    let create = "mutation($input: ServiceCreateInput!) { serviceCreate(input: $input) { id } }";
    let named = |name: &str, environment: &str| {
        json!({"input": {"projectId": client.project, "name": name,
                         "environmentId": environment}})
    };
    client
        .data(create, named("wide", &client.environment))
        .await?;
    client.data(create, named("narrow", &fork)).await?;
    let view = simulator.view();
    let reached = |name: &str| {
        let service = view.services.iter().find(|service| service.name == name);
        service
            .map(|service| service.environment_ids.clone())
            .unwrap_or_default()
    };
    let mut both = vec![
        client.environment.clone(),
        simulator.other_environment_id().into_string(),
    ];
    both.sort_unstable();
    assert_eq!(reached("wide"), both);
    assert_eq!(reached("narrow"), [fork]);
    Ok(())
}
