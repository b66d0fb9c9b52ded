//! What only the leader does: written as a command, answered by its tick.

#![expect(
    clippy::unwrap_used,
    reason = "a test has nothing else to do when its leader is not asked"
)]

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::stage::{Answer, Stage};

/// Asks, and plays the leader: finishes the command once it is there. Gives the answer, and what
/// was asked of the leader.
pub(crate) async fn ask_leader(
    stage: &Stage,
    path: &str,
    body: &str,
    result: &str,
) -> (Answer, String) {
    let lead = async {
        let pending = "SELECT string_agg(kind || ' ' || arguments, ';') FROM commands \
                       WHERE done_at IS NULL";
        let asked = loop {
            if let Some(asked) = stage.value(pending).await {
                break asked;
            }
            sleep(Duration::from_millis(5)).await;
        };
        let finish = format!("UPDATE commands SET done_at = now(), result = '{result}'");
        stage.sql(&finish).await;
        asked
    };
    let both = async { tokio::join!(stage.post(path, body), lead) };
    timeout(Duration::from_secs(10), both).await.unwrap()
}

pub(crate) fn counts() -> Value {
    json!({
        "starting": 0, "idle": 1, "claiming": 0, "claimed": 0, "crashed": 0, "dead": 0
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn reconcile_answers_with_the_report_of_a_tick() {
    let stage = Stage::new().await;
    stage.instance("a", "idle").await;
    let mut leader = stage.listen().await;
    let result = r#"{"report":{"durationMs":7}}"#;
    let (answer, asked) = ask_leader(&stage, "/api/pool/reconcile", "", result).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(
        answer.json(),
        json!({ "ok": true, "counts": counts(), "report": { "durationMs": 7 } })
    );
    assert_eq!(asked, "reconcile {}");
    let woken = timeout(Duration::from_secs(5), leader.woken()).await;
    woken.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn replenish_with_a_count_says_how_many_were_begun() {
    for (body, asked_count) in [
        (r#"{"count":3}"#, 3),
        (r#"{"count":"3"}"#, 3),
        (r#"{"count":21}"#, 20),
    ] {
        let stage = Stage::new().await;
        stage.instance("a", "idle").await;
        let path = "/api/pool/replenish";
        let (answer, asked) = ask_leader(&stage, path, body, r#"{"created":2}"#).await;
        assert_eq!(
            answer.json(),
            json!({ "ok": true, "created": 2, "counts": counts() }),
            "{body}"
        );
        assert_eq!(asked, format!(r#"replenish {{"count": {asked_count}}}"#));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replenish_without_a_count_is_a_tick() {
    for body in [
        "",
        "{}",
        r#"{"count":0}"#,
        r#"{"count":null}"#,
        r#"{"count":-2}"#,
    ] {
        let stage = Stage::new().await;
        stage.instance("a", "idle").await;
        let path = "/api/pool/replenish";
        let (answer, asked) = ask_leader(&stage, path, body, r#"{"report":{}}"#).await;
        assert_eq!(
            answer.json(),
            json!({ "ok": true, "counts": counts() }),
            "{body}"
        );
        assert_eq!(asked, r#"replenish {"count": null}"#, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_is_asked_of_the_leader_and_answers_with_what_it_found() {
    for (body, dry_run) in [
        ("", false),
        ("{}", false),
        (r#"{"dryRun":null}"#, false),
        (r#"{"dryRun":false}"#, false),
        (r#"{"dryRun":true}"#, true),
    ] {
        let stage = Stage::new().await;
        let result = r#"{"sweep":{"handedOver":[],"reported":[]}}"#;
        let (answer, asked) = ask_leader(&stage, "/api/pool/sweep", body, result).await;
        assert_eq!(answer.status, StatusCode::OK, "{body}");
        assert_eq!(
            answer.json(),
            json!({ "ok": true, "handedOver": [], "reported": [] })
        );
        assert_eq!(asked, format!(r#"sweep {{"dryRun": {dry_run}}}"#), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_meant_as_a_look_never_becomes_a_sweep() {
    let stage = Stage::new().await;
    for body in [
        r#"{"dryRun":"true"}"#,
        r#"{"dryRun":1}"#,
        r#"{"dryRun":[]}"#,
    ] {
        let answer = stage.post("/api/pool/sweep", body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(answer.error(), "dryRun must be true or false");
    }
    let asked = stage.value("SELECT count(*)::text FROM commands").await;
    assert_eq!(asked.as_deref(), Some("0"));
}
