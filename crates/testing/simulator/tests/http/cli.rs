//! Railway's own command line client, and what it does with deployments.

use pool_simulator::{Options, Simulator};
use serde_json::{Value, json};

use crate::support::{As, Client, KEY, Result, nodes, running, started, text};

const INSTANCES: &str = "query EnvironmentInstances($environmentId: String!, $projectId: String!, \
    $sFirst: Int, $sAfter: String, $vFirst: Int, $vAfter: String) {
  environment(id: $environmentId, projectId: $projectId) {
    id name
    serviceInstances(first: $sFirst, after: $sAfter) {
      edges { node {
        id serviceId serviceName environmentId numReplicas
        latestDeployment {
          canRedeploy id meta status createdAt deploymentStopped instances { id status }
        }
        activeDeployments { id status createdAt meta deploymentStopped instances { id status } }
        source { repo image }
        domains {
          serviceDomains { id domain targetPort } customDomains { id domain targetPort }
        }
        cronSchedule nextCronRunAt startCommand
      } }
      pageInfo { hasNextPage endCursor }
    }
    volumeInstances(first: $vFirst, after: $vAfter) {
      edges { node {
        id serviceId mountPath environmentId currentSizeMB sizeMB state deletedAt
        isPendingDeletion volume { name id }
      } }
      pageInfo { hasNextPage endCursor }
    }
  }
}";

async fn instances(client: &Client) -> Result<Vec<Value>> {
    let place = json!({"environmentId": client.environment, "projectId": client.project,
                       "sFirst": 500, "vFirst": 500});
    let data = client.data(INSTANCES, place).await?;
    Ok(nodes(&data["environment"]["serviceInstances"]))
}

