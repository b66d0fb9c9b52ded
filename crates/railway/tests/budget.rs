//! The budget over real sockets: what is repeated, what is held back, and what a process that is
//! started anew still knows. Against the modelled Railway, and against one that answers as told.

use std::error::Error as StdError;
use std::num::NonZeroU32;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use pool_domain::budget::Blocker;
use pool_domain::{
    Clock, Completeness, EnvironmentId, Listing, ProjectId, Redactor, Secret, ServiceId, Spent,
    SystemClock, VolumeId,
};
use pool_railway::{
    EnvironmentClient, Error, ErrorClass, Limits, Railway, ServicePatch, Settings, Token,
};
use pool_simulator::world::{LimitBody, ResetFormat};
use pool_simulator::{Fault, FaultRule, Options, RateLimits, SeedServices, Simulator};
use serde_json::json;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

type TestResult = Result<(), Box<dyn StdError>>;

fn now() -> DateTime<Utc> {
    SystemClock.now()
}

fn limits() -> Limits {
    let many = NonZeroU32::MIN.saturating_add(10_000);
    Limits {
        requests_per_second: many,
        burst_requests: many,
        first_retry_pause: Duration::from_millis(1),
        assumed_requests_per_hour: 100,
        ..Limits::default()
    }
}

fn client_of(
    url: String,
    token: String,
    simulator: Option<&Simulator>,
) -> Result<EnvironmentClient, Error> {
    let project = simulator.map_or_else(|| ProjectId::new("p1"), Simulator::project_id);
    let environment = simulator.map_or_else(|| EnvironmentId::new("e1"), Simulator::environment_id);
    let settings = Settings {
        api_url: url,
        token: Token::Account(Secret::new(token)),
        project_id: project,
        redactor: Redactor::default(),
    };
    Ok(Railway::with_limits(settings, limits())?.in_environment(environment))
}

fn client(simulator: &Simulator) -> Result<EnvironmentClient, Error> {
    client_of(simulator.graphql_url(), simulator.token(), Some(simulator))
}

async fn start(limits: RateLimits) -> Result<Simulator, pool_simulator::SimulatorError> {
    let mut options = Options::default();
    options.settings.limits = limits;
    Simulator::start(options).await
}

fn an_hour(requests: u32) -> RateLimits {
    RateLimits {
        per_hour: Some(requests),
        per_second: None,
        ..RateLimits::default()
    }
}

fn reason(listing: &Listing) -> &str {
    match &listing.completeness {
        Completeness::Complete => "complete",
        Completeness::NamesOnly(reason) | Completeness::Incomplete(reason) => reason,
    }
}

