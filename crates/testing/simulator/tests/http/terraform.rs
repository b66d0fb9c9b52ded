//! A client that describes a project and makes it so, with fragments and with null for "all
//! environments".

use pool_simulator::Options;
use serde_json::{Value, json};

use crate::support::{Result, nodes, started, text};

#[tokio::test(flavor = "multi_thread")]
async fn a_described_service_is_made_read_changed_and_ended() -> Result<()> {
    let (_simulator, client) = started(Options::default()).await?;
    let create = "mutation createService($input: ServiceCreateInput!) \
                  { serviceCreate(input: $input) { ...Service } } \
                  fragment Service on Service { id name projectId }";
    let input = json!({"name": "web", "projectId": client.project});
    let made = client.data(create, json!({ "input": input })).await?;
    let id = text(&made, "/serviceCreate/id")?;
    let update = "mutation updateServiceInstance($serviceId: String!, \
                  $input: ServiceInstanceUpdateInput!) { serviceInstanceUpdate(\
                  environmentId: null, input: $input, serviceId: $serviceId) }";
    let input = json!({"source": {"image": "web:1"}, "cronSchedule": null, "rootDirectory": "web",
                       "startCommand": "run", "numReplicas": 1, "builder": "RAILPACK"});
    client
        .data(update, json!({"serviceId": id, "input": input}))
        .await?;
    let read = "query getServiceInstance($environmentId: String!, $serviceId: String!) \
                { serviceInstance(environmentId: $environmentId, serviceId: $serviceId) { \
                source { image repo } rootDirectory railwayConfigFile cronSchedule startCommand \
                numReplicas builder restartPolicyType latestDeployment { meta } } }";
    let place = json!({"environmentId": client.environment, "serviceId": id});
    let found = client.data(read, place.clone()).await?["serviceInstance"].clone();
    assert_eq!(found["source"], json!({"image": "web:1", "repo": null}));
    assert_eq!(
        (
            &found["rootDirectory"],
            &found["cronSchedule"],
            &found["startCommand"]
        ),
        (&json!("web"), &Value::Null, &json!("run"))
    );
    assert_eq!(found["latestDeployment"]["meta"]["image"], json!("web:1"));
    client
        .data(
            update,
            json!({"serviceId": id, "input": {"startCommand": ""}}),
        )
        .await?;
    let found = client.data(read, place).await?;
    assert_eq!(found["serviceInstance"]["startCommand"], Value::Null);

    let instances = "query getServiceInstances($serviceId: String!) { service(id: $serviceId) \
                     { serviceInstances { edges { node { id environmentId } } } } }";
    let found = client.data(instances, json!({"serviceId": id})).await?;
    assert_eq!(nodes(&found["service"]["serviceInstances"]).len(), 2);
    let delete = "mutation deleteService($id: String!) { serviceDelete(id: $id) }";
    client.data(delete, json!({ "id": id })).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_described_volume_is_made_read_moved_and_ended() -> Result<()> {
    let (_simulator, client) = started(Options::default()).await?;
    let created = client.create_service("web").await?.json();
    let service = text(&created, "/data/serviceCreate/id")?;
    let create = "mutation createVolume($input: VolumeCreateInput!) \
                  { volumeCreate(input: $input) { ...Volume } } \
                  fragment Volume on Volume { id name volumeInstances { edges { node { \
                  id environmentId serviceId mountPath sizeMB } } } }";
    let input = json!({"projectId": client.project, "serviceId": service, "mountPath": "/data"});
    let made = client.data(create, json!({ "input": input })).await?;
    let id = text(&made, "/volumeCreate/id")?;
    let instances = nodes(&made["volumeCreate"]["volumeInstances"]);
    assert_eq!(
        instances.len(),
        2,
        "no environment named is every environment"
    );
    assert_eq!(instances[0]["serviceId"], json!(service));

    let rename = "mutation updateVolume($id: String!, $input: VolumeUpdateInput!) \
                  { volumeUpdate(volumeId: $id, input: $input) { name } }";
    let renamed = client
        .data(rename, json!({"id": id, "input": {"name": "disk"}}))
        .await?;
    assert_eq!(renamed["volumeUpdate"]["name"], json!("disk"));
    let detach = "mutation updateVolumeInstance($id: String!, $input: VolumeInstanceUpdateInput!) \
                  { volumeInstanceUpdate(volumeId: $id, environmentId: null, input: $input) }";
    client
        .data(detach, json!({"id": id, "input": {"mountPath": "/disk"}}))
        .await?;
    let read = "query getVolumeInstances($id: String!) { project(id: $id) { volumes { edges { node \
                { id volumeInstances { edges { node { serviceId mountPath } } } } } } } }";
    let found = client.data(read, json!({"id": client.project})).await?;
    let instances = nodes(&nodes(&found["project"]["volumes"])[0]["volumeInstances"]);
    let detached = json!({"serviceId": null, "mountPath": "/disk"});
    assert_eq!(
        instances[0], detached,
        "an update without a service detaches"
    );
    let nowhere = json!({"projectId": client.project, "mountPath": "/x", "environmentId": null});
    let made = client.data(create, json!({ "input": nowhere })).await?;
    assert_eq!(
        nodes(&made["volumeCreate"]["volumeInstances"]),
        Vec::<Value>::new()
    );
    let lost = json!({"id": text(&made, "/volumeCreate/id")?, "input": {}});
    assert_eq!(
        client.ask(detach, lost).await?.message(),
        "VolumeInstance not found"
    );
    let delete = "mutation deleteVolume($id: String!) { volumeDelete(volumeId: $id) }";
    client.data(delete, json!({ "id": id })).await?;
    assert_eq!(
        client.ask(delete, json!({ "id": id })).await?.message(),
        "Not Authorized"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn described_variables_are_set_one_by_one_together_and_removed() -> Result<()> {
    let (_simulator, client) = started(Options::default()).await?;
    let created = client.create_service("web").await?.json();
    let service = json!(text(&created, "/data/serviceCreate/id")?);
    let read = "query getVariables($p: String!, $e: String!, $s: String) { variables(\
                environmentId: $e, projectId: $p, serviceId: $s, unrendered: true) }";
    let read = async |service: &Value| -> Result<Value> {
        let place = json!({"p": client.project, "e": client.environment, "s": service});
        Ok(client.data(read, place).await?["variables"].clone())
    };
    let input = |service: &Value, more: Value| -> Value {
        let mut input = json!({"projectId": client.project, "environmentId": client.environment,
                               "serviceId": service});
        for (name, value) in more.as_object().into_iter().flatten() {
            input[name] = value.clone();
        }
        json!({ "input": input })
    };
    let upsert = "mutation upsertVariable($input: VariableUpsertInput!) \
                  { variableUpsert(input: $input) }";
    client
        .data(upsert, input(&service, json!({"name": "A", "value": "1"})))
        .await?;
    let shared = input(&Value::Null, json!({"name": "S", "value": "shared"}));
    client.data(upsert, shared).await?;
    assert_eq!(read(&service).await?, json!({"A": "1"}));
    assert_eq!(read(&Value::Null).await?, json!({"S": "shared"}));
    let many = "mutation upsertVariableCollection($input: VariableCollectionUpsertInput!) \
                { variableCollectionUpsert(input: $input) }";
    client
        .data(many, input(&service, json!({"variables": {"B": "2"}})))
        .await?;
    assert_eq!(read(&service).await?, json!({"A": "1", "B": "2"}));
    let only = json!({"variables": {"C": "3"}, "replace": true});
    client.data(many, input(&service, only)).await?;
    assert_eq!(read(&service).await?, json!({"C": "3"}));
    let delete = "mutation deleteVariable($input: VariableDeleteInput!) \
                  { variableDelete(input: $input) }";
    client
        .data(delete, input(&service, json!({"name": "C"})))
        .await?;
    assert_eq!(read(&service).await?, json!({}));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn described_domains_and_environments_are_listed_and_a_domain_ended() -> Result<()> {
    let (_simulator, client) = started(Options::default()).await?;
    let created = client.create_service("web").await?.json();
    let service = text(&created, "/data/serviceCreate/id")?;
    let fragment = "fragment ServiceDomain on ServiceDomain \
                    { id domain suffix environmentId serviceId }";
    let create = format!(
        "mutation createServiceDomain($input: ServiceDomainCreateInput!) \
         {{ serviceDomainCreate(input: $input) {{ ...ServiceDomain }} }} {fragment}"
    );
    let input = json!({"environmentId": client.environment, "serviceId": service});
    let made = client.data(&create, json!({ "input": input })).await?;
    let id = text(&made, "/serviceDomainCreate/id")?;
    let list = format!(
        "query listServiceDomains($e: String!, $s: String!, $p: String!) {{ domains(\
         environmentId: $e, serviceId: $s, projectId: $p) {{ serviceDomains \
         {{ ...ServiceDomain }} }} }} {fragment}"
    );
    let place = json!({"e": client.environment, "s": service, "p": client.project});
    let listed = client.data(&list, place.clone()).await?;
    assert_eq!(
        listed["domains"]["serviceDomains"][0],
        made["serviceDomainCreate"]
    );
    let delete = "mutation deleteServiceDomain($id: String!) { serviceDomainDelete(id: $id) }";
    client.data(delete, json!({ "id": id })).await?;
    let listed = client.data(&list, place).await?;
    assert_eq!(listed["domains"]["serviceDomains"], json!([]));
    let list = "query getEnvironments($id: String!) { environments(projectId: $id) \
                { edges { node { id name projectId } } } }";
    let listed = client.data(list, json!({"id": client.project})).await?;
    assert_eq!(
        nodes(&listed["environments"])[0]["projectId"],
        json!(client.project)
    );
    let read = "query getProject($id: String!) { project(id: $id) { id name description isPublic \
                prDeploys workspace { id } environments { edges { node { id name createdAt } } } } }";
    let found = client.data(read, json!({"id": client.project})).await?;
    assert_eq!(nodes(&found["project"]["environments"]).len(), 2);
    Ok(())
}
