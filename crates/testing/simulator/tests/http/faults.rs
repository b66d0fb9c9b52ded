//! Each fault as a client meets it.

use crate::support::{Client, KEY, Result, running, started};
use pool_domain::DeploymentStatus;
use pool_simulator::faults::{Chaos, Lost};
use pool_simulator::world::LimitBody;
use pool_simulator::{AgentFault, Fault, FaultRule, Options, Simulator};
use serde_json::{Value, json};

fn edges(answer: &Value) -> usize {
    let edges = answer.pointer("/data/environment/serviceInstances/edges");
    edges.and_then(Value::as_array).map_or(0, Vec::len)
}

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
        let again = client.create_service(name).await?.message();
        assert_eq!(
            again,
            format!("A service named \"{name}\" already exists in this project")
        );
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
        simulator.inject(FaultRule::once(fault.clone()))?;
        if let Ok(answer) = client.create_service("x").await {
            assert!(
                answer.json()["data"].is_null(),
                "{fault:?}: {}",
                answer.text
            );
        }
        assert!(
            simulator.world(|world| world.live_services().is_empty()),
            "{fault:?}"
        );
    }
    assert_eq!(
        client.create_service("x").await?.json()["data"]["serviceCreate"]["name"],
        json!("x")
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn railways_limiter_sends_its_headers_and_the_edges_does_not() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    simulator.inject(FaultRule::once(Fault::RateLimited {
        retry_after_s: 7,
        body: LimitBody::Json,
    }))?;
    let limited = client.snapshot(1, None).await?;
    assert_eq!(
        (limited.status, limited.header("retry-after")),
        (429, Some("7"))
    );
    assert_eq!(limited.header("x-ratelimit-remaining"), Some("0"));
    assert!(limited.json()["errors"].is_array());
    simulator.inject(FaultRule::once(Fault::EdgeBlock))?;
    let blocked = client.snapshot(1, None).await?;
    assert_eq!((blocked.status, blocked.header("retry-after")), (429, None));
    assert_eq!(blocked.header("x-ratelimit-limit"), None);
    assert!(blocked.text.contains("error code: 1015"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttle_strikes_creations_only() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    simulator.inject(FaultRule::always(Fault::CreationThrottle))?;
    assert!(client.snapshot(1, None).await?.json()["errors"].is_null());
    let refused = client.create_service("x").await?;
    assert_eq!(refused.status, 200);
    assert!(
        refused.message().contains("too quickly"),
        "{}",
        refused.text
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_may_stand_beside_the_data_and_an_answer_may_break_off() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    simulator.seed_services(&running(3))?;
    simulator.inject(FaultRule::once(Fault::ErrorBesideData {
        message: "half".to_owned(),
    }))?;
    let answer = client.snapshot(500, None).await?;
    assert_eq!(
        (edges(&answer.json()), answer.message().as_str()),
        (3, "half")
    );
    simulator.inject(FaultRule::once(Fault::Truncated))?;
    assert!(client.snapshot(500, None).await.is_err());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_may_be_clamped_or_lie() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    simulator.seed_services(&running(6))?;
    simulator.inject(FaultRule::once(Fault::ClampPage { max: 4 }))?;
    let clamped = client.snapshot(500, None).await?.json();
    assert_eq!(edges(&clamped), 4);
    let page = &clamped["data"]["environment"]["serviceInstances"]["pageInfo"];
    assert_eq!(
        page["hasNextPage"],
        json!(true),
        "a clamp still says that there is more"
    );
    simulator.inject(FaultRule::once(Fault::EmptyListing))?;
    assert_eq!(edges(&client.snapshot(500, None).await?.json()), 0);
    simulator.inject(FaultRule::once(Fault::PartialListing { every: 2 }))?;
    assert_eq!(edges(&client.snapshot(500, None).await?.json()), 3);
    simulator.inject(FaultRule::once(Fault::UnknownStatus))?;
    let strange = client.snapshot(500, None).await?.json();
    let status = "/data/environment/serviceInstances/edges/0/node/latestDeployment/status";
    assert_eq!(strange.pointer(status), Some(&json!("HIBERNATING")));
    assert_eq!(edges(&client.snapshot(500, None).await?.json()), 6);
    assert!(!pool_simulator::sdl().contains("HIBERNATING"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_deployment_may_be_said_to_have_failed() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    simulator.seed_services(&running(2))?;
    for (status, active) in [("REMOVED", 0), ("SUCCESS", 1)] {
        let status = DeploymentStatus::from(status);
        let fault = Fault::EveryStatus {
            status: status.clone(),
        };
        simulator.inject(FaultRule::once(fault))?;
        let said = client.snapshot(500, None).await?.json();
        for n in 0..2 {
            let node = format!("/data/environment/serviceInstances/edges/{n}/node");
            let node = said.pointer(&node).cloned().unwrap_or_default();
            assert_eq!(node["latestDeployment"]["status"], json!(status.as_str()));
            let shown = node["activeDeployments"].as_array().map(Vec::len);
            assert_eq!(shown, Some(active), "{node}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_are_switched_on_and_off_over_http() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let rule = json!({"fault": {"kind": "gateway", "status": 503}, "operations": ["PoolSnapshot"]});
    assert_eq!(client.control("faults", rule).await?.status, 200);
    assert_eq!(client.snapshot(1, None).await?.status, 503);
    simulator.clear_faults();
    assert_eq!(client.snapshot(1, None).await?.status, 200);
    let unknown = client
        .control("faults", json!({"fault": {"kind": "earthquake"}}))
        .await?;
    assert_eq!(unknown.status, 400);
    assert!(unknown.text.contains("earthquake"), "{}", unknown.text);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn chaos_strikes_and_the_same_seed_strikes_alike() -> Result<()> {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let chaos = Some(Chaos { probability: 0.5 });
        let simulator = Simulator::start(Options {
            seed: 7,
            chaos,
            ..Options::default()
        })
        .await?;
        let client = Client::of(&simulator)?;
        let mut statuses = Vec::new();
        for _ in 0..20 {
            statuses.push(
                client
                    .snapshot(1, None)
                    .await
                    .map_or(0, |answer| answer.status),
            );
        }
        runs.push(statuses);
    }
    assert_eq!(runs[0], runs[1]);
    assert!(runs[0].iter().any(|status| *status != 200), "{runs:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_ailment_of_an_agent_shows_and_heals() -> Result<()> {
    let (_simulator, client) = started(Options::default()).await?;
    let seed = json!({"count": 1, "variables": {"POOL_API_KEY": KEY}});
    let seeded = client.control("services", seed).await?.json();
    let id = seeded[0]["serviceId"].as_str().ok_or("no id")?.to_owned();
    let domain = seeded[0]["domain"].as_str().ok_or("no domain")?.to_owned();
    let ail = async |fault: &str, parameters: Value| {
        client
            .control(&format!("agents/{id}/{fault}"), parameters)
            .await
    };
    let health = async || client.agent(&domain, "/pool/health", KEY).await;
    ail("unready", json!({})).await?;
    assert_eq!(health().await?.json()["ready"], json!(false));
    ail("error", json!({})).await?;
    assert_eq!(health().await?.status, 500);
    ail("other-key", json!({})).await?;
    assert_eq!(health().await?.status, 401);
    ail("garbage", json!({})).await?;
    assert_eq!(health().await?.json(), Value::Null);
    for broken in ["close", "close-mid-answer"] {
        ail(broken, json!({})).await?;
        assert!(health().await.is_err(), "{broken}");
    }
    ail("slow", json!({"ms": 100})).await?;
    let asked = tokio::time::Instant::now();
    assert_eq!(health().await?.status, 200);
    assert!(asked.elapsed().as_millis() >= 100);
    ail("hang", json!({})).await?;
    let patience = std::time::Duration::from_millis(300);
    assert!(tokio::time::timeout(patience, health()).await.is_err());
    ail("refuse-provision", json!({"status": 413})).await?;
    let body = json!({"agentName": "Ada", "instructions": ""});
    assert_eq!(
        client.provision(&domain, KEY, body.clone()).await?.status,
        413
    );
    ail("heal", json!({})).await?;
    assert_eq!(health().await?.json()["ready"], json!(true));
    assert_eq!(client.provision(&domain, KEY, body).await?.status, 200);
    assert_eq!(ail("sulk", json!({})).await?.status, 404);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provision_may_be_done_and_its_answer_lost() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let seeded = simulator.seed_services(&running(2))?;
    let body = json!({"agentName": "Ada", "instructions": ""});
    let faults = [AgentFault::LoseProvision, AgentFault::ErrorAfterProvision];
    for (service, fault) in seeded.iter().zip(faults) {
        simulator.set_agent_fault(&service.service_id.as_str().into(), Some(fault))?;
        let answer = client.provision(&service.domain, KEY, body.clone()).await;
        assert_ne!(answer.map_or(0, |answer| answer.status), 200, "{fault:?}");
    }
    let world = client.world().await?;
    for agent in world["agents"].as_array().ok_or("no agents")? {
        assert_eq!(agent["provisions"], json!(1));
        assert!(agent["conversationId"].is_string());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_befalls_a_service_shows_in_its_status_and_at_its_address() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let seeded = simulator.seed_services(&running(1))?;
    let (id, domain) = (&seeded[0].service_id, &seeded[0].domain);
    let befall = async |verb: &str| {
        client
            .control(&format!("services/{id}/{verb}"), json!({}))
            .await
    };
    let latest = async || -> Result<Value> {
        let answer = client.snapshot(1, None).await?.json();
        Ok(answer["data"]["environment"]["serviceInstances"]["edges"][0]["node"]
            ["latestDeployment"]
            .clone())
    };
    let health =
        async || -> Result<u16> { Ok(client.agent(domain, "/pool/health", KEY).await?.status) };
    befall("sleep").await?;
    assert_eq!(latest().await?["status"], json!("SLEEPING"));
    assert_eq!(health().await?, 502, "the request that wakes it is lost");
    assert_eq!(health().await?, 200);
    befall("stop").await?;
    let stopped = latest().await?;
    assert_eq!(
        (&stopped["status"], &stopped["deploymentStopped"]),
        (&json!("SUCCESS"), &json!(true))
    );
    assert_eq!(health().await?, 404);
    assert_eq!(
        befall("crash").await?.status,
        409,
        "nothing runs that could crash"
    );
    befall("redeploy").await?;
    assert_eq!(latest().await?["status"], json!("INITIALIZING"));
    befall("fail").await?;
    assert_eq!(latest().await?["status"], json!("FAILED"));
    befall("delete").await?;
    assert_eq!(befall("crash").await?.status, 404);
    assert_eq!(befall("dance").await?.status, 404);
    Ok(())
}
