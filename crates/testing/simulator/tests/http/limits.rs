//! What Railway and its edge allow: requests, creations, volumes, services.

use std::sync::Arc;

use chrono::DateTime;
use pool_domain::FixedClock;
use pool_simulator::world::{EdgeLimit, LimitBody};
use pool_simulator::{Fault, FaultRule, Options, RateLimits, Settings};
use serde_json::{Value, json};

use crate::support::{As, Client, Result, started, text};

/// The clock stands still, so that no window ends while the test runs.
fn standing_still(settings: Settings) -> Options {
    Options {
        settings,
        clock: Arc::new(FixedClock(DateTime::UNIX_EPOCH)),
        ..Options::default()
    }
}

async fn volume(client: &Client) -> Result<String> {
    let create = "mutation($input: VolumeCreateInput!) { volumeCreate(input: $input) { id } }";
    let input = json!({"projectId": client.project, "environmentId": client.environment,
                       "mountPath": "/data"});
    Ok(client
        .ask(create, json!({ "input": input }))
        .await?
        .message())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_edge_blocks_who_asks_too_often_without_a_query_string() -> Result<()> {
    let edge = EdgeLimit {
        per_second: 3,
        block_ms: 60_000,
    };
    let settings = Settings {
        edge: Some(edge),
        ..Settings::default()
    };
    let (simulator, client) = started(standing_still(settings)).await?;
    let plain = async || {
        let body = json!({"query": "{ projectToken { projectId } }"});
        client
            .account("POST", &simulator.graphql_url(), &simulator.token(), body)
            .await
    };
    for _ in 0..3 {
        assert_eq!(plain().await?.status, 200);
    }
    let blocked = plain().await?;
    assert_eq!((blocked.status, blocked.header("retry-after")), (429, None));
    assert_eq!(blocked.header("x-ratelimit-remaining"), None);
    assert!(
        blocked.text.contains("error code: 1015"),
        "{}",
        blocked.text
    );
    assert_eq!(
        client.snapshot(1, None).await?.status,
        200,
        "with a query string"
    );
    client
        .control("settings", json!({"edge": {"perSecond": 0, "blockMs": 0}}))
        .await?;
    assert_eq!(plain().await?.status, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limiter_may_count_fields_and_answer_with_a_web_page() -> Result<()> {
    let settings = Settings {
        spend_per_field: true,
        limits: RateLimits {
            per_hour: Some(5),
            body: LimitBody::Html,
            ..RateLimits::default()
        },
        ..Settings::default()
    };
    let (_simulator, client) = started(standing_still(settings)).await?;
    let query =
        "query($id: String!) { a: environment(id: $id) { id } b: environment(id: $id) { id } }";
    let id = json!({"id": client.environment});
    let first = client.ask(query, id.clone()).await?;
    assert_eq!(first.header("x-ratelimit-remaining"), Some("3"));
    client.ask(query, id.clone()).await?;
    client.ask(query, id.clone()).await?;
    let refused = client.ask(query, id).await?;
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (429, Some("3600"))
    );
    assert!(
        refused.text.starts_with("<!DOCTYPE html>"),
        "{}",
        refused.text
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shows_no_token_is_told_no_limits() -> Result<()> {
    let (_simulator, client) = started(Options::default()).await?;
    let schema = "{ __schema { queryType { name } } }";
    let answer = client.send(As::Nobody, schema, json!({})).await?;
    assert_eq!(
        (answer.status, answer.header("x-ratelimit-limit")),
        (200, None)
    );
    let refused = client
        .send(As::Nobody, crate::support::SNAPSHOT, json!({}))
        .await?;
    assert_eq!(refused.message(), "Not Authorized");
    assert_eq!(refused.header("x-ratelimit-limit"), None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_are_created_one_at_a_time() -> Result<()> {
    let (simulator, client) = started(standing_still(Settings::default())).await?;
    client
        .control("settings", json!({"volumeCooldownMs": 30_000}))
        .await?;
    assert_eq!(volume(&client).await?, "");
    let whoa = "Whoa there pal! You are creating volumes too quickly. Try again in a sec";
    assert_eq!(volume(&client).await?, whoa);
    assert_eq!(simulator.world(|world| world.volumes().len()), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_has_so_many_volumes_and_services_and_no_more() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    client
        .control(
            "settings",
            json!({"volumesPerProject": 1, "servicesPerProject": 1}),
        )
        .await?;
    assert_eq!(volume(&client).await?, "");
    assert!(
        volume(&client)
            .await?
            .contains("resource provision limit exceeded")
    );
    let created = client.create_service("one").await?.json();
    let service = text(&created, "/data/serviceCreate/id")?;
    let refused = client.create_service("two").await?.message();
    assert!(
        refused.contains("resource provision limit exceeded"),
        "{refused}"
    );
    simulator.delete_service(&service.as_str().into())?;
    assert_eq!(client.create_service("two").await?.message(), "");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_pending_deletion_counts_or_does_not() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    client
        .control("settings", json!({"volumesPerProject": 1}))
        .await?;
    assert_eq!(volume(&client).await?, "");
    let id = simulator.view().volumes[0].id.clone();
    let delete = "mutation($id: String!) { volumeDelete(volumeId: $id) }";
    client.data(delete, json!({ "id": id })).await?;
    let listed = client.snapshot(10, None).await?.json();
    let node = &listed["data"]["environment"]["volumeInstances"]["edges"][0]["node"];
    assert_eq!(
        (&node["isPendingDeletion"], &node["state"]),
        (&json!(true), &json!("DELETING"))
    );
    let gone_at = DateTime::parse_from_rfc3339(&text(node, "/deletedAt")?)?.to_utc();
    let ahead = gone_at - simulator.world(|world| world.now());
    assert_eq!(
        ahead.num_hours(),
        47,
        "deletedAt lies two days ahead, less a moment"
    );
    assert!(volume(&client).await?.contains("limit exceeded"));
    client
        .control("settings", json!({"pendingVolumesCount": false}))
        .await?;
    assert_eq!(volume(&client).await?, "");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_of_a_write_comes_with_its_sentence() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let created = client.create_service("x").await?.json();
    let service = text(&created, "/data/serviceCreate/id")?;
    let domain = "mutation($input: ServiceDomainCreateInput!) \
                  { serviceDomainCreate(input: $input) { domain } }";
    let place = json!({"input": {"environmentId": client.environment, "serviceId": service}});
    let delete = "mutation($id: String!) { serviceDelete(id: $id) }";
    let id = json!({ "id": service });
    let cases = [
        (
            Fault::DomainFlaky,
            domain,
            &place,
            "Failed to create service domain",
        ),
        (Fault::TooEarly, domain, &place, "ServiceInstance not found"),
        (
            Fault::TwoFactor,
            delete,
            &id,
            "Two Factor Authentication Required",
        ),
        (
            Fault::Busy,
            delete,
            &id,
            "An operation is already in progress",
        ),
        (Fault::NotAuthorized, delete, &id, "Not Authorized"),
    ];
    for (fault, mutation, variables, sentence) in cases {
        simulator.inject(FaultRule::once(fault))?;
        let refused = client.ask(mutation, variables.clone()).await?;
        assert_eq!(
            (refused.status, refused.message().as_str()),
            (200, sentence)
        );
    }
    let error = Fault::Error {
        message: "Not logged in".to_owned(),
        code: Some("UNAUTHENTICATED".to_owned()),
    };
    simulator.inject(FaultRule::once(error))?;
    let refused = client.ask(delete, id.clone()).await?.json();
    assert_eq!(
        refused["errors"][0]["extensions"]["code"],
        json!("UNAUTHENTICATED")
    );
    for (fault, sentence) in [
        (Fault::BadRequest, "Problem processing request"),
        (
            Fault::Drift,
            "Unknown argument \"id\" on field \"serviceDelete\".",
        ),
    ] {
        simulator.inject(FaultRule::once(fault))?;
        let refused = client.ask(delete, id.clone()).await?;
        assert_eq!(
            (refused.status, refused.message().as_str()),
            (400, sentence)
        );
    }
    simulator.inject(FaultRule::always(Fault::DomainFlaky))?;
    client.data(delete, id).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_instance_gets_no_domain_before_its_time() -> Result<()> {
    let (_simulator, client) = started(standing_still(Settings::default())).await?;
    client
        .control("settings", json!({"instanceLagMs": 5_000}))
        .await?;
    let created = client.create_service("x").await?.json();
    let service = text(&created, "/data/serviceCreate/id")?;
    let domain = "mutation($input: ServiceDomainCreateInput!) \
                  { serviceDomainCreate(input: $input) { domain } }";
    let place = json!({"input": {"environmentId": client.environment, "serviceId": service}});
    let refused = client.ask(domain, place.clone()).await?.message();
    assert_eq!(refused, "ServiceInstance not found");
    client
        .control("settings", json!({"instanceLagMs": 0}))
        .await?;
    client.data(domain, place).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_may_be_ahead_and_the_plan_is_told() -> Result<()> {
    let ahead = Options {
        clock_skew_ms: 3_600_000,
        ..standing_still(Settings::default())
    };
    let (_simulator, client) = started(ahead).await?;
    let created = client.create_service("x").await?.json();
    let created_at = &created["data"]["serviceCreate"]["createdAt"];
    assert_eq!(created_at, &json!("1970-01-01T01:00:00.000Z"));
    client
        .control("settings", json!({"volumesPerProject": 20}))
        .await?;
    let plan =
        "query($id: String!) { project(id: $id) { subscriptionType subscriptionPlanLimit } }";
    let plan = client.data(plan, json!({"id": client.project})).await?["project"].clone();
    assert_eq!(plan["subscriptionType"], json!("pro"));
    assert_eq!(
        plan["subscriptionPlanLimit"]["volumes"],
        json!({"maxPerProject": 20})
    );
    assert_eq!(
        plan["subscriptionPlanLimit"]["services"]["maxPerProject"],
        Value::Null
    );
    Ok(())
}
