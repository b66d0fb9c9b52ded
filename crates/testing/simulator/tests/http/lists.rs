//! Listings and answers that are not what they seem.

use std::time::Duration;

use pool_simulator::faults::Lost;
use pool_simulator::{Fault, FaultRule, Options};
use serde_json::{Value, json};

use crate::support::{Client, Result, nodes, read_much, running, started};

async fn listed(client: &Client) -> Result<usize> {
    let answer = client.snapshot(500, None).await?.json();
    Ok(nodes(&answer["data"]["environment"]["serviceInstances"]).len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_listing_knows_nothing_new_and_still_shows_what_is_gone() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let seeded = simulator.seed_services(&running(2))?;
    client.create_service("new").await?;
    simulator.delete_service(&seeded[0].service_id.as_str().into())?;
    assert_eq!(listed(&client).await?, 2);
    let stale = Fault::StaleListing { by_ms: 60_000 };
    simulator.inject(FaultRule::once(stale))?;
    let answer = client.snapshot(500, None).await?.json();
    let old = nodes(&answer["data"]["environment"]["serviceInstances"]);
    let names: Vec<_> = old.iter().map(|node| node["serviceName"].clone()).collect();
    assert_eq!(names, [json!(seeded[0].name), json!(seeded[1].name)]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_service_may_stand_in_a_listing_again() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let seeded = simulator.seed_services(&running(1))?;
    simulator.delete_service(&seeded[0].service_id.as_str().into())?;
    assert_eq!(listed(&client).await?, 0);
    let rule = json!({"fault": {"kind": "back_again", "by_ms": 60_000}, "count": 1});
    client.control("faults", rule).await?;
    assert_eq!(listed(&client).await?, 1);
    assert_eq!(listed(&client).await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_may_never_end() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    simulator.seed_services(&running(1))?;
    simulator.inject(FaultRule::always(Fault::EndlessListing))?;
    let mut after = None;
    for page in 0..3 {
        let answer = client.snapshot(1, after.as_deref()).await?.json();
        let info = &answer["data"]["environment"]["serviceInstances"]["pageInfo"];
        assert_eq!(info["hasNextPage"], json!(true), "page {page}");
        after = info["endCursor"].as_str().map(str::to_owned).or(after);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_null_may_stand_for_a_deployment_with_an_error_beside_it() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    simulator.seed_services(&running(3))?;
    simulator.inject(FaultRule::once(Fault::NullDeployment { every: 2 }))?;
    let answer = client.snapshot(500, None).await?;
    assert_eq!(
        (answer.status, answer.message().as_str()),
        (200, "Problem processing request")
    );
    let shown = nodes(&answer.json()["data"]["environment"]["serviceInstances"]);
    let nulls: Vec<_> = shown
        .iter()
        .map(|node| node["latestDeployment"].is_null())
        .collect();
    assert_eq!(nulls, [true, false, true]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_where_null_may_not_stand_takes_the_whole_answer() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    simulator.seed_services(&running(3))?;
    simulator.inject(FaultRule::once(Fault::NullAnswer { every: 3 }))?;
    let answer = client.snapshot(500, None).await?;
    assert_eq!(
        (answer.status, answer.json()["data"].clone()),
        (200, Value::Null)
    );
    assert_eq!(answer.message(), "Problem processing request");
    let error = &answer.json()["errors"][0];
    assert!(
        error["extensions"].is_null() && error["traceId"].is_string(),
        "{error}"
    );
    assert_eq!(listed(&client).await?, 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_may_end_properly_in_the_middle_of_its_json() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    simulator.inject(FaultRule::once(Fault::CutShort))?;
    let answer = client.create_service("x").await?;
    assert_eq!(answer.status, 200);
    assert!(
        answer.text.starts_with("{\"data\"") && answer.json().is_null(),
        "{}",
        answer.text
    );
    assert!(
        simulator.world(|world| world.service_named("x").is_some()),
        "it is done"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_may_have_two_gigabytes() -> Result<()> {
    let (simulator, _client) = started(Options::default()).await?;
    simulator.inject(FaultRule::once(Fault::Huge))?;
    let url = simulator.graphql_url();
    let address = url.split('/').nth(2).ok_or("no address")?;
    let request = "POST /graphql/v2 HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}";
    read_much(address, request, 64 * 1024 * 1024).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_may_take_longer_or_never_come() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    simulator.inject(FaultRule::once(Fault::Latency { ms: 100 }))?;
    let asked = tokio::time::Instant::now();
    assert_eq!(client.snapshot(1, None).await?.status, 200);
    assert!(asked.elapsed() >= Duration::from_millis(100));
    let patience = Duration::from_millis(500);
    let lost = Fault::AnswerLost { how: Lost::Never };
    for (fault, is_done) in [(Fault::Hang, false), (lost, true)] {
        simulator.inject(FaultRule::once(fault.clone()))?;
        let asked = tokio::time::timeout(patience, client.create_service("x"));
        assert!(asked.await.is_err(), "{fault:?}");
        let found = simulator.world(|world| world.service_named("x").is_some());
        assert_eq!(found, is_done, "{fault:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_lasts_as_long_as_it_is_told_to() -> Result<()> {
    let (_simulator, client) = started(Options::default()).await?;
    let rule = json!({"fault": {"kind": "gateway", "status": 502}, "forMs": 300});
    client.control("faults", rule).await?;
    assert_eq!(client.snapshot(1, None).await?.status, 502);
    let over = async {
        while client.snapshot(1, None).await?.status == 502 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
    };
    tokio::time::timeout(Duration::from_secs(10), over).await?
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_all_kinds_are_drawn_from_a_seed() -> Result<()> {
    let mut stories = Vec::new();
    for _ in 0..2 {
        let (simulator, client) = started(Options::default()).await?;
        simulator.seed_services(&running(3))?;
        let drawn = json!({"seed": 5, "count": 60, "trouble": true});
        stories.push(client.control("operations", drawn).await?.json()["story"].clone());
    }
    assert_eq!(stories[0], stories[1]);
    assert!(
        stories[0].to_string().contains("requests meet"),
        "{}",
        stories[0]
    );
    Ok(())
}
