//! The client against the modelled Railway, over real sockets, and in process as over sockets.

use std::error::Error as StdError;
use std::num::NonZeroU32;
use std::time::Duration;

use chrono::{DateTime, Utc};
use pool_domain::{
    Clock, DeployClass, EnvironmentId, Redactor, Secret, ServiceId, Spent, SystemClock,
};
use pool_http_client::Transport;
use pool_railway::{
    EnvironmentClient, EnvironmentRef, Error, ErrorClass, Limits, Railway, ServicePatch, Settings,
    Token,
};
use pool_simulator::faults::Lost;
use pool_simulator::{Fault, FaultRule, Options, RateLimits, SeedServices, Simulator};

type TestResult = Result<(), Box<dyn StdError>>;

const IMAGE: &str = "ghcr.io/xmtplabs/convos-runtime:latest";

fn now() -> DateTime<Utc> {
    SystemClock.now()
}

fn railway(simulator: &Simulator, token: Token) -> Result<Railway, Error> {
    railway_by(simulator, token, limits(), &Transport::default())
}

fn limits() -> Limits {
    let many = NonZeroU32::MIN.saturating_add(10_000);
    Limits {
        requests_per_second: many,
        burst_requests: many,
        first_retry_pause: Duration::from_millis(1),
        ..Limits::default()
    }
}

fn railway_by(
    simulator: &Simulator,
    token: Token,
    limits: Limits,
    transport: &Transport,
) -> Result<Railway, Error> {
    let settings = Settings {
        api_url: simulator.graphql_url(),
        token,
        project_id: simulator.project_id(),
        redactor: Redactor::default(),
    };
    Railway::with_transport(settings, limits, transport)
}

fn client(simulator: &Simulator) -> Result<EnvironmentClient, Error> {
    let railway = railway(simulator, Token::Account(Secret::new(simulator.token())))?;
    Ok(railway.in_environment(simulator.environment_id()))
}

async fn start() -> Result<Simulator, pool_simulator::SimulatorError> {
    let mut options = Options::default();
    options.settings.limits = RateLimits::none();
    Simulator::start(options).await
}

fn patch(service_id: &ServiceId) -> ServicePatch {
    ServicePatch {
        service_id: service_id.clone(),
        image: IMAGE.to_owned(),
        start_command: "node scripts/pool-server.js".to_owned(),
        vcpus: 4.0,
        memory_bytes: 8 * 1024 * 1024 * 1024,
        variables: vec![
            ("POOL_API_KEY".to_owned(), Secret::new("the-pools-key")),
            ("BANKR_API_KEY".to_owned(), Secret::new("")),
        ],
    }
}

