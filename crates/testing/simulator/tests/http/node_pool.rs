//! A pool manager of the older kind: it lists everything from the project, creates with many
//! mutations, and knows nothing of environments but their ids.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{As, Client, KEY, Result, nodes, running, started, text};
use pool_simulator::{Options, Settings, Simulator};

const SERVICES: &str =
    "query($id: String!) { project(id: $id) { services(first: 500) { edges { node {
    id name createdAt
    serviceInstances { edges { node {
      environmentId domains { serviceDomains { domain } customDomains { domain } } source { image }
    } } }
    deployments(first: 1) { edges { node { id status } } }
  } } } } }";

const VOLUMES: &str = "query($id: String!) { project(id: $id) { volumes { edges { node {
    id name volumeInstances { edges { node { serviceId mountPath isPendingDeletion } } }
  } } } } }";

/// Deploys slow enough that what follows the source still comes before the container.
fn unhurried() -> Options {
    Options {
        settings: Settings {
            deploy_min: Duration::from_secs(3),
            deploy_max: Duration::from_secs(3),
            ..Settings::default()
        },
        ..Options::default()
    }
}

async fn services(client: &Client) -> Result<Vec<Value>> {
    let data = client.data(SERVICES, json!({"id": client.project})).await?;
    Ok(nodes(&data["project"]["services"]))
}

async fn volumes_of(client: &Client, service: &str) -> Result<Vec<String>> {
    let data = client.data(VOLUMES, json!({"id": client.project})).await?;
    let held = nodes(&data["project"]["volumes"])
        .into_iter()
        .filter(|volume| {
            let instances = nodes(&volume["volumeInstances"]);
            let is_held = |i: &Value| i["serviceId"] == json!(service);
            let is_going = |i: &Value| i["isPendingDeletion"] == json!(true);
            instances.iter().any(is_held) && !instances.iter().any(is_going)
        });
    held.map(|volume| text(&volume, "/id")).collect()
}

