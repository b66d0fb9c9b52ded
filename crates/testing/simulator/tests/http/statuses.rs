//! Where a deployment can be, and what happens to it unasked.

use std::time::Duration;

use pool_domain::DeploymentStatus;
use pool_simulator::{AgentFault, Fault, FaultRule, Options};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{Client, Result, once, started, started_with_one, text};

async fn until(client: &Client, status: &str) -> Result<()> {
    let reached = async {
        while client.instance().await?["latestDeployment"]["status"] != json!(status) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    };
    timeout(Duration::from_secs(20), reached).await?
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_may_have_each_status_and_one_that_nobody_knows() -> Result<()> {
    let (_simulator, client, seeded) = started_with_one().await?;
    let path = format!("services/{}/status", seeded.service_id);
    let given = async |status: Value| -> Result<Value> {
        assert_eq!(client.control(&path, status).await?.status, 200);
        client.instance().await
    };
    for status in DeploymentStatus::KNOWN {
        let node = given(json!({"status": status.as_str()})).await?;
        assert_eq!(node["latestDeployment"]["status"], json!(status.as_str()));
        let is_active = matches!(status.as_str(), "SUCCESS" | "SLEEPING");
        let shown = node["activeDeployments"] != json!([]);
        assert_eq!(shown, is_active, "{status}");
    }
    let strange = given(json!({"status": "TOMORROW"})).await?;
    assert_eq!(strange["latestDeployment"]["status"], json!("HIBERNATING"));
    let stopped = given(json!({"status": "INITIALIZING", "stopped": true})).await?;
    assert_eq!(
        stopped["latestDeployment"]["deploymentStopped"],
        json!(true)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_may_fail_stick_or_wait_for_an_approval() -> Result<()> {
    let (simulator, client, seeded) = started_with_one().await?;
    let held = Fault::DeployHolds {
        status: DeploymentStatus::NeedsApproval,
    };
    let cases = [
        (Fault::DeployFails, "FAILED"),
        (Fault::DeploySticks, "INITIALIZING"),
        (held, "NEEDS_APPROVAL"),
    ];
    for (fault, status) in cases {
        once(&simulator, fault)?;
        client.befall(&seeded.service_id, "redeploy").await?;
        until(&client, status).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_may_be_born_broken() -> Result<()> {
    let (simulator, client, seeded) = started_with_one().await?;
    let fault = AgentFault::Error;
    simulator.inject(FaultRule::always(Fault::BornBroken { fault }))?;
    assert_eq!(client.health(&seeded.domain).await?.status, 200);
    client.befall(&seeded.service_id, "redeploy").await?;
    assert_eq!(client.health(&seeded.domain).await?.status, 500);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_deployment_may_stand_beside_one_that_serves() -> Result<()> {
    let (_simulator, client, seeded) = started_with_one().await?;
    let serving = client.instance().await?["activeDeployments"].clone();
    for verb in ["redeploy", "fail"] {
        client.befall(&seeded.service_id, verb).await?;
    }
    let node = client.instance().await?;
    assert_eq!(node["latestDeployment"]["status"], json!("FAILED"));
    assert_eq!(node["activeDeployments"], serving);
    client.until_ready(&seeded.domain).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_reaches_other_environments_and_no_fork_over_http() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let fork = json!({"name": "pr-1", "isFork": true});
    let fork = client.control("environments", fork).await?.json();
    let fork = text(&fork, "/environmentId")?;
    let create = "mutation($input: ServiceCreateInput!) { serviceCreate(input: $input) { id } }";
    for (name, environment) in [("wide", &client.environment), ("narrow", &fork)] {
        let input = json!({"projectId": client.project, "name": name,
                           "environmentId": environment});
        client.data(create, json!({ "input": input })).await?;
    }
    let reached = simulator.view().services.into_iter();
    let reached: Vec<_> = reached.map(|service| service.environment_ids).collect();
    let other = simulator.other_environment_id().into_string();
    let mut both = vec![client.environment.clone(), other];
    both.sort_unstable();
    assert_eq!(reached, [both, vec![fork]]);
    Ok(())
}
