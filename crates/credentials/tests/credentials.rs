//! Both accounts against a server that records what it was asked.

use std::error::Error as StdError;

use pool_credentials::{
    AgentMailSettings, Credentials, Deleted, Error, ErrorClass, MadeKey, OpenRouterSettings,
    Settings,
};
use pool_domain::{InboxId, KeyHash, Redactor, Secret};
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use wiremock::matchers::{body_json, header, method, path, query_param, query_param_is_missing};
use wiremock::{Mock, MockServer, ResponseTemplate};

type TestResult = Result<(), Box<dyn StdError>>;

const KEY: &str = "the-accounts-own-key";
/// What the account need not know.
const ANOTHER_KEY: &str = "the-pools-key";
const NAME: &str = "convos-agent-abcdefghijkl";

fn credentials(url: &str, domain: Option<&str>) -> Result<Credentials, Error> {
    Credentials::new(Settings {
        openrouter: Some(OpenRouterSettings {
            management_key: Secret::new(KEY),
            api_url: url.to_owned(),
            key_limit: 20.0,
            limit_reset: Some("monthly".to_owned()),
        }),
        agentmail: Some(AgentMailSettings {
            api_key: Secret::new(KEY),
            api_url: format!("{url}/"),
            domain: domain.map(str::to_owned),
        }),
        redactor: Redactor::new([Secret::new(ANOTHER_KEY)]),
    })
}

async fn server(mocks: Vec<(&str, &str, ResponseTemplate)>) -> MockServer {
    let server = MockServer::start().await;
    for (verb, route, answer) in mocks {
        Mock::given(method(verb))
            .and(path(route))
            .and(header("authorization", format!("Bearer {KEY}").as_str()))
            .respond_with(answer)
            .mount(&server)
            .await;
    }
    server
}

fn class(outcome: Result<impl Sized, Error>) -> Option<(ErrorClass, bool)> {
    let error = outcome.err()?;
    assert!(!format!("{error}{error:?}").contains(KEY));
    Some((error.class, error.may_have_happened()))
}

#[tokio::test]
async fn a_key_is_made_with_its_limit() -> TestResult {
    let server = MockServer::start().await;
    let asked = json!({"name": NAME, "limit": 20.0, "limit_reset": "monthly"});
    let answer = json!({"key": "sk-or-1", "data": {"hash": "h1", "name": NAME, "limit": 20}});
    Mock::given(method("POST"))
        .and(path("/api/v1/keys"))
        .and(header("authorization", format!("Bearer {KEY}").as_str()))
        .and(body_json(asked))
        .respond_with(ResponseTemplate::new(201).set_body_json(answer))
        .mount(&server)
        .await;
    let made = credentials(&server.uri(), None)?.make_key(NAME).await?;
    let expected = MadeKey {
        hash: KeyHash::new("h1"),
        key: Secret::new("sk-or-1"),
    };
    assert_eq!(made, expected);
    assert!(!format!("{made:?}").contains("sk-or-1"));
    Ok(())
}

#[tokio::test]
async fn keys_are_found_by_name_on_every_page() -> TestResult {
    let server = MockServer::start().await;
    for (offset, keys) in [
        (
            "0",
            json!([{"hash": "h1", "name": NAME}, {"hash": "h2", "name": "other"}]),
        ),
        (
            "2",
            json!([{"hash": "h3", "name": format!("{NAME}x")}, {"hash": "h4", "name": NAME}]),
        ),
        ("4", json!([])),
    ] {
        Mock::given(method("GET"))
            .and(path("/api/v1/keys"))
            .and(query_param("offset", offset))
            .respond_with(ResponseTemplate::new(200).set_body_json(json!({"data": keys})))
            .expect(1)
            .mount(&server)
            .await;
    }
    let found = credentials(&server.uri(), None)?.find_keys(NAME).await?;
    assert_eq!(found, [KeyHash::new("h1"), KeyHash::new("h4")]);
    Ok(())
}

#[tokio::test]
async fn a_server_that_ignores_offsets_does_not_loop() -> TestResult {
    let keys = json!({"data": [{"hash": "h1", "name": NAME}]});
    let answer = ResponseTemplate::new(200).set_body_json(keys);
    let server = server(vec![("GET", "/api/v1/keys", answer)]).await;
    let found = credentials(&server.uri(), None)?.find_keys(NAME).await?;
    assert_eq!(found, [KeyHash::new("h1")]);
    Ok(())
}

