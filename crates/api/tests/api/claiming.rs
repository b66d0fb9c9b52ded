//! A claim over HTTP: its answer, and each way in which it gives none.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use wiremock::ResponseTemplate;
use wiremock::matchers::{body_json, header, method, path};

use crate::stage::Stage;

const CLAIM: &str = r#"{"agentName":"Ada","instructions":"Be kind.","more":"is ignored"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_gives_everything_that_clients_rely_on() {
    let stage = Stage::new().await;
    stage.instance("a", "idle").await;
    let asked = json!({
        "agentName": "Ada",
        "instructions": "Be kind.",
        "joinUrl": "a-slug",
    });
    wiremock::Mock::given(method("POST"))
        .and(path("/pool/provision"))
        .and(header("authorization", "Bearer the-key-of-the-pool"))
        .and(body_json(asked.clone()))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({
            "ok": true, "inviteUrl": "https://join.test/1", "conversationId": "c1", "joined": true
        })))
        .expect(1)
        .mount(&stage.agent)
        .await;
    let answer = stage.post("/api/pool/claim", asked.to_string()).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(
        answer.json(),
        json!({
            "inviteUrl": "https://join.test/1",
            "conversationId": "c1",
            "instanceId": "a",
            "joined": true,
            "gatewayToken": "secret-token-a",
            "gatewayUrl": stage.agent.uri(),
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_does_not_say_is_null_and_the_row_falls_back_to_the_join_link() {
    let stage = Stage::new().await;
    stage.instance("a", "idle").await;
    let yes = ResponseTemplate::new(200).set_body_json(json!({ "ok": true, "joined": true }));
    stage.agent_answers(yes).await;
    let body = r#"{"agentName":"Ada","instructions":"Be kind.","joinUrl":"a-slug"}"#;
    let answer = stage.post("/api/pool/claim", body).await.json();
    assert_eq!(answer["inviteUrl"], json!(null));
    assert_eq!(answer["conversationId"], json!(null));
    assert_eq!(answer["joined"], json!(true));
    let stored = stage.value("SELECT invite_url FROM instances").await;
    assert_eq!(stored.as_deref(), Some("a-slug"));
}

#[tokio::test(flavor = "multi_thread")]
async fn null_empty_false_and_zero_are_no_join_link() {
    for none in ["null", r#""""#, "false", "0", "0.0"] {
        let stage = Stage::new().await;
        stage.instance("a", "idle").await;
        let without_link = json!({ "agentName": "Ada", "instructions": "Be kind." });
        wiremock::Mock::given(method("POST"))
            .and(path("/pool/provision"))
            .and(body_json(without_link))
            .respond_with(
                ResponseTemplate::new(200).set_body_json(json!({ "ok": true, "joined": false })),
            )
            .expect(1)
            .mount(&stage.agent)
            .await;
        let body = format!(r#"{{"agentName":"Ada","instructions":"Be kind.","joinUrl":{none}}}"#);
        let answer = stage.post("/api/pool/claim", body).await;
        assert_eq!(answer.status, StatusCode::OK, "{none}: {}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_pool_says_so_and_when_to_ask_again() {
    let stage = Stage::new().await;
    let answer = stage.post("/api/pool/claim", CLAIM).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        answer.text,
        r#"{"error":"No idle instances available. Try again in a few minutes."}"#
    );
    assert_eq!(answer.header("retry-after"), Some("60"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ways_of_an_agent_to_fail_are_told_apart_and_its_words_are_not_passed_on() {
    let late = ResponseTemplate::new(200).set_delay(Duration::from_secs(30));
    for (agent, status) in [
        (ResponseTemplate::new(503), StatusCode::BAD_GATEWAY),
        (ResponseTemplate::new(400), StatusCode::BAD_GATEWAY),
        (ResponseTemplate::new(500), StatusCode::BAD_GATEWAY),
        (late, StatusCode::GATEWAY_TIMEOUT),
    ] {
        let stage = Stage::new().await;
        stage.instance("a", "idle").await;
        stage.instance("b", "idle").await;
        let agent = agent.set_body_string("internal-detail-of-the-agent");
        stage.agent_answers(agent).await;
        let answer = stage.post("/api/pool/claim", CLAIM).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        assert!(!answer.error().is_empty());
        assert!(!answer.text.contains("internal-detail"), "{}", answer.text);
        assert!(!answer.text.contains("127.0.0.1"), "{}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_database_is_taken_over_claims_are_told_to_wait() {
    let stage = Stage::new().await;
    stage
        .sql("UPDATE pool_schema SET contracted_at = NULL")
        .await;
    let answer = stage.post("/api/pool/claim", CLAIM).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.header("retry-after").is_some());
}
