//! The JSON that clients read, whole.

use http::StatusCode;
use insta::assert_json_snapshot;

use crate::stage::Stage;

async fn stage() -> Stage {
    let stage = Stage::new().await;
    for (name, status) in [
        ("a", "claimed"),
        ("b", "crashed"),
        ("c", "idle"),
        ("d", "claimed"),
    ] {
        stage.instance(name, status).await;
    }
    stage
        .sql(
            "UPDATE instances SET delete_requested_at = now() WHERE id = 'd'; \
             UPDATE instances SET url = 'https://agent.test'; \
             INSERT INTO instances (id, service_id, name, created_at) \
             VALUES ('e', 's-e', 'convos-agent-e', '2027-05-01T00:00:00Z')",
        )
        .await;
    stage
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_name_every_status_and_need_no_key() {
    assert_json_snapshot!(stage().await.get("/api/pool/counts").await.json());
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_without_a_key_tell_nothing_of_conversations() {
    let stage = stage().await;
    assert_json_snapshot!(stage.get("/api/pool/agents").await.json());
    let wrong_key = stage
        .send(http::Method::GET, "/api/pool/agents", Some("wrong"), None)
        .await;
    assert_eq!(wrong_key.json(), stage.get("/api/pool/agents").await.json());
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_with_the_key_tell_of_conversations() {
    assert_json_snapshot!(stage().await.get_with_key("/api/pool/agents").await.json());
}

#[tokio::test(flavor = "multi_thread")]
async fn status_tells_everything_but_the_token_of_the_gateway() {
    let answer = stage().await.get_with_key("/api/pool/status").await;
    assert!(!answer.text.contains("secret-token"));
    assert_json_snapshot!(answer.json());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_version_and_the_health_need_no_key() {
    let stage = Stage::new().await;
    assert_eq!(stage.get("/healthz").await.text, r#"{"ok":true}"#);
    assert_eq!(
        stage.get("/version").await.text,
        r#"{"environment":"staging","version":"1.2.3"}"#
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_ready_while_some_leader_ticks() {
    let stage = Stage::new().await;
    let before = stage.get("/readyz").await;
    assert_eq!(before.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_json_snapshot!("readyz before the first tick", before.json());

    let tick = "INSERT INTO ticks (term, started_at, ended_at, complete, report) \
                VALUES (1, now(), now() - interval '80 seconds', true, '{}')";
    stage.sql(tick).await;
    stage.forgets().await;
    let ready = stage.get("/readyz").await;
    assert_eq!(ready.status, StatusCode::OK);
    let mut body = ready.json();
    let age = body["lastTickAgeMs"].take();
    assert!((80_000..90_000).contains(&age.as_u64().unwrap()), "{age}");
    assert_json_snapshot!("readyz, its age taken out", body);

    stage
        .sql("UPDATE ticks SET ended_at = now() - interval '91 seconds'")
        .await;
    stage.forgets().await;
    let late = stage.get("/readyz").await;
    assert_eq!(late.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(late.json()["leader"], serde_json::json!(false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_lead_tells_what_the_leader_said_of_its_loops() {
    let stage = Stage::new().await;
    let tick = r#"INSERT INTO ticks (term, started_at, ended_at, complete, report)
        VALUES (1, now(), now() - interval '10 seconds', true, '{"loops": {"promoting":
        {"lastRoundAgeMs": 500}, "building": {"trouble": "silent"}}}')"#;
    stage.sql(tick).await;
    let ready = stage.get("/readyz").await.json();
    let loops = &ready["loops"];
    let age = loops["promoting"]["lastRoundAgeMs"].as_u64().unwrap();
    assert!((10_500..20_500).contains(&age), "{loops}");
    assert_eq!(loops["building"]["trouble"], "silent");
    assert!(loops["reconciling"]["lastRoundAgeMs"].is_null(), "{loops}");
}