#[tokio::test]
async fn the_hour_is_read_however_its_end_is_written() -> TestResult {
    for reset in [
        ResetFormat::UnixSeconds,
        ResetFormat::UnixMillis,
        ResetFormat::Iso,
    ] {
        let simulator = start(RateLimits {
            reset,
            ..an_hour(1_000)
        })
        .await?;
        let client = client(&simulator)?;
        assert!(client.list(now()).await.is_complete());
        let report = client.budget_report(now(), Spent::default());
        assert_eq!(
            (report.limit, report.remaining, report.is_assumed),
            (1_000, 999, false)
        );
        let left = report.resets_at.ok_or("its end is known")? - now();
        assert!(
            left > TimeDelta::minutes(59) && left <= TimeDelta::minutes(61),
            "{left}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn each_call_is_counted_for_what_it_is_for() -> TestResult {
    let simulator = start(an_hour(10_000)).await?;
    let client = client(&simulator)?;
    client.list(now()).await;
    client.variables().await?;
    let before = client.spent();
    let id = client.create_service("convos-agent-abcdefghijkl").await?;
    let volume = client.create_volume(&id, "/data").await?;
    client.create_domain(&id).await?;
    client.delete_volume(&volume).await?;
    client.delete_service(&id).await?;
    let spent = Spent {
        listing: 1,
        adoption: 1,
        creating: 3,
        destroying: 2,
        other: 0,
    };
    assert_eq!(client.spent(), spent);
    let report = client.budget_report(now(), before);
    assert_eq!(report.spent, spent);
    assert_eq!(
        (report.spent_by_tick.listing, report.spent_by_tick.total()),
        (0, 5)
    );
    assert_eq!(report.remaining, 9_993);
    Ok(())
}

/// Makes services as fast as it may, and then deletes them and lists.
#[tokio::test]
async fn creating_never_starves_listing_and_destroying() -> TestResult {
    let simulator = start(an_hour(100)).await?;
    let client = client(&simulator)?;
    client.list(now()).await;
    let mut made = Vec::new();
    let refused = loop {
        match client
            .create_service(&format!("service-{}", made.len()))
            .await
        {
            Ok(id) => made.push(id),
            Err(error) => break error,
        }
    };
    assert!(
        matches!(refused.class(), ErrorClass::RateLimited { .. }),
        "{refused}"
    );
    assert_eq!(refused.status, None, "it was not even sent");
    assert_eq!(client.creates_left(), 0);
    assert!((36..=37).contains(&made.len()), "{}", made.len());
    for id in &made {
        client.delete_service(id).await?;
    }
    assert!(client.list(now()).await.is_complete());
    Ok(())
}

#[tokio::test]
async fn on_a_small_plan_listings_become_rare_before_destroying_suffers_and_it_says_why()
-> TestResult {
    let simulator = start(an_hour(100)).await?;
    let client = client(&simulator)?;
    for listed in 1..=80 {
        assert!(
            client.list(now()).await.is_complete(),
            "a person who asks is answered"
        );
        let why = client.listing_not_due().ok_or("they are spread")?;
        let every = if listed < 80 {
            "every 90 s"
        } else {
            "every 300 s"
        };
        assert!(why.contains(every), "{listed}: {why}");
    }
    assert!(!client.list(now()).await.is_complete());
    let why = client.listing_not_due().ok_or("the rest is kept")?;
    assert!(why.contains("Railway allows 100 requests an hour"), "{why}");
    let report = client.budget_report(now(), Spent::default());
    assert_eq!((report.listing_every_ms, report.remaining), (300_000, 20));
    let slower = report.listing_is_slower_because.ok_or("it says why")?;
    assert!(why.contains(&slower), "{why}");
    Ok(())
}

#[tokio::test]
async fn a_limit_a_second_is_sat_out_and_the_call_repeated() -> TestResult {
    for body in [LimitBody::Text, LimitBody::Html, LimitBody::Json] {
        let simulator = start(an_hour(10_000)).await?;
        let client = client(&simulator)?;
        let limited = Fault::RateLimited {
            retry_after_s: 1,
            body,
        };
        simulator.inject(FaultRule::once(limited.clone()))?;
        let began = tokio::time::Instant::now();
        assert!(client.list(now()).await.is_complete(), "{body:?}");
        assert!(began.elapsed() >= Duration::from_secs(1));

        simulator.inject(FaultRule::once(limited))?;
        let made = client.create_service("a").await;
        // What GraphQL itself refused is not repeated, only what never reached it.
        assert_eq!(made.is_ok(), body != LimitBody::Json, "{made:?}");
    }
    Ok(())
}

#[tokio::test]
async fn retry_after_is_kept_also_by_a_process_that_starts_anew() -> TestResult {
    let simulator = start(an_hour(10_000)).await?;
    let first = client(&simulator)?;
    simulator.inject(FaultRule::once(Fault::RateLimited {
        retry_after_s: 600,
        body: LimitBody::Text,
    }))?;
    assert!(!first.list(now()).await.is_complete());
    let asked = simulator.request_counts().total;

    let next = client(&simulator)?;
    next.load(&first.heard(now()).ok_or("heard")?, now());
    let listing = next.list(now()).await;
    assert!(
        reason(&listing).contains("Railway told us to wait"),
        "{listing:?}"
    );
    assert_eq!(simulator.request_counts().total, asked);
    let block = next
        .budget_report(now(), Spent::default())
        .block
        .ok_or("blocked")?;
    assert_eq!(block.by, Blocker::Railway);
    let left = block.until - now();
    assert!(
        left > TimeDelta::seconds(590) && left <= TimeDelta::seconds(600),
        "{left}"
    );
    Ok(())
}

#[tokio::test]
async fn the_edges_block_is_left_alone_longer_each_time_also_by_a_process_that_starts_anew()
-> TestResult {
    let simulator = start(an_hour(10_000)).await?;
    simulator.inject(FaultRule::always(Fault::EdgeBlock))?;
    let mut stored = None;
    let mut time = now();
    for minutes in [5, 10, 20, 40, 60, 60] {
        // Each time another process, after the block that the one before it ran into.
        let client = client(&simulator)?;
        if let Some(stored) = &stored {
            client.load(stored, time - TimeDelta::seconds(10));
            let asked = simulator.request_counts().total;
            assert!(!client.list(time).await.is_complete());
            assert_eq!(
                simulator.request_counts().total,
                asked,
                "still in the block"
            );
        }
        let client = self::client(&simulator)?;
        if let Some(stored) = &stored {
            client.load(stored, time);
        }
        let asked = simulator.request_counts().total;
        for _ in 0..3 {
            assert!(reason(&client.list(time).await).contains("edge"));
            assert!(client.delete_service(&ServiceId::new("s")).await.is_err());
        }
        assert_eq!(simulator.request_counts().total, asked + 1);
        let block = client
            .budget_report(time, Spent::default())
            .block
            .ok_or("blocked")?;
        assert_eq!(block.by, Blocker::Edge);
        let length = block.until - time;
        assert_eq!((length.num_seconds() + 5) / 60, minutes);
        stored = client.heard(time);
        time = block.until + TimeDelta::seconds(1);
    }
    simulator.clear_faults();
    let client = self::client(&simulator)?;
    client.load(&stored.ok_or("blocked")?, time);
    assert!(client.list(time).await.is_complete());
    let heard = client.heard(time).ok_or("it answered")?;
    assert_eq!((heard.block, heard.edge_blocks), (None, 0));
    Ok(())
}

#[tokio::test]
async fn a_process_that_starts_anew_knows_what_is_left_of_this_hour() -> TestResult {
    let simulator = start(an_hour(100)).await?;
    simulator.seed_services(&SeedServices::default())?;
    let first = client(&simulator)?;
    first.list(now()).await;
    while first
        .create_service(&now().timestamp_micros().to_string())
        .await
        .is_ok()
    {}
    let left = first.budget_report(now(), Spent::default()).remaining;

    let next = client(&simulator)?;
    next.load(&first.heard(now()).ok_or("heard")?, now());
    assert_eq!(next.creates_left(), 0);
    let refused = next
        .create_service("one-more")
        .await
        .err()
        .ok_or("held back")?;
    assert_eq!(refused.status, None);
    let report = next.budget_report(now(), Spent::default());
    assert_eq!(
        (report.limit, report.remaining, report.is_assumed),
        (100, left, false)
    );
    Ok(())
}

/// Without headers nobody knows the plan, and an assumption may be wrong.
#[tokio::test]
async fn without_headers_only_creating_is_held_back() -> TestResult {
    let simulator = start(RateLimits::none()).await?;
    let client = client(&simulator)?;
    for _ in 0..110 {
        assert!(client.list(now()).await.is_complete());
    }
    assert_eq!(client.listing_not_due(), None);
    let refused = client.create_service("a").await.err().ok_or("held back")?;
    assert!(refused.message.contains("assumed"), "{refused}");
    let report = client.budget_report(now(), Spent::default());
    assert_eq!(
        (report.is_assumed, report.limit, report.remaining),
        (true, 100, 0)
    );
    assert_eq!(report.spent.listing, 110);
    Ok(())
}

async fn answering(status: u16, body: &str) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(status).set_body_raw(body, "text/html"))
        .mount(&server)
        .await;
    server
}