async fn until_success(client: &Client, service: &str) -> Result<Value> {
    let succeeded = async {
        loop {
            let all = services(client).await?;
            let found = all.into_iter().find(|node| node["id"] == json!(service));
            let node = found.ok_or("the service is not listed")?;
            if node["deployments"]["edges"][0]["node"]["status"] == json!("SUCCESS") {
                return Ok(node);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), succeeded).await?
}

async fn set_variables(
    client: &Client,
    service: &str,
    variables: Value,
    skip_deploys: bool,
) -> Result<()> {
    let input = json!({
        "projectId": client.project, "environmentId": client.environment, "serviceId": service,
        "variables": variables, "skipDeploys": skip_deploys,
    });
    let upsert = "mutation($input: VariableCollectionUpsertInput!) \
                  { variableCollectionUpsert(input: $input) }";
    let set = client.data(upsert, json!({ "input": input })).await?;
    assert_eq!(set["variableCollectionUpsert"], json!(true));
    Ok(())
}

async fn update_instance(client: &Client, service: &str, input: Value) -> Result<()> {
    let update = "mutation($serviceId: String!, $environmentId: String!, \
                  $input: ServiceInstanceUpdateInput!) { serviceInstanceUpdate(\
                  serviceId: $serviceId, environmentId: $environmentId, input: $input) }";
    let variables =
        json!({"serviceId": service, "environmentId": client.environment, "input": input});
    let updated = client.data(update, variables).await?;
    assert_eq!(updated["serviceInstanceUpdate"], json!(true));
    Ok(())
}

async fn add_domain(client: &Client, service: &str) -> Result<String> {
    let create = "mutation($input: ServiceDomainCreateInput!) \
                  { serviceDomainCreate(input: $input) { domain } }";
    let input = json!({"serviceId": service, "environmentId": client.environment});
    let made = client.data(create, json!({ "input": input })).await?;
    text(&made, "/serviceDomainCreate/domain")
}

async fn add_volume(client: &Client, service: &str) -> Result<String> {
    let create = "mutation($input: VolumeCreateInput!) { volumeCreate(input: $input) { id name } }";
    let input = json!({"projectId": client.project, "serviceId": service, "mountPath": "/data",
                       "environmentId": client.environment});
    let made = client.data(create, json!({ "input": input })).await?;
    text(&made, "/volumeCreate/id")
}

async fn create(client: &Client, input: Value) -> Result<String> {
    let create = "mutation($input: ServiceCreateInput!) { serviceCreate(input: $input) { id } }";
    let made = client.data(create, json!({ "input": input })).await?;
    text(&made, "/serviceCreate/id")
}

async fn destroy(client: &Client, simulator: &Simulator, service: &str) -> Result<()> {
    for volume in volumes_of(client, service).await? {
        let delete = "mutation($volumeId: String!) { volumeDelete(volumeId: $volumeId) }";
        client.data(delete, json!({"volumeId": volume})).await?;
    }
    let delete = "mutation($id: String!) { serviceDelete(id: $id) }";
    client.data(delete, json!({"id": service})).await?;
    assert_eq!(services(client).await?, Vec::<Value>::new());
    assert_eq!(volumes_of(client, service).await?, Vec::<String>::new());
    let left = simulator.world(|w| pool_simulator::invariants::tidy(w, &[], "convos-agent-"));
    assert_eq!(left, []);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_creates_with_everything_gets_an_agent_and_a_clean_end() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let service = create(
        &client,
        json!({"projectId": client.project, "environmentId": client.environment,
               "name": "convos-agent-abcdefghijkl", "source": {"image": "runtime:1"},
               "variables": {"POOL_API_KEY": "first"}}),
    )
    .await?;
    let deploys = client.world().await?["services"][0]["deploys"].clone();
    assert_eq!(deploys, json!(1), "a source deploys at once");
    let start = json!({"startCommand": "node server.js", "restartPolicyType": "ON_FAILURE"});
    update_instance(&client, &service, start).await?;
    let variables = json!({"POOL_API_KEY": KEY, "XMTP_ENV": "dev"});
    set_variables(&client, &service, variables, false).await?;
    let domain = add_domain(&client, &service).await?;
    let volume = add_volume(&client, &service).await?;
    let deploy = "mutation($serviceId: String!, $environmentId: String!) { serviceInstanceDeployV2(\
                  serviceId: $serviceId, environmentId: $environmentId) }";
    let place = json!({"serviceId": service, "environmentId": client.environment});
    let deployment = text(
        &client.data(deploy, place).await?,
        "/serviceInstanceDeployV2",
    )?;

    client.until_ready(&domain, KEY).await?;
    let node = until_success(&client, &service).await?;
    assert_eq!(node["name"], json!("convos-agent-abcdefghijkl"));
    let home = nodes(&node["serviceInstances"])
        .into_iter()
        .find(|instance| instance["environmentId"] == json!(client.environment))
        .ok_or("no instance in the environment")?;
    assert_eq!(home["source"]["image"], json!("runtime:1"));
    assert_eq!(
        home["domains"]["serviceDomains"][0]["domain"],
        json!(domain)
    );
    let status = "query($id: String!) { deployment(id: $id) { id status meta } }";
    let latest = client.data(status, json!({"id": deployment})).await?;
    assert_eq!(latest["deployment"]["meta"]["image"], json!("runtime:1"));
    assert_eq!(volumes_of(&client, &service).await?, [volume]);
    let body = json!({"agentName": "Ada", "instructions": "Be kind."});
    assert_eq!(client.provision(&domain, KEY, body).await?.status, 200);
    destroy(&client, &simulator, &service).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_sets_the_source_first_gets_a_running_agent() -> Result<()> {
    let (simulator, client) = started(unhurried()).await?;
    let input = json!({"projectId": client.project, "environmentId": client.environment,
                       "name": "convos-agent-mnopqrstuvwx"});
    let service = create(&client, input).await?;
    let source = json!({"startCommand": "node server.js", "source": {"image": "runtime:1"}});
    update_instance(&client, &service, source).await?;
    set_variables(&client, &service, json!({"POOL_API_KEY": KEY}), true).await?;
    let domain = add_domain(&client, &service).await?;
    add_volume(&client, &service).await?;
    client.until_ready(&domain, KEY).await?;
    let deploys = client.world().await?["services"][0]["deploys"].clone();
    assert_eq!(deploys, json!(1), "variables that skip deploys make none");
    destroy(&client, &simulator, &service).await
}

#[tokio::test(flavor = "multi_thread")]
async fn whether_a_new_source_deploys_by_itself_can_be_chosen() -> Result<()> {
    let (_simulator, client) = started(Options::default()).await?;
    client
        .control("settings", json!({"updateDeploys": false}))
        .await?;
    let input = json!({"projectId": client.project, "name": "a"});
    let service = create(&client, input).await?;
    let source = json!({"source": {"image": "runtime:1"}});
    update_instance(&client, &service, source).await?;
    assert_eq!(client.world().await?["services"][0]["deploys"], json!(0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_deployment_of_a_service_may_be_another_environments() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let seeded = simulator.seed_services(&running(1))?;
    let elsewhere = json!({"serviceId": seeded[0].service_id,
                           "environmentId": simulator.other_environment_id(),
                           "input": {"source": {"image": "other:1"}}});
    let update = "mutation($serviceId: String!, $environmentId: String!, \
                  $input: ServiceInstanceUpdateInput!) { serviceInstanceUpdate(\
                  serviceId: $serviceId, environmentId: $environmentId, input: $input) }";
    client.data(update, elsewhere).await?;
    let listed = services(&client).await?;
    let first = &listed[0]["deployments"]["edges"][0]["node"];
    assert_ne!(
        first["status"],
        json!("SUCCESS"),
        "the home environment's is SUCCESS"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_older_way_to_delete_needs_the_environment_where_the_token_is_a_projects() -> Result<()>
{
    let (simulator, client) = started(Options::default()).await?;
    let seeded = simulator.seed_services(&running(2))?;
    let nameless = "mutation($id: String!) { serviceDelete(id: $id) }";
    let id = json!({"id": seeded[0].service_id});
    let token = As::ProjectToken(simulator.project_token());
    let refused = client.send(token.clone(), nameless, id.clone()).await?;
    assert_eq!(refused.message(), "Not Authorized");
    client.data(nameless, id).await?;
    let named = "mutation($id: String!, $e: String!) { serviceDelete(id: $id, environmentId: $e) }";
    let id = json!({"id": seeded[1].service_id, "e": client.environment});
    let answer = client.send(token, named, id).await?.json();
    assert_eq!(answer["data"]["serviceDelete"], json!(true));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_manager_asks_of_one_service_is_answered() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let seeded = simulator.seed_services(&running(1))?;
    let service = &seeded[0].service_id;
    let place = json!({"s": service, "e": client.environment, "p": client.project});
    let domains = "query($s: String!, $e: String!, $p: String!) { domains(serviceId: $s, \
                   environmentId: $e, projectId: $p) { serviceDomains { domain } \
                   customDomains { domain } } }";
    let found = client.data(domains, place.clone()).await?;
    assert_eq!(
        found["domains"]["serviceDomains"][0]["domain"],
        json!(seeded[0].domain)
    );
    let variables = "query($s: String!, $e: String!, $p: String!) { variables(serviceId: $s, \
                     environmentId: $e, projectId: $p) }";
    let found = client.data(variables, place).await?["variables"].clone();
    assert_eq!(found["POOL_API_KEY"], json!(KEY));
    assert_eq!(found["RAILWAY_PUBLIC_DOMAIN"], json!(seeded[0].domain));
    let info = "query($id: String!) { service(id: $id) { id name \
                serviceInstances { edges { node { source { image } } } } } }";
    let found = client.data(info, json!({ "id": service })).await?;
    assert_eq!(found["service"]["name"], json!(seeded[0].name));
    let first = &found["service"]["serviceInstances"]["edges"][0]["node"];
    assert!(
        first["source"]["image"].is_string(),
        "the oldest environment comes first"
    );
    let names =
        "query($id: String!) { project(id: $id) { environments { edges { node { id name } } } } }";
    let found = client.data(names, json!({"id": client.project})).await?;
    let names = nodes(&found["project"]["environments"]);
    assert!(names.contains(&json!({"id": client.environment, "name": "production"})));
    let rename = "mutation($id: String!, $input: ServiceUpdateInput!) \
                  { serviceUpdate(id: $id, input: $input) { id name } }";
    let renamed = client
        .data(rename, json!({"id": service, "input": {"name": "new"}}))
        .await?;
    assert_eq!(renamed["serviceUpdate"]["name"], json!("new"));
    simulator.delete_service(&service.as_str().into())?;
    let gone = client.ask(info, json!({ "id": service })).await?;
    assert_eq!(gone.message(), "Not Authorized");
    Ok(())
}
