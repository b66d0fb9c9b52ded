//! Listings and answers that are not what they seem.

use std::time::Duration;

use pool_simulator::faults::Lost;
use pool_simulator::{Fault, FaultRule, Options};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{PATIENCE, Result, once, read_much, running, started, started_with_one};

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_listing_knows_nothing_new_and_still_shows_what_is_gone() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let seeded = simulator.seed_services(&running(2))?;
    client.create_service("new").await?;
    simulator.delete_service(&seeded[0].service_id.as_str().into())?;
    let names = async || -> Result<Vec<Value>> {
        let listed = client.listing(500, None).await?.services();
        Ok(listed.iter().map(|it| it["serviceName"].clone()).collect())
    };
    assert_eq!(names().await?, [json!(seeded[1].name), json!("new")]);
    once(&simulator, Fault::StaleListing { by_ms: 60_000 })?;
    let old = [json!(seeded[0].name), json!(seeded[1].name)];
    assert_eq!(names().await?, old);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_service_may_stand_in_a_listing_again() -> Result<()> {
    let (simulator, client, seeded) = started_with_one().await?;
    simulator.delete_service(&seeded.service_id.as_str().into())?;
    assert_eq!(client.listing(1, None).await?.services().len(), 0);
    let rule = json!({"fault": {"kind": "back_again", "by_ms": 60_000}, "count": 1});
    client.control("faults", rule).await?;
    for count in [1, 0] {
        assert_eq!(client.listing(1, None).await?.services().len(), count);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_may_never_end() -> Result<()> {
    let (simulator, client, _) = started_with_one().await?;
    simulator.inject(FaultRule::always(Fault::EndlessListing))?;
    let mut after = None;
    for page in 0..3 {
        let answer = client.listing(1, after.as_deref()).await?.json();
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
    once(&simulator, Fault::NullDeployment { every: 2 })?;
    let answer = client.listing(500, None).await?;
    answer.says(200, "Problem processing request");
    let shown = answer.services();
    let nulls = shown.iter().map(|node| node["latestDeployment"].is_null());
    assert_eq!(nulls.collect::<Vec<_>>(), [true, false, true]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_where_null_may_not_stand_takes_the_whole_answer() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    simulator.seed_services(&running(3))?;
    once(&simulator, Fault::NullAnswer { every: 3 })?;
    let answer = client.listing(500, None).await?;
    answer.says(200, "Problem processing request");
    assert_eq!(answer.json()["data"], Value::Null);
    let error = &answer.json()["errors"][0];
    let is_bare = error["extensions"].is_null() && error["traceId"].is_string();
    assert!(is_bare, "{error}");
    assert_eq!(client.listing(500, None).await?.services().len(), 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_may_end_properly_in_the_middle_of_its_json() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    once(&simulator, Fault::CutShort)?;
    let answer = client.create_service("x").await?;
    assert_eq!((answer.status, answer.json()), (200, Value::Null));
    assert!(answer.text.starts_with("{\"data\""), "{}", answer.text);
    let done = simulator.world(|world| world.service_named("x").is_some());
    assert!(done);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_may_have_two_gigabytes() -> Result<()> {
    let (simulator, _client) = started(Options::default()).await?;
    once(&simulator, Fault::Huge)?;
    let url = simulator.graphql_url();
    let address = url.split('/').nth(2).ok_or("no address")?;
    let request = "POST /graphql/v2 HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}";
    read_much(address, request, 64 * 1024 * 1024).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_may_take_longer_or_never_come() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    once(&simulator, Fault::Latency { ms: 100 })?;
    let asked = tokio::time::Instant::now();
    assert_eq!(client.listing(1, None).await?.status, 200);
    assert!(asked.elapsed() >= Duration::from_millis(100));
    let lost = Fault::AnswerLost { how: Lost::Never };
    for (fault, is_done) in [(Fault::Hang, false), (lost, true)] {
        once(&simulator, fault.clone())?;
        let asked = timeout(PATIENCE, client.create_service("x"));
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
    assert_eq!(client.listing(1, None).await?.status, 502);
    let over = async {
        while client.listing(1, None).await?.status == 502 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    };
    timeout(Duration::from_secs(10), over).await?
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_all_kinds_are_drawn_from_a_seed() -> Result<()> {
    let mut stories = Vec::new();
    for _ in 0..2 {
        let (simulator, client) = started(Options::default()).await?;
        simulator.seed_services(&running(3))?;
        let drawn = json!({"seed": 5, "count": 60, "trouble": true});
        let told = client.control("operations", drawn).await?.json();
        stories.push(told["story"].to_string());
    }
    assert_eq!(stories[0], stories[1]);
    assert!(stories[0].contains("requests meet"), "{}", stories[0]);
    Ok(())
}