async fn requests(server: &MockServer) -> usize {
    server.received_requests().await.unwrap_or_default().len()
}

#[tokio::test]
async fn after_a_gateways_page_deletes_are_repeated_and_creates_are_not() -> TestResult {
    let server = answering(502, "<title>Bad gateway</title>").await;
    let client = client_of(server.uri(), "token".to_owned(), None)?;
    let id = ServiceId::new("s1");
    let patch = ServicePatch {
        service_id: id.clone(),
        image: "i".to_owned(),
        start_command: "c".to_owned(),
        vcpus: 1.0,
        memory_bytes: 1,
        variables: Vec::new(),
    };
    let mut sent = Vec::new();
    for call in 0..6 {
        let before = requests(&server).await;
        let failed = match call {
            0 => client.create_service("x").await.is_err(),
            1 => client.create_volume(&id, "/data").await.is_err(),
            2 => client.create_domain(&id).await.is_err(),
            3 => client.commit(std::slice::from_ref(&patch)).await.is_err(),
            4 => client.delete_service(&id).await.is_err(),
            _ => client.delete_volume(&VolumeId::new("v1")).await.is_err(),
        };
        assert!(failed);
        sent.push(requests(&server).await - before);
    }
    assert_eq!(sent, [1, 1, 1, 1, 3, 3]);
    Ok(())
}

#[tokio::test]
async fn a_policy_that_nobody_understands_does_no_harm() -> TestResult {
    let server = MockServer::start().await;
    let answer = json!({"data": {"serviceCreate": {"id": "s1"}}});
    let policy: &[u8] = b"\xff{not: [a policy]};w=1;q=\"x\",,;;=";
    let answer = ResponseTemplate::new(200)
        .set_body_json(answer)
        .insert_header(
            "RateLimit-Policy",
            reqwest::header::HeaderValue::from_bytes(policy)?,
        )
        .insert_header("X-RateLimit-Limit", "1000")
        .insert_header("X-RateLimit-Remaining", "many")
        .insert_header("X-RateLimit-Reset", "tomorrow");
    Mock::given(method("POST"))
        .respond_with(answer)
        .mount(&server)
        .await;
    let client = client_of(server.uri(), "token".to_owned(), None)?;
    for _ in 0..3 {
        client.create_service("x").await?;
    }
    let report = client.budget_report(now(), Spent::default());
    assert!(report.is_assumed);
    Ok(())
}
