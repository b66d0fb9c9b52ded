//! What an ordinary day looks like: listings, tokens, an agent's life.

use std::collections::BTreeSet;

use crate::support::{As, DELETE, KEY, Result, running, started, started_with_one, text};
use pool_simulator::{Options, Simulator, SimulatorError};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn twelve_hundred_services_are_listed_in_three_pages_of_500() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let seeded = simulator.seed_services(&running(1_200))?;
    let mut seen = BTreeSet::new();
    let mut after: Option<String> = None;
    for (size, more) in [(500, true), (500, true), (200, false)] {
        let answer = client.listing(500, after.as_deref()).await?;
        let services = answer.services();
        assert_eq!(services.len(), size);
        seen.extend(services.iter().map(|it| it["serviceId"].to_string()));
        let info = &answer.json()["data"]["environment"]["serviceInstances"]["pageInfo"];
        assert_eq!(info["hasNextPage"], json!(more));
        after = info["endCursor"].as_str().map(str::to_owned);
    }
    assert_eq!(seen.len(), seeded.len());
    assert_eq!(simulator.request_counts().of("EnvironmentListing"), 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_zero_is_empty_and_an_omitted_first_is_the_default() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    simulator.seed_services(&running(3))?;
    let none = client.listing(0, None).await?;
    assert_eq!(none.services(), Vec::<Value>::new());
    let end = "/data/environment/serviceInstances/pageInfo/endCursor";
    assert_eq!(none.json().pointer(end), Some(&Value::Null));
    client.set(json!({"defaultPage": 2})).await?;
    let query = "query($id: String!) { environment(id: $id) \
                 { serviceInstances { edges { node { serviceId } } pageInfo { hasNextPage } } } }";
    let omitted = client.ask(query, json!({"id": client.environment})).await?;
    assert_eq!(omitted.services().len(), 2);
    let more = "/data/environment/serviceInstances/pageInfo/hasNextPage";
    assert_eq!(omitted.json().pointer(more), Some(&json!(true)));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_made_step_by_step_and_taken_apart_again() -> Result<()> {
    let (_simulator, client) = started(Options::default()).await?;
    let service = client.new_service("convos-agent-abcdefghijkl").await?;
    let volume = client.create_volume(Some(&service)).await?.json();
    let volume = text(&volume, "/data/volumeCreate/id")?;
    let domain = client.create_domain(&service).await?.json();
    let domain = text(&domain, "/data/serviceDomainCreate/domain")?;
    let before = client.health(&domain).await?;
    assert_eq!(before.status, 404);
    assert_eq!(before.json()["message"], "Application not found");

    let patch = json!({"services": {&service: {
        "source": {"image": "runtime:1"},
        "deploy": {"startCommand": "node scripts/pool-server.js", "sleepApplication": false,
                   "limitOverride": {"containers": {"cpu": 4, "memoryBytes": 8_589_934_592_u64}}},
        "variables": {"POOL_API_KEY": {"value": KEY}},
    }}});
    let commit = "mutation EnvironmentPatchCommit($id: String!, $patch: EnvironmentConfig!) \
                  { environmentPatchCommit(environmentId: $id, patch: $patch) }";
    for _ in 0..2 {
        let variables = json!({"id": client.environment, "patch": patch});
        let committed = client.data(commit, variables).await?;
        assert!(committed["environmentPatchCommit"].is_string());
    }
    client.until_ready(&domain).await?;
    let listed = client.listing(500, None).await?;
    let node = &listed.services()[0];
    assert_eq!(node["latestDeployment"]["status"], json!("SUCCESS"));
    assert_eq!(node["source"]["image"], json!("runtime:1"));
    let listed_domain = &node["domains"]["serviceDomains"][0]["domain"];
    assert_eq!(listed_domain, &json!(domain));
    let holder = "/data/environment/volumeInstances/edges/0/node/serviceId";
    assert_eq!(listed.json().pointer(holder), Some(&json!(service)));
    let deploys = client.world().await?["services"][0]["deploys"].clone();
    assert_eq!(deploys, json!(1), "an equal patch deploys nothing");

    let gone = json!({"id": service, "e": client.environment});
    client.ask(DELETE, gone.clone()).await?.says(200, "");
    let again = client.ask(DELETE, gone).await?;
    again.says(200, "Not Authorized");
    let error = &again.json()["errors"][0];
    let code = &error["extensions"]["code"];
    assert_eq!(code, &json!("INTERNAL_SERVER_ERROR"));
    assert!(error["traceId"].is_string());
    assert!(client.health(&domain).await.is_err(), "its port is closed");
    let delete = "mutation VolumeDelete($volumeId: String!) { volumeDelete(volumeId: $volumeId) }";
    client.data(delete, json!({"volumeId": volume})).await?;
    let volumes = client.world().await?["volumes"].clone();
    assert_eq!(volumes[0]["pendingDeletion"], json!(true));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn both_kinds_of_token_are_checked_and_a_project_token_is_bounded() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let query = "query($id: String!) { environment(id: $id) { name } }";
    let home = json!({"id": client.environment});
    let other = json!({"id": simulator.other_environment_id()});
    let project_token = As::ProjectToken(simulator.project_token());
    let workspace_token = As::Bearer(simulator.workspace_token());
    for who in [workspace_token, project_token.clone()] {
        let answer = client.send(who, query, home.clone()).await?.json();
        assert_eq!(answer["data"]["environment"]["name"], json!("production"));
    }
    let refused = [
        (As::Nobody, home.clone()),
        (As::Bearer("wrong".to_owned()), home.clone()),
        (As::Bearer(simulator.project_token()), home.clone()),
        (As::ProjectToken(simulator.token()), home),
        (project_token.clone(), other),
    ];
    for (who, variables) in refused {
        let answer = client.send(who, query, variables).await?;
        answer.says(200, "Not Authorized");
    }
    let query = "query ProjectToken { projectToken { projectId environmentId } }";
    let own = client.send(project_token, query, json!({})).await?.json();
    let environment = &own["data"]["projectToken"]["environmentId"];
    assert_eq!(environment, &json!(client.environment));
    let of_a_person = client.ask(query, json!({})).await?;
    of_a_person.says(200, "Project Token not found");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_token_has_to_name_its_environment_to_delete() -> Result<()> {
    let (simulator, client, seeded) = started_with_one().await?;
    let who = As::ProjectToken(simulator.project_token());
    let nameless = json!({"id": seeded.service_id});
    let refused = client.send(who.clone(), DELETE, nameless).await?;
    refused.says(200, "Not Authorized");
    let named = json!({"id": seeded.service_id, "e": client.environment});
    client.send(who, DELETE, named).await?.says(200, "");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_checks_the_key_and_is_handed_out_once() -> Result<()> {
    let (simulator, client, seeded) = started_with_one().await?;
    let domain = &seeded.domain;
    for path in ["/pool/health", "/convos/status", "/pool/provision"] {
        let refused = client.agent(domain, path, "wrong").await?;
        assert_eq!(refused.status, 401, "{path}");
    }
    let conversation = async || -> Result<Value> {
        let status = client.agent(domain, "/convos/status", KEY).await?.json();
        Ok(status["conversation"].clone())
    };
    assert_eq!(conversation().await?, Value::Null);
    let nameless = json!({"instructions": "x"});
    let nameless = client.provision_with(domain, nameless).await?;
    assert_eq!(nameless.status, 400);
    let first = client.provision(domain, "Ada").await?;
    assert_eq!(first.status, 200);
    let first = first.json();
    assert_eq!(first["joined"], json!(false));
    assert!(first["inviteUrl"].is_string());
    assert_eq!(conversation().await?["id"], first["conversationId"]);
    assert_eq!(client.provision(domain, "Ada").await?.status, 409);
    let agent = simulator.view().agents.remove(0);
    assert_eq!(agent.provisions, 2);
    assert_eq!(agent.agent_name.as_deref(), Some("Ada"));
    let violated = simulator.world(|world| pool_simulator::invariants::sound(world, &[]));
    let rules: Vec<_> = violated.iter().map(|violation| violation.rule).collect();
    assert_eq!(rules, ["provisioned-once"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_joins_gives_no_invitation_of_its_own() -> Result<()> {
    let (_simulator, client, seeded) = started_with_one().await?;
    let body = json!({"agentName": "Ada", "instructions": "", "joinUrl": "https://convos.org/x"});
    let joined = client.provision_with(&seeded.domain, body).await?.json();
    let (joined, invite) = (&joined["joined"], &joined["inviteUrl"]);
    assert_eq!((joined, invite), (&json!(true), &Value::Null));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_agents_answer_at_once() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let seeded = simulator.seed_services(&running(1_000))?;
    let mut ready = 0;
    for chunk in seeded.chunks(100) {
        let asked = chunk.iter().map(|service| {
            let (client, domain) = (client.clone(), service.domain.clone());
            tokio::spawn(async move { client.health(&domain).await })
        });
        for answer in asked.collect::<Vec<_>>() {
            ready += usize::from(answer.await??.json()["ready"] == json!(true));
        }
    }
    assert_eq!(ready, 1_000);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn more_agents_than_may_be_are_refused_where_they_are_asked_for() -> Result<()> {
    let at_most = |agents: usize| Options {
        agents_max: Some(agents),
        ..Options::default()
    };
    let too_many = Simulator::start(at_most(10_000_000)).await;
    let error = too_many.err().ok_or("ten million agents were allowed")?;
    let error = error.to_string();
    let told = "10000000 agents need 20001088 open files";
    assert!(error.starts_with(told), "{error}");

    let (simulator, client) = started(at_most(1)).await?;
    simulator.seed_services(&running(1))?;
    let service = client.new_service("second").await?;
    let refused = client.create_domain(&service).await?.message();
    let told = "all 1 agents that this simulator may run";
    assert!(refused.starts_with(told), "{refused}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_loopback_is_listened_on() {
    let everywhere = Options {
        listen: ([0, 0, 0, 0], 0).into(),
        ..Options::default()
    };
    let refused = Simulator::start(everywhere).await;
    assert!(matches!(refused, Err(SimulatorError::NotLoopback(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_understood_is_400_and_says_why() -> Result<()> {
    let (_simulator, client) = started(Options::default()).await?;
    let cases = [
        ("query {", "GRAPHQL_PARSE_FAILED"),
        ("query { nothing }", "GRAPHQL_VALIDATION_FAILED"),
        (
            "query { environments { pageInfo { hasNextPage } } }",
            "GRAPHQL_VALIDATION_FAILED",
        ),
    ];
    for (query, code) in cases {
        let answer = client.ask(query, json!({})).await?;
        let found = &answer.json()["errors"][0]["extensions"]["code"];
        assert_eq!((answer.status, found), (400, &json!(code)), "{query}");
    }
    let query = "mutation($input: ServiceCreateInput!) { serviceCreate(input: $input) { id } }";
    for variables in [json!({}), json!({"input": {"name": "x"}})] {
        let answer = client.ask(query, variables).await?;
        answer.says(400, "Problem processing request");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_of_every_service_is_read_in_one_request() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let seeded = simulator.seed_services(&running(2))?;
    let query = "query EnvConfig($id: String!, $open: Boolean) \
                 { environment(id: $id) { config(decryptVariables: $open) } }";
    for (open, value) in [(true, KEY), (false, "*****")] {
        let variables = json!({"id": client.environment, "open": open});
        let answer = client.data(query, variables).await?;
        let services = &answer["environment"]["config"]["services"];
        for service in &seeded {
            let found = &services[&service.service_id]["variables"]["POOL_API_KEY"]["value"];
            assert_eq!(found, &json!(value));
        }
    }
    Ok(())
}
