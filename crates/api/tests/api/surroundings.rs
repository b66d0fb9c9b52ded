//! What surrounds every answer: headers, request ids, and a database that is away.

use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::json;

use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_keeps_browsers_careful() {
    let stage = Stage::new().await;
    for path in [
        "/",
        "/page/script.js",
        "/healthz",
        "/api/pool/counts",
        "/nothing",
    ] {
        let answer = stage.get(path).await;
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; "), "{path}");
        assert!(!policy.contains("unsafe"), "{path}");
        assert_eq!(
            answer.header("x-content-type-options"),
            Some("nosniff"),
            "{path}"
        );
        assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{path}");
        assert_eq!(
            answer.header("referrer-policy"),
            Some("no-referrer"),
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_names_its_request() {
    let stage = Stage::new().await;
    let ask = async |id: &str| {
        let request = Request::get("/healthz").header("x-request-id", id);
        let answer = stage.ask(request.body(Body::empty()).unwrap()).await;
        answer.header("x-request-id").unwrap().to_owned()
    };
    assert_eq!(ask("mine-7").await, "mine-7");
    let long = "x".repeat(65);
    assert_ne!(ask(&long).await, long, "a stranger's long id is replaced");
    assert!(stage.get("/healthz").await.header("x-request-id").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_database_everything_says_so_and_the_page_still_shows() {
    let stage = Stage::new().await;
    stage.database_goes_away().await;
    let claim = stage
        .post("/api/pool/claim", r#"{"agentName":"A","instructions":"I"}"#)
        .await;
    let others = [
        stage.get("/api/pool/counts").await,
        stage.get_with_key("/api/pool/status").await,
        stage.post("/api/pool/drain", "").await,
        stage.post("/api/pool/reconcile", "").await,
        stage.delete("/api/pool/instances/x").await,
    ];
    for answer in others.iter().chain([&claim]) {
        assert_eq!(
            answer.status,
            StatusCode::SERVICE_UNAVAILABLE,
            "{}",
            answer.text
        );
        assert_eq!(answer.header("retry-after"), Some("5"));
        assert_eq!(
            answer.error(),
            "The database is not available. Try again in a few seconds."
        );
    }
    let ready = stage.get("/readyz").await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        ready.json(),
        json!({
            "ready": false, "database": false, "leader": false, "lastTickAgeMs": null, "fuse": null,
            "budget": null
        })
    );
    assert_eq!(stage.get("/healthz").await.status, StatusCode::OK);
    let page = stage.get("/").await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(page.text.contains("The database does not answer."));
    assert_eq!(page.header("retry-after"), Some("5"));
}