async fn one(client: &Client, simulator: &Simulator) -> Result<(String, String)> {
    let seeded = simulator.seed_services(&running(1))?;
    let latest = text(&instances(client).await?[0], "/latestDeployment/id")?;
    Ok((seeded[0].service_id.clone(), latest))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_client_sees_instances_projects_and_deployments() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let (service, deployment) = one(&client, &simulator).await?;
    let instance = &instances(&client).await?[0];
    assert_eq!(
        instance["latestDeployment"]["instances"][0]["status"],
        json!("RUNNING")
    );
    assert_eq!(instance["latestDeployment"]["canRedeploy"], json!(true));
    let project = "query Project($id: String!) { project(id: $id) { id name workspaceId deletedAt \
                   workspace { name } buckets { edges { node { id name } } } \
                   environments { edges { node { id name canAccess deletedAt \
                   unmergedChangesCount } } } services { edges { node { id name } } } } }";
    let found = client.data(project, json!({"id": client.project})).await?;
    assert_eq!(
        nodes(&found["project"]["services"])[0]["id"],
        json!(service)
    );
    let list = "query Deployments($input: DeploymentListInput!, $first: Int) \
                { deployments(input: $input, first: $first) \
                { edges { node { id createdAt status meta } } } }";
    let asked = |status: &str| {
        json!({"first": 10, "input": {
            "projectId": client.project, "environmentId": client.environment,
            "serviceId": service, "status": {"in": [status]}}})
    };
    let found = client.data(list, asked("SUCCESS")).await?;
    assert_eq!(nodes(&found["deployments"])[0]["id"], json!(deployment));
    let found = client.data(list, asked("CRASHED")).await?;
    assert_eq!(found["deployments"]["edges"], json!([]));
    let variables = "query VariablesForServiceDeployment($p: String!, $e: String!, $s: String!) \
                     { variablesForServiceDeployment(projectId: $p, environmentId: $e, \
                     serviceId: $s) }";
    let place = json!({"p": client.project, "e": client.environment, "s": service});
    let found = client.data(variables, place).await?;
    assert_eq!(
        found["variablesForServiceDeployment"]["POOL_API_KEY"],
        json!(KEY)
    );
    let environments = "query Environments($p: String!) { environments(projectId: $p, \
                        isEphemeral: false) { edges { node { id isEphemeral sourceEnvironment \
                        { id } meta { prNumber } } } } }";
    let found = client
        .data(environments, json!({"p": client.project}))
        .await?;
    assert_eq!(nodes(&found["environments"]).len(), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_stopped_restarted_removed_and_cancelled() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let (service, deployment) = one(&client, &simulator).await?;
    let act = async |verb: &str, id: &str| -> Result<String> {
        let act = format!("mutation($id: String!) {{ {verb}(id: $id) }}");
        Ok(client.ask(&act, json!({ "id": id })).await?.message())
    };
    let latest =
        async || -> Result<Value> { Ok(instances(&client).await?[0]["latestDeployment"].clone()) };
    assert_eq!(act("deploymentStop", &deployment).await?, "");
    let stopped = latest().await?;
    assert_eq!(
        (&stopped["status"], &stopped["deploymentStopped"]),
        (&json!("SUCCESS"), &json!(true))
    );
    assert_eq!(act("deploymentRestart", &deployment).await?, "");
    assert_eq!(latest().await?["deploymentStopped"], json!(false));
    assert_eq!(act("deploymentRemove", &deployment).await?, "");
    assert_eq!(latest().await?["status"], json!("REMOVED"));
    client
        .control(&format!("services/{service}/redeploy"), json!({}))
        .await?;
    let rising = text(&latest().await?, "/id")?;
    assert_eq!(act("deploymentCancel", &rising).await?, "");
    assert_eq!(latest().await?["status"], json!("REMOVED"));
    assert_eq!(
        act("deploymentCancel", "gone").await?,
        "Deployment not found"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redeployment_runs_the_old_image_and_says_when_it_cannot() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let (service, deployment) = one(&client, &simulator).await?;
    client
        .control("settings", json!({"updateDeploys": false}))
        .await?;
    let update = "mutation($s: String!, $i: ServiceInstanceUpdateInput!) \
                  { serviceInstanceUpdate(serviceId: $s, input: $i) }";
    let newer = json!({"s": service, "i": {"source": {"image": "newer:1"}}});
    client.data(update, newer).await?;
    let place = json!({"s": service, "e": client.environment});
    let redeploy = "mutation($s: String!, $e: String!) \
                    { serviceInstanceRedeploy(serviceId: $s, environmentId: $e) }";
    client.data(redeploy, place.clone()).await?;
    let latest = instances(&client).await?[0]["latestDeployment"].clone();
    assert_ne!(latest["meta"]["image"], json!("newer:1"));
    let busy = client
        .ask(redeploy, json!({"s": service, "e": client.environment}))
        .await?;
    if latest["status"] == json!("INITIALIZING") && !busy.message().is_empty() {
        let wait =
            "Cannot redeploy yet, please wait for the original deployment to finish building";
        assert_eq!(busy.message(), wait);
    }
    let deploy = "mutation($s: String!, $e: String!) \
                  { serviceInstanceDeployV2(serviceId: $s, environmentId: $e) }";
    client.data(deploy, place).await?;
    let latest = instances(&client).await?[0]["latestDeployment"].clone();
    assert_eq!(latest["meta"]["image"], json!("newer:1"));
    let again = "mutation($id: String!) { deploymentRedeploy(id: $id) { id status } }";
    let redeployed = client.data(again, json!({"id": deployment})).await?;
    assert!(redeployed["deploymentRedeploy"]["id"].is_string());
    let unbuilt = client.create_service("unbuilt").await?.json();
    let nothing = json!({"s": text(&unbuilt, "/data/serviceCreate/id")?, "e": client.environment});
    let refused = client.ask(redeploy, nothing).await?;
    assert_eq!(refused.message(), "Cannot redeploy without a snapshot");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_token_connects_no_source_and_sees_its_own_environment() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let (service, _) = one(&client, &simulator).await?;
    let connect = "mutation($id: String!, $input: ServiceConnectInput!) \
                   { serviceConnect(id: $id, input: $input) { id } }";
    let source = json!({"id": service, "input": {"image": "other:1"}});
    let token = As::ProjectToken(simulator.project_token());
    let refused = client.send(token.clone(), connect, source.clone()).await?;
    assert_eq!(refused.message(), "Not Authorized");
    client.data(connect, source).await?;
    let list = "query($id: String!) { service(id: $id) \
                { serviceInstances { edges { node { environmentId source { image } } } } } }";
    let own = client
        .send(token, list, json!({ "id": service }))
        .await?
        .json();
    let own = nodes(&own["data"]["service"]["serviceInstances"]);
    let shown = json!({"environmentId": client.environment, "source": {"image": "other:1"}});
    assert_eq!(own, [shown]);
    let disconnect = "mutation($id: String!) { serviceDisconnect(id: $id) { id } }";
    client.data(disconnect, json!({ "id": service })).await?;
    assert_eq!(instances(&client).await?[0]["source"], Value::Null);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nested_service_that_is_gone_takes_the_whole_answer() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let mut seed = running(1);
    seed.mount_path = Some("/data".to_owned());
    let seeded = simulator.seed_services(&seed)?;
    let query = "query($id: String!) { environment(id: $id) { name volumeInstances { edges { node \
                 { id serviceId service { name } } } } } }";
    let id = json!({"id": client.environment});
    let whole = client.data(query, id.clone()).await?;
    let volume = nodes(&whole["environment"]["volumeInstances"])[0].clone();
    assert_eq!(volume["service"]["name"], json!(seeded[0].name));
    simulator.delete_service(&seeded[0].service_id.as_str().into())?;
    let answer = client.ask(query, id).await?;
    assert_eq!(
        (answer.status, answer.json()["data"].clone()),
        (200, Value::Null)
    );
    assert_eq!(answer.message(), "Problem processing request");
    Ok(())
}
