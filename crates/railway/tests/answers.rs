//! The client against a server that answers whatever a bad day brings.

use std::error::Error as StdError;
use std::num::NonZeroU32;
use std::time::Duration;

use chrono::{DateTime, Utc};
use pool_domain::{
    Completeness, EnvironmentId, Listing, ProjectId, Redactor, Secret, ServiceId, Spent,
};
use pool_railway::{
    EnvironmentClient, EnvironmentRef, Error, ErrorClass, Limits, Railway, ServicePatch, Settings,
    Token,
};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use wiremock::matchers::{body_partial_json, header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

type TestResult = Result<(), Box<dyn StdError>>;

const TOKEN: &str = "the-railway-token";
/// What is in the variables of every agent, and in no listing's request.
const ANOTHER_KEY: &str = "the-pools-key";
const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

fn limits() -> Limits {
    let many = NonZeroU32::MIN.saturating_add(10_000);
    Limits {
        requests_per_second: many,
        burst_requests: many,
        read_timeout: Duration::from_millis(500),
        write_timeout: Duration::from_millis(500),
        first_retry_pause: Duration::from_millis(1),
        ..Limits::default()
    }
}

fn railway(url: &str, token: Token) -> Result<Railway, Error> {
    let settings = Settings {
        api_url: format!("{url}/graphql/v2"),
        token,
        project_id: ProjectId::new("p1"),
        redactor: Redactor::new([Secret::new(ANOTHER_KEY)]),
    };
    Railway::with_limits(settings, limits())
}

fn client(url: &str) -> Result<EnvironmentClient, Error> {
    let railway = railway(url, Token::Account(Secret::new(TOKEN)))?;
    Ok(railway.in_environment(EnvironmentId::new("e1")))
}

async fn answering(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/graphql/v2"))
        .and(query_param("source", "convos-agent-pool"))
        .respond_with(answer)
        .mount(&server)
        .await;
    server
}

fn ok(body: &Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

fn failed(message: &str) -> ResponseTemplate {
    let extensions = json!({"code": "INTERNAL_SERVER_ERROR"});
    let error = json!({"message": message, "extensions": extensions, "traceId": "t-1"});
    ok(&json!({"data": null, "errors": [error]}))
}

fn text(status: u16, kind: &str, body: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_raw(body, kind)
}

async fn requests(server: &MockServer) -> usize {
    server.received_requests().await.unwrap_or_default().len()
}

async fn body_of(server: &MockServer, nth: usize) -> Result<Value, Box<dyn StdError>> {
    let all = server.received_requests().await.unwrap_or_default();
    Ok(all[nth].body_json()?)
}

fn service(id: &str) -> Value {
    json!({
        "serviceId": id,
        "serviceName": format!("convos-agent-{id}"),
        "createdAt": "2026-09-21T14:13:20.000Z",
        "deletedAt": null,
        "source": {"image": "ghcr.io/x/y:latest"},
        "domains": {"serviceDomains": [{"domain": format!("{id}.up")}]},
        "latestDeployment": {"id": "d1", "status": "SUCCESS", "deploymentStopped": false},
        "activeDeployments": [{"id": "d1"}],
    })
}

fn connection(nodes: &[Value], next: Option<&str>) -> Value {
    let edges: Vec<_> = nodes.iter().map(|node| json!({ "node": node })).collect();
    json!({
        "edges": edges,
        "pageInfo": {"hasNextPage": next.is_some(), "endCursor": next},
    })
}

fn page(services: &Value, volumes: &Value) -> Value {
    json!({"environment": {"serviceInstances": services, "volumeInstances": volumes}})
}

fn is_incomplete(listing: &Listing, reason: &str) -> bool {
    matches!(&listing.completeness, Completeness::Incomplete(said) if said.contains(reason))
}

#[tokio::test]
async fn both_kinds_of_token_go_into_their_own_header() -> TestResult {
    for (token, name, value) in [
        (
            Token::Account(Secret::new(TOKEN)),
            "authorization",
            format!("Bearer {TOKEN}"),
        ),
        (
            Token::Project(Secret::new(TOKEN)),
            "project-access-token",
            TOKEN.to_owned(),
        ),
    ] {
        let server = MockServer::start().await;
        Mock::given(method("POST"))
            .and(header(name, value.as_str()))
            .respond_with(ok(&json!({"data": {"serviceCreate": {"id": "s1"}}})))
            .mount(&server)
            .await;
        let railway = railway(&server.uri(), token)?;
        assert!(!format!("{railway:?}").contains(TOKEN));
        let client = railway.in_environment(EnvironmentId::new("e1"));
        assert_eq!(client.create_service("x").await?, ServiceId::new("s1"));
        let all = server.received_requests().await.unwrap_or_default();
        let both = ["authorization", "project-access-token"];
        let shown = both.iter().filter(|n| all[0].headers.contains_key(**n));
        assert_eq!(shown.count(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn the_inputs_of_creates_hold_what_is_meant_and_no_null() -> TestResult {
    let data = json!({
        "serviceCreate": {"id": "s1"},
        "volumeCreate": {"id": "v1"},
        "serviceDomainCreate": {"domain": "s1.up"},
    });
    let server = answering(ok(&json!({ "data": data }))).await;
    let client = client(&server.uri())?;
    let id = client.create_service("convos-agent-x").await?;
    client.create_volume(&id, "/data").await?;
    assert_eq!(client.create_domain(&id).await?, "s1.up");
    let inputs = [
        json!({"environmentId": "e1", "name": "convos-agent-x", "projectId": "p1"}),
        json!({"environmentId": "e1", "mountPath": "/data", "projectId": "p1", "serviceId": "s1"}),
        json!({"environmentId": "e1", "serviceId": "s1"}),
    ];
    for (nth, input) in inputs.into_iter().enumerate() {
        assert_eq!(
            body_of(&server, nth).await?["variables"],
            json!({ "input": input })
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_listing_holds_what_every_page_holds() -> TestResult {
    let server = MockServer::start().await;
    let volume = |id: &str| json!({"volumeId": id, "serviceId": null, "isPendingDeletion": true});
    let pages = [
        (
            json!({"servicesFirst": 500, "volumesFirst": 500}),
            page(
                &connection(&[service("a"), service("b")], Some("c1")),
                &connection(&[volume("v1")], None),
            ),
        ),
        (
            json!({"servicesFirst": 500, "servicesAfter": "c1", "volumesFirst": 0}),
            // A connection that was asked for nothing may say anything of its pages; and a row that
            // moved comes twice.
            page(
                &connection(&[service("b"), service("c")], None),
                &connection(&[], Some("zero")),
            ),
        ),
    ];
    for (asked, answer) in &pages {
        Mock::given(body_partial_json(json!({ "variables": asked })))
            .respond_with(ok(&json!({ "data": answer })))
            .mount(&server)
            .await;
    }
    let listing = client(&server.uri())?.list(NOW).await;
    assert_eq!(listing.completeness, Completeness::Complete);
    assert_eq!((listing.requests, listing.started_at), (2, NOW));
    let ids: Vec<_> = listing
        .services
        .iter()
        .map(|s| s.service_id.as_str())
        .collect();
    assert_eq!(ids, ["a", "b", "c"]);
    assert_eq!(listing.services[0].host.as_deref(), Some("a.up"));
    assert!(listing.services[0].has_active_deployment);
    assert!(listing.volumes[0].pending_deletion);
    let first = body_of(&server, 0).await?;
    assert_eq!(
        first["variables"].as_object().map(serde_json::Map::len),
        Some(4)
    );
    Ok(())
}

#[tokio::test]
async fn a_service_is_read_whatever_it_lacks() -> TestResult {
    let mut bare = service("a");
    bare["source"] = json!(null);
    bare["latestDeployment"] = json!(null);
    bare["activeDeployments"] = json!([]);
    bare["domains"]["serviceDomains"] = json!([]);
    let mut odd = service("b");
    odd["latestDeployment"]["status"] = json!("HIBERNATING");
    odd["domains"] = json!({
        "customDomains": [{"domain": "mine.example"}],
        "serviceDomains": [{"domain": ""}, {"domain": "b.up"}, {"domain": "c.up"}],
    });
    let mut deleted = service("c");
    deleted["deletedAt"] = json!("2026-09-21T14:13:20Z");
    let services = connection(&[bare, odd, deleted], None);
    let data = page(&services, &connection(&[], None));
    let server = answering(ok(&json!({ "data": data }))).await;
    let listing = client(&server.uri())?.list(NOW).await;
    assert!(listing.is_complete());
    let [bare, odd] = listing.services.as_slice() else {
        return Err(format!("{:?}", listing.services).into());
    };
    assert_eq!(
        (&bare.image, &bare.host, &bare.deployment),
        (&None, &None, &None)
    );
    let status = odd
        .deploy_status()
        .map(pool_domain::DeploymentStatus::as_str);
    assert_eq!(status, Some("HIBERNATING"));
    assert_eq!(odd.host.as_deref(), Some("b.up"));
    Ok(())
}

#[tokio::test]
async fn a_row_with_an_error_in_it_is_left_out_of_an_incomplete_listing() -> TestResult {
    let mut torn = service("b");
    torn["source"] = json!(null);
    let data = page(
        &connection(&[service("a"), torn], None),
        &connection(&[], None),
    );
    let at = json!([
        "environment",
        "serviceInstances",
        "edges",
        1,
        "node",
        "source"
    ]);
    let error = json!({"message": "Problem processing request", "path": at});
    let answer = json!({"data": data, "errors": [error]});
    let server = answering(ok(&answer)).await;
    let listing = client(&server.uri())?.list(NOW).await;
    assert!(is_incomplete(&listing, "Problem processing request"));
    let ids: Vec<_> = listing
        .services
        .iter()
        .map(|s| s.service_id.as_str())
        .collect();
    assert_eq!(ids, ["a"]);

    let answer = json!({"data": data, "errors": [{"message": "Somewhere"}]});
    let server = answering(ok(&answer)).await;
    let listing = client(&server.uri())?.list(NOW).await;
    assert!(is_incomplete(&listing, "Somewhere"));
    assert!(listing.services.is_empty());
    Ok(())
}

#[tokio::test]
async fn whatever_a_page_lacks_the_listing_says_that_it_is_incomplete() -> TestResult {
    let endless = page(
        &connection(&[service("a")], Some("again")),
        &connection(&[], None),
    );
    let mut lost = endless.clone();
    lost["environment"]["serviceInstances"]["pageInfo"]["endCursor"] = json!(null);
    for (answer, reason, sent) in [
        (ok(&json!({ "data": endless })), "leads back to itself", 2),
        (ok(&json!({ "data": lost })), "but not where", 1),
        (failed("Not Authorized"), "Not Authorized", 1),
        (
            failed("Problem processing request"),
            "Problem processing",
            3,
        ),
        (ok(&json!({"data": null})), "neither data nor errors", 1),
        (ok(&json!({})), "neither data nor errors", 1),
        (
            ok(&json!({"data": {"environment": null}})),
            "line 1 column",
            1,
        ),
        (
            text(200, "application/json", "{\"data\": {\"env"),
            "line 1",
            1,
        ),
        (
            text(200, "text/html", "<title>Oops</title>"),
            "titled \"Oops\"",
            1,
        ),
        (
            text(502, "text/html", "<title>Bad</title>"),
            "titled \"Bad\"",
            3,
        ),
        (text(500, "text/plain", "upstream"), "upstream", 3),
        (
            ok(&json!({})).set_delay(Duration::from_secs(5)),
            "in time",
            3,
        ),
        (text(301, "text/plain", "moved"), "HTTP 301", 1),
    ] {
        let server = answering(answer).await;
        let listing = client(&server.uri())?.list(NOW).await;
        assert!(is_incomplete(&listing, reason), "{reason}: {listing:?}");
        assert_eq!(
            (requests(&server).await, listing.requests),
            (sent, u32::try_from(sent)?)
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_null_where_none_may_be_is_told_in_railways_words() -> TestResult {
    let error = json!({"message": "Problem processing request", "traceId": 5_527_782_u64});
    let data = json!({"serviceCreate": null});
    let server = answering(ok(&json!({"data": data, "errors": [error, error]}))).await;
    let outcome = client(&server.uri())?.create_service("x").await;
    let error = outcome.err().ok_or("it failed")?;
    assert_eq!(error.class(), ErrorClass::Transient);
    assert_eq!(
        error.message,
        "Problem processing request (and 1 more errors)"
    );
    assert_eq!(error.trace_id.as_deref(), Some("5527782"));
    Ok(())
}

#[tokio::test]
async fn every_refusal_of_a_create_has_its_class_and_is_sent_once() -> TestResult {
    use ErrorClass as C;
    let taken = "A service named \"x\" already exists in this project";
    let throttled = "Whoa there pal! You are creating volumes too quickly. Try again in a sec";
    let full = "Free plan resource provision limit exceeded. Please upgrade";
    let validation =
        json!({"message": "Unknown argument", "extensions": {"code": "BAD_USER_INPUT"}});
    for (answer, class, may_have_happened) in [
        (failed(taken), C::NameTaken, false),
        (failed(throttled), C::CreationThrottled, false),
        (failed(full), C::ResourceLimit, false),
        (failed("Not Authorized"), C::NotAuthorized, false),
        (failed("ServiceInstance not found"), C::TooEarly, false),
        (failed("Project not found"), C::NotFound, false),
        (failed("Never heard of"), C::Unknown, false),
        (failed("Problem processing request"), C::Transient, true),
        (
            ResponseTemplate::new(400).set_body_json(json!({"errors": [validation]})),
            C::BadRequest,
            false,
        ),
        (text(400, "text/plain", "no"), C::BadRequest, false),
        (text(401, "text/plain", "no"), C::NotAuthorized, false),
        (text(413, "text/html", "<html>"), C::BadRequest, false),
        (text(500, "text/plain", "no"), C::Transient, true),
        (
            text(504, "text/html", "<title>Gateway</title>"),
            C::Transient,
            true,
        ),
        (
            text(200, "text/html", "<title>Login</title>"),
            C::Undecodable,
            true,
        ),
        (
            text(200, "application/json", "{\"data\":"),
            C::Undecodable,
            true,
        ),
        (
            text(200, "application/json", &" ".repeat(1024 * 1024 + 1)),
            C::Undecodable,
            true,
        ),
        (
            ok(&json!({})).set_delay(Duration::from_secs(5)),
            C::Timeout,
            true,
        ),
    ] {
        let server = answering(answer).await;
        let error = client(&server.uri())?.create_service("x").await.err();
        let error = error.ok_or("it was refused")?;
        assert_eq!(error.class(), class, "{error}");
        assert_eq!(error.may_have_happened(), may_have_happened, "{error}");
        assert!(!error.is_retryable_write());
        assert_eq!(requests(&server).await, 1, "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn a_create_is_repeated_only_while_no_connection_was_made() -> TestResult {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    drop(listener);
    let nobody = client(&url)?;
    let error = nobody
        .create_service("x")
        .await
        .err()
        .ok_or("nobody is there")?;
    assert_eq!(
        (error.class(), error.may_have_happened()),
        (ErrorClass::Network, false)
    );
    assert_eq!(nobody.requests_sent(), 3);

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _read = stream.read(&mut [0; 1024]).await;
        }
    });
    let hangs_up = client(&url)?;
    let error = hangs_up
        .create_service("x")
        .await
        .err()
        .ok_or("it hung up")?;
    assert_eq!(
        (error.class(), error.may_have_happened()),
        (ErrorClass::Network, true)
    );
    assert_eq!(hangs_up.requests_sent(), 1);
    Ok(())
}

#[tokio::test]
async fn a_delete_that_answers_false_is_an_error() -> TestResult {
    let server = answering(ok(&json!({"data": {"serviceDelete": false}}))).await;
    let outcome = client(&server.uri())?
        .delete_service(&ServiceId::new("s1"))
        .await;
    assert!(outcome.is_err_and(|error| error.may_have_happened()));
    let sent = &body_of(&server, 0).await?["variables"];
    assert_eq!(*sent, json!({"id": "s1", "environmentId": "e1"}));
    Ok(())
}

#[tokio::test]
async fn after_a_429_nothing_is_sent_until_it_may() -> TestResult {
    let answer = json!({"data": null, "errors": [{"message": "slow down"}]});
    let limited = ResponseTemplate::new(429)
        .set_body_json(answer)
        .insert_header("retry-after", "31")
        .insert_header("x-ratelimit-limit", "1000")
        .insert_header("x-ratelimit-remaining", "0")
        .insert_header("x-ratelimit-reset", "31");
    let server = answering(limited).await;
    let client = client(&server.uri())?;
    let retry_after = Some(Duration::from_secs(31));
    let error = client.create_service("x").await.err().ok_or("429")?;
    assert_eq!(error.class(), ErrorClass::RateLimited { retry_after });
    assert_eq!(error.status, Some(429));
    assert!(!error.may_have_happened());
    let listing = client.list(NOW).await;
    assert!(is_incomplete(&listing, "not sent"), "{listing:?}");
    assert_eq!((requests(&server).await, listing.requests), (1, 0));
    let budget = client.budget_report(NOW, Spent::default());
    assert_eq!((budget.limit, budget.remaining), (1_000, 0));
    Ok(())
}

#[tokio::test]
async fn the_edges_block_is_told_from_railways_own_limit() -> TestResult {
    let page = "<html><title>Access denied | backboard.railway.com used Cloudflare</title>";
    for (answer, class) in [
        (
            text(429, "text/plain", "error code: 1015"),
            ErrorClass::EdgeBlocked,
        ),
        (text(429, "text/html", page), ErrorClass::EdgeBlocked),
        (text(403, "text/html", page), ErrorClass::EdgeBlocked),
        (
            text(429, "text/plain", "Too many requests"),
            ErrorClass::RateLimited {
                retry_after: Some(Duration::from_mins(1)),
            },
        ),
        (
            text(429, "text/html", "<title>Limit</title>")
                .insert_header("x-ratelimit-remaining", "0"),
            ErrorClass::RateLimited {
                retry_after: Some(Duration::from_mins(1)),
            },
        ),
    ] {
        let server = answering(answer).await;
        let client = client(&server.uri())?;
        let error = client.create_service("x").await.err().ok_or("blocked")?;
        assert_eq!(error.class(), class);
        assert!(!error.message.contains('<'), "{error}");
        let again = client.create_service("x").await.err().ok_or("blocked")?;
        assert_eq!(again.status, None);
        assert_eq!(requests(&server).await, 1);
    }
    Ok(())
}

#[tokio::test]
async fn no_secret_comes_back_in_an_error() -> TestResult {
    let said = format!("Variable got invalid value {{sekrit-variable}} for {TOKEN}");
    let answer = ResponseTemplate::new(400).set_body_json(json!({"errors": [{"message": said}]}));
    let server = answering(answer).await;
    let patch = ServicePatch {
        service_id: ServiceId::new("s1"),
        image: "i".to_owned(),
        start_command: "c".to_owned(),
        vcpus: 4.0,
        memory_bytes: 1,
        variables: vec![("A".to_owned(), Secret::new("sekrit-variable"))],
    };
    assert!(!format!("{patch:?}").contains("sekrit"));
    let client = client(&server.uri())?;
    client.commit(&[]).await?;
    let error = client.commit(&[patch]).await.err().ok_or("refused")?;
    assert_eq!(
        error.message,
        "Variable got invalid value {[REDACTED]} for [REDACTED]"
    );
    let sent = body_of(&server, 0).await?;
    let patched = &sent["variables"]["patch"]["services"]["s1"];
    assert_eq!(patched["variables"]["A"]["value"], "sekrit-variable");
    assert_eq!(requests(&server).await, 1);
    Ok(())
}

#[tokio::test]
async fn a_secret_that_the_call_did_not_send_does_not_come_back_either() -> TestResult {
    let said = format!("{ANOTHER_KEY} is not {TOKEN}");
    let item = json!({"message": said, "traceId": ANOTHER_KEY});
    let page = format!("<title>{ANOTHER_KEY}</title>");
    for (answer, left) in [
        (
            ok(&json!({"errors": [item]})),
            "[REDACTED] is not [REDACTED]",
        ),
        (
            ok(&json!({"data": {"environment": null}, "errors": [item]})),
            "[REDACTED] is not [REDACTED]",
        ),
        (
            ResponseTemplate::new(403).set_body_string(page),
            "a page titled \"[REDACTED]\"",
        ),
    ] {
        let server = answering(answer).await;
        let client = client(&server.uri())?;
        let error = client.variables().await.err().ok_or("refused")?;
        assert_eq!(error.message, left);
        assert!(
            !format!("{error}{error:?}").contains(ANOTHER_KEY),
            "{error:?}"
        );
        let Completeness::Incomplete(why) = client.list(DateTime::UNIX_EPOCH).await.completeness
        else {
            return Err("the listing is complete".into());
        };
        assert!(why.contains(left), "{why}");
    }
    Ok(())
}

#[tokio::test]
async fn an_environment_that_is_named_like_a_secret_is_not_told() -> TestResult {
    let node = json!({"id": "e1", "name": ANOTHER_KEY, "deletedAt": null});
    let page_info = json!({"hasNextPage": false, "endCursor": null});
    let page = json!({"edges": [{"node": node}], "pageInfo": page_info});
    let server = answering(ok(&json!({"data": {"environments": page}}))).await;
    let railway = railway(&server.uri(), Token::Account(Secret::new(TOKEN)))?;
    let wanted = EnvironmentRef::Name("production".to_owned());
    let error = railway.resolve_environment(&wanted).await.err();
    let message = error.ok_or("it is found")?.message;
    assert_eq!(
        message,
        "no environment has the name production; there are [REDACTED] (e1)"
    );
    Ok(())
}

#[tokio::test]
async fn what_the_decoder_says_of_variables_is_not_repeated() -> TestResult {
    let config = json!({"services": {"s1": {"variables": {"A": {"value": "sekrit"}}}}});
    let server = answering(ok(&json!({"data": {"environment": {"config": config}}}))).await;
    let variables = client(&server.uri())?.variables().await?;
    assert_eq!(variables[&ServiceId::new("s1")]["A"].expose(), "sekrit");

    let server = answering(ok(&json!({"data": {"environment": "sekrit"}}))).await;
    let error = client(&server.uri())?.variables().await.err();
    let error = error.ok_or("it cannot be decoded")?;
    assert_eq!(error.class(), ErrorClass::Undecodable);
    assert!(!error.to_string().contains("sekrit"), "{error}");
    Ok(())
}

#[tokio::test]
async fn an_environment_is_found_by_id_or_by_name_in_any_case() -> TestResult {
    let node = |id: &str, name: &str, deleted: Value| json!({"id": id, "name": name, "deletedAt": deleted});
    let nodes = [
        node("e1", "production", json!(null)),
        node("e2", "Dev", json!(null)),
        node("e3", "dev", json!(null)),
        node("e4", "staging", json!("2026-09-21T14:13:20Z")),
        node("e5", "QA", json!(null)),
        node("e6", "qa", json!(null)),
    ];
    let data = json!({"environments": connection(&nodes, None)});
    let server = answering(ok(&json!({ "data": data }))).await;
    let railway = railway(&server.uri(), Token::Account(Secret::new(TOKEN)))?;
    let find = |wanted: EnvironmentRef| {
        let railway = railway.clone();
        async move { railway.resolve_environment(&wanted).await }
    };
    let name = |name: &str| EnvironmentRef::Name(name.to_owned());
    let found = find(EnvironmentRef::Id(EnvironmentId::new("e2"))).await?;
    assert_eq!(found.name, "Dev");
    assert_eq!(find(name("PRODUCTION")).await?.id, EnvironmentId::new("e1"));
    assert_eq!(find(name("dev")).await?.id, EnvironmentId::new("e3"));

    let error = find(name("staging")).await.err().ok_or("deleted")?;
    assert_eq!(error.class(), ErrorClass::NotFound);
    let known =
        "no environment has the name staging; there are production (e1), Dev (e2), dev (e3)";
    assert!(error.message.starts_with(known), "{error}");
    let error = find(name("Qa")).await.err().ok_or("ambiguous")?;
    assert_eq!(error.message, "2 environments have the name Qa: e5, e6");
    Ok(())
}

#[tokio::test]
async fn a_project_token_knows_its_one_environment() -> TestResult {
    let environment = json!({"id": "e1", "name": "Production"});
    let token = json!({"projectId": "p1", "environmentId": "e1"});
    let data = json!({"projectToken": token, "environment": environment});
    let server = answering(ok(&json!({ "data": data }))).await;
    let railway = railway(&server.uri(), Token::Project(Secret::new(TOKEN)))?;
    let wanted = EnvironmentRef::Name("production".to_owned());
    let found = railway.resolve_environment(&wanted).await?;
    assert_eq!(found.id, EnvironmentId::new("e1"));
    let wanted = EnvironmentRef::Id(EnvironmentId::new("e2"));
    let error = railway.resolve_environment(&wanted).await.err();
    let message = error.ok_or("another environment")?.message;
    assert_eq!(
        message,
        "no environment has the id e2; there are Production (e1)"
    );
    Ok(())
}

#[tokio::test]
async fn a_project_token_of_another_project_is_refused() -> TestResult {
    let token = json!({"projectId": "p2", "environmentId": "e1"});
    let server = answering(ok(&json!({"data": {"projectToken": token}}))).await;
    let railway = railway(&server.uri(), Token::Project(Secret::new(TOKEN)))?;
    let wanted = EnvironmentRef::Id(EnvironmentId::new("e1"));
    let error = railway.resolve_environment(&wanted).await.err();
    let message = error.ok_or("another project")?.message;
    assert_eq!(message, "the project token is for project p2, not for p1");
    Ok(())
}

#[test]
fn a_bad_setting_is_told_in_a_sentence() {
    let token = || Token::Account(Secret::new(TOKEN));
    for (url, token, sentence) in [
        (
            "backboard",
            token(),
            "the API's URL is none: relative URL without a base",
        ),
        (
            "ftp://b",
            token(),
            "the API's URL must begin with http:// or https://",
        ),
        (
            "https://b",
            Token::Project(Secret::new("line\nbreak")),
            "the token holds characters that a header cannot hold",
        ),
    ] {
        let outcome = Railway::new(Settings {
            api_url: url.to_owned(),
            token,
            project_id: ProjectId::new("p1"),
            redactor: Redactor::default(),
        });
        assert_eq!(outcome.err().map(|e| e.message), Some(sentence.to_owned()));
    }
}