#[tokio::test]
async fn a_deletion_says_whether_there_was_anything_to_delete() -> TestResult {
    for (status, deleted) in [
        (200, Deleted::Now),
        (204, Deleted::Now),
        (404, Deleted::NotFound),
    ] {
        let server = server(vec![
            ("DELETE", "/api/v1/keys/h1", ResponseTemplate::new(status)),
            (
                "DELETE",
                "/v0/inboxes/convos%40agentmail.to",
                ResponseTemplate::new(status),
            ),
        ])
        .await;
        let credentials = credentials(&server.uri(), None)?;
        let key = KeyHash::new("h1");
        assert_eq!(credentials.delete_key(&key).await?, deleted);
        let inbox = InboxId::new("convos@agentmail.to");
        assert_eq!(credentials.delete_inbox(&inbox).await?, deleted);
        assert_eq!(
            server.received_requests().await.unwrap_or_default().len(),
            2
        );
    }
    Ok(())
}

#[tokio::test]
async fn an_inbox_is_made_with_its_client_id() -> TestResult {
    for domain in [None, Some("agents.example")] {
        let server = MockServer::start().await;
        let mut asked =
            json!({"username": NAME, "display_name": "Convos Agent", "client_id": NAME});
        if let Some(domain) = domain {
            asked["domain"] = json!(domain);
        }
        Mock::given(method("POST"))
            .and(path("/v0/inboxes"))
            .and(header("authorization", format!("Bearer {KEY}").as_str()))
            .and(body_json(asked))
            .respond_with(ResponseTemplate::new(200).set_body_json(json!({"inbox_id": "i1"})))
            .mount(&server)
            .await;
        let inbox = credentials(&server.uri(), domain)?.make_inbox(NAME).await?;
        assert_eq!(inbox, InboxId::new("i1"));
    }
    Ok(())
}

#[tokio::test]
async fn an_inbox_is_found_by_its_client_id_on_a_later_page() -> TestResult {
    let server = MockServer::start().await;
    let first = json!({
        "count": 1, "inboxes": [{"inbox_id": "i1", "client_id": null}], "next_page_token": "t&2"
    });
    let second = json!({"count": 1, "inboxes": [{"inbox_id": "i2", "client_id": NAME}]});
    Mock::given(method("GET"))
        .and(path("/v0/inboxes"))
        .and(query_param("limit", "100"))
        .and(query_param_is_missing("page_token"))
        .respond_with(ResponseTemplate::new(200).set_body_json(first))
        .mount(&server)
        .await;
    Mock::given(method("GET"))
        .and(path("/v0/inboxes"))
        .and(query_param("page_token", "t&2"))
        .respond_with(ResponseTemplate::new(200).set_body_json(second))
        .mount(&server)
        .await;
    let credentials = credentials(&server.uri(), None)?;
    assert_eq!(
        credentials.find_inbox(NAME).await?,
        Some(InboxId::new("i2"))
    );
    assert_eq!(credentials.find_inbox("nobody").await?, None);
    Ok(())
}

#[tokio::test]
async fn a_list_is_whole_or_an_error() -> TestResult {
    let server = MockServer::start().await;
    let page = |route: &str, parameter: &str, value: &str, answer: ResponseTemplate| {
        Mock::given(method("GET"))
            .and(path(route))
            .and(query_param(parameter, value))
            .respond_with(answer)
    };
    let json = |json| ResponseTemplate::new(200).set_body_json(json);
    let keys = |hash: &str| json(json!({"data": [{"hash": hash, "name": null}]}));
    let inboxes = |id: &str, next: &str| {
        let inboxes = json!([{"inbox_id": id, "client_id": NAME}]);
        json(json!({"inboxes": inboxes, "next_page_token": next}))
    };
    let refused = ResponseTemplate::new(400);
    page("/api/v1/keys", "offset", "0", keys("h1"))
        .mount(&server)
        .await;
    page("/api/v1/keys", "offset", "1", keys("h2"))
        .mount(&server)
        .await;
    page("/api/v1/keys", "offset", "2", keys("h1"))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    page("/api/v1/keys", "offset", "2", refused.clone())
        .mount(&server)
        .await;
    page("/v0/inboxes", "page_token", "t2", inboxes("i2", ""))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    page("/v0/inboxes", "page_token", "t2", refused)
        .mount(&server)
        .await;
    page("/v0/inboxes", "limit", "100", inboxes("i1", "t2"))
        .mount(&server)
        .await;
    let credentials = credentials(&server.uri(), None)?;
    let keys = credentials.list_keys().await?;
    let hashes: Vec<_> = keys.iter().map(|key| key.hash.as_str()).collect();
    assert_eq!(hashes, ["h1", "h2"]);
    let inboxes = credentials.list_inboxes().await?;
    let ids: Vec<_> = inboxes
        .iter()
        .map(|inbox| inbox.inbox_id.as_str())
        .collect();
    assert_eq!(ids, ["i1", "i2"]);
    let expected = Some((ErrorClass::Refused, false));
    assert_eq!(class(credentials.list_keys().await), expected);
    assert_eq!(class(credentials.list_inboxes().await), expected);
    Ok(())
}

