//! Each fault as a client meets it.

use pool_domain::DeploymentStatus;
use pool_simulator::faults::{Chaos, Lost};
use pool_simulator::world::LimitBody;
use pool_simulator::{AgentFault, Fault, FaultRule, Options, Simulator};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{Client, PATIENCE, Result, once, running, started, started_with_one};

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_lost_after_the_commit_leaves_the_service_behind() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let lost = |how| FaultRule::once(Fault::AnswerLost { how }).on("serviceCreate");
    simulator.inject(lost(Lost::Dropped))?;
    assert!(client.create_service("first").await.is_err());
    simulator.inject(lost(Lost::Gateway504))?;
    let answer = client.create_service("second").await?;
    assert_eq!(answer.status, 504);
    assert!(answer.text.starts_with("<!DOCTYPE html>"));
    for name in ["first", "second"] {
        let taken = format!("A service named \"{name}\" already exists in this project");
        client.create_service(name).await?.says(200, &taken);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_before_the_commit_leaves_nothing_behind() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let faults = [
        Fault::RateLimited {
            retry_after_s: 7,
            body: LimitBody::Json,
        },
        Fault::EdgeBlock,
        Fault::Gateway { status: 502 },
        Fault::Dropped,
        Fault::Error {
            message: "Something".to_owned(),
            code: None,
        },
        Fault::ProblemProcessing,
        Fault::NotAuthorized,
        Fault::HtmlOk,
        Fault::CreationThrottle,
        Fault::ProvisionLimit,
        Fault::TooEarly,
    ];
    for fault in faults {
        once(&simulator, fault.clone())?;
        let answer = client.create_service("x").await;
        let told = answer.map_or(Value::Null, |answer| answer.json());
        assert!(told["data"].is_null(), "{fault:?}: {told}");
        let made = simulator.world(|world| world.live_services().len());
        assert_eq!(made, 0, "{fault:?}");
    }
    client.new_service("x").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn railways_limiter_sends_its_headers_and_the_edges_does_not() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let limited = Fault::RateLimited {
        retry_after_s: 7,
        body: LimitBody::Json,
    };
    once(&simulator, limited)?;
    let limited = client.listing(1, None).await?;
    assert_eq!(limited.status, 429);
    assert_eq!(limited.header("retry-after"), Some("7"));
    assert_eq!(limited.header("x-ratelimit-remaining"), Some("0"));
    assert!(limited.json()["errors"].is_array());
    once(&simulator, Fault::EdgeBlock)?;
    let blocked = client.listing(1, None).await?;
    assert_eq!((blocked.status, blocked.header("retry-after")), (429, None));
    assert_eq!(blocked.header("x-ratelimit-limit"), None);
    assert!(blocked.text.contains("error code: 1015"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttle_strikes_creations_only() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    simulator.inject(FaultRule::always(Fault::CreationThrottle))?;
    client.listing(1, None).await?.says(200, "");
    let throttled = "Whoa there pal! You are creating services too quickly. Try again in a sec";
    client.create_service("x").await?.says(200, throttled);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_may_stand_beside_the_data_and_an_answer_may_break_off() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    simulator.seed_services(&running(3))?;
    let message = "half".to_owned();
    once(&simulator, Fault::ErrorBesideData { message })?;
    let answer = client.listing(500, None).await?;
    answer.says(200, "half");
    assert_eq!(answer.services().len(), 3);
    once(&simulator, Fault::Truncated)?;
    assert!(client.listing(500, None).await.is_err());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_may_be_clamped_or_lie() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    simulator.seed_services(&running(6))?;
    once(&simulator, Fault::ClampPage { max: 4 })?;
    let clamped = client.listing(500, None).await?;
    assert_eq!(clamped.services().len(), 4);
    let more = "/data/environment/serviceInstances/pageInfo/hasNextPage";
    let more = clamped.json().pointer(more).cloned();
    assert_eq!(
        more,
        Some(json!(true)),
        "a clamp still says that there is more"
    );
    once(&simulator, Fault::UnknownStatus)?;
    let strange = client.listing(500, None).await?.services();
    let status = &strange[0]["latestDeployment"]["status"];
    assert_eq!(status, &json!("HIBERNATING"));
    assert!(!pool_simulator::sdl().contains("HIBERNATING"));
    let lies = [
        (Fault::EmptyListing, 0),
        (Fault::PartialListing { every: 2 }, 3),
    ];
    for (lie, count) in lies {
        once(&simulator, lie)?;
        assert_eq!(client.listing(500, None).await?.services().len(), count);
    }
    assert_eq!(client.listing(500, None).await?.services().len(), 6);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_deployment_may_be_said_to_have_failed() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    simulator.seed_services(&running(2))?;
    for (status, active) in [("REMOVED", 0), ("SUCCESS", 1)] {
        let said = DeploymentStatus::from(status);
        once(&simulator, Fault::EveryStatus { status: said })?;
        for node in client.listing(500, None).await?.services() {
            assert_eq!(node["latestDeployment"]["status"], json!(status));
            let shown = node["activeDeployments"].as_array().map(Vec::len);
            assert_eq!(shown, Some(active), "{node}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_are_switched_on_and_off_over_http() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let fault = json!({"kind": "gateway", "status": 503});
    let rule = json!({"fault": fault, "operations": ["EnvironmentListing"]});
    assert_eq!(client.control("faults", rule).await?.status, 200);
    assert_eq!(client.listing(1, None).await?.status, 503);
    simulator.clear_faults();
    assert_eq!(client.listing(1, None).await?.status, 200);
    let unknown = json!({"fault": {"kind": "earthquake"}});
    let unknown = client.control("faults", unknown).await?;
    assert_eq!(unknown.status, 400);
    assert!(unknown.text.contains("earthquake"), "{}", unknown.text);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn chaos_strikes_and_the_same_seed_strikes_alike() -> Result<()> {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let options = Options {
            seed: 7,
            chaos: Some(Chaos { probability: 0.5 }),
            ..Options::default()
        };
        let simulator = Simulator::start(options).await?;
        let client = Client::of(&simulator)?;
        let mut statuses = Vec::new();
        for _ in 0..20 {
            let answer = client.listing(1, None).await;
            statuses.push(answer.map_or(0, |answer| answer.status));
        }
        runs.push(statuses);
    }
    assert_eq!(runs[0], runs[1]);
    assert!(runs[0].iter().any(|status| *status != 200), "{runs:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_ailment_of_an_agent_shows_and_heals() -> Result<()> {
    let (_simulator, client, seeded) = started_with_one().await?;
    let (id, domain) = (seeded.service_id, seeded.domain);
    let ail = async |fault: &str, parameters: Value| {
        let path = format!("agents/{id}/{fault}");
        client.control(&path, parameters).await
    };
    let health = async || client.health(&domain).await;
    let answers = [
        ("unready", 200, json!({"ready": false})),
        ("error", 500, json!({"error": "something broke"})),
        ("other-key", 401, json!({"error": "Unauthorized"})),
        ("garbage", 200, Value::Null),
    ];
    for (fault, status, said) in answers {
        ail(fault, json!({})).await?;
        let answer = health().await?;
        assert_eq!(answer.status, status, "{fault}");
        let answer = answer.json();
        for name in ["ready", "error"] {
            assert_eq!(answer[name], said[name], "{fault}");
        }
    }
    for broken in ["close", "close-mid-answer"] {
        ail(broken, json!({})).await?;
        assert!(health().await.is_err(), "{broken}");
    }
    ail("slow", json!({"ms": 100})).await?;
    let asked = tokio::time::Instant::now();
    assert_eq!(health().await?.status, 200);
    assert!(asked.elapsed().as_millis() >= 100);
    ail("hang", json!({})).await?;
    assert!(timeout(PATIENCE, health()).await.is_err());
    ail("refuse-provision", json!({"status": 413})).await?;
    assert_eq!(client.provision(&domain, "Ada").await?.status, 413);
    ail("heal", json!({})).await?;
    assert_eq!(health().await?.json()["ready"], json!(true));
    assert_eq!(client.provision(&domain, "Ada").await?.status, 200);
    assert_eq!(ail("sulk", json!({})).await?.status, 400);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provision_may_be_done_and_its_answer_lost() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let seeded = simulator.seed_services(&running(2))?;
    let faults = [AgentFault::LoseProvision, AgentFault::ErrorAfterProvision];
    for (service, fault) in seeded.iter().zip(faults) {
        simulator.set_agent_fault(&service.service_id.as_str().into(), Some(fault))?;
        let answer = client.provision(&service.domain, "Ada").await;
        assert_ne!(answer.map_or(0, |answer| answer.status), 200, "{fault:?}");
    }
    for agent in simulator.view().agents {
        assert_eq!(agent.provisions, 1);
        assert!(agent.conversation_id.is_some());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_befalls_a_service_shows_in_its_status_and_at_its_address() -> Result<()> {
    let (_simulator, client, seeded) = started_with_one().await?;
    let befall = async |verb: &str| client.befall(&seeded.service_id, verb).await;
    let latest = async || -> Result<(Value, Value)> {
        let latest = client.instance().await?["latestDeployment"].clone();
        Ok((
            latest["status"].clone(),
            latest["deploymentStopped"].clone(),
        ))
    };
    let health = async || -> Result<u16> { Ok(client.health(&seeded.domain).await?.status) };
    befall("sleep").await?;
    assert_eq!(latest().await?, (json!("SLEEPING"), json!(false)));
    assert_eq!(health().await?, 502, "the request that wakes it is lost");
    assert_eq!(health().await?, 200);
    befall("stop").await?;
    assert_eq!(latest().await?, (json!("SUCCESS"), json!(true)));
    assert_eq!(health().await?, 404);
    assert_eq!(befall("crash").await?, 409, "nothing runs that could crash");
    befall("redeploy").await?;
    assert_eq!(latest().await?, (json!("INITIALIZING"), json!(false)));
    befall("fail").await?;
    assert_eq!(latest().await?, (json!("FAILED"), json!(false)));
    befall("delete").await?;
    for verb in ["crash", "dance"] {
        assert_eq!(befall(verb).await?, 404, "{verb}");
    }
    Ok(())
}