/// Lists until the one service there is does as wanted.
async fn until(
    client: &EnvironmentClient,
    wanted: impl Fn(&pool_domain::ObservedService) -> bool,
) -> Result<pool_domain::ObservedService, Box<dyn StdError>> {
    for _ in 0..200 {
        let listing = client.list(now()).await;
        if let [service] = listing.services.as_slice()
            && wanted(service)
        {
            return Ok(service.clone());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err("it never came to that within 4 s".into())
}

#[tokio::test]
async fn twelve_hundred_services_are_listed_in_exactly_three_requests() -> TestResult {
    let simulator = start().await?;
    let seeded = simulator.seed_services(&SeedServices {
        count: 1200,
        ..SeedServices::default()
    })?;
    let client = client(&simulator)?;
    let listing = client.list(now()).await;
    assert!(listing.is_complete(), "{:?}", listing.completeness);
    assert_eq!((listing.requests, client.requests_sent()), (3, 3));
    let mut seen: Vec<_> = listing
        .services
        .iter()
        .map(|s| s.service_id.as_str())
        .collect();
    let mut put: Vec<_> = seeded.iter().map(|s| s.service_id.as_str()).collect();
    seen.sort_unstable();
    put.sort_unstable();
    assert_eq!(seen, put);
    Ok(())
}

#[tokio::test]
async fn a_clamped_page_only_costs_more_requests() -> TestResult {
    let simulator = start().await?;
    let seed = SeedServices {
        count: 250,
        mount_path: Some("/data".to_owned()),
        ..SeedServices::default()
    };
    simulator.seed_services(&seed)?;
    simulator.inject(FaultRule::always(Fault::ClampPage { max: 100 }))?;
    let listing = client(&simulator)?.list(now()).await;
    assert!(listing.is_complete(), "{:?}", listing.completeness);
    assert_eq!((listing.services.len(), listing.volumes.len()), (250, 250));
    assert_eq!(listing.requests, 3);
    Ok(())
}

#[tokio::test]
async fn a_service_is_made_committed_seen_and_deleted() -> TestResult {
    let simulator = start().await?;
    for token in [
        Token::Account(Secret::new(simulator.token())),
        Token::Project(Secret::new(simulator.project_token())),
    ] {
        let railway = railway(&simulator, token)?;
        let wanted = EnvironmentRef::Name(simulator.environment_name().to_uppercase());
        let environment = railway.resolve_environment(&wanted).await?;
        assert_eq!(environment.id, simulator.environment_id());
        let client = railway.in_environment(environment.id);

        let id = client.create_service("convos-agent-abcdefghijkl").await?;
        let again = client.create_service("convos-agent-abcdefghijkl").await;
        assert_eq!(again.map_err(|e| e.class()), Err(ErrorClass::NameTaken));
        let volume = client.create_volume(&id, "/data").await?;
        let domain = client.create_domain(&id).await?;
        let bare = until(&client, |service| service.host.is_some()).await?;
        assert_eq!((bare.image, bare.deployment), (None, None));

        client.commit(&[patch(&id)]).await?;
        let up = until(&client, |service| service.class() == DeployClass::Up).await?;
        assert_eq!(up.service_id, id);
        assert_eq!(up.image.as_deref(), Some(IMAGE));
        assert_eq!(up.host, Some(domain));
        assert!(up.has_active_deployment);
        let variables = client.variables().await?;
        assert_eq!(variables[&id]["POOL_API_KEY"].expose(), "the-pools-key");
        assert_eq!(variables[&id]["BANKR_API_KEY"].expose(), "");

        client.delete_volume(&volume).await?;
        client.delete_service(&id).await?;
        let after = client.list(now()).await;
        assert!(after.is_complete());
        assert!(after.services.is_empty());
        assert!(after.volumes.iter().all(|volume| volume.pending_deletion));
        let gone = client.delete_service(&id).await.err().ok_or("it is gone")?;
        let gone = gone.class();
        assert!(
            matches!(gone, ErrorClass::NotAuthorized | ErrorClass::NotFound),
            "{gone}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_create_whose_answer_is_lost_is_found_again_by_its_name() -> TestResult {
    let simulator = start().await?;
    let client = client(&simulator)?;
    for (name, how) in [("a", Lost::Dropped), ("b", Lost::Gateway504)] {
        let fault = FaultRule::once(Fault::AnswerLost { how }).on("serviceCreate");
        simulator.inject(fault)?;
        let lost = client
            .create_service(name)
            .await
            .err()
            .ok_or("its answer was lost")?;
        assert!(lost.may_have_happened(), "{lost}");
        let again = client.create_service(name).await;
        assert_eq!(again.map_err(|e| e.class()), Err(ErrorClass::NameTaken));
        let listing = client.list(now()).await;
        assert!(listing.services.iter().any(|service| service.name == name));
    }
    Ok(())
}

#[tokio::test]
async fn what_passes_does_not_stop_a_listing() -> TestResult {
    let simulator = start().await?;
    let client = client(&simulator)?;
    for fault in [
        Fault::Dropped,
        Fault::Gateway { status: 502 },
        Fault::ProblemProcessing,
        Fault::Truncated,
        Fault::Latency { ms: 50 },
    ] {
        simulator.inject(FaultRule::once(fault.clone()))?;
        let listing = client.list(now()).await;
        assert!(
            listing.is_complete(),
            "{fault:?}: {:?}",
            listing.completeness
        );
    }
    Ok(())
}

#[tokio::test]
async fn what_stays_makes_a_listing_incomplete() -> TestResult {
    for fault in [
        Fault::RateLimited {
            retry_after_s: 30,
            body: pool_simulator::world::LimitBody::Text,
        },
        Fault::EdgeBlock,
        Fault::Gateway { status: 503 },
        Fault::NotAuthorized,
        Fault::HtmlOk,
        Fault::ProblemProcessing,
        Fault::ErrorBesideData {
            message: "Something is missing".to_owned(),
        },
    ] {
        let simulator = start().await?;
        simulator.seed_services(&SeedServices::default())?;
        simulator.inject(FaultRule::always(fault.clone()))?;
        let listing = client(&simulator)?.list(now()).await;
        assert!(!listing.is_complete(), "{fault:?}");
    }
    Ok(())
}

#[tokio::test]
async fn an_unknown_status_is_not_a_failed_one() -> TestResult {
    let simulator = start().await?;
    simulator.seed_services(&SeedServices::default())?;
    simulator.inject(FaultRule::always(Fault::UnknownStatus))?;
    let listing = client(&simulator)?.list(now()).await;
    assert!(listing.is_complete());
    assert_eq!(listing.services[0].class(), DeployClass::Unknown);
    Ok(())
}

#[tokio::test]
async fn a_throttle_and_a_limit_are_told_apart() -> TestResult {
    let simulator = start().await?;
    let client = client(&simulator)?;
    let id = client.create_service("a").await?;
    for (fault, class) in [
        (Fault::CreationThrottle, ErrorClass::CreationThrottled),
        (Fault::ProvisionLimit, ErrorClass::ResourceLimit),
        (Fault::TooEarly, ErrorClass::TooEarly),
    ] {
        simulator.inject(FaultRule::once(fault))?;
        let error = client.create_volume(&id, "/data").await.err();
        let error = error.ok_or("it was refused")?;
        assert_eq!((error.class(), error.may_have_happened()), (class, false));
    }
    Ok(())
}

#[tokio::test]
async fn the_budget_is_read_and_its_last_part_kept() -> TestResult {
    let mut options = Options::default();
    options.settings.limits = RateLimits {
        per_hour: Some(30),
        per_second: None,
        ..RateLimits::default()
    };
    let simulator = Simulator::start(options).await?;
    let client = client(&simulator)?;
    for _ in 0..10 {
        assert!(client.list(now()).await.is_complete());
    }
    let budget = client.budget_report(now(), Spent::default());
    assert_eq!((budget.limit, budget.remaining), (30, 20));
    assert!(budget.resets_at.is_some_and(|at| at > now()));
    let refused = client
        .create_service("a")
        .await
        .err()
        .ok_or("too little is left")?;
    assert!(matches!(refused.class(), ErrorClass::RateLimited { .. }));
    assert_eq!(refused.status, None);
    assert!(client.list(now()).await.is_complete());
    Ok(())
}

#[tokio::test]
async fn a_dead_token_and_a_wrong_environment_say_so() -> TestResult {
    let simulator = start().await?;
    let stranger = railway(&simulator, Token::Account(Secret::new("nobodys-token")))?;
    let wanted = EnvironmentRef::Id(simulator.environment_id());
    let error = stranger.resolve_environment(&wanted).await.err();
    let class = error.ok_or("it is dead")?.class();
    assert_eq!(class, ErrorClass::NotAuthorized);

    let nowhere = EnvironmentId::new("no-such-environment");
    let railway = railway(&simulator, Token::Account(Secret::new(simulator.token())))?;
    let listing = railway.in_environment(nowhere.clone()).list(now()).await;
    assert!(!listing.is_complete());
    let error = railway
        .resolve_environment(&EnvironmentRef::Id(nowhere))
        .await
        .err();
    let message = error.ok_or("there is none")?.message;
    assert!(message.contains(simulator.environment_name()), "{message}");
    Ok(())
}

/// What a client meets at each fault, in words without ids and times.
async fn story(simulator: &Simulator, transport: &Transport) -> Result<Vec<String>, Error> {
    let limits = Limits {
        write_timeout: Duration::from_secs(1),
        ..limits()
    };
    let mut story = Vec::new();
    for (n, fault) in faults().into_iter().enumerate() {
        let name = format!("convos-agent-{n}");
        let token = Token::Account(Secret::new(simulator.token()));
        // A new client for each, which remembers no block.
        let railway = railway_by(simulator, token, limits, transport)?;
        let client = railway.in_environment(simulator.environment_id());
        let injected = simulator.inject(FaultRule::once(fault.clone()));
        let made = client.create_service(&name).await;
        let again = client.create_service(&name).await;
        let told = |outcome: Result<ServiceId, Error>| match outcome {
            Ok(_) => "made".to_owned(),
            Err(e) => {
                let words = e.message.replace(|c: char| c.is_ascii_digit(), "");
                let (class, status) = (e.class, e.status);
                format!("{class} {status:?} {} {words}", e.may_have_happened())
            }
        };
        story.push(format!("{fault:?} {}", injected.is_ok()));
        story.push(format!("  {}; {}", told(made), told(again)));
    }
    Ok(story)
}

fn faults() -> Vec<Fault> {
    let lost = |how| Fault::AnswerLost { how };
    let limited = |body| Fault::RateLimited {
        retry_after_s: 30,
        body,
    };
    vec![
        Fault::Latency { ms: 20 },
        Fault::Dropped,
        Fault::Hang,
        Fault::Huge,
        Fault::Truncated,
        Fault::CutShort,
        lost(Lost::Dropped),
        lost(Lost::Gateway504),
        lost(Lost::Never),
        limited(pool_simulator::world::LimitBody::Json),
        limited(pool_simulator::world::LimitBody::Html),
        Fault::EdgeBlock,
        Fault::Gateway { status: 502 },
        Fault::HtmlOk,
        Fault::NotAuthorized,
        Fault::ProblemProcessing,
    ]
}

#[tokio::test]
async fn the_same_is_met_in_process_as_over_sockets() -> TestResult {
    let over_sockets = start().await?;
    let mut options = Options::default();
    options.settings.limits = RateLimits::none();
    let (simulator, service) = Simulator::in_process(options);
    let (network, in_process) = (Transport::default(), Transport::in_process(service));
    let expected = story(&over_sockets, &network);
    let (expected, met) = tokio::join!(expected, story(&simulator, &in_process));
    assert_eq!(met?.join("\n"), expected?.join("\n"));
    Ok(())
}