#[tokio::test]
async fn a_page_that_leads_back_to_itself_is_an_error() -> TestResult {
    let page = json!({"inboxes": [], "next_page_token": "again"});
    let answer = ResponseTemplate::new(200).set_body_json(page);
    let server = server(vec![("GET", "/v0/inboxes", answer)]).await;
    let outcome = credentials(&server.uri(), None)?.find_inbox(NAME).await;
    assert_eq!(class(outcome), Some((ErrorClass::Undecodable, false)));
    assert_eq!(
        server.received_requests().await.unwrap_or_default().len(),
        2
    );
    Ok(())
}

#[tokio::test]
async fn a_create_that_was_refused_did_not_happen() -> TestResult {
    for (status, expected) in [
        (400, ErrorClass::Refused),
        (401, ErrorClass::NotAuthorized),
        (403, ErrorClass::NotAuthorized),
        (409, ErrorClass::Refused),
        (302, ErrorClass::Refused),
    ] {
        let said = json!({"error": {"message": format!("{KEY} may not say {ANOTHER_KEY}"), "code": status}});
        let answer = ResponseTemplate::new(status).set_body_json(said);
        let server = server(vec![("POST", "/api/v1/keys", answer)]).await;
        let error = credentials(&server.uri(), None)?.make_key(NAME).await.err();
        let error = error.ok_or("it was refused")?;
        assert_eq!((error.class, error.status), (expected, Some(status)));
        assert_eq!(error.message, "[REDACTED] may not say [REDACTED]");
        assert!(!error.may_have_happened());
    }
    Ok(())
}

#[tokio::test]
async fn a_rate_limit_says_how_long() -> TestResult {
    let answer = ResponseTemplate::new(429).insert_header("retry-after", "7");
    let server = server(vec![("POST", "/v0/inboxes", answer)]).await;
    let outcome = credentials(&server.uri(), None)?.make_inbox(NAME).await;
    let retry_after = Some(std::time::Duration::from_secs(7));
    let expected = ErrorClass::RateLimited { retry_after };
    assert_eq!(class(outcome), Some((expected, false)));
    Ok(())
}

#[tokio::test]
async fn an_account_that_asks_to_wait_is_called_no_more_until_then() -> TestResult {
    let answer = ResponseTemplate::new(429).insert_header("retry-after", "600");
    let server = server(vec![("POST", "/v0/inboxes", answer)]).await;
    let credentials = credentials(&server.uri(), None)?;
    for _ in 0..8 {
        let error = credentials.make_inbox(NAME).await.err();
        let error = error.ok_or("it was refused")?;
        assert!(error.is_limit() && error.wait().is_some());
        assert!(
            error
                .to_string()
                .starts_with("AgentMail: no more calls for"),
            "{error}"
        );
    }
    assert!(credentials.clone().list_inboxes().await.is_err());
    let calls = server.received_requests().await.unwrap_or_default().len();
    assert_eq!(calls, 1, "nobody calls again before the time is over");
    Ok(())
}

#[tokio::test]
async fn a_quota_is_named_as_one_and_is_no_matter_of_who_asks() -> TestResult {
    let said = json!({"name": "ForbiddenError", "code": "limit_exceeded", "message": "Inbox limit exceeded"});
    let answer = ResponseTemplate::new(403).set_body_json(said);
    let page = ResponseTemplate::new(200).set_body_json(json!({"inboxes": []}));
    let server = server(vec![
        ("POST", "/v0/inboxes", answer),
        ("GET", "/v0/inboxes", page),
    ])
    .await;
    let credentials = credentials(&server.uri(), None)?;
    for _ in 0..3 {
        let error = credentials.make_inbox(NAME).await.err();
        let error = error.ok_or("it was refused")?;
        assert_eq!(error.class, ErrorClass::QuotaReached);
        assert!(!error.may_have_happened());
        let words = "AgentMail: the plan's limit of inboxes is reached";
        assert!(error.to_string().starts_with(words), "{error}");
        assert!(error.what_to_do().is_some());
    }
    credentials.list_inboxes().await?;
    let calls = server.received_requests().await.unwrap_or_default().len();
    assert_eq!(calls, 2, "one that makes, and reading goes on");
    Ok(())
}

