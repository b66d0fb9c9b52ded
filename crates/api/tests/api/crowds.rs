//! Many at once: none of them takes the place of others.
#![expect(
    clippy::unwrap_used,
    reason = "a helper of tests has nothing else to do with a broken request"
)]

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::{Request, StatusCode};
use serde_json::json;
use tokio::time::{Instant, sleep};
use tower::ServiceExt as _;
use wiremock::ResponseTemplate;

use crate::stage::{KEY, Stage};

/// As many as have a place.
const READERS: usize = 256;

/// Asks, and does not take the answer.
async fn ask(stage: &Stage, path: &str, key: Option<&str>) -> Response {
    let mut request = Request::get(path);
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    let request = request.body(Body::empty()).unwrap();
    stage.router.clone().oneshot(request).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_take_the_places_of_nobody_who_knows_the_key_until_their_answers_are_taken() {
    let stage = Stage::new().await;
    stage.instance("a", "idle").await;
    let yes = ResponseTemplate::new(200).set_body_json(json!({ "ok": true, "joined": false }));
    stage.agent_answers(yes).await;
    let mut strangers = Vec::new();
    for n in 0..READERS {
        let path = ["/api/pool/agents", "/api/pool/counts", "/"][n % 3];
        strangers.push(ask(&stage, path, None).await);
    }
    assert!(
        strangers
            .iter()
            .all(|answer| answer.status() == StatusCode::OK)
    );
    let refused = stage.get("/api/pool/agents").await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.header("retry-after"), Some("2"));
    assert_eq!(
        ask(&stage, "/api/pool/agents", Some("another"))
            .await
            .status(),
        StatusCode::SERVICE_UNAVAILABLE,
        "a wrong key is a stranger's"
    );

    for path in ["/api/pool/agents", "/api/pool/status", "/api/pool/counts"] {
        assert_eq!(
            stage.get_with_key(path).await.status,
            StatusCode::OK,
            "{path}"
        );
    }
    let claim = r#"{"agentName":"A","instructions":"I"}"#;
    let claimed = stage.post("/api/pool/claim", claim).await;
    assert_eq!(claimed.status, StatusCode::OK, "{}", claimed.text);
    assert_eq!(stage.get("/healthz").await.status, StatusCode::OK);

    drop(strangers);
    assert_eq!(stage.get("/api/pool/agents").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_who_know_the_key_take_no_place_of_a_claim_nor_does_a_wrong_key() {
    let stage = Stage::new().await;
    stage.instance("a", "idle").await;
    let yes = ResponseTemplate::new(200).set_body_json(json!({ "ok": true, "joined": false }));
    stage.agent_answers(yes).await;
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(ask(&stage, "/api/pool/status", Some(KEY)).await);
    }
    let refused = stage.get_with_key("/api/pool/status").await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    let wrong = ask(&stage, "/api/pool/status", Some("another")).await;
    assert_eq!(
        wrong.status(),
        StatusCode::UNAUTHORIZED,
        "before it takes a place"
    );
    let claim = r#"{"agentName":"A","instructions":"I"}"#;
    let claimed = stage.post("/api/pool/claim", claim).await;
    assert_eq!(claimed.status, StatusCode::OK, "{}", claimed.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_ask_for_readiness_the_database_is_asked_once() {
    let stage = Stage::new().await;
    // Whoever reads the ticks waits until this ends.
    let mut blocker = stage.database.client().await;
    let blocking = blocker.transaction().await.unwrap();
    blocking
        .batch_execute("LOCK TABLE ticks IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let began = Instant::now();
    let asking = (0..300).map(|_| {
        tokio::spawn(
            stage
                .router
                .clone()
                .oneshot(Request::get("/readyz").body(Body::empty()).unwrap()),
        )
    });
    let asking: Vec<_> = asking.collect();
    sleep(Duration::from_millis(400)).await;
    let waiting = stage
        .value(
            "SELECT count(*)::text FROM pg_stat_activity WHERE datname = current_database() \
             AND wait_event_type = 'Lock'",
        )
        .await;
    assert_eq!(waiting.as_deref(), Some("1"), "who waits for the lock");
    // The others have connections to the database meanwhile.
    assert_eq!(stage.get("/api/pool/counts").await.status, StatusCode::OK);
    for one in asking {
        let answer = one.await.unwrap().unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    blocking.rollback().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_cost_the_database_no_instructions() {
    let stage = Stage::new().await;
    stage.instance("a", "claimed").await;
    // Whoever reads this column fails.
    stage
        .sql("ALTER TABLE instances RENAME COLUMN instructions TO no_instructions")
        .await;
    for path in ["/api/pool/agents", "/", "/page/live"] {
        assert_eq!(stage.get(path).await.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_shown_the_newest_and_told_that_there_are_more() {
    let stage = Stage::new().await;
    let insert = "INSERT INTO instances (id, service_id, name, status, created_at) SELECT \
                  'agent-' || n, 's-' || n, 'n', CASE WHEN n % 4 = 0 THEN 'crashed' ELSE 'claimed' END, \
                  now() - n * interval '1 s' FROM generate_series(1, 12000) AS n";
    stage.sql(insert).await;
    let shown = stage.get("/api/pool/agents").await.json();
    let all = stage.get_with_key("/api/pool/agents").await.json();
    let length = |of: &serde_json::Value| of.as_array().unwrap().len();
    assert_eq!(
        (length(&shown["claimed"]), length(&shown["crashed"])),
        (750, 250)
    );
    assert_eq!(shown["truncated"], json!(true));
    assert_eq!(
        (length(&all["claimed"]), length(&all["crashed"])),
        (9_000, 3_000)
    );
    assert_eq!(all["truncated"], json!(false));
    for list in ["claimed", "crashed"] {
        let ids = |of: &serde_json::Value| -> Vec<String> {
            let rows = of[list].as_array().unwrap().iter();
            rows.map(|row| row["id"].as_str().unwrap().to_owned())
                .collect()
        };
        assert!(
            ids(&all).ends_with(&ids(&shown)),
            "oldest first, the newest of all"
        );
    }
    let page = stage.get("/").await.text;
    assert!(
        page.contains("and 11500 more"),
        "{}",
        &page[page.len() - 3_000..]
    );
}
