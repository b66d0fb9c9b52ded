//! What an ordinary day looks like: listings, tokens, limits, an agent's life.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::support::{As, KEY, Result, running, started};
use chrono::DateTime;
use pool_domain::FixedClock;
use pool_simulator::world::{LimitBody, ResetFormat};
use pool_simulator::{Options, RateLimits, Settings, Simulator, SimulatorError};
use serde_json::{Value, json};

fn limits(per_hour: u32, per_second: u32) -> Options {
    // The clock stands still, so that no window ends while the test runs.
    let limits = RateLimits {
        per_hour: Some(per_hour),
        per_second: Some(per_second),
        reset: ResetFormat::UnixMillis,
        body: LimitBody::Text,
    };
    Options {
        settings: Settings {
            limits,
            ..Settings::default()
        },
        clock: Arc::new(FixedClock(DateTime::UNIX_EPOCH)),
        ..Options::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn twelve_hundred_services_are_listed_in_three_pages_of_500() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let seeded = simulator.seed_services(&running(1_200))?;
    let mut seen = BTreeSet::new();
    let mut sizes = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let answer = client.snapshot(500, after.as_deref()).await?.json();
        let page = &answer["data"]["environment"]["serviceInstances"];
        let edges = page["edges"].as_array().ok_or("no edges")?;
        sizes.push(edges.len());
        seen.extend(
            edges
                .iter()
                .map(|edge| edge["node"]["serviceId"].to_string()),
        );
        if page["pageInfo"]["hasNextPage"] != json!(true) {
            break;
        }
        after = page["pageInfo"]["endCursor"].as_str().map(str::to_owned);
    }
    assert_eq!(sizes, [500, 500, 200]);
    assert_eq!(seen.len(), seeded.len());
    assert_eq!(simulator.request_counts().of("PoolSnapshot"), 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_zero_is_empty_and_an_omitted_first_is_the_default() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    simulator.seed_services(&running(3))?;
    let none = client.snapshot(0, None).await?.json();
    let page = &none["data"]["environment"]["serviceInstances"];
    assert_eq!(page["edges"], json!([]));
    assert_eq!(page["pageInfo"]["endCursor"], Value::Null);
    simulator.world(|world| world.settings_mut().default_page = 2);
    let query = "query($id: String!) { environment(id: $id) \
                 { serviceInstances { edges { cursor } pageInfo { hasNextPage } } } }";
    let omitted = client
        .ask(query, json!({"id": client.environment}))
        .await?
        .json();
    let page = &omitted["data"]["environment"]["serviceInstances"];
    assert_eq!(page["edges"].as_array().map(Vec::len), Some(2));
    assert_eq!(page["pageInfo"]["hasNextPage"], json!(true));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_made_step_by_step_and_taken_apart_again() -> Result<()> {
    let (_simulator, client) = started(Options::default()).await?;
    let created = client
        .create_service("convos-agent-abcdefghijkl")
        .await?
        .json();
    let service = created["data"]["serviceCreate"]["id"]
        .as_str()
        .ok_or("no id")?
        .to_owned();
    let volume = client
        .ask(
            "mutation VolumeCreate($input: VolumeCreateInput!) { volumeCreate(input: $input) { id name } }",
            json!({"input": {"projectId": client.project, "environmentId": client.environment,
                             "serviceId": service, "mountPath": "/data"}}),
        )
        .await?
        .json();
    let volume = volume["data"]["volumeCreate"]["id"]
        .as_str()
        .ok_or("no volume")?
        .to_owned();
    let domain = client
        .ask(
            "mutation ServiceDomainCreate($input: ServiceDomainCreateInput!) \
             { serviceDomainCreate(input: $input) { id domain targetPort syncStatus } }",
            json!({"input": {"environmentId": client.environment, "serviceId": service}}),
        )
        .await?
        .json();
    let domain = domain["data"]["serviceDomainCreate"]["domain"]
        .as_str()
        .ok_or("no domain")?
        .to_owned();
    let before = client.agent(&domain, "/pool/health", KEY).await?;
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
        let answer = client
            .ask(commit, json!({"id": client.environment, "patch": patch}))
            .await?
            .json();
        assert!(
            answer["data"]["environmentPatchCommit"].is_string(),
            "{answer}"
        );
    }
    client.until_ready(&domain, KEY).await?;
    let snapshot = client.snapshot(500, None).await?.json();
    let environment = &snapshot["data"]["environment"];
    let node = &environment["serviceInstances"]["edges"][0]["node"];
    assert_eq!(node["latestDeployment"]["status"], json!("SUCCESS"));
    assert_eq!(node["source"]["image"], json!("runtime:1"));
    assert_eq!(
        node["domains"]["serviceDomains"][0]["domain"],
        json!(domain)
    );
    assert_eq!(
        environment["volumeInstances"]["edges"][0]["node"]["serviceId"],
        json!(service)
    );
    let world = client.world().await?;
    assert_eq!(
        world["services"][0]["deploys"],
        json!(1),
        "an equal patch deploys nothing"
    );

    let delete = "mutation ServiceDelete($id: String!, $environmentId: String) \
                  { serviceDelete(id: $id, environmentId: $environmentId) }";
    let gone = json!({"id": service, "environmentId": client.environment});
    assert_eq!(
        client.ask(delete, gone.clone()).await?.json()["data"]["serviceDelete"],
        json!(true)
    );
    let again = client.ask(delete, gone).await?;
    assert_eq!(again.message(), "Not Authorized");
    assert_eq!(
        again.json().pointer("/errors/0/extensions/code"),
        Some(&json!("INTERNAL_SERVER_ERROR"))
    );
    assert!(again.json()["errors"][0]["traceId"].is_string());
    assert!(
        client.agent(&domain, "/pool/health", KEY).await.is_err(),
        "its port is closed"
    );
    let delete = "mutation VolumeDelete($volumeId: String!) { volumeDelete(volumeId: $volumeId) }";
    client.ask(delete, json!({"volumeId": volume})).await?;
    let world = client.world().await?;
    assert_eq!(world["volumes"][0]["pendingDeletion"], json!(true));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn both_kinds_of_token_are_checked_and_a_project_token_is_bounded() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let query = "query($id: String!) { environment(id: $id) { name } }";
    let home = json!({"id": client.environment});
    let other = json!({"id": simulator.other_environment_id()});
    let project_token = As::ProjectToken(simulator.project_token());
    for who in [
        As::Bearer(simulator.workspace_token()),
        project_token.clone(),
    ] {
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
        let answer = client.send(who.clone(), query, variables).await?;
        assert_eq!(
            (answer.status, answer.message().as_str()),
            (200, "Not Authorized"),
            "{who:?}"
        );
    }
    let query = "query ProjectToken { projectToken { projectId environmentId } }";
    let own = client.send(project_token, query, json!({})).await?.json();
    assert_eq!(
        own["data"]["projectToken"]["environmentId"],
        json!(client.environment)
    );
    assert_eq!(
        client.ask(query, json!({})).await?.message(),
        "Project Token not found"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_token_has_to_name_its_environment_to_delete() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let seeded = simulator.seed_services(&running(1))?;
    let delete = "mutation($id: String!, $e: String) { serviceDelete(id: $id, environmentId: $e) }";
    let who = As::ProjectToken(simulator.project_token());
    let id = &seeded[0].service_id;
    let nameless = client.send(who.clone(), delete, json!({"id": id})).await?;
    assert_eq!(nameless.message(), "Not Authorized");
    let named = client
        .send(who, delete, json!({"id": id, "e": client.environment}))
        .await?;
    assert_eq!(named.json()["data"]["serviceDelete"], json!(true));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_are_told_in_headers_and_kept() -> Result<()> {
    let (_simulator, client) = started(limits(2, 50)).await?;
    let first = client.snapshot(1, None).await?;
    assert_eq!(first.header("x-ratelimit-limit"), Some("2"));
    assert_eq!(first.header("x-ratelimit-remaining"), Some("1"));
    assert_eq!(first.header("x-ratelimit-reset"), Some("3600000"));
    assert_eq!(first.header("ratelimit-policy"), Some("2;w=3600"));
    assert_eq!(first.header("retry-after"), None);
    client.snapshot(1, None).await?;
    let refused = client.snapshot(1, None).await?;
    assert_eq!(
        (refused.status, refused.text.as_str()),
        (429, "Too Many Requests")
    );
    assert_eq!(refused.header("retry-after"), Some("3600"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_beyond_the_limit_of_a_second_is_refused_for_a_second() -> Result<()> {
    let (simulator, client) = started(limits(1_000, 3)).await?;
    let mut statuses = Vec::new();
    for _ in 0..8 {
        statuses.push(client.snapshot(1, None).await?.status);
    }
    assert_eq!(statuses, [200, 200, 200, 429, 429, 429, 429, 429]);
    assert_eq!(simulator.request_counts().total, 8);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_checks_the_key_and_is_handed_out_once() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let seeded = simulator.seed_services(&running(1))?;
    let domain = &seeded[0].domain;
    for path in ["/pool/health", "/convos/status", "/pool/provision"] {
        assert_eq!(
            client.agent(domain, path, "wrong").await?.status,
            401,
            "{path}"
        );
    }
    let status = client.agent(domain, "/convos/status", KEY).await?.json();
    assert_eq!(status["conversation"], Value::Null);
    let nameless = client
        .provision(domain, KEY, json!({"instructions": "x"}))
        .await?;
    assert_eq!(nameless.status, 400);
    let body = json!({"agentName": "Ada", "instructions": "Be kind."});
    let first = client.provision(domain, KEY, body.clone()).await?;
    assert_eq!(first.status, 200);
    let first = first.json();
    assert_eq!(first["joined"], json!(false));
    assert!(first["inviteUrl"].is_string());
    let status = client.agent(domain, "/convos/status", KEY).await?.json();
    assert_eq!(status["conversation"]["id"], first["conversationId"]);
    assert_eq!(client.provision(domain, KEY, body).await?.status, 409);
    let world = client.world().await?;
    assert_eq!(world["agents"][0]["provisions"], json!(2));
    assert_eq!(world["agents"][0]["agentName"], json!("Ada"));
    let violated = simulator.world(|world| pool_simulator::invariants::sound(world, &[]));
    assert_eq!(
        violated.iter().map(|v| v.rule).collect::<Vec<_>>(),
        ["provisioned-once"]
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_joins_gives_no_invitation_of_its_own() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let seeded = simulator.seed_services(&running(1))?;
    let body = json!({"agentName": "Ada", "instructions": "", "joinUrl": "https://convos.org/x"});
    let joined = client.provision(&seeded[0].domain, KEY, body).await?.json();
    assert_eq!(
        (&joined["joined"], &joined["inviteUrl"]),
        (&json!(true), &Value::Null)
    );
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
            tokio::spawn(async move { client.agent(&domain, "/pool/health", KEY).await })
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
    let too_many = Simulator::start(Options {
        agents_max: Some(10_000_000),
        ..Options::default()
    });
    let error = too_many.await.map(drop).map_err(|error| error.to_string());
    let error = error.err().ok_or("ten million agents were allowed")?;
    assert!(
        error.starts_with("10000000 agents need 20001088 open files"),
        "{error}"
    );

    let options = Options {
        agents_max: Some(1),
        ..Options::default()
    };
    let (simulator, client) = started(options).await?;
    simulator.seed_services(&running(1))?;
    let created = client.create_service("second").await?.json();
    let query = "mutation($input: ServiceDomainCreateInput!) \
                 { serviceDomainCreate(input: $input) { domain } }";
    let input = json!({"environmentId": client.environment,
                       "serviceId": created["data"]["serviceCreate"]["id"]});
    let refused = client
        .ask(query, json!({ "input": input }))
        .await?
        .message();
    assert!(
        refused.starts_with("all 1 agents that this simulator may run"),
        "{refused}"
    );
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
        ("query {", json!({}), "GRAPHQL_PARSE_FAILED"),
        ("query { nothing }", json!({}), "GRAPHQL_VALIDATION_FAILED"),
        (
            "query { environments { edges { cursor } } }",
            json!({}),
            "GRAPHQL_VALIDATION_FAILED",
        ),
    ];
    for (query, variables, code) in cases {
        let answer = client.ask(query, variables).await?;
        let found = answer.json().pointer("/errors/0/extensions/code").cloned();
        assert_eq!(
            (answer.status, found),
            (400, Some(json!(code))),
            "{}",
            answer.text
        );
    }
    let query = "mutation($input: ServiceCreateInput!) { serviceCreate(input: $input) { id } }";
    let left_out = client.ask(query, json!({})).await?;
    assert_eq!(
        (left_out.status, left_out.message().as_str()),
        (400, "Problem processing request")
    );
    let input = client.ask(query, json!({"input": {"name": "x"}})).await?;
    assert_eq!(
        (input.status, input.message().as_str()),
        (400, "Problem processing request")
    );
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
        let answer = client.ask(query, variables).await?.json();
        let services = &answer["data"]["environment"]["config"]["services"];
        for service in &seeded {
            let found = &services[&service.service_id]["variables"]["POOL_API_KEY"]["value"];
            assert_eq!(found, &json!(value));
        }
    }
    Ok(())
}
