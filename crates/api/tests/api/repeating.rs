//! `Idempotency-Key` over HTTP.

use http::StatusCode;
use serde_json::json;
use wiremock::ResponseTemplate;

use crate::stage::{Answer, Stage};

const CLAIM: &str = r#"{"agentName":"Ada","instructions":"Be kind."}"#;

async fn claim(stage: &Stage, keys: &[&str], body: &str) -> Answer {
    stage.claim_with_keys(keys, body).await
}

async fn with_two_agents() -> Stage {
    let stage = Stage::new().await;
    stage.instance("a", "idle").await;
    stage.instance("b", "idle").await;
    stage
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_and_body_get_the_same_answer_however_either_is_written() {
    let stage = with_two_agents().await;
    let yes = json!({ "ok": true, "inviteUrl": "https://join.test/1", "joined": false });
    stage
        .agent_answers(ResponseTemplate::new(200).set_body_json(yes))
        .await;
    let first = claim(&stage, &["\"a-key\""], CLAIM).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.text);
    assert_eq!(first.json()["gatewayToken"], "secret-token-a");
    for (key, body) in [
        ("\"a-key\"", CLAIM),
        ("a-key", CLAIM),
        (
            "a-key",
            r#" {"instructions": "Be kind.", "agentName": "Ada", "joinUrl": "", "new": [1]} "#,
        ),
    ] {
        let again = claim(&stage, &[key], body).await;
        assert_eq!(again.status, StatusCode::OK, "{}", again.text);
        assert_eq!(again.text, first.text);
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
    }
    assert_eq!(first.header("idempotency-replayed"), None);
    let idle = "SELECT count(*)::text FROM instances WHERE status = 'idle'";
    assert_eq!(stage.value(idle).await.as_deref(), Some("1"));

    let other = r#"{"agentName":"Bob","instructions":"Be kind."}"#;
    let refused = claim(&stage, &["a-key"], other).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        refused.error(),
        "This Idempotency-Key was used for a claim with another body."
    );
    // Without a key, and with another one, it is another claim.
    assert_eq!(claim(&stage, &[], CLAIM).await.json()["instanceId"], "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_first_one_runs_the_second_is_told_when_to_come_again() {
    let stage = Stage::new().await;
    stage.instance("a", "idle").await;
    let late = ResponseTemplate::new(200)
        .set_body_json(json!({ "ok": true, "joined": false }))
        .set_delay(std::time::Duration::from_millis(1_500));
    stage.agent_answers(late).await;
    let begun = async {
        let claiming = "SELECT count(*)::text FROM instances WHERE status = 'claiming'";
        while stage.value(claiming).await.as_deref() != Some("1") {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        claim(&stage, &["k"], CLAIM).await
    };
    let (first, second) = tokio::join!(claim(&stage, &["k"], CLAIM), begun);
    assert_eq!(first.status, StatusCode::OK, "{}", first.text);
    assert_eq!(second.status, StatusCode::CONFLICT, "{}", second.text);
    assert_eq!(
        second.error(),
        "A claim with this Idempotency-Key is still running. Try again in a few seconds."
    );
    assert_eq!(second.header("retry-after"), Some("2"));
    assert_eq!(claim(&stage, &["k"], CLAIM).await.text, first.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_outcome_and_a_destroyed_agent_are_told_the_same_each_time() {
    let stage = with_two_agents().await;
    stage.agent_answers(ResponseTemplate::new(500)).await;
    let first = claim(&stage, &["k"], CLAIM).await;
    assert_eq!(first.status, StatusCode::BAD_GATEWAY);
    let again = claim(&stage, &["k"], CLAIM).await;
    assert_eq!(again.status, first.status);
    assert_eq!(
        again.error(),
        format!(
            "{} This is what became of the first claim with this Idempotency-Key: try for another \
             agent with another key.",
            first.error()
        )
    );
    assert_eq!(first.header("idempotency-replayed"), None);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(stage.agent.received_requests().await.unwrap().len(), 2);

    let stage = with_two_agents().await;
    let yes = ResponseTemplate::new(200).set_body_json(json!({ "ok": true }));
    stage.agent_answers(yes).await;
    claim(&stage, &["k"], CLAIM).await;
    assert_eq!(
        stage.delete("/api/pool/instances/a").await.status,
        StatusCode::OK
    );
    let gone = claim(&stage, &["k"], CLAIM).await;
    assert_eq!(gone.status, StatusCode::GONE);
    assert_eq!(gone.header("idempotency-replayed"), Some("true"));
    assert_eq!(
        gone.error(),
        "Instance a, claimed with this Idempotency-Key, was destroyed since. Another one takes \
         another key."
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_none_is_refused_by_name_and_nothing_is_claimed() {
    let stage = Stage::new().await;
    stage.instance("a", "idle").await;
    let too_long = "k".repeat(256);
    for keys in [
        &[""][..],
        &["two words"],
        &["\"open"],
        &["\"\""],
        &[&too_long],
        &["one", "two"],
        &["one", "one"],
    ] {
        let answer = claim(&stage, keys, CLAIM).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{keys:?}");
        assert_eq!(
            answer.error(),
            "Idempotency-Key must be one value of 1 to 255 printable ASCII characters, in double \
             quotes or bare; a bare one holds no space, quote or backslash"
        );
    }
    // What clients knew before comes first.
    let answer = claim(&stage, &[""], "{}").await;
    assert_eq!(answer.error(), "instructions (string) is required");
    let idle = stage.value("SELECT status FROM instances").await;
    assert_eq!(idle.as_deref(), Some("idle"));
}
