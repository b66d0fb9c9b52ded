//! What Railway and its edge allow: requests, creations, volumes, services.

use std::sync::Arc;

use chrono::DateTime;
use pool_domain::FixedClock;
use pool_simulator::world::{EdgeLimit, LimitBody, ResetFormat};
use pool_simulator::{Fault, FaultRule, Options, RateLimits, Settings};
use serde_json::json;

use crate::support::{As, DELETE, LISTING, Result, once, started};

const LIMIT_EXCEEDED: &str =
    "Free plan resource provision limit exceeded. Please upgrade to provision more resources!";

/// The clock stands still, so that no window ends while the test runs.
fn standing_still(settings: Settings) -> Options {
    Options {
        settings,
        clock: Arc::new(FixedClock(DateTime::UNIX_EPOCH)),
        ..Options::default()
    }
}

fn limits(per_hour: u32, per_second: u32) -> Options {
    let limits = RateLimits {
        per_hour: Some(per_hour),
        per_second: Some(per_second),
        reset: ResetFormat::UnixMillis,
        body: LimitBody::Text,
    };
    standing_still(Settings {
        limits,
        ..Settings::default()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_are_told_in_headers_and_kept() -> Result<()> {
    let (_simulator, client) = started(limits(2, 50)).await?;
    let first = client.listing(1, None).await?;
    let told = [
        ("x-ratelimit-limit", Some("2")),
        ("x-ratelimit-remaining", Some("1")),
        ("x-ratelimit-reset", Some("3600000")),
        ("ratelimit-policy", Some("2;w=3600")),
        ("retry-after", None),
    ];
    for (name, value) in told {
        assert_eq!(first.header(name), value, "{name}");
    }
    client.listing(1, None).await?;
    let refused = client.listing(1, None).await?;
    let (status, text) = (refused.status, refused.text.as_str());
    assert_eq!((status, text), (429, "Too Many Requests"));
    assert_eq!(refused.header("retry-after"), Some("3600"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_beyond_the_limit_of_a_second_is_refused_for_a_second() -> Result<()> {
    let (simulator, client) = started(limits(1_000, 3)).await?;
    let mut statuses = Vec::new();
    for _ in 0..8 {
        statuses.push(client.listing(1, None).await?.status);
    }
    assert_eq!(statuses, [200, 200, 200, 429, 429, 429, 429, 429]);
    assert_eq!(simulator.request_counts().total, 8);
    Ok(())
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
    let (url, token) = (simulator.graphql_url(), simulator.token());
    let plain = async || {
        let body = json!({"query": "{ projectToken { projectId } }"});
        client.account("POST", &url, &token, Some(body)).await
    };
    for _ in 0..3 {
        assert_eq!(plain().await?.status, 200);
    }
    let blocked = plain().await?;
    assert_eq!((blocked.status, blocked.header("retry-after")), (429, None));
    assert_eq!(blocked.header("x-ratelimit-remaining"), None);
    let page = &blocked.text;
    assert!(page.contains("error code: 1015"), "{page}");
    let with_a_query_string = client.listing(1, None).await?;
    assert_eq!(with_a_query_string.status, 200);
    client.set(json!({"edge": null})).await?;
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
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("retry-after"), Some("3600"));
    let page = &refused.text;
    assert!(page.starts_with("<!DOCTYPE html>"), "{page}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shows_no_token_is_told_no_limits() -> Result<()> {
    let (_simulator, client) = started(Options::default()).await?;
    let schema = "{ __schema { queryType { name } } }";
    let answer = client.send(As::Nobody, schema, json!({})).await?;
    answer.says(200, "");
    assert_eq!(answer.header("x-ratelimit-limit"), None);
    let refused = client.send(As::Nobody, LISTING, json!({})).await?;
    refused.says(200, "Not Authorized");
    assert_eq!(refused.header("x-ratelimit-limit"), None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_are_created_one_at_a_time() -> Result<()> {
    let (simulator, client) = started(standing_still(Settings::default())).await?;
    client.set(json!({"volumeCooldownMs": 30_000})).await?;
    client.create_volume(None).await?.says(200, "");
    let whoa = "Whoa there pal! You are creating volumes too quickly. Try again in a sec";
    client.create_volume(None).await?.says(200, whoa);
    assert_eq!(simulator.view().volumes.len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_has_so_many_volumes_and_services_and_no_more() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let one_of_each = json!({"volumesPerProject": 1, "servicesPerProject": 1});
    client.set(one_of_each).await?;
    client.create_volume(None).await?.says(200, "");
    client.create_volume(None).await?.says(200, LIMIT_EXCEEDED);
    let service = client.new_service("one").await?;
    client
        .create_service("two")
        .await?
        .says(200, LIMIT_EXCEEDED);
    simulator.delete_service(&service.as_str().into())?;
    client.create_service("two").await?.says(200, "");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_pending_deletion_counts_or_does_not() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    client.set(json!({"volumesPerProject": 1})).await?;
    client.create_volume(None).await?.says(200, "");
    let id = simulator.view().volumes[0].id.clone();
    let delete = "mutation($id: String!) { volumeDelete(volumeId: $id) }";
    client.data(delete, json!({ "id": id })).await?;
    let listed = client.listing(10, None).await?.json();
    let node = &listed["data"]["environment"]["volumeInstances"]["edges"][0]["node"];
    assert_eq!(node["isPendingDeletion"], json!(true));
    client.create_volume(None).await?.says(200, LIMIT_EXCEEDED);
    client.set(json!({"pendingVolumesCount": false})).await?;
    client.create_volume(None).await?.says(200, "");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_of_a_write_comes_with_its_sentence() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let service = client.new_service("x").await?;
    let delete = async || client.ask(DELETE, json!({ "id": service })).await;
    let of_domains = [
        (Fault::DomainFlaky, "Failed to create service domain"),
        (Fault::TooEarly, "ServiceInstance not found"),
    ];
    for (fault, sentence) in of_domains {
        once(&simulator, fault)?;
        client.create_domain(&service).await?.says(200, sentence);
    }
    let two_factor = "Two Factor Authentication Required";
    let drift = "Unknown argument \"id\" on field \"serviceDelete\".";
    let of_deletions = [
        (Fault::TwoFactor, 200, two_factor),
        (Fault::Busy, 200, "An operation is already in progress"),
        (Fault::NotAuthorized, 200, "Not Authorized"),
        (Fault::BadRequest, 400, "Problem processing request"),
        (Fault::Drift, 400, drift),
    ];
    for (fault, status, sentence) in of_deletions {
        once(&simulator, fault)?;
        delete().await?.says(status, sentence);
    }
    let error = Fault::Error {
        message: "Not logged in".to_owned(),
        code: Some("UNAUTHENTICATED".to_owned()),
    };
    once(&simulator, error)?;
    let code = delete().await?.json()["errors"][0]["extensions"]["code"].clone();
    assert_eq!(code, json!("UNAUTHENTICATED"));
    simulator.inject(FaultRule::always(Fault::DomainFlaky))?;
    delete().await?.says(200, "");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_instance_gets_no_domain_before_its_time() -> Result<()> {
    let (_simulator, client) = started(standing_still(Settings::default())).await?;
    client.set(json!({"instanceLagMs": 5_000})).await?;
    let service = client.new_service("x").await?;
    let refused = client.create_domain(&service).await?;
    refused.says(200, "ServiceInstance not found");
    client.set(json!({"instanceLagMs": 0})).await?;
    client.create_domain(&service).await?.says(200, "");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_may_be_ahead() -> Result<()> {
    let ahead = Options {
        clock_skew_ms: 3_600_000,
        ..standing_still(Settings::default())
    };
    let (_simulator, client) = started(ahead).await?;
    client.new_service("x").await?;
    let created_at = &client.instance().await?["createdAt"];
    assert_eq!(created_at, &json!("1970-01-01T01:00:00.000Z"));
    Ok(())
}