#[tokio::test]
async fn a_name_that_is_taken_is_no_refused_key() -> TestResult {
    let said = json!({"name": "IsTakenError", "message": "Username is already taken"});
    let answer = ResponseTemplate::new(403).set_body_json(said);
    let server = server(vec![("POST", "/v0/inboxes", answer)]).await;
    let outcome = credentials(&server.uri(), None)?.make_inbox(NAME).await;
    assert_eq!(class(outcome), Some((ErrorClass::Refused, false)));
    Ok(())
}

#[tokio::test]
async fn a_create_whose_answer_says_nothing_is_sent_once_and_may_have_happened() -> TestResult {
    let secret = json!({"key": ["sk-or-secret"], "data": {"hash": "h"}});
    for (answer, expected) in [
        (ResponseTemplate::new(500), ErrorClass::Transient),
        (ResponseTemplate::new(502), ErrorClass::Transient),
        (
            ResponseTemplate::new(200).set_body_string("<html>"),
            ErrorClass::Undecodable,
        ),
        (
            ResponseTemplate::new(200).set_body_json(&secret),
            ErrorClass::Undecodable,
        ),
        (
            ResponseTemplate::new(200).set_body_bytes(vec![b' '; 4 * 1024 * 1024 + 1]),
            ErrorClass::Undecodable,
        ),
    ] {
        let server = server(vec![("POST", "/api/v1/keys", answer)]).await;
        let outcome = credentials(&server.uri(), None)?.make_key(NAME).await;
        let text = format!("{outcome:?}");
        assert!(!text.contains("sk-or-secret"), "{text}");
        assert_eq!(class(outcome), Some((expected, true)));
        assert_eq!(
            server.received_requests().await.unwrap_or_default().len(),
            1
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_read_and_a_delete_are_repeated_twice() -> TestResult {
    let server = server(vec![
        ("GET", "/v0/inboxes", ResponseTemplate::new(503)),
        ("DELETE", "/api/v1/keys/h", ResponseTemplate::new(503)),
    ])
    .await;
    let credentials = credentials(&server.uri(), None)?;
    let outcome = credentials.find_inbox(NAME).await;
    assert_eq!(class(outcome), Some((ErrorClass::Transient, true)));
    assert_eq!(
        server.received_requests().await.unwrap_or_default().len(),
        3
    );
    assert!(credentials.delete_key(&KeyHash::new("h")).await.is_err());
    assert_eq!(
        server.received_requests().await.unwrap_or_default().len(),
        6
    );
    Ok(())
}

#[tokio::test]
async fn without_a_connection_nothing_happened() -> TestResult {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    drop(listener);
    let outcome = credentials(&url, None)?.make_key(NAME).await;
    assert_eq!(class(outcome), Some((ErrorClass::Network, false)));
    Ok(())
}

#[tokio::test]
async fn a_connection_that_breaks_under_a_create_may_have_made_it() -> TestResult {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _read = stream.read(&mut [0; 1024]).await;
        }
    });
    let outcome = credentials(&url, None)?.make_inbox(NAME).await;
    assert_eq!(class(outcome), Some((ErrorClass::Network, true)));
    Ok(())
}

#[tokio::test]
async fn an_account_that_is_not_configured_is_an_error_of_its_own() -> TestResult {
    let none = Credentials::new(Settings::default())?;
    assert!(!none.has_openrouter() && !none.has_agentmail());
    let expected = Some((ErrorClass::NotConfigured, false));
    assert_eq!(class(none.make_key(NAME).await), expected);
    assert_eq!(class(none.delete_inbox(&InboxId::new("i")).await), expected);
    let both = credentials("https://openrouter.ai", None)?;
    assert!(both.has_openrouter() && both.has_agentmail());
    assert!(!format!("{both:?}").contains(KEY));
    assert_eq!(class(credentials("openrouter.ai", None)), expected);
    assert_eq!(class(credentials("ftp://openrouter.ai", None)), expected);
    Ok(())
}
